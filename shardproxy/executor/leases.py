"""The connections that one session holds, and those it borrows for a statement.

A session without a transaction and without state of its own borrows a connection per statement. A transaction holds one on each
shard it has reached; a session that has left something behind (settings, temporary tables, locks) holds every connection that it
has touched until it is reset or ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count

from shardproxy.backends.engine import Connection
from shardproxy.backends.pool import Pool
from shardproxy.backends.replicas import ReplicaSet
from shardproxy.backends.statements import BackendStatement
from shardproxy.errors import BACKEND_LOST, MOVING, SESSION_STATE_LOST, TXN_LOST, ProxyError, ServerError
from shardproxy.executor.members import Members, check_on_replica
from shardproxy.executor.reads import Use, use_of
from shardproxy.executor.state import ClientState
from shardproxy.executor.trust import Trust
from shardproxy.planner.plan import Plan
from shardproxy.telemetry.counters import Metrics

_TURN = count()


class Leases:
    """Who holds what, for one session."""

    def __init__(
        self, pools: Mapping[str, Pool], sets: Mapping[str, ReplicaSet], state: ClientState, metrics: Metrics, trust: Trust
    ) -> None:
        self.pools = pools
        self.trust = trust
        self.members = Members(sets, state)
        self.reads = self.members.reads
        self.held: dict[str, Connection] = {}
        self.began: set[str] = set()
        self.reasons: set[str] = set()
        # The tables that the transaction has used.
        self.touched: set[str] = set()
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

    @property
    def _loose_enough(self) -> bool:
        """Whether the next statement on a shard need not be where others of the session are."""
        state = self._state
        return not self.reasons and not state.next_characteristics and (state.read_only or not state.wants_transaction)

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
            if self.members.sets and shard in self.members.sets:
                connection = self.members.try_acquire(shard, plan, key)
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
        self,
        shard: str,
        plan: Plan | None = None,
        *,
        for_tables: bool = False,
        primary: bool = False,
        writes: bool = False,
        begins: bool = True,
    ) -> Connection:
        """A connection to the shard with the session's settings, inside the session's transaction if it has one.

        `plan`: the statement that it is for. `for_tables`: for a statement that works on tables, to which a SET TRANSACTION for the next
        transaction applies. `primary`: a replica could not answer it. `writes`: for statements of the proxy's own that do. `begins`: they
        belong to the session's transaction, if it is to have one.
        """
        for attempt in (1, 2, 3):
            connection = self.held.get(shard)
            fresh = connection is None
            if connection is None:
                if shard in self.members.sets:
                    connection = await self.members.acquire(shard, plan, replica=not primary and self._loose_enough)
                else:
                    connection = await self.pools[shard].acquire(self._state.kind)
                self._borrowed.add(connection)
                if self.reasons:
                    self.pin_connection(connection, next(iter(self.reasons)))
            elif connection.closed:
                self._lost(shard)
            elif plan is not None and self.members.on_replica(connection):
                check_on_replica(plan)
            self._take_for(connection, plan, writes=writes)
            await self.settled(connection)
            try:
                await self._prepare(connection, for_tables=for_tables, begins=begins)
                await self.settled(connection)
                await self.trust.check(connection, for_tables=for_tables)
            except ServerError:
                self.give(connection)
                raise
            except ProxyError as error:
                if not self._lost_fresh(connection, error, fresh=fresh) or attempt == 3:
                    raise
            except BaseException:
                self.drop(connection)
                raise
            else:
                return connection
        raise AssertionError("not reached")

    def _lost_fresh(self, connection: Connection, error: ProxyError, *, fresh: bool) -> bool:
        """Whether a connection was lost before anything was sent of the statement, and nothing of the session was on it."""
        if error.spec is MOVING:
            self.give(connection)
            return False
        self.drop(connection)
        self.members.failed(connection, error.detail)
        return fresh and connection.shard not in self.held and error.spec is BACKEND_LOST

    def _take_for(self, connection: Connection, plan: Plan | None, *, writes: bool = False) -> None:
        """Note what a connection is taken for."""
        if plan is not None and self._state.wants_transaction:
            self.touched.update(plan.tables)
        if writes:
            connection.use = Use.WRITE
        elif connection.use is not Use.READ_ANY:
            connection.use = use_of(plan)
            if connection.use is Use.READ and connection is self._loose:
                connection.use = Use.READ_ANY

    def leave_replica(self, connection: Connection) -> bool:
        """The first statement of a READ ONLY transaction cannot be answered by the replica: begin it elsewhere. False where it was not
        the first."""
        shard = connection.shard
        if self._begun is not connection or not self.members.on_replica(connection) or self.savepoints:
            return False
        self._begun = None
        self.began.discard(shard)
        if self.held.get(shard) is connection:
            del self.held[shard]
        connection.use = Use.OTHER
        connection.pool.release_dirty(connection)
        return True

    async def _prepare(self, connection: Connection, *, for_tables: bool, begins: bool) -> None:
        state = self._state
        if connection.kind[1:] != state.kind[1:]:
            await connection.set_kind(state.kind)
        if state.settings and connection.primed != state.settings_version:
            # A user variable's literal may name the character set of its own, so the order of assignments does not matter.
            text = b", ".join(name.encode() + b" = " + value for name, value in state.settings.items())
            await connection.query(b"SET " + text)
            connection.primed = state.settings_version
        if begins and state.wants_transaction and connection.shard not in self.began:
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
        if shard in self.members.sets:
            connection = await self.members.acquire_any(shard)
        else:
            connection = await self.pools[shard].acquire(self._state.kind)
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
        if server is not None and self.members.on_replica(connection):
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
        self.touched.clear()
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
                if self.members.on_replica(connection):
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
        self.touched.clear()
        self.savepoints.clear()


async def _described(connection: Connection, text: bytes) -> BackendStatement | None:
    """What the server says now, not what it said when the statement was first prepared there."""
    if not connection.relays:
        return None
    connection.forget(text)
    return await connection.prepare(text)
