"""Changing roles: fencing a server, and making another one the primary.

A planned promotion loses nothing: statements for the primary wait, the old primary is made read-only, the new one catches up with all
that was written, and only then takes writes. A forced one is for a primary that is gone; it may lose what had not been replicated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from shardproxy.backends.engine import DEFAULT_KIND, Connection
from shardproxy.backends.mysql_engine import MySQLEngine
from shardproxy.backends.probe import Prober
from shardproxy.backends.replicas import ReplicaSet
from shardproxy.backends.server import Server
from shardproxy.errors import PROMOTION_FAILED, ProxyError, ServerError
from shardproxy.protocol.gtid import NOWHERE, Position

log = logging.getLogger(__name__)

# How long the new primary may take to apply what the old one had written, in seconds; and how often it is asked.
_CATCH_UP_S = 30.0
_POLL_S = 0.02

_FENCE = {"mariadb": (b"SET GLOBAL read_only = 1",), "mysql": (b"SET GLOBAL super_read_only = 1",)}
_UNFENCE = {
    "mariadb": (b"SET GLOBAL read_only = 0",),
    "mysql": (b"SET GLOBAL super_read_only = 0", b"SET GLOBAL read_only = 0"),
}
_STOP_RECEIVING = {"mariadb": (b"STOP SLAVE IO_THREAD",), "mysql": (b"STOP REPLICA IO_THREAD",)}
_LEAVE = {"mariadb": (b"STOP SLAVE", b"RESET SLAVE ALL"), "mysql": (b"STOP REPLICA", b"RESET REPLICA ALL")}
_FOLLOW = {
    "mariadb": (
        "STOP SLAVE",
        "CHANGE MASTER TO MASTER_HOST = '{host}', MASTER_PORT = {port}, MASTER_USE_GTID = slave_pos",
        "START SLAVE",
    ),
    "mysql": (
        "STOP REPLICA",
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{host}', SOURCE_PORT = {port}, SOURCE_AUTO_POSITION = 1",
        "START REPLICA",
    ),
}


@dataclass(slots=True)
class Report:
    """What was done, in the order in which it was, and what is left to the operator."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Something was done."""
        self.done.append(text)
        log.warning("promotion", extra={"step": text})


