"""The tail: what changes on the source while its rows are copied is brought after them.

The binary log only says which rows have changed. They are read again from the source and replace those on the target, so that a change
may come twice, or late, without harm. Before a batch is read, a write of our own goes to the source: when it has been committed, all
that was logged before it can be seen. What has been written is compared with what was read before it is committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import time
from collections.abc import Coroutine, Mapping, Sequence

from migrate.binlog.changes import RowChange
from migrate.binlog.errors import BinlogError, LayoutMismatch, SchemaChanged, SourceLost, StatementLogged
from migrate.binlog.layout import WatchedTable, read_layouts
from migrate.binlog.position import Position
from migrate.binlog.reader import BinlogReader
from migrate.binlog.values import literal
from migrate.copying import Key, Rows, insert_rows, read_keys
from migrate.errors import MoveBlocked, MoveFailed, Restart
from migrate.failpoints import reach
from migrate.job import Job, is_duplicate, roll_back
from migrate.keys import key_of_value
from migrate.node import LOCK_ERRNOS, MARKER, OUTBOX
from migrate.tables import MovedTable, read_texts
from shardproxy.backends.engine import Connection
from shardproxy.errors import ProxyError, ServerError
from shardproxy.topology.hashing import bucket_of

_BATCH_KEYS = 500
# Changes that are read and not applied yet, in all; the reader waits beyond.
_PENDING_KEYS = 200_000
_IDLE_S = 0.05
_MARK_S = 0.2
# A row may clash with another one that its own change, further on in the log, takes out of the way.
_CLASHES = 20
# Changes that triggers have written down, taken at a time.
_OUTBOX_ROWS = 5000
_SERVER_ID_BASE = 0x5D000000

Wanted = tuple[str, Key]


class Tail:
    """One move's tail; `start`, then wait for `caught_up` or `applied_up_to_now`, then `stop`. A failure is raised by those waits."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._tables = {table.name: table for table in job.tables}
        self._watched: Mapping[str, WatchedTable] = {}
        # Keys in the order in which they are to be brought, each once.
        self._pending: dict[Wanted, None] = {}
        self._outbox = job.progress.outbox
        self._read_to = Position("", 0) if self._outbox else Position.decode(job.progress.position)
        self._mark_seen = -1
        self._mark_seen_at = 0.0
        self._mark_told_at: dict[int, float] = {}
        # What is being brought, and what of it could not be.
        self._under_way: dict[Wanted, None] = {}
        self._clashed: set[Wanted] = set()
        self._locked: set[Wanted] = set()
        self._locking = False
        self._clashes = 0
        self._clash = ""
        self._outbox_mark = -1
        # Something is pending; something was brought.
        self._changes = asyncio.Event()
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._reader: BinlogReader | None = None
        self._source: Connection | None = None
        self._target: Connection | None = None
        # Keys that were brought since `watch_keys`.
        self.brought: set[Wanted] | None = None

    async def start(self) -> None:
        """Begin to read and to apply."""
        job = self._job
        keys = {t.name: [*t.key, *([t.sharding_key] if t.sharding_key else [])] for t in job.tables}
        keys[MARKER] = ["mark"]
        if not self._outbox:
            async with job.source.session() as session:
                self._watched = await read_layouts(session, job.source.engine.schema, list(keys), keys)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._guarded(work)) for work in (self._apply(), *(() if self._outbox else (self._read(),)))]

    async def stop(self) -> None:
        """Stop; what was not applied stays in the log."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._reader is not None:
            with contextlib.suppress(BinlogError, OSError):
                await self._reader.close()
        for session in (self._source, self._target):
            if session is not None:
                session.abort()

    def check(self) -> None:
        """Raise what has ended the tail."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                error = task.exception()
                if error is not None:
                    raise error

    @property
    def lag_s(self) -> float:
        """How far the target is behind: the age of the newest mark that was not seen in the log."""
        waiting = [at for mark, at in self._mark_told_at.items() if mark > self._mark_seen]
        return max(0.0, time.monotonic() - min(waiting)) if waiting else 0.0

    @property
    def backlog(self) -> int:
        """Keys that are read and not brought yet."""
        return len(self._pending) + len(self._under_way)

    async def caught_up(self, lag_s: float, seconds: float) -> bool:
        """Until the target is at most so far behind; False where it is not within `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.check()
            if self._mark_seen >= 0 and self.lag_s <= lag_s and self.backlog <= _BATCH_KEYS:
                return True
            await asyncio.sleep(_IDLE_S)
        return False

    async def applied_up_to_now(self, seconds: float) -> None:
        """Until all that is in the log by now is on the target; raises `MoveBlocked` where that takes longer."""
        job = self._job
        async with job.source.session() as session:
            await job.source.mark(session)
            mark = int((await read_texts(session, f"SELECT mark FROM `{MARKER}` WHERE id = 1"))[0][0])
        until = time.monotonic() + seconds
        while self._mark_seen < mark or self._pending or self._under_way:
            self.check()
            if time.monotonic() > until:
                raise MoveBlocked(f"the target is {len(self._pending)} rows behind")
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await self._news.wait()

    def bring_again(self, rows: Sequence[Wanted]) -> None:
        """Bring rows of which the log says nothing."""
        for wanted in rows:
            self._pending.setdefault(wanted, None)
        self._changes.set()

    # -- reading ------------------------------------------------------------------------------------------------------

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        finally:
            self._news.set()

    async def _read(self) -> None:
        job = self._job
        while True:
            reader = BinlogReader(
                job.source.engine._url,
                job.source.engine.schema,
                self._watched,
                self._read_to,
                server_id=_SERVER_ID_BASE + (job.move.id & 0xFFFF),
            )
            self._reader = reader
            try:
                await reader.start()
                async for transaction in reader:
                    for change in transaction.changes:
                        self._take(change)
                    self._read_to = transaction.end
                    if transaction.changes:
                        self._changes.set()
                        self._news.set()
                    while len(self._pending) > _PENDING_KEYS:  # noqa: ASYNC110 - the applier need not tell each row
                        await asyncio.sleep(_IDLE_S)
            except SourceLost as error:
                job.throttle.reason = str(error)
            except (SchemaChanged, StatementLogged, LayoutMismatch) as error:
                raise MoveFailed(str(error)) from error
            except BinlogError as error:
                raise Restart(str(error)) from error
            with contextlib.suppress(BinlogError, OSError):
                await reader.close()
            await asyncio.sleep(_IDLE_S * 4)
            await self._check_source()

    async def _check_source(self) -> None:
        """The log's positions belong to one server: another one in its place has others."""
        job = self._job
        while True:
            try:
                identity = await server_identity(job)
            except (ProxyError, ServerError):
                await asyncio.sleep(_IDLE_S * 4)
                continue
            if identity != job.progress.source:
                raise Restart("the source was replaced by another server")
            return

    def _take(self, change: RowChange) -> None:
        if change.table == MARKER:
            if change.after is not None:
                self._saw(int(change.after[0] or 0))
            return
        table, layout = self._tables[change.table], self._watched[change.table]
        # Most updates leave the key as it is.
        for values in (change.before, change.after) if change.before != change.after else (change.after,):
            if values is not None and self._moves(table, layout, values):
                columns = layout.key_columns
                key = tuple(literal(value, column) for value, column in zip(values, columns[: len(table.key)], strict=False))
                # Behind those that were read before: a row that comes again is read again, so once is enough, at its last place.
                wanted = (change.table, key)
                self._pending.pop(wanted, None)
                self._pending[wanted] = None

    def _saw(self, mark: int) -> None:
        self._mark_seen = mark
        self._mark_told_at = {later: at for later, at in self._mark_told_at.items() if later > mark}

    async def _take_outbox(self, mark: int) -> str:
        """Take what triggers have written down; gives the condition for the rows to be deleted when that has been brought."""
        assert self._source is not None
        rows = await read_texts(self._source, f"SELECT id, tbl, k FROM `{OUTBOX}` WHERE move = {self._job.move.id} LIMIT {_OUTBOX_ROWS}")
        for _, table, key in rows:
            wanted = (table, tuple(bytes.fromhex(part) for part in key.split(",")))
            self._under_way[wanted] = None
        if len(rows) < _OUTBOX_ROWS:
            # All that was committed before the mark was there to be seen.
            self._outbox_mark = mark
        return f"id IN ({', '.join(row[0] for row in rows)})" if rows else ""

    def _moves(self, table: MovedTable, layout: WatchedTable, values: Sequence[object]) -> bool:
        share = self._job.move.share
        if table.key_type is None or share.everything or share.intervals:
            # Whether a row is in an interval is left to the servers.
            return True
        key = key_of_value(table.key_type, values[-1], layout.key_columns[-1])
        return key is None or bucket_of(table.key_type.canonical(key)) in share.buckets

    # -- applying -----------------------------------------------------------------------------------------------------

    async def _apply(self) -> None:
        job = self._job
        marked_at = 0.0
        while True:
            try:
                self._source = await job.source.reopened(self._source)
                self._target = await job.target.reopened(self._target)
                if self._pending or self._outbox or time.monotonic() - marked_at > _MARK_S:
                    marked_at = time.monotonic()
                    await self._turn()
                    await job.save(now=False)
                    self._news.set()
            except ProxyError as error:
                # A server is away: what was pending still is.
                job.throttle.reason = str(error)
                await asyncio.sleep(_IDLE_S * 4)
                continue
            if not self._pending:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_S):
                        await self._changes.wait()
                self._changes.clear()

    async def _turn(self) -> None:
        """Bring all that is pending now; that done, the target has everything up to where the log had been read."""
        job = self._job
        assert self._source is not None and self._target is not None
        read_to = self._read_to
        self._pending, self._under_way = {}, self._pending
        try:
            told_at = time.monotonic()
            await job.source.mark(self._source)
            mark = int((await read_texts(self._source, f"SELECT mark FROM `{MARKER}` WHERE id = 1"))[0][0])
            self._mark_told_at[mark] = told_at
            # An XA transaction is logged as committed some time before it is, and not in order with others. As long as one is prepared,
            # rows are read once nobody has them locked.
            self._locking = bool(await read_texts(self._source, "XA RECOVER"))
            taken = await self._take_outbox(mark) if self._outbox else ""
            while self._under_way:
                batch = list(itertools.islice(self._under_way, _BATCH_KEYS))
                await self._bring(batch)
                for wanted in batch:
                    del self._under_way[wanted]
        finally:
            # What could not be brought comes first again, unless it has changed once more.
            left = {**dict.fromkeys(self._clashed), **dict.fromkeys(self._locked), **self._under_way}
            self._pending = {**{wanted: None for wanted in left if wanted not in self._pending}, **self._pending}
            self._under_way = {}
            clashed, self._clashed = self._clashed, set()
            locked, self._locked = self._locked, set()
        if clashed or locked:
            self._clashes += bool(clashed)
            if self._clashes > _CLASHES:
                raise MoveFailed(self._clash)
            await asyncio.sleep(_IDLE_S)
        else:
            self._clashes = 0
            if self._outbox:
                if taken:
                    await self._source.query(f"DELETE FROM `{OUTBOX}` WHERE {taken}".encode())
                self._saw(self._outbox_mark)
            else:
                job.progress.position = read_to.encode()
        job.progress.lag_ms = round(self.lag_s * 1000)
        await reach("batch_noted")

    async def _bring(self, batch: Sequence[Wanted]) -> None:
        job = self._job
        assert self._source is not None
        for name in dict.fromkeys(wanted[0] for wanted in batch):
            table = self._tables[name]
            keys = [key for other, key in batch if other == name]
            await job.throttle.pace(len(keys))
            try:
                rows = await read_keys(self._source, table, keys, locking=self._locking)
            except ServerError as error:
                if error.errno not in LOCK_ERRNOS:
                    raise
                self._locked.update((name, key) for key in keys)
                continue
            await reach("batch_read")
            if not await self._replaced(table, keys, rows):
                # One by one, so that only those are left that clash: later, together with the change of the row that is in the way.
                for key in keys:
                    if not await self._replaced(table, [key], await read_keys(self._source, table, [key])):
                        self._clashed.add((name, key))
            job.progress.rows_applied += len(keys)
            if self.brought is not None:
                self.brought.update((name, key) for key in keys)
            await reach("batch_written")

    async def _replaced(self, table: MovedTable, keys: Sequence[Key], rows: Rows) -> bool:
        """False where a row clashes with another one, or is locked."""
        assert self._target is not None
        try:
            await self._replace(table, keys, rows)
        except ServerError as error:
            await roll_back(self._target)
            if not (is_duplicate(error) or error.errno in LOCK_ERRNOS):
                raise
            self._clash = f"table {table.name}: a row of the share clashes with one on {self._job.target.shard}: {error}"
            return False
        return True

    async def _replace(self, table: MovedTable, keys: Sequence[Key], rows: Rows) -> None:
        job, connection = self._job, self._target
        assert connection is not None
        await job.begin(connection, job.target)
        where = f"{table.one_of(keys)} AND {table.condition}".encode("utf-8", "surrogateescape")
        await connection.query(b"DELETE FROM " + table.sql.encode() + b" WHERE " + where)
        await insert_rows(connection, table, rows)
        if rows:
            found = await read_texts(
                connection, f"SELECT COUNT(*), BIT_XOR({table.hash_sql}) FROM {table.sql} WHERE {where.decode('utf-8', 'surrogateescape')}"
            )
            if (int(found[0][0]), int(found[0][1])) != (len(rows), xor_of(rows)):
                await roll_back(connection)
                raise MoveFailed(f"table {table.name}: rows are not the same on {job.target.shard} as they were written")
        await connection.query(b"COMMIT")


def xor_of(rows: Rows) -> int:
    """What `BIT_XOR` of `MovedTable.hash_sql` gives for these rows."""
    total = 0
    for row in rows:
        total ^= int.from_bytes(hashlib.sha256(row).digest()[:8], "big")
    return total


async def server_identity(job: Job) -> str:
    """Which server the source is, across restarts."""
    async with job.source.session() as session:
        return await identity_of(session)


async def identity_of(session: Connection) -> str:
    """MySQL has a UUID; MariaDB's data directory and number must do, with the host that it runs on."""
    try:
        found = await read_texts(session, "SELECT @@server_uuid")
    except ServerError:
        found = await read_texts(session, "SELECT CONCAT_WS('/', @@hostname, @@datadir, @@server_id, @@port)")
    return found[0][0]
