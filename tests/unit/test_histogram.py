"""Counting how long things take."""

import pytest

from shardproxy.telemetry.counters import LATENCY_BOUNDS_S, Histogram


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.0001, 0), (0.00011, 1), (0.001, 3), (0.0011, 4), (10.0, 15), (10.1, 16), (1e9, 16)]
)
def test_value_falls_into_the_bucket_whose_bound_it_does_not_pass(seconds: float, bucket: int) -> None:
    """A bound belongs to its bucket, as Prometheus has it; the last bucket has no bound."""
    histogram = Histogram()
    histogram.observe(seconds)
    assert [i for i, n in enumerate(histogram.buckets) if n] == [bucket]


def test_values_are_counted_and_added_up() -> None:
    """Each in one bucket only."""
    histogram = Histogram()
    assert (histogram.count, histogram.total) == (0, 0.0)
    for seconds in (0.5, 0.25, 20.0):
        histogram.observe(seconds)
    assert histogram.count == 3
    assert histogram.total == 20.75


def test_bounds_grow() -> None:
    """Else the buckets would overlap."""
    assert list(LATENCY_BOUNDS_S) == sorted(set(LATENCY_BOUNDS_S))
    assert len(Histogram().buckets) == len(LATENCY_BOUNDS_S) + 1
