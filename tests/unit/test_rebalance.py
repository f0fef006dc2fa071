"""The rebalance planner over buckets: what moves is what has to, every shard gets its share, and nobody disagrees about it."""

import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardproxy.topology.distribute import distribute
from shardproxy.topology.hashing import BUCKETS
from shardproxy.topology.rebalance import GroupLoad, RebalancePlan, apply_move, owner_parts, plan_rebalance
from shardproxy.topology.share import Share
from shardproxy.topology.topology import RangeMap

Owners = tuple[str, ...]


def equal(count: int) -> dict[str, float]:
    """So many shards of one weight."""
    return {f"s{number}": 1.0 for number in range(count)}


def plan_for(owners: Owners, weights: Mapping[str, float], costs: tuple[float, ...] | None = None, **options: object) -> RebalancePlan:
    """The plan of one hash group."""
    loads = {} if costs is None else {"g": GroupLoad(buckets=costs)}
    return plan_rebalance(({"g": owners}, {}), weights, loads, **options)  # type: ignore[arg-type]


def loads_of(owners: Owners, costs: tuple[float, ...] | None = None) -> dict[str, float]:
    """Cost by shard."""
    result: dict[str, float] = {}
    for owner, cost in zip(owners, costs or (1.0,) * len(owners), strict=True):
        result[owner] = result.get(owner, 0.0) + cost
    return result


def must_move(before: Owners, weights: Mapping[str, float], costs: tuple[float, ...] | None = None) -> float:
    """What leaves the shards that have more than their exact share: less cannot do."""
    total, whole = sum(costs or (1.0,) * len(before)), sum(weights.values())
    return sum(max(0.0, load - total * weights.get(name, 0.0) / whole) for name, load in loads_of(before, costs).items())


def assert_consistent(plan: RebalancePlan, before: Owners) -> None:
    """The moves are exactly the difference of the maps, each bucket in one of them, and their order makes no difference."""
    after = plan.hash_maps["g"]
    changed = {bucket: (old, new) for bucket, (old, new) in enumerate(zip(before, after, strict=True)) if old != new}
    told = {bucket: (move.source, move.target) for move in plan.moves for bucket in move.share.buckets}
    assert told == changed
    assert sum(move.share.size for move in plan.moves) == len(changed)
    for moves in (plan.moves, plan.moves[::-1]):
        maps: tuple[dict[str, Owners], dict[str, RangeMap]] = ({"g": before}, {})
        for move in moves:
            assert move.share.buckets <= owner_parts(*maps, "g", move.source).buckets
            maps = apply_move(*maps, "g", move.share, move.target)
        assert maps == (plan.hash_maps, plan.range_maps)


# ---------------------------------------------------------------- by count

CASES = [
    (equal(3), equal(4)),
    (equal(4), equal(3)),
    (equal(10), equal(11)),
    (equal(11), equal(10)),
    (equal(50), equal(51)),
    (equal(51), equal(50)),
    (equal(2), equal(3)),
    (equal(3), equal(2)),
    (equal(3), {"s0": 1.0, "s1": 2.0, "s2": 1.0}),
    ({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0, "c": 4.0}),
    ({"a": 0.3, "b": 0.7, "c": 2.5}, {"b": 0.7, "c": 1.0, "d": 0.7}),
    (equal(4), {f"t{number}": 1.0 for number in range(4)}),
]


@pytest.mark.parametrize("ones", [False, True], ids=["no load", "equal loads"])
@pytest.mark.parametrize(("old", "new"), CASES, ids=lambda weights: str(len(weights)))
def test_least_is_moved_and_every_quota_met(old: dict[str, float], new: dict[str, float], ones: bool) -> None:
    """Within 1 % of what has to move, nobody more than 2 % over its share, and nothing left to do."""
    costs = (1.0,) * BUCKETS if ones else None
    before = distribute(old, BUCKETS)
    plan = plan_for(before, new, costs)
    assert plan.moved["g"] <= 1.01 * must_move(before, new)
    assert plan.moved["g"] == plan.optimum["g"]
    assert plan.total["g"] == BUCKETS
    assert plan.peak["g"] <= 1.02
    after = loads_of(plan.hash_maps["g"])
    whole = sum(new.values())
    assert all(abs(after.get(name, 0) - BUCKETS * weight / whole) < 1 for name, weight in new.items())
    assert plan.peak["g"] == pytest.approx(max(after[name] * whole / BUCKETS / new[name] for name in new))
    assert_consistent(plan, before)
    again = plan_for(plan.hash_maps["g"], new, costs)
    assert (again.moves, again.hash_maps, again.moved) == ((), plan.hash_maps, {"g": 0.0})


