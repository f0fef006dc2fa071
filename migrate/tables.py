"""The tables that a move carries: their columns and keys, and the SQL that reads rows as text which inserts them again.

The source itself writes each row as `(1,'a',x'00ff',NULL)`, so that a row costs next to nothing here, and its two ends compare by the
same text. Exact for every type: see `value_sql`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shardproxy.backends.engine import Connection
from shardproxy.protocol.resultset import parse_row
from shardproxy.topology.catalog import Column
from shardproxy.topology.hashing import BUCKETS
from shardproxy.topology.keys import KeyType, key_type_for
from shardproxy.topology.share import Share
from shardproxy.topology.share_sql import bucket_sql, share_sql
from shardproxy.topology.topology import TableRule

_COLUMNS = """
SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, CHARACTER_SET_NAME, COLLATION_NAME,
       CHARACTER_MAXIMUM_LENGTH, DATETIME_PRECISION, EXTRA, GENERATION_EXPRESSION
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION"""
_KEYS = """
SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, NULLABLE, SUB_PART FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME = 'PRIMARY' DESC, INDEX_NAME, SEQ_IN_INDEX"""
_NUMBERS = frozenset(("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"))
_DOUBLES = frozenset(("float", "double"))
_BYTES = frozenset(
    ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "geometry", "point", "linestring", "polygon", "multipoint",
     "multilinestring", "multipolygon", "geometrycollection", "geomcollection", "vector")
)  # fmt: skip
# As part of a key: their order, or their equality, is not that of their text.
_UNORDERED = frozenset(("enum", "set", "json", "float", "double", "bit")) | (_BYTES - {"binary", "varbinary"})
_TIMES = frozenset(("date", "time", "datetime", "timestamp", "uuid", "inet4", "inet6"))


def name_sql(name: str) -> str:
    """An identifier, quoted."""
    return "`" + name.replace("`", "``") + "`"


def value_sql(name: str, data_type: str, row: str = "") -> str:
    """An expression for the column's value as an SQL literal, NULL included; a session with `sql_mode = ''` and UTC reads it back.

    `row` is NEW or OLD in a trigger.
    """
    column = f"{row}.{name_sql(name)}" if row else name_sql(name)
    if data_type in _NUMBERS:
        return f"IFNULL({column}, 'NULL')"
    if data_type in _DOUBLES:
        # A FLOAT as it is shown has six digits; as a double it has all.
        return f"IFNULL({column} + 0e0, 'NULL')"
    if data_type == "bit":
        return f"IFNULL(CONCAT('b''', BIN({column} + 0), ''''), 'NULL')"
    if data_type in _BYTES:
        return f"IFNULL(CONCAT('x''', HEX({column}), ''''), 'NULL')"
    if data_type in _TIMES:
        return f"QUOTE({column})"
    return f"QUOTE(CONVERT({column} USING utf8mb4))"


def _bytes_sql(name: str, data_type: str, row: str) -> str:
    column = f"{row}.{name_sql(name)}"
    if data_type == "timestamp":
        # Shown in the session's zone; the seconds are the same everywhere.
        return f"CONVERT(CONCAT('FROM_UNIXTIME(', UNIX_TIMESTAMP({column}), ')') USING utf8mb4)"
    if data_type in _NUMBERS | _DOUBLES | _BYTES or data_type == "bit":
        return f"CONVERT({value_sql(name, data_type, row)} USING utf8mb4)"
    return f"CONVERT(CONCAT('_utf8mb4 x''', HEX(CONVERT({column} USING utf8mb4)), '''') USING utf8mb4)"


@dataclass(frozen=True, slots=True)
class MovedTable:
    """One table. `key` are the columns by which a row is told from others; `condition` is true for the rows that move."""

    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    condition: str
    key_type: KeyType | None
    sharding_key: str

    @property
    def sql(self) -> str:
        """The table's name, quoted."""
        return name_sql(self.name)

    @property
    def column_list(self) -> str:
        """The columns that are written, those that the server computes left out."""
        return ", ".join(name_sql(name) for name, _ in self.columns)

    @property
    def row_sql(self) -> str:
        """An expression for a row as text: what stands behind VALUES."""
        return "CONCAT('(', " + ", ',', ".join(value_sql(name, kind) for name, kind in self.columns) + ", ')')"

    @property
    def key_sql(self) -> str:
        """Expressions for the values of the key as SQL literals, by commas."""
        kinds = dict(self.columns)
        return ", ".join(value_sql(name, kinds[name]) for name in self.key)

    def key_hex_sql(self, row: str) -> str:
        """The same in a trigger, each in hexadecimal: by bytes, whatever character set, time zone and SQL mode the session has."""
        kinds = dict(self.columns)
        return ", ".join(f"HEX({_bytes_sql(name, kinds[name], row)})" for name in self.key)

    @property
    def order_sql(self) -> str:
        """The key's columns, by commas."""
        return ", ".join(name_sql(name) for name in self.key)

    @property
    def hash_sql(self) -> str:
        """64 bits of a row's text: sums and XORs of them do not depend on the order of the rows."""
        # MySQL 9 has no MD5 any more.
        return f"CAST(CONV(LEFT(SHA2({self.row_sql}, 256), 16), 16, 10) AS UNSIGNED)"

    def beyond(self, last: Sequence[bytes]) -> str:
        """A condition for rows behind the one with this key, in an order that the key's index gives."""
        return _compare(self.key, [value.decode("utf-8", "surrogateescape") for value in last], ">") if last else "TRUE"

    def up_to(self, last: Sequence[bytes]) -> str:
        """A condition for rows up to the one with this key."""
        return _compare(self.key, [value.decode("utf-8", "surrogateescape") for value in last], "<=")

    def one_of(self, keys: Sequence[tuple[bytes, ...]]) -> str:
        """A condition for the rows with these keys, given as SQL literals."""
        if len(self.key) == 1:
            listed = b", ".join([key[0] for key in keys]).decode("utf-8", "surrogateescape")
            return f"{name_sql(self.key[0])} IN ({listed})"
        names = [name_sql(name) for name in self.key]
        each = (
            " AND ".join(f"{name} = {value.decode('utf-8', 'surrogateescape')}" for name, value in zip(names, key, strict=True))
            for key in keys
        )
        return "(" + " OR ".join(f"({one})" for one in each) + ")"


