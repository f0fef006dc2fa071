"""Balancing by load: the server that has least to do, or that will answer soonest."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from shardproxy.balance.target import T, Target
from shardproxy.balance.turns import WeightedRoundRobin


class LeastConnections:
    """The server with the fewest statements in flight per weight; equals take turns by weight.

    As HAProxy's leastconn and LVS's wlc. Turns matter more than they seem to: at low load all servers are idle whenever one is
    chosen, and without turns the first would get everything.
    """

    uses_key: bool = False

    def __init__(self) -> None:
        self._turns = WeightedRoundRobin()

    def choose(self, servers: Sequence[T], key: bytes = b"") -> T:
        """The least loaded server."""
        least = math.inf
        equals: list[T] = []
        for server in servers:
            load = server.in_flight / server.weight
            if load < least:
                least = load
                equals = [server]
            elif load == least:
                equals.append(server)
        return equals[0] if len(equals) == 1 else self._turns.choose(equals)


class Fastest:
    """Of two servers drawn by chance, the one where latency × (in flight + 1) / weight is the smaller.

    Peak EWMA with the power of two choices, as Finagle's and linkerd's (Mitzenmacher, "The Power of Two Choices in Randomized
    Load Balancing", IEEE TPDS 2001). Two by chance rather than the best of all, because the numbers of all are a little old, and
    proxies that all believe them would overrun the same server. Of three idle servers the slowest is used again when its latency
    has decayed below another's. Weights show under load only: of two idle servers, the better one gets every statement.
    """

    uses_key: bool = False

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()

    def choose(self, servers: Sequence[T], key: bytes = b"") -> T:
        """The better of two; of equals, the one drawn first."""
        count = len(servers)
        if count == 1:
            return servers[0]
        draw = self._rng.random
        i = int(draw() * count)
        j = int(draw() * (count - 1))
        one, other = servers[i], servers[j + (j >= i)]
        one_s, other_s = one.latency, other.latency
        return one if _cost(one, one_s, other_s) <= _cost(other, other_s, one_s) else other


def _cost(server: Target, latency: float, other: float) -> float:
    """Seconds until it may be expected to answer, per weight.

    An idle server of unknown latency costs nothing, so that it is tried; one that has not answered its first statement yet counts
    as being as fast as the other, so that it is neither overrun meanwhile nor left alone for as long as that statement takes.
    """
    waiting = server.in_flight
    if latency <= 0.0:
        latency = (other if other > 0.0 else 1.0) if waiting else 0.0
    return latency * (waiting + 1) / server.weight