def test_one_move_for_each_pair_of_shards_and_few_pairs() -> None:
    """Each move has a cut-over of its own: two new shards do not each take from all ten."""
    plan = plan_for(distribute(equal(10), BUCKETS), equal(12))
    pairs = [(move.source, move.target) for move in plan.moves]
    assert len(set(pairs)) == len(pairs) <= 11
    assert pairs == sorted(pairs)


def test_first_map_is_left_alone() -> None:
    """What the file seeded is balanced, whoever got the odd bucket."""
    for count in (2, 3, 7, 50):
        assert plan_for(distribute(equal(count), BUCKETS), equal(count)).moves == ()


def test_odd_bucket_stays_where_it_is() -> None:
    """Of 4096 buckets one of three shards has one more; which one is no reason to move any."""
    for rotated in ("abc", "bca", "cab"):
        owners = tuple(rotated[bucket % 3] for bucket in range(BUCKETS))
        assert plan_for(owners, {"a": 1, "b": 1, "c": 1}).moves == ()


def test_groups_differ_in_who_gets_the_odd_bucket() -> None:
    """Otherwise one shard would have one more of each."""
    maps = {f"g{number}": ("old",) * 100 for number in range(30)}
    plan = plan_rebalance((maps, {}), equal(3))
    odd = [max(equal(3), key=owners.count) for owners in plan.hash_maps.values()]
    assert len(set(odd)) == 3


@pytest.mark.parametrize("how", ["draining", "not named", "weight 0"])
def test_shard_that_goes_ends_up_with_nothing(how: str) -> None:
    """In whichever way that is said."""
    before = distribute(equal(4), BUCKETS)
    weights = equal(3) if how == "not named" else equal(3) | {"s3": 0.0 if how == "weight 0" else 1.0}
    plan = plan_for(before, weights, draining={"s3"} if how == "draining" else ())
    assert "s3" not in plan.hash_maps["g"]
    assert {move.source for move in plan.moves} == {"s3"}


def test_only_the_wanted_groups_are_planned() -> None:
    """The maps of the others are given as they are."""
    maps = {"g": ("a",) * 8, "h": ("a",) * 8}
    ranges = {"r": RangeMap((5,), ("a", "a"))}
    plan = plan_rebalance((maps, ranges), {"a": 1, "b": 1}, groups=["h"])
    assert {move.group for move in plan.moves} == set(plan.moved) == set(plan.total) == {"h"}
    assert plan.hash_maps["g"] is maps["g"]
    assert plan.range_maps == ranges


def test_large_moves_are_cut() -> None:
    """Into parts of at most so much, none of them empty, which together are the move."""
    before = distribute(equal(3), BUCKETS)
    whole, cut = plan_for(before, equal(4)), plan_for(before, equal(4), max_cost=100.0)
    assert cut.hash_maps == whole.hash_maps
    assert all(0 < move.cost == move.share.size <= 100 for move in cut.moves)
    for pair in {(move.source, move.target) for move in whole.moves}:
        parts = [move.share for move in cut.moves if (move.source, move.target) == pair]
        assert len(parts) == 4
        assert frozenset[int]().union(*(part.buckets for part in parts)) == next(
            move.share.buckets for move in whole.moves if (move.source, move.target) == pair
        )
    assert_consistent(cut, before)


def test_what_is_larger_than_a_move_is_a_move_alone() -> None:
    """A bucket cannot be cut."""
    plan = plan_for(("a",) * 6, {"b": 1}, (9.0, 1.0, 1.0, 9.0, 1.0, 9.0), max_cost=2.5)
    assert [move.cost for move in plan.moves] == [9.0, 2.0, 9.0, 1.0, 9.0]


