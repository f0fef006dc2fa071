"""The rebalance planner over ranges: contiguous parts, few bounds, and every key with one owner throughout."""

import datetime as dt
import itertools
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardproxy.topology.rebalance import THRESHOLD, Cell, GroupLoad, RebalancePlan, apply_move, owner_parts, plan_rebalance
from shardproxy.topology.share import Share
from shardproxy.topology.topology import RangeMap

ABC = RangeMap((300, 600), ("a", "b", "c"))
EQUAL = {"a": 1.0, "b": 1.0, "c": 1.0}


def grid(end: int, step: int = 1, cost: Callable[[int], float] = lambda _: 1.0, closed: bool = False) -> tuple[Cell, ...]:
    """Cells from 0 to `end`, open at both ends unless `closed`."""
    edges: list[object | None] = list(range(0, end + 1, step))
    if not closed:
        edges[0] = edges[-1] = None
    return tuple(Cell(low, high, cost(index * step)) for index, (low, high) in enumerate(itertools.pairwise(edges)))


def plan_for(ranges: RangeMap, weights: Mapping[str, float], cells: Sequence[Cell] | None, **options: object) -> RebalancePlan:
    """The plan of one range group."""
    loads = {} if cells is None else {"r": GroupLoad(cells=tuple(cells))}
    return plan_rebalance(({}, {"r": ranges}), weights, loads, **options)  # type: ignore[arg-type]


def owner_of(ranges: RangeMap, key: Any) -> str | None:
    """Who owns a key, by the plainest means there are."""
    if (ranges.start is not None and key < ranges.start) or (ranges.end is not None and key >= ranges.end):
        return None
    return ranges.owners[bisect_right(cast(tuple[Any, ...], ranges.bounds), key)]


def assert_consistent(plan: RebalancePlan, before: RangeMap, keys: Sequence[Any]) -> None:
    """Moves and map say the same of every key, the moves in any order lead to the map, and none of its neighbours are of one owner."""
    after = plan.range_maps["r"]
    assert (after.start, after.end) == (before.start, before.end)
    for key in keys:
        moves = [
            move
            for move in plan.moves
            for low, high in move.share.intervals
            if (low is None or low <= key) and (high is None or key < high)
        ]
        assert len(moves) <= 1
        assert owner_of(after, key) == (moves[0].target if moves else owner_of(before, key))
        assert not moves or moves[0].source == owner_of(before, key)
    if plan.moves:
        assert all(one != other for one, other in itertools.pairwise(after.owners))
        for order in (plan.moves, plan.moves[::-1]):
            maps: tuple[dict[str, tuple[str, ...]], dict[str, RangeMap]] = ({}, {"r": before})
            for move in order:
                maps = apply_move(*maps, "r", move.share, move.target)
            assert maps == (plan.hash_maps, plan.range_maps)
    else:
        assert after is before


def settled(plan: RebalancePlan, weights: Mapping[str, float], cells: Sequence[Cell] | None) -> bool:
    """Whether a second plan finds nothing to do."""
    again = plan_for(plan.range_maps["r"], weights, cells)
    return again.moves == () and again.range_maps == plan.range_maps


# ---------------------------------------------------------------- who gets what


@pytest.mark.parametrize(
    ("before", "weights", "after", "least"),
    [
        # The new shard takes what two others have next to each other as one range.
        (ABC, EQUAL | {"d": 1.0}, 5, 225),
        (RangeMap((225, 450, 675), tuple("adbc")), EQUAL, 4, 225),
        # Neighbours shift their bound, nothing else.
        (ABC, {"a": 1.0, "b": 2.0, "c": 1.0}, 3, 150),
        (ABC, {"a": 1.0, "b": 1.0, "d": 1.0}, 3, 300),
        (RangeMap((450,), ("a", "b")), EQUAL, 3, 300),
        (RangeMap((), ("a",)), EQUAL, 3, 600),
        (ABC, {"b": 1.0}, 1, 600),
    ],
)
def test_little_moves_in_few_ranges(before: RangeMap, weights: dict[str, float], after: int, least: int) -> None:
    """No more than has to, to the cell, and no bound that is not needed."""
    cells = grid(900)
    plan = plan_for(before, weights, cells)
    assert plan.moved["r"] == plan.optimum["r"] == least
    assert plan.peak["r"] == 1
    assert plan.total["r"] == 900
    assert len(plan.range_maps["r"].owners) == after
    assert_consistent(plan, before, range(900))
    assert settled(plan, weights, cells)


