"""SQLite as a row engine, for the demo and for tests without servers.

Statements come in MySQL's SQL and are translated by sqlglot; functions that the planner relies on (WEIGHT_STRING, COLLATION) and
some that applications use are registered. Strings compare byte by byte, as under utf8mb4_bin.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import sqlglot
from sqlglot.errors import SqlglotError

from shardproxy.backends.engine import BufferedResult, ConnectionKind, RelayTarget, ServerSettings, ShardSchema
from shardproxy.config.model import ServerUrl
from shardproxy.errors import NO_BACKEND, UNSUPPORTED_STATEMENT, ProxyError, ServerError
from shardproxy.protocol.flags import BINARY_CHARSET, ColumnType
from shardproxy.protocol.packets import EofPacket, OkPacket
from shardproxy.protocol.resultset import ColumnDefinition, build_row

_COLLATION = "utf8mb4_nopad_bin"
_BATCH_ROWS = 256
_IGNORED = re.compile(rb"\s*(SET|DO|LOCK|UNLOCK)\b", re.IGNORECASE)
_SHOW = re.compile(rb"\s*(SHOW|DESC|DESCRIBE)\b", re.IGNORECASE)
_COLUMN_TYPES = {
    "int": ColumnType.LONGLONG,
    "integer": ColumnType.LONGLONG,
    "bigint": ColumnType.LONGLONG,
    "smallint": ColumnType.LONGLONG,
    "tinyint": ColumnType.LONGLONG,
    "double": ColumnType.DOUBLE,
    "real": ColumnType.DOUBLE,
    "date": ColumnType.DATE,
    "datetime": ColumnType.DATETIME,
}


@lru_cache(maxsize=2048)
def translate(sql: bytes) -> str:
    """A statement in SQLite's dialect; raises `ProxyError` where there is none."""
    text = sql.decode("utf-8", "replace")
    try:
        return sqlglot.transpile(text, read="mysql", write="sqlite", unsupported_level=sqlglot.ErrorLevel.RAISE)[0]
    except SqlglotError as error:
        raise ProxyError(UNSUPPORTED_STATEMENT, f"SQLite cannot do this: {str(error).splitlines()[0]}") from None


