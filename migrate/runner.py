"""Carrying out what was planned: takes the mover's lease, goes on with what was left, plans, moves, until nothing is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace

from migrate.cluster import Cluster
from migrate.errors import MoveRefused, Replaced
from migrate.failpoints import reach
from migrate.job import Job
from migrate.mover import Mover
from migrate.planning import By, joining, overlapping, propose, with_moves
from migrate.throttle import KNOBS
from shardproxy.store.records import StoredTopology
from shardproxy.topology.moves import Move
from shardproxy.topology.moves import MoveState as S
from shardproxy.topology.rebalance_apply import owns

_WAIT_S = 0.3


def can_be_reversed(stored: StoredTopology, move: Move) -> bool:
    """Whether the rows of a switched move are still where it has brought them."""
    return owns(stored.hash_maps, stored.range_maps, move.group, move.target, move.share)


class Runner:
    """One run. `jobs` are under way, for whoever shows them; `say` is told of each step."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None]) -> None:
        self.cluster = cluster
        self.jobs: dict[int, Job] = {}
        self._say = say

    async def acting(self, work: Coroutine[None, None, bool]) -> bool | None:
        """Do this as the mover that acts, and give what it gives; None where another one acts. Raises `Replaced` when it is replaced."""
        board = self.cluster.board
        taken = False
        try:
            taken = await board.take()
        finally:
            if not taken:
                work.close()
        if not taken:
            return None
        await reach("lease_taken")
        lost = asyncio.ensure_future(board.lost.wait())
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({lost, task}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Replaced("another mover acts now")
            return await task
        finally:
            for one in (lost, task):
                one.cancel()
            await asyncio.gather(lost, task, return_exceptions=True)

    async def rebalance(self, by: By, max_moves: int | None, *, until_ready: bool = False) -> bool:
        """Go on with what was left, make members, plan, and move; gives whether every move came to its end."""
        board = self.cluster.board
        done = await self._finish(await board.load(), until_ready=until_ready)
        stored = await board.load()
        if not done:
            return False
        proposal = await propose(self.cluster, stored, by)
        if proposal.faults:
            raise MoveRefused(list(proposal.faults))
        if joining(stored):
            stored = await board.change(lambda doc: with_moves(doc, joining(doc)))
            if not await self._finish(stored, until_ready=False):
                return False
            stored = await board.load()
        moves = [proposed.move for proposed in proposal.moves][:max_moves]
        if not moves:
            return True
        for old in overlapping(stored, moves):
            self._say(f"move {old.id}: cleaning up {old.source} first, where others bring rows of the same group")
            await self._clean_up(old)

        def add(doc: StoredTopology) -> StoredTopology:
            if (doc.hash_maps, doc.range_maps) != (stored.hash_maps, stored.range_maps):
                raise MoveRefused(["the topology was changed while the moves were planned; run it again"])
            # It may have been carried out already, and only the answer was lost.
            return with_moves(doc, [move for move in moves if doc.move(move.id) is None])

        stored = await board.change(add)
        await reach("plan_written")
        return await self._finish(stored, until_ready=until_ready)

    async def _finish(self, stored: StoredTopology, *, until_ready: bool) -> bool:
        """Carry out all moves that have not come to their end; two that share a shard go one after the other."""
        waiting = [move for move in stored.moves if not (move.state.over or move.state is S.SWITCHED)]
        switched = [
            move
            for move in stored.moves
            if move.state is S.SWITCHED and (move.joins or not (await self.cluster.board.progress(move.id)).get("freed"))
        ]
        running: dict[asyncio.Task[bool], Move] = {}
        fine = True
        waiting += switched
        try:
            while waiting or running:
                knobs = self.cluster.board.knobs
                limit = int(knobs.get("parallel", KNOBS["parallel"]))
                busy = {shard for move in running.values() for shard in (move.source, move.target)}
                for move in list(waiting):
                    if len(running) < limit and not busy & {move.source, move.target}:
                        waiting.remove(move)
                        busy |= {move.source, move.target}
                        running[asyncio.ensure_future(self._run(move, until_ready=until_ready))] = move
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    running.pop(task)
                    fine = await task and fine
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return fine

    async def finish_only(self, number: int) -> bool:
        """Go on with one move alone."""
        stored = await self.cluster.board.load()
        move = stored.move(number)
        return move is not None and await self._run(move, until_ready=False)

    async def _run(self, move: Move, *, until_ready: bool) -> bool:
        job = await self.cluster.job(move, await self.cluster.board.load())
        self.jobs[move.id] = job
        if move.state is S.CLEANUP:
            await Mover(job).clean_up()
        else:
            await Mover(job, until_ready=until_ready).run()
        move = job.move
        words = f"move {move.id}: {move.source} -> {move.target}: {move.state.value}"
        self._say(words + (f": {move.reason}" if move.reason else ""))
        return move.state is not S.ABORTED

    async def _clean_up(self, move: Move) -> None:
        job = await self.cluster.job(move, await self.cluster.board.load())
        self.jobs[move.id] = job
        await Mover(job).clean_up()

    async def clean_up(self, numbers: Sequence[int]) -> bool:
        """Delete what moves have left behind."""
        stored = await self.cluster.board.load()
        for number in numbers:
            move = stored.move(number)
            if move is None or move.joins or move.state not in (S.SWITCHED, S.CLEANUP):
                raise MoveRefused([f"move {number} is not switched"])
            await self._clean_up(move)
            self._say(f"move {number}: done")
        return True

    async def reverse(self, number: int) -> bool:
        """Bring a share back to where it was: what the new owner has changed is brought to the old one, which then owns it again."""
        board = self.cluster.board
        progress = await board.progress(number)
        added: list[Move] = []

        def add(doc: StoredTopology) -> StoredTopology | None:
            move = doc.move(number)
            again = next((other for other in doc.moves if other.reverse_of == number and not other.state.over), None)
            if again is not None:
                # It was carried out already, and only the answer was lost.
                added[:] = [again]
                return None
            if move is None or move.state is not S.SWITCHED or move.joins:
                raise MoveRefused([f"move {number} is not switched"])
            if not can_be_reversed(doc, move):
                raise MoveRefused([f"{move.target} does not own all of what move {number} brought there: later moves have taken it on"])
            back = Move(
                max(other.id for other in doc.moves) + 1, move.group, move.target, move.source, move.share, S.PREPARING, reverse_of=number
            )
            added[:] = [back]
            # The rows that it has left behind are now those that the way back brings up to date.
            return doc.with_move(replace(move, state=S.DONE, reason=f"taken back by move {back.id}")).with_move(back)

        stored = await board.change(add)
        back = added[0]
        if progress.get("reverse") and not await board.progress(back.id):
            position = {"position": progress["reverse"], "source": progress["reverse_source"], "back": True}
            await board.save_progress(back.id, position)
        return await self._finish(stored, until_ready=False)
