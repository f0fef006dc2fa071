"""Who is the primary of each replicated shard, as the store remembers it, and the operators' changes of that."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Mapping
from typing import Any

from shardproxy.backends.health import Event
from shardproxy.backends.promotion import Operator, Report
from shardproxy.backends.registry import Backends
from shardproxy.backends.replicas import ReplicaSet
from shardproxy.backends.server import Server
from shardproxy.config.replication import ShardServers
from shardproxy.errors import PROMOTION_FAILED, UNKNOWN_SERVER, ProxyError
from shardproxy.store.store import Store

log = logging.getLogger(__name__)

# A promotion that takes longer has failed, or its proxy is gone.
_LEASE_S = 60.0
_EVENTS = {"drain": Event.DRAIN, "maintenance": Event.MAINTAIN, "up": Event.ENABLE}


class Roles:
    """Remembers the primaries of a process' shards, and changes roles for operators."""

    def __init__(self, backends: Backends, store: Store, servers: Mapping[str, ShardServers]) -> None:
        self._sets = backends.sets
        self._store = store
        self._servers = servers
        self._holder = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
        self._terms: dict[str, int] = {}
        self._writes: set[asyncio.Task[None]] = set()
        for shard, found in self._sets.items():
            self._adopt(shard, found)

    def _adopt(self, shard: str, found: ReplicaSet) -> None:
        recorded = self._store.primaries().get(shard)
        if recorded is not None:
            name, self._terms[shard] = recorded
            if not found.begin_with(name):
                log.error("the recorded primary is not in the file", extra={"shard": shard, "server": name})
        switched = found.on_switch

        def remember(old: Server, new: Server) -> None:
            if switched is not None:
                switched(old, new)
            task = asyncio.get_running_loop().create_task(self._record(shard, new.name))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

        found.on_switch = remember

    async def _record(self, shard: str, name: str) -> None:
        term = self._terms.get(shard, 0)
        try:
            done = await asyncio.to_thread(self._store.set_primary, shard, name, term)
            recorded = await asyncio.to_thread(self._store.primaries)
        except Exception:
            log.exception("the new primary could not be recorded")
            return
        self._terms[shard] = recorded.get(shard, ("", 0))[1]
        if not done and recorded.get(shard, ("",))[0] != name:
            log.error("another proxy has recorded another primary", extra={"shard": shard, "recorded": recorded.get(shard), "own": name})

    def operate(self, shard: str, name: str, action: str) -> None:
        """`drain`, `maintenance` or `up` for a replica; raises `ProxyError` for what is not there or cannot be taken out."""
        found, server = self._find(shard, name)
        if server is found.primary and action != "up":
            raise ProxyError(PROMOTION_FAILED, f"{name} is the primary of shard {shard}: promote another server first")
        server.pool.operate(_EVENTS[action])

    async def operate_for_peer(self, message: dict[str, Any]) -> None:
        """What an operator has asked of another process on this port."""
        self.operate(message["shard"], message["server"], message["action"])

    async def fence(self, shard: str, name: str) -> None:
        """Make a server read-only; raises `ProxyError` or `ServerError`."""
        found, server = self._find(shard, name)
        if server is found.primary and not found.split:
            raise ProxyError(PROMOTION_FAILED, f"{name} is the primary of shard {shard}: promote another server first")
        await self._operator(shard, found).fence(server)

    async def promote(self, shard: str, name: str, *, force: bool) -> Report:
        """Make a server the primary; raises `ProxyError` where that fails, or where somebody else is at it."""
        found, server = self._find(shard, name)
        if server is found.primary and found.has_primary:
            raise ProxyError(PROMOTION_FAILED, f"{name} is the primary of shard {shard} already")
        lease = f"promote {shard}"
        if not await asyncio.to_thread(self._store.take_lease, lease, self._holder, _LEASE_S):
            raise ProxyError(PROMOTION_FAILED, f"another promotion of shard {shard} is under way")
        try:
            operator = self._operator(shard, found)
            if force:
                return await operator.force(server)
            return await operator.promote(server, found.rules.write_wait_s)
        finally:
            await asyncio.to_thread(self._store.drop_lease, lease, self._holder)

    def _operator(self, shard: str, found: ReplicaSet) -> Operator:
        return Operator(found, self._servers[shard].control)

    def _find(self, shard: str, name: str) -> tuple[ReplicaSet, Server]:
        found = self._sets.get(shard)
        server = None if found is None else found.named(name)
        if found is None or server is None:
            known = {shard: [server.name for server in one.servers] for shard, one in self._sets.items()}
            raise ProxyError(UNKNOWN_SERVER, f"shard {shard!r} has no server {name!r}; the replicated shards have {known}")
        return found, server
