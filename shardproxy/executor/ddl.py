"""Schema changes: shard by shard, with a report where one fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shardproxy.errors import DDL_PARTIAL, ProxyError, ServerError
from shardproxy.executor.leases import Leases
from shardproxy.executor.outcome import Outcome
from shardproxy.executor.relay import fetch_warnings


async def run_ddl(leases: Leases, step_texts: Sequence[tuple[str, Mapping[str, bytes]]]) -> Outcome:
    """Run each step on each of its shards. `step_texts` pairs a table with the texts by shard.

    Where the very first shard refuses, its error is the client's; where a later one does, the report says what was done where.
    """
    done: list[str] = []
    todo = [f"{table or 'the statement'} on {shard}" for table, texts in step_texts for shard in texts]
    first: Outcome | None = None
    for table, texts in step_texts:
        for shard, text in texts.items():
            try:
                outcome = await _run(leases, shard, text)
            except (ServerError, ProxyError) as error:
                if not done:
                    raise
                label = f"{table or 'the statement'} on {shard}"
                left = todo[len(done) + 1 :]
                reason = error.message
                raise ProxyError(
                    DDL_PARTIAL,
                    f"done: {', '.join(done)}; failed: {label} ({reason}); not tried: {', '.join(left) or 'none'}. "
                    "Repair that shard by hand or repeat the statement where it can be repeated; `shardproxy check` shows what differs",
                ) from error
            first = first or outcome
            done.append(f"{table or 'the statement'} on {shard}")
    assert first is not None
    return first


async def _run(leases: Leases, shard: str, text: bytes) -> Outcome:
    connection = await leases.take(shard, writes=True)
    try:
        result = await connection.query(text)
        ok = result.ok
        outcome = Outcome(-1, ok.affected_rows, 0, ok.warnings, ok.info) if ok else Outcome(warnings=result.warnings)
        await fetch_warnings(connection, outcome)
    except ServerError:
        leases.give(connection)
        raise
    except BaseException:
        leases.drop(connection)
        raise
    leases.give(connection)
    return outcome
