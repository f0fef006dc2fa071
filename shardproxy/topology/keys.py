"""The canonical form of a sharding key, for every form in which a statement can write it.

Placement must agree with the server's `=`: if two values are equal to the server, they have one canonical form. What a key
type cannot prove, it calls `UNPROVABLE`: a read then goes to all shards, and an INSERT is refused.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final, Protocol

from shardproxy.errors import KEY_NULL, KEY_OUT_OF_RANGE, KEY_UNPROVABLE, ProxyError
from shardproxy.topology.catalog import Column

Key = int | bytes


class Unprovable:
    """The type of `UNPROVABLE`."""


UNPROVABLE: Final = Unprovable()

_INTEGER = re.compile(rb"[+-]?[0-9]{1,20}")
_INTEGRAL = re.compile(rb"([+-]?[0-9]{1,20})\.0*")
# A double that is a whole number, as drivers send it that know no integers.
_DOUBLE = re.compile(rb"([+-]?[0-9]{1,16})(?:\.0*)?[eE]\+?0+")
_STRING = re.compile(rb"""'(?:[^'\\]++|\\.?+|'')*+'|"(?:[^"\\]++|\\.?+|"")*+\"""", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)|''|\"\"", re.DOTALL)
_ESCAPED: Final = {b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a"}
_DATE = re.compile(rb"(\d{4})-(\d{2})-(\d{2})")
_DATETIME = re.compile(rb"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(?:\.(\d{1,6}))?")
# Above this a server may compare an integer column and a string as doubles, which are no longer exact.
_EXACT_DOUBLE: Final = 1 << 53


def unquote(raw: bytes) -> bytes:
    """The bytes that a quoted string literal stands for (backslash escapes on)."""
    quote, body = raw[:1], raw[1:-1]
    if b"\\" not in body and quote not in body:
        return body

    def unescape(match: re.Match[bytes]) -> bytes:
        text = match.group(0)
        if text[:1] != b"\\":
            return quote if text[:1] == quote else text
        char = match.group(1)
        return text if char in b"%_" else _ESCAPED.get(char, char)

    return _ESCAPE.sub(unescape, body)


class KeyType(Protocol):
    """How one column's values become keys. `raw` is a literal as written; `codec` reads the client's strings."""

    def from_literal(self, raw: bytes, codec: str) -> Key | Unprovable:
        """The key that is equal to the literal, or UNPROVABLE."""

    def from_config(self, value: object) -> Key:
        """The key of a bound in the config; raises ValueError where it does not fit the column."""

    def canonical(self, key: Key) -> bytes:
        """The bytes that are hashed."""


def is_string(raw: bytes) -> bool:
    """Whether a literal is one quoted string, whole: not two side by side, nor an expression between quotes."""
    return raw[:1] in (b"'", b'"') and _STRING.fullmatch(raw) is not None


@dataclass(frozen=True, slots=True)
class IntegerKey:
    """TINYINT to BIGINT, signed or not. Keys are Python integers."""

    low: int
    high: int

    def from_literal(self, raw: bytes, codec: str) -> Key | Unprovable:
        """Integers, integral decimals and strings that hold an integer exactly; nothing else."""
        if raw.isdigit():
            return int(raw) if len(raw) <= 20 else UNPROVABLE
        if is_string(raw):
            body = raw[1:-1]
            if _INTEGER.fullmatch(body) and abs(int(body)) < _EXACT_DOUBLE:
                return int(body)
            return UNPROVABLE
        if _INTEGER.fullmatch(raw):
            return int(raw)
        match = _INTEGRAL.fullmatch(raw)
        if match is None and (double := _DOUBLE.fullmatch(raw)) is not None and abs(int(double.group(1))) < _EXACT_DOUBLE:
            return int(double.group(1))
        return int(match.group(1)) if match else UNPROVABLE

    def from_config(self, value: object) -> Key:
        """Integers only."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise ValueError(f"{value!r} is not an integer")

    def canonical(self, key: Key) -> bytes:
        """The decimal digits, as SQL's own conversion to a string gives them."""
        return b"%d" % int(key)


@dataclass(frozen=True, slots=True)
class StringKey:
    """CHAR and VARCHAR in a binary collation. Keys are UTF-8 bytes.

    `padded`: the collation (or the CHAR type) ignores trailing spaces. `codec` is what the column can hold. Keys are filled up
    with spaces to `width` bytes where they are compared by order, as PAD SPACE does; `canonical` takes the spaces off.
    """

    padded: bool
    max_chars: int
    codec: str

    def from_literal(self, raw: bytes, codec: str) -> Key | Unprovable:
        """Quoted strings; a number compares with a string as a double, so it proves nothing."""
        if not is_string(raw):
            return UNPROVABLE
        try:
            text = unquote(raw).decode(codec)
            text.encode(self.codec)
        except UnicodeError:
            return UNPROVABLE
        return self._key(text)

    def _key(self, text: str) -> Key | Unprovable:
        stripped = text.rstrip(" ") if self.padded else text
        if len(stripped) > self.max_chars:
            return UNPROVABLE
        key = stripped.encode("utf-8")
        return key.ljust(self.max_chars * 4, b" ") if self.padded else key

    def from_config(self, value: object) -> Key:
        """Strings only."""
        key = self._key(value) if isinstance(value, str) else UNPROVABLE
        if isinstance(key, Unprovable):
            raise ValueError(f"{value!r} is not a string that the column can hold")
        return key

    def canonical(self, key: Key) -> bytes:
        """The text in UTF-8, without the trailing spaces that the column ignores."""
        assert isinstance(key, bytes)
        return key.rstrip(b" ") if self.padded else key


@dataclass(frozen=True, slots=True)
class BytesKey:
    """BINARY-free byte strings (VARBINARY): compared byte by byte, without padding."""

    max_bytes: int

    def from_literal(self, raw: bytes, codec: str) -> Key | Unprovable:
        """Quoted strings that are plain ASCII, so that no conversion between character sets can change them."""
        if not is_string(raw):
            return UNPROVABLE
        value = unquote(raw)
        return value if value.isascii() and len(value) <= self.max_bytes else UNPROVABLE

    def from_config(self, value: object) -> Key:
        """ASCII strings only."""
        if isinstance(value, str) and value.isascii():
            return value.encode()
        raise ValueError(f"{value!r} is not an ASCII string")

    def canonical(self, key: Key) -> bytes:
        """The bytes themselves."""
        assert isinstance(key, bytes)
        return key


@dataclass(frozen=True, slots=True)
class DateKey:
    """DATE. Keys are `YYYY-MM-DD` in ASCII, whose order is the order of the dates."""

    def from_literal(self, raw: bytes, codec: str) -> Key | Unprovable:
        """Strings of exactly that form that name a real day."""
        body = raw[1:-1]
        match = _DATE.fullmatch(body) if is_string(raw) else None
        return body if match and _real_day(body) else UNPROVABLE

    def from_config(self, value: object) -> Key:
        """TOML dates, or strings `YYYY-MM-DD`."""
        if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            return value.isoformat().encode()
        key = self.from_literal(f"'{value}'".encode(), "utf-8")
        if isinstance(key, Unprovable):
            raise ValueError(f"{value!r} is not a date")
        return key

    def canonical(self, key: Key) -> bytes:
        """The ISO form, as SQL's own conversion to a string gives it."""
        assert isinstance(key, bytes)
        return key


@dataclass(frozen=True, slots=True)
class DateTimeKey:
    """DATETIME with `decimals` digits of a second. Keys are `YYYY-MM-DD HH:MM:SS[.ffffff]` in ASCII."""

    decimals: int

    def from_literal(self, raw: bytes, codec: str) -> Key | Unprovable:
        """ISO strings with no more digits of a second than the column keeps; a date alone is its midnight."""
        if not is_string(raw):
            return UNPROVABLE
        body = raw[1:-1]
        if _DATE.fullmatch(body):
            body += b" 00:00:00"
        match = _DATETIME.fullmatch(body)
        if not match or not _real_day(match.group(1)) or not _real_time(match.group(2)):
            return UNPROVABLE
        fraction = match.group(3) or b""
        if len(fraction.rstrip(b"0")) > self.decimals:
            return UNPROVABLE
        base = match.group(1) + b" " + match.group(2)
        return base + b"." + fraction[: self.decimals].ljust(self.decimals, b"0") if self.decimals else base

    def from_config(self, value: object) -> Key:
        """TOML dates and local date-times, or ISO strings."""
        text = value.isoformat(" ") if isinstance(value, dt.datetime) else str(value)
        key = self.from_literal(f"'{text}'".encode(), "utf-8")
        if isinstance(key, Unprovable):
            raise ValueError(f"{value!r} is not a date and time")
        return key

    def canonical(self, key: Key) -> bytes:
        """The ISO form, as SQL's own conversion to a string gives it."""
        assert isinstance(key, bytes)
        return key


_INTEGER_BITS: Final = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64}
_COLUMN_CODECS: Final = {"utf8mb4": "utf-8", "ascii": "ascii", "latin1": "ascii"}


