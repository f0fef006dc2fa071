"""Column types as a table map numbers them, and how many bytes their values take in a row image.

A value is either of a fixed width or behind a length of 1 to 4 bytes; which, follows from the type and its metadata alone, so that every
column can be passed over without its value being understood.
"""

from __future__ import annotations

from typing import Final

from migrate.binlog.errors import LayoutMismatch, MalformedEvent

TINY: Final = 1
SHORT: Final = 2
LONG: Final = 3
FLOAT: Final = 4
DOUBLE: Final = 5
NULL: Final = 6
TIMESTAMP: Final = 7
LONGLONG: Final = 8
INT24: Final = 9
DATE: Final = 10
TIME: Final = 11
DATETIME: Final = 12
YEAR: Final = 13
NEWDATE: Final = 14
VARCHAR: Final = 15
BIT: Final = 16
TIMESTAMP2: Final = 17
DATETIME2: Final = 18
TIME2: Final = 19
BLOB_COMPRESSED: Final = 140
VARCHAR_COMPRESSED: Final = 141
VECTOR: Final = 242
JSON: Final = 245
NEWDECIMAL: Final = 246
ENUM: Final = 247
SET: Final = 248
TINY_BLOB: Final = 249
MEDIUM_BLOB: Final = 250
LONG_BLOB: Final = 251
BLOB: Final = 252
VAR_STRING: Final = 253
STRING: Final = 254
GEOMETRY: Final = 255

_FIXED: Final = {
    TINY: 1,
    SHORT: 2,
    LONG: 4,
    FLOAT: 4,
    DOUBLE: 8,
    NULL: 0,
    TIMESTAMP: 4,
    LONGLONG: 8,
    INT24: 3,
    DATE: 3,
    TIME: 3,
    DATETIME: 8,
    YEAR: 1,
    NEWDATE: 3,
}
# Whole seconds; the fraction comes on top.
_WITH_FRACTION: Final = {TIMESTAMP2: 4, DATETIME2: 5, TIME2: 3}
_WITH_LENGTH: Final = (BLOB, TINY_BLOB, MEDIUM_BLOB, LONG_BLOB, BLOB_COMPRESSED, JSON, GEOMETRY, VECTOR)
# Times with a fraction in MariaDB's own format before 10.1 (mysql56_temporal_format=OFF): the width by digits; the log does not tell them.
_HIRES: Final = {
    TIMESTAMP: (4, 5, 5, 6, 6, 7, 7),
    DATETIME: (8, 6, 6, 7, 7, 7, 8),
    TIME: (3, 4, 4, 5, 5, 5, 6),
}
_DIGIT_BYTES: Final = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
_METADATA_BYTES: Final = {
    **dict.fromkeys((FLOAT, DOUBLE, TIMESTAMP2, DATETIME2, TIME2, *_WITH_LENGTH), 1),
    **dict.fromkeys((VARCHAR, VAR_STRING, VARCHAR_COMPRESSED, BIT, NEWDECIMAL, STRING, ENUM, SET), 2),
}

# Which of them a declared type may be; what is not listed is not checked.
_INTEGERS: Final = {"tinyint": TINY, "smallint": SHORT, "mediumint": INT24, "int": LONG, "bigint": LONGLONG}
ALLOWED: Final[dict[str, tuple[int, ...]]] = {
    **{name: (type_,) for name, type_ in _INTEGERS.items()},
    "float": (FLOAT,),
    "double": (DOUBLE,),
    "decimal": (NEWDECIMAL,),
    "date": (DATE, NEWDATE),
    "time": (TIME, TIME2),
    "datetime": (DATETIME, DATETIME2),
    "timestamp": (TIMESTAMP, TIMESTAMP2),
    "year": (YEAR,),
    "bit": (BIT,),
    "char": (STRING,),
    "binary": (STRING,),
    "uuid": (STRING,),
    "inet6": (STRING,),
    "inet4": (STRING,),
    "enum": (ENUM,),
    "set": (SET,),
    "varchar": (VARCHAR, VAR_STRING, VARCHAR_COMPRESSED),
    "varbinary": (VARCHAR, VAR_STRING, VARCHAR_COMPRESSED),
    **dict.fromkeys(("tinytext", "text", "mediumtext", "longtext"), (BLOB, BLOB_COMPRESSED)),
    **dict.fromkeys(("tinyblob", "blob", "mediumblob", "longblob"), (BLOB, BLOB_COMPRESSED)),
    "json": (JSON,),
    **dict.fromkeys(("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"), (GEOMETRY,)),
}

