"""One server of a replicated shard, as reads are balanced over it: its connections, how it is, how far it has come."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from shardproxy.backends.health import State
from shardproxy.backends.mysql_engine import MySQLEngine
from shardproxy.backends.pool import Pool
from shardproxy.backends.probe import Probe, Prober
from shardproxy.balance import PeakEwma, warm_up
from shardproxy.protocol.gtid import NOWHERE, Position

if TYPE_CHECKING:
    from shardproxy.backends.replicas import ReplicaSet


class Server:
    """A primary or a replica; a `balance.Target`.

    `applied` is how far its readers can see, as last known. `fresh_at` is the latest moment of which it is known that everything the
    primary had committed by then can be read here (`perf_counter` time; minus infinity where nothing is known). `ousted` marks a former
    primary that has not become a replica of the new one yet: it gets no statement. `probed_at` is when `probe` was asked for.
    """

    def __init__(self, name: str, pool: Pool, weight: float, warm_up_s: float) -> None:
        self.name = name
        self.pool = pool
        self.base_weight = weight
        self.warm_up_s = warm_up_s
        self.probe: Probe | None = None
        self.probed_at = 0.0
        self.applied = NOWHERE
        self.logged = NOWHERE
        self.fresh_at = float("-inf")
        self.ousted = False
        self.reads = 0
        self._latency = PeakEwma()
        self._returned_at = float("-inf")

    # -- for balancing ------------------------------------------------------------------------------------------------

    @property
    def weight(self) -> float:
        """As configured, less while the server warms up."""
        if self.warm_up_s <= 0 or self._returned_at == float("-inf"):
            return self.base_weight
        return self.base_weight * warm_up(self._returned_at, perf_counter(), self.warm_up_s)

    @property
    def in_flight(self) -> int:
        """Connections that serve a statement or a session."""
        return self.pool.in_use

    @property
    def latency(self) -> float:
        """Peak EWMA of its reads, in seconds."""
        return self._latency.value(perf_counter())

    @property
    def reported(self) -> float | None:
        """The weight that the server itself reports."""
        return None if self.probe is None else self.probe.reported

    def observe_latency(self, seconds: float, now: float) -> None:
        """A read has taken so long."""
        self._latency.observe(seconds, now)

    def watch(self, members: ReplicaSet, prober: Prober) -> None:
        """Ask the server about its role and its position, for the set that it is one of."""
        engine = self.pool.engine
        if isinstance(engine, MySQLEngine):
            engine.tracks = True
        checker = self.pool.checker
        checker.watch(prober)
        checker.on_probe = partial(members.on_probe, self)
        checker.on_positions = partial(members.on_positions, self)
        self.pool.server = self
        self.pool.on_state = partial(members.on_state, self)

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def follows(self) -> bool:
        """Whether it is a replica that replicates, or did when its source was last there."""
        probe = self.probe
        return probe is not None and probe.read_only and not probe.fault and not self.ousted

    @property
    def writable(self) -> bool:
        """Whether it answers and takes writes, as far as is known."""
        return self.pool.health.usable and self.probe is not None and not self.probe.read_only

    def runs_from(self, other: Server) -> bool:
        """Whether it replicates from that server at this moment, as far as can be seen."""
        mine, theirs = self.probe, other.probe
        return mine is not None and theirs is not None and mine.running and mine.source != "" and mine.source == theirs.identity

    @property
    def trouble(self) -> str:
        """Why it does not answer or takes no writes."""
        health = self.pool.health
        if not health.usable:
            return f"is {health.state.value}: {health.reason}"
        if self.ousted:
            return "was replaced as the primary"
        return "is read-only" if self.probe is not None and self.probe.read_only else "has not been asked yet"

    def serves_reads(self) -> bool:
        """Whether it may be chosen for reads, but for how far it is behind."""
        return self.pool.health.state is State.UP and self.base_weight > 0 and self.follows

    def returned(self, now: float) -> None:
        """It is back, with cold caches."""
        self._returned_at = now

    def lag_s(self, now: float) -> float:
        """Seconds within which everything that the primary commits has lately become readable here; infinite where not known."""
        return max(0.0, now - self.fresh_at)

    def learn(self, applied: Position, logged: Position) -> None:
        """It has come so far. One that has gone back, as after a restore, is not as fresh any more as it was."""
        if not applied.contains(self.applied):
            self.fresh_at = float("-inf")
        self.applied = applied
        self.logged = logged
