"""Following the store: this process takes over each new topology, and tells the store when nothing older is under way any more."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from time import perf_counter
from typing import Any, Final

from shardproxy.backends.engine import DEFAULT_KIND
from shardproxy.backends.registry import Backends
from shardproxy.config.loader import LoadedConfig, describe_shard
from shardproxy.config.model import Shard
from shardproxy.errors import ConfigError, ProxyError, ServerError
from shardproxy.session.holding import Holding, let_go
from shardproxy.session.router import Router
from shardproxy.store.reconcile import check_members, differences, served
from shardproxy.store.records import StoredTopology
from shardproxy.store.store import Store, StoreUnavailable
from shardproxy.topology.moves import Hold, Move
from shardproxy.topology.topology import Topology

log = logging.getLogger(__name__)

# How long a proxy counts as alive after it was last heard of, and how often it tells.
LEASE_S: Final = 4.0
_HEARTBEAT_S: Final = 1.0
# A process that has not reached the store for so long takes itself for forgotten, some time before others do.
ISOLATED_AFTER_S: Final = 3.0
# Heartbeats between two reports of the load.
_REPORT_BEATS: Final = 10
_WATCH_S: Final = 1.0
_AGAIN_S: Final = 0.3
# A hold that its mover does not end is ended by whoever sees it, so that clients do not wait for a mover that is gone.
_HOLD_LIMIT_S: Final = 4.0


def add_stored(backends: Backends, stored: StoredTopology, loaded: LoadedConfig) -> None:
    """Make the pools of the shards that only the store describes."""
    for name, record in stored.shards.items():
        if record.primary:
            section = Shard.model_validate({"primary": record.primary, "replicas": list(record.replicas)})
            backends.add(name, section, *describe_shard(name, section, loaded.path))


class Follower:
    """Keeps a router at the newest topology. `proxy` is this process' name in the store; `epoch` what it has carried out."""

    def __init__(self, store: Store, router: Router, stored: StoredTopology, file: Topology) -> None:
        self.store = store
        self.proxy = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(3)}"
        self.stored = stored
        self.epoch = stored.epoch
        self._router = router
        self._file = file
        self._tasks: list[asyncio.Task[None]] = []
        self._letting_go: asyncio.Task[None] | None = None
        self._held_since = 0.0
        self._telling = asyncio.Lock()
        self._beats = 0
        self._counted = list(router.metrics.latency.buckets)
        self._heat: dict[str, Any] = {}

    async def start(self) -> None:
        """Tell the store of this process, and begin to follow."""
        await self._tell()
        # Only now: a mover that has not waited for this process has written all it has before this is read.
        newest = await asyncio.to_thread(self.store.load)
        await self._take(newest or self.stored)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._follow()), loop.create_task(self._beat())]

    async def stop(self) -> None:
        """Take leave: nobody shall wait for this process."""
        for task in [*self._tasks, *([self._letting_go] if self._letting_go is not None else [])]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable):
            await asyncio.to_thread(self.store.leave, self.proxy)
        await asyncio.to_thread(self.store.close)

    # -- the store ----------------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        # One after the other: an older epoch must not come to the store behind a newer one.
        async with self._telling:
            asked_at = perf_counter()
            try:
                await asyncio.to_thread(self.store.acknowledge, self.proxy, self.epoch, LEASE_S)
            except StoreUnavailable as error:
                self._lost(error)
                return
        await self._trusted_since(asked_at)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            await self._tell()
            await self._report()
            hold = self.stored.hold
            if hold is not None and perf_counter() - self._held_since > _HOLD_LIMIT_S:
                await self._end_hold()

    async def _report(self) -> None:
        """Tell of this process' load: while rows move so often that a mover can go by it, otherwise now and then."""
        self._beats += 1
        if self._beats % _REPORT_BEATS and not any(move.state.strays_on_target for move in self.stored.moves):
            return
        latency = self._router.metrics.latency
        p99_ms = latency.quantile_since(self._counted, 0.99) * 1000
        self._counted = list(latency.buckets)
        if not self._beats % _REPORT_BEATS:
            self._heat = self._router.heat.take()
        try:
            await asyncio.to_thread(self.store.save_progress, f"report/{self.proxy}", {"p99_ms": p99_ms, **self._heat})
        except StoreUnavailable as error:
            self._lost(error)

    async def _follow(self) -> None:
        while True:
            try:
                if await asyncio.to_thread(self.store.wait_beyond, self.stored.epoch, _WATCH_S):
                    stored = await asyncio.to_thread(self.store.load)
                    if stored is not None and stored.epoch > self.stored.epoch:
                        await self._take(stored)
                    elif stored is None or stored.epoch < self.stored.epoch:
                        self._lost(StoreUnavailable(self.store.label, "it holds an older topology than the one in use, or none"))
                        await asyncio.sleep(_AGAIN_S)
            except StoreUnavailable as error:
                self._lost(error)
                await asyncio.sleep(_AGAIN_S)
            except Exception:
                log.exception("the stored topology could not be taken over")
                await asyncio.sleep(_AGAIN_S)

    async def _trusted_since(self, asked_at: float) -> None:
        """The store has heard of this process: movers wait for it. If they may not have done so for a while, it first looks what is new."""
        trust = self._router.trust
        if perf_counter() > trust.valid_until:
            try:
                newest = await asyncio.to_thread(self.store.load)
            except StoreUnavailable as error:
                self._lost(error)
                return
            if newest is not None and newest.epoch > self.stored.epoch:
                await self._take(newest)
        trust.valid_until = asked_at + ISOLATED_AFTER_S
        self._found()

    def _lost(self, error: StoreUnavailable) -> None:
        if not self._router.store_fault:
            log.error("the store is away; the last topology stays in use", extra={"store": self.store.label, "reason": str(error)})
        self._router.store_fault = str(error)

    def _found(self) -> None:
        if self._router.store_fault:
            log.warning("the store is back", extra={"store": self.store.label})
        self._router.store_fault = ""

    async def _end_hold(self) -> None:
        """Compare-and-set, so that a mover that only was slow learns that nobody waits any more."""
        stored = self.stored
        log.error("a hold was ended, its mover is gone", extra={"move": stored.hold.move if stored.hold else 0})
        try:
            released = stored.without_hold()
            if not await asyncio.to_thread(self.store.compare_and_set, stored.epoch, released):
                return
            await self._take(released)
        except StoreUnavailable as error:
            self._lost(error)
            return
        if stored.hold is not None and (move := stored.move(stored.hold.move)) is not None:
            await self._open_source(move, stored.hold)

    async def _open_source(self, move: Move, hold: Hold) -> None:
        """The hold was ended before a decision, so there will be none under it: the source may be written again, the target not.

        Only what was closed under this very hold: a mover that still lives may have begun another one.
        """
        for shard, before, after in ((move.target, "open", "incoming"), (move.source, "closed", "open")):
            sql = f"UPDATE `_sp_fence` SET state = '{after}' WHERE move = {move.id} AND state = '{before}' AND epoch = {hold.epoch + 1}"
            try:
                pool = self._router.backends.pools[shard]
                connection = await pool.acquire(DEFAULT_KIND)
                try:
                    await connection.query(sql.encode())
                except BaseException:
                    pool.discard(connection)
                    raise
                pool.release(connection)
            except (ProxyError, ServerError) as error:
                log.error("a fence stays closed until a mover runs again", extra={"shard": shard, "move": move.id, "reason": str(error)})
                return

    # -- the router ---------------------------------------------------------------------------------------------------

    async def _take(self, stored: StoredTopology) -> None:
        """Serve a newer topology. The acknowledgement follows when nothing older is under way."""
        router, before = self._router, self.stored
        try:
            check_members(self.store.label, stored, self._file.shards)
            add_stored(router.backends, stored, router.loaded)
        except ConfigError as error:
            log.error("the stored topology cannot be served", extra={"faults": error.faults})
            return
        router.backends.start_new()
        topology = served(stored, self._file)
        if set(topology.shards) - set(router.topology.shards) or stored.tables != before.tables:
            await router.refresh_members(topology)
        holding = self._holding(stored, topology)
        changed = _changed_tables(router.topology, topology)
        router.adopt(topology, holding)
        router.trust.decided = frozenset(move.id for move in stored.moves if move.state.decided)
        router.trust.first = min((move.id for move in stored.moves), default=0)
        self.stored = stored
        router.differences = differences(stored, self._file)
        if self._letting_go is not None:
            self._letting_go.cancel()
        work = self._let_go(stored.epoch, changed, holding)
        self._letting_go = asyncio.get_running_loop().create_task(work)
        log.info("topology", extra={"epoch": stored.epoch})

    def _holding(self, stored: StoredTopology, topology: Topology) -> Holding | None:
        hold = stored.hold
        move = stored.move(hold.move) if hold is not None else None
        if hold is None or move is None:
            return None
        current = self._router.holding
        if current is not None and current.hold == hold:
            return current
        self._held_since = perf_counter()
        if move.joins:
            tables = frozenset(name for name, rule in topology.rules.items() if rule.scheme.copied)
        else:
            tables = frozenset(name for name, rule in topology.rules.items() if rule.group == move.group)
        return Holding(hold, tables, frozenset((move.source, move.target)), move.share)

    async def _let_go(self, epoch: int, changed: frozenset[str], holding: Holding | None) -> None:
        # What an earlier epoch has changed may still be under way, as its wait was cut short by this one.
        self._pending |= changed
        await let_go(self._router, self._pending)
        if holding is not None:
            await let_go(self._router, holding.tables, holding.shards)
        self._pending = frozenset()
        self.epoch = epoch
        await self._tell()

    _pending: frozenset[str] = frozenset()


def _changed_tables(before: Topology, after: Topology) -> frozenset[str]:
    """The tables whose statements go elsewhere, or get another text, under the new topology."""
    if before.shards != after.shards or before.rules != after.rules:
        return frozenset(before.rules) | frozenset(after.rules)
    groups = {
        group
        for maps in ("hash_maps", "range_maps", "strays")
        for group in {**getattr(before, maps), **getattr(after, maps)}
        if getattr(before, maps).get(group) != getattr(after, maps).get(group)
    }
    return frozenset(name for name, rule in after.rules.items() if rule.group in groups)