# Declared types whose values can be delivered as keys.
INTEGER_BYTES: Final = {"tinyint": 1, "smallint": 2, "mediumint": 3, "int": 4, "bigint": 8}
TEXTUAL: Final = ("date", "time", "datetime", "timestamp", "uuid", "inet6", "inet4")
STRINGS: Final = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext")
BINARIES: Final = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")
DECODABLE: Final = frozenset((*INTEGER_BYTES, *TEXTUAL, *STRINGS, *BINARIES, "decimal", "year", "bit"))


class LoggedColumn:
    """One column of a table map: its type, with ENUM and SET told apart from strings, its metadata, and the width of its values.

    `prefix` is the width of the length in front of a value, 0 where values are `fixed` bytes wide.
    """

    __slots__ = ("fixed", "metadata", "prefix", "type")

    def __init__(self, type_: int, metadata: bytes, fraction: int) -> None:
        self.type = type_
        self.metadata = metadata
        self.fixed = self.prefix = 0
        if type_ in _HIRES and fraction:
            self.fixed = _HIRES[type_][fraction]
        elif type_ in _FIXED:
            self.fixed = _FIXED[type_]
        elif type_ in _WITH_FRACTION:
            self.fixed = _WITH_FRACTION[type_] + fraction_bytes(metadata[0])
        elif type_ in _WITH_LENGTH:
            self.prefix = metadata[0]
            if not 1 <= self.prefix <= 4:
                raise MalformedEvent(f"a column's length cannot be {self.prefix} bytes wide")
        elif type_ in (VARCHAR, VAR_STRING, VARCHAR_COMPRESSED):
            self.prefix = 1 if self.longest < 256 else 2
        elif type_ == BIT:
            self.fixed = metadata[1] + (metadata[0] > 0)
        elif type_ == NEWDECIMAL:
            self.fixed = decimal_bytes(metadata[0], metadata[1])
        elif type_ == STRING:
            self._set_string()
        else:
            raise LayoutMismatch(f"it has a column of type {type_}, which is not known")

    def _set_string(self) -> None:
        """CHAR, BINARY, ENUM and SET come as one type; the first byte of the metadata tells which, but for two bits of a length."""
        real = self.metadata[0]
        if real in (ENUM, SET):
            self.type = real
            self.fixed = self.metadata[1]
        else:
            self.prefix = 1 if self.longest < 256 else 2

    @property
    def longest(self) -> int:
        """The longest value of a string type, in bytes."""
        if self.type == STRING:
            return ((self.metadata[0] & 0x30) ^ 0x30) << 4 | self.metadata[1]
        return self.metadata[0] | self.metadata[1] << 8


def metadata_bytes(type_: int) -> int:
    """How many bytes of metadata a type has."""
    return _METADATA_BYTES.get(type_, 0)


def fraction_bytes(digits: int) -> int:
    """How many bytes the fraction of a second takes."""
    if digits > 6:
        raise MalformedEvent(f"a second cannot have {digits} digits behind the point")
    return (digits + 1) >> 1


def decimal_bytes(precision: int, scale: int) -> int:
    """How many bytes a decimal takes: nine digits in four, the rest as few as will do, on each side of the point."""
    if not 0 <= scale <= precision <= 65:
        raise MalformedEvent(f"a decimal cannot have {precision} digits, {scale} of them behind the point")
    whole = precision - scale
    return whole // 9 * 4 + _DIGIT_BYTES[whole % 9] + scale // 9 * 4 + _DIGIT_BYTES[scale % 9]
