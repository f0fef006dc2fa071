"""Which server a read goes to by load and by latency, and how a latency is averaged."""

import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

import pytest

from shardproxy.balance import Balancer, PeakEwma, balancer, warm_up
from shardproxy.balance.load import Fastest
from tests.support.replicas import Replica, assert_shares, names, replicas, seeded


@dataclass
class Simulated(Replica):
    """A server that answers after `service_s`; where it `queues`, one statement after the other."""

    service_s: float = 0.01
    queues: bool = True

    def __post_init__(self) -> None:
        self.average = PeakEwma()
        self.free_at = 0.0

    def accept(self, now: float) -> float:
        """When it will have answered a statement that comes now."""
        self.free_at = (max(now, self.free_at) if self.queues else now) + self.service_s
        return self.free_at


def simulate(chooser: Balancer, servers: Sequence[Simulated], per_s: float, count: int) -> tuple[Counter[str], float]:
    """How often each was chosen and the mean latency, for that many statements at that rate; the first tenth does not count."""
    rng = random.Random(5)
    order = itertools.count()
    pending: list[tuple[float, int, float, Simulated]] = []
    chosen: Counter[str] = Counter()
    latencies = []
    now = 0.0
    for i in range(count):
        now += rng.expovariate(per_s)
        while pending and pending[0][0] <= now:
            done, _, begun, server = heapq.heappop(pending)
            server.in_flight -= 1
            server.average.observe(done - begun, done)
        for server in servers:
            server.latency = server.average.value(now)
        server = chooser.choose(servers)
        done = server.accept(now)
        server.in_flight += 1
        heapq.heappush(pending, (done, next(order), now, server))
        if i >= count // 10:
            chosen[server.name] += 1
            latencies.append(done - now)
    return chosen, mean(latencies)


def test_least_connections_prefers_the_less_loaded() -> None:
    """Per weight; where several have least, these take turns."""
    chooser = balancer("least_connections")
    assert chooser.choose([Replica("a", in_flight=2), Replica("b", in_flight=1), Replica("c", in_flight=3)]).name == "b"
    assert chooser.choose([Replica("a", 4, in_flight=3), Replica("b", 1, in_flight=1)]).name == "a"
    assert chooser.choose([Replica("a", 2, in_flight=3), Replica("b", 1, in_flight=1)]).name == "b"
    tied = [Replica("a", 1, 1), Replica("b", 1, 5), Replica("c", 1, 1)]
    assert names(chooser, tied, 6) == "acacac"


@pytest.mark.parametrize("name", ["least_connections", "fastest"])
def test_slow_server_is_spared(name: str) -> None:
    """One of two takes four times as long; turns drown it, while these give it what it can take."""

    def pair() -> list[Simulated]:
        return [Simulated("quick", service_s=0.01), Simulated("slow", service_s=0.04)]

    chosen, latency = simulate(seeded(name), pair(), per_s=90, count=10_000)
    _, by_turns = simulate(balancer("round_robin"), pair(), per_s=90, count=10_000)
    assert 0.7 < chosen["quick"] / chosen.total() < 0.95
    assert latency < 0.1
    assert by_turns > 10 * latency


@pytest.mark.parametrize("name", ["least_connections", "fastest"])
def test_weights_hold_under_load(name: str) -> None:
    """Servers that are as fast as each other at any load, with 400 statements in flight, have them in proportion to their weights."""
    servers = [Simulated(s.name, s.weight, service_s=0.05, queues=False) for s in replicas(3, 2, 1)]
    chosen, _ = simulate(seeded(name), servers, per_s=8_000, count=20_000)
    assert_shares(chosen, {"a": 3, "b": 2, "c": 1})


def test_fastest_prefers_the_faster() -> None:
    """By latency × (in flight + 1) / weight; of three, the worst gets nothing."""
    chooser = Fastest(random.Random(1))
    worse_and_better = [
        (Replica("w", latency=0.02), Replica("b", latency=0.01)),
        (Replica("w", latency=0.01, in_flight=3), Replica("b", latency=0.02)),
        (Replica("w", latency=0.01, in_flight=2), Replica("b", latency=0.01, in_flight=1)),
        (Replica("w", latency=0.01), Replica("b", 3, latency=0.02)),
    ]
    for worse, better in worse_and_better:
        assert all(chooser.choose(pair) is better for pair in ([worse, better], [better, worse]) for _ in range(20))
    three = [Replica("w", latency=0.03), Replica("b", latency=0.01), Replica("m", latency=0.02)]
    assert_shares(Counter(names(chooser, three, 50_000)), {"b": 2, "m": 1})