def _compare(columns: Sequence[str], values: Sequence[str], sign: str) -> str:
    """Row-wise comparison, spelled out so that an index serves it: the first column alone bounds the range."""
    first, value = name_sql(columns[0]), values[0]
    if len(columns) == 1:
        return f"{first} {sign} {value}"
    strict = sign.rstrip("=")
    rest = _compare(columns[1:], values[1:], sign)
    return f"({first} {strict}= {value} AND ({first} {strict} {value} OR {rest}))"


async def read_rows(connection: Connection, sql: str) -> list[tuple[bytes | None, ...]]:
    """All rows of a small answer."""
    result = await connection.query(sql.encode())
    return [parse_row(row, len(result.columns)) for row in result.rows]


async def read_texts(connection: Connection, sql: str) -> list[tuple[str, ...]]:
    """The same as text, NULL as ""."""
    rows = await read_rows(connection, sql)
    return [tuple("" if value is None else value.decode("utf-8", "replace") for value in row) for row in rows]


@dataclass(frozen=True, slots=True)
class Described:
    """A table as a server has it: every column, and its best key."""

    columns: tuple[tuple[str, ...], ...]
    key: tuple[str, ...]

    @property
    def fingerprint(self) -> tuple[tuple[str, ...], ...]:
        """What must be the same on both ends."""
        return self.columns


async def describe(connection: Connection) -> dict[str, Described]:
    """The tables of the connection's schema."""
    columns: dict[str, list[tuple[str, ...]]] = {}
    for table, *column in await read_texts(connection, _COLUMNS):
        columns.setdefault(table, []).append(tuple(column))
    keys: dict[str, dict[str, list[str]]] = {}
    useless: set[tuple[str, str]] = set()
    for table, index, part, nullable, prefix in await read_texts(connection, _KEYS):
        keys.setdefault(table, {}).setdefault(index, []).append(part)
        if nullable == "YES" or prefix:
            useless.add((table, index))
    best = {
        table: next((tuple(found) for index, found in of_table.items() if (table, index) not in useless), ())
        for table, of_table in keys.items()
    }
    return {table: Described(tuple(found), best.get(table, ())) for table, found in columns.items()}


def moved_table(rule: TableRule, found: Described, share: Share) -> MovedTable | str:
    """The table with the SQL for its share, or why its rows cannot be moved."""
    if not found.key:
        return f"table {rule.name} has no primary key, nor a unique key without NULL: rows cannot be told apart"
    columns = tuple((column[0], column[1]) for column in found.columns if not _computed(column))
    unordered = [name for name, kind in columns if name in found.key and kind in _UNORDERED]
    if unordered or not set(found.key) <= {name for name, _ in columns}:
        return f"table {rule.name}: rows cannot be told apart, or put in order, by a key of {', '.join(unordered or found.key)}"
    if not rule.scheme.sharded:
        return MovedTable(rule.name, columns, found.key, "TRUE", None, "")
    own = next((column for column in found.columns if column[0].lower() == rule.key.lower()), None)
    if own is None:
        return f"table {rule.name} has no column {rule.key}"
    key_type = key_type_for(as_column(own))
    if isinstance(key_type, str):
        return f"table {rule.name}: {key_type}"
    return MovedTable(rule.name, columns, found.key, share_sql(key_type, name_sql(own[0]), share), key_type, own[0])


def as_column(found: tuple[str, ...]) -> Column:
    """A column of `describe` as the catalog has it."""
    name, data_type, column_type, nullable, charset, collation, chars, decimals, _, _ = found
    return Column(name, data_type, column_type, nullable == "YES", charset or None, collation or None, int(chars or 0), int(decimals or 0))


def _computed(column: tuple[str, ...]) -> bool:
    extra = column[8].upper()
    return bool(column[9]) or "VIRTUAL" in extra or "STORED GENERATED" in extra or "PERSISTENT" in extra


def guarded_sql(table: MovedTable, share: Share, row: str, action: str) -> str:
    """Statements of a trigger that do this for rows of the share, `NEW` or `OLD`.

    Buckets are looked up in a map of bits: a list would be sorted anew for every row that is written.
    """
    prepare, condition = "", "TRUE"
    if table.key_type is not None:
        column = f"{row}.{name_sql(table.sharding_key)}"
        if share.buckets:
            bits = bytearray(BUCKETS // 8)
            for bucket in share.buckets:
                bits[bucket >> 3] |= 1 << (bucket & 7)
            prepare = f"SET _sp_bucket = {bucket_sql(table.key_type, column)}; "
            condition = f"(ORD(SUBSTR(x'{bits.hex()}', 1 + (_sp_bucket >> 3), 1)) >> (_sp_bucket & 7)) & 1 = 1"
        else:
            condition = share_sql(table.key_type, column, share)
    return f"  {prepare}IF {condition} THEN {action} END IF;"


Tables = Mapping[str, MovedTable]
