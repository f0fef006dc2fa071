"""How old what replicas show may be: many writes and reads at once, one replica late, and nothing stale where a mode forbids it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter

import pytest

from tests.support.replica_proxy import PRIMARY, REPLICAS, Client, ReplicaProxy, shard_of
from tests.support.wire import WireClient

# Write-then-read pairs of each mode, by so many clients at once; whoever changes the proxy's reads runs this with 10 000.
PAIRS = 1200
CLIENTS = 4
# How late the one replica is, and how old `bounded` reads may be (the proxy's default).
DELAY_S = 2
MAX_LAG_S = 1.0
# How long sessions watch a counter grow.
WATCH_S = 4.0


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def place(request: pytest.FixtureRequest) -> Iterator[ReplicaProxy]:
    """One shard with one proxy for all tests of this file; one replica is late."""
    found = ReplicaProxy(shard_of(request, request.param))
    found.shard.execute("INSERT INTO t VALUES " + ", ".join(f"({number}, 0)" for number in range(100, 100 + CLIENTS)))
    found.slow.delay_by(DELAY_S)
    found.settle()
    yield found
    found.proxy.kill()


@dataclass
class Tally:
    """What many reads have shown: who answered, and which were older than they may be."""

    servers: Counter[str] = field(default_factory=Counter)
    stale: list[tuple[object, ...]] = field(default_factory=list)
    moves: int = 0

    def add(self, other: Tally) -> None:
        """Count another one in."""
        self.servers += other.servers
        self.stale += other.stale
        self.moves += other.moves

    @property
    def share(self) -> float:
        """The part of the reads that the primary has answered."""
        return self.servers[PRIMARY] / self.servers.total()


def at_once(work: Callable[[int], Tally], count: int = CLIENTS) -> Tally:
    """So many clients' tallies in one."""
    total = Tally()
    with ThreadPoolExecutor(count) as pool:
        for tally in pool.map(work, range(count)):
            total.add(tally)
    return total


def read(client: Client, number: int) -> tuple[int, str]:
    """A value, and who has told it."""
    [(value, node)] = client.run(f"SELECT t.v, who.node FROM t JOIN who WHERE t.id = {number} AND who.id = 1")
    return value, node


# ---------------------------------------------------------------- what was written is read