@pytest.mark.parametrize("costs", [None, "uneven"])
def test_plan_takes_less_than_a_second(costs: str | None) -> None:
    """Three groups over fifty shards that become fifty-one, or forty. Processor time, so that a busy machine does not matter."""
    rng = random.Random(3)
    maps = {name: distribute(equal(50), BUCKETS) for name in "ghi"}
    loads = {name: GroupLoad(buckets=tuple(rng.expovariate(1.0) for _ in range(BUCKETS))) for name in maps} if costs else {}
    for count in (51, 40):
        start = time.process_time()
        plan_rebalance((maps, {}), equal(count), loads)
        assert time.process_time() - start < 1


# ---------------------------------------------------------------- the same everywhere

_SCRIPT = """
import json, random
from shardproxy.topology.distribute import distribute
from shardproxy.topology.rebalance import Cell, GroupLoad, plan_rebalance
from shardproxy.topology.topology import RangeMap
rng = random.Random(1)
names = [f"s{n}" for n in range(12)]
weights = {name: rng.choice([1, 2, 0.3]) for name in names}
hashed = {g: distribute(weights, 4096) for g in ("a", "b", "c")}
ranges = {"r": RangeMap(tuple(range(10, 300, 10)), tuple(rng.choice(names) for _ in range(30)))}
cells = tuple(Cell(n or None, n + 1 if n < 299 else None, rng.random()) for n in range(300))
loads = {"b": GroupLoad(buckets=tuple(rng.paretovariate(1.1) for _ in range(4096))), "r": GroupLoad(cells=cells)}
loads["c"] = GroupLoad(buckets=tuple(rng.choice([0.0, 0.0, 1.0, 3.0]) for _ in range(4096)))
order = names[1:] + ["new", "other"]
rng = random.Random(SEED)
rng.shuffle(order)
draining = {name for name in ("s3", "s7")}
plan = plan_rebalance((hashed, ranges), {name: weights.get(name, 1.0) for name in order}, loads, draining=draining)
moves = [(m.group, m.source, m.target, sorted(m.share.buckets), m.share.intervals, m.cost) for m in plan.moves]
print(json.dumps([moves, plan.hash_maps, repr(plan.range_maps), plan.moved, plan.optimum, plan.peak]))
"""


def test_every_process_makes_the_same_plan() -> None:
    """Whatever the seed of its hashes, and in whatever order the shards are named."""
    found: set[str] = set()
    for seed in ("0", "1", "77", "random"):
        script = _SCRIPT.replace("SEED", str(len(found)) if seed == "random" else seed)
        env = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
        assert len(json.loads(done.stdout)[0]) > 20
        found.add(done.stdout)
    assert len(found) == 1


# ---------------------------------------------------------------- histories

names = st.sampled_from([f"s{number}" for number in range(12)])
histories = st.lists(st.dictionaries(names, st.sampled_from([0.25, 1.0, 1.5, 2.0, 7.0]), min_size=1, max_size=8), min_size=2, max_size=6)
sizes = st.sampled_from([64, 509, 1024])


@settings(deadline=None, max_examples=120)
@given(histories, sizes)
def test_history_of_weights_moves_what_it_must(history: list[dict[str, float]], count: int) -> None:
    """Shards come, go and change their weight: each step moves at most one bucket for each shard more than it has to."""
    owners = distribute(history[0], count)
    for weights in history[1:]:
        plan = plan_for(owners, weights)
        after = plan.hash_maps["g"]
        assert plan.moved["g"] <= must_move(owners, weights) + len(weights)
        counts, whole = loads_of(after), sum(map(Fraction, weights.values()))
        assert all(abs(counts.get(name, 0) - count * Fraction(weight) / whole) < 1 for name, weight in weights.items())
        assert set(after) <= set(weights)
        assert_consistent(plan, owners)
        assert plan_for(after, weights).moves == ()
        owners = after