@pytest.mark.parametrize(("old", "new"), [(10, 11), (11, 10), (50, 51), (51, 50), (40, 50)])
def test_shards_come_and_go(old: int, new: int) -> None:
    """Within 1 % of what has to move, and nobody more than 2 % over its share."""
    weights = {f"s{number}": 1.0 for number in range(new)}
    before = RangeMap(tuple(100 * number for number in range(1, old)), tuple(f"s{number}" for number in range(old)))
    cells = grid(100 * old)
    plan = plan_for(before, weights, cells)
    assert plan.moved["r"] <= 1.01 * 100 * old * abs(old - new) / max(old, new)
    assert plan.peak["r"] <= 1.02
    pairs = {(move.source, move.target) for move in plan.moves}
    assert len(pairs) == len(plan.moves) <= max(old, new)
    assert_consistent(plan, before, range(0, 100 * old, 7))
    assert settled(plan, weights, cells)


def test_shard_that_came_leaves_few_bounds_when_it_goes() -> None:
    """Its parts go back to their neighbours."""
    before = RangeMap(tuple(range(100, 1000, 100)), tuple("abcdefghij"))
    ten = dict.fromkeys("abcdefghij", 1.0)
    grown = plan_for(before, ten | {"k": 1.0}, grid(1000)).range_maps["r"]
    assert len(grown.owners) <= 16
    assert len(plan_for(grown, ten, grid(1000)).range_maps["r"].owners) <= 11


def test_hot_end_is_split() -> None:
    """Keys that only grow make the last range the busiest; it is open-ended, and cells say where to cut it."""
    cells = grid(900, cost=lambda low: 5.0 if low >= 800 else 1.0)
    plan = plan_for(ABC, EQUAL | {"d": 1.0}, cells)
    assert plan.peak["r"] <= 1 + THRESHOLD
    assert plan.moved["r"] == plan.optimum["r"]
    assert plan.range_maps["r"].end is None
    assert len(set(plan.range_maps["r"].owners) & set("abcd")) == 4
    assert_consistent(plan, ABC, range(900))
    assert settled(plan, EQUAL | {"d": 1.0}, cells)


def test_hot_cell_stays_and_the_others_leave_it() -> None:
    """It is more than anybody's share; what lies around it goes, though it is in the middle."""
    cells = grid(900, cost=lambda low: 2000.0 if low == 650 else 1.0)
    weights = EQUAL | {"d": 1.0}
    plan = plan_for(ABC, weights, cells)
    assert owner_of(plan.range_maps["r"], 650) == "c"
    assert {move.source for move in plan.moves} == {"c"}
    assert plan.peak["r"] == pytest.approx(2000 / 2899 * 4, rel=0.02)
    assert settled(plan, weights, cells)


def test_coarse_cells_do_what_they_can() -> None:
    """Whole cells only; none is moved that would only swap who has too much."""
    cells = grid(900, 300)
    assert plan_for(ABC, EQUAL | {"d": 1.0}, cells).moves == ()
    plan = plan_for(RangeMap((), ("a",)), {"a": 1.0, "b": 1.0}, cells)
    assert plan.moved["r"] == 1
    assert settled(plan, {"a": 1.0, "b": 1.0}, cells)


def test_part_within_is_taken_where_the_ends_are_too_large() -> None:
    """Two bounds more, but otherwise nothing would fit."""
    costs = [60.0, *[1.0] * 60, 60.0]
    cells = grid(62, cost=lambda low: costs[low])
    before = RangeMap((62,), ("a", "b"))
    cells = (*cells[:-1], Cell(61, 62, 60.0), Cell(62, None, 120.0))
    plan = plan_for(before, {"a": 1.0, "b": 1.0}, cells)
    assert plan.peak["r"] <= 1 + THRESHOLD
    assert 0 < plan.moved["r"] <= 30
    assert_consistent(plan, before, range(-1, 70))


