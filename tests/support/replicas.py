"""Servers to choose among, and what shall come of it."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from shardproxy.balance import Balancer, balancer
from shardproxy.balance.chance import Random, Reported, WeightedRandom
from shardproxy.balance.load import Fastest

CHANCES: dict[str, Callable[[random.Random], Balancer]] = {
    "random": Random,
    "weighted_random": WeightedRandom,
    "reported": Reported,
    "fastest": Fastest,
}


@dataclass
class Replica:
    """A server as a test wants it."""

    name: str
    weight: float = 1.0
    in_flight: int = 0
    latency: float = 0.0
    reported: float | None = None


def seeded(name: str) -> Balancer:
    """The balancer of that name; where it is one of chance, with chances that are the same in every run."""
    return CHANCES[name](random.Random(20)) if name in CHANCES else balancer(name)


def replicas(*weights: float) -> list[Replica]:
    """Idle servers a, b, c … with these weights."""
    return [Replica("abcdefghijklmnopqrstuvwxyz"[i], weight) for i, weight in enumerate(weights)]


def keys(count: int) -> list[bytes]:
    """Client addresses as they are in one network."""
    return [b"10.%d.%d.%d" % (i >> 16, i >> 8 & 255, i & 255) for i in range(count)]


def names(chooser: Balancer, servers: Sequence[Replica], count: int) -> str:
    """The names of that many choices."""
    return "".join(chooser.choose(servers).name for _ in range(count))


def assert_shares(chosen: Counter[str], expected: dict[str, float]) -> None:
    """Each server has its share to within 2 % of it."""
    assert set(chosen) <= set(expected)
    for name, part in expected.items():
        assert chosen[name] / chosen.total() == pytest.approx(part / sum(expected.values()), rel=0.02)
