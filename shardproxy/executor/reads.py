"""Which server a session's reads go to, in a shard that has replicas; and what the session has seen of each such shard."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from time import perf_counter

from shardproxy.backends.engine import Connection
from shardproxy.backends.replicas import Mark, ReplicaSet
from shardproxy.backends.server import Server
from shardproxy.config.model import ReadMode
from shardproxy.config.replication import stricter
from shardproxy.executor.state import ClientState
from shardproxy.planner.plan import Kind, Plan
from shardproxy.protocol.gtid import Position


class Use(IntEnum):
    """What a connection was taken for."""

    OTHER = 0
    READ = 1
    WRITE = 2
    # A read that may see an older state than the ones before it.
    READ_ANY = 3
    # A write whose answer shows rows.
    WRITE_SHOWN = 4


def use_of(plan: Plan | None) -> Use:
    """What a statement does to tables, as far as it is known."""
    if plan is None:
        return Use.OTHER
    if plan.writes and (plan.kind is Kind.SELECT or plan.pin):
        return Use.WRITE_SHOWN
    return Use.WRITE if plan.writes else Use.READ if plan.tables or plan.sees else Use.OTHER


class Reads:
    """One session's view. `sets` are the shards with replicas."""

    __slots__ = ("_marks", "_state", "chosen", "sets")

    def __init__(self, sets: Mapping[str, ReplicaSet], state: ClientState) -> None:
        self.sets = sets
        self._state = state
        self._marks: dict[str, Mark] = {}
        # What was chosen for a statement that then found no connection at hand: by shard, with its plan.
        self.chosen: dict[str, tuple[Plan, Server]] = {}

    def forget(self) -> None:
        """The session was reset: it is a new one."""
        self._marks.clear()

    def moved(self, shard: str, at: float) -> None:
        """Rows have moved to this shard, which the session may have written or seen elsewhere: replicas must be as fresh as that."""
        self._mark(shard).wrote(None, at)

    def from_replica(self, plan: Plan | None) -> bool:
        """Whether a statement may be answered by a replica at all."""
        return plan is not None and plan.replica and self._mode(plan)[0] != "primary"

    def use_on(self, server: Server, plan: Plan) -> Use:
        """What a connection to a replica is taken for."""
        return Use.READ_ANY if self._mode(plan)[0] == "eventual" else use_of(plan)

    def choose(self, found: ReplicaSet, plan: Plan, key: bytes) -> Server | None:
        """A replica that may be read at once, or None."""
        mode, lag_s = self._mode(plan)
        if not (key and found.rules.by_key) and found.rules.balancer.uses_key:
            key = self._state.host.encode()
        if mode == "eventual":
            return found.any_replica(key)
        own = self._mark(found.shard)
        mark = found.acknowledged if mode == "global" else own
        return found.choose(mark, own, key, lag_s if mode == "bounded" else None)

    def after_write(self, found: ReplicaSet, plan: Plan) -> bool:
        """Whether the primary shall answer because what has just been written cannot be elsewhere yet."""
        mode = self._mode(plan)[0]
        if mode not in ("session", "global"):
            return False
        if mode == "global":
            # Others may write all the time: somebody has to ask how far the replicas are.
            found.hurry()
        mark = found.acknowledged if mode == "global" else self._mark(found.shard)
        return perf_counter() - mark.wrote_at < found.rules.catch_up_s

    async def find(self, found: ReplicaSet, plan: Plan, key: bytes) -> Server | None:
        """The same, after waiting a moment for one to be far enough; None: the primary has to answer."""
        before = self.chosen.pop(found.shard, None)
        if before is not None and before[0] is plan and before[1].serves_reads():
            return before[1]
        server = self.choose(found, plan, key)
        mode, lag_s = self._mode(plan)
        if server is not None or mode == "eventual":
            return server
        own = self._mark(found.shard)
        mark = found.acknowledged if mode == "global" else own
        if not (key and found.rules.by_key):
            key = self._state.host.encode()
        return await found.catch_up(mark, own, key, lag_s if mode == "bounded" else None)

    def note(self, connection: Connection) -> None:
        """A statement on this connection is over, or its transaction: remember what the session has written or seen by that."""
        server = connection.pool.server
        if server is None:
            return
        found = self.sets[connection.shard]
        now = perf_counter()
        self.chosen.pop(connection.shard, None)
        mark = self._mark(connection.shard)
        if connection.position or connection.use in (Use.WRITE, Use.WRITE_SHOWN):
            position = Position.parse(connection.position) if connection.position else None
            mark.wrote(position, now)
            found.acknowledge(position, now)
            connection.position = ""
        if connection.use in (Use.READ, Use.READ_ANY, Use.WRITE_SHOWN):
            server.reads += connection.use is not Use.WRITE_SHOWN
            if server is found.primary:
                mark.server = None
            else:
                if server is not mark.server:
                    # Of a replica that was read as it happened to be, nothing is known of what the session had seen before.
                    mark.server = None if connection.use is Use.READ_ANY else server
                server.observe_latency(now - connection.started_at, now)
            mark.read_at = now
        connection.use = Use.OTHER

    def _mode(self, plan: Plan) -> tuple[ReadMode, float]:
        state = self._state
        if state.hint is not None:
            return state.hint
        mode: ReadMode = state.reads
        if plan.reads and not state.reads_chosen:
            mode = stricter(mode, plan.reads)
        return mode, state.max_lag_s

    def _mark(self, shard: str) -> Mark:
        found = self._marks.get(shard)
        if found is None:
            self._marks[shard] = found = Mark()
            moved_at = self.sets[shard].moved_at
            if moved_at:
                found.wrote(None, moved_at)
        return found
