"""Due shares of a group: how much each shard should own, and who has to give or take for that.

Costs are whole numbers here, whatever they measure. Sums of floats depend on their order; these do not, so a plan that is made
again from its own outcome finds nothing left to do, on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from typing import Final

# Rounds of dealing until one changes nothing. Large items make room for others, or take it, so that one round may not do: of many
# thousands of random maps and costs, none took more than eight.
ROUNDS: Final = 16
# What a group's costs add up to after scaling. The error of rounding, half a unit for each of a few thousand partitions, is far below
# anything that a measurement of rows or requests can tell.
_SCALE: Final = 1 << 52
# A shard is far over its share when it has more than one in so many too much.
_FAR: Final = 4


@dataclass(frozen=True, slots=True)
class Due:
    """What the shards that own anything should have.

    `fixed`: items so large that no shard's share holds them, and the shard that each has for itself. `share`: cost without fixed items,
    so 0 where there is one: everything else should leave. `size`: cost with them, at least 1; what a shard is off is relative to
    it. `slack`: how far off a shard may be without a reason to move anything.
    """

    share: dict[str, int]
    size: dict[str, int]
    slack: dict[str, int]
    fixed: dict[int, str]


@dataclass(frozen=True, slots=True)
class Needs:
    """How much cost each shard should give away or take. No shard is in both."""

    give: dict[str, int]
    take: dict[str, int]


def tie(group: str, name: str) -> bytes:
    """Decides between equals: the same everywhere, and another one in each group, so that no shard is first in all of them."""
    return sha256(f"{group}/{name}".encode()).digest()[:8]


def due_weights(weights: Mapping[str, float], draining: Collection[str]) -> dict[str, Fraction]:
    """The weights of the shards that should own something, in order of name.

    Raises ValueError where a weight is negative or no number, or no shard is left.
    """
    for name, weight in weights.items():
        if not math.isfinite(weight) or weight < 0:
            raise ValueError(f"the weight of shard {name!r} is {weight}; it is a number, 0 or more")
    found = {name: Fraction(weights[name]) for name in sorted(weights) if weights[name] > 0 and name not in draining}
    if not found:
        raise ValueError("no shard is left that may own anything")
    return found


def whole_costs(costs: Sequence[float]) -> list[int]:
    """Costs as whole numbers in the same proportions; what costs anything costs at least 1.

    All alike, they are all 1, so that they are balanced by count. Raises ValueError where one is negative or no number.
    """
    if not all(math.isfinite(cost) and cost >= 0 for cost in costs):
        raise ValueError("a cost is a number, 0 or more")
    if len(set(costs)) <= 1:
        return [1] * len(costs)
    # Exact, because the sum of large costs may be more than a float holds.
    total = sum(Fraction(cost) for cost in costs)
    return [max(1, round(Fraction(cost) * _SCALE / total)) if cost else 0 for cost in costs]


def apportion(group: str, weights: Mapping[str, Fraction], total: int, held: Mapping[str, int]) -> dict[str, int]:
    """Divide `total` by weight: to each its share rounded down or up, adding up exactly.

    Where rounding up is a choice, it goes to shards that `held` more than the lower number, so that nothing moves for the sake of
    a fraction; then by the largest remainder.
    """
    whole = sum(weights.values())
    exact = {name: total * weight / whole for name, weight in weights.items()}
    result = {name: int(share) for name, share in exact.items()}
    fractions = [name for name in exact if exact[name] > result[name]]
    fractions.sort(key=lambda name: (held.get(name, 0) <= result[name], result[name] - exact[name], tie(group, name)))
    for name in fractions[: total - sum(result.values())]:
        result[name] += 1
    return result


def due_shares(group: str, weights: Mapping[str, Fraction], costs: Mapping[int, int], owners: Sequence[str], threshold: float) -> Due:
    """What each shard should have of the items in `costs`, given who owns them now."""
    loads = loads_of(costs, owners)
    fixed = _fixed_items(group, weights, costs, owners, loads)
    for item in fixed:
        loads[owners[item]] -= costs[item]
    others = {name: weight for name, weight in weights.items() if name not in fixed.values()}
    share = apportion(group, others, sum(costs.values()) - sum(costs[item] for item in fixed), loads)
    size = {name: max(1, amount) for name, amount in share.items()} | {name: costs[item] for item, name in fixed.items()}
    slack = {name: int(Fraction(threshold) * amount) for name, amount in size.items()}
    return Due(share | dict.fromkeys(fixed.values(), 0), size, slack, fixed)


def plain_shares(group: str, weights: Mapping[str, Fraction], count: int, held: Mapping[str, int]) -> Due:
    """What each shard should have of `count` items that all cost 1; one more is as good."""
    share = apportion(group, weights, count, held)
    return Due(share, {name: max(1, amount) for name, amount in share.items()}, dict.fromkeys(share, 1), {})


def _fixed_items(
    group: str, weights: Mapping[str, Fraction], costs: Mapping[int, int], owners: Sequence[str], loads: Mapping[str, int]
) -> dict[int, str]:
    """Items that are more than any shard's share of what is left beside them, each with the shard that it fills alone.

    An item stays where it is if it can. Without this, the shares of all others would be out of reach, and the item would
    look like a surplus wherever it is.
    """
    left = sum(costs.values())
    free = dict(weights)
    fixed: dict[int, str] = {}
    for item in sorted(costs, key=lambda item: (-costs[item], item)):
        heaviest = max(free.values())
        if len(free) == 1 or costs[item] * sum(free.values()) <= left * heaviest:
            break
        name = owners[item]
        # It leaves a shard that is too small for it by more than half: each such step at least halves what that shard bears.
        if name not in free or 2 * free[name] < heaviest:
            name = min(free, key=lambda name: (-free[name], loads.get(name, 0), tie(group, name)))
        fixed[item] = name
        del free[name]
        left -= costs[item]
    return fixed


def loads_of(costs: Mapping[int, int], owners: Sequence[str]) -> dict[str, int]:
    """The cost on each shard that owns an item."""
    loads: dict[str, int] = {}
    for item, cost in costs.items():
        loads[owners[item]] = loads.get(owners[item], 0) + cost
    return loads


def needs(group: str, due: Due, loads: Mapping[str, int]) -> Needs:
    """Who gives and who takes how much, so that every shard outside its slack gets to its share.

    Shards without a share give everything. Those within their slack only take part where the others leave something over, the ones
    that are furthest from their share first.
    """
    off = {name: loads.get(name, 0) - share for name, share in due.share.items()}
    give = {name: load for name, load in loads.items() if name not in due.share}
    give |= {name: more for name, more in off.items() if more > due.slack[name]}
    take = {name: -more for name, more in off.items() if -more > due.slack[name]}
    missing = sum(take.values()) - sum(give.values())
    side, sign = (give, 1) if missing > 0 else (take, -1)
    missing = abs(missing)
    within = [name for name in off if off[name] * sign > 0 and name not in side]
    for name in sorted(within, key=lambda name: (-Fraction(off[name] * sign, due.size[name]), tie(group, name))):
        if missing <= 0:
            break
        side[name] = min(off[name] * sign, missing)
        missing -= side[name]
    return Needs(give, take)


def worth(due: Due, loads: Mapping[str, int], source: str, target: str) -> int:
    """The most that one indivisible item may cost to go from one shard to another.

    Σ (load - share)² / size falls until the item costs twice what would bring both equally near to their shares, so nothing goes to
    and fro. Up to once, the item brings at least half of what its cost could bring at best, which is what is asked for, and the
    source has to stay within its slack. One that is far over its share gives larger ones too, whatever it keeps: two great items
    do not stay together where others are next to idle, nor one on a shard much lighter than others.
    """
    size, room = due.size[source], due.size[target]
    surplus, lack = loads[source] - due.share[source], due.share[target] - loads[target]
    level = (surplus * room + lack * size) // (size + room)
    return level * 3 // 2 if surplus * _FAR > size else min(level, surplus + due.slack[source])
