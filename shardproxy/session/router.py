"""What all sessions of a process share: topology, catalog, plans, pools, and who is connected."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from shardproxy.backends.catalog_builder import Finding
from shardproxy.backends.engine import ConnectionKind
from shardproxy.backends.registry import Backends
from shardproxy.config.loader import LoadedConfig
from shardproxy.planner.build import build_plan
from shardproxy.planner.cache import PlanCache
from shardproxy.planner.context import PlanContext, build_context
from shardproxy.planner.plan import AnyPlan
from shardproxy.protocol.resultset import ColumnDefinition
from shardproxy.sql.statement import Statement
from shardproxy.telemetry.counters import Metrics
from shardproxy.topology.catalog import Catalog
from shardproxy.topology.topology import Topology

if TYPE_CHECKING:
    from shardproxy.session.session import Session

log = logging.getLogger(__name__)

# A prepared statement's text, with the schema and the connection kind of whoever prepares it.
DescriptionKey = tuple[bytes, str | None, ConnectionKind]
# Its parameters and its columns.
Description = tuple[list[ColumnDefinition], list[ColumnDefinition]]


class Router:
    """The shared half of every session. `context` is replaced, never changed; sessions look it up for each statement."""

    def __init__(self, loaded: LoadedConfig, topology: Topology, backends: Backends, differences: list[str]) -> None:
        self.loaded = loaded
        self.limits = loaded.config.limits
        self.verifiers = loaded.verifiers
        self.topology = topology
        self.backends = backends
        self.differences = differences
        self.metrics = Metrics()
        self.sessions: dict[int, Session] = {}
        self.findings: list[Finding] = []
        self.catalog = Catalog(unread_shards=topology.shards)
        self.logical_schema = loaded.config.proxy.schema_name
        self.ddl_lock = asyncio.Lock()
        self.draining = False
        self._next_thread_id = 1
        self._refresher: asyncio.Task[None] | None = None
        self.context: PlanContext
        self.plan_hits = self.plan_misses = 0
        # Parameters and columns of prepared statements, as shards have told them.
        self.descriptions: dict[DescriptionKey, Description] = {}
        # Plan caches of sessions that have not, and that have, chosen the schema.
        self.plans: tuple[PlanCache, ...] = ()
        self._bind()

    @property
    def ready(self) -> bool:
        """Whether every shard's schema has been read."""
        return not self.catalog.unread_shards and not self.draining

    def _bind(self) -> None:
        self.context = context = build_context(self.topology, self.catalog, self.logical_schema)
        for cache in self.plans:
            self.plan_hits += cache.hits
            self.plan_misses += cache.misses

        def build(selected: bool) -> PlanCache:
            def make(shape: bytes, literals: list[bytes]) -> AnyPlan:
                return build_plan(Statement(shape, literals), context, selected=selected)

            return PlanCache(self.limits.plan_cache, make)

        self.plans = (build(False), build(True))
        self.descriptions = {}

    def remember_description(self, key: DescriptionKey, description: Description) -> None:
        """Keep what a shard has told of a statement; all are dropped when they are too many or when tables have changed."""
        if len(self.descriptions) >= self.limits.plan_cache:
            self.descriptions.clear()
        self.descriptions[key] = description

    @property
    def statements(self) -> int:
        """Statements sent to shards since the start."""
        return sum(pool.statements.total() for pool in self.backends.pools.values())

    @property
    def plan_cache_counts(self) -> tuple[int, int, int]:
        """Hits, misses and entries of the plan caches."""
        caches = self.plans
        hits = self.plan_hits + sum(cache.hits for cache in caches)
        return hits, self.plan_misses + sum(cache.misses for cache in caches), sum(len(cache) for cache in caches)

    async def refresh_catalog(self) -> None:
        """Read the shards' schemas again; plans are dropped only if something has changed."""
        catalog, self.findings = await self.backends.load_catalog(self.topology)
        if replace(catalog, version=self.catalog.version) == self.catalog:
            return
        known = dict(self.context.problems)
        self.catalog = catalog
        self._bind()
        for table, problem in self.context.problems.items() - known.items():
            log.warning("table cannot be served", extra={"table": table, "reason": problem})

    def start(self) -> None:
        """Look at the shards' schemas from time to time, for changes that were made behind the proxy."""
        self._refresher = asyncio.get_running_loop().create_task(self._refresh_forever())

    async def _refresh_forever(self) -> None:
        while True:
            pause = self.limits.health_interval_s if self.catalog.unread_shards else self.limits.catalog_refresh_s
            await asyncio.sleep(pause)
            try:
                await self.refresh_catalog()
            except Exception:
                log.exception("the shards' schemas could not be read")

    def register(self, session: Session) -> int:
        """Give a session its thread id."""
        thread_id = self._next_thread_id
        self._next_thread_id = self._next_thread_id % 0xFFFFFFFF + 1
        while thread_id in self.sessions:
            thread_id = thread_id % 0xFFFFFFFF + 1
        self.sessions[thread_id] = session
        self.metrics.connections_total += 1
        return thread_id

    async def close(self) -> None:
        """Stop the background work and close all connections to the shards."""
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.gather(self._refresher, return_exceptions=True)
        await self.backends.close()
