"""`python -m benchmarks.mover CONFIG`: a mover in a process of its own, which carries out moves that others thought of.

`shardctl rebalance` makes its own plan, and says nothing of the time that each state takes. So this runs the same mover on given moves:
stdin has a `Task` as JSON. stdout gets one JSON object for each move once it is where it was to get.
"""

import argparse
import asyncio
import contextlib
import cProfile
import json
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.procfs import own_cpu_seconds
from migrate.cluster import Cluster, opened
from migrate.job import Job
from migrate.mover import Mover
from migrate.planning import with_moves
from migrate.runner import Runner
from migrate.tail import Tail
from shardproxy.cli.main import run
from shardproxy.config.loader import load_config
from shardproxy.topology.moves import Move
from shardproxy.topology.moves import MoveState as S
from shardproxy.topology.share import Share

_LOOK_S = 0.005
_TAIL_LIMIT_S = 600.0
# The states that a move passes (in COPYING the rows are counted before they are copied), or a tail alone.
_ORDER = ("planned", "preparing", "copying", "counted", "catchup", "verifying", "ready", "fencing", "switched", "tail", "end")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One move, of buckets."""

    id: int
    group: str
    source: str
    target: str
    buckets: list[int]


@dataclass(frozen=True, slots=True)
class Task:
    """`batches` one after the other; the moves of one run side by side. `hold` stops before the cutovers, `clean` takes the old rows away
    after each. `tail`: the number of a move that was held; what has changed since is brought, and nothing else. `pids`: by shard."""

    batches: list[list[Wanted]] = field(default_factory=list)
    hold: bool = False
    clean: bool = False
    tail: int = 0
    rate: float = 0.0
    pids: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """When something began, in seconds since 1970, and the CPU seconds that everyone had used by then: "mover" is this process."""

    name: str
    at: float
    cpu: dict[str, float]


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move took. `moments`: what of `_ORDER` it passed; `journal`: what the mover noted.

    Times are in seconds since 1970.
    """

    id: int
    state: str
    reason: str
    moments: list[Moment]
    progress: dict[str, Any]
    journal: list[tuple[float, str]]

    @classmethod
    def load(cls, plain: dict[str, Any]) -> "Moved":
        """From what was printed."""
        moments = [Moment(**moment) for moment in plain["moments"]]
        return cls(**{**plain, "moments": moments, "journal": [(at, event) for at, event in plain["journal"]]})

    def moment(self, name: str) -> Moment:
        """When this began, or what follows it where it was over before anyone looked."""
        rank = _ORDER.index(name)
        return next(moment for moment in self.moments if _ORDER.index(moment.name) >= rank)

    def seconds(self, first: str, last: str) -> float:
        """From one moment to another."""
        return self.moment(last).at - self.moment(first).at

    def cpu(self, first: str, last: str) -> Mapping[str, float]:
        """CPU seconds between two moments."""
        before, after = self.moment(first).cpu, self.moment(last).cpu
        return {name: after[name] - before[name] for name in after}


def main() -> int:
    """Do the task. Exit codes: 0 done, 1 another mover acts, or a move was given up."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mover")
    parser.add_argument("config", type=Path)
    parser.add_argument("--profile", type=Path, help="write what cProfile saw into this file")
    options = parser.parse_args()
    plain = json.load(sys.stdin)
    task = Task(**{**plain, "batches": [[Wanted(**move) for move in batch] for batch in plain["batches"]]})
    profile = cProfile.Profile(time.process_time) if options.profile else contextlib.nullcontext()
    with profile:
        done = run(_act(options.config, task))
    if isinstance(profile, cProfile.Profile):
        profile.dump_stats(options.profile)
    return 0 if done else 1


async def _act(config: Path, task: Task) -> bool:
    me = asyncio.current_task()
    assert me is not None
    # A mover that is killed keeps its lease for seconds.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        async with opened(load_config(config)) as cluster:
            cluster.open()
            runner = Runner(cluster, lambda text: print(text, file=sys.stderr, flush=True))
            return bool(await runner.acting(_tail(cluster, task) if task.tail else _move_all(cluster, task)))
    return False


async def _move_all(cluster: Cluster, task: Task) -> bool:
    board = cluster.board
    await board.change(lambda doc: replace(doc, knobs={**doc.knobs, "rate": task.rate}))
    fine = True
    for batch in task.batches:
        moves = [Move(one.id, one.group, one.source, one.target, Share(buckets=frozenset(one.buckets))) for one in batch]
        stored = await board.change(lambda doc, moves=moves: with_moves(doc, moves))  # type: ignore[misc]
        jobs = [await cluster.job(move, stored) for move in moves]
        fine = all(await asyncio.gather(*(_move(cluster, job, task) for job in jobs))) and fine
        if task.clean:
            for job in jobs:
                await Mover(job).clean_up()
    return fine


async def _move(cluster: Cluster, job: Job, task: Task) -> bool:
    moments: list[Moment] = []
    watch = asyncio.ensure_future(_watch(job, task.pids, moments))
    try:
        state = await Mover(job, until_ready=task.hold).run()
    finally:
        watch.cancel()
    moments.append(_now("end", task.pids))
    journal = await asyncio.to_thread(cluster.store.journal, job.move.id)
    _tell(Moved(job.move.id, state.value, job.move.reason, moments, job.progress.plain(), journal))
    return state is (S.READY if task.hold else S.SWITCHED)


async def _watch(job: Job, pids: Mapping[str, int], moments: list[Moment]) -> None:
    """Take note of each state when it begins."""
    known = ""
    while True:
        name, progress = job.move.state.value, job.progress
        if job.move.state is S.COPYING and progress.started_at:
            name = "counted"
        if name != known and name in _ORDER:
            known = name
            moments.append(_now(name, pids))
        await asyncio.sleep(_LOOK_S)


async def _tail(cluster: Cluster, task: Task) -> bool:
    """Bring what has changed since a move was held."""
    stored = await cluster.board.load()
    move = stored.move(task.tail)
    assert move is not None
    job = await cluster.job(move, stored)
    await job.source.claim(move.id, move.group, "source", "open")
    await job.target.claim(move.id, move.group, "target", "incoming")
    job.throttle.start()
    moments = [_now("tail", task.pids)]
    before = job.progress.rows_applied
    tail = Tail(job)
    try:
        await tail.start()
        await tail.applied_up_to_now(_TAIL_LIMIT_S)
        moments.append(_now("end", task.pids))
    finally:
        await tail.stop()
        await job.throttle.stop()
    await job.save()
    _tell(Moved(move.id, move.state.value, "", moments, {"applied": job.progress.rows_applied - before}, []))
    return True


def _now(name: str, pids: Mapping[str, int]) -> Moment:
    cpu = {shard: own_cpu_seconds(pid) for shard, pid in pids.items()}
    return Moment(name, time.time(), {**cpu, "mover": time.process_time()})


def _tell(moved: Moved) -> None:
    print(json.dumps(asdict(moved)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
