"""Copying the rows of a share, table by table in the order of their keys, in chunks.

Nothing is locked and no snapshot is held: a row that changes after its chunk was read is in the source's binary log behind the position
that was noted before the first chunk, and the tail brings it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from migrate.errors import MoveFailed
from migrate.failpoints import reach
from migrate.job import Job, is_duplicate, roll_back
from migrate.node import LOCK_ERRNOS, Node
from migrate.tables import MovedTable
from shardproxy.backends.engine import Connection
from shardproxy.errors import ServerError
from shardproxy.protocol.resultset import parse_row

Key = tuple[bytes, ...]
Rows = list[bytes]

# A chunk is made as long as this many seconds give, within these rows and bytes.
_CHUNK_S = 0.15
_FIRST_ROWS, _LEAST_ROWS, _MOST_ROWS = 500, 50, 20_000
_CHUNK_BYTES = 4 << 20
# Of a statement that inserts rows.
_STATEMENT_BYTES = 1 << 20
_DELETE_ROWS = 1000
# Sessions that write chunks beside each other: what bounds a copy is one session of the target.
_WRITERS = 2
_LOCK_ATTEMPTS = 5
# Rows of one chunk.
_CLASHES = 100


async def copy_all(job: Job) -> None:
    """Copy every table of the move from where it stands."""
    for table in job.tables:
        last = job.progress.copied.get(table.name, [])
        if last is not None:
            await _copy(job, table, tuple(value.encode("utf-8", "surrogateescape") for value in last))
            job.progress.copied[table.name] = None
            await job.save()
            await reach("copied")


async def _copy(job: Job, table: MovedTable, last: Key) -> None:
    reader = await job.source.connect()
    writers = [await job.target.connect() for _ in range(_WRITERS)]
    # Chunks that are being written, in their order: only those before the first of them are surely there.
    writing: deque[tuple[asyncio.Task[None], Connection, Rows, Key]] = deque()
    size = _FIRST_ROWS
    try:
        if table.name not in job.fresh:
            # Chunks that were written after the progress was last kept.
            await delete_rows(job, job.target, table, table.beyond(last))
        job.fresh.discard(table.name)
        while True:
            began = time.monotonic()
            reader = await job.source.reopened(reader)
            rows, last = await read_chunk(reader, table, last, job.throttle.portion(size))
            await reach("chunk_read")
            took = time.monotonic() - began
            while writing and (not rows or len(writing) == _WRITERS):
                task, writer, written, until = writing[0]
                await task
                writing.popleft()
                writers.append(writer)
                await _count(job, table, written, until)
            if not rows:
                return
            await job.throttle.pace(len(rows))
            writer = await job.target.reopened(writers.pop())
            task = asyncio.get_running_loop().create_task(_write(job, writer, table, rows))
            writing.append((task, writer, rows, last))
            size = _next_size(size, len(rows), sum(map(len, rows)), took)
    finally:
        for task, writer, _, _ in writing:
            task.cancel()
            writers.append(writer)
        await asyncio.gather(*(task for task, *_ in writing), return_exceptions=True)
        for connection in (reader, *writers):
            connection.abort()


def _next_size(size: int, rows: int, octets: int, took_s: float) -> int:
    by_time = size * _CHUNK_S / max(took_s, 0.001)
    by_bytes = _CHUNK_BYTES / max(1.0, octets / rows)
    return int(max(_LEAST_ROWS, min(_MOST_ROWS, size * 2, by_time, by_bytes)))


async def read_chunk(connection: Connection, table: MovedTable, last: Key, limit: int) -> tuple[Rows, Key]:
    """The next rows behind a key, as text, and the key of the last of them."""
    return await _read(connection, table, f"{table.beyond(last)} AND {table.condition} ORDER BY {table.order_sql} LIMIT {limit}", last)


async def read_keys(connection: Connection, table: MovedTable, keys: Sequence[Key], *, locking: bool = False) -> Rows:
    """The rows with these keys that are in the share, as text. `locking`: once nobody is changing them."""
    where = f"{table.one_of(keys)} AND {table.condition}" + (" LOCK IN SHARE MODE" if locking else "")
    return (await _read(connection, table, where, ()))[0]


async def _read(connection: Connection, table: MovedTable, where: str, last: Key) -> tuple[Rows, Key]:
    width = len(table.key) + 1
    sql = f"SELECT {table.row_sql}, {table.key_sql} FROM {table.sql} WHERE {where}"
    stream = connection.send(sql.encode("utf-8", "surrogateescape"))
    await stream.wait_ready()
    rows: Rows = []
    payload = b""
    while (found := await stream.next_rows()) is not None:
        for payload in found:
            row = parse_row(payload, width)[0] if payload[:1] >= b"\xfb" else payload[1 : 1 + payload[0]]
            if row is None:
                raise MoveFailed(f"a row of table {table.name} is longer than the source's max_allowed_packet allows it to be read")
            rows.append(row)
    if payload:
        last = tuple(value or b"NULL" for value in parse_row(payload, width)[1:])
    return rows, last


async def _write(job: Job, connection: Connection, table: MovedTable, rows: Rows) -> None:
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            await job.begin(connection, job.target)
            await insert_rows(connection, table, rows)
            await connection.query(b"COMMIT")
            break
        except ServerError as error:
            await roll_back(connection)
            if is_duplicate(error):
                await _write_singly(job, connection, table, rows)
                break
            # Two chunks beside each other may lock each other out in an index.
            if error.errno not in LOCK_ERRNOS or attempt == _LOCK_ATTEMPTS - 1:
                raise
    await reach("chunk_written")


async def _count(job: Job, table: MovedTable, rows: Rows, last: Key) -> None:
    """All rows up to this key are on the target."""
    progress = job.progress
    progress.rows_copied += len(rows)
    progress.bytes_copied += sum(map(len, rows))
    progress.copied[table.name] = [value.decode("utf-8", "surrogateescape") for value in last]
    progress.rate = progress.rows_copied / max(0.001, time.time() - progress.started_at)
    await job.save(now=False)
    await reach("chunk_noted")


async def _write_singly(job: Job, connection: Connection, table: MovedTable, rows: Rows) -> None:
    """A unique value may have gone from a row that was copied already to one of these: that one stays away until rows are compared."""
    clashes = 0
    for row in rows:
        try:
            await job.begin(connection, job.target)
            await insert_rows(connection, table, [row])
            await connection.query(b"COMMIT")
        except ServerError as error:
            await roll_back(connection)
            clashes += 1
            if not is_duplicate(error) or clashes > _CLASHES:
                raise MoveFailed(f"table {table.name}: rows of the share clash with others on {job.target.shard}: {error}") from error


async def insert_rows(connection: Connection, table: MovedTable, rows: Rows) -> None:
    """Plain INSERTs: a row that is there already is a surprise, and must be one."""
    head = f"INSERT INTO {table.sql} ({table.column_list}) VALUES ".encode()
    at = 0
    while at < len(rows):
        end, octets = at, 0
        while end < len(rows) and (octets := octets + len(rows[end]) + 1) <= _STATEMENT_BYTES:
            end += 1
        end = max(end, at + 1)
        result = await connection.query(head + b",".join(rows[at:end]))
        if result.ok is None or result.ok.affected_rows != end - at:
            affected = result.ok.affected_rows if result.ok is not None else 0
            raise MoveFailed(f"table {table.name}: {affected} of {end - at} rows were inserted")
        at = end


async def delete_rows(job: Job, node: Node, table: MovedTable, where: str = "TRUE", *, point: str = "") -> int:
    """Delete the share's rows on a node, in chunks by key; gives how many."""
    last: Key = ()
    deleted = 0
    connection = await node.connect()
    try:
        while until := await _last_of_chunk(connection, table, f"{where} AND {table.beyond(last)}", job.throttle.portion(_DELETE_ROWS)):
            key, rows = until
            await job.throttle.pace(rows)
            connection = await node.reopened(connection)
            condition = f"{where} AND {table.beyond(last)} AND {table.up_to(key)} AND {table.condition}"
            try:
                await job.begin(connection, node)
                result = await connection.query(f"DELETE FROM {table.sql} WHERE {condition}".encode("utf-8", "surrogateescape"))
                await connection.query(b"COMMIT")
            except ServerError as error:
                await roll_back(connection)
                if error.errno in LOCK_ERRNOS:
                    continue
                raise
            deleted += result.ok.affected_rows if result.ok is not None else 0
            last = key
            if point:
                await reach(point)
        return deleted
    finally:
        connection.abort()


async def _last_of_chunk(connection: Connection, table: MovedTable, where: str, limit: int) -> tuple[Key, int] | None:
    """The key that ends the next rows of the share, and how many they are."""
    sql = f"SELECT {table.key_sql} FROM {table.sql} WHERE {where} AND {table.condition} ORDER BY {table.order_sql} LIMIT {limit}"
    found = await connection.query(sql.encode("utf-8", "surrogateescape"))
    if not found.rows:
        return None
    return tuple(value or b"NULL" for value in parse_row(found.rows[-1], len(table.key))), len(found.rows)
