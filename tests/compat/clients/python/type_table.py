"""Every column type with values at its limits: what `types_text` and `types_prepared` send there and back."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_ALL_BYTES = bytes(range(256))
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


COLUMNS = (
    *_integers("tinyint", 8),
    *_integers("smallint", 16),
    *_integers("mediumint", 24),
    *_integers("int", 32),
    *_integers("bigint", 64),
    Column("c_decimal", "DECIMAL(65,30)", tuple(Decimal(f"{sign}{'9' * 35}.{'9' * 30}") for sign in ("", "-")) + (Decimal("0." + "0" * 29 + "1"),)),
    Column("c_float", "FLOAT", (1.5, -1234.5, 0.0)),
    Column("c_double", "DOUBLE", (1.7976931348623157e308, -2.2250738585072014e-308, 0.1)),
    Column("c_date", "DATE", (dt.date(1000, 1, 1), dt.date(9999, 12, 31), dt.date(2024, 2, 29))),
    Column("c_time", "TIME(6)", (_LONGEST, -_LONGEST, -dt.timedelta(hours=25, minutes=1, seconds=2, microseconds=345678))),
    Column("c_datetime", "DATETIME(6)", (dt.datetime(1000, 1, 1, 0, 0, 0, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999), dt.datetime(2024, 2, 29))),
    Column(
        "c_timestamp",
        "TIMESTAMP(6) NULL",
        (dt.datetime(1971, 1, 2, 0, 0, 1, 1), dt.datetime(2038, 1, 18, 3, 14, 7, 999999), dt.datetime(2024, 2, 29, 12)),
    ),
    Column("c_year", "YEAR", (1901, 2155, 2024)),
    Column("c_char", "CHAR(10)", ("", "ten chars!", "ä🦀")),
    Column("c_varchar", "VARCHAR(300)", ("", "it's \"quoted\" \\ %s ? \n\r\t\0\x1a", "ß" * 300)),
    Column("c_text", "TEXT", ("", "x" * 16000, "a\0b")),
    Column("c_binary", "BINARY(4)", (b"\0\1\xfe\xff", b"abcd", b"\0\0\0\0")),
    Column("c_varbinary", "VARBINARY(256)", (_ALL_BYTES, b"", b"'\\\0\"")),
    Column("c_blob", "BLOB", (_ALL_BYTES * 200, b"", _ALL_BYTES[::-1])),
    Column("c_enum", "ENUM('small','große','') CHARACTER SET utf8mb4", ("small", "große", "")),
    Column("c_set", "SET('a','b','ü') CHARACTER SET utf8mb4", ("a,b,ü", "b", "")),
    Column("c_bit", "BIT(64)", ((1 << 64) - 1, 0, 0x0123456789ABCDEF)),
    Column("c_json", "JSON", ('{"a": [1, 2.5, null], "ü": "🦀"}', "[]", '"text"')),
)
ROWS = tuple(tuple(column.values[number] for column in COLUMNS) for number in range(3)) + ((None,) * len(COLUMNS),)


def definition() -> str:
    """What stands between the parentheses of CREATE TABLE."""
    return ", ".join(["id INT NOT NULL PRIMARY KEY", *(f"{column.name} {column.type}" for column in COLUMNS)])
