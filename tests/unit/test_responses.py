"""Following a server's response: the scanner that relays it and the reader that decodes it, fed in every chunking."""

from collections.abc import Iterable

import pytest

from shardproxy.protocol.framing import MAX_PAYLOAD, encode_packet
from shardproxy.protocol.packets import EofPacket, ErrPacket, OkPacket, build_eof, build_err, build_ok
from shardproxy.protocol.result_reader import ResultReader
from shardproxy.protocol.resultset import build_row, encode_header, encode_result, integer_column, parse_row, string_column
from shardproxy.protocol.scanner import DONE, ResponseScanner
from shardproxy.protocol.wire_types import MalformedPacket

COLUMNS = [integer_column("id"), string_column("name")]
ROWS: list[tuple[bytes | None, ...]] = [(b"1", b"one"), (b"2", None), (b"", b""), (None, b"\xfe\xff\x00"), (b"5", b"x" * 300)]
RESULT = encode_result(COLUMNS, ROWS, status=2)
OK = encode_packet(build_ok(OkPacket(3, 4, 2)), 1)
ERR = encode_packet(build_err(ErrPacket(1064, "42000", "no")), 1)
HEADER, NEXT = encode_header(COLUMNS, 2)
ERR_MID_ROWS = HEADER + encode_packet(build_row(ROWS[0]), NEXT) + encode_packet(build_err(ErrPacket(1317, "70100", "stopped")), NEXT + 1)
CHUNKS = [1, 2, 3, 5, 7, 64, 1 << 20]


def pieces(wire: bytes, size: int) -> Iterable[bytes]:
    """The bytes in chunks of one size."""
    return (wire[start : start + size] for start in range(0, len(wire), size))


def scan(wire: bytes, size: int) -> tuple[ResponseScanner, bytes]:
    """A scanner that has seen everything, and what it let through."""
    scanner = ResponseScanner()
    return scanner, b"".join([scanner.feed(chunk) for chunk in pieces(wire, size)])


def read(wire: bytes, size: int) -> ResultReader:
    """A reader that has seen everything."""
    reader = ResultReader()
    for chunk in pieces(wire, size):
        reader.feed(chunk)
    return reader


@pytest.mark.parametrize("size", CHUNKS)
@pytest.mark.parametrize("wire", [RESULT, OK, ERR, ERR_MID_ROWS], ids=["rows", "ok", "err", "err mid rows"])
def test_scanner_passes_everything_on_and_finds_the_end(wire: bytes, size: int) -> None:
    """What it let through and what it held back are the response, byte for byte."""
    scanner, forwarded = scan(wire, size)
    assert scanner.state == DONE
    assert forwarded + scanner.final == wire
    assert scanner.final[scanner.terminal_start + 4 :] == scanner.terminal


def test_scanner_is_not_done_before_the_last_byte() -> None:
    """The end is neither guessed nor forwarded early."""
    scanner = ResponseScanner()
    forwarded = scanner.feed(RESULT[:-1])
    assert scanner.state != DONE
    assert len(forwarded) <= len(RESULT) - 9
    forwarded += scanner.feed(RESULT[-1:])
    assert scanner.state == DONE
    assert forwarded + scanner.final == RESULT


@pytest.mark.parametrize("size", CHUNKS)
def test_scanner_counts_rows_and_knows_the_last_number(size: int) -> None:
    """As the terminal packet's own sequence number says."""
    scanner, _ = scan(RESULT, size)
    assert scanner.rows == len(ROWS)
    assert scanner.sequence == NEXT + len(ROWS)
    assert scanner.terminal == build_eof(EofPacket(0, 2))


@pytest.mark.parametrize(("warnings", "status", "end_status"), [(0, 2, 2), (0, 0x22, 0x22), (1, 2, -1), (0, 3, 3), (0, 0x4002, 0x4002)])
def test_scanner_gives_the_status_of_an_end_without_warnings(warnings: int, status: int, end_status: int) -> None:
    """Whether it fits the session is the session's to say."""
    scanner, _ = scan(encode_result(COLUMNS, ROWS, status, warnings=warnings), 1 << 20)
    assert scanner.end_status == end_status