def pairs(place: ReplicaProxy, mode: str, count: int, *, other: bool = False, again: bool = False) -> Tally:
    """Write and read by one client, or write by one and read by another; `again`: read on until a replica has answered."""

    def work(number: int) -> Tally:
        tally = Tally()
        with place.client(mode) as writer, place.client(mode) as reader:
            asks = reader if other else writer
            value = int(place.shard.execute(f"SELECT v FROM t WHERE id = {100 + number}")[0][0])
            for _ in range(count // CLIENTS):
                value += 1
                writer.run(f"UPDATE t SET v = {value} WHERE id = {100 + number}")
                until = perf_counter() + 2.0
                while True:
                    found, node = read(asks, 100 + number)
                    tally.servers[node] += 1
                    if found != value:
                        tally.stale.append((mode, number, node, value, found))
                    if not again or node != PRIMARY or perf_counter() > until:
                        break
        return tally

    return at_once(work)


@pytest.mark.parametrize("mode", ["session", "global", "primary"])
def test_no_read_misses_a_write(place: ReplicaProxy, mode: str, record_property: Callable[[str, object], None]) -> None:
    """Of the session itself; with `global` and `primary` of another one, too."""
    tally = pairs(place, mode, PAIRS)
    if mode != "session":
        tally.add(pairs(place, mode, PAIRS, other=True))
    record_property("share of reads on the primary", tally.share)
    assert tally.stale == []


@pytest.mark.parametrize("mode", ["session", "global"])
def test_sessions_move_to_a_replica_that_has_their_writes(place: ReplicaProxy, mode: str) -> None:
    """Soon after the write, and without missing it; the one that is late has little to do."""
    tally = pairs(place, mode, PAIRS // 10, other=mode == "global", again=True)
    assert tally.stale == []
    assert sum(tally.servers[name] for name in REPLICAS) >= PAIRS // 10 * 0.9


def test_reads_that_ask_for_nothing_are_late(place: ReplicaProxy) -> None:
    """Or the others would show nothing: half of the reads go to a replica that is two seconds late. None goes to the primary."""
    tally = pairs(place, "eventual", PAIRS // 3)
    assert len(tally.stale) > PAIRS // 3 * 0.2
    assert tally.share == 0


# ---------------------------------------------------------------- a counter that grows


@dataclass
class Counting:
    """Writes past the proxy: a counter, and when each of its values was certainly there."""

    place: ReplicaProxy
    known: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Count until it is over."""
        with self.place.shard.primary.connect("app") as connection, connection.cursor() as cursor:
            value = 0
            while not self.over.is_set():
                value += 1
                cursor.execute(f"UPDATE t SET v = {value} WHERE id = 1")
                self.known.append((perf_counter(), value))

    def least(self, moment: float) -> int:
        """What was there at a moment, or more than that was."""
        return next((value for when, value in reversed(self.known) if when <= moment), 0)


def watch(place: ReplicaProxy, counting: Counting, mode: str, number: int) -> Tally:
    """One session looks at the counter again and again, and writes something of its own now and then, which makes it move."""
    tally, seen = Tally(), []
    until = perf_counter() + WATCH_S
    with place.client(mode) as client:
        while (now := perf_counter()) < until:
            value, node = read(client, 1)
            tally.servers[node] += 1
            if mode == "bounded" and value < counting.least(now - MAX_LAG_S):
                tally.stale.append(("too old", mode, node, value, counting.least(now - MAX_LAG_S)))
            seen.append((value, node))
            if len(seen) % 50 == 0:
                client.run(f"UPDATE t SET v = v + 1 WHERE id = {100 + number}")
    for (before, first), (after, second) in pairwise(seen):
        tally.moves += first != second
        if after < before:
            tally.stale.append(("back in time", mode, first, before, second, after))
    return tally


def test_no_session_goes_back_in_time(place: ReplicaProxy, record_property: Callable[[str, object], None]) -> None:
    """Whatever server it reads from next, in every mode but `eventual`, which does; nor is a `bounded` read older than its bound."""
    place.shard.execute("UPDATE t SET v = 0 WHERE id = 1")
    place.shard.wait_caught_up()
    counting = Counting(place)
    modes = ("session", "global", "bounded", "primary", "eventual")
    tallies: dict[str, Tally] = {}
    with ThreadPoolExecutor(len(modes) + 1) as pool:
        writer = pool.submit(counting.run)
        running = {mode: pool.submit(watch, place, counting, mode, number % CLIENTS) for number, mode in enumerate(modes)}
        for mode, session in running.items():
            tallies[mode] = session.result()
            record_property(f"{mode}: reads by server, moves", (dict(tallies[mode].servers), tallies[mode].moves))
        counting.over.set()
        writer.result()
    assert [tally.stale for mode, tally in tallies.items() if mode != "eventual"] == [[]] * 4
    assert tallies["eventual"].stale
    assert tallies["primary"].share == 1
    assert tallies["session"].moves >= 4
    for mode in ("session", "bounded"):
        assert tallies[mode].share < 1, mode


def test_no_bounded_read_is_older_than_its_bound(place: ReplicaProxy, record_property: Callable[[str, object], None]) -> None:
    """By sessions that are always new, so that each might take the replica that is late."""
    place.shard.execute("UPDATE t SET v = 0 WHERE id = 1")
    place.shard.wait_caught_up()
    counting, tally = Counting(place), Tally()
    with ThreadPoolExecutor(1) as pool, WireClient(place.proxy.port).login("bounded", "bounded") as client:
        writer = pool.submit(counting.run)
        until = perf_counter() + WATCH_S
        while (now := perf_counter()) < until:
            client.command(b"\x1f")
            answer = client.query(b"SELECT t.v, who.node FROM t JOIN who WHERE t.id = 1 AND who.id = 1")
            assert isinstance(answer, list)
            value, node = (bytes(field or b"").decode() for field in answer[0])
            tally.servers[node] += 1
            if int(value) < counting.least(now - MAX_LAG_S):
                tally.stale.append((node, value, counting.least(now - MAX_LAG_S)))
        counting.over.set()
        writer.result()
    record_property("reads by server", dict(tally.servers))
    assert tally.stale == []
    assert tally.share < 1
