"""Text result sets: column definitions and rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from shardproxy.protocol.flags import BINARY_CHARSET, ColumnType
from shardproxy.protocol.framing import encode_packet, packet_count
from shardproxy.protocol.packets import EofPacket, build_eof
from shardproxy.protocol.wire_types import (
    MalformedPacket,
    lenenc_bytes,
    lenenc_int,
    read_fixed,
    read_int,
    read_lenenc_bytes,
    read_lenenc_int,
)

Row = tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """Protocol::ColumnDefinition41: what a client is told of one column of a result. `default` is only there in the answer to
    COM_FIELD_LIST: the column's default, encoded as in a text row."""

    name: bytes
    type: int
    charset: int = 45
    length: int = 0
    flags: int = 0
    decimals: int = 0
    schema: bytes = b""
    table: bytes = b""
    org_table: bytes = b""
    org_name: bytes = b""
    default: bytes | None = None

    def renamed(self, name: bytes) -> ColumnDefinition:
        """The same column under another name."""
        return replace(self, name=name)

    def in_schema(self, schema: bytes) -> ColumnDefinition:
        """The same column as if it were of another schema."""
        return _in_schema(self, schema)

    @property
    def is_binary(self) -> bool:
        """True for byte strings and for everything that is not a string."""
        return self.charset == BINARY_CHARSET


@lru_cache(maxsize=4096)
def _in_schema(column: ColumnDefinition, schema: bytes) -> ColumnDefinition:
    return replace(column, schema=schema)


@lru_cache(maxsize=4096)
def build_column(column: ColumnDefinition) -> bytes:
    """Payload of a column definition packet."""
    parts = [
        b"\x03def",
        lenenc_bytes(column.schema),
        lenenc_bytes(column.table),
        lenenc_bytes(column.org_table),
        lenenc_bytes(column.name),
        lenenc_bytes(column.org_name),
        b"\x0c",
        column.charset.to_bytes(2, "little"),
        column.length.to_bytes(4, "little"),
        bytes((column.type,)),
        column.flags.to_bytes(2, "little"),
        bytes((column.decimals,)),
        b"\0\0",
    ]
    if column.default is not None:
        parts.append(column.default)
    return b"".join(parts)


@lru_cache(maxsize=4096)
def parse_column(payload: bytes) -> ColumnDefinition:
    """Decode a column definition packet. The same statement brings the same ones again, so they are remembered."""
    _, pos = read_lenenc_bytes(payload, 0)
    schema, pos = read_lenenc_bytes(payload, pos)
    table, pos = read_lenenc_bytes(payload, pos)
    org_table, pos = read_lenenc_bytes(payload, pos)
    name, pos = read_lenenc_bytes(payload, pos)
    org_name, pos = read_lenenc_bytes(payload, pos)
    fixed, pos = read_lenenc_int(payload, pos)
    if fixed < 12:
        raise MalformedPacket("a column definition is cut short")
    raw, behind = read_fixed(payload, pos, 12)
    charset, _ = read_int(raw, 0, 2)
    length, _ = read_int(raw, 2, 4)
    flags, _ = read_int(raw, 7, 2)
    return ColumnDefinition(name, raw[6], charset, length, flags, raw[9], schema, table, org_table, org_name, payload[behind:] or None)


def parse_row(payload: bytes, columns: int) -> Row:
    """Decode a text row of `columns` values; NULL is None."""
    values: list[bytes | None] = []
    pos = 0
    size = len(payload)
    for _ in range(columns):
        if pos >= size:
            raise MalformedPacket("a row has too few values")
        first = payload[pos]
        if first < 0xFB:
            end = pos + 1 + first
            if end > size:
                raise MalformedPacket("a value is longer than its row")
            values.append(payload[pos + 1 : end])
            pos = end
        elif first == 0xFB:
            values.append(None)
            pos += 1
        else:
            value, pos = read_lenenc_bytes(payload, pos)
            values.append(value)
    return tuple(values)


def parse_row_until(payload: bytes, columns: int, visible: int) -> tuple[Row, int]:
    """Decode a text row, and tell where in its payload the first `visible` values end."""
    values: list[bytes | None] = []
    pos = cut = 0
    size = len(payload)
    for index in range(columns):
        if index == visible:
            cut = pos
        if pos >= size:
            raise MalformedPacket("a row has too few values")
        first = payload[pos]
        if first < 0xFB:
            end = pos + 1 + first
            values.append(payload[pos + 1 : end])
            pos = end
        elif first == 0xFB:
            values.append(None)
            pos += 1
        else:
            value, pos = read_lenenc_bytes(payload, pos)
            values.append(value)
    if pos != size:
        raise MalformedPacket("a row is longer or shorter than its values")
    return tuple(values), cut if visible < columns else size


def build_row(values: Iterable[bytes | None]) -> bytes:
    """Payload of a text row."""
    parts = []
    for value in values:
        if value is None:
            parts.append(b"\xfb")
            continue
        n = len(value)
        parts.append(bytes((n,)) if n < 251 else lenenc_int(n))
        parts.append(value)
    return b"".join(parts)


def encode_header(columns: Sequence[ColumnDefinition], status: int, sequence: int = 1) -> tuple[bytes, int]:
    """The packets from the column count to the EOF behind the columns; gives them and the next sequence number."""
    packets = [encode_packet(lenenc_int(len(columns)), sequence)]
    for offset, column in enumerate(columns, 1):
        packets.append(encode_packet(build_column(column), sequence + offset))
    sequence += len(columns) + 1
    packets.append(encode_packet(build_eof(EofPacket(0, status)), sequence))
    return b"".join(packets), sequence + 1


def encode_result(
    columns: Sequence[ColumnDefinition],
    rows: Iterable[Iterable[bytes | None]],
    status: int,
    sequence: int = 1,
    warnings: int = 0,
) -> bytes:
    """A whole small result set, from the column count to the last EOF."""
    header, sequence = encode_header(columns, status, sequence)
    packets = [header]
    for row in rows:
        payload = build_row(row)
        packets.append(encode_packet(payload, sequence))
        sequence += packet_count(len(payload))
    packets.append(encode_packet(build_eof(EofPacket(warnings, status)), sequence))
    return b"".join(packets)


def string_column(name: str, length: int = 1024) -> ColumnDefinition:
    """A column of strings that the proxy itself fills in."""
    return ColumnDefinition(name.encode(), ColumnType.VAR_STRING, length=length)


def integer_column(name: str) -> ColumnDefinition:
    """A column of 64-bit integers that the proxy itself fills in."""
    return ColumnDefinition(name.encode(), ColumnType.LONGLONG, charset=BINARY_CHARSET, length=21, flags=0x81)
