"""The shards' pools, and the catalog that is read from them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from shardproxy.backends.catalog_builder import Finding, build_catalog
from shardproxy.backends.engine import DEFAULT_KIND, Engine, ServerSettings, ShardSchema
from shardproxy.backends.mysql_engine import MySQLEngine
from shardproxy.backends.pool import Pool
from shardproxy.backends.sqlite import SQLiteEngine
from shardproxy.config.model import Limits, ServerUrl
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
        limits.connection_statements,
    )


class Backends:
    """A pool for each shard's primary."""

    def __init__(self, primaries: Mapping[str, ServerUrl], limits: Limits) -> None:
        settings = server_settings(limits)
        self.pools = {shard: Pool(shard, ENGINES[url.scheme](shard, url, settings), settings) for shard, url in primaries.items()}
        self._schemas: dict[str, ShardSchema] = {}
        self._version = 0

    def use_limits(self, limits: Limits) -> None:
        """Change the limits of pools and engines; connections that are open stay."""
        settings = server_settings(limits)
        for pool in self.pools.values():
            pool.settings = settings
            pool.engine.settings = settings

    def start(self) -> None:
        """Begin to check the servers."""
        for pool in self.pools.values():
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
        await asyncio.gather(*(pool.close() for pool in self.pools.values()))
