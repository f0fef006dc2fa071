"""The servers of one replicated shard: who is the primary, which replicas may be read, and how far each is.

How fresh a replica is, is told by positions alone, without agents and clocks of other machines: what the primary had logged when it
was asked at a moment T, and a replica has applied by now, makes that replica fresh as of T. Others wait on the replica with every
read (MaxScale's causal reads, MASTER_GTID_WAIT) or run an agent on every server (ProxySQL's GTID readers).
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from shardproxy.backends.health import State
from shardproxy.backends.probe import Probe
from shardproxy.backends.roles import Verdict, decide
from shardproxy.backends.server import Server
from shardproxy.balance import Balancer
from shardproxy.errors import NO_PRIMARY, QUEUE_FULL, SPLIT_BRAIN, ProxyError
from shardproxy.protocol.gtid import NOWHERE, Position

log = logging.getLogger(__name__)

# Positions of the primary that are kept, each with the moment at which it was asked for, and the least time between them in seconds:
# a replica that is further behind than a minute is only known to be that.
_HISTORY = 1200
_HISTORY_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class ReadRules:
    """How the replicas of a shard are used. Times in seconds.

    `by_key`: the hash kinds look at the sharding key, not at the client. `max_replica_lag_s`: a replica that is further behind is not
    read, unless all are. `catch_up_s`: how long a read may wait for a replica that is expected to have its session's writes at once.
    `write_wait_s`: how long a statement for the primary waits while there is none.
    """

    balancer: Balancer
    by_key: bool
    max_replica_lag_s: float
    catch_up_s: float
    write_wait_s: float


@dataclass(slots=True)
class Mark:
    """What a session has seen of one shard, so that it never sees an older state.

    `written` is the position of its writes and `wrote_at` when the last one was acknowledged; `untold_at` is when the last one was of
    which the server did not tell the position. `server` is the replica that has all that the session has seen, None where only the
    primary is known to, and `read_at` is when it last read.
    """

    written: Position | None = None
    wrote_at: float = float("-inf")
    untold_at: float = float("-inf")
    server: Server | None = None
    read_at: float = float("-inf")

    def wrote(self, position: Position | None, now: float) -> None:
        """A write was acknowledged; `position` is what its server told of it, if it did."""
        if position is not None:
            self.written = position if self.written is None else self.written.union(position)
        else:
            self.untold_at = now
        self.wrote_at = now


class ReplicaSet:
    """One shard's primary and replicas. `choose` picks a server for a read; `primary` is the one for everything else."""

    def __init__(self, shard: str, servers: Sequence[Server], rules: ReadRules) -> None:
        self.shard = shard
        self.servers = tuple(servers)
        self.rules = rules
        self.primary = servers[0]
        # Replicas that may be read now, in the order of the config.
        self.eligible: list[Server] = []
        # All writes that this proxy has acknowledged.
        self.acknowledged = Mark()
        # When rows last came to this shard by a move, or 0.
        self.moved_at = 0.0
        # Their positions, all of them.
        self.told = NOWHERE
        # Why nothing may be sent to the primary now, or ""; and what operators have asked for meanwhile.
        self.fault = "its servers have not been asked yet"
        self._settled = False
        # What a primary had logged when it was seen to hold all of `told`: whoever holds this holds that, even if it was set up anew since
        # and knows nothing of servers that were primaries before.
        self._proof: Position | None = None
        self.split = False
        # What is known to be missing on the primary, until an operator decides.
        self.lost = ""
        self.held_back = ""
        self._doubted_at = 0.0
        self.waiting = 0
        self.on_switch: Callable[[Server, Server], None] | None = None
        self._history: list[tuple[float, Position]] = []
        self._news: asyncio.Event = asyncio.Event()

    def replicas(self) -> list[Server]:
        """All servers but the primary."""
        return [server for server in self.servers if server is not self.primary]

    # -- the primary --------------------------------------------------------------------------------------------------

    @property
    def has_primary(self) -> bool:
        """Whether statements may be sent to the primary."""
        return not (self.fault or self.held_back)

    async def wait_for_news(self, until: float) -> None:
        """Until something has changed; raises `ProxyError` (SP1408, SP1409) where the time is up, SP1406 where too many wait."""
        limit = self.primary.pool.settings.pool_queue
        if self.waiting >= limit:
            raise ProxyError(QUEUE_FULL, f"{self.waiting} statements wait for a primary of shard {self.shard} already")
        left = until - perf_counter()
        if left <= 0:
            raise ProxyError(SPLIT_BRAIN if self.split else NO_PRIMARY, f"shard {self.shard}: {self.held_back or self.fault}")
        self.waiting += 1
        news = self._news
        try:
            async with asyncio.timeout(left):
                await news.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting -= 1

    def acknowledge(self, position: Position | None, now: float) -> None:
        """A client is told that its write has been done."""
        self.acknowledged.wrote(position, now)
        if position is not None:
            self.told = self.told.union(position)
            self._proof = None

    def moved(self, now: float) -> None:
        """Rows have come to this shard by a move: whoever reads from a replica needs one that is as fresh as that."""
        self.moved_at = now
        self.acknowledged.wrote(None, now)

    def doubt(self, reason: str) -> None:
        """The primary has refused a connection or a write: let statements wait until the servers have been asked."""
        self.fault = self.fault or f"{self.primary.name}: {reason}"
        self._doubted_at = perf_counter()
        for server in self.servers:
            server.pool.checker.poke()

    def hold(self, reason: str) -> None:
        """Let everything for the primary wait (`reason`), or go on ("")."""
        self.held_back = reason
        self._tell()

    def _elect(self) -> None:
        """Decide anew who the primary is."""
        if any(server.probe is None and server.pool.health.state is State.UP for server in self.servers):
            return  # not everybody has been asked yet
        if self.fault and self.primary.probed_at < self._doubted_at and self.primary.pool.health.usable:
            return  # the primary itself has not been asked since
        wanted = self.told
        if self._proof is not None and any(server.logged.holds(self._proof) for server in self.servers if server is not self.primary):
            wanted = self._proof
        verdict = decide(self.servers, self.primary, wanted, settled=self._settled)
        self._settled = self._settled or not verdict.fault
        if self.lost and verdict.primary is self.primary and not verdict.fault:
            verdict = Verdict(verdict.primary, self.lost)
        if verdict.primary is not self.primary:
            self.switch(verdict.primary)
        if verdict.fault != self.fault:
            level = logging.ERROR if verdict.fault else logging.WARNING
            log.log(level, verdict.fault or "there is a primary again", extra={"shard": self.shard, "primary": self.primary.name})
        self.fault, self.split = verdict.fault, verdict.split

    def begin_with(self, name: str) -> bool:
        """Before anything was asked: the server of that name is the primary; gives whether there is one."""
        found = self.named(name)
        if found is None:
            return False
        if found is not self.primary:
            self.primary.ousted, self.primary = True, found
            if self.on_switch is not None:
                self.on_switch(found, found)
        return True

    def named(self, name: str) -> Server | None:
        """The server of that name."""
        return next((server for server in self.servers if server.name == name), None)

    def switch(self, primary: Server) -> None:
        """Another server is the primary from now on. The old one gets nothing before it follows the new one."""
        old, self.primary = self.primary, primary
        self.lost = ""
        old.ousted, primary.ousted = True, False
        # What was fresh was so in comparison to the old primary.
        self._history.clear()
        self._proof = None
        for server in self.servers:
            server.fresh_at = float("-inf")
        log.warning("another primary", extra={"shard": self.shard, "primary": primary.name, "before": old.name})
        if self.on_switch is not None:
            self.on_switch(old, primary)
        old.pool.close_all()

    def _readmit(self) -> None:
        """A former primary that has become a replica of the new one, and has nothing that the new one lacks, is one of them again."""
        for server in self.servers:
            probe = server.probe
            follows = probe is not None and probe.read_only and probe.running and server.fresh_at > float("-inf")
            if server.ousted and follows and self.primary.logged.holds(server.logged):
                server.ousted = False
                log.warning("the former primary follows", extra={"shard": self.shard, "server": server.name})

    # -- choosing -----------------------------------------------------------------------------------------------------

    def any_replica(self, key: bytes) -> Server | None:
        """One that may be read, however old its rows are; None where there is none."""
        return self.rules.balancer.choose(self.eligible, key) if self.eligible else None

    def choose(self, mark: Mark, own: Mark, key: bytes, max_lag_s: float | None = None) -> Server | None:
        """A replica that has the writes of `mark` (or, with a bound, is at most so old) and is no older than what `own` has seen; None
        where none is known to be."""
        if max_lag_s is None:
            good = [server for server in self.eligible if _has(server, mark)]
        else:
            since = perf_counter() - max_lag_s
            good = [server for server in self.eligible if server.fresh_at >= since]
        last = own.server
        if last in good:
            return last
        if own.read_at > float("-inf"):
            good = [server for server in good if server.fresh_at >= own.read_at]
        return self.rules.balancer.choose(good, key) if good else None

    async def catch_up(self, mark: Mark, own: Mark, key: bytes, max_lag_s: float | None = None) -> Server | None:
        """The same, after asking how far the servers are now.

        Nobody waits or asks right after a write: the primary answers sooner than a replica catches up. Later a short wait lets the
        session move to a replica, where it stays.
        """
        begin = perf_counter()
        patience = self.rules.catch_up_s
        while True:
            found = self.choose(mark, own, key, max_lag_s)
            if found is not None or begin - mark.wrote_at < patience:
                return found
            left = begin + patience - perf_counter()
            if left <= 0 or not self._expects_news():
                self.hurry()
                return None
            self.hurry()
            news = self._news
            try:
                async with asyncio.timeout(left):
                    await news.wait()
            except TimeoutError:
                return None

    def _expects_news(self) -> bool:
        """Whether a replica was up to date not long ago: one that is far behind is not worth waiting for."""
        patience = 2 * self.primary.pool.settings.health_interval_s + self.rules.catch_up_s
        now = perf_counter()
        return any(server.lag_s(now) <= patience for server in self.eligible)

    def hurry(self) -> None:
        """Find out how far the servers are. The primary is asked first: what it says is compared to what the others say later."""
        self.primary.pool.checker.hurry()
        for server in self.eligible:
            server.pool.checker.hurry()

    def failed(self, server: Server, reason: str) -> None:
        """A statement on a replica has failed: do not choose it before a check has passed."""
        if server.pool.health.state is State.UP:
            server.pool.observe(reason)
        server.pool.checker.poke()
        self.review()

    # -- learning -----------------------------------------------------------------------------------------------------

    def on_probe(self, server: Server, probe: Probe, asked: float) -> None:
        """A server has told of itself."""
        server.probe = probe
        if server is self.primary and not server.pool.health.usable and not probe.logged.holds(self.told):
            # It was away, and has come back without what it had acknowledged: a replica may have it.
            self.lost = f"{server.name} has lost writes that were acknowledged; promote a server that has them, or this one by force"
        server.probed_at = asked
        self.on_positions(server, probe.applied, probe.logged, asked)
        self.review()

    def on_positions(self, server: Server, applied: Position, logged: Position, asked: float) -> None:
        """A server has told how far it is; it was asked at a certain moment."""
        server.learn(applied, logged)
        if server is self.primary:
            if self._proof is None and logged.holds(self.told):
                self._proof = logged
            self._remember(asked, logged)
            for other in self.replicas():
                self._freshen(other)
        else:
            self._freshen(server)
        self._tell()

    def _freshen(self, server: Server) -> None:
        """Find the latest moment of which the replica has everything."""
        history = self._history
        # What was logged earlier is part of what was logged later, so the last entry that the replica has can be searched for.
        low, high = bisect_right(history, server.fresh_at, key=_moment), len(history)
        while low < high:
            middle = (low + high) // 2
            if _covers(server, history[middle][1]):
                server.fresh_at = history[middle][0]
                low = middle + 1
            else:
                high = middle

    def _remember(self, asked: float, logged: Position) -> None:
        history = self._history
        if history and asked <= history[-1][0]:
            return
        if len(history) > 1 and history[-1][0] - history[-2][0] < _HISTORY_STEP_S:
            history.pop()
        history.append((asked, logged))
        if len(history) > _HISTORY:
            del history[: _HISTORY // 4]

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def on_state(self, server: Server, now: float) -> None:
        """A server's health has changed."""
        if server.pool.health.state is State.UP:
            server.returned(now)
        self.review()

    def review(self) -> None:
        """Decide anew who the primary is and which replicas may be read."""
        self._elect()
        self._readmit()
        now = perf_counter()
        serving = [server for server in self.replicas() if server.serves_reads()]
        # While the primary is away, nobody can be behind what it had last told.
        last = self._history[-1][0] if self._history else float("inf")
        near = [server for server in serving if server.fresh_at >= last or server.lag_s(now) <= self.rules.max_replica_lag_s]
        # All being far behind is no reason to send everything to the primary: the nearest one stays.
        before = self.eligible
        self.eligible = near or [min(serving, key=lambda server: server.lag_s(now))] if serving else []
        if [server.name for server in before] != [server.name for server in self.eligible]:
            names = ", ".join(server.name for server in self.eligible) or "none"
            log.info("replicas that are read have changed", extra={"shard": self.shard, "replicas": names})
        self._tell()


def _has(server: Server, mark: Mark) -> bool:
    """Whether the writes of a mark can be read on a replica."""
    if server.fresh_at >= mark.wrote_at:
        return True
    return mark.written is not None and server.fresh_at >= mark.untold_at and _covers(server, mark.written)


def _covers(server: Server, position: Position) -> bool:
    """Whether readers of a server can see all of a position, in the history that it is a position of."""
    return server.applied.contains(position) and server.logged.holds(position)


def _moment(entry: tuple[float, Position]) -> float:
    return entry[0]