def key_type_for(column: Column) -> KeyType | str:
    """The key type of a column, or why the column cannot be a sharding key."""
    bits = _INTEGER_BITS.get(column.data_type)
    if bits:
        if column.unsigned:
            return IntegerKey(0, (1 << bits) - 1)
        return IntegerKey(-(1 << bits - 1), (1 << bits - 1) - 1)
    if column.data_type in ("char", "varchar"):
        return _string_key(column)
    if column.data_type == "varbinary":
        return BytesKey(column.max_chars)
    if column.data_type == "date":
        return DateKey()
    if column.data_type == "datetime":
        return DateTimeKey(column.decimals)
    return f"type {column.data_type} cannot be a sharding key; use an integer, string, date or datetime column"


def _string_key(column: Column) -> KeyType | str:
    collation = (column.collation or "").lower()
    if not collation.endswith("_bin"):
        return (
            f"collation {collation or 'unknown'} makes different strings equal, so they would land on different shards; "
            f"use ALTER TABLE ... MODIFY {column.name} {column.column_type} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )
    codec = _COLUMN_CODECS.get((column.charset or "").lower())
    if codec is None:
        return f"character set {column.charset} cannot hold every string, so a key could change when it is stored; use utf8mb4"
    padded = column.data_type == "char" or not ("nopad" in collation or "0900" in collation)
    return StringKey(padded, column.max_chars, codec)


def key_for_insert(key_type: KeyType, column: str, raw: bytes, codec: str) -> Key:
    """The key under which a row will be stored; raises `ProxyError` where that cannot be told."""
    if raw.upper() == b"NULL":
        raise ProxyError(KEY_NULL, f"Column '{column}' cannot be null")
    if isinstance(key_type, StringKey) and _INTEGER.fullmatch(raw):
        raw = b"'%d'" % int(raw)
    if isinstance(key_type, IntegerKey) and is_string(raw) and _INTEGER.fullmatch(raw[1:-1]):
        # Storing converts exactly; it is only comparing that may go through doubles.
        raw = raw[1:-1]
    key = key_type.from_literal(raw, codec)
    if isinstance(key, Unprovable):
        shown = raw[:40].decode("utf-8", "replace")
        raise ProxyError(KEY_UNPROVABLE, f"the value {shown} for sharding key '{column}' does not tell where the row belongs")
    if isinstance(key_type, IntegerKey) and not key_type.low <= int(key) <= key_type.high:
        raise ProxyError(KEY_OUT_OF_RANGE, f"Out of range value for column '{column}' at row 1")
    return key


def _real_day(body: bytes) -> bool:
    try:
        dt.date.fromisoformat(body.decode("ascii"))
    except ValueError:
        return False
    return True


def _real_time(body: bytes) -> bool:
    hour, minute, second = body.split(b":")
    return hour < b"24" and minute < b"60" and second < b"60"
