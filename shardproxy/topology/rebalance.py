"""The rebalance planner: which partitions have to move so that every shard has its share, and the maps after that.

Pure: maps, weights and costs in, a plan out, the same on every machine. Without costs the buckets of a hash group are balanced by
count, to the exact quota; with costs, buckets and cells of ranges are balanced by them, within a threshold. A shard gives or takes,
not both, so what moves is what has to move, and nothing moves between two shards that have their share. A plan is made again
from its own outcome until that changes nothing. `rebalance_buckets` and `rebalance_ranges` say how.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from shardproxy.topology.rebalance_apply import HashMaps, RangeMaps, apply_move, intervals_of, joined, owner_parts, range_map
from shardproxy.topology.rebalance_buckets import Scores, deal_buckets
from shardproxy.topology.rebalance_ranges import Cell, cell_parts, deal_cells, drain_ranges
from shardproxy.topology.rebalance_shares import due_weights, whole_costs
from shardproxy.topology.share import Interval, Share
from shardproxy.topology.topology import RangeMap

__all__ = ["THRESHOLD", "Cell", "GroupLoad", "PlannedMove", "RebalancePlan", "apply_move", "owner_parts", "plan_rebalance"]

# A shard that is off its share by less is left alone: measured costs change by as much from one look to the next.
THRESHOLD: Final = 0.02


@dataclass(frozen=True, slots=True)
class GroupLoad:
    """What is known of a group's partitions; exactly one of the two, in any one unit: rows, bytes, requests.

    `buckets`: a hash group's, one cost each. `cells`: a range group's, in order, covering the whole key space of its map, with a
    bound of a cell wherever the map has one. Ranges are only split where cells meet.
    """

    buckets: tuple[float, ...] | None = None
    cells: tuple[Cell, ...] | None = None


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """One move: the share of a group's key space that goes from one shard to another, and what it costs in the group's unit."""

    group: str
    source: str
    target: str
    share: Share
    cost: float


@dataclass(frozen=True, slots=True)
class RebalancePlan:
    """Moves, and the maps of all groups after all of them, in whatever order they are made.

    By group that was planned: `total` is the cost of everything, `moved` of what moves, and `optimum` the least that any plan to the
    same balance has to move; `peak` is the greatest ratio of a shard's cost to its due share afterwards, 1.0 at best. The unit
    is that of the group's load; without one it is buckets, or ranges.
    """

    moves: tuple[PlannedMove, ...]
    hash_maps: dict[str, tuple[str, ...]]
    range_maps: dict[str, RangeMap]
    moved: Mapping[str, float]
    optimum: Mapping[str, float]
    total: Mapping[str, float]
    peak: Mapping[str, float]


@dataclass(slots=True)
class _Outcome:
    """One group's partitions, be they buckets or cells: costs in the unit of the load, owners before and after."""

    group: str
    costs: Sequence[float]
    before: Sequence[str]
    after: Sequence[str]
    intervals: Sequence[Interval] = field(default=())

    def share(self, partitions: Sequence[int]) -> Share:
        """Partitions, in order, as a share."""
        if not self.intervals:
            return Share(buckets=frozenset(partitions))
        # Cells that follow one another in the map become one interval; their position less their rank is the same along such a row.
        parts = [(self.intervals[partition], str(partition - rank)) for rank, partition in enumerate(partitions)]
        return Share(intervals=tuple(interval for interval, _ in joined(parts)))

    def loads(self, owners: Sequence[str]) -> dict[str, float]:
        """The cost on each shard that owns anything."""
        parts: dict[str, list[float]] = {}
        for cost, owner in zip(self.costs, owners, strict=True):
            parts.setdefault(owner, []).append(cost)
        return {name: math.fsum(costs) for name, costs in parts.items()}


def plan_rebalance(
    topology_maps: tuple[HashMaps, RangeMaps],
    weights: Mapping[str, float],
    loads: Mapping[str, GroupLoad] | None = None,
    *,
    draining: Collection[str] = (),
    groups: Collection[str] | None = None,
    threshold: float = THRESHOLD,
    max_cost: float | None = None,
) -> RebalancePlan:
    """The moves after which every shard has its share of every group, by weight.

    `weights` names the shards that should own something; one that is `draining`, has weight 0 or is not named ends up with
    nothing. `groups` are those to plan, all by default. `threshold` is the part of its due share by which a shard may be off before
    anything moves; it does not apply where all buckets cost the same. `max_cost` cuts a move into several of at most so much each,
    except that a single partition is never cut. A range group without a load, or whose cells cost nothing, is not balanced, as the
    number of its ranges says nothing of their rows: it only gives away what has to go, and its unit is ranges.

    Raises ValueError for weights that leave no shard, for a threshold outside [0, 1), and for loads that do not fit their map; KeyError
    for a group that there is not.
    """
    hash_maps, range_maps = topology_maps
    loads = loads or {}
    if not 0 <= threshold < 1:
        raise ValueError(f"a threshold is a part of a share, from 0 to less than 1, not {threshold}")
    if max_cost is not None and not max_cost > 0:
        raise ValueError(f"a move costs more than nothing; {max_cost} as its most allows none")
    due = due_weights(weights, frozenset(draining))
    planned = sorted({*hash_maps, *range_maps} if groups is None else set(groups))
    unknown = [group for group in [*planned, *loads] if group not in hash_maps and group not in range_maps]
    if unknown:
        raise KeyError(unknown[0])
    scores = Scores()
    outcomes = []
    for group in planned:
        load = loads.get(group, GroupLoad())
        if group in hash_maps:
            outcomes.append(_hash_outcome(group, hash_maps[group], load, due, threshold, scores))
        else:
            outcomes.append(_range_outcome(group, range_maps[group], load, due, threshold))
    return _plan(dict(hash_maps), dict(range_maps), outcomes, due, max_cost)