def test_going_shard_hands_its_ranges_to_neighbours_with_room() -> None:
    """Which leaves fewer ranges than there were."""
    before = RangeMap((100, 200, 300, 400), ("a", "d", "b", "d", "c"))
    plan = plan_for(before, {"a": 1.0, "b": 2.0, "c": 2.0, "e": 1e-6}, grid(500))
    assert plan.range_maps["r"].owners in (("a", "b", "c"), ("a", "b", "c", "e"))
    assert plan.moved["r"] <= 201


def test_without_a_load_only_what_has_to_go_moves() -> None:
    """Ranges differ in what they hold, so their number says nothing; but a shard that goes gives its own away."""
    before = RangeMap((100, 200, 300, 400), ("a", "a", "a", "d", "b"))
    assert plan_for(before, {"a": 1.0, "b": 1.0, "d": 1.0, "new": 1.0}, None).moves == ()
    weights = {"a": 1.0, "b": 1.0, "new": 0.5}
    plan = plan_for(before, weights, None)
    assert [(move.source, move.target, move.share.intervals, move.cost) for move in plan.moves] == [("d", "b", ((300, 400),), 1.0)]
    assert plan.range_maps["r"] == RangeMap((300,), ("a", "b"))
    assert settled(plan, weights, None)


def test_ranges_without_rows_stay_as_they_were_set() -> None:
    """A table that is still empty has its ranges from its operator."""
    cells = grid(900, 50, cost=lambda _: 0.0)
    assert plan_for(RangeMap((500,), ("a", "b")), EQUAL | {"d": 5.0}, cells).moves == ()
    plan = plan_for(ABC, {"a": 1.0, "b": 1.0}, cells)
    assert plan.range_maps["r"] == RangeMap((300,), ("a", "b"))
    assert_consistent(plan, ABC, range(0, 900, 10))


def test_more_shards_than_ranges_without_a_load() -> None:
    """Nothing is taken from those that stay."""
    before = RangeMap((100, 200), ("a", "b", "a"))
    weights = dict.fromkeys("abcdefgh", 1.0)
    assert plan_for(before, weights, None).moves == ()
    plan = plan_for(before, weights, None, draining={"b"})
    assert {move.source for move in plan.moves} == {"b"}
    assert len(plan.moves) == 1


def test_empty_ranges_leave_a_shard_that_goes() -> None:
    """Though they cost nothing."""
    before = RangeMap((100, 200, 300), ("d", "a", "d", "b"))
    cells = grid(400, 100, cost=lambda low: 0.0 if low in (0, 200) else 1.0)
    plan = plan_for(before, {"a": 1.0, "b": 1.0}, cells)
    assert set(plan.range_maps["r"].owners) == {"a", "b"}
    assert (plan.moved["r"], len(plan.range_maps["r"].owners)) == (0, 2)


def test_large_moves_are_cut_where_cells_meet() -> None:
    """Each part is an interval, and they add up."""
    plan = plan_for(RangeMap((), ("a",)), {"a": 1.0, "b": 1.0}, grid(1000), max_cost=120.0)
    assert [move.cost for move in plan.moves] == [120.0] * 4 + [20.0]
    assert all(move.share.size == 1 for move in plan.moves)
    assert_consistent(plan, RangeMap((), ("a",)), range(0, 1000, 3))


def test_plan_takes_less_than_a_second() -> None:
    """Five thousand cells on fifty shards that become forty."""
    rng = random.Random(3)
    owners = tuple(rng.choice([f"s{number}" for number in range(50)]) for _ in range(300))
    before = RangeMap(tuple(range(10, 3000, 10)), owners)
    cells = grid(3000, cost=lambda _: rng.expovariate(1.0))
    start = time.process_time()
    plan = plan_for(before, {f"s{number}": 1.0 for number in range(40)}, cells)
    assert time.process_time() - start < 1
    assert plan.peak["r"] <= 1.05


