"""Looking at the shards without a running proxy, for `shardproxy check` and `shardctl route`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shardproxy.backends.catalog_builder import Finding
from shardproxy.backends.engine import DEFAULT_KIND
from shardproxy.backends.registry import Backends
from shardproxy.config.loader import LoadedConfig, seed_topology
from shardproxy.errors import ProxyError
from shardproxy.session.router import Router
from shardproxy.store.reconcile import reconcile
from shardproxy.store.sqlite_store import SQLiteStore, StoredMaps


class StoreSnapshot(SQLiteStore):
    """The store as it was when it was opened. What is written stays here: whoever only asks changes nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._maps = super().load() if path.is_file() else None

    def load(self) -> StoredMaps | None:
        """The maps as they were, with what was written to the snapshot."""
        return self._maps

    def compare_and_set(self, expected_epoch: int, maps: StoredMaps) -> bool:
        """Keep the maps in the snapshot."""
        self._maps = maps
        return True


@asynccontextmanager
async def offline_router(loaded: LoadedConfig) -> AsyncIterator[Router]:
    """The router that a proxy would start with: the store's topology, or the file's where there is no store yet.

    Nothing is written, so it needs no right to. Raises `ConfigError` where file and store do not fit together.
    """
    store = StoreSnapshot(loaded.resolve(loaded.config.proxy.store.removeprefix("sqlite:///")))
    topology, differences = reconcile(store, seed_topology(loaded.config))
    router = Router(loaded, topology, Backends(loaded), differences)
    try:
        yield router
    finally:
        await router.close()


async def read_schemas(router: Router) -> list[Finding]:
    """Read the schemas of all shards; gives an error for each that could not be read."""
    problems = []
    for shard, pool in router.backends.pools.items():
        try:
            pool.release(await pool.acquire(DEFAULT_KIND))
        except ProxyError as error:
            advice = f"start its server, or correct 'primary' in [shards.{shard}]"
            problems.append(Finding("error", "", error.detail, advice))
    await router.refresh_catalog()
    if not problems:
        advice = "give its user the right to read information_schema"
        unread = router.catalog.unread_shards
        problems = [Finding("error", "", f"the schema of shard {shard} could not be read", advice) for shard in unread]
    return problems