def test_fastest_draws_from_all_alike() -> None:
    """With nothing to tell them apart, everyone gets the same; the chances are those of the generator that was given."""
    servers = [replace(server, latency=0.01) for server in replicas(1, 1, 1, 1)]
    assert_shares(Counter(names(Fastest(random.Random(2)), servers, 100_000)), dict.fromkeys("abcd", 1.0))
    assert names(Fastest(random.Random(2)), servers, 50) == names(Fastest(random.Random(2)), servers, 50)


def test_server_of_unknown_latency_is_tried_but_not_overrun() -> None:
    """It gets a statement at once; until that is answered it counts as being as fast as the other."""
    chooser = Fastest(random.Random(1))
    known = Replica("known", latency=0.001)
    assert {chooser.choose([known, Replica("new")]).name for _ in range(50)} == {"new"}
    assert {chooser.choose([known, Replica("new", in_flight=1)]).name for _ in range(50)} == {"known"}
    busy = replace(known, in_flight=2)
    assert {chooser.choose([busy, Replica("new", in_flight=1)]).name for _ in range(50)} == {"new"}
    both = [Replica("more", in_flight=2), Replica("less", in_flight=1)]
    assert {chooser.choose(both).name for _ in range(50)} == {"less"}


def test_server_that_was_slow_once_is_used_again() -> None:
    """Its peak decays while it is avoided."""

    def part_of_a(count: int) -> float:
        servers = [Simulated("a"), Simulated("b")]
        servers[0].average.observe(5.0, 0.0)
        chosen, _ = simulate(Fastest(random.Random(1)), servers, per_s=20, count=count)
        return chosen["a"] / chosen.total()

    assert part_of_a(1_000) < 0.02  # 50 seconds
    assert part_of_a(20_000) == pytest.approx(0.5, abs=0.1)  # 1000 seconds; 5 s have become 10 ms after 62


# ---------------------------------------------------------------- latency and warm-up


def test_peak_counts_at_once_and_wanes() -> None:
    """Up in one step; down by 1/e in `decay_s`, with answers or without."""
    average = PeakEwma(10.0)
    assert average.value(50.0) == 0.0
    average.observe(0.01, 100.0)
    average.observe(1.0, 100.0)
    assert average.value(100.0) == 1.0
    assert average.value(110.0) == pytest.approx(1 / math.e)
    assert average.value(110.0) == pytest.approx(1 / math.e), "reading changes nothing"
    average.observe(0.1, 110.0)
    assert average.value(110.0) == pytest.approx(0.1 + 0.9 / math.e)
    average.observe(0.1, 110.0)
    assert average.value(110.0) == pytest.approx(0.1 + 0.9 / math.e), "many answers in an instant are worth no more than one"
    assert average.value(1e9) == 0.0


def test_average_settles_at_a_steady_latency() -> None:
    """After a peak, frequent answers of 20 ms make it 20 ms."""
    average = PeakEwma(10.0)
    average.observe(3.0, 0.0)
    for i in range(1, 1_001):
        average.observe(0.02, i / 10)
    assert average.value(100.0) == pytest.approx(0.02, rel=0.02)


def test_answers_may_be_counted_out_of_order() -> None:
    """A time before the last one does not make the average grow."""
    average = PeakEwma(10.0)
    average.observe(1.0, 100.0)
    average.observe(0.5, 90.0)
    assert average.value(90.0) == average.value(100.0) == 1.0
    assert average.value(110.0) == pytest.approx(1 / math.e)


@pytest.mark.parametrize("decay_s", [0.0, -1.0, math.nan])
def test_decay_must_be_above_zero(decay_s: float) -> None:
    """Said when it is made, not at the first answer."""
    with pytest.raises(ValueError, match="above 0"):
        PeakEwma(decay_s)


@pytest.mark.parametrize(
    ("now", "duration_s", "factor"),
    [(100, 60, 0.1), (130, 60, 0.55), (145, 60, 0.775), (160, 60, 1.0), (1e9, 60, 1.0), (90, 60, 0.1), (100, 0, 1.0), (90, 0, 1.0)],
)
def test_weight_grows_linearly_in_a_warm_up(now: float, duration_s: float, factor: float) -> None:
    """From a tenth to the whole for a server that came back at 100; without a duration it is the whole at once."""
    assert warm_up(100.0, now, duration_s) == pytest.approx(factor)