class Operator:
    """Carries out changes of roles in one shard, by an account that may (`control`: user and password, or the shard's own)."""

    def __init__(self, members: ReplicaSet, control: tuple[str, str] | None) -> None:
        self._members = members
        self._control = control

    async def fence(self, server: Server) -> None:
        """Make a server read-only."""
        await self._run(server, _FENCE)
        server.pool.checker.poke()

    async def promote(self, target: Server, drain_s: float) -> Report:
        """A planned promotion; raises `ProxyError` (SP1410), with everything as it was, where it cannot be completed."""
        members, report = self._members, Report()
        old = members.primary
        if not target.serves_reads():
            raise ProxyError(PROMOTION_FAILED, f"{target.name} is not a replica in order: {target.trouble}")
        members.hold(f"{target.name} is being made the primary")
        fenced = False
        try:
            await self._drain(old, drain_s)
            report.add(f"{old.name} has no statement under way")
            fenced = True
            await self._run(old, _FENCE)
            report.add(f"{old.name} is read-only")
            wanted = await self._logged(old)
            await self._caught_up(target, wanted)
            report.add(f"{target.name} has all that {old.name} has written")
        except (ProxyError, ServerError, TimeoutError) as error:
            told = "nothing was changed"
            try:
                if fenced:
                    await self._run(old, _UNFENCE)
            except (ProxyError, ServerError):
                told = f"{old.name} cannot be reached, and may be read-only now"
            finally:
                members.hold("")
            raise ProxyError(PROMOTION_FAILED, f"{told}: {error or 'it took too long'}") from error
        await self._take_over(target, report)
        return report

    async def force(self, target: Server) -> Report:
        """Make a server the primary whatever the old one is; says what may be lost. Raises `ProxyError` (SP1410), with the old one in its
        place, where the target cannot even apply what it has received."""
        members, report = self._members, Report()
        old = members.primary
        members.hold(f"{target.name} is being made the primary")
        try:
            await self._run(old, _FENCE)
            report.add(f"{old.name} is read-only")
        except (ProxyError, ServerError) as error:
            report.left.append(f"{old.name} could not be made read-only ({error}): it must not come back writable")
        try:
            await self._apply_received(target)
        except (ProxyError, ServerError, TimeoutError) as error:
            members.hold("")
            reason = error or "it took too long"
            raise ProxyError(PROMOTION_FAILED, f"{target.name} has not applied what it has received: {reason}") from error
        report.add(f"{target.name} has applied all that it had received")
        has = await self._logged(target)
        for server in members.replicas():
            if server is not target and await self._is_ahead(server, has):
                report.left.append(f"{server.name} has received more than {target.name}: it cannot follow, and what it has more is lost")
        if not has.holds(members.told):
            report.left.append(f"{target.name} lacks acknowledged writes: clients were told of {members.told}, it has {has}")
            members.told = NOWHERE
            members.lost = ""
        await self._take_over(target, report)
        return report

    async def _take_over(self, target: Server, report: Report) -> None:
        members = self._members
        old = members.primary
        others = [server for server in members.replicas() if server is not target]
        try:
            await self._run(target, _LEAVE)
            await self._run(target, _UNFENCE)
            if members.primary is not target:
                members.switch(target)
            report.add(f"{target.name} is the primary")
        except (ProxyError, ServerError) as error:
            detail = f"{target.name} could not be made writable ({error}); {old.name} was made read-only before: promote one of them again"
            raise ProxyError(PROMOTION_FAILED, detail) from error
        finally:
            members.hold("")
            for server in members.servers:
                server.pool.checker.poke()
        for server in others:
            try:
                await self._follow(server, target)
                server.pool.checker.poke()
                report.add(f"{server.name} follows it")
            except (ProxyError, ServerError) as error:
                report.left.append(f"{server.name} does not follow {target.name} yet: {error}")
        report.left.append(f"{old.name} gets no statement until it is a replica of {target.name}")

    async def _drain(self, server: Server, drain_s: float) -> None:
        """Let transactions end; what holds its connection for longer loses it."""
        until = perf_counter() + drain_s
        while server.pool.in_use and perf_counter() < until:  # noqa: ASYNC110 - rare, and soon over
            await asyncio.sleep(_POLL_S)
        if server.pool.in_use:
            server.pool.close_all()

    async def _logged(self, server: Server) -> Position:
        connection, prober = await self._connect(server)
        try:
            return (await prober.positions(connection))[1]
        finally:
            connection.abort(kill=False)

    async def _caught_up(self, server: Server, wanted: Position) -> None:
        connection, prober = await self._connect(server)
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                while not _reached(*await prober.positions(connection), wanted):  # noqa: ASYNC110 - the server has to be asked
                    await asyncio.sleep(_POLL_S)
        finally:
            connection.abort(kill=False)

    async def _apply_received(self, server: Server) -> None:
        """Let a replica apply what it has received; leaving its source would throw that away. Raises `TimeoutError`."""
        await self._run(server, _STOP_RECEIVING)
        connection, prober = await self._connect(server)
        try:
            received = await prober.received(connection)
        finally:
            connection.abort(kill=False)
        await self._caught_up(server, received)

    async def _is_ahead(self, server: Server, has: Position) -> bool:
        """Whether a replica has, or has received, what is not in a position; one that cannot be asked is none."""
        try:
            connection, prober = await self._connect(server)
        except (ProxyError, ServerError):
            return False
        try:
            received = await prober.received(connection)
            return not has.contains(received.union((await prober.positions(connection))[1]))
        except (ProxyError, ServerError):
            return False
        finally:
            connection.abort(kill=False)

    async def _follow(self, server: Server, source: Server) -> None:
        host, _, port = source.name.rpartition(":")
        await self._run(server, {kind: tuple(text.format(host=host, port=port).encode() for text in _FOLLOW[kind]) for kind in _FOLLOW})

    async def _run(self, server: Server, texts: Mapping[str, Sequence[bytes]]) -> None:
        connection, prober = await self._connect(server)
        try:
            for text in texts[prober.flavour]:
                await connection.query(text)
        finally:
            connection.abort(kill=False)

    async def _connect(self, server: Server) -> tuple[Connection, Prober]:
        """A connection of the account that may change roles, and what kind of server it leads to."""
        engine = server.pool.engine
        assert isinstance(engine, MySQLEngine)
        connection = await engine.connect_as(self._control) if self._control is not None else await engine.connect(DEFAULT_KIND)
        prober = Prober()
        try:
            await prober.learn_flavour(connection)
        except BaseException:
            connection.abort(kill=False)
            raise
        return connection, prober


def _reached(applied: Position, logged: Position, wanted: Position) -> bool:
    return applied.contains(wanted) and logged.holds(wanted)
