"""How fast a mover goes: a rate is held however large its chunks are, and may change while it waits."""

import asyncio
import time

import pytest

from migrate.throttle import Throttle


class Clock:
    """Time that passes only in `asyncio.sleep`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.events: dict[float, dict[str, float]] = {}
        self.knobs: dict[str, float] = {}
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        for at in [at for at in self.events if at <= self.now]:
            self.knobs.update(self.events.pop(at))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize("rows", [1, 100, 10_000])
async def test_rate_is_held(clock: Clock, rows: int) -> None:
    clock.knobs["rate"] = 200.0
    throttle = Throttle((), (), clock.knobs)
    await throttle.pace(0)
    began = clock.now
    for _ in range(20_000 // rows):
        await throttle.pace(rows)
    assert clock.now - began == pytest.approx(100, abs=0.1)


async def test_rate_that_is_lifted_ends_the_wait(clock: Clock) -> None:
    clock.knobs["rate"] = 1.0
    clock.events[103.0] = {"rate": 0.0}
    throttle = Throttle((), (), clock.knobs)
    await throttle.pace(1000)
    assert clock.now < 104
    clock.knobs["rate"] = 1000.0
    before = clock.now
    await throttle.pace(1000)
    assert clock.now - before == pytest.approx(1, abs=0.1)


def test_chunks_are_small_where_the_rate_is(clock: Clock) -> None:
    throttle = Throttle((), (), clock.knobs)
    assert throttle.portion(1000) == 1000
    for rate, rows in ((10_000.0, 1000), (1000.0, 500), (1.0, 1), (0.1, 1)):
        clock.knobs["rate"] = rate
        assert throttle.portion(1000) == rows
