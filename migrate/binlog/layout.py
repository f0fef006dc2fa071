"""How the watched tables' columns are declared. A row image names neither columns nor signs nor character sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from migrate.binlog.column_types import DECODABLE
from migrate.binlog.errors import LayoutMismatch
from shardproxy.backends.engine import Connection
from shardproxy.protocol.resultset import parse_row

_TABLES: Final = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE {where}"
_COLUMNS: Final = """
SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, CHARACTER_OCTET_LENGTH,
       NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, GENERATION_EXPRESSION
FROM information_schema.COLUMNS WHERE {where} ORDER BY TABLE_NAME, ORDINAL_POSITION"""
# Each unique key by hash (MariaDB, over BLOB or TEXT) has a column behind all others that is shown nowhere.
_HASH_KEYS: Final = """
SELECT TABLE_NAME, COUNT(DISTINCT INDEX_NAME) FROM information_schema.STATISTICS
WHERE {where} AND INDEX_TYPE = 'HASH' AND NON_UNIQUE = 0 GROUP BY TABLE_NAME"""
# MariaDB's tables that keep old rows; the two columns that say since when and until when are shown only if they were declared.
_VERSIONED: Final = "SYSTEM VERSIONED"
_ROW_START: Final = "ROW START"
# Columns that MariaDB compresses, and UUIDs of tables from before 10.11.
_NOT_DECODED: Final = ("COMPRESSED", "/* old */")
_BASE_TYPES: Final = ("BASE TABLE", _VERSIONED)


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """One column as information_schema tells it. `octets` is the longest value in bytes, `fraction` the digits of a second's fraction."""

    name: str
    data_type: str
    column_type: str
    charset: str = ""
    collation: str = ""
    octets: int = 0
    precision: int = 0
    scale: int = 0
    fraction: int = 0

    @property
    def unsigned(self) -> bool:
        """Whether an integer or a decimal has no sign."""
        return " unsigned" in self.column_type.lower()


@dataclass(frozen=True, slots=True)
class WatchedTable:
    """A table whose changes are wanted. `key` are the indexes of the columns to deliver: the primary key's, then the sharding key."""

    name: str
    columns: tuple[ColumnLayout, ...]
    key: tuple[int, ...]

    @property
    def key_columns(self) -> tuple[ColumnLayout, ...]:
        """The columns of a delivered key, in its order."""
        return tuple(self.columns[i] for i in self.key)


async def read_layouts(
    connection: Connection, schema: str, names: Sequence[str], key_columns: Mapping[str, Sequence[str]]
) -> dict[str, WatchedTable]:
    """The layouts of these tables, with the columns that are to be delivered of each. Raises `LayoutMismatch` where one cannot be read."""
    if not names:
        return {}
    where = f"TABLE_SCHEMA = {_text(schema)} AND TABLE_NAME IN ({', '.join(map(_text, names))})"
    types: dict[str, tuple[str, str]] = {}
    for found_schema, name, type_, engine in await text_rows(connection, _TABLES.format(where=where)):
        # The log has the names as the server spells them, and they are compared byte by byte.
        if found_schema == schema:
            types[name] = (type_, engine)
    columns: dict[str, list[ColumnLayout]] = {}
    undeclared = {name for name, (type_, _) in types.items() if type_ == _VERSIONED}
    for row in await text_rows(connection, _COLUMNS.format(where=where)):
        columns.setdefault(row[0], []).append(_column(row))
        if row[-1] == _ROW_START:
            undeclared.discard(row[0])
            if row[2] != "timestamp":
                raise LayoutMismatch(f"table {row[0]} keeps old rows by transaction: the server logs its changes as statements")
    hashes = {row[0]: int(row[1]) for row in await text_rows(connection, _HASH_KEYS.format(where=where))}
    tables = {}
    for name in names:
        type_, engine = types.get(name, ("", ""))
        if type_ not in _BASE_TYPES:
            raise LayoutMismatch(f"{schema}.{name} is not a table of the source, or is spelled differently there")
        layout = columns[name]
        hidden = 0 if engine == "MEMORY" else hashes.get(name, 0)
        layout += _hidden_columns(versioned=name in undeclared, hashes=hidden)
        tables[name] = WatchedTable(name, tuple(layout), _key(name, layout, key_columns[name]))
    return tables


def _key(table: str, columns: list[ColumnLayout], wanted: Sequence[str]) -> tuple[int, ...]:
    indexes = {column.name.lower(): i for i, column in enumerate(columns)}
    missing: list[str] = [name for name in wanted if name.lower() not in indexes]
    if missing or not wanted:
        raise LayoutMismatch(f"table {table} has no column {', '.join(missing) or 'to tell its rows apart'}")
    key = tuple(indexes[name.lower()] for name in wanted)
    for i in key:
        column = columns[i]
        if column.data_type not in DECODABLE or any(mark in column.column_type for mark in _NOT_DECODED):
            raise LayoutMismatch(f"table {table} cannot be read by its column {column.name}: {column.column_type} is not decoded")
    return key


def _hidden_columns(*, versioned: bool, hashes: int) -> list[ColumnLayout]:
    """Columns that are in row images but not in information_schema."""
    hidden = [ColumnLayout(name, "timestamp", "timestamp(6)", fraction=6) for name in ("row_start", "row_end") if versioned]
    return hidden + [ColumnLayout(f"DB_ROW_HASH_{i + 1}", "bigint", "bigint(20) unsigned") for i in range(hashes)]


def _column(row: tuple[str, ...]) -> ColumnLayout:
    _, name, data_type, column_type, charset, collation, octets, precision, scale, fraction, _ = row
    numbers = [int(text or 0) for text in (octets, precision, scale, fraction)]
    return ColumnLayout(name, data_type.lower(), column_type, charset, collation, *numbers)


def _text(value: str) -> str:
    return f"_utf8mb4 x'{value.encode().hex()}'"


async def text_rows(connection: Connection, sql: str) -> list[tuple[str, ...]]:
    """The rows of a small answer; NULL is the empty text."""
    result = await connection.query(sql.encode())
    width = len(result.columns)
    return [tuple("" if v is None else v.decode("utf-8", "replace") for v in parse_row(row, width)) for row in result.rows]
