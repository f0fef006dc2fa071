"""`python -m benchmarks.rebalance_plan`: what a rebalance moves and how even it leaves the shards, beside a hash ring.

Needs no server and takes seconds. The figures are of plans, so they are the same on every machine, but for the times. The ring is
ketama's, the usual way to spread keys over memcached: 160 points for each server, as libketama places them. Its figures are exact,
from the arcs between points; as they depend on the servers' names, they are of twenty fleets with names of their own.
"""

import itertools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import md5

from benchmarks.report import Table, number, spread
from shardproxy.topology.distribute import distribute
from shardproxy.topology.hashing import BUCKETS
from shardproxy.topology.rebalance import Cell, GroupLoad, RebalancePlan, plan_rebalance
from shardproxy.topology.topology import RangeMap

Weights = Mapping[str, float]

_ROUNDS = 9
_POINTS = 160
_RINGS = 20
_RING = 1 << 32


def main() -> None:
    """Print the tables."""
    for table in tables():
        print(table.markdown())


def tables() -> list[Table]:
    """Buckets by count, buckets by cost, and ranges."""
    return [_by_count(), _by_cost(), _ranges()]


def _equal(count: int) -> dict[str, float]:
    return {f"s{index}": 1.0 for index in range(count)}


# ---------------------------------------------------------------- buckets


def _by_count() -> Table:
    table = Table(
        f"Rebalancing {BUCKETS} buckets by count, and a ring of {_POINTS} points a server",
        ("shards", "has to move", "moved", "moved/least", "peak/due", "moves", "plan, ms", "ring: moved/least", "peak/due"),
    )
    weighted = {"s0": 1.0, "s1": 1.0, "s2": 2.0, "s3": 4.0}
    cases: list[tuple[str, Weights, Weights]] = [
        *[(f"{old} → {new}", _equal(old), _equal(new)) for old, new in ((3, 4), (4, 3), (10, 11), (11, 10), (50, 51), (51, 50))],
        ("weights 1:1:2:4 → 1:1:2:4:2", weighted, weighted | {"s4": 2.0}),
        ("weights 1:1:2:4 → 2:1:2:4", weighted, weighted | {"s0": 2.0}),
    ]
    for title, old, new in cases:
        before = distribute(old, BUCKETS)
        plan, times = _timed(partial(plan_rebalance, ({"g": before}, {}), new))
        least = _least(old, new)
        moved = plan.moved["g"] / BUCKETS
        rings = [_ring_figures(old, new, f"{ring}-") for ring in range(_RINGS)]
        table.rows.append(
            [
                title,
                _percent(least),
                _percent(moved),
                number(moved / least, 3),
                number(plan.peak["g"], 3),
                number(len(plan.moves)),
                spread(times, 1),
                spread([ring_moved / least for ring_moved, _ in rings], 2),
                spread([ring_peak for _, ring_peak in rings], 2),
            ]
        )
    table.remarks.append("has to move: what any scheme moves that gives every shard exactly its share before and after.")
    table.remarks.append("peak/due: the busiest shard's part of everything over its due share. plan: processor time.")
    return table


def _by_cost() -> Table:
    table = Table(
        f"Rebalancing {BUCKETS} buckets by cost, within 2 %",
        ("costs, shards", "has to move", "moved", "peak/due before", "after", "moves", "plan, ms"),
    )
    rng = random.Random(1)
    zipf = [1.0 / (rank + 1) for rank in range(BUCKETS)]
    rng.shuffle(zipf)
    kinds = {
        "0.5 to 1.5": [rng.uniform(0.5, 1.5) for _ in range(BUCKETS)],
        "exponential": [rng.expovariate(1.0) for _ in range(BUCKETS)],
        "zipf": zipf,
    }
    for (kind, costs), (old, new) in itertools.product(kinds.items(), ((3, 4), (10, 11), (10, 10), (50, 51))):
        before = distribute(_equal(old), BUCKETS)
        load = {"g": GroupLoad(buckets=tuple(costs))}
        plan, times = _timed(partial(plan_rebalance, ({"g": before}, {}), _equal(new), load))
        loads = _loads(before, costs)
        due = sum(costs) / new
        least = sum(max(0.0, cost - due) for cost in loads.values()) / sum(costs)
        row = [_percent(least), _percent(plan.moved["g"] / sum(costs)), number(max(loads.values()) / due, 3), number(plan.peak["g"], 3)]
        table.rows.append([f"{kind}, {old} → {new}", *row, number(len(plan.moves)), spread(times, 1)])
    table.remarks.append("has to move: for shares that are met exactly. Less moves where shards within 2 % are left as they are.")
    table.remarks.append("The hottest bucket of zipf is 11 % of everything: where that is more than a share, no plan can be even.")
    return table


