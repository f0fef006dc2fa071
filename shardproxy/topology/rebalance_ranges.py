"""Dealing out the cells of a range group: contiguous parts, as few as there can be, to every shard up to its due share."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from shardproxy.topology.rebalance_apply import Place, high_place, intervals_of, low_place
from shardproxy.topology.rebalance_shares import ROUNDS, Due, due_shares, loads_of, needs, plain_shares, tie, worth
from shardproxy.topology.share import Interval
from shardproxy.topology.topology import RangeMap

# A part of the slack that is not worth a bound more.
_CRUMB: Final = 4
# Pieces that are looked at in pairs to put them in order; beyond that, the search would take longer than it is worth.
_TANGLED: Final = 300


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a range group's key space that is not split further: [low, high), with its cost. None is an open end."""

    low: object | None
    high: object | None
    cost: float


@dataclass(frozen=True, slots=True)
class _Piece:
    """Cells [start, end) of one owner for `target`: what they cost, how many ranges more there are then, and who is next to them."""

    start: int
    end: int
    target: str
    cost: int
    ranges: int
    beside: int


@dataclass(frozen=True, slots=True)
class _Amount:
    """What a piece should cost: about `want`; more than `least`; at most `most`, and `alone` where every smaller one costs nothing."""

    want: int
    least: int
    most: int
    alone: int

    def prefers(self, short: int, long: int) -> bool:
        """Whether the longer of two pieces is the better one, given what the two cost."""
        return long <= self.most and (long - self.want < self.want - short or (not short and long <= self.alone))


def cell_parts(ranges: RangeMap, cells: Sequence[Cell]) -> list[tuple[Interval, str]]:
    """The cells' intervals with their owners. A bound that the map has too is written as in the map.

    Raises ValueError where the cells are not in order, leave a gap, do not cover the map's key space, or reach over a bound.
    """
    parts: list[tuple[Interval, str]] = []
    at = 0
    try:
        for (low, high), owner in intervals_of(ranges):
            place, end, bound = low_place(low), high_place(high), low
            while place < end:
                if at == len(cells) or low_place(cells[at].low) != place:
                    raise ValueError(f"no cell starts at {_shown(bound)}, or the one before does not end there")
                place = _after(cells[at], place)
                following = high if place == end else cells[at].high
                parts.append(((bound, following), owner))
                bound = following
                at += 1
            if place != end:
                raise ValueError(f"a cell reaches over the bound {_shown(high)}")
    except TypeError as error:
        raise ValueError("the cells' bounds are of another type than those of the ranges") from error
    if at != len(cells):
        raise ValueError("there are cells beyond the last range")
    return parts


def _shown(bound: object | None) -> str:
    return "an open end" if bound is None else repr(bound)


def _after(cell: Cell, place: Place) -> Place:
    end = high_place(cell.high)
    if end <= place:
        raise ValueError(f"the cell that ends at {_shown(cell.high)} is empty")
    return end


def deal_cells(group: str, weights: Mapping[str, Fraction], owners: Sequence[str], costs: Sequence[int], threshold: float) -> list[str]:
    """The owners after rebalancing. `costs` are whole."""
    found = list(owners)
    items = dict(enumerate(costs))
    for _ in range(ROUNDS):
        before = found.copy()
        _Deal(group, due_shares(group, weights, items, found, threshold), found, costs).run()
        if found == before:
            break
    return found


def drain_ranges(group: str, weights: Mapping[str, Fraction], owners: Sequence[str]) -> list[str]:
    """The owners of whole ranges after shards without a weight have given away theirs, where nothing else is asked."""
    found = list(owners)
    held = {name: found.count(name) for name in weights}
    _Deal(group, plain_shares(group, weights, len(found), held), found, [1] * len(found)).drain()
    return found


