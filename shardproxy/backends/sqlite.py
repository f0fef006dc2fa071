"""SQLite as a row engine, for the demo and for tests without servers.

Statements come in MySQL's SQL and are translated (`sqlite_dialect`); results get MySQL's types (`sqlite_types`); functions that the
planner relies on and some that applications use are registered (`sqlite_functions`). Strings compare byte by byte, as under
utf8mb4_bin. Rows that an UPDATE leaves as they were count as changed.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from shardproxy.backends import sqlite_functions, sqlite_schema
from shardproxy.backends.engine import BufferedResult, ConnectionKind, RelayTarget, ServerSettings, ShardSchema
from shardproxy.backends.sqlite_dialect import Translation, translate
from shardproxy.backends.sqlite_types import TableTypes, ValueType, column_of, encoder_of, result_types
from shardproxy.backends.statements import BackendStatement
from shardproxy.config.model import ServerUrl
from shardproxy.errors import NO_BACKEND, ProxyError, ServerError
from shardproxy.protocol.packets import EofPacket, OkPacket
from shardproxy.protocol.resultset import ColumnDefinition, build_row

if TYPE_CHECKING:
    from shardproxy.backends.pool import Pool

_BATCH_ROWS = 256
_IGNORED = re.compile(rb"\s*(SET|DO|LOCK|UNLOCK|ANALYZE|OPTIMIZE)\b", re.IGNORECASE)
_SHOW = re.compile(rb"\s*(SHOW|DESC|DESCRIBE)\b", re.IGNORECASE)
_END = re.compile(r"\s*(COMMIT|ROLLBACK)\b(?!.*\bTO\b)", re.IGNORECASE)


class SQLiteConnection:
    """One connection to a SQLite file; see `engine.Connection`. Its statements run in a thread of its own."""

    relays = False

    def __init__(self, shard: str, path: str, kind: ConnectionKind) -> None:
        self.shard = shard
        self.schema = "main"
        self.kind = kind
        self.closed = False
        self.primed = 0
        self.status = 2
        self.started_at = 0.0
        self.on_closed: Callable[[Any], None] | None = None
        self.on_progress: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.killing: asyncio.Future[None] | None = None
        self.congested = False
        self.dirty = False
        self.position = ""
        self.tracks_variables = False
        self.use = 0
        self.pool: Pool
        self.busy = False
        self._path = path
        self._types: dict[str, TableTypes | None] = {}
        self._types_version = -1
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{shard}")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file."""
        await self._run(self._open)

    def _open(self) -> None:
        self._db = db = sqlite3.connect(self._path, isolation_level=None, timeout=5, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA case_sensitive_like = ON")
        sqlite_functions.register(db)
        sqlite_schema.create_views(db)

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.closed:
            raise ProxyError(NO_BACKEND, f"shard {self.shard} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def send(self, sql: bytes) -> SQLiteStream:
        """Send a statement; its answer is awaited with `wait_ready`."""
        self.busy = True
        return SQLiteStream(self, asyncio.ensure_future(self._answer(sql)))

    async def _answer(self, sql: bytes) -> _Answer:
        if _IGNORED.match(sql):
            return None, [], OkPacket(status=self.status)
        if _SHOW.match(sql):
            return await self._run(self._show, sql)  # type: ignore[no-any-return]
        # Translated here and not in the thread: the shards of a scatter then find it in the cache.
        return await self._run(self._execute, translate(sql))  # type: ignore[no-any-return]

    async def query(self, sql: bytes) -> BufferedResult:
        """Run a statement with a small answer."""
        stream = self.send(sql)
        await stream.wait_ready()
        rows: list[bytes] = []
        while (batch := await stream.next_rows()) is not None:
            rows += batch
        return BufferedResult(stream.columns, rows, stream.ok)

    def _execute(self, translation: Translation) -> _Answer:
        assert self._db is not None
        before = self._db.total_changes
        cursor = self._db.cursor()
        try:
            for statement in translation.statements:
                # SQLite complains where there is no transaction to end; MySQL does not.
                if not _END.match(statement) or self._db.in_transaction:
                    cursor.execute(statement)
            first = cursor.fetchmany(_BATCH_ROWS) if cursor.description else []
        except sqlite3.Error as error:
            raise _server_error(error) from None
        self.status = 2 | (1 if self._db.in_transaction else 0)
        if cursor.description is None:
            changed = self._db.total_changes - before
            return None, [], OkPacket(changed, self._insert_id(translation, cursor, changed), self.status)
        return _Prefetched(cursor, first), self._columns(translation, cursor, first), None

    def _insert_id(self, translation: Translation, cursor: sqlite3.Cursor, rows: int) -> int:
        """The AUTO_INCREMENT value of an INSERT's first row, or 0 where there is none."""
        assert self._db is not None
        counts = bool(translation.into and rows) and sqlite_schema.counts(self._db, translation.into)
        return (cursor.lastrowid or 0) - rows + 1 if counts else 0

    def _columns(self, translation: Translation, cursor: sqlite3.Cursor, first: list[Any]) -> list[ColumnDefinition]:
        """The result's columns, named and typed as MySQL would."""
        found = [item[0] for item in cursor.description]
        types: list[ValueType | None] = []
        if translation.query is not None:
            types = result_types(translation.query, self._table_types)
        if len(types) != len(found):
            types = [None] * len(found)
        names = translation.names if len(translation.names) == len(found) else [""] * len(found)
        return [
            column_of(own or name, known, [row[i] for row in first])
            for i, (own, name, known) in enumerate(zip(names, found, types, strict=True))
        ]

    def _table_types(self, table: str) -> TableTypes | None:
        """The types of a table's columns, read again after each change of the schema."""
        assert self._db is not None
        version = self._db.execute("PRAGMA schema_version").fetchone()[0]
        if version != self._types_version:
            self._types_version = version
            self._types.clear()
        if table not in self._types:
            self._types[table] = sqlite_schema.table_types(self._db, table)
        return self._types[table]

    def _show(self, sql: bytes) -> _Answer:
        assert self._db is not None
        headings, rows = sqlite_schema.show(self._db, sql.decode("utf-8", "replace"))
        columns = [column_of(name, None, [row[i] for row in rows]) for i, name in enumerate(headings)]
        return _Prefetched(None, rows), columns, None

    async def field_list(self, body: bytes) -> list[ColumnDefinition]:
        """The columns that COM_FIELD_LIST asks for."""
        table = body.split(b"\0", 1)[0].decode("utf-8", "replace")
        types: TableTypes = await self._run(self._table_types, table) or {}
        return [column_of(name, known, []) for name, known in types.items()]

    async def set_kind(self, kind: ConnectionKind) -> None:
        """SQLite has one character set; clients' others are converted by nobody."""
        self.kind = kind

    async def reset(self) -> None:
        """Roll back."""
        self.primed = 0
        if self._db is not None and self._db.in_transaction:
            await self._run(self._db.rollback)
        self.status = 2

    def prepared(self, text: bytes) -> BackendStatement | None:
        """Row engines do not prepare."""
        return None

    async def prepare(self, text: bytes) -> BackendStatement:
        """Row engines do not prepare."""
        raise NotImplementedError

    def forget(self, text: bytes) -> None:
        """Row engines do not prepare."""

    def send_command(self, packet: bytes) -> SQLiteStream:
        """Row engines do not relay."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Row engines do not relay."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Stop the statement that is running."""
        if self.busy and self._db is not None:
            self._db.interrupt()

    def relay(self, packet: bytes, target: RelayTarget, *, file: bool = False) -> None:
        """Row engines do not relay."""
        raise NotImplementedError

    def note(self, changes: bytes) -> None:
        """A file tells of none."""

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

    def __init__(self, connection: SQLiteConnection, answer: asyncio.Future[_Answer]) -> None:
        self._connection = connection
        self._answer = answer
        self._cursor: Any = None
        self._encoders: list[Callable[[object], bytes | None]] = []
        self.columns: list[ColumnDefinition] = []
        self.ok: OkPacket | None = None
        self.eof: EofPacket | None = None
        answer.add_done_callback(self._answered)

    def _answered(self, answer: asyncio.Future[_Answer]) -> None:
        """Runs before whoever waits goes on, or instead of it: another shard's error may have ended the statement."""
        if answer.cancelled() or answer.exception() is not None or answer.result()[0] is None:
            self._connection.busy = False

    async def wait_ready(self) -> None:
        """Until the columns are known or the statement has succeeded."""
        self._cursor, self.columns, self.ok = await self._answer
        self._encoders = [encoder_of(column) for column in self.columns]

    @property
    def more(self) -> bool:
        """There is one result."""
        return False

    def next_result(self) -> bool:
        """There is one result."""
        return False

    async def next_rows(self) -> list[bytes] | None:
        """The next rows, or None at the end."""
        if self._cursor is None:
            return None
        rows = await self._connection._run(self._cursor.fetchmany, _BATCH_ROWS)
        if rows:
            return [build_row([encode(value) for encode, value in zip(self._encoders, row, strict=True)]) for row in rows]
        self._cursor = None
        self._connection.busy = False
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

    relays = False

    def __init__(self, shard: str, url: ServerUrl, settings: ServerSettings) -> None:
        self.settings = settings
        self.shard = shard
        self.label = url.label
        self.address = url.path
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
        return await connection._run(sqlite_schema.load_schema, connection._db)  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Nothing is held here."""


_Answer = tuple[_Prefetched | None, list[ColumnDefinition], OkPacket | None]


def _server_error(error: sqlite3.Error) -> ServerError:
    """SQLite's message as MySQL's error of the same meaning."""
    text = str(error)
    for pattern, errno, sqlstate, message in _ERRORS:
        match = re.search(pattern, text)
        if match:
            return ServerError(errno, sqlstate, match.expand(message))
    return ServerError(1105, "HY000", text)


_ERRORS = (
    (r"UNIQUE constraint failed: (.*)", 1062, "23000", r"Duplicate entry for key '\1'"),
    (r"NOT NULL constraint failed: \w+\.(.*)", 1048, "23000", r"Column '\1' cannot be null"),
    (r"(CHECK constraint failed.*)", 4025, "23000", r"\1"),
    (r"(FOREIGN KEY constraint failed.*)", 1452, "23000", r"\1"),
    (r"no such table: (?:main\.)?(.*)", 1146, "42S02", r"Table 'main.\1' doesn't exist"),
    (r"no such column: (.*)", 1054, "42S22", r"Unknown column '\1' in 'field list'"),
    (r"table \S+ has no column named (.*)", 1054, "42S22", r"Unknown column '\1' in 'field list'"),
    (r"no such function: (.*)", 1305, "42000", r"FUNCTION \1 does not exist on SQLite shards"),
    (r"table [`\"]?(.*?)[`\"]? already exists", 1050, "42S01", r"Table '\1' already exists"),
    (r"index (.*) already exists", 1061, "42000", r"Duplicate key name '\1'"),
    (r"table \S+ has \d+ columns but \d+ values|\d+ values for \d+ columns", 1136, "21S01", r"Column count doesn't match value count"),
    (r"interrupted", 1317, "70100", r"Query execution was interrupted"),
    (r"syntax error", 1064, "42000", r"You have an error in your SQL syntax, or SQLite cannot do this"),
    (r"database is locked", 1205, "HY000", r"Lock wait timeout exceeded; try restarting transaction"),
)
