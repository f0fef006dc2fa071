"""The pool of one server, on an engine that does what the test tells it."""

import asyncio

import pytest

from shardproxy.backends.engine import DEFAULT_KIND, ConnectionKind, ServerSettings
from shardproxy.backends.health import State
from shardproxy.backends.pool import Pool
from shardproxy.errors import NO_BACKEND, POOL_TIMEOUT, QUEUE_FULL, ProxyError

LATIN1: ConnectionKind = (False, "latin1", "", "", ())
FOUND_ROWS: ConnectionKind = (True, "utf8mb4", "", "", ())


class FakeConnection:
    """A connection that is there, and remembers what was done with it."""

    relays = True
    primed = 0
    status = 2
    busy = False
    started_at = 0.0
    schema = "app_0"
    shard = "s0"
    killing = None

    def __init__(self, kind: ConnectionKind) -> None:
        self.kind = kind
        self.closed = False
        self.resets = 0
        self.kinds_set = 0
        self.on_closed = lambda connection: None
        self.fail_reset = False

    async def set_kind(self, kind: ConnectionKind) -> None:
        self.kinds_set += 1
        self.kind = (self.kind[0], *kind[1:])

    async def reset(self) -> None:
        if self.fail_reset:
            raise ProxyError(NO_BACKEND)
        self.resets += 1

    async def query(self, sql: bytes) -> None:
        if self.closed:
            raise ProxyError(NO_BACKEND)

    def abort(self, kill: bool = True) -> None:
        if not self.closed:
            self.closed = True
            # A transport tells of its end a moment later.
            asyncio.get_running_loop().call_soon(self.on_closed, self)

    def lose(self) -> None:
        """The server has gone away."""
        self.closed = True
        self.on_closed(self)


class FakeEngine:
    """Connects at once, or when `gate` opens, or not at all."""

    label = "fake"
    schema = "app_0"

    def __init__(self) -> None:
        self.made: list[FakeConnection] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.down = False

    @property
    def open(self) -> int:
        return sum(not connection.closed for connection in self.made)

    async def connect(self, kind: ConnectionKind) -> FakeConnection:
        await self.gate.wait()
        if self.down:
            raise ProxyError(NO_BACKEND, "refused")
        self.made.append(FakeConnection(kind))
        return self.made[-1]

    async def close(self) -> None:
        pass


def make_pool(engine: FakeEngine, size: int = 1, wait_s: float = 5.0, queue: int = 10) -> Pool:
    """A pool of that size whose checks are not running."""
    return Pool("s0", engine, ServerSettings(size, wait_s, queue, 300, 1, 300, 0.05, 0.02, 1, 1, 2, 16))  # type: ignore[arg-type]


@pytest.fixture
async def engine() -> FakeEngine:
    """A server that is up."""
    return FakeEngine()


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_connection_is_used_again(engine: FakeEngine) -> None:
    """What is given back is handed out before another is opened."""
    pool = make_pool(engine, 5)
    first = await pool.acquire(DEFAULT_KIND)
    pool.release(first)
    assert await pool.acquire(DEFAULT_KIND) is first
    assert len(engine.made) == 1


async def test_waiters_are_served_in_order(engine: FakeEngine) -> None:
    """Who came first is served first, and a newcomer cannot jump the line."""
    pool = make_pool(engine)
    held = await pool.acquire(DEFAULT_KIND)
    served: list[int] = []

    async def work(number: int) -> None:
        connection = await pool.acquire(DEFAULT_KIND)
        served.append(number)
        await asyncio.sleep(0)
        pool.release(connection)

    tasks = []
    for number in range(5):
        tasks.append(asyncio.create_task(work(number)))
        await settle()
    assert pool.waiting == 5
    pool.release(held)
    assert pool.try_acquire(DEFAULT_KIND) is None
    await asyncio.gather(*tasks)
    assert served == [0, 1, 2, 3, 4]
    assert len(engine.made) == 1


async def test_cancelled_waiter_gives_its_turn_away(engine: FakeEngine) -> None:
    """Neither a waiter that left nor one that leaves in the moment it is served loses a connection."""
    pool = make_pool(engine)
    held = await pool.acquire(DEFAULT_KIND)
    leaving = [asyncio.create_task(pool.acquire(DEFAULT_KIND)) for _ in range(2)]
    staying = asyncio.create_task(pool.acquire(DEFAULT_KIND))
    await settle()
    leaving[0].cancel()
    await settle()
    pool.release(held)  # now the second one's future is set …
    leaving[1].cancel()  # … and it leaves before it has seen that
    assert await asyncio.wait_for(staying, 1) is held
    assert pool.waiting == 0
    pool.release(held)
    assert pool.idle == 1


async def test_waiting_is_bounded_in_time(engine: FakeEngine) -> None:
    """SP1402, and the waiter leaves nothing behind in the line."""
    pool = make_pool(engine, wait_s=0.02, queue=2)
    held = await pool.acquire(DEFAULT_KIND)
    for _ in range(5):
        with pytest.raises(ProxyError) as late:
            await pool.acquire(DEFAULT_KIND)
        assert late.value.spec is POOL_TIMEOUT
    assert pool.waiting == 0
    pool.release(held)
    assert pool.try_acquire(DEFAULT_KIND) is held


