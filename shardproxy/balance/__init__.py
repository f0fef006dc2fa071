"""Which of several servers gets a statement: the balancing algorithms, and what they know of a server. Pure, but for their memory.

`ALGORITHMS` has them under the names by which HAProxy's and LVS's users know them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from shardproxy.balance.chance import Random, Reported, WeightedRandom
from shardproxy.balance.hashed import ConsistentHash, Hash
from shardproxy.balance.latency import PeakEwma, warm_up
from shardproxy.balance.load import Fastest, LeastConnections
from shardproxy.balance.target import Balancer, Target
from shardproxy.balance.turns import RoundRobin, WeightedRoundRobin

__all__ = ["ALGORITHMS", "Balancer", "PeakEwma", "Target", "balancer", "warm_up"]

ALGORITHMS: Final[Mapping[str, Callable[[], Balancer]]] = {
    "round_robin": RoundRobin,
    "weighted_round_robin": WeightedRoundRobin,
    "random": Random,
    "weighted_random": WeightedRandom,
    "hash": Hash,
    "consistent_hash": ConsistentHash,
    "least_connections": LeastConnections,
    "fastest": Fastest,
    "reported": Reported,
}


def balancer(name: str) -> Balancer:
    """A new balancer of that name; raises ValueError where there is none."""
    factory = ALGORITHMS.get(name)
    if factory is None:
        raise ValueError(f"there is no balancing algorithm {name!r}; there are {', '.join(ALGORITHMS)}")
    return factory()
