"""What a SQLite file says of its tables: to the catalog, to SHOW and DESCRIBE, and to information_schema."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from shardproxy.backends.engine import ShardSchema
from shardproxy.backends.sqlite_functions import COLLATION, SERVER_VERSION, SYSTEM_VARIABLES
from shardproxy.backends.sqlite_types import TableTypes, declared_type
from shardproxy.errors import UNSUPPORTED_STATEMENT, ProxyError, ServerError

Answer = tuple[Sequence[str], list[tuple[object, ...]]]

_TABLES = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1"
_WORD = re.compile(r"`[^`]+`|'[^']*'|[^\s;]+")
# SQLite's type families, and MySQL's names where the declared one would say too little.
_DATA_TYPES = {"text": "varchar", "integer": "bigint", "int": "int", "real": "double", "numeric": "decimal"}
_STRINGS = frozenset(("varchar", "char"))

_VIEWS = (
    """CREATE TEMP VIEW information_schema_schemata AS SELECT 'def' AS CATALOG_NAME, 'main' AS SCHEMA_NAME,
    'utf8mb4' AS DEFAULT_CHARACTER_SET_NAME""",
    """CREATE TEMP VIEW information_schema_tables AS SELECT 'def' AS TABLE_CATALOG, 'main' AS TABLE_SCHEMA,
    name AS TABLE_NAME, CASE type WHEN 'view' THEN 'VIEW' ELSE 'BASE TABLE' END AS TABLE_TYPE, 'SQLite' AS ENGINE,
    NULL AS TABLE_ROWS, '' AS TABLE_COMMENT
    FROM main.sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'""",
    """CREATE TEMP VIEW information_schema_columns AS SELECT 'def' AS TABLE_CATALOG, 'main' AS TABLE_SCHEMA,
    m.name AS TABLE_NAME, c.name AS COLUMN_NAME, c.cid + 1 AS ORDINAL_POSITION, c.dflt_value AS COLUMN_DEFAULT,
    CASE WHEN c."notnull" OR c.pk THEN 'NO' ELSE 'YES' END AS IS_NULLABLE, LOWER(c.type) AS COLUMN_TYPE,
    CASE WHEN c.pk THEN 'PRI' ELSE '' END AS COLUMN_KEY
    FROM main.sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'""",
)


def create_views(db: sqlite3.Connection) -> None:
    """The parts of information_schema that clients look at."""
    for view in _VIEWS:
        db.execute(view)


def load_schema(db: sqlite3.Connection) -> ShardSchema:
    """The tables of the file, as information_schema would describe them."""
    columns: list[tuple[str | None, ...]] = []
    keys: list[tuple[str | None, ...]] = []
    for (table,) in db.execute(_TABLES).fetchall():
        columns += [_catalog_row(table, *row) for row in _columns(db, table)]
        keys += [(table, index, column) for index, unique, members in _indexes(db, table) if unique for column in members]
    return ShardSchema(columns, keys, [], [], {COLLATION: b"", "binary": b""}, SERVER_VERSION, "mariadb", "")


def table_types(db: sqlite3.Connection, table: str) -> TableTypes | None:
    """The columns of a table and their types, or None where it does not exist."""
    found = db.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall()
    return {name.lower(): declared_type(declared or "text") for name, declared in found} or None


def counts(db: sqlite3.Connection, table: str) -> bool:
    """Whether the table has an AUTO_INCREMENT column."""
    return any(_counts(declared, primary) for _, declared, _, _, primary in _columns(db, table))


