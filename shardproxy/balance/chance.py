"""Balancing by chance: no memory, and no two proxies that fall into step."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from shardproxy.balance.target import T, Target


def _draw(servers: Sequence[T], weights: Sequence[float], rng: random.Random) -> T:
    """One of the servers with a probability in proportion to its weight; those of weight 0 never. Not all may be 0."""
    left = rng.random() * sum(weights)
    chosen = servers[0]
    for server, weight in zip(servers, weights, strict=True):
        if weight > 0:
            chosen = server
            left -= weight
            if left < 0:
                break
    return chosen  # the last one above 0 where rounding has left a remainder


class Random:
    """Each server with the same probability."""

    uses_key: bool = False

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()

    def choose(self, servers: Sequence[T], key: bytes = b"") -> T:
        """Any of the servers."""
        return servers[int(self._rng.random() * len(servers))]


class WeightedRandom:
    """Each server with a probability in proportion to its weight."""

    uses_key: bool = False

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()

    def choose(self, servers: Sequence[T], key: bytes = b"") -> T:
        """Any of the servers, the heavier ones more often."""
        return _draw(servers, [server.weight for server in servers], self._rng)


class Reported:
    """Each server with a probability in proportion to the weight that it reports; the configured weights stand in for none.

    The idea is LVS's feedbackd and HAProxy's agent-check: the node knows best how much more it can take.
    """

    uses_key: bool = False

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()

    def choose(self, servers: Sequence[T], key: bytes = b"") -> T:
        """Any of the servers, those that report more more often."""
        return _draw(servers, _reported_weights(servers), self._rng)


def _reported_weights(servers: Sequence[Target]) -> list[float]:
    """The weights reported; for a node that reports none, the mean of those that do.

    A node that reports 0 gets nothing while any other can be used; where that leaves only nodes that report nothing, they share
    by configured weight, and so do all where all report 0. What is not a finite number from 0 is no report.
    """
    reports = [server.reported for server in servers]
    known = [report for report in reports if report is not None and 0 <= report < math.inf]
    total = sum(known)
    if total > 0:
        mean = total / len(known)
        return [report if report is not None and 0 <= report < math.inf else mean for report in reports]
    silent_only = 0 < len(known) < len(reports)
    return [0.0 if silent_only and report == 0 else server.weight for server, report in zip(servers, reports, strict=True)]
