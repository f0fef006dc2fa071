"""Values of key columns: out of a row image, and into SQL.

What a value looks like in the log is told by the table map; its sign, character set and padding only by the layout.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from typing import Final

from migrate.binlog import column_types as types
from migrate.binlog.changes import Value
from migrate.binlog.errors import LayoutMismatch
from migrate.binlog.layout import ColumnLayout

# Takes the event and where the value's bytes begin and end.
Decoder = Callable[[bytes, int, int], Value]

_NEVER: Final = b"0000-00-00 00:00:00"


def literal(value: Value, column: ColumnLayout) -> bytes:
    """SQL that equals the value exactly, in a session with `time_zone = '+00:00'` and an empty `sql_mode`."""
    if value is None:
        return b"NULL"
    kind = column.data_type
    if isinstance(value, int):
        return b"'%04d'" % value if kind == "year" else b"%d" % value
    if kind == "decimal":
        return value
    if kind in types.TEXTUAL:
        return b"'%s'" % value
    if kind in types.STRINGS:
        return b"_%s x'%s'" % (column.charset.encode(), value.hex().encode())
    if kind in types.BINARIES:
        return b"x'%s'" % value.hex().encode()
    raise LayoutMismatch(f"column {column.name} of type {column.column_type} has no literals")


def decoder(column: ColumnLayout, logged: types.LoggedColumn) -> Decoder:
    """How to read this key column's values."""
    kind = column.data_type
    if kind in types.INTEGER_BYTES:
        return _integer(types.INTEGER_BYTES[kind], signed=not column.unsigned)
    if kind in types.STRINGS:
        return _bytes
    if kind == "binary":
        return _padded(column.octets)
    if kind in types.BINARIES:
        return _bytes
    if kind == "decimal":
        return _decimal(logged.metadata[0], logged.metadata[1])
    if kind in ("uuid", "inet6", "inet4"):
        return _address(kind)
    if kind == "year":
        return _year
    if kind == "bit":
        return _bit(logged.fixed)
    return _temporal(column, logged)


def _temporal(column: ColumnLayout, logged: types.LoggedColumn) -> Decoder:
    if logged.type in (types.DATE, types.NEWDATE):
        return _date
    if logged.type in (types.TIMESTAMP2, types.DATETIME2, types.TIME2):
        digits = logged.metadata[0]
        return {types.TIMESTAMP2: _timestamp, types.DATETIME2: _datetime, types.TIME2: _time}[logged.type](digits)
    if column.fraction:
        raise LayoutMismatch(f"column {column.name} holds times in an old format; run ALTER TABLE … FORCE with mysql56_temporal_format=ON")
    return {types.TIMESTAMP: _old_timestamp, types.DATETIME: _old_datetime, types.TIME: _old_time}[logged.type]


def _integer(width: int, *, signed: bool) -> Decoder:
    def unsigned_value(data: bytes, pos: int, end: int) -> Value:
        return int.from_bytes(data[pos : pos + width], "little")

    def signed_value(data: bytes, pos: int, end: int) -> Value:
        return int.from_bytes(data[pos : pos + width], "little", signed=True)

    return signed_value if signed else unsigned_value


def _bytes(data: bytes, pos: int, end: int) -> Value:
    return data[pos:end]


def _padded(width: int) -> Decoder:
    """BINARY(n) is logged without its zeros at the end."""

    def value(data: bytes, pos: int, end: int) -> Value:
        return data[pos:end].ljust(width, b"\0")

    return value


def _year(data: bytes, pos: int, end: int) -> Value:
    year = data[pos]
    return year + 1900 if year else 0


def _bit(width: int) -> Decoder:
    def value(data: bytes, pos: int, end: int) -> Value:
        return int.from_bytes(data[pos : pos + width], "big")

    return value


