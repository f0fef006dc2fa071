"""Framing and packets, byte for byte."""

import pytest

from shardproxy.errors import OUT_OF_ORDER, PACKET_TOO_LARGE, ProxyError
from shardproxy.protocol.charsets import charset_by_id, charset_by_name
from shardproxy.protocol.flags import OFFERED, Capability
from shardproxy.protocol.framing import MAX_PAYLOAD, PacketReader, encode_packet, packet_count
from shardproxy.protocol.handshake import (
    Greeting,
    Login,
    build_auth_switch,
    build_greeting,
    build_login,
    build_ssl_request,
    is_ssl_request,
    parse_auth_switch,
    parse_change_user,
    parse_greeting,
    parse_login,
)
from shardproxy.protocol.packets import ErrPacket, OkPacket, build_err, build_ok, parse_err, parse_ok
from shardproxy.protocol.resultset import ColumnDefinition, build_column, build_row, encode_result, parse_column, parse_row
from shardproxy.protocol.wire_types import MalformedPacket, lenenc_bytes, lenenc_int, read_lenenc_bytes, read_lenenc_int


@pytest.mark.parametrize("size", [0, 1, MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD])
def test_payload_is_split_at_16_mb(size: int) -> None:
    """One of exactly 0xFFFFFF bytes is followed by an empty packet; the number grows with each part."""
    payload = bytes(size)
    data = encode_packet(payload, 254)
    numbers, at = [], 0
    while at < len(data):
        numbers.append(data[at + 3])
        at += 4 + int.from_bytes(data[at : at + 3], "little")
    assert at == len(data)
    assert len(numbers) == packet_count(size) == size // MAX_PAYLOAD + 1
    assert numbers == [254, 255, 0][: len(numbers)]
    reader = PacketReader(3 * MAX_PAYLOAD, expect=254)
    reader.feed(data)
    assert reader.next_payload() == payload
    assert reader.next_payload() is None
    assert reader.sequence == numbers[-1]


def test_first_byte_of_a_continuation_means_nothing() -> None:
    """The second part of a payload may begin like an error or an end."""
    payload = b"a" * MAX_PAYLOAD + b"\xfe\0\0"
    reader = PacketReader(2 * MAX_PAYLOAD)
    reader.feed(encode_packet(payload, 0))
    assert reader.next_payload() == payload


def test_reader_refuses_by_the_header() -> None:
    """Nothing is held of a packet that is too long or out of turn, and the error can be answered in turn."""
    for header, spec in ((b"\x0b\0\0\0", PACKET_TOO_LARGE), (b"\x01\0\0\x05", OUT_OF_ORDER)):
        reader = PacketReader(10)
        reader.feed(header)
        with pytest.raises(ProxyError) as refused:
            reader.next_payload()
        assert refused.value.spec is spec
        assert refused.value.fatal


def test_limit_counts_all_parts_of_a_payload() -> None:
    """Splitting is no way around it, and the error's number follows that of the part which was too much."""
    reader = PacketReader(MAX_PAYLOAD + 10)
    reader.feed(encode_packet(bytes(MAX_PAYLOAD), 0)[: 4 + MAX_PAYLOAD] + b"\x0b\0\0\x01")
    with pytest.raises(ProxyError) as refused:
        reader.next_payload()
    assert refused.value.spec is PACKET_TOO_LARGE
    assert reader.sequence == 1


def test_rest_behind_a_packet_can_be_taken_out() -> None:
    """What follows an SSLRequest is TLS and no packet."""
    reader = PacketReader(100)
    reader.feed(encode_packet(b"first", 0) + b"\x16\x03\x01")
    assert reader.next_payload() == b"first"
    assert reader.take_rest() == b"\x16\x03\x01"
    assert reader.buffered == 0


