"""Every column type with values at its limits: what `types_text` and `types_prepared` send there and back."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_ALL_BYTES = bytes(range(256))
_GREATEST = Decimal("9" * 35 + "." + "9" * 30)
_LONGEST = dt.timedelta(hours=838, minutes=59, seconds=59)


@dataclass(frozen=True)
class Column:
    """A column and its values, as Python has them without any driver's habits."""

    name: str
    type: str
    values: tuple[Any, ...]


def _integers(name: str, bits: int) -> list[Column]:
    half, full = 1 << (bits - 1), 1 << bits
    return [
        Column(f"c_{name}", name.upper(), (-half, half - 1, 0)),
        Column(f"c_{name}_unsigned", f"{name.upper()} UNSIGNED", (0, full - 1, half)),
    ]


def _at(text: str) -> dt.datetime:
    """As the drivers have it: without a time zone."""
    return dt.datetime.fromisoformat(text)


COLUMNS = (
    *_integers("tinyint", 8),
    *_integers("smallint", 16),
    *_integers("mediumint", 24),
    *_integers("int", 32),
    *_integers("bigint", 64),
    Column("c_decimal", "DECIMAL(65,30)", (_GREATEST, _GREATEST.copy_negate(), Decimal("1e-30"))),
    Column("c_float", "FLOAT", (1.5, -1234.5, 0.0)),
    Column("c_double", "DOUBLE", (1.7976931348623157e308, -2.2250738585072014e-308, 0.1)),
    Column("c_date", "DATE", (dt.date(1000, 1, 1), dt.date(9999, 12, 31), dt.date(2024, 2, 29))),
    Column("c_time", "TIME(6)", (_LONGEST, -_LONGEST, -dt.timedelta(hours=25, minutes=1, seconds=2, microseconds=345678))),
    Column("c_datetime", "DATETIME(6)", (_at("1000-01-01 00:00:00.000001"), _at("9999-12-31 23:59:59.999999"), _at("2024-02-29"))),
    Column("c_timestamp", "TIMESTAMP(6) NULL", (_at("1971-01-02 00:00:01.000001"), _at("2038-01-18 03:14:07.999999"), _at("2024-02-29"))),
    Column("c_year", "YEAR", (1901, 2155, 2024)),
    Column("c_char", "CHAR(10)", ("", "ten chars!", "ä🦀")),
    Column("c_varchar", "VARCHAR(300)", ("", 'it\'s "quoted" \\ %s ? \n\r\t\0\x1a', "ß" * 300)),
    Column("c_text", "TEXT", ("", "x" * 16000, "a\0b")),
    Column("c_binary", "BINARY(4)", (b"\0\1\xfe\xff", b"abcd", b"\0\0\0\0")),
    Column("c_varbinary", "VARBINARY(256)", (_ALL_BYTES, b"", b"'\\\0\"")),
    Column("c_blob", "BLOB", (_ALL_BYTES * 200, b"", _ALL_BYTES[::-1])),
    Column("c_enum", "ENUM('small','große','') CHARACTER SET utf8mb4", ("small", "große", "")),
    Column("c_set", "SET('a','b','ü') CHARACTER SET utf8mb4", ("a,b,ü", "b", "")),
    Column("c_bit", "BIT(64)", ((1 << 64) - 1, 0, 0x0123456789ABCDEF)),
    Column("c_json", "JSON", ('{"a": [1, 2.5, null], "ü": "🦀"}', "[]", '"text"')),
)


def definition(columns: Sequence[Column]) -> str:
    """What stands between the parentheses of CREATE TABLE."""
    return ", ".join(["id INT NOT NULL PRIMARY KEY", *(f"{column.name} {column.type}" for column in columns)])


def rows(columns: Sequence[Column]) -> list[tuple[Any, ...]]:
    """Rows that hold every value, and one of NULLs."""
    return [*zip(*(column.values for column in columns), strict=True), (None,) * len(columns)]
