"""The binary protocol of prepared statements from a client's side, written from the manual and from nothing in the proxy."""

import socket
import struct
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from tests.support.wire import ClosedError, Err, WireClient, err, packet

PREPARE, EXECUTE, LONG_DATA, CLOSE, RESET, FETCH = 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1C
TINY, SHORT, LONG, FLOAT, DOUBLE, NULL, TIMESTAMP, LONGLONG, INT24, DATE, TIME, DATETIME, YEAR = range(1, 14)
NEWDECIMAL, BLOB, VAR_STRING, STRING = 246, 252, 253, 254
UNSIGNED = 0x80
# The number that stands for the statement prepared last.
LAST = 0xFFFFFFFF
CURSOR_EXISTS, LAST_ROW_SENT, MORE_RESULTS = 0x40, 0x80, 0x08
_WIDTHS = {TINY: 1, SHORT: 2, YEAR: 2, LONG: 4, INT24: 4, FLOAT: 4, LONGLONG: 8, DOUBLE: 8}
_MOMENTS = (DATE, DATETIME, TIMESTAMP)


class Parameter(NamedTuple):
    """A parameter: its type, the bytes of its value (None for NULL) without a length in front, and whether it is unsigned."""

    type: int
    raw: bytes | None
    unsigned: bool = False


class Column(NamedTuple):
    """A column of a result."""

    name: str
    type: int
    flags: int
    charset: int = 0
    decimals: int = 0
    table: str = ""


class Statement(NamedTuple):
    """What a server has said of a statement that was prepared."""

    id: int
    parameters: list[Column]
    columns: list[Column]


class Result(NamedTuple):
    """An answer: rows as raw values of the binary protocol, or the counts of an OK."""

    columns: list[Column]
    rows: list[tuple[bytes | None, ...]]
    affected: int = 0
    insert_id: int = 0
    status: int = 0
    warnings: int = 0
    info: bytes = b""


def integer(value: int, kind: int = LONGLONG, *, unsigned: bool = False) -> Parameter:
    """An integer of a type."""
    return Parameter(kind, value.to_bytes(_WIDTHS[kind], "little", signed=not unsigned), unsigned)


def double(value: float) -> Parameter:
    """A double."""
    return Parameter(DOUBLE, struct.pack("<d", value))


def text(value: str | bytes) -> Parameter:
    """A string in the connection's character set."""
    return Parameter(VAR_STRING, value.encode() if isinstance(value, str) else value)


def blob(value: bytes) -> Parameter:
    """A byte string."""
    return Parameter(BLOB, value)


def null(kind: int = NULL) -> Parameter:
    """NULL, of whatever type."""
    return Parameter(kind, None)


def moment(value: str, kind: int = DATETIME) -> Parameter:
    """A date, or a date with a time, from its text."""
    date, _, clock = value.partition(" ")
    year, month, day = (int(part) for part in date.split("-"))
    raw = struct.pack("<HBB", year, month, day)
    if clock:
        whole, _, fraction = clock.partition(".")
        raw += bytes(int(part) for part in whole.split(":"))
        if fraction:
            raw += int(fraction.ljust(6, "0")).to_bytes(4, "little")
    return Parameter(kind, raw)