def _decimal(precision: int, scale: int) -> Decoder:
    """Groups of nine digits, big endian, in an order that sorts as bytes: the sign bit turned round, negative ones inverted."""
    width = types.decimal_bytes(precision, scale)
    whole_bytes = types.decimal_bytes(precision - scale, 0)
    sign = 1 << (width * 8 - 1)

    def digits(raw: bytes, count: int, *, fraction: bool) -> bytes:
        # An incomplete group is the first one of the whole part, and the last one of the fraction.
        first = 0 if fraction else count % 9
        sizes = [n for n in (first, *[9] * (count // 9), count % 9 if fraction else 0) if n]
        parts = []
        at = 0
        for size in sizes:
            n = types.decimal_bytes(size, 0)
            parts.append(b"%0*d" % (size, int.from_bytes(raw[at : at + n], "big")))
            at += n
        return b"".join(parts)

    def value(data: bytes, pos: int, end: int) -> Value:
        number = int.from_bytes(data[pos : pos + width], "big") ^ sign
        negative = bool(number & sign)
        if negative:
            number ^= (sign << 1) - 1
        raw = number.to_bytes(width, "big")
        text = digits(raw[:whole_bytes], precision - scale, fraction=False).lstrip(b"0") or b"0"
        if scale:
            text += b"." + digits(raw[whole_bytes:], scale, fraction=True)
        return b"-" + text if negative else text

    return value


def _date(data: bytes, pos: int, end: int) -> Value:
    packed = int.from_bytes(data[pos : pos + 3], "little")
    return b"%04d-%02d-%02d" % (packed >> 9, packed >> 5 & 15, packed & 31)


def _fraction(raw: int, digits: int) -> bytes:
    """`raw` counts hundredths, ten thousandths or millionths, whichever holds the digits."""
    return b".%0*d" % (digits, raw // 10 if digits & 1 else raw) if digits else b""


def _datetime(digits: int) -> Decoder:
    extra = types.fraction_bytes(digits)

    def value(data: bytes, pos: int, end: int) -> Value:
        packed = int.from_bytes(data[pos : pos + 5], "big") - 0x8000000000
        months = packed >> 22
        text = b"%04d-%02d-%02d %02d:%02d:%02d" % (
            months // 13,
            months % 13,
            packed >> 17 & 31,
            packed >> 12 & 31,
            packed >> 6 & 63,
            packed & 63,
        )
        return text + _fraction(int.from_bytes(data[pos + 5 : pos + 5 + extra], "big"), digits)

    return value


def _time(digits: int) -> Decoder:
    extra = types.fraction_bytes(digits)
    zero = 1 << (extra * 8 + 23)
    mask = (1 << extra * 8) - 1

    def value(data: bytes, pos: int, end: int) -> Value:
        # Seconds and fraction are one number, so a negative time has its sign over both.
        packed = int.from_bytes(data[pos : pos + 3 + extra], "big") - zero
        sign = b"-" if packed < 0 else b""
        packed = abs(packed)
        whole = packed >> extra * 8
        text = b"%s%02d:%02d:%02d" % (sign, whole >> 12 & 0x3FF, whole >> 6 & 63, whole & 63)
        return text + _fraction(packed & mask, digits)

    return value


def _utc(seconds: int) -> bytes:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)).encode()


def _timestamp(digits: int) -> Decoder:
    extra = types.fraction_bytes(digits)

    def value(data: bytes, pos: int, end: int) -> Value:
        seconds = int.from_bytes(data[pos : pos + 4], "big")
        part = int.from_bytes(data[pos + 4 : pos + 4 + extra], "big")
        # The zero date has no instant, and takes the number of one that no column can hold.
        return (_utc(seconds) if seconds or part else _NEVER) + _fraction(part, digits)

    return value


def _old_timestamp(data: bytes, pos: int, end: int) -> Value:
    seconds = int.from_bytes(data[pos : pos + 4], "little")
    return _utc(seconds) if seconds else _NEVER


def _old_datetime(data: bytes, pos: int, end: int) -> Value:
    text = b"%014d" % int.from_bytes(data[pos : pos + 8], "little")
    return b"%s-%s-%s %s:%s:%s" % (text[:-10], text[-10:-8], text[-8:-6], text[-6:-4], text[-4:-2], text[-2:])


def _old_time(data: bytes, pos: int, end: int) -> Value:
    packed = int.from_bytes(data[pos : pos + 3], "little", signed=True)
    text = b"%06d" % abs(packed)
    return b"%s%s:%s:%s" % (b"-" if packed < 0 else b"", text[:-4], text[-4:-2], text[-2:])


def _address(kind: str) -> Decoder:
    """MariaDB's UUID, INET6 and INET4, as their text. Zeros at the end are left out as those of BINARY are.

    A UUID's parts are in the order of its text here, in whichever order the table keeps them.
    """

    def uuid(data: bytes, pos: int, end: int) -> Value:
        text = data[pos:end].ljust(16, b"\0").hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()

    def inet6(data: bytes, pos: int, end: int) -> Value:
        return str(ipaddress.IPv6Address(data[pos:end].ljust(16, b"\0"))).encode()

    def inet4(data: bytes, pos: int, end: int) -> Value:
        return str(ipaddress.IPv4Address(data[pos:end].ljust(4, b"\0"))).encode()

    return {"uuid": uuid, "inet6": inet6, "inet4": inet4}[kind]
