"""Counters and histograms as plain integers. The admin port turns them into Prometheus' format when it is asked."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

LATENCY_BOUNDS_S: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)


class Histogram:
    """How many observations fell into each bucket, and their sum. Values are seconds."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one value."""
        self.buckets[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        self.total += seconds

    def quantile_since(self, before: list[int], part: float) -> float:
        """The upper bound of the bucket below which that part of the values lies that were counted since `buckets` were `before`;
        0 without any, and twice the last bound beyond it."""
        fresh = [now - then for now, then in zip(self.buckets, before, strict=True)]
        wanted = sum(fresh) * part
        seen = 0
        for bound, count in zip((*LATENCY_BOUNDS_S, LATENCY_BOUNDS_S[-1] * 2), fresh, strict=True):
            seen += count
            if seen and seen >= wanted:
                return bound
        return 0.0

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.buckets)


class Metrics:
    """Everything that one process counts."""

    def __init__(self) -> None:
        self.connections_total = 0
        self.logins_failed = 0
        self.errors: Counter[str] = Counter()
        self.pins: Counter[str] = Counter()
        self.retries = 0
        self.latency = Histogram()
