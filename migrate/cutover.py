"""The cutover: the share changes its owner, by one compare-and-set, while nobody can write or read it.

1. Every live proxy holds statements that touch the share, and says that none is under way.
2. The source's fence is closed, which waits for writers that came past the proxies, and refuses later ones.
3. XA transactions that were prepared before are waited for: some servers release their locks, and their rows come all the same.
4. Only now the end of the source's log is looked for, and brought to the target.
5. The place in the target's log is noted from which a way back would begin, and the target's fence is opened.
6. The decision: one compare-and-set on the epoch, which also ends the hold.

Until 6 everything is undone by opening the source's fence again. If it is not known whether 6 was carried out, nothing is opened
until it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import Final

from migrate.binlog.errors import SourceRefused
from migrate.binlog.source import current_position
from migrate.errors import MoveBlocked, MoveFailed
from migrate.failpoints import reach
from migrate.job import Job
from migrate.states import check_transition
from migrate.tail import Tail, identity_of
from shardproxy.store.records import StoredTopology
from shardproxy.store.store import StoreUnavailable
from shardproxy.topology.moves import Hold, Move
from shardproxy.topology.moves import MoveState as S
from shardproxy.topology.rebalance import apply_move
from shardproxy.topology.rebalance_apply import owns

# The pause that clients may see before the cutover is given up and tried again later, in seconds; and the part of it in which
# statements and transactions that are under way have to end.
LIMIT_S: Final = 2.0
_HOLD_S: Final = 0.7
_UNKNOWN_S: Final = 0.2


async def cut_over(job: Job, tail: Tail) -> None:
    """Make the target the owner. Raises `MoveBlocked` where it cannot be done within the limit; the caller then undoes it."""
    board, move = job.board, job.move
    began = time.monotonic()
    check_transition(move.state, S.FENCING)
    await board.note(move.id, "hold")
    fencing = replace(move, state=S.FENCING, reason="")
    held = await board.change(lambda stored: replace(_with(stored, fencing), hold=Hold(move.id, stored.epoch + 1)))
    job.move = fencing
    await reach("hold_asked")
    await board.await_proxies(held.epoch, _HOLD_S)
    await reach("held")
    await board.note(move.id, "close the source")
    await job.source.set_fence(move.id, "closed", held.epoch + 1)
    await reach("source_closed")
    await _drain_prepared(job, began)
    await reach("xa_drained")
    await tail.applied_up_to_now(LIMIT_S - (time.monotonic() - began))
    await reach("applied_all")
    async with job.target.session() as session:
        with contextlib.suppress(SourceRefused):  # then the way back begins with a copy
            job.progress.reverse = (await current_position(session)).encode()
        job.progress.reverse_source = await identity_of(session)
    await job.save()
    await reach("reverse_noted")
    # Whoever was stopped on the way here may not open the target: proxies may have opened the source again.
    _check_time(began)
    if (await board.load()).hold != held.hold:
        raise MoveBlocked("the hold was ended before the decision")
    await board.note(move.id, "open the target")
    await job.target.set_fence(move.id, "open", held.epoch + 1)
    await reach("target_opened")
    _check_time(began)
    await board.note(move.id, "decide")
    await reach("before_decision")
    await _decide(job, held)
    await reach("decided")
    job.progress.entered_at = time.time()
    job.progress.pause_ms = round((time.monotonic() - began) * 1000)
    await job.save()


def _check_time(began: float) -> None:
    if time.monotonic() - began > LIMIT_S:
        raise MoveBlocked("the cutover took too long")


def _with(stored: StoredTopology, move: Move) -> StoredTopology:
    known = stored.move(move.id)
    return stored.with_move(replace(move, wanted=known.wanted if known is not None else ""))


async def _drain_prepared(job: Job, began: float) -> None:
    while prepared := await job.source.prepared():
        if time.monotonic() - began > LIMIT_S:
            raise MoveBlocked(f"XA transactions are prepared on {job.source.shard}: {', '.join(sorted(prepared))}")
        await asyncio.sleep(0.01)


async def _decide(job: Job, held: StoredTopology) -> None:
    """The compare-and-set. Where its answer is lost the store is asked until it answers; nothing is opened or given up meanwhile.

    Other moves may have changed the document since the hold was asked for. What counts is that the hold still stands: a proxy that
    does not wait any more has ended it.
    """
    unknown = False
    while True:
        try:
            stored = await job.board.load()
        except StoreUnavailable:
            if not unknown:
                raise
            await asyncio.sleep(_UNKNOWN_S)
            continue
        known = stored.move(job.move.id)
        if known is not None and known.state is S.SWITCHED:
            break
        if stored.hold != held.hold or stored.mover != job.board.token:
            raise MoveBlocked("the hold was ended before the decision")
        answer = await job.board.decide(stored.epoch, _decided(stored, replace(job.move, state=S.SWITCHED)))
        if answer:
            break
        # Without an answer it may still be on its way; of two that expect the same epoch one is carried out at most.
        unknown = unknown or answer is None
    job.move = replace(job.move, state=S.SWITCHED)


def _decided(stored: StoredTopology, move: Move) -> StoredTopology:
    after = replace(_with(stored, move), hold=None)
    if move.joins:
        record = after.shards[move.target]
        return replace(after, shards={**after.shards, move.target: replace(record, member=True)})
    if not owns(after.hash_maps, after.range_maps, move.group, move.source, move.share):
        raise MoveFailed(f"{move.source} does not own the whole share any more")
    hash_maps, range_maps = apply_move(after.hash_maps, after.range_maps, move.group, move.share, move.target)
    return replace(after, hash_maps=hash_maps, range_maps=range_maps)
