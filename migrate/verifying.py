"""Comparing a share's rows on both ends while they change: by sums over ranges of keys, down to the rows that differ.

A row that differs may only have changed in between. So what differs is looked at again when the target has come as far as the source
was; what then still differs, or has changed again too often, is brought once more, and if that does not help the move is given up.
"""

from __future__ import annotations

import asyncio

from migrate.copying import Key
from migrate.errors import MoveBlocked, MoveFailed
from migrate.job import Job
from migrate.tables import MovedTable, read_rows
from migrate.tail import Tail
from shardproxy.backends.engine import Connection

_RANGE_ROWS = 10_000
_ROUNDS = 20
_BATCH = 500
# Longer than this a cutover would have to wait for the rows that changed since.
_SETTLE_S = 30.0


async def verify(job: Job, tail: Tail) -> int:
    """Compare every row of the share; gives how many were compared. Raises `MoveFailed` where rows stay different."""
    source, target = await job.source.connect(), await job.target.connect()
    compared = rows = 0
    try:
        for table in job.tables:
            doubtful: list[Key] = []
            last: Key = ()
            while True:
                tail.check()
                # Also to wait while an operator, or the servers' load, wants it.
                await job.throttle.pace(rows)
                source, target = await job.source.reopened(source), await job.target.reopened(target)
                until = await _range_end(source, table, last)
                where = table.beyond(last) + (f" AND {table.up_to(until)}" if until else "")
                here, there = await asyncio.gather(_sums(source, table, where), _sums(target, table, where))
                if here != there:
                    doubtful += await _differing(source, target, table, where)
                rows = int(here[0] or 0)
                compared += rows
                if not until:
                    break
                last = until
            await _settle(job, tail, table, doubtful)
    finally:
        source.abort()
        target.abort()
    return compared


async def _range_end(connection: Connection, table: MovedTable, last: Key) -> Key:
    """The key that ends the next range of rows, of the share or not; none for the last one, which is open."""
    rows = await read_rows(
        connection,
        f"SELECT {table.key_sql} FROM {table.sql} WHERE {table.beyond(last)} ORDER BY {table.order_sql} LIMIT {_RANGE_ROWS - 1}, 1",
    )
    return tuple(value or b"NULL" for value in rows[0]) if rows else ()


async def _sums(connection: Connection, table: MovedTable, where: str) -> tuple[bytes | None, ...]:
    rows = f"SELECT {table.hash_sql} AS h FROM {table.sql} WHERE {where} AND {table.condition}"
    sql = f"SELECT COUNT(*), BIT_XOR(h), SUM(h) FROM ({rows}) AS hashes"
    return (await read_rows(connection, sql))[0]


async def _hashes(connection: Connection, table: MovedTable, where: str) -> dict[Key, bytes]:
    rows = await read_rows(connection, f"SELECT {table.hash_sql}, {table.key_sql} FROM {table.sql} WHERE {where} AND {table.condition}")
    return {tuple(value or b"NULL" for value in row[1:]): row[0] or b"" for row in rows}


async def _differing(source: Connection, target: Connection, table: MovedTable, where: str) -> list[Key]:
    here, there = await _hashes(source, table, where), await _hashes(target, table, where)
    return [key for key in {**here, **there} if here.get(key) != there.get(key)]


async def _settle(job: Job, tail: Tail, table: MovedTable, keys: list[Key]) -> None:
    """Look at rows that differed again, until none does."""
    before: dict[Key, bytes] = {}
    for round_ in range(_ROUNDS):
        if not keys:
            return
        try:
            await tail.applied_up_to_now(_SETTLE_S)
        except MoveBlocked:
            continue
        found = await _still_differing(job, table, keys)
        # They have not changed since the last look, nor come to be the same.
        stuck = [key for key, row in found.items() if round_ and row == before.get(key, b"-")]
        before.update(found)
        keys = list(found)
        if stuck and round_ > 1:
            shown = ", ".join("(" + ", ".join(value.decode("utf-8", "replace") for value in key) + ")" for key in stuck[:5])
            raise MoveFailed(f"table {table.name}: {len(stuck)} rows differ between {job.source.shard} and {job.target.shard}: {shown}")
        tail.bring_again([(table.name, key) for key in stuck])
    if keys:
        raise MoveBlocked(f"table {table.name}: {len(keys)} rows change too often to be compared")


async def _still_differing(job: Job, table: MovedTable, keys: list[Key]) -> dict[Key, bytes]:
    """Of these rows those that differ, with what the source has."""
    found = {}
    async with job.source.session() as source, job.target.session() as target:
        for at in range(0, len(keys), _BATCH):
            where = table.one_of(keys[at : at + _BATCH])
            here, there = await _hashes(source, table, where), await _hashes(target, table, where)
            found.update({key: here.get(key, b"") for key in keys[at : at + _BATCH] if here.get(key) != there.get(key)})
    return found
