"""OK, ERR and EOF packets, column definitions and rows: what is built reads back, and what is cut short is refused."""

import pytest

from shardproxy.protocol.flags import BINARY_CHARSET, ColumnType
from shardproxy.protocol.packets import EofPacket, ErrPacket, OkPacket, build_eof, build_err, build_ok, parse_eof, parse_err, parse_ok
from shardproxy.protocol.resultset import (
    ColumnDefinition,
    build_column,
    build_row,
    encode_header,
    integer_column,
    parse_column,
    parse_row,
    parse_row_until,
    string_column,
)
from shardproxy.protocol.wire_types import MalformedPacket


@pytest.mark.parametrize(
    "packet",
    [OkPacket(), OkPacket(1, 2, 3, 4), OkPacket(1 << 40, (1 << 64) - 1, 0x4002, 0xFFFF, b"Rows matched: 1"), OkPacket(info=b"x" * 300)],
)
def test_ok_reads_back(packet: OkPacket) -> None:
    """Counts of any size and the info string survive."""
    assert parse_ok(build_ok(packet)) == packet


def test_ok_is_what_a_server_sends() -> None:
    """The bytes are those of the protocol's manual."""
    assert build_ok(OkPacket(1, 0, 2)) == b"\0\x01\0\x02\0\0\0"
    assert build_ok(OkPacket(info=b"hi")) == b"\0\0\0\0\0\0\0\x02hi"


def test_ok_with_info_of_no_length_is_understood() -> None:
    """Some servers send the rest of the packet as the info."""
    assert parse_ok(b"\0\0\0\x02\0\0\0Changed").info == b"Changed"


def test_warnings_are_capped_at_what_fits() -> None:
    """More than two bytes can hold are told as the most they can."""
    assert parse_ok(build_ok(OkPacket(warnings=70_000))).warnings == 0xFFFF
    assert parse_eof(build_eof(EofPacket(warnings=70_000))).warnings == 0xFFFF


def test_eof_reads_back() -> None:
    """Five bytes, warnings before status."""
    assert build_eof(EofPacket(1, 0x22)) == b"\xfe\x01\0\x22\0"
    assert parse_eof(b"\xfe\x01\0\x22\0") == EofPacket(1, 0x22)


def test_err_reads_back() -> None:
    """With errno, SQLSTATE and text."""
    packet = ErrPacket(1146, "42S02", "Table 'app.café' doesn't exist")
    assert build_err(packet)[:9] == b"\xff\x7a\x04#42S02"
    assert parse_err(build_err(packet)) == packet


def test_err_in_another_character_set_reads_back() -> None:
    """It is kept as it came, beside a text that any log can take."""
    payload = b"\xff\x7a\x04#42S02Table 'caf\xe9'"
    packet = parse_err(payload)
    assert build_err(packet) == payload
    assert packet.message.encode() == "Table 'caf\ufffd'".encode()


def test_err_without_sqlstate_is_understood() -> None:
    """That is how it comes before the capabilities are agreed."""
    assert parse_err(b"\xff\x10\x04Too many connections") == ErrPacket(1040, "HY000", "Too many connections")


def test_err_text_is_cut() -> None:
    """At 512 characters, whatever their size in bytes."""
    assert parse_err(build_err(ErrPacket(1105, "HY000", "é" * 600))).message == "é" * 512


@pytest.mark.parametrize("raw", [b"\xff", b"\xff\x10"])
def test_err_that_is_cut_short_is_malformed(raw: bytes) -> None:
    """An errno has two bytes."""
    with pytest.raises(MalformedPacket):
        parse_err(raw)


@pytest.mark.parametrize("size", range(1, 7))
def test_ok_that_is_cut_short_is_malformed(size: int) -> None:
    """At whichever byte it ends."""
    with pytest.raises(MalformedPacket):
        parse_ok(build_ok(OkPacket())[:size])


def test_eof_that_is_cut_short_is_malformed() -> None:
    """The status is part of it."""
    with pytest.raises(MalformedPacket):
        parse_eof(b"\xfe\0\0\x02")


def test_column_reads_back() -> None:
    """All that a merge or a client looks at."""
    column = ColumnDefinition(b"n", ColumnType.NEWDECIMAL, BINARY_CHARSET, 12, 0x8081, 2, b"app", b"t", b"t0", b"col")
    assert parse_column(build_column(column)) == column
    assert parse_column(build_column(string_column("s"))) == string_column("s")
    assert parse_column(build_column(integer_column("i"))).is_binary


def test_column_that_is_cut_short_is_malformed() -> None:
    """At whichever byte of what is read it ends."""
    whole = build_column(string_column("name"))
    for size in range(len(whole) - 2):
        with pytest.raises(MalformedPacket):
            parse_column(whole[:size])


@pytest.mark.parametrize(
    "row", [(b"",), (None,), (b"a", None, b"b"), (b"x" * 250, b"y" * 251, b"z" * 70_000, None), (None, None), (b"\xfb", b"\xfe")]
)
def test_row_reads_back(row: tuple[bytes | None, ...]) -> None:
    """NULL, the empty string and values of every width are told apart."""
    assert parse_row(build_row(row), len(row)) == row


@pytest.mark.parametrize("raw", [b"", b"\x01a", b"\x01a\x02b", b"\x01a\xfc\x01"])
def test_row_with_too_little_in_it_is_malformed(raw: bytes) -> None:
    """Two values are wanted of each."""
    with pytest.raises(MalformedPacket):
        parse_row(raw, 2)


@pytest.mark.parametrize(("visible", "cut"), [(1, 2), (2, 3), (3, 6)])
def test_visible_part_of_a_row_is_a_row(visible: int, cut: int) -> None:
    """Cutting hidden columns off needs no second encoding."""
    row = (b"a", None, b"bc")
    payload = build_row(row)
    assert parse_row_until(payload, 3, visible) == (row, cut)
    assert parse_row(payload[:cut], visible) == row[:visible]


@pytest.mark.parametrize("raw", [b"\x01a", b"\x01a\x05b", b"\x01a\x01b\x01c"])
def test_row_is_as_long_as_its_values(raw: bytes) -> None:
    """Neither a value less nor a byte more is let through."""
    with pytest.raises(MalformedPacket):
        parse_row_until(raw, 2, 1)


def test_header_is_numbered_through() -> None:
    """Count, columns and EOF have consecutive numbers, and the next one is given."""
    wire, following = encode_header([integer_column("a"), integer_column("b")], 2, sequence=1)
    numbers, pos = [], 0
    while pos < len(wire):
        numbers.append(wire[pos + 3])
        pos += 4 + int.from_bytes(wire[pos : pos + 3], "little")
    assert numbers == [1, 2, 3, 4]
    assert following == 5
