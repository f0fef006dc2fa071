"""Looking at the shards without a running proxy, for `shardproxy check` and `shardctl route`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shardproxy.backends.catalog_builder import Finding
from shardproxy.backends.engine import DEFAULT_KIND
from shardproxy.backends.registry import Backends
from shardproxy.config.loader import LoadedConfig, seed_topology
from shardproxy.errors import ProxyError
from shardproxy.server.follower import add_stored
from shardproxy.session.router import Router
from shardproxy.store.reconcile import reconcile
from shardproxy.store.records import StoredTopology
from shardproxy.store.store import open_store


class StoreSnapshot:
    """The store as it is now. What is written stays here: whoever only asks changes nothing."""

    def __init__(self, loaded: LoadedConfig) -> None:
        url = loaded.config.proxy.store
        self.label = "the store"
        path = loaded.resolve(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
        self._stored: StoredTopology | None = None
        if path is None or path.is_file():
            store = open_store(url, loaded.path.parent)
            self.label = store.label
            self._stored = store.load()
            store.close()

    def load(self) -> StoredTopology | None:
        """The document as it was, with what was written to the snapshot."""
        return self._stored

    def compare_and_set(self, expected_epoch: int, topology: StoredTopology) -> bool:
        """Keep the document in the snapshot."""
        self._stored = topology
        return True


@asynccontextmanager
async def offline_router(loaded: LoadedConfig) -> AsyncIterator[Router]:
    """The router that a proxy would start with: the store's topology, or the file's where there is no store yet.

    Nothing is written, so it needs no right to. Raises `ConfigError` where file and store do not fit together.
    """
    stored, topology, differences = reconcile(StoreSnapshot(loaded), seed_topology(loaded.config))
    backends = Backends(loaded)
    add_stored(backends, stored, loaded)
    router = Router(loaded, topology, backends, differences)
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
