"""The compressed protocol without a socket: numbers, sizes, and everything that must not be expanded."""

import random
import zlib
from typing import NamedTuple

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shardproxy.errors import CANNOT_EXPAND, OUT_OF_ORDER, PACKET_TOO_LARGE, ErrorSpec, ProxyError
from shardproxy.protocol.flags import Capability
from shardproxy.protocol.framing import encode_packet
from shardproxy.server import compression
from shardproxy.server.compression import (
    HELD_BYTES,
    MIN_COMPRESSED_BYTES,
    PIECE_BYTES,
    TOGETHER_BYTES,
    Codec,
    CompressionLayer,
    Zlib,
    Zstd,
    codec_for,
    offered_compression,
)
from tests.support.wire import compressed_packet

CODECS: dict[str, Codec] = {"zlib": Zlib(), "zstd": Zstd(0)}
LIMIT = 1 << 24
both = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


class Packet(NamedTuple):
    """A compressed packet, taken apart."""

    number: int
    size: int
    data: bytes


def layer_of(codec: Codec, limit: int = LIMIT) -> tuple[CompressionLayer, list[None]]:
    """A layer on a plain socket, and how often it has asked to be flushed later."""
    asked: list[None] = []
    return CompressionLayer(codec, None, limit, lambda: asked.append(None)), asked


def packed(codec: Codec, data: bytes, number: int = 0) -> bytes:
    """What a client would send."""
    return compressed_packet(codec.compress(data), number, len(data))


def take_apart(codec: Codec, data: bytes) -> list[Packet]:
    """What a client would read."""
    found = []
    while data:
        end = 7 + int.from_bytes(data[:3], "little")
        assert len(data) >= end
        size = int.from_bytes(data[4:7], "little")
        found.append(Packet(data[3], size, codec.expand(data[7:end], size) if size else data[7:end]))
        data = data[end:]
    return found


def refused(layer: CompressionLayer, spec: ErrorSpec) -> None:
    """The next packet is refused by that error, which closes the connection."""
    with pytest.raises(ProxyError) as error:
        layer.next_payload()
    assert (error.value.spec, error.value.fatal) == (spec, True)


