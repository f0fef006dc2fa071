"""How fast a mover may be: a rate that operators set, and the load of the servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from migrate.errors import MoveFailed
from migrate.node import Node
from migrate.tables import read_texts
from shardproxy.backends.engine import Connection
from shardproxy.errors import ProxyError, ServerError
from shardproxy.protocol.resultset import parse_row

_LOOK_S = 0.5
_PAUSE_S = 0.1
# Less than this is not worth a sleep.
_LEAST_WAIT_S = 0.02
# What operators may set, with what is meant where they have not: rows per second (0: as fast as it goes), threads at work on a server
# above which the mover waits, seconds that a replica of the source or the target may be behind, milliseconds that a proxy's statements
# may take (99 %; 0: not looked at).
KNOBS: dict[str, float] = {"rate": 0.0, "max_threads_running": 25.0, "max_replica_lag_s": 1.5, "max_p99_ms": 0.0, "parallel": 2.0}


class Throttle:
    """One move's. `reason` says why it waits, or is empty; `knobs` are shared and may change at any time.

    Whose it is sets `wanted`, which gives what an operator wishes now ("pause", "cancel" or nothing), and `tell`, called while it waits.
    """

    def __init__(
        self, nodes: Sequence[Node], replicas: Sequence[Node], knobs: Mapping[str, float], p99_ms: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._nodes = nodes
        self._replicas = replicas
        self.knobs = knobs
        self.reason = ""
        self.wanted: Callable[[], str] = str
        self._load = ""
        self._looker: asyncio.Task[None] | None = None
        self._debt = 0.0
        self._at = time.monotonic()
        self._p99_ms = p99_ms
        self.tell: Callable[[], Awaitable[None]] = _nobody

    def knob(self, name: str) -> float:
        """A setting as it is now."""
        return self.knobs.get(name, KNOBS[name])

    def start(self) -> None:
        """Begin to look at the servers' load."""
        self._looker = asyncio.get_running_loop().create_task(self._look_forever())

    async def stop(self) -> None:
        """Stop looking."""
        if self._looker is not None:
            self._looker.cancel()
            await asyncio.gather(self._looker, return_exceptions=True)

    def portion(self, rows: int) -> int:
        """Of so many rows those to be taken at once, so that the pauses between are short."""
        rate = self.knob("rate")
        return rows if rate <= 0 else max(1, min(rows, int(rate * _LOOK_S)))

    async def heed(self) -> None:
        """Wait while an operator wants it. Raises `MoveFailed` where one has cancelled the move."""
        while (wanted := self.wanted()) == "pause":
            self.reason = "paused by an operator"
            await self.tell()
            await asyncio.sleep(_PAUSE_S)
        self.reason = ""
        if wanted == "cancel":
            raise MoveFailed("cancelled by an operator")

    async def pace(self, rows: int) -> None:
        """Wait until so many rows more may be moved. Raises as `heed`.

        It may take long: servers end sessions that are idle meanwhile.
        """
        await self.heed()
        while self._load:
            self.reason = self._load
            await self.tell()
            await asyncio.sleep(_PAUSE_S)
            await self.heed()
        self._debt += rows
        while (rate := self.knob("rate")) > 0:
            now = time.monotonic()
            self._debt = max(0.0, self._debt - (now - self._at) * rate)
            self._at = now
            wait = self._debt / rate
            if wait <= _LEAST_WAIT_S:
                break
            self.reason = f"rate {rate:g} rows/s"
            await self.tell()
            await asyncio.sleep(min(wait, _LOOK_S))
            self.reason = ""
        else:
            self._debt, self._at = 0.0, time.monotonic()

    async def _look_forever(self) -> None:
        sessions: dict[Node, Connection] = {}
        try:
            while True:
                self._load = await self._look(sessions)
                await asyncio.sleep(_LOOK_S)
        finally:
            for session in sessions.values():
                session.abort()

    async def _look(self, sessions: dict[Node, Connection]) -> str:
        limit = self.knob("max_p99_ms")
        if limit and self._p99_ms() > limit:
            return f"statements take up to {self._p99_ms():.0f} ms (99 %)"
        for node in [*self._nodes, *self._replicas]:
            try:
                session = sessions.get(node)
                if session is None or session.closed:
                    session = sessions[node] = await node.connect(idle_s=600)
                reason = await (self._replica(session, node) if node in self._replicas else self._busy(session, node))
            except (ProxyError, ServerError):
                # Whoever copies notices by itself that a server is gone; a replica that is away holds nothing up.
                continue
            if reason:
                return reason
        return ""

    async def _busy(self, session: Connection, node: Node) -> str:
        running = int((await read_texts(session, "SHOW GLOBAL STATUS LIKE 'Threads_running'"))[0][1])
        return f"{node.shard}: {running} threads at work" if running > self.knob("max_threads_running") else ""

    async def _replica(self, session: Connection, node: Node) -> str:
        try:
            result = await session.query(b"SHOW REPLICA STATUS")
        except ServerError:
            result = await session.query(b"SHOW SLAVE STATUS")
        names = [column.name for column in result.columns]
        for row in result.rows:
            values = dict(zip(names, parse_row(row, len(names)), strict=True))
            behind = values.get(b"Seconds_Behind_Source", values.get(b"Seconds_Behind_Master"))
            if behind is None or float(behind) > self.knob("max_replica_lag_s"):
                lag = "does not replicate" if behind is None else f"is {int(behind)} s behind"
                return f"{node.shard}: replica {node.engine.address} {lag}"
        return ""


async def _nobody() -> None:
    pass
