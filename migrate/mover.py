"""One move, from its plan to its end: what is done in each state, and what is written before it is.

The state in the store says how far a move is; every step can be done again. Whoever takes over a move claims its fences first, which
waits for what the mover before it had under way, and then goes on from the state.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from migrate.binlog.errors import BinlogError
from migrate.binlog.source import current_position
from migrate.binlog.source import preflight as log_faults
from migrate.copying import copy_all, delete_rows
from migrate.cutover import cut_over
from migrate.errors import MoveBlocked, MoveFailed, MoveRefused, Restart
from migrate.failpoints import reach
from migrate.job import Job
from migrate.node import NO_TABLE_ERRNO
from migrate.preflight import check_place, make_tables, preflight
from migrate.states import check_transition
from migrate.tables import read_texts
from migrate.tail import Tail, identity_of
from migrate.verifying import verify
from shardproxy.errors import ProxyError, ServerError
from shardproxy.store.store import StoreUnavailable
from shardproxy.topology.moves import MoveState as S

# Statements that began before a move may go on for so long before anyone is told that the move waits for them.
_PROXIES_S = 10.0
_AGAIN_S = 0.5
_LONGEST_WAIT_S = 15.0
# Behind by less than this the rest is brought while writers wait.
_LAG_S = 0.1
_CATCH_UP_S = 5.0
_RESTARTS = 3
# A server that is going down or read-only for now, locks that others have.
_PASSING_ERRNOS = frozenset((1053, 1205, 1213, 1290, 1836, 2013))


class Mover:
    """Carries out one move. `wanted` gives what operators wish of it now; `until_ready` stops it before the cutover."""

    def __init__(self, job: Job, *, until_ready: bool = False) -> None:
        self._job = job
        self._tail: Tail | None = None
        self._until_ready = until_ready
        self._restarts = 0
        self._wait_s = _AGAIN_S

    async def run(self) -> S:
        """Until the share has its new owner, or the move has been given up; gives the state then."""
        job = self._job
        steps: dict[S, Callable[[], Awaitable[None]]] = {
            S.PLANNED: self._begin,
            S.PREPARING: self._prepare,
            S.COPYING: self._copy,
            S.CATCHUP: self._catch_up,
            S.VERIFYING: self._verify,
            S.READY: self._cut_over,
            S.FENCING: self._undo_cutover,
            S.ABORTING: self._abort,
        }
        job.throttle.start()
        try:
            # Each time by the state as it is then: what failed half-way may have changed it.
            while (state := job.move.state) in steps:
                if state is S.READY and self._until_ready:
                    break
                await self._step(steps[state])
            if job.move.state is S.SWITCHED:
                await self._until_done(self._finish_switch)
            return job.move.state
        finally:
            await self._stop_tail()
            await job.throttle.stop()

    async def _step(self, step: Callable[[], Awaitable[None]]) -> None:
        """Try a step once; what is only in the way for now is waited for."""
        try:
            await self._job.throttle.heed()
            await step()
            self._wait_s = _AGAIN_S
        except (MoveBlocked, ProxyError, StoreUnavailable) as error:
            await self._wait_for(str(error))
        except Restart as error:
            await self._restart(error)
        except (MoveFailed, MoveRefused, BinlogError) as error:
            await self._give_up(str(error))
        except ServerError as error:
            # A tail that has ended by it is begun anew.
            await self._stop_tail()
            if error.errno in _PASSING_ERRNOS or self._job.move.state in (S.FENCING, S.ABORTING):
                await self._wait_for(str(error))
            else:
                await self._give_up(f"{error.shard or 'a server'}: {error}")

    async def _until_done(self, step: Callable[[], Awaitable[None]]) -> None:
        """Try a step behind the decision until it is done: there is no way back."""
        while True:
            try:
                await step()
                return
            except (MoveBlocked, ProxyError, StoreUnavailable) as error:
                await self._wait_for(str(error))
            except ServerError as error:
                if error.errno not in _PASSING_ERRNOS:
                    raise
                await self._wait_for(str(error))

    async def _wait_for(self, reason: str) -> None:
        """Say why the move waits, and wait a while, each time longer."""
        job = self._job
        if job.move.reason != reason:
            job.move = replace(job.move, reason=reason)
            await job.board.set_move(job.move)
        job.progress.attempts += 1
        await job.save()
        await asyncio.sleep(self._wait_s)
        self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)

    async def _enter(self, state: S, reason: str = "") -> int:
        """Write the next state; gives the epoch."""
        job = self._job
        check_transition(job.move.state, state)
        job.move = replace(job.move, state=state, reason=reason)
        job.progress.entered_at = time.time()
        return (await job.board.set_move(job.move)).epoch

    async def _restart(self, error: Restart) -> None:
        """What was copied is of no use any more."""
        await self._stop_tail()
        self._restarts += 1
        if self._restarts > _RESTARTS:
            await self._give_up(f"copied {self._restarts} times, and again: {error}")
            return
        job = self._job
        await job.board.note(job.move.id, f"copy again: {error}")
        if job.move.state is not S.COPYING:
            await self._enter(S.COPYING, str(error))
        job.progress.position, job.progress.back = "", False
        job.progress.copied.clear()
        job.progress.rows_copied = job.progress.bytes_copied = 0
        await job.save()

    async def _give_up(self, reason: str) -> None:
        job = self._job
        await self._stop_tail()
        await job.board.note(job.move.id, f"give up: {reason}")
        await self._enter(S.ABORTED if job.move.state is S.PLANNED else S.ABORTING, reason)

    async def _stop_tail(self) -> None:
        if self._tail is not None:
            tail, self._tail = self._tail, None
            await tail.stop()

    # -- states -------------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        job = self._job
        await preflight(job)
        await check_place(job)
        await job.save()
        await job.board.note(job.move.id, "prepare: tables, fences and guards")
        await self._enter(S.PREPARING)
        await reach("prepare_begun")

    async def _prepare(self) -> None:
        """From here on statements over several shards leave the share's rows out on the target; then it may get some."""
        job, move = self._job, self._job.move
        epoch = await self._claim()
        await make_tables(job, job.topology)
        await reach("tables_made")
        active = {other.id for other in (await job.board.load()).moves if not other.state.over} | {move.reverse_of}
        for node in (job.source, job.target):
            await node.sweep_guards(active)
        if move.reverse_of:
            await self._look_back()
        if not move.joins:
            await job.source.make_guards(move.id, job.tables, move.share, outbox=job.progress.outbox)
            await job.target.make_guards(move.id, job.tables, move.share)
            if move.reverse_of:
                await job.source.drop_guards(move.reverse_of)
                await job.target.drop_guards(move.reverse_of)
        await reach("guards_made")
        await job.board.await_proxies(epoch, _PROXIES_S)
        await reach("prepared")
        await self._enter(S.COPYING)

    async def _look_back(self) -> None:
        """A move that takes another one back begins with what has changed since, if the log tells that, otherwise with a copy."""
        job, progress = self._job, self._job.progress
        async with job.source.session() as session:
            progress.outbox = bool(await log_faults(session))
        if progress.outbox:
            progress.position, progress.back = "", False
        await job.save()

    async def _claim(self) -> int:
        """Make this mover the one that may write on both ends; gives the epoch that proxies must have."""
        job, move = self._job, self._job.move
        await job.source.set_up()
        await job.target.set_up()
        await job.source.claim(move.id, move.group, "source", "open")
        await job.target.claim(move.id, move.group, "target", "incoming")
        await reach("fences_made")
        return (await job.board.load()).epoch

    async def _copy(self) -> None:
        job, progress = self._job, self._job.progress
        await self._take_over()
        if not progress.position:
            await self._note_position()
        elif progress.back:
            progress.copied.update({table.name: None for table in job.tables})
        await copy_all(job)
        progress.copied_at = time.time()
        await job.save()
        await self._enter(S.CATCHUP)

    async def _take_over(self) -> None:
        """A mover that comes to a move which is under way has to claim it."""
        if self._tail is None:
            await self._claim()

    async def _note_position(self) -> None:
        """Where the tail will begin: what was committed before can be read by then, what comes later is in the log behind it."""
        job, progress = self._job, self._job.progress
        if not job.empty:
            for table in job.tables:
                await delete_rows(job, job.target, table)
        # Only what this process has found empty itself, and has not written to since.
        job.empty = False
        async with job.source.session() as session:
            progress.source = await identity_of(session)
            progress.position = "outbox" if progress.outbox else (await current_position(session)).encode()
            await job.source.mark(session)
            counts = [await read_texts(session, f"SELECT COUNT(*) FROM {table.sql} WHERE {table.condition}") for table in job.tables]
        progress.rows_total = sum(int(count[0][0]) for count in counts)
        progress.back = False
        progress.rows_copied = progress.bytes_copied = 0
        progress.copied.clear()
        progress.started_at = time.time()
        job.fresh = {table.name for table in job.tables}
        # Rows of a transaction that was prepared before the position are neither read nor in the log behind it.
        before = await job.source.prepared()
        while before:
            left = before & await job.source.prepared()
            if not left:
                break
            progress.position = ""
            raise MoveBlocked(f"XA transactions are prepared on {job.source.shard}: {', '.join(sorted(left))}")
        await job.save()
        await reach("position_noted")

    async def _start_tail(self) -> Tail:
        if self._tail is None:
            await self._claim()
            self._tail = Tail(self._job)
            await self._tail.start()
        return self._tail

    async def _catch_up(self) -> None:
        tail = await self._start_tail()
        if not await tail.caught_up(_LAG_S * 3, _CATCH_UP_S):
            raise MoveBlocked(f"the target is {tail.lag_s:.1f} s and {tail.backlog} rows behind")
        await reach("caught_up")
        await self._enter(S.VERIFYING)

    async def _verify(self) -> None:
        job = self._job
        tail = await self._start_tail()
        compared = await verify(job, tail)
        await job.board.note(job.move.id, f"compared {compared} rows")
        await reach("verified")
        await self._enter(S.READY)

    async def _cut_over(self) -> None:
        job = self._job
        tail = await self._start_tail()
        if not await tail.caught_up(_LAG_S, _CATCH_UP_S):
            raise MoveBlocked(f"the target is {tail.lag_s:.1f} s and {tail.backlog} rows behind")
        try:
            async with job.board.cutover:
                await cut_over(job, tail)
        except (MoveBlocked, MoveFailed, Restart, ProxyError, ServerError, StoreUnavailable):
            # Where that fails the state says so, and it is tried again before anything else is.
            if job.move.state is S.FENCING:
                await self._undo_cutover()
            if job.move.state is not S.SWITCHED:
                raise

    async def _undo_cutover(self) -> None:
        """Before the decision there is only the way back: the share stays where it is."""
        job, move = self._job, self._job.move
        while True:
            # As long as it is not known that nothing was decided, nothing is opened.
            with contextlib.suppress(StoreUnavailable):
                stored = await job.board.load()
                break
            await asyncio.sleep(_AGAIN_S)
        known = stored.move(move.id)
        if known is not None and known.state is S.SWITCHED:
            job.move = known
            return
        await job.board.note(move.id, "open the source again")
        await self._claim()
        await job.target.set_fence(move.id, "incoming", stored.epoch)
        await job.source.set_fence(move.id, "open", stored.epoch, lock_wait_s=5)
        if move.state is S.FENCING:
            check_transition(move.state, S.READY if self._tail is not None else S.CATCHUP)
            job.move = replace(move, state=S.READY if self._tail is not None else S.CATCHUP)
        await job.board.change(lambda doc: replace(doc.with_move(replace(job.move, wanted=(doc.move(move.id) or move).wanted)), hold=None))

    async def _finish_switch(self) -> None:
        """The target owns the share. Its guards go; the source's stay, for writers that still come to it."""
        job, move = self._job, self._job.move
        await self._claim()
        epoch = (await job.board.load()).epoch
        await job.target.set_fence(move.id, "open", epoch)
        if move.joins:
            await job.source.set_fence(move.id, "open", epoch)
        await job.target.drop_guards(move.id)
        await reach("target_freed")
        job.progress.freed = True
        await job.save()
        if move.joins:
            await self._enter(S.DONE)
        elif move.reason:
            job.move = replace(move, reason="")
            await job.board.set_move(job.move)
        await reach("switched")

    async def clean_up(self) -> None:
        """Take the share's rows away from the source, which does not own them any more."""
        job = self._job
        job.throttle.start()
        try:
            await self._until_done(self._clean_up)
        finally:
            await job.throttle.stop()

    async def _clean_up(self) -> None:
        job, move = self._job, self._job.move
        if move.state is S.SWITCHED:
            await job.board.note(move.id, "delete the rows that the source does not own any more")
            await self._enter(S.CLEANUP)
            move = job.move
        await reach("cleanup_begun")
        await self._claim()
        # Nobody may still read them by an older map.
        await job.board.await_proxies((await job.board.load()).epoch, _PROXIES_S)
        async with job.source.session() as session:
            found = await read_texts(session, f"SELECT state FROM `_sp_fence` WHERE move = {move.id}")
            if found[0][0] != "closed":
                raise MoveFailed(f"the fence of move {move.id} on {job.source.shard} is {found[0][0]}, so its rows are not deleted")
        for table in job.tables:
            await delete_rows(job, job.source, table, point="cleanup_chunk")
        await reach("cleaned")
        await job.source.drop_guards(move.id)
        await job.target.drop_guards(move.id)
        await job.source.empty_outbox(move.id)
        await reach("guards_dropped")
        await self._enter(S.DONE)
        await reach("done")

    async def _abort(self) -> None:
        """Take away what was brought, and the guards; the source had its rows all the time."""
        job, move = self._job, self._job.move
        await reach("abort_begun")
        await self._claim()
        for table in job.tables:
            try:
                await delete_rows(job, job.target, table)
            except ServerError as error:
                # The table was never made there.
                if error.errno != NO_TABLE_ERRNO:
                    raise
        await reach("purged")
        await job.source.drop_guards(move.id)
        await job.target.drop_guards(move.id)
        await job.source.empty_outbox(move.id)
        await self._enter(S.ABORTED, move.reason)
        await reach("aborted")
