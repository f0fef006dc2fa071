"""Writes that reach several shards: a transaction on each, and commits when all have succeeded.

A failing statement leaves nothing behind. A failure between the commits is reported with what was committed; an atomic commit
over shards is not promised here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from shardproxy.backends.engine import Connection
from shardproxy.errors import COMMIT_PARTIAL, SHARDS_DISAGREE, ProxyError, ServerError
from shardproxy.executor.leases import Leases
from shardproxy.executor.outcome import Outcome, add_up, insert_info
from shardproxy.executor.relay import fetch_warnings


async def scatter_write(leases: Leases, texts: Mapping[str, bytes], *, in_turn: bool) -> Outcome:
    """Run each shard's part. `in_turn`: one shard after the other, so that two such statements cannot lock each other out."""
    connections = await _open(leases, sorted(texts))
    try:
        if in_turn:
            outcomes = [await _write(connection, texts[connection.shard]) for connection in connections]
        else:
            outcomes = await _all(connections, texts)
    except BaseException:
        await _roll_back(leases, connections)
        raise
    await _commit(leases, connections)
    if not in_turn:
        for outcome, connection in zip(outcomes, connections, strict=True):
            outcome.info = outcome.info or insert_info(outcome, texts[connection.shard])
    return add_up(outcomes)


async def reference_write(leases: Leases, texts: Mapping[str, bytes], *, clock_is_set: bool, chooses_ids: bool) -> Outcome:
    """Run the same statement on every copy of a reference table, one after the other.

    All get the same clock, and the AUTO_INCREMENT values that the first one chose. The first shard's locks keep two such
    statements from running in different orders on different copies.
    """
    connections = await _open(leases, sorted(texts))
    first: Outcome | None = None
    try:
        now = b"SET timestamp = %.6f" % time.time()
        for connection in connections:
            if not clock_is_set:
                await connection.query(now)
            if chooses_ids and first is not None and first.insert_id:
                await connection.query(b"SET insert_id = %d" % first.insert_id)
            outcome = await _write(connection, texts[connection.shard])
            await _clean(connection, clock_is_set=clock_is_set)
            if first is None:
                first = outcome
            elif outcome.affected != first.affected:
                here, there = f"{first.affected} rows on {connections[0].shard}", f"{outcome.affected} on {connection.shard}"
                raise ProxyError(SHARDS_DISAGREE, f"the copies of the table differ: {here}, {there}")
    except BaseException:
        await _roll_back(leases, connections, reference=True, clock_is_set=clock_is_set)
        raise
    await _commit(leases, connections)
    assert first is not None
    return first


async def _clean(connection: Connection, *, clock_is_set: bool) -> None:
    """Nothing of a reference write may reach the next statement on the connection."""
    await connection.query(b"SET insert_id = 0" if clock_is_set else b"SET timestamp = DEFAULT, insert_id = 0")


async def _open(leases: Leases, shards: list[str]) -> list[Connection]:
    connections: list[Connection] = []
    try:
        for shard in shards:
            connections.append(await leases.take(shard, for_tables=True, writes=True))
            await connections[-1].query(b"START TRANSACTION")
    except BaseException:
        await _roll_back(leases, connections)
        raise
    return connections


async def _write(connection: Connection, text: bytes) -> Outcome:
    result = await connection.query(text)
    ok = result.ok
    outcome = Outcome(-1, ok.affected_rows, ok.last_insert_id, ok.warnings, ok.info) if ok else Outcome(warnings=result.warnings)
    await fetch_warnings(connection, outcome)
    return outcome


async def _all(connections: list[Connection], texts: Mapping[str, bytes]) -> list[Outcome]:
    """Every shard at once; if one fails, the others are waited for all the same, so that they can be rolled back."""
    results = await asyncio.gather(*(_write(c, texts[c.shard]) for c in connections), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, Outcome)]


async def _roll_back(leases: Leases, connections: list[Connection], *, reference: bool = False, clock_is_set: bool = True) -> None:
    for connection in connections:
        try:
            if connection.closed or getattr(connection, "busy", False):
                leases.drop(connection)
                continue
            await connection.query(b"ROLLBACK")
            if reference:
                await _clean(connection, clock_is_set=clock_is_set)
            leases.give(connection)
        except (ProxyError, ServerError):
            leases.drop(connection)
        except asyncio.CancelledError:
            leases.drop(connection)
            raise


async def _commit(leases: Leases, connections: list[Connection]) -> None:
    """Commit everywhere. Sent to all before any answer is awaited: the gap in which they can come apart is one round trip."""
    results = await asyncio.gather(*(c.query(b"COMMIT") for c in connections), return_exceptions=True)
    committed, failed = [], []
    for connection, result in zip(connections, results, strict=True):
        if isinstance(result, BaseException):
            failed.append((connection.shard, result))
            leases.drop(connection)
        else:
            committed.append(connection.shard)
            leases.give(connection)
    if not failed:
        return
    _shard, error = failed[0]
    if not committed and isinstance(error, ServerError) and all(isinstance(other, ServerError) for _, other in failed):
        # Each has said that it did not.
        raise error
    raise ProxyError(
        COMMIT_PARTIAL,
        f"committed on {', '.join(committed) or 'no shard'}; not known to be committed on {', '.join(name for name, _ in failed)}: "
        f"{getattr(error, 'detail', None) or error}",
    )