# Whole numbers, so that sums are exact and a group can be split over shards evenly, unevenly, or not at all.
skewed = st.lists(st.sampled_from([0, 1, 1, 1, 2, 3, 10, 100]), min_size=16, max_size=200)


@settings(deadline=None, max_examples=150)
@given(st.data(), histories, skewed)
def test_history_of_costs_comes_to_rest(data: st.DataObject, history: list[dict[str, float]], costs: list[int]) -> None:
    """Whatever the costs are, a second plan finds nothing to do."""
    measured = tuple(float(cost) for cost in costs)
    owners = tuple(data.draw(st.sampled_from(sorted(history[0]))) for _ in costs)
    for weights in history[1:]:
        plan = plan_for(owners, weights, measured)
        after = plan.hash_maps["g"]
        assert_consistent(plan, owners)
        assert set(after) <= set(weights)
        again = plan_for(after, weights, measured)
        assert again.moves == ()
        assert again.hash_maps == plan.hash_maps
        assert plan.moved["g"] >= plan.optimum["g"] - 1e-9
        owners = after


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("weights", "options"),
    [
        ({}, {}),
        ({"a": 0.0}, {}),
        ({"a": 1.0}, {"draining": ["a"]}),
        ({"a": -1.0, "b": 1.0}, {}),
        ({"a": float("nan")}, {}),
        ({"a": float("inf")}, {}),
        ({"a": 1.0}, {"threshold": 1.0}),
        ({"a": 1.0}, {"threshold": -0.1}),
        ({"a": 1.0}, {"max_cost": 0.0}),
        ({"a": 1.0}, {"loads": {"g": GroupLoad(buckets=(1.0,))}}),
        ({"a": 1.0}, {"loads": {"g": GroupLoad(buckets=(1.0, -1.0))}}),
        ({"a": 1.0}, {"loads": {"g": GroupLoad(buckets=(1.0, float("nan")))}}),
        ({"a": 1.0}, {"loads": {"g": GroupLoad(cells=())}}),
        ({"a": 1.0}, {"loads": {"r": GroupLoad(buckets=(1.0, 1.0))}}),
    ],
)
def test_what_makes_no_sense_is_refused(weights: dict[str, float], options: dict[str, object]) -> None:
    """Before anything moves because of it."""
    maps = ({"g": ("a", "b")}, {"r": RangeMap((5,), ("a", "b"))})
    with pytest.raises(ValueError, match=r"."):
        plan_rebalance(maps, weights, **options)  # type: ignore[arg-type]


def test_group_that_is_not_there_is_refused() -> None:
    """Misspelt, it would seem balanced."""
    maps: tuple[dict[str, Owners], dict[str, RangeMap]] = ({"g": ("a", "b")}, {})
    with pytest.raises(KeyError, match="users"):
        plan_rebalance(maps, {"a": 1}, groups=["users"])
    with pytest.raises(KeyError, match="users"):
        plan_rebalance(maps, {"a": 1}, {"users": GroupLoad()})
    with pytest.raises(KeyError, match="users"):
        apply_move(*maps, "users", Share(frozenset({1})), "a")


@pytest.mark.parametrize("share", [Share(frozenset({2})), Share(frozenset({-1})), Share(everything=True), Share(intervals=((1, 2),))])
def test_share_that_is_no_part_of_the_map_is_refused(share: Share) -> None:
    """Whoever asks for it means another map."""
    with pytest.raises(ValueError, match=r"."):
        apply_move({"g": ("a", "b")}, {}, "g", share, "a")


@settings(deadline=None, max_examples=60)
@given(st.permutations(range(6)))
def test_moves_commute(order: list[int]) -> None:
    """Any order of them leads to the plan's map."""
    before = distribute(equal(3), 256)
    plan = plan_for(before, equal(5), max_cost=20.0)
    assert len(plan.moves) >= 6
    maps: tuple[dict[str, Owners], dict[str, RangeMap]] = ({"g": before}, {})
    for move in itertools.chain((plan.moves[index] for index in order), plan.moves[6:]):
        maps = apply_move(*maps, "g", move.share, move.target)
    assert maps[0] == plan.hash_maps
