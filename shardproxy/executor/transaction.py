"""Transactions: one shard writes, others may be read; each shard keeps a snapshot of its own.

The proxy opens a transaction on a shard when the first statement reaches it. A commit is decided by the one shard that has
written; the others have nothing to lose.
"""

from __future__ import annotations

import contextlib

from shardproxy.backends.engine import Connection
from shardproxy.errors import COMMIT_UNKNOWN, TXN_LOST, TXN_SECOND_SHARD, ProxyError, ServerError
from shardproxy.executor.leases import Leases
from shardproxy.executor.outcome import Outcome
from shardproxy.executor.reads import Use
from shardproxy.executor.relay import fetch_warnings
from shardproxy.executor.state import ClientState, Warning_
from shardproxy.protocol.flags import AUTOCOMMIT, IN_TRANSACTION

# Errors after which the server has rolled the whole transaction back: deadlock, and lock tables full.
ROLLED_BACK_ERRNOS = frozenset((1213, 1206, 1614))


class Transaction:
    """The transaction of one session. Attribute `writer` is the shard that was written to, if any."""

    def __init__(self, leases: Leases, state: ClientState) -> None:
        self._leases = leases
        self._state = state
        self.writer = ""

    def check_write(self, shards: tuple[str, ...]) -> None:
        """Refuse a write that would make a second shard part of the outcome; the transaction stays as it is."""
        if len(shards) > 1 or (self.writer and self.writer != shards[0]):
            others = [shard for shard in shards if shard != self.writer]
            raise ProxyError(
                TXN_SECOND_SHARD,
                f"this statement would write on shard {', '.join(others)}"
                + (f" in a transaction that writes on shard {self.writer}" if self.writer else ": several shards in one transaction"),
            )

    def wrote(self, shard: str) -> None:
        """A write or a locking read has reached this shard."""
        self.writer = shard

    def follow(self, shard: str, status: int) -> None:
        """A statement that was not looked into may have begun or ended a transaction, or switched autocommit: the server's word counts."""
        leases, state = self._leases, self._state
        if shard not in leases.began:
            # In a transaction that the proxy has begun, the server's autocommit says nothing of the session's.
            state.autocommit = bool(status & AUTOCOMMIT)
        if status & IN_TRANSACTION and shard not in leases.began and shard in leases.held:
            leases.began.add(shard)
            state.in_transaction = True
            self.writer = shard
        elif not status & IN_TRANSACTION and shard in leases.began:
            self.writer = ""
            leases.end_transaction()

    async def follow_failed(self, connection: Connection) -> None:
        """The same after an error, which comes without a status: an empty statement brings one."""
        if not connection.closed:
            await connection.query(b"DO 0")
            self.follow(connection.shard, connection.status)

    def begin(self, *, read_only: bool) -> None:
        """START TRANSACTION: nothing is sent before a statement needs a shard."""
        self._state.in_transaction = True
        self._state.read_only = read_only

    async def commit(self) -> None:
        """Commit; raises where the shard that has written did not, or where that is unknown."""
        leases, writer = self._leases, self.writer
        try:
            for shard in sorted(leases.began, key=lambda name: name != writer):
                await self._finish(shard, b"COMMIT", decides=shard == writer)
        finally:
            self.writer = ""
            leases.end_transaction()

    async def rollback(self) -> list[Warning_]:
        """Roll back on every shard, and give the servers' warnings: of tables that cannot be rolled back. A connection that is lost has
        rolled back by itself."""
        warnings: list[Warning_] = []
        try:
            for shard in sorted(self._leases.began):
                outcome = Outcome(warnings=await self._finish(shard, b"ROLLBACK", decides=False))
                # By now it is rolled back, whatever becomes of the connection.
                with contextlib.suppress(ProxyError, ServerError):
                    await fetch_warnings(self._leases.held[shard], outcome)
                warnings += outcome.warning_list
        finally:
            self.writer = ""
            self._leases.end_transaction()
        return warnings

    async def _finish(self, shard: str, sql: bytes, *, decides: bool) -> int:
        """End the transaction on one shard; gives the number of warnings."""
        connection = self._leases.held[shard]
        if decides:
            connection.use = Use.WRITE
        if connection.closed:
            # Lost before the COMMIT was sent: the server has rolled back.
            self._leases.drop(connection)
            if decides:
                raise ProxyError(TXN_LOST, f"the connection to shard {shard} was lost; the transaction was rolled back")
            return 0
        try:
            return (await (await self._leases.settled(connection)).query(sql)).warnings
        except ProxyError as error:
            self._leases.drop(connection)
            if decides:
                raise ProxyError(
                    COMMIT_UNKNOWN,
                    f"the answer of shard {shard} to COMMIT was lost ({error.detail}); whether it took effect is unknown",
                    fatal=True,
                ) from error
        except ServerError:
            self._leases.drop(connection)
            if decides:
                raise
        return 0

    async def savepoint(self, name: str, sql: bytes, *, verb: str) -> None:
        """SAVEPOINT, ROLLBACK TO and RELEASE on every shard that takes part; shards that join later get the savepoints first."""
        known = self._leases.savepoints
        lowered = name.lower()
        if verb == "SAVEPOINT":
            if not self._state.wants_transaction:
                return
            await self._everywhere(sql)
            known.pop(lowered, None)
            known[lowered] = sql
            return
        if lowered not in known:
            raise ServerError(1305, "42000", f"SAVEPOINT {name} does not exist")
        await self._everywhere(sql)
        names = list(known)
        for later in names[names.index(lowered) + (verb == "ROLLBACK") :]:
            del known[later]

    async def _everywhere(self, sql: bytes) -> None:
        for shard in sorted(self._leases.began):
            await (await self._leases.settled(self._leases.held[shard])).query(sql)

    async def after_error(self, error: ServerError) -> None:
        """Some errors end the transaction on the server; then it ends everywhere."""
        if error.errno in ROLLED_BACK_ERRNOS and self._leases.began:
            await self.rollback()
