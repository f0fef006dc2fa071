"""A whole proxy process: config, store, backends, listener, admin port; started, reloaded, drained."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from dataclasses import replace
from pathlib import Path

from shardproxy.admin.control import Control
from shardproxy.admin.http import AdminServer
from shardproxy.backends.registry import Backends
from shardproxy.config.loader import LoadedConfig, load_config, seed_topology
from shardproxy.errors import ConfigError
from shardproxy.server.follower import Follower, add_stored
from shardproxy.server.listener import Listener
from shardproxy.server.roles import Roles
from shardproxy.server.tls import certificate_fingerprint, server_context
from shardproxy.session.router import Router
from shardproxy.store.reconcile import reconcile
from shardproxy.store.store import open_store

log = logging.getLogger(__name__)


def open_router(loaded: LoadedConfig) -> tuple[Router, Roles, Follower]:
    """The shared state of a process; raises `ConfigError` where file and store do not fit together."""
    store = open_store(loaded.config.proxy.store, loaded.path.parent)
    file = seed_topology(loaded.config)
    stored, topology, differences = reconcile(store, file)
    backends = Backends(loaded)
    add_stored(backends, stored, loaded)
    router = Router(loaded, topology, backends, differences)
    return router, Roles(backends, store, loaded.others), Follower(store, router, stored, file)


class Proxy:
    """One process. `start`, then `run_until_stopped` or `stop`."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self.loaded = loaded
        self.router, roles, self.follower = open_router(loaded)
        tls, certificate = None, b""
        if loaded.config.proxy.tls is not None:
            cert = loaded.resolve(loaded.config.proxy.tls.cert)
            tls = server_context(cert, loaded.resolve(loaded.config.proxy.tls.key))
            certificate = certificate_fingerprint(cert)
        self.listener = Listener(self.router, tls, certificate)
        self.admin = AdminServer(self.router, self.listener, Control(roles, loaded.admin_token))

    async def start(self) -> None:
        """Read the shards' schemas and open the ports. A shard that is away is waited for in the background."""
        self.router.backends.start()
        await self.router.refresh_catalog()
        for difference in self.router.differences:
            log.warning("file and store differ", extra={"difference": difference})
        await self.follower.start()
        await self.listener.start()
        await self.admin.start()
        self.router.start()
        log.info("serving", extra={"port": self.listener.port, "admin": self.admin.port, "epoch": self.router.topology.epoch})

    async def run_until_stopped(self) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reads users and limits again."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        await stopped.wait()
        await self.stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            # Being told once more, on the way out, changes nothing of how it ended.
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def reload(self) -> None:
        """Read users and limits again; anything else of the file needs a restart. A faulty file changes nothing."""
        try:
            fresh = load_config(self.loaded.path)
        except ConfigError as error:
            log.error("reload refused", extra={"faults": error.faults})
            return
        router = self.router
        router.verifiers = fresh.verifiers
        router.limits = fresh.config.limits
        router.backends.use_limits(fresh.config.limits)
        for cache in router.plans.values():
            cache.capacity = fresh.config.limits.plan_cache
        for session in router.sessions.values():
            session.executor.limits = fresh.config.limits
        current = self.loaded.config
        if fresh.config.model_copy(update={"users": current.users, "limits": current.limits}) != current:
            log.warning("the file has changes that need a restart")
        self.loaded = replace(fresh, config=fresh.config)
        log.info("reloaded", extra={"users": len(fresh.verifiers)})

    async def stop(self) -> None:
        """Drain and close."""
        self.router.draining = True
        log.info("draining", extra={"connections": len(self.listener.connections)})
        await self.listener.drain(self.router.limits.drain_s)
        await self.admin.stop()
        await self.follower.stop()
        await self.router.close()
        log.info("stopped")


async def serve(path: Path) -> None:
    """Run a proxy from its file until it is told to stop."""
    proxy = Proxy(load_config(path))
    await proxy.start()
    # What is loaded by now stays: the collector need not look at it again. A statement makes few cycles, so it may come rarely.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    await proxy.run_until_stopped()