async def test_line_is_bounded(engine: FakeEngine) -> None:
    """SP1406 at once for who would be one too many."""
    pool = make_pool(engine, queue=2)
    await pool.acquire(DEFAULT_KIND)
    tasks = [asyncio.create_task(pool.acquire(DEFAULT_KIND)) for _ in range(2)]
    await settle()
    with pytest.raises(ProxyError) as full:
        await pool.acquire(DEFAULT_KIND)
    assert full.value.spec is QUEUE_FULL
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_connection_lost_while_idle_is_not_handed_out(engine: FakeEngine) -> None:
    """The pool forgets it at once."""
    pool = make_pool(engine, 5)
    first = await pool.acquire(DEFAULT_KIND)
    pool.release(first)
    engine.made[0].lose()
    assert pool.idle == 0
    assert await pool.acquire(DEFAULT_KIND) is engine.made[1]


async def test_closed_connection_is_not_taken_back(engine: FakeEngine) -> None:
    """Its place is free for another."""
    pool = make_pool(engine)
    first = await pool.acquire(DEFAULT_KIND)
    engine.made[0].lose()
    pool.release(first)
    assert (pool.idle, pool.in_use) == (0, 0)
    assert await asyncio.wait_for(pool.acquire(DEFAULT_KIND), 1) is engine.made[1]


async def test_pool_never_exceeds_its_size(engine: FakeEngine) -> None:
    """One place that becomes free wakes one waiter, also where its end is told twice."""
    pool = make_pool(engine, 2)
    held = [await pool.acquire(DEFAULT_KIND) for _ in range(2)]
    waiters = [asyncio.create_task(pool.acquire(DEFAULT_KIND)) for _ in range(4)]
    await settle()
    pool.discard(held[0])
    await settle()
    assert engine.open == 2
    assert sum(task.done() for task in waiters) == 1
    pool.discard(held[1])
    await settle()
    assert engine.open == 2
    for task in waiters:
        task.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)


async def test_opener_that_is_cancelled_lets_the_next_one_open(engine: FakeEngine) -> None:
    """Its place does not stay taken, and nobody waits for it in vain."""
    pool = make_pool(engine)
    engine.gate.clear()
    opener = asyncio.create_task(pool.acquire(DEFAULT_KIND))
    await settle()
    waiter = asyncio.create_task(pool.acquire(DEFAULT_KIND))
    await settle()
    opener.cancel()
    await settle()
    engine.gate.set()
    assert await asyncio.wait_for(waiter, 1) is engine.made[0]


async def test_failing_to_connect_fails_every_waiter_in_turn(engine: FakeEngine) -> None:
    """Each tries for itself; none is left waiting for a connection that nobody opens."""
    pool = make_pool(engine)
    held = await pool.acquire(DEFAULT_KIND)
    waiters = [asyncio.create_task(pool.acquire(DEFAULT_KIND)) for _ in range(3)]
    await settle()
    engine.down = True
    pool.discard(held)
    results = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), 1)
    assert [isinstance(result, ProxyError) and result.spec is NO_BACKEND for result in results] == [True] * 3


async def test_connection_of_another_character_set_is_converted(engine: FakeEngine) -> None:
    """A SET NAMES is cheaper than a connection; FOUND_ROWS cannot be set, so there it takes a new one."""
    pool = make_pool(engine)
    first = await pool.acquire(DEFAULT_KIND)
    pool.release(first)
    again = await pool.acquire(LATIN1)
    assert again is first
    assert again.kind == LATIN1
    pool.release(again)
    other = await pool.acquire(FOUND_ROWS)
    assert other is not first
    assert other.kind == FOUND_ROWS
    assert engine.open == 1


async def test_dirty_connection_is_reset_or_closed(engine: FakeEngine) -> None:
    """Nobody gets it before the server has forgotten the session."""
    pool = make_pool(engine)
    first = await pool.acquire(DEFAULT_KIND)
    pool.release_dirty(first)
    assert pool.try_acquire(DEFAULT_KIND) is None
    assert await pool.acquire(DEFAULT_KIND) is first
    assert engine.made[0].resets == 1
    engine.made[0].fail_reset = True
    pool.release_dirty(first)
    assert await asyncio.wait_for(pool.acquire(DEFAULT_KIND), 1) is not first
    assert engine.made[0].closed


async def test_server_that_fails_its_checks_is_down_until_it_answers(engine: FakeEngine) -> None:
    """Then statements fail at once, nobody waits for it, and it is found again."""
    pool = make_pool(engine, wait_s=10)
    held = await pool.acquire(DEFAULT_KIND)
    waiter = asyncio.create_task(pool.acquire(DEFAULT_KIND))
    await settle()
    engine.down = True
    pool.start()
    with pytest.raises(ProxyError) as down:
        await asyncio.wait_for(waiter, 2)
    assert down.value.spec is NO_BACKEND
    assert held.closed
    assert pool.health.state is State.DOWN
    with pytest.raises(ProxyError, match="down"):
        await pool.acquire(DEFAULT_KIND)
    engine.down = False
    async with asyncio.timeout(2):
        while pool.health.state is not State.UP:  # noqa: ASYNC110 - there is nothing to wait for but time
            await asyncio.sleep(0.01)
    pool.release(await pool.acquire(DEFAULT_KIND))
    await pool.close()
    assert engine.open == 0
