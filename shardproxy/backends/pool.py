"""The connections to one server: bounded, handed out in turn, checked in the background.

A statement that finds no free connection waits in line, for a bounded time and behind a bounded number of others. A server that
does not answer its checks is DOWN: statements to it fail at once, its connections are closed, and it is tried again until it
answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING

from shardproxy.backends.checker import Checker
from shardproxy.backends.engine import ANY_SCHEMA, DEFAULT_KIND, Connection, ConnectionKind, Engine, ServerSettings
from shardproxy.backends.health import Event, Health, State
from shardproxy.errors import NO_BACKEND, POOL_TIMEOUT, QUEUE_FULL, ProxyError, ServerError

if TYPE_CHECKING:
    from shardproxy.backends.server import Server

log = logging.getLogger(__name__)


class Pool:
    """The pool of one server. `acquire` and `release` (or `discard`) come in pairs."""

    def __init__(self, shard: str, engine: Engine, settings: ServerSettings) -> None:
        self.shard = shard
        self.engine = engine
        self.settings = settings
        self.health = Health(rise=settings.health_rise, fall=settings.health_fall)
        self.checker = Checker(self, f"{engine.label} of shard {shard}")
        # Statements answered, by which a check can tell a busy server from one that is gone.
        self.served = 0
        self.on_state: Callable[[float], None] | None = None
        # Which member of a replicated shard this is, if the shard is one.
        self.server: Server | None = None
        self.statements: Counter[str] = Counter()
        self._idle: dict[ConnectionKind, list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._waiters: deque[tuple[ConnectionKind, asyncio.Future[Connection | None]]] = deque()
        self._opening = 0
        self._idle_since: dict[Connection, float] = {}
        self._resets: set[asyncio.Task[None]] = set()
        self._closing = False

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def in_use(self) -> int:
        """Connections that serve a statement or a session."""
        return len(self._busy)

    @property
    def idle(self) -> int:
        """Connections that wait for work."""
        return len(self._idle_since)

    @property
    def waiting(self) -> int:
        """Statements that wait for a connection."""
        return len(self._waiters)

    @property
    def _total(self) -> int:
        return len(self._busy) + len(self._idle_since) + self._opening

    # -- handing out --------------------------------------------------------------------------------------------------

    def try_acquire(self, kind: ConnectionKind) -> Connection | None:
        """An idle connection of that kind at once, or None."""
        idle = self._idle.get(kind)
        if not idle or self._waiters:
            return None
        connection = idle.pop()
        del self._idle_since[connection]
        if connection.closed:
            return None  # its end has not been told yet
        self._busy.add(connection)
        return connection

    async def acquire(self, kind: ConnectionKind) -> Connection:
        """A connection of that kind; waits in line. Raises `ProxyError` SP1401, SP1402 or SP1406."""
        if not self.health.usable:
            raise self._down()
        found = self.try_acquire(kind)
        if found is not None:
            return found
        if self._total < self.settings.pool_size and not self._waiters:
            self._opening += 1
            return await self._open(kind)
        if not self._waiters and (other := self._take_any_idle(kind[0])) is not None:
            return await self._convert(other, kind)
        if len(self._waiters) >= self.settings.pool_queue:
            raise ProxyError(QUEUE_FULL, f"{len(self._waiters)} statements wait for shard {self.shard} already")
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append((kind, waiter))
        try:
            async with asyncio.timeout(self.settings.pool_wait_s):
                connection = await waiter
        except TimeoutError:
            self._give_back(waiter)
            raise ProxyError(POOL_TIMEOUT, f"no connection to shard {self.shard} became free in {self.settings.pool_wait_s:g} s") from None
        except asyncio.CancelledError:
            self._give_back(waiter)
            raise
        if connection is None:
            return await self._open(kind)
        return connection if connection.kind == kind else await self._convert(connection, kind)

    def _give_back(self, waiter: asyncio.Future[Connection | None]) -> None:
        """The waiter stops waiting; what it was given in the last moment goes to the next one."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            connection = waiter.result()
            if connection is not None:
                self.release(connection)
            else:
                self._opening -= 1
                self._serve_waiters()
            return
        self._waiters = deque(pair for pair in self._waiters if pair[1] is not waiter)

    async def _open(self, kind: ConnectionKind) -> Connection:
        """Open a connection, for which `_opening` has been counted up already."""
        try:
            connection = await self.engine.connect(kind)
        except BaseException as error:
            if isinstance(error, ProxyError):
                self.checker.poke()
            self._opening -= 1
            self._serve_waiters()
            raise
        self._opening -= 1
        connection.on_closed = self._closed  # type: ignore[attr-defined]
        connection.pool = self
        self._busy.add(connection)
        return connection

    def _take_any_idle(self, found_rows: bool) -> Connection | None:
        """Some idle connection, of another character set if it must be, else one with the other FOUND_ROWS."""
        for wanted in (found_rows, not found_rows):
            for kind, idle in self._idle.items():
                if idle and kind[0] is wanted:
                    connection = idle.pop()
                    del self._idle_since[connection]
                    self._busy.add(connection)
                    return connection
        return None

    async def _convert(self, connection: Connection, kind: ConnectionKind) -> Connection:
        if connection.kind[0] == kind[0] and not connection.closed:
            try:
                await connection.set_kind(kind)
            except BaseException:
                self.discard(connection)
                raise
            return connection
        self._busy.discard(connection)
        self._opening += 1
        connection.abort(kill=False)
        return await self._open(kind)

    def release(self, connection: Connection) -> None:
        """Take a clean connection back: no transaction, no state, no response outstanding."""
        self.served += 1
        if connection.closed or self._closing:
            self.discard(connection)
            return
        if connection.killing is not None:
            connection.killing.add_done_callback(lambda _: self.release(connection))
            return
        self._busy.discard(connection)
        if self._waiters:
            self._busy.add(connection)
            while self._waiters:
                _, waiter = self._waiters.popleft()
                if not waiter.done():
                    waiter.set_result(connection)
                    return
            self._busy.discard(connection)
        self._idle.setdefault(connection.kind, []).append(connection)
        self._idle_since[connection] = perf_counter()

    def release_dirty(self, connection: Connection) -> None:
        """Take back a connection that holds session state: it is reset first, or closed."""
        if connection.closed:
            self.discard(connection)
            return
        if connection.killing is not None:
            connection.killing.add_done_callback(lambda _: self.release_dirty(connection))
            return
        task = asyncio.get_running_loop().create_task(self._reset(connection))
        self._resets.add(task)
        task.add_done_callback(self._resets.discard)

    async def _reset(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(self.settings.connect_timeout_s):
                await connection.reset()
                connection.dirty = False
        except (TimeoutError, ProxyError, ServerError):
            self.discard(connection)
        else:
            self.release(connection)

    def forget_schema(self, name: str) -> None:
        """A schema was dropped: connections that had chosen it have none now, whatever comes by that name later."""
        for kind in list(self._idle):
            if (kind[3] or self.engine.schema) == name:
                unset = self._idle.pop(kind)
                for connection in unset:
                    connection.kind = (*kind[:3], ANY_SCHEMA, kind[4])
                    self._idle.setdefault(connection.kind, []).append(connection)
        for connection in self._busy:
            if (connection.kind[3] or self.engine.schema) == name:
                connection.kind = (*connection.kind[:3], ANY_SCHEMA, connection.kind[4])

    def discard(self, connection: Connection, kill: bool = True) -> None:
        """Close a connection that cannot be used again."""
        self._busy.discard(connection)
        connection.abort(kill)
        self._serve_waiters()

    def _serve_waiters(self) -> None:
        """There is room for a connection: let the next in line open one."""
        while self._waiters and self._total < self.settings.pool_size:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                # Its place is taken from now on, so that one free place wakes one waiter.
                self._opening += 1
                waiter.set_result(None)
                return

    def _closed(self, connection: Connection) -> None:
        """A connection was lost, wherever it was."""
        if self._idle_since.pop(connection, None) is not None:
            idle = self._idle.get(connection.kind)
            if idle and connection in idle:
                idle.remove(connection)
        elif connection in self._busy:
            self._busy.discard(connection)
        self._serve_waiters()

    # -- background ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to check the server."""
        self.checker.start()

    async def connect_for_check(self) -> Connection:
        """A connection that is not one of the pool's."""
        return await self.engine.connect(DEFAULT_KIND)

    @property
    def wants_checks(self) -> bool:
        """False while the server is in maintenance."""
        return self.health.state is not State.MAINTENANCE

    def observe(self, reason: str) -> None:
        """A check has passed (""), or failed for a reason."""
        if self.health.observe(reason, perf_counter()):
            self._changed()

    def operate(self, event: Event) -> None:
        """An operator drains the server, takes it out or brings it back."""
        if self.health.apply(event, perf_counter()):
            self.health.reason = "" if event is Event.ENABLE else "by an operator"
            self._changed()
        self.checker.poke()

    def _changed(self) -> None:
        health = self.health
        extra = {"shard": self.shard, "server": self.engine.label, "state": health.state.value, "reason": health.reason}
        log.warning("server changed state", extra=extra)
        if not health.usable:
            self.close_all()
        if self.on_state is not None:
            self.on_state(health.since)

    def _down(self) -> ProxyError:
        health = self.health
        return ProxyError(NO_BACKEND, f"shard {self.shard} ({self.engine.label}) is {health.state.value}: {health.reason}")

    def close_all(self) -> None:
        """The server is down, or not this shard's any more: let nobody wait for it."""
        for connection in [*self._idle_since, *self._busy]:
            connection.abort(kill=False)
        while self._waiters:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(self._down())

    def sweep(self) -> None:
        """Stop statements over their time and close connections that nobody needs."""
        now = perf_counter()
        for connection in list(self._busy):
            if getattr(connection, "busy", False) and now - connection.started_at > self.settings.query_timeout_s:
                connection.time_out()  # type: ignore[attr-defined]
        for connection, since in list(self._idle_since.items()):
            if now - since > self.settings.pool_idle_s:
                connection.abort(kill=False)

    def connections(self) -> Iterator[Connection]:
        """All connections that are open."""
        yield from self._busy
        yield from self._idle_since

    async def close(self) -> None:
        """Close everything."""
        self._closing = True
        await self.checker.stop()
        await asyncio.gather(*self._resets, return_exceptions=True)
        for connection in list(self.connections()):
            connection.abort(kill=False)
        await self.engine.close()