def _hash_outcome(
    group: str, owners: tuple[str, ...], load: GroupLoad, weights: Mapping[str, Fraction], threshold: float, scores: Scores
) -> _Outcome:
    if load.cells is not None or (load.buckets is not None and len(load.buckets) != len(owners)):
        raise ValueError(f"the load of group {group!r} has to be one cost for each of its {len(owners)} buckets")
    costs = load.buckets if load.buckets is not None else (1.0,) * len(owners)
    return _Outcome(group, costs, owners, deal_buckets(group, weights, owners, whole_costs(costs), threshold, scores))


def _range_outcome(group: str, ranges: RangeMap, load: GroupLoad, weights: Mapping[str, Fraction], threshold: float) -> _Outcome:
    if load.buckets is not None:
        raise ValueError(f"group {group!r} is sharded by range; its load is one of cells")
    parts = [] if load.cells is None else cell_parts(ranges, load.cells)
    # Where there is nothing yet, ranges are as their operator set them; buckets are spread even then.
    if load.cells is None or not any(cell.cost for cell in load.cells):
        ones = (1.0,) * len(ranges.owners)
        after = drain_ranges(group, weights, ranges.owners)
        return _Outcome(group, ones, ranges.owners, after, [interval for interval, _ in intervals_of(ranges)])
    before = [owner for _, owner in parts]
    costs = [cell.cost for cell in load.cells]
    after = deal_cells(group, weights, before, whole_costs(costs), threshold)
    return _Outcome(group, costs, before, after, [interval for interval, _ in parts])


def _plan(
    hash_maps: dict[str, tuple[str, ...]],
    range_maps: dict[str, RangeMap],
    outcomes: Sequence[_Outcome],
    weights: Mapping[str, Fraction],
    max_cost: float | None,
) -> RebalancePlan:
    moves: list[PlannedMove] = []
    moved, optimum, total, peak = {}, {}, {}, {}
    whole = sum(weights.values())
    for outcome in outcomes:
        group = outcome.group
        before, after = outcome.loads(outcome.before), outcome.loads(outcome.after)
        total[group] = math.fsum(outcome.costs)
        changed = [cost for cost, old, new in zip(outcome.costs, outcome.before, outcome.after, strict=True) if old != new]
        moved[group] = math.fsum(changed)
        optimum[group] = math.fsum(max(0.0, load - after.get(name, 0.0)) for name, load in before.items())
        shares = {name: total[group] * float(weight / whole) for name, weight in weights.items()}
        peak[group] = max((after.get(name, 0.0) / share for name, share in shares.items() if share), default=1.0)
        moves += _moves(outcome, max_cost)
        if not changed:
            continue
        if outcome.intervals:
            range_maps[group] = range_map(zip(outcome.intervals, outcome.after, strict=True))
        else:
            hash_maps[group] = tuple(outcome.after)
    return RebalancePlan(tuple(moves), hash_maps, range_maps, moved, optimum, total, peak)


def _moves(outcome: _Outcome, max_cost: float | None) -> Iterator[PlannedMove]:
    """The changes of a group by source and target, in order of their names, cut where they would cost too much."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for partition, pair in enumerate(zip(outcome.before, outcome.after, strict=True)):
        if pair[0] != pair[1]:
            pairs.setdefault(pair, []).append(partition)
    for (source, target), partitions in sorted(pairs.items()):
        for part in _cut(partitions, outcome.costs, max_cost):
            cost = math.fsum(outcome.costs[partition] for partition in part)
            yield PlannedMove(outcome.group, source, target, outcome.share(part), cost)


def _cut(partitions: Sequence[int], costs: Sequence[float], max_cost: float | None) -> Iterable[list[int]]:
    """The partitions in parts of at most `max_cost`, in their order; one that costs more alone is a part alone."""
    part: list[int] = []
    spent = 0.0
    for partition in partitions:
        if part and max_cost is not None and spent + costs[partition] > max_cost:
            yield part
            part, spent = [], 0.0
        part.append(partition)
        spent += costs[partition]
    if part:
        yield part
