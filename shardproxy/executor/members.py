"""Connections to the servers of replicated shards, for one session: the replica that may answer, or the primary once there is one."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

from shardproxy.backends.engine import Connection
from shardproxy.backends.replicas import ReplicaSet
from shardproxy.errors import NO_BACKEND, TXN_ON_REPLICA, ProxyError, ServerError
from shardproxy.executor.reads import Reads, use_of
from shardproxy.executor.state import ClientState
from shardproxy.planner.plan import Plan

# "The server is running with the --read-only option", and the storage engine's word for it.
READ_ONLY_ERRNOS = frozenset((1290, 1836))
SHUTTING_DOWN_ERRNO = 1053


class Members:
    """See the module. `sets` are the shards with replicas, `reads` where the session's reads go."""

    __slots__ = ("_state", "reads", "sets")

    def __init__(self, sets: Mapping[str, ReplicaSet], state: ClientState) -> None:
        self.sets = sets
        self.reads = Reads(sets, state)
        self._state = state

    def try_acquire(self, shard: str, plan: Plan, key: bytes) -> Connection | None:
        """An idle connection to the right server at once, or None."""
        found = self.sets[shard]
        pool = found.primary.pool
        server = None
        if self.reads.from_replica(plan):
            server = self.reads.choose(found, plan, key)
            if server is not None:
                pool = server.pool
            elif not (found.has_primary and self.reads.after_write(found, plan)):
                return None
        elif not found.has_primary:
            return None
        connection = pool.try_acquire(self._state.kind)
        if connection is not None:
            connection.use = use_of(plan) if server is None else self.reads.use_on(server, plan)
        elif server is not None:
            # Choosing takes a turn: whoever has to open the connection shall not take another one.
            self.reads.chosen[shard] = (plan, server)
        return connection

    async def acquire(self, shard: str, plan: Plan | None, *, replica: bool) -> Connection:
        """A connection to the right server; waits for a primary. `replica`: one may do, if the statement can be answered there."""
        found = self.sets[shard]
        reads = plan is not None and replica and self.reads.from_replica(plan)
        until = perf_counter() + found.rules.write_wait_s
        while True:
            if reads and plan is not None and (read := await self._acquire_replica(found, plan)) is not None:
                return read
            if not found.has_primary:
                await found.wait_for_news(until)
                continue
            try:
                connection = await found.primary.pool.acquire(self._state.kind)
            except ProxyError as error:
                if error.spec is not NO_BACKEND or perf_counter() >= until:
                    raise
                found.doubt(error.detail)
            else:
                connection.use = use_of(plan)
                return connection

    async def _acquire_replica(self, found: ReplicaSet, plan: Plan) -> Connection | None:
        for _ in found.servers:
            server = await self.reads.find(found, plan, b"")
            if server is None:
                return None
            try:
                connection = await server.pool.acquire(self._state.kind)
            except ProxyError as error:
                if error.spec is not NO_BACKEND:
                    raise
                found.failed(server, error.detail)
            else:
                connection.use = self.reads.use_on(server, plan)
                return connection
        return None

    async def acquire_any(self, shard: str) -> Connection:
        """A connection to any server that knows the tables: the primary, while there is one."""
        found = self.sets[shard]
        if found.has_primary or not found.eligible:
            return await self.acquire(shard, None, replica=False)
        return await found.eligible[0].pool.acquire(self._state.kind)

    def on_replica(self, connection: Connection) -> bool:
        """Whether a connection leads to a replica."""
        server = connection.pool.server
        return server is not None and server is not self.sets[connection.shard].primary

    def failed(self, connection: Connection, reason: str) -> None:
        """A connection was lost under a statement: if it led to a replica, that is not chosen before it has been checked."""
        server = connection.pool.server
        if server is not None and self.on_replica(connection):
            self.sets[connection.shard].failed(server, reason)

    def refused_as_read_only(self, connection: Connection, error: ServerError) -> bool:
        """Whether a primary has refused a write because it is none any more: then the statement can wait for the next one."""
        return not self.on_replica(connection) and self.refused_on(connection.shard, error)

    def refused_on(self, shard: str, error: ServerError) -> bool:
        """The same where only the shard is known on which it was refused."""
        found = self.sets.get(shard)
        if found is None:
            return False
        if error.errno == SHUTTING_DOWN_ERRNO:
            # The statement was ended, and what it had done undone.
            found.doubt("is being shut down")
            return True
        if error.errno not in READ_ONLY_ERRNOS or "read" not in error.message.lower():
            return False
        found.doubt("is read-only")
        return True


def check_on_replica(plan: Plan) -> None:
    """A READ ONLY transaction runs on a replica: what only the primary can do is refused, as far as its server would not refuse it."""
    if plan.writes:
        raise ServerError(1792, "25006", "Cannot execute statement in a READ ONLY transaction.")
    if plan.locks or plan.pin not in ("", "user variable"):
        raise ProxyError(TXN_ON_REPLICA, "the transaction runs on a replica: put /* shardproxy: primary */ before its first read")
