"""A whole proxy process: config, store, backends, listener, admin port; started, reloaded, drained."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
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
from shardproxy.server.peers import Peers
from shardproxy.server.roles import Roles
from shardproxy.server.tls import certificate_fingerprint, server_context
from shardproxy.server.workers import DIRECTORY_VARIABLE, PARENT_VARIABLE
from shardproxy.session.router import Router
from shardproxy.store.reconcile import reconcile
from shardproxy.store.store import open_store

log = logging.getLogger(__name__)

_PARENT_S = 1.0


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

    def __init__(self, loaded: LoadedConfig, peers: Peers | None = None) -> None:
        self.loaded = loaded
        self.peers = peers
        self.router, roles, self.follower = open_router(loaded)
        tls, certificate = None, b""
        if loaded.config.proxy.tls is not None:
            cert = loaded.resolve(loaded.config.proxy.tls.cert)
            tls = server_context(cert, loaded.resolve(loaded.config.proxy.tls.key))
            certificate = certificate_fingerprint(cert)
        self.listener = Listener(self.router, tls, certificate)
        self.admin = AdminServer(self.router, self.listener, Control(roles, loaded.admin_token, peers))
        if peers is not None:
            self.router.number_threads(peers)
            peers.handlers = {"kill": self.router.kill_for_peer, "operate": roles.operate_for_peer}

    async def start(self) -> None:
        """Read the shards' schemas and open the ports. A shard that is away is waited for in the background."""
        self.router.backends.start()
        await self.router.refresh_catalog()
        for difference in self.router.differences:
            log.warning("file and store differ", extra={"difference": difference})
        await self.follower.start()
        if self.peers is not None:
            await self.peers.start()
        await self.listener.start(shared=self.peers is not None, first=self.peers is None or self.peers.number == 0)
        await self.admin.start(0 if self.peers is None else self.peers.number)
        self.router.start()
        log.info("serving", extra={"port": self.listener.port, "admin": self.admin.port, "epoch": self.router.topology.epoch})

    async def run_until_stopped(self) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reads users and limits again."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        watcher = loop.create_task(_outlive(stopped)) if self.peers is not None else None
        await stopped.wait()
        if watcher is not None:
            watcher.cancel()
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
        if self.peers is not None:
            await self.peers.stop()
        await self.router.close()
        log.info("stopped")


async def _outlive(stopped: asyncio.Event) -> None:
    """A process whose parent was killed would keep the port, and nobody would start it again or tell it to stop."""
    parent = int(os.environ[PARENT_VARIABLE])
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(_PARENT_S)
    stopped.set()


def _peers(worker: int, count: int) -> Peers | None:
    directory = os.environ.get(DIRECTORY_VARIABLE)
    return Peers(Path(directory), worker, count) if directory and count > 1 else None


async def serve(path: Path, worker: int = 0, count: int = 1) -> None:
    """Run a proxy from its file until it is told to stop; as one of `count` processes on its port."""
    proxy = Proxy(load_config(path), _peers(worker, count))
    await proxy.start()
    # What is loaded by now stays: the collector need not look at it again. A statement makes few cycles, so it may come rarely.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    await proxy.run_until_stopped()