@pytest.mark.parametrize(
    ("value", "data"),
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
def test_length_encoded_integer(value: int, data: bytes) -> None:
    """Every width at both of its ends, and cut short at every byte."""
    assert lenenc_int(value) == data
    assert read_lenenc_int(b"x" + data + b"y", 1) == (value, 1 + len(data))
    for cut in range(len(data)):
        with pytest.raises(MalformedPacket):
            read_lenenc_int(data[:cut], 0)


def test_declared_length_is_checked_before_it_is_believed() -> None:
    """A string of 2^64 bytes that are not there is an error, not an allocation."""
    with pytest.raises(MalformedPacket):
        read_lenenc_bytes(b"\xfe" + b"\xff" * 8 + b"abc", 0)
    assert read_lenenc_bytes(lenenc_bytes(b"x" * 300), 0) == (b"x" * 300, 303)
    for first in (b"\xfb", b"\xff"):
        with pytest.raises(MalformedPacket):
            read_lenenc_int(first + b"\0" * 9, 0)


def test_ok_as_servers_send_it() -> None:
    """The info string is length-encoded; servers that leave the length out are understood."""
    info = b"Rows matched: 1  Changed: 1  Warnings: 0"
    ok = OkPacket(1, 2, 3, 4, info)
    assert build_ok(ok) == b"\0\x01\x02\x03\0\x04\0\x28" + info
    assert parse_ok(build_ok(ok)) == ok
    assert parse_ok(b"\0\x01\x02\x03\0\x04\0" + info) == ok
    assert parse_ok(build_ok(OkPacket(warnings=1 << 20))).warnings == 0xFFFF


def test_err_with_and_without_a_state() -> None:
    """Before the login servers leave the SQLSTATE out; texts are cut as servers cut them, between characters."""
    assert build_err(ErrPacket(1064, "42000", "no")) == b"\xff\x28\x04#42000no"
    assert parse_err(b"\xff\x28\x04#42000no") == ErrPacket(1064, "42000", "no")
    assert parse_err(b"\xff\x10\x04Too many connections") == ErrPacket(1040, "HY000", "Too many connections")
    assert len(parse_err(build_err(ErrPacket(1, "HY000", "é" * 2000))).message) == 512
    with pytest.raises(MalformedPacket):
        parse_err(b"\xff\0")


def test_column_round_trip() -> None:
    """Every field, whole or cut at any byte."""
    column = ColumnDefinition(b"alias", 253, 33, 120, 0x1001, 31, b"app", b"t", b"users", b"name")
    data = build_column(column)
    assert parse_column(data) == column
    for cut in range(len(data) - 2):
        with pytest.raises(MalformedPacket):
            parse_column(data[:cut])


def test_row_must_hold_what_its_columns_announce() -> None:
    """A value less, or one that is longer than its row, is malformed."""
    data = build_row([None, b"", b"x" * 251])
    assert parse_row(data, 3) == (None, b"", b"x" * 251)
    for broken, width in ((data, 4), (data[:-1], 3), (b"\x05abc", 1), (b"\xfc\x05", 1)):
        with pytest.raises(MalformedPacket):
            parse_row(broken, width)


def test_small_result_is_numbered_through() -> None:
    """Count, columns, EOF, rows, EOF: five packets and their numbers."""
    data = encode_result([ColumnDefinition(b"a", 253)], [[b"1"], [None]], 2)
    reader = PacketReader(1000, expect=None)
    reader.feed(data)
    numbers = []
    while reader.next_payload() is not None:
        numbers.append(reader.sequence)
    assert numbers == [1, 2, 3, 4, 5, 6]


def test_greeting_round_trip() -> None:
    """Both roles understand each other."""
    greeting = Greeting("10.11.19-MariaDB", 77, b"12345678abcdefghijkl", int(OFFERED), plugin="caching_sha2_password")
    data = build_greeting(greeting)
    assert parse_greeting(data) == greeting
    for cut in range(len(data) - 1):
        with pytest.raises(MalformedPacket):
            parse_greeting(data[:cut])


def test_login_fields_depend_on_what_both_sides_know() -> None:
    """A flag that was not offered announces nothing, whatever the client claims."""
    login = Login("app", b"x" * 20, int(OFFERED), 1 << 24, 45, "app", "mysql_native_password", {"_pid": "1"})
    assert parse_login(build_login(login), OFFERED) == login
    without = parse_login(build_login(login), OFFERED & ~Capability.CONNECT_ATTRS)
    assert without.attributes == {}
    assert not parse_login(build_login(login), OFFERED & ~Capability.FOUND_ROWS).capabilities & Capability.FOUND_ROWS
    with pytest.raises(MalformedPacket, match="older"):
        parse_login(build_login(login), 0)


def test_connection_attributes_stay_in_their_block() -> None:
    """A block longer than the packet, and an attribute longer than the block, are refused."""
    login = build_login(Login("app", b"", int(OFFERED), attributes={"a": "b"}, database="app", plugin="p"))
    for tail in (b"\x7f\x01a\x01b", b"\x03\x01a\x09b", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01a\x01b"):
        with pytest.raises(MalformedPacket):
            parse_login(login[:-5] + tail, OFFERED)
    assert parse_login(login[:-5], OFFERED).attributes == {}


def test_ssl_request_is_a_login_cut_off_behind_its_head() -> None:
    """32 bytes with the flag; 32 bytes without it are something else."""
    assert is_ssl_request(build_ssl_request(int(OFFERED)))
    assert not is_ssl_request(bytes(32))
    assert not is_ssl_request(build_ssl_request(int(OFFERED)) + b"\0")


def test_switch_and_change_user_round_trip() -> None:
    """The salt survives, and a missing database is none."""
    assert parse_auth_switch(build_auth_switch("some_plugin", b"s" * 20)) == ("some_plugin", b"s" * 20)
    login = parse_change_user(b"app\0\x02hi\0\x2d\0some_plugin\0", int(OFFERED))
    assert (login.user, login.auth_response, login.database, login.charset, login.plugin) == (
        "app", b"hi", None, 45, "some_plugin",
    )  # fmt: skip


@pytest.mark.parametrize("number", [45, 46, 224, 255, 33, 8, 63, 0, 999])
def test_character_sets_that_are_taken(number: int) -> None:
    """Those in which an ASCII byte is always that character; unknown numbers mean utf8mb4, as to a server."""
    charset = charset_by_id(number)
    assert charset is not None
    assert "a".encode(charset.codec) == b"a"


@pytest.mark.parametrize("name", ["gbk", "sjis", "big5", "cp932", "gb18030", "ucs2", "utf16", "utf32", "nonsense"])
def test_character_sets_that_are_not_taken(name: str) -> None:
    """A quote or a backslash may hide inside their characters."""
    assert charset_by_name(name) is None
    assert charset_by_name(name.upper()) is None
