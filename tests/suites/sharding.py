"""Which tables of a suite are spread over shards, and how.

A suite makes its tables as it goes, and a config must name them beforehand. So it is run once, directly, while the server
writes down every statement; each CREATE TABLE is then repeated, and the server tells what came of it. Kept is a config:

- by hash, where one column can be the key in at least half of the tables of that name and the rows are inserted with a value
  for it;
- by reference, where a foreign key could not be checked on one shard otherwise, and, if the tests are adapted, where there is
  no such column or AUTO_INCREMENT is to give the key; else these are left to the default shard;
- left to the default shard, where a table of that name is also made from a query, a view or a temporary table, or refers to
  another schema; or where its name is not ASCII, differs from another one's by case only, or is made up anew in every run.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pymysql.err import MySQLError

from shardproxy.topology.catalog import Column
from shardproxy.topology.keys import key_type_for
from tests.suites.model import BASES, Side, Suite, Target
from tests.suites.recorded import ASSETS
from tests.support.servers import DatabaseServer

SHARDS = ("s0", "s1", "s2")
# The sides over several shards, and those from which their tables are learnt.
SHARDED: dict[Side, Side] = {side: base for side, base in BASES.items() if side.startswith("sharded")}
_SCRATCH = "tables_again"
_NAME = r"(?:`(?P<quoted>(?:[^`]|``)+)`|(?P<plain>[\w$]+))(?!\w|`|\s*\.)"
_CREATE = re.compile(
    rf"\s*CREATE\s+(?P<kind>(?:OR\s+REPLACE\s+)?(?:TEMPORARY\s+)?(?:TABLE|VIEW))\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}", re.IGNORECASE
)
_INSERT = re.compile(
    rf"\s*(?:INSERT|REPLACE)\s+(?:IGNORE\s+)?(?:INTO\s+)?{_NAME}\s*(?:\((?P<columns>[^()]*)\)\s*(?:VALUES?|SELECT))?", re.IGNORECASE
)
# In a name that is another one the next time.
_ADDRESS = re.compile(r"[0-9a-f]{12}$")
_CHOSEN = re.compile(r" on (\S*) using ")
_LOG = "SELECT thread_id, command_type, argument FROM mysql.general_log ORDER BY event_time"
_COLUMNS = """
SELECT column_name, data_type, column_type, is_nullable, character_set_name, collation_name, character_maximum_length,
       datetime_precision, extra FROM information_schema.columns WHERE table_schema = %r ORDER BY ordinal_position"""
_KEYS = """
SELECT constraint_name, column_name, referenced_table_schema, referenced_table_name, referenced_column_name
FROM information_schema.key_column_usage WHERE table_schema = %r ORDER BY constraint_name, ordinal_position"""


@dataclass
class Table:
    """What became of all tables that had one name."""

    name: str
    # Of each of them, the columns that could be the key, the best one first.
    shapes: list[list[str]] = field(default_factory=list)
    # Set if one shard must have it: what made it is not a plain CREATE TABLE, or it refers to another schema.
    whole: bool = False
    # Its columns and those that they refer to, by table.
    refers: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    # The columns that each INSERT named; None for all of them.
    inserts: list[set[str] | None] = field(default_factory=list)

    def key(self) -> str | None:
        """The one to choose: that of most of them, if most rows do not leave it to the server."""
        counts = Counter(key for shape in self.shapes for key in shape)
        for key, count in counts.most_common():
            without = sum(1 for columns in self.inserts if columns is not None and key.lower() not in columns)
            if count * 2 >= len(self.shapes) and without * 2 <= len(self.inserts):
                return key
        return None


def asset(suite: Suite, side: Side) -> Path:
    """Where the tables of a suite are listed, as in a config file."""
    return ASSETS / f"{suite.name}.{side}.toml"


def sides(suite: Suite) -> list[Side]:
    """The sides that a suite has: each behind the one that it is compared with."""
    if not asset(suite, "sharded").exists():
        return ["direct", "proxy"]
    return ["direct", "proxy", "sharded", "direct-adapted", "sharded-adapted"]


def count(suite: Suite, side: Side) -> Counter[str]:
    """How many of its tables are spread in which way."""
    return Counter(table["by"] for table in tomllib.loads(asset(suite, side).read_text())["tables"].values())


def listen(server: DatabaseServer) -> None:
    """Have it write down what it is told."""
    server.execute("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON")


def learn(suite: Suite, target: Target, side: Side) -> int:
    """Make the list for a side from what the server was told by the suite, which has run directly; how many tables."""
    server = target.backend
    server.execute("SET GLOBAL general_log = OFF")
    tables: dict[str, Table] = {}
    creates: dict[str, None] = {}
    for sql in _statements(server, target.schema):
        if made := _CREATE.match(sql):
            table = tables.setdefault(_name(made), Table(_name(made)))
            if (
                made["kind"].upper() != "TABLE"
                or not sql[made.end() :].lstrip().startswith("(")
                or re.search(r"\bSELECT\b", sql, re.IGNORECASE)
            ):
                table.whole = True
            else:
                creates[sql] = None
        elif (filled := _INSERT.match(sql)) and (into := tables.get(_name(filled))):
            named = filled["columns"]
            into.inserts.append({column.strip(" `\n\t").lower() for column in named.split(",")} if named else None)
    for sql in creates:
        _repeat(server, sql, tables)
    text = "".join(_sections(tables, copies=side == "sharded-adapted"))
    asset(suite, side).write_text(f"# Written by `python -m tests.suites --tables --suite {suite.name}`.\n{text}")
    return text.count("[tables.")


def _statements(server: DatabaseServer, schema: str) -> Iterator[str]:
    """What was said in that schema, in its order."""
    chosen: dict[int, str] = {}
    for thread, command, argument in server.execute(_LOG):
        text = argument.decode(errors="replace") if isinstance(argument, bytes) else str(argument)
        if command == "Connect" and (on := _CHOSEN.search(text)):
            chosen[thread] = on[1]
        elif command == "Init DB":
            chosen[thread] = text
        elif command == "Query" and chosen.get(thread) == schema:
            yield re.sub(rf"(?<![\w`.])`?{re.escape(schema)}`?\.(?=[\w`])", "", text)


def _name(match: re.Match[str]) -> str:
    return match["quoted"].replace("``", "`") if match["quoted"] else match["plain"]


def _repeat(server: DatabaseServer, sql: str, tables: dict[str, Table]) -> None:
    match = _CREATE.match(sql)
    assert match is not None
    table = tables[_name(match)]
    server.create_schema(_SCRATCH)
    try:
        server.execute("SET foreign_key_checks = 0; " + sql, _SCRATCH)
    except MySQLError:
        return  # It was an error then, too, or it needs what is gone.
    columns = [_column(row) for row in server.execute(_COLUMNS % _SCRATCH)]
    unique: dict[str, list[str]] = {}
    refers: dict[str, tuple[str, dict[str, str]]] = {}
    for constraint, column, schema, other, other_column in server.execute(_KEYS % _SCRATCH):
        if other is None:
            unique.setdefault(constraint, []).append(column)
        elif schema != _SCRATCH:
            table.whole = True
        else:
            refers.setdefault(constraint, (other, {}))[1][column] = other_column
    table.refers += refers.values()
    table.shapes.append(_usable(columns, unique))


def _column(row: Sequence[object]) -> Column:
    name, data_type, column_type, nullable, charset, collation, length, precision, extra = row
    return Column(
        str(name),
        str(data_type).lower(),
        str(column_type),
        nullable == "YES",
        str(charset) if charset else None,
        str(collation) if collation else None,
        int(str(length or 0)),
        int(str(precision or 0)),
        generated="GENERATED" in str(extra).upper(),
    )


def _usable(columns: Sequence[Column], unique: dict[str, list[str]]) -> list[str]:
    """The columns that can be a sharding key: those of the primary key first."""
    primary = unique.get("PRIMARY", [])
    can = [
        column.name
        for column in columns
        if not column.nullable
        and not column.generated
        and not isinstance(key_type_for(column), str)
        and all(column.name in key for key in unique.values())
    ]
    return sorted(can, key=lambda name: primary.index(name) if name in primary else len(primary))


def _sections(tables: dict[str, Table], *, copies: bool) -> Iterator[str]:
    """The config. `copies`: tables without a key are copied to every shard, since transactions do not keep them from being written."""
    cases = [name.lower() for name in tables]
    fit = {name: table for name, table in tables.items() if name.isascii() and not _ADDRESS.search(name) and cases.count(name.lower()) == 1}
    spread = {name: table for name, table in fit.items() if table.shapes and not table.whole}
    hashed = {name: key for name, table in spread.items() if (key := table.key()) is not None}
    while apart := next(_apart(tables, hashed), ""):
        del hashed[apart]
    needed = set(hashed)
    while more := {other for name in needed for other, _ in tables[name].refers if other in tables} - needed:
        needed |= more
    for name in sorted(spread):
        if name in hashed:
            yield f'\n[tables.{json.dumps(name)}]\nby = "hash"\nkey = {json.dumps(hashed[name])}\n'
        elif copies or name in needed:
            yield f'\n[tables.{json.dumps(name)}]\nby = "reference"\n'


def _apart(tables: dict[str, Table], hashed: dict[str, str]) -> Iterator[str]:
    """Tables by hash with rows that other tables refer to from other shards, and those that refer to what is on one shard only."""
    for name, table in tables.items():
        for other, columns in table.refers:
            if other in hashed and columns.get(hashed.get(name, "")) != hashed[other]:
                yield other
            if name in hashed and other in tables and tables[other].whole:
                yield name
