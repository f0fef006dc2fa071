"""What all sessions of a process share: topology, catalog, plans, pools, and who is connected."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from shardproxy.backends.catalog_builder import Finding
from shardproxy.backends.engine import DEFAULT_KIND, ConnectionKind, Settings
from shardproxy.backends.registry import Backends
from shardproxy.config.loader import LoadedConfig
from shardproxy.errors import (
    NO_SCHEMA_RIGHT,
    NOT_KILL_OWNER,
    UNKNOWN_DATABASE,
    UNKNOWN_THREAD,
    UNSUPPORTED_SETTING,
    ProxyError,
    ServerError,
)
from shardproxy.executor.trust import Trust
from shardproxy.planner.build import build_plan
from shardproxy.planner.cache import PlanCache
from shardproxy.planner.context import PlanContext, Servers, build_context
from shardproxy.planner.plan import AnyPlan, Kind, Plan
from shardproxy.planner.whole import plan_whole
from shardproxy.planner.words import SERVERS_OWN
from shardproxy.protocol.resultset import ColumnDefinition, parse_row
from shardproxy.routing.render import quote
from shardproxy.session.heat import Heat
from shardproxy.sql.statement import MAX_PARSED_BYTES, MAX_READ_BYTES, Statement
from shardproxy.telemetry.counters import Metrics
from shardproxy.topology.catalog import Catalog
from shardproxy.topology.topology import Topology

if TYPE_CHECKING:
    from shardproxy.session.holding import Holding
    from shardproxy.session.session import Session

log = logging.getLogger(__name__)

_OPEN_CACHES = 64

_LEAVES = "({0} IS NULL OR {0} LIKE '%@%' OR UPPER({0}) LIKE '%GET_LOCK%' OR UPPER({0}) LIKE '%SESSION%' OR UPPER({0}) LIKE '%LOCAL %')"
_LEAKY = (
    f"SELECT TRIGGER_SCHEMA FROM information_schema.TRIGGERS WHERE {_LEAVES.format('ACTION_STATEMENT')} UNION SELECT ROUTINE_SCHEMA FROM"
    f" information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION' AND {_LEAVES.format('ROUTINE_DEFINITION')}"
).encode()

# A prepared statement's text, with the schema and the connection kind of whoever prepares it.
DescriptionKey = tuple[bytes, str | None, ConnectionKind]
# Its parameters and its columns.
Description = tuple[list[ColumnDefinition], list[ColumnDefinition]]


class Others(Protocol):
    """Other processes that serve the same port: this one is `number` of `count`."""

    number: int
    count: int

    async def kill(self, thread_id: int, user: str, *, query: bool) -> None:
        """End a connection of one of them, or its statement; raises `ProxyError`."""


def victim_of(router: Router, thread_id: int, user: str) -> Session:
    """The connection that a user may end; raises `ProxyError`."""
    victim = router.sessions.get(thread_id)
    if victim is None:
        raise ProxyError(UNKNOWN_THREAD, f"Unknown thread id: {thread_id}", plain=True)
    if victim.state.user != user:
        raise ProxyError(NOT_KILL_OWNER, f"You are not owner of thread {thread_id}", plain=True)
    return victim


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
        # What statements have to wait for while a share changes its owner.
        self.holding: Holding | None = None
        self.heat = Heat()
        # How long the topology can be taken for the newest one.
        self.trust = Trust()
        # Why the store cannot be asked, or "".
        self.store_fault = ""
        self._next_thread_id = self._thread_step = 1
        # The other processes on the port.
        self.others: Others | None = None
        self._refresher: asyncio.Task[None] | None = None
        self.context: PlanContext
        self._leaky: frozenset[str] = frozenset()
        self.plan_hits = self.plan_misses = 0
        # Parameters and columns of prepared statements, as shards have told them.
        self.descriptions: dict[DescriptionKey, Description] = {}
        # Plan caches by the schema that a session has chosen, or None.
        self.plans: dict[str | None, PlanCache] = {}
        self._plans_with_pipes: dict[str | None, PlanCache] = {}
        self._bind()

    @property
    def ready(self) -> bool:
        """Whether every shard's schema has been read."""
        return not self.catalog.unread_shards and not self.draining

    def adopt(self, topology: Topology, holding: Holding | None) -> None:
        """Serve another topology from now on. Statements under way go on with the one they were planned for."""
        before, self.topology = self.topology, topology
        released, self.holding = self.holding, holding
        if (topology.hash_maps, topology.range_maps, topology.strays) != (before.hash_maps, before.range_maps, before.strays):
            # Rows have come, or are left out no more because they have been deleted: replicas must be as far.
            now = perf_counter()
            for shard, found in self.backends.sets.items():
                found.moved(now)
                for session in self.sessions.values():
                    session.leases.reads.moved(shard, now)
        if replace(topology, epoch=before.epoch) == before:
            self.context = replace(self.context, topology=topology)
        else:
            self._bind()
        if released is not None and released is not holding:
            released.released.set()

    async def refresh_members(self, topology: Topology) -> None:
        """Read the schemas of the shards that a topology has, before statements may reach them."""
        self.catalog, self.findings = await self.backends.load_catalog(topology)

    def _bind(self) -> None:
        self.context = context = build_context(self.topology, self.catalog, self.logical_schema, self._servers())
        for cache in self.plans.values():
            self.plan_hits += cache.hits
            self.plan_misses += cache.misses

        def build(selected: bool) -> PlanCache:
            def make(shape: bytes, literals: list[bytes]) -> AnyPlan:
                limit = MAX_READ_BYTES if selected and context.whole is not None else MAX_PARSED_BYTES
                return build_plan(Statement(shape, literals, limit), context, selected=selected)

            return PlanCache(self.limits.plan_cache, make)

        self.plans = {None: build(False), self.logical_schema: build(True)}
        self.descriptions = {}
        self._plans_with_pipes = {}

    def _servers(self) -> Servers:
        engines = {shard: pool.engine for shard, pool in self.backends.pools.items() if pool.engine.relays}
        return Servers(
            {shard: engine.schema for shard, engine in engines.items()},
            {shard: engine.address for shard, engine in engines.items()},
            self.loaded.config.proxy.open_schemas or "",
            self._leaky,
        )

    async def _read_leaky(self) -> frozenset[str]:
        """The schemas of which a write may leave something on its connection, where statements are passed through."""
        context = self.context
        shard = context.whole.shard if context.whole is not None else context.open.shard if context.open is not None else None
        if shard is None:
            return frozenset()
        pool = self.backends.pools[shard]
        connection = await pool.acquire(DEFAULT_KIND)
        try:
            result = await connection.query(_LEAKY)
        except BaseException:
            pool.discard(connection)
            raise
        pool.release(connection)
        return frozenset((parse_row(row, 1)[0] or b"").decode("utf-8", "replace") for row in result.rows)

    def is_other(self, schema: str | None) -> bool:
        """Whether a schema that was chosen is one of the open ones."""
        return schema is not None and schema != self.logical_schema

    def plans_with_pipes(self, schema: str | None) -> PlanCache:
        """The same for sessions to which `||` joins strings: the parser takes it for OR, so a statement that has it is refused."""
        if self.context.whole is not None or self.is_other(schema):
            return self.plans_of(schema)
        found = self._plans_with_pipes.get(schema)
        if found is None:
            context, selected = self.context, schema is not None

            def make(shape: bytes, literals: list[bytes]) -> AnyPlan:
                statement = Statement(shape, literals)
                if any(token.text == "||" for token in statement.tokens):
                    raise ProxyError(UNSUPPORTED_SETTING, "|| under sql_mode PIPES_AS_CONCAT is not supported: use CONCAT")
                return build_plan(statement, context, selected=selected)

            self._plans_with_pipes[schema] = found = PlanCache(self.limits.plan_cache, make)
        return found

    def plans_of(self, schema: str | None) -> PlanCache:
        """The plans of sessions that have chosen this schema; each of the open ones gets a cache when it is first used."""
        found = self.plans.get(schema)
        if found is None:
            opened = self.context.open
            assert opened is not None and schema is not None
            whole = replace(opened, name=schema)
            whole = replace(whole, leaky=schema in self._leaky)

            def make(shape: bytes, literals: list[bytes]) -> AnyPlan:
                plan = plan_whole(Statement(shape, literals, MAX_READ_BYTES), whole)
                # The tables of such a schema are not in the catalog.
                return replace(plan, unknown_ids=True) if isinstance(plan, Plan) and plan.kind is Kind.INSERT else plan

            found = PlanCache(self.limits.plan_cache, make)
            if len(self.plans) > _OPEN_CACHES:
                self._bind()
            self.plans[schema] = found
        return found

    def in_logical_schema(self, shard: str, column: ColumnDefinition) -> ColumnDefinition:
        """A column as the client knows it: not of the shard's own schema. `shard` is "" where it may be any."""
        pools = self.backends.pools
        names = [pools[shard].engine.schema] if shard else [pool.engine.schema for pool in pools.values()]
        if column.schema.decode("utf-8", "replace") in names:
            return column.in_schema(self.logical_schema.encode())
        return column

    def in_logical_names(self, message: str) -> str:
        """A server's message with the schema's name that clients know."""
        for pool in self.backends.pools.values():
            physical = pool.engine.schema
            if physical != self.logical_schema and physical in message:
                # As 'app_0', `app_0`.`t`, app_0.f
                named = rf"(?<![\w$]){re.escape(physical)}(?=[.'`])"
                message = re.sub(named, lambda _: self.logical_schema, message)
        return message

    def renamed(self, message: bytes) -> bytes:
        """The same for a message as it came."""
        return self.in_logical_names(message.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def administers(self, user: str) -> bool:
        """Whether a user has the right to administer the servers of whole schemas."""
        found = self.loaded.config.users.get(user)
        return found is not None and found.administer

    def user_settings(self, user: str) -> Settings:
        """The session variables that a user's sessions begin with."""
        found = self.loaded.config.users.get(user)
        if found is None or not found.settings:
            return ()
        literals = {name: quote(value) if isinstance(value, str) else b"%d" % value for name, value in found.settings.items()}
        return tuple(sorted(literals.items()))

    async def check_schema(self, user: str, name: str) -> None:
        """Raises `ProxyError` where there is no such schema, or the user may not use it."""
        allowed = self.loaded.config.users[user].schemas if user in self.loaded.config.users else ()
        named = name in allowed or (not allowed and self.administers(user))
        if name != self.logical_schema and not await self._is_open(name, named=named):
            raise ProxyError(UNKNOWN_DATABASE, f"Unknown database '{name}'", plain=True)
        if allowed and name not in allowed:
            raise ProxyError(NO_SCHEMA_RIGHT, f"Access denied for user '{user}'@'%' to database '{name}'", plain=True)

    async def _is_open(self, name: str, *, named: bool) -> bool:
        opened = self.context.open
        if opened is not None and name.lower() == "information_schema":
            return True
        if opened is None or name.lower() in opened.foreign or (name.lower() in SERVERS_OWN and not named):
            return False
        return name in await self.open_names()

    async def open_names(self) -> list[str]:
        """The other schemas of the server that is open, its own ones left out."""
        opened = self.context.open
        if opened is None:
            return []
        pool = self.backends.pools[opened.shard]
        connection = await pool.acquire(DEFAULT_KIND)
        try:
            result = await connection.query(b"SHOW DATABASES")
        except BaseException:
            pool.discard(connection)
            raise
        pool.release(connection)
        names = [(parse_row(row, 1)[0] or b"").decode("utf-8", "replace") for row in result.rows]
        return [name for name in names if name.lower() not in opened.foreign]

    def remember_description(self, key: DescriptionKey, description: Description) -> None:
        """Keep what a shard has told of a statement; all are dropped when they are too many or when tables have changed."""
        if len(self.descriptions) >= self.limits.plan_cache:
            self.descriptions.clear()
        self.descriptions[key] = description

    @property
    def server_version(self) -> str:
        """What clients are told of the version: it decides what drivers and ORMs send."""
        return self.loaded.config.proxy.version or self.catalog.server_version

    @property
    def statements(self) -> int:
        """Statements sent to shards since the start."""
        return sum(pool.statements.total() for pool in self.backends.pools.values())

    @property
    def plan_cache_counts(self) -> tuple[int, int, int]:
        """Hits, misses and entries of the plan caches."""
        caches = self.plans.values()
        hits = self.plan_hits + sum(cache.hits for cache in caches)
        return hits, self.plan_misses + sum(cache.misses for cache in caches), sum(len(cache) for cache in caches)

    async def tables_changed(self) -> None:
        """A schema change has been carried out, or has failed somewhere."""
        self.descriptions.clear()
        await self.refresh_catalog()

    async def refresh_catalog(self) -> None:
        """Read the shards' schemas again; plans are dropped only if something has changed."""
        catalog, self.findings = await self.backends.load_catalog(self.topology)
        try:
            leaky = await self._read_leaky()
        except (ProxyError, ServerError) as error:
            log.debug("triggers and routines not read: %s", error)
            leaky = self._leaky
        if leaky == self._leaky and replace(catalog, version=self.catalog.version) == self.catalog:
            return
        self._leaky = leaky
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
            # Tables of open schemas may have changed without the catalog knowing.
            self.descriptions.clear()
            try:
                await self.refresh_catalog()
            except Exception:
                log.exception("the shards' schemas could not be read")

    def number_threads(self, others: Others) -> None:
        """Other processes serve the same port: a connection's number tells whose it is."""
        self.others = others
        self._next_thread_id, self._thread_step = others.number or others.count, others.count

    async def kill_for_peer(self, message: dict[str, Any]) -> None:
        """A client of another process ends a connection of this one; raises `ProxyError`."""
        victim_of(self, message["id"], message["user"]).stop(query=message["query"])

    def register(self, session: Session) -> int:
        """Give a session its thread id."""
        thread_id = self._after(0)
        while thread_id in self.sessions:
            thread_id = self._after(self._thread_step)
        self._after(self._thread_step)
        self.sessions[thread_id] = session
        self.metrics.connections_total += 1
        return thread_id

    def _after(self, step: int) -> int:
        """The next number, so much further; numbers begin anew before they need more than four bytes."""
        self._next_thread_id += step
        if self._next_thread_id > 0xFFFFFFFF:
            self._next_thread_id = self._next_thread_id % self._thread_step or self._thread_step
        return self._next_thread_id

    async def close(self) -> None:
        """Stop the background work and close all connections to the shards."""
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.gather(self._refresher, return_exceptions=True)
        await self.backends.close()
