"""Parameters of prepared statements as SQL literals, and where they stand in a statement's shape."""

from __future__ import annotations

import re
import struct
from typing import Final

from shardproxy.errors import WRONG_ARGUMENTS, ProxyError
from shardproxy.protocol.flags import ColumnType
from shardproxy.protocol.wire_types import MalformedPacket

_INTEGERS: Final = frozenset((1, 2, 3, 8, 9, 13))
_BLOBS: Final = frozenset((249, 250, 251, 252))
_DECIMAL: Final = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_UNSIGNED: Final = 0x80
_COUNT_CLAUSE: Final = re.compile(rb"\b(?:LIMIT|OFFSET)\s*(\?)(?:\s*(?:,|OFFSET)\s*(\?))?", re.IGNORECASE)
# Doubles up to here are whole numbers without doubt.
_EXACT: Final = 1 << 53


def literal(kind: int, flags: int, raw: bytes | None) -> bytes:
    """A parameter's value as an SQL literal of the same type and value; `raw` are its bytes in the binary protocol.

    Raises `MalformedPacket` for bytes that are no value of the type.
    """
    if raw is None:
        return b"NULL"
    if kind in _INTEGERS:
        return b"%d" % int.from_bytes(raw, "little", signed=not flags & _UNSIGNED)
    if kind == ColumnType.DOUBLE:
        return _double(struct.unpack("<d", raw)[0])
    if kind == ColumnType.FLOAT:
        return _double(struct.unpack("<f", raw)[0])
    if kind in (ColumnType.DATE, ColumnType.DATETIME, ColumnType.TIMESTAMP):
        return b"'" + _moment(kind, raw) + b"'"
    if kind == ColumnType.TIME:
        return b"'" + _time(raw) + b"'"
    if kind in (ColumnType.NEWDECIMAL, ColumnType.DECIMAL):
        return raw if _DECIMAL.fullmatch(raw) else quoted(raw)
    if kind in _BLOBS or kind == ColumnType.BIT:
        return b"_binary" + quoted(raw)
    return quoted(raw)


def quoted(raw: bytes) -> bytes:
    """A byte string in the connection's character set as a literal (backslash escapes on)."""
    return b"'" + raw.replace(b"\\", b"\\\\").replace(b"'", b"''").replace(b"\0", b"\\0") + b"'"


def count_literal(value: bytes) -> bytes:
    """A literal behind LIMIT or OFFSET as the whole number that a server takes it for."""
    if value.isdigit():
        return value
    bare = value.strip(b"'")
    if bare.isdigit() or not _DECIMAL.fullmatch(bare):
        return bare if bare.isdigit() else value
    number = float(bare)
    return b"%d" % int(number) if abs(number) < 1e18 else value


def count_marks(shape: bytes) -> frozenset[int]:
    """The numbers of the marks that stand behind LIMIT and OFFSET."""
    found = set()
    marks = seen = 0
    for match in _COUNT_CLAUSE.finditer(shape):
        for group in (1, 2):
            at = match.start(group)
            if at >= 0:
                marks += shape.count(b"?", seen, at)
                seen = at
                found.add(marks)
    return frozenset(found)


def _double(value: float) -> bytes:
    if value != value or value in (float("inf"), float("-inf")):
        raise ProxyError(WRONG_ARGUMENTS, "Incorrect arguments to mysqld_stmt_execute", plain=True)
    text = repr(value)
    if "e" not in text and value == int(value) and abs(value) < _EXACT:
        return b"%de0" % int(value)
    return (text if "e" in text else text + "e0").encode()


def _moment(kind: int, raw: bytes) -> bytes:
    if len(raw) not in (0, 4, 7, 11):
        raise MalformedPacket("a parameter is no date")
    padded = raw.ljust(11, b"\0")
    year = padded[0] | padded[1] << 8
    date = b"%04d-%02d-%02d" % (year, padded[2], padded[3])
    if kind == ColumnType.DATE:
        return date
    text = b"%s %02d:%02d:%02d" % (date, padded[4], padded[5], padded[6])
    micro = int.from_bytes(padded[7:11], "little")
    return text + (b".%06d" % micro if micro else b"")


def _time(raw: bytes) -> bytes:
    if len(raw) not in (0, 8, 12):
        raise MalformedPacket("a parameter is no time")
    padded = raw.ljust(12, b"\0")
    hours = int.from_bytes(padded[1:5], "little") * 24 + padded[5]
    text = b"%s%02d:%02d:%02d" % (b"-" if padded[0] else b"", hours, padded[6], padded[7])
    micro = int.from_bytes(padded[8:12], "little")
    return text + (b".%06d" % micro if micro else b"")
