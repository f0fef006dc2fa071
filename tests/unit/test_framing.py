"""Packets on the wire: lengths, sequence numbers, and payloads that take several packets."""

import random

import pytest

from shardproxy.errors import OUT_OF_ORDER, PACKET_TOO_LARGE, ProxyError
from shardproxy.protocol.framing import MAX_PAYLOAD, PacketReader, encode_packet, packet_count
from shardproxy.protocol.wire_types import MalformedPacket, lenenc_bytes, lenenc_int, read_lenenc_bytes, read_lenenc_int, read_nul_bytes

LIMIT = 64 << 20


def take_all(reader: PacketReader) -> list[bytes]:
    """All payloads that are whole by now."""
    payloads = []
    while (payload := reader.next_payload()) is not None:
        payloads.append(payload)
        reader.expect = None
    return payloads


def test_small_payload_is_one_packet() -> None:
    """Three bytes of length, little endian, one of sequence, then the payload."""
    assert encode_packet(b"abc", 7) == b"\x03\0\0\x07abc"
    assert encode_packet(b"", 0) == b"\0\0\0\0"


def test_sequence_wraps_at_256() -> None:
    """The number behind 255 is 0, also between the parts of one payload."""
    assert encode_packet(b"x", 256)[3] == 0
    wire = encode_packet(b"x" * MAX_PAYLOAD, 255)
    assert wire[3] == 255
    assert wire[4 + MAX_PAYLOAD :] == b"\0\0\0\0"


@pytest.mark.parametrize(
    ("size", "tail"),
    [(MAX_PAYLOAD - 1, None), (MAX_PAYLOAD, b"\0\0\0\x01"), (MAX_PAYLOAD + 1, b"\x01\0\0\x01z")],
    ids=["one less", "exactly", "one more"],
)
def test_payload_is_split_at_its_limit(size: int, tail: bytes | None) -> None:
    """A full packet is always followed by another, an empty one where nothing is left."""
    wire = encode_packet(b"z" * size, 0)
    assert packet_count(size) == (1 if tail is None else 2)
    assert len(wire) == size + 4 * packet_count(size)
    if tail is not None:
        assert wire[:4] == b"\xff\xff\xff\0"
        assert wire[4 + MAX_PAYLOAD :] == tail


@pytest.mark.parametrize("size", [MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD])
@pytest.mark.parametrize("chunk", [1 << 16, 4_000_003, LIMIT])
def test_long_payload_is_read_back_in_any_chunks(size: int, chunk: int) -> None:
    """The parts become one payload, and the sequence number is that of the last of them."""
    payload = b"\xfe" + b"y" * (size - 1)
    wire = encode_packet(payload, 3)
    reader = PacketReader(LIMIT, 3)
    found = []
    for start in range(0, len(wire), chunk):
        reader.feed(wire[start : start + chunk])
        found += take_all(reader)
    assert [len(one) for one in found] == [size]
    assert found[0] == payload
    assert reader.sequence == 3 + packet_count(size) - 1
    assert reader.buffered == 0


def test_packets_are_found_in_any_chunking() -> None:
    """Where the bytes were cut on their way changes nothing."""
    rng = random.Random(3)
    payloads = [b"a" * rng.randint(0, 300) for _ in range(50)]
    wire = b"".join(encode_packet(payload, i) for i, payload in enumerate(payloads))
    for _ in range(20):
        reader = PacketReader(LIMIT, None)
        found, pos = [], 0
        while pos < len(wire):
            step = rng.randint(1, 400)
            reader.feed(wire[pos : pos + step])
            found += take_all(reader)
            pos += step
        assert found == payloads


def test_declared_length_over_the_limit_is_refused_at_once() -> None:
    """Four bytes are enough to know; nothing is kept for the rest."""
    reader = PacketReader(100)
    reader.feed(b"\x65\0\0\0")
    with pytest.raises(ProxyError) as large:
        reader.next_payload()
    assert large.value.spec is PACKET_TOO_LARGE
    assert large.value.fatal


def test_parts_count_together_against_the_limit() -> None:
    """A payload cannot pass the limit by coming in several packets."""
    reader = PacketReader(MAX_PAYLOAD + 5)
    reader.feed(b"\xff\xff\xff\0" + b"x" * MAX_PAYLOAD)
    assert reader.next_payload() is None
    reader.feed(b"\x06\0\0\x01")
    with pytest.raises(ProxyError, match="SP1003"):
        reader.next_payload()


def test_packet_out_of_order_is_refused() -> None:
    """The sequence number must be the expected one, also of a continuation."""
    reader = PacketReader(LIMIT)
    reader.feed(encode_packet(b"x", 1))
    with pytest.raises(ProxyError) as order:
        reader.next_payload()
    assert order.value.spec is OUT_OF_ORDER
    reader = PacketReader(LIMIT)
    reader.feed(encode_packet(b"x" * MAX_PAYLOAD, 0)[:-1] + b"\x02")
    with pytest.raises(ProxyError, match="SP1002"):
        reader.next_payload()


def test_rest_is_what_follows_the_last_packet() -> None:
    """Bytes behind a request for TLS are given back untouched."""
    reader = PacketReader(LIMIT)
    reader.feed(encode_packet(b"ssl", 0) + b"\x16\x03\x01")
    assert reader.next_payload() == b"ssl"
    assert reader.take_rest() == b"\x16\x03\x01"
    assert reader.buffered == 0


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, b"\0"),
        (250, b"\xfa"),
        (251, b"\xfc\xfb\0"),
        (0xFFFF, b"\xfc\xff\xff"),
        (0x10000, b"\xfd\0\0\x01"),
        (0xFFFFFF, b"\xfd\xff\xff\xff"),
        (0x1000000, b"\xfe\0\0\0\x01\0\0\0\0"),
        ((1 << 64) - 1, b"\xfe" + b"\xff" * 8),
    ],
)
def test_length_encoded_integer_takes_the_shortest_form(value: int, encoded: bytes) -> None:
    """Each width begins where the one before ends, and reads back the same."""
    assert lenenc_int(value) == encoded
    assert read_lenenc_int(b"?" + encoded + b"!", 1) == (value, 1 + len(encoded))


@pytest.mark.parametrize("size", [0, 250, 251, 70_000])
def test_length_encoded_string_reads_back(size: int) -> None:
    """The position behind it is right as well."""
    encoded = lenenc_bytes(b"s" * size)
    assert read_lenenc_bytes(encoded + b"!", 0) == (b"s" * size, len(encoded))


@pytest.mark.parametrize("raw", [b"", b"\xfb", b"\xff", b"\xfc\x01", b"\xfd\0\0", b"\xfe\0\0\0\0\0\0\0"])
def test_integer_that_is_cut_short_is_malformed(raw: bytes) -> None:
    """So are the two first bytes that begin no integer."""
    with pytest.raises(MalformedPacket):
        read_lenenc_int(raw, 0)


def test_string_longer_than_its_packet_is_malformed() -> None:
    """Neither a declared length nor a missing NUL reads past the end."""
    with pytest.raises(MalformedPacket):
        read_lenenc_bytes(b"\x05abcd", 0)
    with pytest.raises(MalformedPacket):
        read_lenenc_bytes(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xffabc", 0)
    with pytest.raises(MalformedPacket):
        read_nul_bytes(b"abc", 0)