# ---------------------------------------------------------------- kinds of bounds

DAY = dt.date(2024, 1, 1)
NOON = dt.datetime(2024, 1, 1, 12)  # noqa: DTZ001  # as bounds are


@pytest.mark.parametrize(
    "edges",
    [
        list(range(-5, 6)),
        [chr(97 + number) for number in range(11)],
        [DAY + dt.timedelta(days=number) for number in range(11)],
        [NOON + dt.timedelta(hours=number) for number in range(11)],
    ],
    ids=lambda edges: type(edges[0]).__name__,
)
@pytest.mark.parametrize("closed", [False, True])
def test_bounds_are_what_the_config_has(edges: list[object], closed: bool) -> None:
    """Integers, strings, dates and times, with open ends or without."""
    start, end = (edges[0], edges[-1]) if closed else (None, None)
    cells = [Cell(low, high, 1.0) for low, high in itertools.pairwise([start, *edges[1:-1], end])]
    before = RangeMap((edges[5],), ("a", "b"), start, end)
    plan = plan_for(before, {"a": 1.0, "c": 1.0}, cells)
    assert plan.range_maps["r"] == RangeMap((edges[5],), ("a", "c"), start, end)
    assert plan.moves[0].share == Share(intervals=((edges[5], end),))
    assert_consistent(plan_for(before, {"a": 2.0, "b": 5.0, "c": 3.0}, cells), before, edges)


def test_dates_are_their_midnights() -> None:
    """A DATETIME column's map may have dates for bounds, while what was measured has times; the map's form stays."""
    day = [DAY + dt.timedelta(days=number) for number in range(4)]
    hours = [dt.datetime.combine(DAY, dt.time()) + dt.timedelta(hours=6 * number) for number in range(13)]
    before = RangeMap((day[1], day[2]), ("a", "b", "a"), day[0], day[3])
    cells = [Cell(low, high, 1.0) for low, high in itertools.pairwise(hours)]
    plan = plan_for(before, {"a": 1.0, "b": 1.0}, cells)
    after = plan.range_maps["r"]
    assert plan.moved["r"] == 2
    assert all(type(bound) in (dt.date, dt.datetime) for bound in after.bounds)
    assert (after.start, after.end) == (day[0], day[3])
    assert {day[1], day[2]} & set(after.bounds)
    maps: tuple[dict[str, tuple[str, ...]], dict[str, RangeMap]] = ({}, {"r": before})
    for move in plan.moves:
        maps = apply_move(*maps, "r", move.share, move.target)
    assert maps[1] == plan.range_maps


# ---------------------------------------------------------------- histories


@st.composite
def layouts(draw: st.DrawFn) -> tuple[RangeMap, tuple[Cell, ...]]:
    """A map and cells that fit it; some cells are empty, some are hot, and neighbours may be of one owner."""
    count = draw(st.integers(1, 60))
    costs = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.0, 2.0, 30.0]), min_size=count, max_size=count))
    ends = draw(st.tuples(st.booleans(), st.booleans()))
    edges: list[object | None] = [*range(count + 1)]
    edges[0], edges[-1] = (0 if ends[0] else None), (count if ends[1] else None)
    bounds = sorted(draw(st.sets(st.integers(1, count - 1), max_size=12))) if count > 1 else []
    owners = tuple(draw(st.sampled_from("abcdef")) for _ in range(len(bounds) + 1))
    cells = tuple(Cell(low, high, cost) for (low, high), cost in zip(itertools.pairwise(edges), costs, strict=True))
    return RangeMap(tuple(bounds), owners, edges[0], edges[-1]), cells


fleets = st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([0.5, 1.0, 1.0, 3.0]), min_size=1), min_size=1, max_size=4)


