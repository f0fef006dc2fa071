"""A pytest plugin for foreign suites over PyMySQL: what an application is changed in before its tables are spread over shards.

Each statement is a transaction of its own, but where a test says BEGIN, and a savepoint is none; words are not read in another
way, as ANSI would have it; and the first column of a table can be a key: not NULL where there is no other key, and in a binary
collation.
"""

import re
from typing import Any

from pymysql.connections import Connection

_CREATE = re.compile(
    r"(?P<head>\s*CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:`[^`]+`|[\w$]+)\s*\(\s*(?:`[^`]+`|[\w$]+)\s+)"
    r"(?P<type>(?P<base>(?:tiny|small|medium|big)?int(?:eger)?|date|datetime|(?:var)?char)\b(?:\s*\(\s*\d+\s*\))?(?:\s+unsigned)?)"
    r"(?P<rest>(?:[^,()]|\([^()]*\))*)",
    re.IGNORECASE,
)
_KEY = re.compile(r"PRIMARY\s+KEY|UNIQUE", re.IGNORECASE)
_SAVEPOINT = re.compile(r"\s*(?:RELEASE\s+|ROLLBACK\s+TO\s+)?SAVEPOINT\b", re.IGNORECASE)
_init, _query = Connection.__init__, Connection.query


def keyed(sql: str) -> str:
    """The statement, with a first column that can be a key."""
    match = _CREATE.match(sql)
    if match is None:
        return sql
    rest = match["rest"].upper()
    more = ""
    if match["base"].lower().endswith("char") and "COLLATE" not in rest and "CHARACTER" not in rest:
        more += " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    if "NULL" not in rest and not _KEY.search(sql):
        more += " NOT NULL"
    return sql[: match.end("type")] + more + sql[match.end("type") :]


def _init_committing(self: Any, *args: Any, **options: Any) -> None:
    options["autocommit"] = True
    if options.get("sql_mode"):
        options["sql_mode"] = options["sql_mode"].replace("ANSI,", "")
    _init(self, *args, **options)


def _stay_committing(self: Any, value: Any) -> None:
    """A pool would take the connection for one that does not commit from now on."""


def _query_keyed(self: Any, sql: Any, unbuffered: bool = False) -> Any:
    if isinstance(sql, str):
        sql = "DO 0" if _SAVEPOINT.match(sql) else keyed(sql)
    return _query(self, sql, unbuffered)


Connection.__init__ = _init_committing
Connection.autocommit = _stay_committing
Connection.query = _query_keyed