def _columns(db: sqlite3.Connection, table: str) -> list[tuple[str, str, int, str | None, int]]:
    return db.execute('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (table,)).fetchall()


def _indexes(db: sqlite3.Connection, table: str) -> Iterator[tuple[str, bool, list[str]]]:
    """Name, uniqueness and columns of each index, the primary key first."""
    primary = db.execute("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (table,)).fetchall()
    if primary:
        yield "PRIMARY", True, [name for (name,) in primary]
    listed = "SELECT name, \"unique\" FROM pragma_index_list(?) WHERE origin <> 'pk' ORDER BY seq DESC"
    for name, unique in db.execute(listed, (table,)).fetchall():
        members = db.execute("SELECT name FROM pragma_index_info(?)", (name,)).fetchall()
        yield name.removeprefix(f"{table}."), bool(unique), [member for (member,) in members]


def _catalog_row(table: str, name: str, declared: str, notnull: int, default: str | None, primary: int) -> tuple[str | None, ...]:
    base = declared.split("(")[0].split()[0].lower() if declared else "varchar"
    data_type = _DATA_TYPES.get(base, base)
    known = declared_type(declared)
    charset, collation, size = ("utf8mb4", COLLATION, str(known.size)) if data_type in _STRINGS else (None, None, None)
    scale = str(known.scale) if data_type == "decimal" else None
    nullable = "NO" if notnull or primary else "YES"
    # The last three: extra, default, generation expression.
    extra = "auto_increment" if _counts(declared, primary) else ""
    return table, name, data_type, declared.lower(), nullable, charset, collation, size, scale, None, extra, default, None


# -- SHOW and DESCRIBE ------------------------------------------------------------------------------------------------


def show(db: sqlite3.Connection, sql: str) -> Answer:
    """Answer a SHOW or DESCRIBE; raises `ProxyError` for those that nobody asks of a demo."""
    words = [word.strip("`'") for word in _WORD.findall(sql)]
    upper = [word.upper() for word in words if word.upper() not in ("FULL", "EXTENDED", "GLOBAL", "SESSION", "LOCAL")]
    if upper[0] in ("DESC", "DESCRIBE"):
        return _show_columns(db, words[1], None, full=False)
    subject = " ".join(upper[1:3]) if upper[1] in ("CREATE", "TABLE") else upper[1]
    answer = _ANSWERS.get(subject)
    if answer is None:
        raise ProxyError(UNSUPPORTED_STATEMENT, f"SQLite shards do not answer SHOW {upper[1]}")
    like = words[upper.index("LIKE") + 1 + len(words) - len(upper)] if "LIKE" in upper else None
    return answer(db, _name_in(words), like, "FULL" in map(str.upper, words))


def _name_in(words: Sequence[str]) -> str:
    """The table that a SHOW names, without its schema."""
    for before, word in pairwise(words):
        if before.upper() in ("FROM", "IN", "TABLE"):
            return word.rpartition(".")[2].strip("`")
    return ""


def _tables(db: sqlite3.Connection, like: str | None) -> list[str]:
    pattern = re.compile(re.escape(like).replace("%", ".*").replace("_", "."), re.IGNORECASE) if like is not None else None
    names = [name for (name,) in db.execute(_TABLES).fetchall()]
    return [name for name in names if pattern is None or pattern.fullmatch(name)]


def _show_tables(db: sqlite3.Connection, name: str, like: str | None, full: bool) -> Answer:
    heading = "Tables_in_main" + (f" ({like})" if like is not None else "")
    found = _tables(db, like)
    if full:
        return (heading, "Table_type"), [(table, "BASE TABLE") for table in found]
    return (heading,), [(table,) for table in found]


def _show_table_status(db: sqlite3.Connection, name: str, like: str | None, full: bool) -> Answer:
    return ("Name", "Engine", "Collation", "Comment"), [(table, "SQLite", COLLATION, "") for table in _tables(db, like)]


def _show_create(db: sqlite3.Connection, name: str, like: str | None, full: bool) -> Answer:
    lines = []
    for column, declared, notnull, default, primary in _columns(db, name):
        line = f"  `{column}` {declared.lower()}" + (" NOT NULL" if notnull or primary else "")
        line += "" if default is None else f" DEFAULT {default}"
        lines.append(line + (" AUTO_INCREMENT" if _counts(declared, primary) else ""))
    if not lines:
        raise _no_table(name)
    for index, unique, columns in _indexes(db, name):
        members = ",".join(f"`{column}`" for column in columns)
        kind = "PRIMARY KEY" if index == "PRIMARY" else f"{'UNIQUE KEY' if unique else 'KEY'} `{index}`"
        lines.append(f"  {kind} ({members})")
    body = ",\n".join(lines)
    return ("Table", "Create Table"), [(name, f"CREATE TABLE `{name}` (\n{body}\n) ENGINE=SQLite DEFAULT CHARSET=utf8mb4")]


def _counts(declared: str, primary: int) -> bool:
    """Whether a column has AUTO_INCREMENT: SQLite's INTEGER primary key does."""
    return primary == 1 and declared == "INTEGER"


def _show_columns(db: sqlite3.Connection, name: str, like: str | None, full: bool) -> Answer:
    name = name.rpartition(".")[2].strip("`")
    columns = _columns(db, name)
    if not columns:
        raise _no_table(name)
    marks: dict[str, str] = {}
    for index, unique, members in reversed(list(_indexes(db, name))):
        mark = "PRI" if index == "PRIMARY" else "UNI" if unique and len(members) == 1 else "MUL"
        marks.update(dict.fromkeys(members if mark == "PRI" else members[:1], mark))
    rows: list[tuple[object, ...]] = []
    for column, declared, notnull, default, primary in columns:
        text = None if default is None else default.strip("'")
        null = "NO" if notnull or primary else "YES"
        extra = "auto_increment" if _counts(declared, primary) else ""
        shown = (column, declared.lower(), null, marks.get(column, ""), text, extra)
        collation = None if declared_type(declared).binary else COLLATION
        rows.append((*shown[:2], collation, *shown[2:], "select,insert,update", "") if full else shown)
    if full:
        return ("Field", "Type", "Collation", "Null", "Key", "Default", "Extra", "Privileges", "Comment"), rows
    return ("Field", "Type", "Null", "Key", "Default", "Extra"), rows


def _show_indexes(db: sqlite3.Connection, name: str, like: str | None, full: bool) -> Answer:
    nullable = {column: "" if notnull or primary else "YES" for column, _, notnull, _, primary in _columns(db, name)}
    if not nullable:
        raise _no_table(name)
    rows: list[tuple[object, ...]] = [
        (name, int(not unique), index, number, column, "A", None, None, None, nullable[column], "BTREE", "", "")
        for index, unique, members in _indexes(db, name)
        for number, column in enumerate(members, start=1)
    ]
    headings = ("Table", "Non_unique", "Key_name", "Seq_in_index", "Column_name", "Collation", "Cardinality")
    return (*headings, "Sub_part", "Packed", "Null", "Index_type", "Comment", "Index_comment"), rows


def _show_variables(db: sqlite3.Connection, name: str, like: str | None, full: bool) -> Answer:
    pattern = re.compile(re.escape(like or "%").replace("%", ".*").replace("_", "."), re.IGNORECASE)
    rows: list[tuple[object, ...]] = [(key, str(value)) for key, value in SYSTEM_VARIABLES.items() if pattern.fullmatch(key)]
    return ("Variable_name", "Value"), rows


def _show_status(db: sqlite3.Connection, name: str, like: str | None, full: bool) -> Answer:
    return ("Variable_name", "Value"), []


def _no_table(name: str) -> ServerError:
    return ServerError(1146, "42S02", f"Table 'main.{name}' doesn't exist")


_ANSWERS: dict[str, Callable[[sqlite3.Connection, str, str | None, bool], Answer]] = {
    "TABLES": _show_tables,
    "TABLE STATUS": _show_table_status,
    "CREATE TABLE": _show_create,
    **dict.fromkeys(("COLUMNS", "FIELDS"), _show_columns),
    **dict.fromkeys(("INDEX", "INDEXES", "KEYS"), _show_indexes),
    "VARIABLES": _show_variables,
    "STATUS": _show_status,
}