class _Deal:
    """One round. A shard either gives or takes in it, so no cost is moved for nothing."""

    def __init__(self, group: str, due: Due, owners: list[str], costs: Sequence[int]) -> None:
        self._group = group
        self._due = due
        self._owners = owners
        self._before = owners.copy()
        self._costs = costs
        self._upto = [0, *itertools.accumulate(costs)]
        self._took: set[str] = set()
        self._gave: set[str] = set()
        for cell, name in due.fixed.items():
            owners[cell] = name
        self._loads = dict.fromkeys(due.share, 0) | loads_of(dict(enumerate(costs)), owners)
        for cell, name in due.fixed.items():
            self._loads[name] -= costs[cell]

    def run(self) -> None:
        """Change the owners."""
        wanted = needs(self._group, self._due, self._loads)
        leaving = {name: self._loads[name] for name in self._owners if name not in self._due.share}
        self._fill(leaving | wanted.give, wanted.take, strict=True)
        self._place_rest()
        # What is still too much, in pieces that are worth it though they bring their taker over its share.
        give = {name: self._off(name) for name in self._due.share if self._off(name) > self._due.slack[name] and name not in self._took}
        take = {name: -self._off(name) for name in self._due.share if self._off(name) < 0 and name not in self._gave}
        self._fill(give, take, strict=False)
        self._untangle()

    def drain(self) -> None:
        """Change the owners of what has to leave, and of nothing else."""
        self._place_rest()
        self._untangle()

    def _fill(self, give: dict[str, int], take: dict[str, int], strict: bool) -> None:
        """From the largest surplus, the piece that adds the fewest ranges, until nobody has too much or nothing fits."""
        while give and take:
            source = max(give, key=lambda name: (give[name], tie(self._group, name)))
            runs = list(self._runs(source))
            pieces = [piece for target in take for piece in self._pieces(source, target, runs, give, take, strict)]
            if not pieces:
                del give[source]
                continue
            best = min(pieces, key=lambda piece: (piece.ranges, -piece.cost, -piece.beside, tie(self._group, piece.target), piece.start))
            self._move(best.start, best.end, best.target)
            self._lessen(give, source, best.cost)
            self._lessen(take, best.target, best.cost)

    def _lessen(self, amounts: dict[str, int], name: str, by: int) -> None:
        amounts[name] -= by
        # A shard that has to be empty gives cells without cost, too.
        if name in self._due.share and amounts[name] <= self._due.slack[name] // _CRUMB:
            del amounts[name]

    # ---------------------------------------------------------------- pieces

    def _runs(self, name: str) -> Iterator[tuple[int, int]]:
        """The cells that a shard owns and may give, as long intervals of positions."""
        start = None
        for cell, owner in enumerate(self._owners):
            if owner == name and cell not in self._due.fixed:
                start = cell if start is None else start
            elif start is not None:
                yield start, cell
                start = None
        if start is not None:
            yield start, len(self._owners)

    def _pieces(
        self,
        source: str,
        target: str,
        runs: Sequence[tuple[int, int]],
        give: Mapping[str, int],
        take: Mapping[str, int],
        strict: bool,
    ) -> Iterator[_Piece]:
        """Pieces of every run of the source, at its ends or else within."""
        amount = self._amount(source, target, min(give[source], take[target]), strict)
        for start, end in runs:
            found = [(start, self._prefix(start, end, amount)), (self._suffix(start, end, amount), end)]
            found = [(a, b) for a, b in found if a < b and self._upto[b] - self._upto[a] > amount.least]
            if not found:
                found = self._inner(start, end, amount)
            for a, b in dict.fromkeys(found):
                beside = sum(give.get(self._owners[cell], 0) for cell in (a - 1, b) if self._is_foreign(cell, source))
                yield _Piece(a, b, target, self._upto[b] - self._upto[a], self._more_ranges(a, b, target), beside)

    def _amount(self, source: str, target: str, want: int, strict: bool) -> _Amount:
        """`strict`: both stay within their slack."""
        slack = self._due.slack
        room = slack[target] - self._off(target)
        if source not in self._due.share:
            return _Amount(want, -1, room, room)
        alone = worth(self._due, self._loads, source, target)
        most = min(self._off(source) + slack[source], room) if strict else alone
        return _Amount(want, min(slack[source], slack[target]) // _CRUMB, most, alone)

    def _prefix(self, start: int, end: int, amount: _Amount) -> int:
        """The end of the piece from `start` on that costs the right amount."""
        base = self._upto[start]
        cut = min(bisect_right(self._upto, base + amount.want) - 1, end)
        return cut + 1 if cut < end and amount.prefers(self._upto[cut] - base, self._upto[cut + 1] - base) else cut

    def _suffix(self, start: int, end: int, amount: _Amount) -> int:
        """The start of the piece up to `end` that costs the right amount."""
        top = self._upto[end]
        cut = max(bisect_left(self._upto, top - amount.want), start)
        return cut - 1 if cut > start and amount.prefers(top - self._upto[cut], top - self._upto[cut - 1]) else cut

    def _inner(self, start: int, end: int, amount: _Amount) -> list[tuple[int, int]]:
        """The piece of about the right amount where cells at both ends are too large."""
        best: tuple[int, int, int] | None = None
        for a in range(start, end):
            b = self._prefix(a, end, amount)
            cost = self._upto[b] - self._upto[a]
            if b > a and cost > amount.least and (best is None or abs(cost - amount.want) < best[0]):
                best = (abs(cost - amount.want), a, b)
        return [] if best is None else [best[1:]]

    def _is_foreign(self, cell: int, name: str) -> bool:
        return 0 <= cell < len(self._owners) and self._owners[cell] != name

    def _more_ranges(self, start: int, end: int, target: str) -> int:
        """How many ranges more there are when cells [start, end), all of one owner, go to the target."""
        owner = self._owners[start]
        beside = [self._owners[cell] for cell in (start - 1, end) if 0 <= cell < len(self._owners)]
        return sum(name != target for name in beside) - sum(name != owner for name in beside)

    # ---------------------------------------------------------------- ranges

    def _untangle(self) -> None:
        """Exchange the targets of two pieces that cost about the same wherever that makes for fewer ranges.

        One piece after the other, some neighbour has no room left when its turn comes, because it took a piece from further away.
        """
        pieces = [(start, end) for start, end in self._segments() if self._before[start] != self._owners[start]]
        pieces = [(start, end) for start, end in pieces if start not in self._due.fixed][:_TANGLED]
        better = True
        while better:
            better = False
            for one, other in itertools.combinations(pieces, 2):
                if self._may_exchange(one, other) and self._exchange_gain(one, other) > 0:
                    self._exchange(one, other)
                    better = True

    def _segments(self) -> Iterator[tuple[int, int]]:
        """The cells as intervals of positions in each of which the owner before is one, and the owner now."""
        cells = range(len(self._owners))
        for _, group in itertools.groupby(cells, key=lambda cell: (self._before[cell], self._owners[cell], cell in self._due.fixed)):
            members = list(group)
            yield members[0], members[-1] + 1

    def _may_exchange(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        """Whether both takers stay within their slack, or no further off than they are, and nobody gets back what it gave."""
        first, second = self._owners[one[0]], self._owners[other[0]]
        if first == second or first == self._before[other[0]] or second == self._before[one[0]]:
            return False
        more = self._upto[other[1]] - self._upto[other[0]] - self._upto[one[1]] + self._upto[one[0]]
        changes = ((first, more), (second, -more))
        return all(abs(self._off(name) + by) <= max(self._due.slack[name], abs(self._off(name))) for name, by in changes)

    def _exchange_gain(self, one: tuple[int, int], other: tuple[int, int]) -> int:
        """How many ranges fewer there are after the exchange."""
        edges = {edge for edge in (*one, *other) if 0 < edge < len(self._owners)}
        first, second = self._owners[one[0]], self._owners[other[0]]

        def after(cell: int) -> str:
            if one[0] <= cell < one[1]:
                return second
            return first if other[0] <= cell < other[1] else self._owners[cell]

        bounds = sum(self._owners[edge - 1] != self._owners[edge] for edge in edges)
        return bounds - sum(after(edge - 1) != after(edge) for edge in edges)

    def _exchange(self, one: tuple[int, int], other: tuple[int, int]) -> None:
        first, second = self._owners[one[0]], self._owners[other[0]]
        self._move(*one, second)
        self._move(*other, first)

    # ---------------------------------------------------------------- moving

    def _place_rest(self) -> None:
        """What has to leave its shard and fitted nowhere: to a neighbour within its slack, or to where it weighs least."""
        for cell, owner in enumerate(self._owners):
            if owner not in self._due.share:
                self._move(cell, cell + 1, self._home(cell))

    def _home(self, cell: int) -> str:
        takers = [name for name, share in self._due.share.items() if share > 0] or list(self._due.share)
        beside = {self._owners[near] for near in (cell - 1, cell + 1) if 0 <= near < len(self._owners)}

        def burden(name: str) -> tuple[bool, Fraction, bytes]:
            after = self._off(name) + self._costs[cell]
            fits = name in beside and after <= self._due.slack[name]
            return (not fits, Fraction(after, self._due.size[name]), tie(self._group, name))

        return min(takers, key=burden)

    def _off(self, name: str) -> int:
        return self._loads[name] - self._due.share[name]

    def _move(self, start: int, end: int, target: str) -> None:
        source, cost = self._owners[start], self._upto[end] - self._upto[start]
        self._owners[start:end] = [target] * (end - start)
        self._loads[source] -= cost
        self._loads[target] += cost
        self._gave.add(source)
        self._took.add(target)