@settings(deadline=None, max_examples=200)
@given(layouts(), fleets, st.sampled_from([None, 1.0, 3.0]))
def test_history_keeps_every_key_with_one_owner(
    layout: tuple[RangeMap, tuple[Cell, ...]], history: list[dict[str, float]], most: float
) -> None:
    """Shards come, go and change their weight, and the ranges cover the same space."""
    ranges, cells = layout
    keys = [number - 0.5 for number in range(len(cells) + 2)] + [*range(len(cells) + 1)]
    for weights in history:
        plan = plan_for(ranges, weights, cells, max_cost=most)
        assert set(plan.range_maps["r"].owners) <= set(weights)
        assert_consistent(plan, ranges, keys)
        assert settled(plan, weights, cells)
        bare = plan_for(ranges, weights, None, max_cost=most)
        assert all(move.source not in weights for move in bare.moves)
        assert set(bare.range_maps["r"].owners) <= set(weights)
        assert settled(bare, weights, None)
        ranges = plan.range_maps["r"]


@settings(deadline=None, max_examples=100)
@given(layouts(), st.lists(st.tuples(st.integers(-1, 61), st.integers(-1, 61), st.sampled_from("xyz")), max_size=5))
def test_one_move_changes_what_it_says(layout: tuple[RangeMap, tuple[Cell, ...]], changes: list[tuple[int, int, str]]) -> None:
    """And nothing else, wherever its interval begins and ends; what is no part of the map is refused."""
    ranges, _ = layout
    keys = [number / 2 for number in range(-6, 130)]
    for low, high, target in changes:
        fits = low < high and (ranges.start is None or low >= ranges.start) and (ranges.end is None or high <= ranges.end)  # type: ignore[operator]
        if not fits:
            with pytest.raises(ValueError, match="interval"):
                apply_move({}, {"r": ranges}, "r", Share(intervals=((low, high),)), target)
            continue
        _, after = apply_move({}, {"r": ranges}, "r", Share(intervals=((low, high),)), target)
        for key in keys:
            assert owner_of(after["r"], key) == (target if low <= key < high else owner_of(ranges, key))
        assert all(one != other for one, other in itertools.pairwise(after["r"].owners))
        ranges = after["r"]


# ---------------------------------------------------------------- one move


def test_whole_key_space_is_an_interval() -> None:
    """None is an open end; where the map has none, it is refused."""
    assert apply_move({}, {"r": ABC}, "r", Share(intervals=((None, None),)), "z")[1] == {"r": RangeMap((), ("z",))}
    with pytest.raises(ValueError, match="interval"):
        apply_move({}, {"r": RangeMap((5,), ("a", "b"), 0, 9)}, "r", Share(intervals=((None, 5),)), "z")


def test_parts_of_an_owner() -> None:
    """Neighbouring ranges are one part."""
    ranges = {"r": RangeMap((10, 20, 30, 40), ("a", "a", "b", "a", "a"), 0)}
    assert owner_parts({}, ranges, "r", "a") == Share(intervals=((0, 20), (30, None)))
    assert owner_parts({}, ranges, "r", "b") == Share(intervals=((20, 30),))
    assert not owner_parts({}, ranges, "r", "z")
    assert owner_parts({"g": ("a", "b", "a")}, ranges, "g", "a") == Share(buckets=frozenset({0, 2}))


@pytest.mark.parametrize("share", [Share(buckets=frozenset({1})), Share(everything=True), Share(intervals=(("a", "b"),))])
def test_share_of_another_kind_is_refused(share: Share) -> None:
    """Buckets of ranges, strings of integers."""
    with pytest.raises(ValueError, match=r"."):
        apply_move({}, {"r": ABC}, "r", share, "a")


@pytest.mark.parametrize(
    "edges",
    [
        [],
        [None, 300],
        [None, 300, 600],
        [None, 300, 600, 900],
        [None, 600, None],
        [None, 300, 300, 600, None],
        [None, 400, 300, 600, None],
        [0, 300, 600, None],
        [None, 299, 600, None],
        [None, "300", "600", None],
        [None, 300, None, 600, None],
    ],
)
def test_cells_that_do_not_fit_the_map_are_refused(edges: list[object | None]) -> None:
    """With a gap, out of order, not to the end, beyond it, across a bound, of another type."""
    with pytest.raises(ValueError, match=r"."):
        plan_for(ABC, EQUAL, [Cell(low, high, 1.0) for low, high in itertools.pairwise(edges)])