# ---------------------------------------------------------------- ranges


def _ranges() -> Table:
    table = Table(
        "Rebalancing ranges of 100 cells a shard by cost, within 2 %",
        ("shards", "has to move", "moved", "peak/due", "ranges before", "after", "plan, ms"),
    )
    for old, new in ((3, 4), (4, 3), (10, 11), (50, 51), (51, 50)):
        count = 100 * old
        before = RangeMap(tuple(range(100, count, 100)), tuple(_equal(old)))
        edges = [None, *range(1, count), None]
        load = {"r": GroupLoad(cells=tuple(Cell(low, high, 1.0) for low, high in itertools.pairwise(edges)))}
        plan, times = _timed(partial(plan_rebalance, ({}, {"r": before}), _equal(new), load))
        shares = [_percent(_least(_equal(old), _equal(new))), _percent(plan.moved["r"] / count), number(plan.peak["r"], 3)]
        table.rows.append([f"{old} → {new}", *shares, number(old), number(len(plan.range_maps["r"].owners)), spread(times, 1)])
    return table


# ---------------------------------------------------------------- figures


def _timed(plan: Callable[[], RebalancePlan]) -> tuple[RebalancePlan, list[float]]:
    """A plan, and what it took each time in milliseconds of processor time."""
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        found = plan()
        times.append((time.process_time() - start) * 1e3)
    return found, times


def _least(old: Weights, new: Weights) -> float:
    """The part of everything that leaves a shard when its share by weight falls."""
    whole_old, whole_new = sum(old.values()), sum(new.values())
    return sum(max(0.0, weight / whole_old - new.get(name, 0.0) / whole_new) for name, weight in old.items())


def _loads(owners: Sequence[str], costs: Sequence[float]) -> dict[str, float]:
    loads: dict[str, float] = {}
    for owner, cost in zip(owners, costs, strict=True):
        loads[owner] = loads.get(owner, 0.0) + cost
    return loads


def _percent(part: float) -> str:
    return f"{100 * part:.2f} %"


def _ring(weights: Weights, prefix: str) -> list[tuple[int, str]]:
    """Points on the ring in order, each with the server that owns the keys up to it. A digest gives four points."""
    whole = sum(weights.values())
    points: dict[int, str] = {}
    for name, weight in weights.items():
        for index in range(round(weight / whole * len(weights) * _POINTS / 4)):
            digest = md5(f"{prefix}{name}-{index}".encode(), usedforsecurity=False).digest()
            points.update({int.from_bytes(digest[at : at + 4], "little"): name for at in range(0, 16, 4)})
    return sorted(points.items())


def _ring_figures(old: Weights, new: Weights, prefix: str) -> tuple[float, float]:
    """The part of the ring whose owner changes, and afterwards the greatest ratio of a server's part to its due share."""
    before, after = _ring(old, prefix), _ring(new, prefix)
    edges = sorted({point for point, _ in (*before, *after)})
    moved, owned = 0, dict.fromkeys(new, 0)
    at_old = at_new = 0
    for low, high in itertools.pairwise([edges[-1] - _RING, *edges]):
        while at_old < len(before) and before[at_old][0] < high:
            at_old += 1
        while at_new < len(after) and after[at_new][0] < high:
            at_new += 1
        owner = after[at_new % len(after)][1]
        owned[owner] += high - low
        moved += (high - low) * (before[at_old % len(before)][1] != owner)
    whole = sum(new.values())
    return moved / _RING, max(owned[name] / _RING * whole / weight for name, weight in new.items())


if __name__ == "__main__":
    main()
