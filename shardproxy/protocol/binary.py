"""The binary protocol of prepared statements: parameters in, rows out.

Layouts are those of the MySQL manual ("Binary Protocol Resultset", "COM_STMT_EXECUTE"). A parameter's value is kept as the
bytes in which it came, without a length in front, so that it can be passed on as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from shardproxy.errors import BACKEND_PROTOCOL, ProxyError
from shardproxy.protocol.flags import ColumnType
from shardproxy.protocol.resultset import ColumnDefinition, Row, parse_row
from shardproxy.protocol.wire_types import MalformedPacket, lenenc_bytes, read_lenenc_bytes

UNSIGNED: Final = 0x80
BLOB: Final = 252
# COM_STMT_EXECUTE: command, statement id, flags, iteration count.
HEAD_BYTES: Final = 10
_SIZES: Final[dict[int, int]] = {1: 1, 2: 2, 13: 2, 3: 4, 9: 4, 4: 4, 8: 8, 5: 8}
_PREFIXED: Final = frozenset((ColumnType.DATE, ColumnType.TIME, ColumnType.DATETIME, ColumnType.TIMESTAMP))
_INTEGER_TYPES: Final = frozenset((1, 2, 3, 8, 9, 13))
_TEMPORAL: Final = frozenset((7, 10, 12))

# A value as it came, or None for NULL.
Values = list[bytes | None]


def parse_parameters(payload: bytes, count: int, known_types: bytes, long_data: Mapping[int, bytes]) -> tuple[bytes, Values]:
    """The types (two bytes each) and values of a COM_STMT_EXECUTE with `count` parameters.

    `known_types` are those of the execution before, which a client need not repeat. A parameter in `long_data` was sent
    before and has no value here. Raises `MalformedPacket`.
    """
    values: Values = []
    if not count:
        return b"", values
    size = len(payload)
    pos = HEAD_BYTES + (count + 7) // 8
    if pos >= size:
        raise MalformedPacket("the parameters are missing")
    nulls = payload[HEAD_BYTES:pos]
    types = known_types
    bound = payload[pos]
    pos += 1
    if bound:
        types = payload[pos : pos + 2 * count]
        pos += 2 * count
    if len(types) != 2 * count or pos > size:
        raise MalformedPacket("the parameters have no types")
    for i in range(count):
        kind = types[2 * i]
        if i in long_data:
            values.append(long_data[i])
            continue
        if nulls[i >> 3] >> (i & 7) & 1 or kind == 6:
            values.append(None)
            continue
        width = _SIZES.get(kind, 0)
        if width:
            end = pos + width
            values.append(payload[pos:end])
        elif kind in (7, 10, 11, 12):
            end = pos + 1 + (payload[pos] if pos < size else 1)
            values.append(payload[pos + 1 : end])
        else:
            value, end = read_lenenc_bytes(payload, pos)
            values.append(value)
        if end > size:
            raise MalformedPacket("a parameter is cut short")
        pos = end
    return types, values


def renumbered_execute(payload: bytes, statement_id: int, types: bytes) -> bytes:
    """The payload of a COM_STMT_EXECUTE for another number of the same statement, without a cursor; types are repeated."""
    head = b"\x17" + statement_id.to_bytes(4, "little") + b"\0\x01\0\0\0"
    if not types:
        return head
    values = HEAD_BYTES + (len(types) // 2 + 7) // 8
    behind = values + 1 + (len(types) if payload[values] else 0)
    return head + payload[HEAD_BYTES:values] + b"\x01" + types + payload[behind:]


def build_execute(statement_id: int, flags: int, types: bytes, values: Sequence[bytes | None], order: Sequence[int]) -> bytes:
    """Payload of a COM_STMT_EXECUTE whose i-th parameter is number `order[i]` of `values`; types are always repeated."""
    head = b"\x17" + statement_id.to_bytes(4, "little") + bytes((flags,)) + b"\x01\0\0\0"
    if not order:
        return head
    nulls = bytearray((len(order) + 7) // 8)
    bound = bytearray()
    parts = [head, b"", b"\x01", b""]
    for i, number in enumerate(order):
        value = values[number]
        kind = types[2 * number]
        bound.append(kind)
        bound.append(types[2 * number + 1])
        if value is None:
            nulls[i >> 3] |= 1 << (i & 7)
        elif kind in _SIZES:
            parts.append(value)
        elif kind in _PREFIXED:
            parts.append(bytes((len(value),)) + value)
        else:
            parts.append(lenenc_bytes(value))
    parts[1] = bytes(nulls)
    parts[3] = bytes(bound)
    return b"".join(parts)


def types_with_long_data(types: bytes, numbers: Iterable[int]) -> bytes:
    """The types, with those of parameters that were sent as long data made byte strings where they have a fixed form."""
    result = bytearray(types)
    for number in numbers:
        kind = result[2 * number]
        if kind in _SIZES or kind in _PREFIXED or kind == ColumnType.NULL:
            result[2 * number] = BLOB
    return bytes(result)


def row_encoder(columns: Sequence[ColumnDefinition]) -> Callable[[bytes], bytes]:
    """The function that turns the payload of a text row into that of a binary row."""
    encoders = [_encoder(column) for column in columns]
    width = len(columns)
    bitmap = (width + 9) // 8

    def encode(payload: bytes) -> bytes:
        row: Row = parse_row(payload, width)
        nulls = bytearray(bitmap)
        parts = [b"\0", b""]
        for i, value in enumerate(row):
            if value is None:
                nulls[(i + 2) >> 3] |= 1 << ((i + 2) & 7)
            else:
                try:
                    parts.append(encoders[i](value))
                except (ValueError, OverflowError, struct.error):
                    raise ProxyError(BACKEND_PROTOCOL, "a server sent a value that is not of its column's type") from None
        parts[1] = bytes(nulls)
        return b"".join(parts)

    return encode


def _encoder(column: ColumnDefinition) -> Callable[[bytes], bytes]:
    kind = column.type
    width = _SIZES.get(kind, 0)
    if kind in _INTEGER_TYPES:
        limit = 1 << 8 * width
        return lambda raw: (int(raw) % limit).to_bytes(width, "little")
    if kind == ColumnType.FLOAT:
        return lambda raw: struct.pack("<f", float(raw))
    if kind == ColumnType.DOUBLE:
        return lambda raw: struct.pack("<d", float(raw))
    if kind in _TEMPORAL:
        return _moment
    return _time if kind == ColumnType.TIME else lenenc_bytes


def _moment(raw: bytes) -> bytes:
    """DATE, DATETIME and TIMESTAMP: as many parts as are not zero."""
    date, _, clock = raw.partition(b" ")
    year, month, day = (int(part) for part in date.split(b"-"))
    body = year.to_bytes(2, "little") + bytes((month, day))
    whole, _, fraction = clock.partition(b".")
    hours, minutes, seconds = (int(part) for part in whole.split(b":")) if whole else (0, 0, 0)
    micro = int(fraction.ljust(6, b"0")[:6]) if fraction else 0
    if micro:
        body += bytes((hours, minutes, seconds)) + micro.to_bytes(4, "little")
    elif hours or minutes or seconds:
        body += bytes((hours, minutes, seconds))
    elif not (year or month or day):
        body = b""
    return bytes((len(body),)) + body


def _time(raw: bytes) -> bytes:
    negative = raw[:1] == b"-"
    whole, _, fraction = raw.lstrip(b"-").partition(b".")
    hours, minutes, seconds = (int(part) for part in whole.split(b":"))
    micro = int(fraction.ljust(6, b"0")[:6]) if fraction else 0
    if not (hours or minutes or seconds or micro):
        return b"\0"
    body = bytes((negative,)) + (hours // 24).to_bytes(4, "little") + bytes((hours % 24, minutes, seconds))
    if micro:
        body += micro.to_bytes(4, "little")
    return bytes((len(body),)) + body
