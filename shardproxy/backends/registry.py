"""The shards' pools, and the catalog that is read from them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from shardproxy.backends.catalog_builder import Finding, build_catalog
from shardproxy.backends.engine import DEFAULT_KIND, Engine, ServerSettings, ShardSchema
from shardproxy.backends.mysql_engine import MySQLEngine
from shardproxy.backends.pool import Pool
from shardproxy.backends.probe import Prober
from shardproxy.backends.replicas import ReadRules, ReplicaSet
from shardproxy.backends.server import Server
from shardproxy.backends.sqlite import SQLiteEngine
from shardproxy.balance import balancer
from shardproxy.config.loader import LoadedConfig
from shardproxy.config.model import Limits, ServerUrl, Shard
from shardproxy.config.replication import ShardServers
from shardproxy.errors import ProxyError, ServerError
from shardproxy.topology.catalog import Catalog
from shardproxy.topology.topology import Topology

log = logging.getLogger(__name__)

ENGINES: dict[str, Callable[[str, ServerUrl, ServerSettings], Engine]] = {"mysql": MySQLEngine, "sqlite": SQLiteEngine}


def server_settings(limits: Limits) -> ServerSettings:
    """The part of the limits that concerns one server."""
    return ServerSettings(
        limits.pool_size,
        limits.pool_wait_s,
        limits.pool_queue,
        limits.pool_idle_s,
        limits.connect_timeout_s,
        limits.query_timeout_s,
        limits.health_interval_s,
        limits.health_fast_interval_s,
        limits.health_timeout_s,
        limits.health_rise,
        limits.health_fall,
        limits.connection_statements,
    )


def _place(url: ServerUrl) -> tuple[str, str]:
    return f"{url.host}:{url.port}", url.schema_name


class Backends:
    """The servers of every shard. `pools` holds each shard's primary; `sets` the shards that have replicas."""

    def __init__(self, loaded: LoadedConfig) -> None:
        config = loaded.config
        limits, primaries = config.limits, loaded.primaries
        settings = server_settings(limits)
        self.pools = {shard: Pool(shard, ENGINES[url.scheme](shard, url, settings), settings) for shard, url in primaries.items()}
        self.sets: dict[str, ReplicaSet] = {}
        for shard, servers in loaded.others.items():
            self.sets[shard] = self._replicated(shard, servers, config.shards[shard], settings)
        self._settings = settings
        self._new: list[str] = []
        self._schemas: dict[str, ShardSchema] = {}
        self._version = 0

    def _replicated(self, shard: str, servers: ShardServers, section: Shard, settings: ServerSettings) -> ReplicaSet:
        primary = self.pools[shard]
        replicas = [(Pool(shard, MySQLEngine(shard, found.url, settings), settings), found.weight) for found in servers.replicas]
        members = [Server(pool.engine.address, pool, weight, section.warm_up_s) for pool, weight in [(primary, 1.0), *replicas]]
        rules = ReadRules(
            balancer(section.balance),
            section.balance_by == "key",
            section.max_replica_lag_s,
            section.catch_up_ms / 1000,
            section.write_wait_s,
        )
        made = ReplicaSet(shard, members, rules)
        for member in members:
            host = member.name.rpartition(":")[0]
            member.watch(made, Prober(report=(section.report or "").replace("{host}", host)))

        def switched(old: Server, new: Server) -> None:
            self.pools[shard] = new.pool

        made.on_switch = switched
        return made

    def add(self, shard: str, section: Shard, url: ServerUrl, servers: ShardServers | None) -> None:
        """Make the pools of a shard that was added since the file was written; `start` or `start_new` begins to check it."""
        known = self.pools.get(shard)
        if known is not None:
            if (known.engine.address, known.engine.schema) == _place(url):
                return
            # Removed, and added again elsewhere.
            known.close_all()
            self.sets.pop(shard, None)
        self.pools[shard] = Pool(shard, ENGINES[url.scheme](shard, url, self._settings), self._settings)
        if servers is not None:
            self.sets[shard] = self._replicated(shard, servers, section, self._settings)
        self._new.append(shard)

    def start_new(self) -> None:
        """Begin to check the servers that were added."""
        for shard in self._new:
            found = self.sets.get(shard)
            for pool in [self.pools[shard]] if found is None else [server.pool for server in found.servers]:
                pool.start()
        self._new.clear()

    def all_pools(self) -> Iterator[Pool]:
        """The pools of all servers, replicas too."""
        for shard, pool in self.pools.items():
            found = self.sets.get(shard)
            if found is None:
                yield pool
            else:
                yield from (server.pool for server in found.servers)

    def use_limits(self, limits: Limits) -> None:
        """Change the limits of pools and engines; connections that are open stay."""
        settings = server_settings(limits)
        self._settings = settings
        for pool in self.all_pools():
            pool.settings = settings
            pool.engine.settings = settings
            pool.health.rise, pool.health.fall = settings.health_rise, settings.health_fall

    def start(self) -> None:
        """Begin to check the servers."""
        self._new.clear()
        for pool in self.all_pools():
            pool.start()

    async def load_catalog(self, topology: Topology) -> tuple[Catalog, list[Finding]]:
        """Read every shard's schema. A shard that is away keeps the schema it had when it was last read."""
        results = await asyncio.gather(*(self._load(shard) for shard in topology.shards))
        for shard, schema in zip(topology.shards, results, strict=True):
            if schema is not None:
                self._schemas[shard] = schema
        self._version += 1
        return build_catalog(topology, self._schemas, self._version)

    async def _load(self, shard: str) -> ShardSchema | None:
        pool = self.pools[shard]
        try:
            connection = await pool.acquire(DEFAULT_KIND)
        except (ProxyError, ServerError) as error:
            log.debug("schema not read", extra={"shard": shard, "reason": str(error)})
            return None
        try:
            schema = await pool.engine.load_schema(connection)
        except (ProxyError, ServerError) as error:
            pool.discard(connection)
            log.warning("schema not read", extra={"shard": shard, "reason": str(error)})
            return None
        except BaseException:
            pool.discard(connection)
            raise
        pool.release(connection)
        return schema

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(pool.close() for pool in self.all_pools()))