def duration(value: str) -> Parameter:
    """A TIME from its text."""
    whole, _, fraction = value.lstrip("-").partition(".")
    hours, minutes, seconds = (int(part) for part in whole.split(":"))
    raw = struct.pack("<BIBBB", value.startswith("-"), hours // 24, hours % 24, minutes, seconds)
    return Parameter(TIME, raw + (int(fraction.ljust(6, "0")).to_bytes(4, "little") if fraction else b""))


def execute_payload(
    number: int, parameters: Sequence[Parameter], *, flags: int = 0, bound: bool = True, sent: Collection[int] = ()
) -> bytes:
    """COM_STMT_EXECUTE; without `bound` the types of the execution before are meant. The values of those in `sent` came as long data."""
    head = bytes((EXECUTE,)) + number.to_bytes(4, "little") + bytes((flags,)) + b"\x01\0\0\0"
    if not parameters:
        return head
    nulls = bytearray((len(parameters) + 7) // 8)
    types = values = b""
    for i, parameter in enumerate(parameters):
        types += bytes((parameter.type, UNSIGNED if parameter.unsigned else 0))
        if i in sent:
            continue
        if parameter.raw is None:
            nulls[i // 8] |= 1 << i % 8
        elif parameter.type in _WIDTHS:
            assert len(parameter.raw) == _WIDTHS[parameter.type]
            values += parameter.raw
        elif parameter.type in (*_MOMENTS, TIME):
            values += bytes((len(parameter.raw),)) + parameter.raw
        else:
            values += length_encoded(parameter.raw)
    return head + bytes(nulls) + (b"\x01" + types if bound else b"\0") + values


def length_encoded(raw: bytes) -> bytes:
    """A byte string with its length in front."""
    size = len(raw)
    if size < 251:
        return bytes((size,)) + raw
    width, mark = (2, b"\xfc") if size < 1 << 16 else (3, b"\xfd") if size < 1 << 24 else (8, b"\xfe")
    return mark + size.to_bytes(width, "little") + raw


class BinaryClient(WireClient):
    """A client that prepares. What is refused is given back as `Err`."""

    def _set_up(self, connected: socket.socket) -> None:
        super()._set_up(connected)
        if connected.family != socket.AF_UNIX:
            # A command without an answer would hold back the next one.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def prepare(self, sql: str | bytes) -> Statement | Err:
        """COM_STMT_PREPARE."""
        self.send_packet(bytes((PREPARE,)) + (sql.encode() if isinstance(sql, str) else sql))
        return self.read_prepared()

    def read_prepared(self) -> Statement | Err:
        """The answer to one COM_STMT_PREPARE."""
        head = self.read_packet()
        if head[:1] == b"\xff":
            return err(head)
        number, columns, parameters = struct.unpack_from("<IHH", head, 1)
        return Statement(number, self._definitions(parameters), self._definitions(columns))

    def _definitions(self, count: int) -> list[Column]:
        found = [column(self.read_packet()) for _ in range(count)]
        if count:
            assert self.read_packet()[:1] == b"\xfe"
        return found

    def execute(self, number: int, parameters: Sequence[Parameter] = (), **options: Any) -> Result | Err:
        """COM_STMT_EXECUTE, and the one answer to it; `options` are those of `execute_payload`."""
        self.send_packet(execute_payload(number, parameters, **options))
        return self.read_binary()

    def run(self, sql: str | bytes, parameters: Sequence[Parameter] = ()) -> Result | Err:
        """Prepare, execute once, close."""
        made = self.prepare(sql)
        if isinstance(made, Err):
            return made
        answer = self.execute(made.id, parameters)
        self.close_statement(made.id)
        return answer

    def values(self, sql: str | bytes, parameters: Sequence[Parameter] = ()) -> list[tuple[object, ...]]:
        """The same for rows, decoded; raises AssertionError for an error."""
        answer = self.run(sql, parameters)
        assert isinstance(answer, Result), answer
        return decoded(answer)

    def read_binary(self) -> Result | Err:
        """One answer in the binary form. Where a cursor was opened there are no rows in it."""
        first = self.read_packet()
        if first[:1] == b"\xff":
            return err(first)
        if first[:1] == b"\0":
            return self._ok(first)
        count, _ = _length(first, 0)
        columns = [column(self.read_packet()) for _ in range(count)]
        end = self.read_packet()
        assert end[:1] == b"\xfe", end
        self.status = int.from_bytes(end[3:5], "little")
        if self.status & CURSOR_EXISTS:
            return Result(columns, [], status=self.status)
        rows = []
        while True:
            payload = self.read_packet()
            if payload[:1] == b"\xfe" and len(payload) < 9:
                self.status = int.from_bytes(payload[3:5], "little")
                return Result(columns, rows, status=self.status, warnings=int.from_bytes(payload[1:3], "little"))
            if payload[:1] == b"\xff":
                return err(payload)
            rows.append(binary_row(payload, columns))

    def _ok(self, payload: bytes) -> Result:
        affected, at = _length(payload, 1)
        insert_id, at = _length(payload, at)
        self.status, warnings = struct.unpack_from("<HH", payload, at)
        info = payload[at + 5 :] if len(payload) > at + 4 else b""
        return Result([], [], affected, insert_id, self.status, warnings, info)

    def fetch(self, statement: Statement, columns: Sequence[Column], count: int) -> tuple[list[tuple[bytes | None, ...]], int] | Err:
        """COM_STMT_FETCH: rows, and the status behind them."""
        self.send_packet(bytes((FETCH,)) + statement.id.to_bytes(4, "little") + count.to_bytes(4, "little"))
        rows = []
        while True:
            payload = self.read_packet()
            if payload[:1] == b"\xff":
                return err(payload)
            if payload[:1] == b"\xfe" and len(payload) < 9:
                return rows, int.from_bytes(payload[3:5], "little")
            rows.append(binary_row(payload, columns))

    def long_data(self, number: int, parameter: int, data: bytes) -> None:
        """COM_STMT_SEND_LONG_DATA, which nothing answers."""
        self.send_packet(long_data_payload(number, parameter, data))

    def close_statement(self, number: int) -> None:
        """COM_STMT_CLOSE, which nothing answers."""
        self.send_packet(bytes((CLOSE,)) + number.to_bytes(4, "little"))

    def reset_statement(self, number: int) -> Result | Err:
        """COM_STMT_RESET."""
        self.send_packet(bytes((RESET,)) + number.to_bytes(4, "little"))
        return self.read_binary()

    def send_glued(self, *payloads: bytes) -> None:
        """Several commands in one segment."""
        self.send(b"".join(packet(payload) for payload in payloads))

    def closed_or_error(self) -> Err | None:
        """What came of a command that must not succeed: an error, or None where the connection was closed instead."""
        try:
            return err(self.read_packet())
        except ClosedError:
            return None


def long_data_payload(number: int, parameter: int, data: bytes) -> bytes:
    """COM_STMT_SEND_LONG_DATA."""
    return bytes((LONG_DATA,)) + number.to_bytes(4, "little") + parameter.to_bytes(2, "little") + data


def binary_row(payload: bytes, columns: Sequence[Column]) -> tuple[bytes | None, ...]:
    """The raw values of a binary row, without their lengths; it must end where its last value does."""
    assert payload[:1] == b"\0", payload[:20]
    at = 1 + (len(columns) + 9) // 8
    nulls = payload[1:at]
    values: list[bytes | None] = []
    for i, one in enumerate(columns):
        if nulls[(i + 2) // 8] >> (i + 2) % 8 & 1:
            values.append(None)
            continue
        if one.type in _WIDTHS:
            size = _WIDTHS[one.type]
        elif one.type in (*_MOMENTS, TIME):
            size, at = payload[at], at + 1
        else:
            size, at = _length(payload, at)
        assert at + size <= len(payload)
        values.append(payload[at : at + size])
        at += size
    assert at == len(payload), (payload, columns)
    return tuple(values)


def decoded(result: Result) -> list[tuple[object, ...]]:
    """The rows as Python values: numbers as numbers, moments as their text, the rest as bytes."""
    return [tuple(value_of(one, raw) for one, raw in zip(result.columns, row, strict=True)) for row in result.rows]


def value_of(one: Column, raw: bytes | None) -> object:
    """One value."""
    if raw is None:
        return None
    if one.type == DOUBLE:
        return struct.unpack("<d", raw)[0]
    if one.type == FLOAT:
        return struct.unpack("<f", raw)[0]
    if one.type in _WIDTHS:
        return int.from_bytes(raw, "little", signed=not one.flags & 0x20)
    if one.type in _MOMENTS:
        year, month, day, hour, minute, second, micro = struct.unpack("<HBBBBBI", raw.ljust(11, b"\0"))
        date = f"{year:04d}-{month:02d}-{day:02d}"
        return date if one.type == DATE else f"{date} {hour:02d}:{minute:02d}:{second:02d}.{micro:06d}"
    if one.type == TIME:
        negative, days, hour, minute, second, micro = struct.unpack("<BIBBBI", raw.ljust(12, b"\0"))
        return f"{'-' if negative else ''}{days * 24 + hour:02d}:{minute:02d}:{second:02d}.{micro:06d}"
    return raw


def column(payload: bytes) -> Column:
    """A column definition."""
    at = 0
    names = []
    for _ in range(6):
        size, at = _length(payload, at)
        names.append(payload[at : at + size].decode("utf-8", "replace"))
        at += size
    charset, _, kind, flags, decimals = struct.unpack_from("<HIBHB", payload, at + 1)
    return Column(names[4], kind, flags, charset, decimals, names[2])


def _length(payload: bytes, at: int) -> tuple[int, int]:
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(payload[at], 0)
    if not width:
        return payload[at], at + 1
    return int.from_bytes(payload[at + 1 : at + 1 + width], "little"), at + 1 + width
