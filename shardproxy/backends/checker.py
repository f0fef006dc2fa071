"""Checks of one server, for ever: whether it answers and, where it has replicas or is one, how far it has come.

A check that fails is followed by the next one sooner, and so is a statement that fails (passive checks). Between checks others can ask
how far the server has come by now (`hurry`); one question answers all who have asked meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from shardproxy.backends.engine import Connection, ServerSettings
from shardproxy.backends.probe import Prober
from shardproxy.errors import ProxyError, ServerError

if TYPE_CHECKING:
    from shardproxy.backends.probe import Probe
    from shardproxy.protocol.gtid import Position

log = logging.getLogger(__name__)

# The share by which a pause between checks is stretched or cut, so that proxies do not check in step.
_JITTER = 0.1
# A check that ends so much later than it should was held up here, not at the server.
_STALL_S = 0.2
# The least time between two questions for a position: what they cost is the same for any number of sessions that wait for it.
_HURRY_S = 0.01


class Checked(Protocol):
    """Who is told of checks."""

    settings: ServerSettings

    async def connect_for_check(self) -> Connection:
        """A connection of the check's own."""

    @property
    def wants_checks(self) -> bool:
        """False while the server is in maintenance."""

    @property
    def served(self) -> int:
        """Counts statements that the server has answered."""

    def observe(self, reason: str) -> None:
        """A check has passed (""), or failed."""

    def sweep(self) -> None:
        """It is time to look at time limits."""


class Checker:
    """The checks of one server. `on_probe` and `on_positions` are told what it says, with the time at which it was asked."""

    def __init__(self, checked: Checked, name: str, prober: Prober | None = None) -> None:
        self._checked = checked
        self._name = name
        self._prober = prober
        self.on_probe: Callable[[Probe, float], None] | None = None
        self.on_positions: Callable[[Position, Position, float], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._failing = False
        self._connection: Connection | None = None
        # What was asked and has not been answered yet, and how many checks in a row have waited for it in vain.
        self._question: asyncio.Task[Probe | None] | None = None
        self._unanswered = 0
        self._asked_at = 0.0
        self._positions_wanted = False
        self._last_check = self._last_asked = 0.0

    def watch(self, prober: Prober) -> None:
        """From now on the server is asked about replication too."""
        self._prober = prober

    def start(self) -> None:
        """Begin to check."""
        self._task = asyncio.get_running_loop().create_task(self._forever())

    async def stop(self) -> None:
        """Check no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def poke(self) -> None:
        """A statement has failed for a reason that a check may find too: check soon."""
        self._failing = True
        self._wake.set()

    def hurry(self) -> None:
        """Somebody wants to know how far the server has come."""
        self._positions_wanted = True
        self._wake.set()

    async def _forever(self) -> None:
        try:
            while True:
                await self._check()
                while await self._pause():
                    await self._ask_position()
        finally:
            self._give_up()

    async def _check(self) -> None:
        """One check. A question that was not answered in time is not asked again: an answer that comes during the next check counts."""
        checked = self._checked
        checked.sweep()
        self._last_check = perf_counter()
        if not checked.wants_checks:
            self._give_up()
            return
        served, reason = checked.served, ""
        if self._question is None:
            self._unanswered, self._asked_at = 0, self._last_check
            self._question = asyncio.get_running_loop().create_task(self._ask())
        limit = checked.settings.health_timeout_s
        await asyncio.wait({self._question}, timeout=limit)
        if not self._question.done():
            stalled = perf_counter() - self._last_check > limit + _STALL_S
            # A server that has answered others meanwhile is busy, not gone; and a proxy that was stalled itself cannot tell.
            reason = "" if checked.served != served or stalled else "no answer in time"
            self._unanswered += bool(reason)
            if self._unanswered >= checked.settings.health_fall:
                self._give_up()
        else:
            reason = self._answer(self._question)
            self._question = None
            if reason:
                self._give_up()
        self._failing = bool(reason)
        checked.observe(reason)

    async def _ask(self) -> Probe | None:
        if self._connection is None or self._connection.closed:
            self._connection = await self._checked.connect_for_check()
        if self._prober is None:
            await self._connection.query(b"DO 1")
            return None
        return await self._prober.probe(self._connection)

    def _answer(self, question: asyncio.Task[Probe | None]) -> str:
        """What came of a question: a reason why the server is not well, or ""."""
        try:
            probe = question.result()
        except (ProxyError, ServerError) as error:
            return error.detail if isinstance(error, ProxyError) else str(error)
        except Exception as error:
            log.exception("health check of %s", self._name)
            return type(error).__name__
        if probe is not None and self.on_probe is not None:
            self.on_probe(probe, self._asked_at)
        return ""

    def _give_up(self) -> None:
        """Close the checks' connection, and the question with it."""
        if self._question is not None:
            self._question.cancel()
            self._question = None
        if self._connection is not None:
            self._connection.abort(kill=False)
            self._connection = None

    async def _pause(self) -> bool:
        """Wait for the next check; True where a position is wanted before that."""
        settings = self._checked.settings
        while True:
            pause = settings.health_fast_interval_s if self._failing else settings.health_interval_s
            left = self._last_check + pause * random.uniform(1 - _JITTER, 1 + _JITTER) - perf_counter()
            if left <= 0:
                return False
            if self._positions_wanted and self._prober is not None and not self._failing:
                self._positions_wanted = False
                await asyncio.sleep(max(0.0, self._last_asked + _HURRY_S - perf_counter()))
                return True
            self._wake.clear()
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                return False

    async def _ask_position(self) -> None:
        connection = self._connection
        if connection is None or connection.closed or self._question is not None:
            return
        assert self._prober is not None
        self._last_asked = asked = perf_counter()
        self._positions_wanted = False
        try:
            async with asyncio.timeout(self._checked.settings.health_timeout_s):
                applied, logged = await self._prober.positions(connection)
        except (TimeoutError, ProxyError, ServerError):
            # The next check finds out what is the matter.
            self._give_up()
            self.poke()
            return
        if self.on_positions is not None:
            self.on_positions(applied, logged, asked)