class SQLiteConnection:
    """One connection to a SQLite file; see `engine.Connection`. Its statements run in a thread of its own."""

    relays = False
    busy = False

    def __init__(self, shard: str, path: str, kind: ConnectionKind) -> None:
        self.shard = shard
        self.schema = "main"
        self.kind = kind
        self.closed = False
        self.primed = 0
        self.status = 2
        self.started_at = 0.0
        self.on_closed: Callable[[Any], None] | None = None
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{shard}")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file."""
        await self._run(self._open)

    def _open(self) -> None:
        self._db = db = sqlite3.connect(self._path, isolation_level=None, timeout=5, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        for name, arguments, function in _FUNCTIONS:
            db.create_function(name, arguments, function)

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.closed:
            raise ProxyError(NO_BACKEND, f"shard {self.shard} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def send(self, sql: bytes) -> SQLiteStream:
        """Send a statement; its answer is awaited with `wait_ready`."""
        return SQLiteStream(self, asyncio.ensure_future(self._answer(sql)))

    async def _answer(self, sql: bytes) -> tuple[Any, list[ColumnDefinition], OkPacket | None]:
        if _IGNORED.match(sql):
            return None, [], OkPacket(status=self.status)
        if _SHOW.match(sql):
            return await self._run(self._show, sql)  # type: ignore[no-any-return]
        return await self._run(self._execute, translate(sql))  # type: ignore[no-any-return]

    async def query(self, sql: bytes) -> BufferedResult:
        """Run a statement with a small answer."""
        stream = self.send(sql)
        await stream.wait_ready()
        rows: list[bytes] = []
        while (batch := await stream.next_rows()) is not None:
            rows += batch
        return BufferedResult(stream.columns, rows, stream.ok)

    def _execute(self, sql: str) -> tuple[sqlite3.Cursor | None, list[ColumnDefinition], OkPacket | None]:
        assert self._db is not None
        before = self._db.total_changes
        try:
            cursor = self._db.execute(sql)
            first = cursor.fetchmany(_BATCH_ROWS) if cursor.description else []
        except sqlite3.Error as error:
            raise _server_error(error) from None
        self.status = 2 | (1 if self._db.in_transaction else 0)
        if cursor.description is None:
            return None, [], OkPacket(self._db.total_changes - before, cursor.lastrowid or 0, self.status)
        names = [item[0] for item in cursor.description]
        columns = [_result_column(name, [row[i] for row in first]) for i, name in enumerate(names)]
        return _Prefetched(cursor, first), columns, None  # type: ignore[return-value]

    def _show(self, sql: bytes) -> tuple[Any, list[ColumnDefinition], None]:
        """The few questions about the schema that the tools of a demo ask."""
        assert self._db is not None
        words = sql.decode("utf-8", "replace").replace("`", "").split()
        upper = [word.upper() for word in words]
        if upper[:2] == ["SHOW", "TABLES"]:
            found = self._db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1"
            ).fetchall()
            return _Prefetched(None, found), [_text("Tables_in_main")], None
        if upper[:3] == ["SHOW", "CREATE", "TABLE"]:
            found = self._db.execute("SELECT name, sql FROM sqlite_master WHERE name = ?", (words[3],)).fetchall()
            return _Prefetched(None, found), [_text("Table"), _text("Create Table")], None
        if upper[0] in ("DESC", "DESCRIBE") or "COLUMNS" in upper:
            name = words[-1] if upper[0] != "SHOW" else words[upper.index("FROM") + 1]
            info = self._db.execute(f"PRAGMA table_info('{name}')").fetchall()
            rows = [(n, t.lower(), "NO" if notnull else "YES", "PRI" if pk else "", default, "") for _, n, t, notnull, default, pk in info]
            return (
                _Prefetched(None, rows),
                [_text(n) for n in ("Field", "Type", "Null", "Key", "Default", "Extra")],
                None,
            )
        if "VARIABLES" in upper or "STATUS" in upper:
            return _Prefetched(None, []), [_text("Variable_name"), _text("Value")], None
        raise ProxyError(UNSUPPORTED_STATEMENT, "SQLite shards do not answer this SHOW")

    async def field_list(self, body: bytes) -> list[ColumnDefinition]:
        """The columns that COM_FIELD_LIST asks for."""
        table = body.split(b"\0", 1)[0].decode("utf-8", "replace").replace("'", "''")
        info = await self._run(lambda: self._db.execute(f"PRAGMA table_info('{table}')").fetchall())  # type: ignore[union-attr]
        return [_text(row[1]) for row in info]

    async def set_kind(self, kind: ConnectionKind) -> None:
        """SQLite has one character set; clients' others are converted by nobody."""
        self.kind = kind

    async def reset(self) -> None:
        """Roll back."""
        self.primed = 0
        if self._db is not None and self._db.in_transaction:
            await self._run(self._db.rollback)
        self.status = 2

    def relay(self, packet: bytes, target: RelayTarget) -> None:
        """Row engines do not relay."""
        raise NotImplementedError

    def pause(self) -> None:
        """Rows are read on demand."""

    def resume(self) -> None:
        """Rows are read on demand."""

    def abort(self, kill: bool = True) -> None:
        """Close the file."""
        if self.closed:
            return
        self.closed = True
        db, self._db = self._db, None
        if db is not None:
            if kill:
                db.interrupt()
            self._thread.submit(db.close)
        self._thread.shutdown(wait=False)
        if self.on_closed is not None:
            self.on_closed(self)


class SQLiteStream:
    """An answer that is read row by row; see `engine.ResultStream`."""

    def __init__(self, connection: SQLiteConnection, answer: asyncio.Future[Any]) -> None:
        self._connection = connection
        self._answer = answer
        self._cursor: Any = None
        self.columns: list[ColumnDefinition] = []
        self.ok: OkPacket | None = None
        self.eof: EofPacket | None = None

    async def wait_ready(self) -> None:
        """Until the columns are known or the statement has succeeded."""
        self._cursor, self.columns, self.ok = await self._answer

    async def next_rows(self) -> list[bytes] | None:
        """The next rows, or None at the end."""
        if self._cursor is None:
            return None
        rows = await self._connection._run(self._cursor.fetchmany, _BATCH_ROWS)
        if rows:
            return [build_row([_encode(value) for value in row]) for row in rows]
        self._cursor = None
        self.eof = EofPacket(0, self._connection.status)
        return None


class _Prefetched:
    """A cursor whose first rows were read already, to learn the types of its columns."""

    def __init__(self, cursor: sqlite3.Cursor | None, first: list[Any]) -> None:
        self._cursor = cursor
        self._first = first

    def fetchmany(self, count: int) -> list[Any]:
        if self._first:
            first, self._first = self._first, []
            return first
        return self._cursor.fetchmany(count) if self._cursor is not None else []


class SQLiteEngine:
    """One SQLite file; see `engine.Engine`."""

    def __init__(self, shard: str, url: ServerUrl, settings: ServerSettings) -> None:
        self.shard = shard
        self.label = url.label
        self.schema = "main"
        self._path = url.path

    async def connect(self, kind: ConnectionKind) -> SQLiteConnection:
        """A new connection; raises `ProxyError` (SP1401) where the file cannot be opened."""
        connection = SQLiteConnection(self.shard, self._path, kind)
        try:
            await connection.open()
        except sqlite3.Error as error:
            connection.abort()
            raise ProxyError(NO_BACKEND, f"shard {self.shard} ({self.label}) cannot be opened: {error}") from None
        return connection

    async def load_schema(self, connection: Any) -> ShardSchema:
        """The tables of the file, as information_schema would describe them."""
        return await connection._run(_load_schema, connection._db)  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Nothing is held here."""


def _load_schema(db: sqlite3.Connection) -> ShardSchema:
    columns: list[tuple[str | None, ...]] = []
    keys: list[tuple[str | None, ...]] = []
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1").fetchall():
        primary = []
        for _, name, declared, notnull, default, pk in db.execute(f"PRAGMA table_info('{table}')"):
            base = declared.split("(")[0].strip().lower()
            size = re.search(r"\((\d+)", declared)
            data_type = {"text": "varchar", "integer": "bigint", "int": "bigint", "real": "double"}.get(base, base)
            textual = data_type in ("varchar", "char")
            nullable = "NO" if notnull or pk else "YES"
            length = (size.group(1) if size else "255") if textual else None
            charset, collation = ("utf8mb4", _COLLATION) if textual else (None, None)
            columns.append((table, name, data_type, declared, nullable, charset, collation, length, None, None, "", default, None))
            if pk:
                primary.append((pk, name))
        keys += [(table, "PRIMARY", name) for _, name in sorted(primary)]
        for _, index, unique, origin, _ in db.execute(f"PRAGMA index_list('{table}')").fetchall():
            if unique and origin != "pk":
                keys += [(table, index, row[2]) for row in db.execute(f"PRAGMA index_info('{index}')")]
    return ShardSchema(columns, keys, [], [], {_COLLATION: b"", "binary": b""}, f"{sqlite3.sqlite_version}-sqlite", "mariadb", "")


def _encode(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogateescape")


def _text(name: str) -> ColumnDefinition:
    return ColumnDefinition(name.encode(), ColumnType.VAR_STRING, length=1020)


def _result_column(name: str, values: list[object]) -> ColumnDefinition:
    """SQLite's columns have no types; what the first rows hold decides."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int) for value in known):
        return ColumnDefinition(name.encode(), ColumnType.LONGLONG, BINARY_CHARSET, 20)
    if known and all(isinstance(value, (int, float)) for value in known):
        return ColumnDefinition(name.encode(), ColumnType.DOUBLE, BINARY_CHARSET, 22, decimals=31)
    if known and all(isinstance(value, bytes) for value in known):
        return ColumnDefinition(name.encode(), ColumnType.VAR_STRING, BINARY_CHARSET, 1020)
    return _text(name)


def _server_error(error: sqlite3.Error) -> ServerError:
    text = str(error)
    if isinstance(error, sqlite3.IntegrityError):
        return ServerError(1048 if "NOT NULL" in text else 1062, "23000", text)
    if "no such table" in text:
        return ServerError(1146, "42S02", text)
    if "no such column" in text:
        return ServerError(1054, "42S22", text)
    if "already exists" in text:
        return ServerError(1050, "42S01", text)
    return ServerError(1105 if "locked" not in text else 1205, "HY000", text)


def _weight(value: object) -> bytes | None:
    return value.encode() if isinstance(value, str) else None


_FUNCTIONS: list[tuple[str, int, Callable[..., Any]]] = [
    ("WEIGHT_STRING", 1, _weight),
    ("COLLATION", 1, lambda value: _COLLATION if isinstance(value, str) else "binary"),
    ("CONCAT", -1, lambda *values: None if None in values else "".join(map(str, values))),
    ("NOW", 0, lambda: dt.datetime.now().replace(microsecond=0).isoformat(" ")),
    ("VERSION", 0, lambda: f"{sqlite3.sqlite_version}-sqlite"),
    ("SLEEP", 1, lambda seconds: 0),
    ("LEFT", 2, lambda value, n: None if value is None else str(value)[:n]),
]