@both
@given(
    payloads=st.lists(st.binary(max_size=200), min_size=1, max_size=6),
    pieces=st.lists(st.integers(1, 100), min_size=1, max_size=20),
    steps=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    stored=st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_packets_come_out_however_they_were_cut(
    codec: Codec, payloads: list[bytes], pieces: list[int], steps: list[int], stored: list[bool]
) -> None:
    """Packets into compressed packets, and these into segments: neither cares for the other's borders."""
    data = b"".join(encode_packet(payload, number) for number, payload in enumerate(payloads))
    wire, number = b"", 0
    while data:
        size = pieces[number % len(pieces)]
        piece, data = data[:size], data[size:]
        wire += compressed_packet(piece, number, 0) if stored[number % len(stored)] else packed(codec, piece, number)
        number += 1
    layer, _ = layer_of(codec)
    layer.expect = None
    found, turn = [], 0
    while wire:
        step = steps[turn % len(steps)]
        layer.feed(wire[:step])
        wire, turn = wire[step:], turn + 1
        while (payload := layer.next_payload()) is not None:
            found.append(payload)
    assert found == payloads
    assert layer.buffered == 0


@both
@given(
    payloads=st.lists(st.binary(max_size=100) | st.sampled_from((b"x" * 1000, b"xyz" * 9000, b"y" * 600_000)), max_size=20),
    steps=st.lists(st.integers(1, 100) | st.sampled_from((1000, 100_000)), min_size=1, max_size=20),
)
def test_what_is_sent_comes_out_in_order(codec: Codec, payloads: list[bytes], steps: list[int]) -> None:
    """However it was cut where it was written, no packet is cut where it is read."""
    data = b"".join(encode_packet(payload, number) for number, payload in enumerate(payloads))
    layer, asked = layer_of(codec)
    wire, start, turn = b"", 0, 0
    while start < len(data):
        step = steps[turn % len(steps)] if start < 20_000 else 50_000
        before = len(asked)
        if layer.send(data[start : start + step]) or (len(asked) > before and turn % 2):
            wire += layer.outgoing()
        start, turn = start + step, turn + 1
    found = take_apart(codec, wire + layer.outgoing())
    assert b"".join(packet.data for packet in found) == data
    assert [packet.number for packet in found] == [number & 0xFF for number in range(len(found))]
    for packet in found:
        read_whole(packet.data)


def read_whole(data: bytes) -> None:
    """Fails where the last packet is cut."""
    while data:
        end = 4 + int.from_bytes(data[:3], "little")
        assert len(data) >= end, "a packet is cut"
        data = data[end:]


@both
def test_long_packet_does_not_wait_for_its_end(codec: Codec) -> None:
    """Sixteen megabytes of it would be held else. What comes behind it is whole again."""
    layer, _ = layer_of(codec)
    long, short = encode_packet(bytes(HELD_BYTES + 1000), 0), encode_packet(b"short", 1)
    layer.send(short + long[:1000])
    assert [packet.data for packet in take_apart(codec, layer.outgoing())] == [short]
    layer.send(long[1000 : HELD_BYTES - 1])
    assert layer.outgoing() == b""
    layer.send(long[HELD_BYTES - 1 : HELD_BYTES + 10])
    assert [packet.data for packet in take_apart(codec, layer.outgoing())] == [long[: HELD_BYTES + 10]]
    layer.send(long[HELD_BYTES + 10 : HELD_BYTES + 500])
    assert [packet.data for packet in take_apart(codec, layer.outgoing())] == [long[HELD_BYTES + 10 : HELD_BYTES + 500]]
    layer.send(long[HELD_BYTES + 500 :] + short + short[:2])
    assert [packet.data for packet in take_apart(codec, layer.outgoing())] == [long[HELD_BYTES + 500 :] + short]
    layer.send(short[2:])
    assert [packet.data for packet in take_apart(codec, layer.outgoing())] == [short]


@both
def test_small_packets_are_not_compressed(codec: Codec) -> None:
    """And neither is what would not get smaller."""
    for data, size in (
        (encode_packet(b"x" * (MIN_COMPRESSED_BYTES - 5), 0), 0),
        (encode_packet(b"x" * (MIN_COMPRESSED_BYTES - 4), 0), MIN_COMPRESSED_BYTES),
        (encode_packet(random.Random(1).randbytes(5000), 0), 0),
    ):
        layer, _ = layer_of(codec)
        layer.send(data)
        assert take_apart(codec, layer.outgoing()) == [Packet(0, size, data)]


@both
def test_what_one_callback_writes_goes_out_together(codec: Codec) -> None:
    """It asks once, and no more than so much waits."""
    layer, asked = layer_of(codec)
    row = encode_packet(b"x" * 96, 0)
    assert [layer.send(row) for _ in range(3)] == [False] * 3
    assert len(asked) == 1
    assert take_apart(codec, layer.outgoing()) == [Packet(0, 300, row * 3)]
    assert layer.outgoing() == b""
    assert layer.send(encode_packet(b"x" * TOGETHER_BYTES, 0))
    assert len(asked) == 1


@both
def test_large_answer_is_cut(codec: Codec) -> None:
    """A client reads the first part while the last is on its way, and numbers wrap."""
    layer, _ = layer_of(codec)
    row = encode_packet(bytes(PIECE_BYTES), 0)
    layer.send(row * 300 + encode_packet(b"", 0))
    found = take_apart(codec, layer.outgoing())
    assert [packet.number for packet in found] == [number & 0xFF for number in range(301)]
    assert {packet.data for packet in found} == {row, encode_packet(b"", 0)}


@both
def test_answers_go_on_with_the_client_s_numbers(codec: Codec) -> None:
    """Commands that were sent ahead are opened one by one, so their numbers do not get into the answer before them."""
    layer, _ = layer_of(codec)
    long = b"\x03" + b"x" * 300
    sent = encode_packet(long, 0)
    layer.feed(packed(codec, sent[:200], 0) + packed(codec, sent[200:], 1) + packed(codec, encode_packet(b"\x0e", 0), 0))
    assert layer.next_payload() == long
    one, two = encode_packet(b"one", 1), encode_packet(b"two", 2)
    layer.send(one)
    layer.send(two)
    assert layer.next_payload() == b"\x0e"
    layer.send(one)
    assert take_apart(codec, layer.outgoing()) == [Packet(2, 0, one + two), Packet(1, 0, one)]
    layer.send(one)
    layer.restart()
    layer.send(one)
    assert [packet.number for packet in take_apart(codec, layer.outgoing())] == [2, 0]


@both
def test_number_out_of_order_is_refused(codec: Codec) -> None:
    """Before its packet is there."""
    for number in (1, 2, 255):
        layer, _ = layer_of(codec)
        layer.feed(packed(codec, encode_packet(b"\x0e", 0), number)[:7])
        refused(layer, OUT_OF_ORDER)


def test_wrong_packets_are_refused() -> None:
    """What is not what it announces, in either direction, is no packet."""
    data = encode_packet(b"\x03" + b"x" * 1000, 0)
    streaming = zstandard.ZstdCompressor(write_content_size=False)
    for codec, whole in ((Zlib(), zlib.compress(data)), (Zstd(0), zstandard.compress(data)), (Zstd(0), streaming.compress(data))):
        for bad, size in (
            (whole, len(data) - 1),
            (whole, len(data) + 1),
            (whole, 1),
            (whole, 0xFFFFFF),
            (whole[:-1], len(data)),
            (whole[: len(whole) // 2], len(data)),
            (b"", len(data)),
            (data, len(data)),
            (bytes(len(whole)), len(data)),
        ):
            layer, _ = layer_of(codec)
            layer.feed(compressed_packet(bad, 0, size))
            refused(layer, CANNOT_EXPAND)
        layer, _ = layer_of(codec)
        layer.feed(compressed_packet(whole, 0, len(data)))
        assert layer.next_payload() == data[4:]
    layer, _ = layer_of(Zlib())
    layer.feed(compressed_packet(zlib.compress(data) + b"more", 0, len(data)))
    refused(layer, CANNOT_EXPAND)


@pytest.mark.parametrize("announced", [100, 0xFFFFFF])
def test_bomb_is_never_expanded(announced: int) -> None:
    """64 MB in a packet of a few kilobytes: memory for what was announced is all that it costs."""
    tracemalloc = pytest.importorskip("tracemalloc")
    size = 1 << 26
    compressor = zlib.compressobj(9)
    squeezed = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)) + compressor.flush()
    # A frame that tells its size, one that does not, and one that tells a small one.
    telling = zstandard.ZstdCompressor().compress(bytes(size))
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(size))
    for codec, bomb in ((Zlib(), squeezed), (Zstd(0), telling), (Zstd(0), silent)):
        layer, _ = layer_of(codec)
        layer.feed(compressed_packet(bomb, 0, announced))
        tracemalloc.start()
        refused(layer, CANNOT_EXPAND)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * announced + (1 << 20), codec


def test_expanded_packet_obeys_the_limit_of_packets() -> None:
    """Compression is no way around it."""
    layer, _ = layer_of(Zlib(), limit=1000)
    layer.feed(packed(Zlib(), encode_packet(b"\x03" + b"x" * 1000, 0)))
    refused(layer, PACKET_TOO_LARGE)


def test_what_is_offered_and_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """zlib wins where both are possible, as MySQL says; zstd is there only with its package."""
    zlib_flag, zstd_flag = Capability.COMPRESS, Capability.ZSTD_COMPRESSION
    assert offered_compression(("zlib", "zstd")) == zlib_flag | zstd_flag
    assert offered_compression(("zstd",)) == zstd_flag
    assert offered_compression(()) == 0
    assert isinstance(codec_for(zlib_flag | zstd_flag, 3), Zlib)
    assert isinstance(codec_for(zstd_flag, 255), Zstd)
    assert codec_for(0, 3) is None
    monkeypatch.setattr(compression, "HAVE_ZSTD", False)
    assert offered_compression(("zlib", "zstd")) == zlib_flag
