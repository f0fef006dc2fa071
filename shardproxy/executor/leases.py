"""The connections that one session holds, and those it borrows for a statement.

A session without a transaction and without state of its own borrows a connection per statement. A transaction holds one on each
shard it has reached; a session that has left something behind (settings, temporary tables, locks) holds every connection that it
has touched until it is reset or ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from time import perf_counter

from shardproxy.backends.engine import Connection
from shardproxy.backends.pool import Pool
from shardproxy.backends.replicas import ReplicaSet
from shardproxy.backends.statements import BackendStatement
from shardproxy.errors import BACKEND_LOST, NO_BACKEND, SESSION_STATE_LOST, TXN_LOST, TXN_ON_REPLICA, ProxyError, ServerError
from shardproxy.executor.reads import Reads, Use, use_of
from shardproxy.executor.state import ClientState
from shardproxy.planner.plan import Plan
from shardproxy.telemetry.counters import Metrics

_TURN = count()
# "The server is running with the --read-only option", and the storage engine's word for it.
READ_ONLY_ERRNOS = frozenset((1290, 1836))


class Leases:
    """Who holds what, for one session."""

    def __init__(self, pools: Mapping[str, Pool], sets: Mapping[str, ReplicaSet], state: ClientState, metrics: Metrics) -> None:
        self.pools = pools
        self.reads = Reads(sets, state)
        self.held: dict[str, Connection] = {}
        self.began: set[str] = set()
        self.reasons: set[str] = set()
        # By name, in the order in which they were set.
        self.savepoints: dict[str, bytes] = {}
        self._state = state
        self._metrics = metrics
        self._borrowed: set[Connection] = set()
        # The connection on which the statement under way has begun the transaction.
        self._begun: Connection | None = None
        # The replica's connection on which a READ ONLY transaction began by a read of whatever there is.
        self._loose: Connection | None = None

    @property
    def free(self) -> bool:
        """Whether the session holds nothing and nothing has to be prepared: any connection will do, at once."""
        return not (self.held or self.reasons)

    def cancel(self) -> None:
        """Stop what is running on the session's connections."""
        for connection in {*self._borrowed, *self.held.values()}:
            connection.cancel()

    def next_shard(self, shards: Sequence[str]) -> str:
        """Take the shards in turn, those that are down left out."""
        up = [shard for shard in shards if self.pools[shard].health.usable] or list(shards)
        return up[next(_TURN) % len(up)]

    def pin(self, reason: str) -> None:
        """From now on the session keeps every connection it touches."""
        if reason not in self.reasons:
            self.reasons.add(reason)
            self._metrics.pins[reason] += 1

    def pin_connection(self, connection: Connection, reason: str) -> None:
        """The session has left something on this connection."""
        self.pin(reason)
        self.held[connection.shard] = connection
        self._borrowed.discard(connection)

    def try_take(self, shard: str, plan: Plan, key: bytes = b"") -> Connection | None:
        """A relaying connection that needs no preparation, at once, or None: then `take` has to do it. `key` is the literal by which a
        statement for one row is routed."""
        state = self._state
        connection = self.held.get(shard)
        if connection is None:
            if self.reasons or state.in_transaction or not state.autocommit or state.next_characteristics:
                return None
            if self.reads.sets and shard in self.reads.sets:
                connection = self._try_replicated(shard, plan, key)
            else:
                connection = self.pools[shard].try_acquire(state.kind)
            if connection is None:
                return None
            self._borrowed.add(connection)
            if connection.closed or not connection.relays:
                self.give(connection)
                return None
            return connection
        ready = (
            connection.relays
            and not connection.closed
            and connection.killing is None
            and connection.kind[1:] == state.kind[1:]
            and (not state.settings or connection.primed == state.settings_version)
            and (shard in self.began if state.wants_transaction else not state.next_characteristics)
            and (connection.pool.server is None or not (plan.writes or plan.locks))
        )
        if ready:
            self._take_for(connection, plan)
        return connection if ready else None

    def _try_replicated(self, shard: str, plan: Plan, key: bytes) -> Connection | None:
        found = self.reads.sets[shard]
        pool = self.pools[shard]
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

    def try_take_all(self, shards: Iterable[str], plan: Plan) -> list[Connection] | None:
        """The same on several shards: all or none, in a fixed order."""
        taken: list[Connection] = []
        for shard in sorted(shards):
            connection = self.try_take(shard, plan)
            if connection is None:
                for other in taken:
                    self.give(other)
                return None
            taken.append(connection)
        return taken

    async def take(
        self, shard: str, plan: Plan | None = None, *, for_tables: bool = False, primary: bool = False, writes: bool = False
    ) -> Connection:
        """A connection to the shard with the session's settings, inside the session's transaction if it has one.

        `plan`: the statement that it is for. `for_tables`: for a statement that works on tables, to which a SET TRANSACTION for the next
        transaction applies. `primary`: a replica could not answer it. `writes`: for statements of the proxy's own that do.
        """
        for attempt in (1, 2, 3):
            connection = self.held.get(shard)
            fresh = connection is None
            if connection is None:
                if shard in self.reads.sets:
                    connection = await self._acquire_replicated(self.reads.sets[shard], plan, primary=primary)
                else:
                    connection = await self.pools[shard].acquire(self._state.kind)
                self._borrowed.add(connection)
                if self.reasons:
                    self.pin_connection(connection, next(iter(self.reasons)))
            elif connection.closed:
                self._lost(shard)
            elif plan is not None and self.on_replica(connection):
                _check_on_replica(plan)
            self._take_for(connection, plan, writes=writes)
            await self.settled(connection)
            try:
                await self._prepare(connection, for_tables=for_tables)
                await self.settled(connection)
            except ServerError:
                self.give(connection)
                raise
            except ProxyError as error:
                self.drop(connection)
                self.replica_failed(connection, error.detail)
                # Nothing of the statement was sent, and nothing of the session was on that connection.
                if not fresh or shard in self.held or error.spec is not BACKEND_LOST or attempt == 3:
                    raise
            except BaseException:
                self.drop(connection)
                raise
            else:
                return connection
        raise AssertionError("not reached")

    def _take_for(self, connection: Connection, plan: Plan | None, *, writes: bool = False) -> None:
        """Note what a connection is taken for."""
        if writes:
            connection.use = Use.WRITE
        elif connection.use is not Use.READ_ANY:
            connection.use = use_of(plan)
            if connection.use is Use.READ and connection is self._loose:
                connection.use = Use.READ_ANY

    async def _acquire_replicated(self, found: ReplicaSet, plan: Plan | None, *, primary: bool) -> Connection:
        state = self._state
        alone = not self.reasons and not state.next_characteristics and (state.read_only or not state.wants_transaction)
        if plan is not None and alone and not primary and self.reads.from_replica(plan):
            for _ in found.servers:
                server = await self.reads.find(found, plan, b"")
                if server is None:
                    break
                try:
                    connection = await server.pool.acquire(state.kind)
                except ProxyError as error:
                    if error.spec is not NO_BACKEND:
                        raise
                    found.failed(server, error.detail)
                else:
                    connection.use = self.reads.use_on(server, plan)
                    return connection
        until = perf_counter() + found.rules.write_wait_s
        while True:
            if not found.has_primary:
                await found.wait_for_primary(until)
            server = found.primary
            try:
                connection = await server.pool.acquire(state.kind)
            except ProxyError as error:
                if error.spec is not NO_BACKEND or perf_counter() >= until:
                    raise
                found.doubt(error.detail)
            else:
                connection.use = use_of(plan)
                return connection

    def replica_failed(self, connection: Connection, reason: str) -> None:
        """A connection to a replica was lost under a statement."""
        server = connection.pool.server
        if server is not None and server is not self.reads.sets[connection.shard].primary:
            self.reads.sets[connection.shard].failed(server, reason)

    def refused_as_read_only(self, connection: Connection, error: ServerError) -> bool:
        """Whether a primary has refused a write because it is none any more: then the statement can wait for the next one."""
        return not self.on_replica(connection) and self.refused_on(connection.shard, error)

    def refused_on(self, shard: str, error: ServerError) -> bool:
        """The same where only the shard is known on which it was refused."""
        found = self.reads.sets.get(shard)
        if found is None or error.errno not in READ_ONLY_ERRNOS or "read" not in error.message.lower():
            return False
        found.doubt("is read-only")
        return True

    def leave_replica(self, connection: Connection) -> bool:
        """The first statement of a READ ONLY transaction cannot be answered by the replica: begin it elsewhere. False where it was not
        the first."""
        shard = connection.shard
        if self._begun is not connection or not self.on_replica(connection) or self.savepoints:
            return False
        self._begun = None
        self.began.discard(shard)
        if self.held.get(shard) is connection:
            del self.held[shard]
        connection.use = Use.OTHER
        connection.pool.release_dirty(connection)
        return True

    def on_replica(self, connection: Connection) -> bool:
        """Whether a connection leads to a replica."""
        server = connection.pool.server
        return server is not None and server is not self.reads.sets[connection.shard].primary

    async def _prepare(self, connection: Connection, *, for_tables: bool) -> None:
        state = self._state
        if connection.kind[1:] != state.kind[1:]:
            await connection.set_kind(state.kind)
        if state.settings and connection.primed != state.settings_version:
            # A user variable's literal may name the character set of its own, so the order of assignments does not matter.
            text = b", ".join(name.encode() + b" = " + value for name, value in state.settings.items())
            await connection.query(b"SET " + text)
            connection.primed = state.settings_version
        if state.wants_transaction and connection.shard not in self.began:
            for characteristic in state.next_characteristics:
                await connection.query(b"SET TRANSACTION " + characteristic.encode())
            await connection.query(b"START TRANSACTION READ ONLY" if state.read_only else b"START TRANSACTION")
            self.held[connection.shard] = connection
            self._borrowed.discard(connection)
            self.began.add(connection.shard)
            state.in_transaction = True
            self._begun = connection
            self._loose = connection if connection.use is Use.READ_ANY else None
            for savepoint in self.savepoints.values():
                await connection.query(savepoint)
        elif for_tables and not state.wants_transaction and state.next_characteristics:
            # A server keeps them for the next transaction if this statement is none.
            connection.dirty = True
            for characteristic in state.next_characteristics:
                await connection.query(b"SET TRANSACTION " + characteristic.encode())
            state.next_characteristics.clear()

    async def settled(self, connection: Connection) -> Connection:
        """The connection, once a KILL that is under way cannot hit what is sent next."""
        if connection.killing is not None:
            await connection.killing
        return connection

    async def describe(self, shard: str, text: bytes) -> BackendStatement | None:
        """What the shard says of a statement to be prepared; nothing is begun or pinned for that. None for a row engine."""
        connection = self.held.get(shard)
        if connection is not None and not connection.closed:
            return await _described(await self.settled(connection), text)
        found = self.reads.sets.get(shard)
        if found is None:
            connection = await self.pools[shard].acquire(self._state.kind)
        elif found.has_primary or not found.eligible:
            connection = await self._acquire_replicated(found, None, primary=True)
        else:
            # Replicas know the tables too.
            connection = await found.eligible[0].pool.acquire(self._state.kind)
        pool = connection.pool
        try:
            described = await _described(connection, text)
        except ServerError:
            pool.release(connection)
            raise
        except BaseException:
            pool.discard(connection)
            raise
        pool.release(connection)
        return described

    def give(self, connection: Connection) -> None:
        """The statement is over; the connection is clean but for what the session holds it for."""
        self._begun = None
        if connection.pool.server is not None:
            self.reads.note(connection)
        if connection in self._borrowed:
            self._borrowed.discard(connection)
            if connection.dirty:
                connection.pool.release_dirty(connection)
            else:
                connection.pool.release(connection)

    def give_back(self, connection: Connection, plan: Plan) -> None:
        """A connection that was taken for nothing; the long way goes to the same server."""
        server = connection.pool.server
        connection.use = Use.OTHER
        self.give(connection)
        if server is not None and self.on_replica(connection):
            self.reads.chosen[connection.shard] = (plan, server)

    def drop(self, connection: Connection, kill: bool = True) -> None:
        """The connection cannot be used again."""
        self._borrowed.discard(connection)
        if self.held.get(connection.shard) is not connection:
            connection.pool.discard(connection, kill)
            return
        # A held connection stays in `held`, closed, so that the loss is reported to the statement that needs it.
        connection.abort(kill)

    def _lost(self, shard: str) -> None:
        """A held connection is gone, and the session's state or transaction with it."""
        in_transaction = shard in self.began
        self.release_all()
        self.reasons.clear()
        self._state.settings.clear()
        if in_transaction:
            self._state.in_transaction = False
            raise ProxyError(TXN_LOST, f"the connection to shard {shard} was lost; the transaction was rolled back")
        raise ProxyError(SESSION_STATE_LOST, f"the connection to shard {shard} that held this session's state was lost", fatal=True)

    def end_transaction(self) -> None:
        """The transaction is over everywhere: keep what the session is pinned to, give the rest back."""
        self._loose = None
        self.began.clear()
        self.savepoints.clear()
        self._state.in_transaction = False
        self._state.read_only = False
        self._state.next_characteristics.clear()
        if not self.reasons:
            for shard, connection in list(self.held.items()):
                del self.held[shard]
                self.reads.note(connection)
                if connection.dirty:
                    connection.pool.release_dirty(connection)
                else:
                    connection.pool.release(connection)
        else:
            for shard, connection in list(self.held.items()):
                self.reads.note(connection)
                if self.on_replica(connection):
                    # What the session has set is known, and can be set on the primary again.
                    del self.held[shard]
                    connection.pool.release_dirty(connection)

    def release_all(self) -> None:
        """The session ends or is reset: nothing of it may be left on a connection that someone else gets."""
        for connection in list(self._borrowed):
            # A statement was cut off in the middle.
            connection.pool.discard(connection)
        self._borrowed.clear()
        for shard, connection in list(self.held.items()):
            del self.held[shard]
            if getattr(connection, "busy", False):
                connection.pool.discard(connection)
            else:
                connection.pool.release_dirty(connection)
        self.began.clear()
        self.savepoints.clear()


def _check_on_replica(plan: Plan) -> None:
    """A READ ONLY transaction runs on a replica: what only the primary can do is refused, as far as its server would not refuse it."""
    if plan.writes:
        raise ServerError(1792, "25006", "Cannot execute statement in a READ ONLY transaction.")
    if plan.locks or plan.pin not in ("", "user variable"):
        raise ProxyError(TXN_ON_REPLICA, "the transaction runs on a replica: put /* shardproxy: primary */ before its first read")


async def _described(connection: Connection, text: bytes) -> BackendStatement | None:
    """What the server says now, not what it said when the statement was first prepared there."""
    if not connection.relays:
        return None
    connection.forget(text)
    return await connection.prepare(text)