@pytest.mark.parametrize("follow", [scan, read], ids=["scanner", "reader"])
@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize(
    "wire",
    [
        b"\0\0\0\x01",
        HEADER + b"\0\0\0\x06",
        encode_packet(b"\xfbfile", 1),
        encode_packet(b"\xfc\0", 1),
        HEADER[: -(4 + 5)] + encode_packet(b"\x03def", 4),
    ],
    ids=["empty", "empty row", "local infile", "bad count", "no end of columns"],
)
def test_response_that_cannot_be_followed_is_refused(follow, size: int, wire: bytes) -> None:  # type: ignore[no-untyped-def]
    """Whatever came after it would be read as the answer to another statement."""
    with pytest.raises(MalformedPacket):
        follow(wire, size)


@pytest.mark.parametrize("follow", [scan, read], ids=["scanner", "reader"])
@pytest.mark.parametrize("wire", [OK + OK, RESULT + OK, ERR + RESULT])
def test_more_than_one_response_is_refused(follow, wire: bytes) -> None:  # type: ignore[no-untyped-def]
    """A server that says more than it was asked has lost count."""
    with pytest.raises(MalformedPacket):
        follow(wire, 1 << 20)


@pytest.mark.parametrize("size", CHUNKS)
def test_reader_decodes_a_result(size: int) -> None:
    """Columns as they were described and rows as they were sent."""
    reader = read(RESULT, size)
    assert reader.done
    assert [column.name for column in reader.columns] == [b"id", b"name"]
    assert reader.row_bytes == sum(len(build_row(row)) for row in ROWS)
    assert [parse_row(payload, 2) for payload in reader.take_rows()] == ROWS
    assert reader.take_rows() == []
    assert reader.row_bytes == 0
    assert reader.eof == EofPacket(0, 2)


@pytest.mark.parametrize("size", CHUNKS)
def test_reader_decodes_an_answer_without_rows(size: int) -> None:
    """An OK and an ERR end the response at once."""
    assert read(OK, size).ok == OkPacket(3, 4, 2)
    failed = read(ERR, size)
    assert failed.error == ErrPacket(1064, "42000", "no")
    assert failed.ready
    assert failed.done


@pytest.mark.parametrize("size", CHUNKS)
def test_reader_stops_at_an_error_between_rows(size: int) -> None:
    """The rows before it are there, and there is no end of rows."""
    reader = read(ERR_MID_ROWS, size)
    assert reader.done
    assert len(reader.rows) == 1
    assert reader.error == ErrPacket(1317, "70100", "stopped")
    assert reader.eof is None


def test_reader_takes_bare_columns() -> None:
    """COM_FIELD_LIST answers with columns and their end."""
    reader = ResultReader.of_columns()
    reader.feed(HEADER[5:])
    assert reader.done
    assert len(reader.columns) == 2


def test_reader_believes_no_impossible_number_of_columns() -> None:
    """Nor more columns than were announced."""
    with pytest.raises(MalformedPacket):
        read(encode_packet(b"\xfd\0\0\x01", 1), 100)
    with pytest.raises(MalformedPacket):
        read(encode_packet(b"\x01", 1) + HEADER[5:], 1 << 20)


@pytest.mark.parametrize("size", [MAX_PAYLOAD // 2, MAX_PAYLOAD + 6, 1 << 26])
@pytest.mark.parametrize("value_bytes", [MAX_PAYLOAD - 9, MAX_PAYLOAD, MAX_PAYLOAD + 2000])
def test_row_over_16_mb_is_one_row(size: int, value_bytes: int) -> None:
    """It starts with 0xFE, and so does its continuation, which is neither an EOF nor a row of its own."""
    value = b"\xfe" * value_bytes
    row = build_row((value,))
    assert row[0] == 0xFE or value_bytes < 1 << 24
    wire = encode_result([string_column("v")], [(value,), (b"after",)], 2)
    scanner, forwarded = scan(wire, size)
    assert scanner.state == DONE
    assert scanner.rows == 2
    assert forwarded + scanner.final == wire
    reader = read(wire, size)
    assert reader.done
    assert [len(one) for one in reader.take_rows()] == [len(row), 6]


def test_empty_continuation_ends_a_row() -> None:
    """A row of exactly 0xFFFFFF bytes is followed by an empty packet, which is not refused."""
    value = b"v" * (MAX_PAYLOAD - 4)
    assert len(build_row((value,))) == MAX_PAYLOAD
    wire = encode_result([string_column("v")], [(value,)], 2)
    scanner, _ = scan(wire, 1 << 20)
    assert (scanner.state, scanner.rows) == (DONE, 1)
    assert len(read(wire, 1 << 22).take_rows()) == 1
