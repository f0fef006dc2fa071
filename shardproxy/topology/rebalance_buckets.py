"""Dealing out the buckets of a hash group: to every shard its due share, by moves that each bring both sides closer to theirs."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from fractions import Fraction
from hashlib import sha256
from typing import Final

from shardproxy.topology.rebalance_shares import ROUNDS, Due, due_shares, needs, tie, worth

# Buckets that cost nothing only follow their count, and a shard may be off by so much of its share: to shift them for less brings
# no balance that anybody could measure.
_IDLE_THRESHOLD: Final = 0.1
# A part of the slack that is not worth another pair of shards, each of which is a move with a cut-over of its own.
_CRUMB: Final = 8
# A bucket of more than this part of a share is large: where it goes is settled before the gaps fill up.
_LARGE: Final = 8


class Scores:
    """Rendezvous hashing: how well a bucket fits a shard, a number that is the same everywhere. One is kept for a whole plan."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], int] = {}

    def __call__(self, shard: str, bucket: int) -> int:
        """The score; the highest fits best."""
        score = self._known.get((shard, bucket))
        if score is None:
            score = self._known[shard, bucket] = int.from_bytes(sha256(f"{shard}/{bucket}".encode()).digest()[:8], "big")
        return score


def deal_buckets(
    group: str, weights: Mapping[str, Fraction], owners: Sequence[str], costs: Sequence[int], threshold: float, scores: Scores
) -> tuple[str, ...]:
    """The owners after rebalancing. `costs` are whole; if all are 1, `threshold` does not matter and every quota is met."""
    found = list(owners)
    paid = {bucket: cost for bucket, cost in enumerate(costs) if cost}
    idle = {bucket: 1 for bucket, cost in enumerate(costs) if not cost}
    even = len(set(paid.values())) <= 1 and not idle
    for _ in range(ROUNDS):
        before = found.copy()
        _Deal(group, weights, found, paid, 0.0 if even else threshold, scores).run()
        if idle:
            _Deal(group, weights, found, idle, _IDLE_THRESHOLD, scores).run()
        if even or found == before:
            break
    return tuple(found)


class _Deal:
    """One round over some buckets of a group.

    A shard either gives or takes in it, so no cost is moved for nothing; only where a bucket that is too large for a gap has to find a
    place does its new shard make room.
    """

    def __init__(
        self, group: str, weights: Mapping[str, Fraction], owners: list[str], costs: Mapping[int, int], threshold: float, scores: Scores
    ) -> None:
        self._group = group
        self._owners = owners
        self._before = owners.copy()
        self._costs = costs
        self._scores = scores
        self._due: Due = due_shares(group, weights, costs, owners, threshold)
        self._held: dict[str, set[int]] = {name: set() for name in self._due.share}
        for bucket in costs:
            self._held.setdefault(owners[bucket], set()).add(bucket)
        self._loads = {name: sum(costs[bucket] for bucket in held) for name, held in self._held.items()}
        self._gave: set[str] = set()
        self._took: set[str] = set()

    def run(self) -> None:
        """Change the owners."""
        self._seat_fixed()
        self._place_large()
        self._fill()
        self._place_rest()
        self._polish()

    # ---------------------------------------------------------------- steps

    def _seat_fixed(self) -> None:
        for bucket, name in self._due.fixed.items():
            self._move(bucket, name)
            # Out of the game: neither it nor its cost is anybody's surplus.
            self._held[name].discard(bucket)
            self._loads[name] -= self._costs[bucket]
        self._gave.clear()
        self._took.clear()

    def _place_large(self) -> None:
        """Large buckets that have to leave their shard, the largest first, to where they weigh least."""
        takers = self._sharers()
        large = sum(self._due.share.values()) // len(takers) // _LARGE
        homeless = [b for name, held in self._held.items() if name not in self._due.share for b in held if self._costs[b] > large]
        for bucket in sorted(homeless, key=lambda b: (-self._costs[b], b)):
            self._move(bucket, self._least_loaded(bucket))

    def _place_rest(self) -> None:
        """What has to leave its shard and fitted nowhere."""
        homeless = [bucket for name, held in self._held.items() if name not in self._due.share for bucket in held]
        for bucket in sorted(homeless, key=lambda b: (-self._costs[b], b)):
            self._move(bucket, self._least_loaded(bucket))

    def _fill(self) -> None:
        """From the largest surplus to the largest room, so that few pairs of shards have anything to do with one another."""
        wanted = needs(self._group, self._due, self._loads)
        give, take = wanted.give, wanted.take
        while give and take:
            source = max(give, key=lambda name: (give[name], tie(self._group, name)))
            for target in sorted(take, key=lambda name: (-take[name], tie(self._group, name))):
                moved = self._hand_over(source, target, min(give[source], take[target]))
                if moved:
                    self._lessen(give, source, moved)
                    self._lessen(take, target, moved)
                    break
            else:
                del give[source]

    def _lessen(self, amounts: dict[str, int], name: str, by: int) -> None:
        amounts[name] -= by
        # All of a shard that has to be empty is needed; of the others, crumbs are not.
        if amounts[name] <= self._due.slack.get(name, 0) // _CRUMB:
            del amounts[name]

    def _hand_over(self, source: str, target: str, amount: int) -> int:
        """Move buckets that together cost no more than `amount`, those first that fit the target best; gives what they cost."""
        costs, held = self._costs, self._held[source]
        if not held or min(costs[bucket] for bucket in held) > amount:
            return 0
        left = amount
        chosen = []
        for bucket in sorted(held, key=lambda bucket: (-self._scores(target, bucket), bucket)):
            if costs[bucket] <= left:
                left -= costs[bucket]
                chosen.append(bucket)
                if not left:
                    break
        crumb = min(self._due.slack.get(name, 0) for name in (source, target)) // _CRUMB
        chosen = self._closer(chosen, held, left, crumb)
        for bucket in chosen:
            self._move(bucket, target)
        return sum(costs[bucket] for bucket in chosen)

    def _closer(self, chosen: list[int], held: set[int], left: int, crumb: int) -> list[int]:
        """The choice with single buckets exchanged for larger ones, as long as more than a crumb of the amount is `left`."""
        others = sorted((self._costs[bucket], bucket) for bucket in held.difference(chosen))
        chosen = chosen.copy()
        for position, bucket in enumerate(chosen):
            if left <= crumb:
                break
            cost = self._costs[bucket]
            at = bisect_right(others, (cost + left, len(self._owners))) - 1
            if at >= 0 and others[at][0] > cost:
                left -= others[at][0] - cost
                chosen[position] = others.pop(at)[1]
                insort(others, (cost, bucket))
        return chosen

    def _polish(self) -> None:
        """Single buckets for shards that are still outside their slack, as long as one improves the balance."""
        stuck: set[str] = set()
        while worst := self._worst(stuck):
            found = self._best_single(worst)
            if found is None:
                stuck.add(worst)
                continue
            self._move(*found)
            stuck.clear()

    # ---------------------------------------------------------------- choices

    def _sharers(self) -> list[str]:
        """The shards that may be given buckets."""
        return [name for name, share in self._due.share.items() if share > 0] or list(self._due.share)

    def _least_loaded(self, bucket: int) -> str:
        """The shard that would be the least loaded for its share with this bucket."""
        return min(
            self._sharers(),
            key=lambda name: (
                Fraction(self._loads[name] + self._costs[bucket], self._due.size[name]),
                -self._scores(name, bucket),
                name,
            ),
        )

    def _off(self, name: str) -> int:
        return self._loads[name] - self._due.share[name]

    def _worst(self, stuck: set[str]) -> str | None:
        outside = [name for name in self._due.share if name not in stuck and abs(self._off(name)) > self._due.slack[name]]
        return max(outside, key=lambda name: (abs(self._off(name)) / self._due.size[name], tie(self._group, name)), default=None)

    def _best_single(self, worst: str) -> tuple[int, str] | None:
        """The bucket and its new shard that relieve or fill the worst shard with the greatest gain, or None where no move gains enough."""
        if self._off(worst) > 0:
            pairs = [(worst, name) for name in self._sharers() if self._off(name) < 0 and name not in self._gave]
        else:
            pairs = [(name, worst) for name in self._due.share if self._off(name) > 0] if worst not in self._gave else []
        best: tuple[float, int, str] | None = None
        for source, target in pairs:
            candidates = self._movable(source)
            found = self._fitting(candidates, source, target)
            if found is not None and (best is None or (found[0], found[1]) > (best[0], best[1])):
                best = (*found, target)
        return None if best is None else best[1:]

    def _movable(self, name: str) -> list[tuple[int, int]]:
        """Cost and number of the buckets that a shard may give: of one that has taken some, only those."""
        held = self._held[name]
        if name in self._took:
            held = {bucket for bucket in held if self._before[bucket] != name}
        return sorted((self._costs[bucket], bucket) for bucket in held)

    def _fitting(self, candidates: list[tuple[int, int]], source: str, target: str) -> tuple[float, int] | None:
        """Gain and number of the bucket that fits best between two shards: of those that overshoot neither, or else the least."""
        size, room = self._due.size[source], self._due.size[target]
        surplus, lack = self._off(source), -self._off(target)
        most = worth(self._due, self._loads, source, target)
        at = bisect_right(candidates, (min(most, surplus), len(self._owners))) - 1
        if at < 0 or not candidates[at][0]:
            at += 1
        if at == len(candidates) or candidates[at][0] > most:
            return None
        cost, bucket = candidates[at]
        gain = cost * (2 * (surplus * room + lack * size) - cost * (size + room)) / (size * room)
        return (gain, bucket) if gain > 0 else None

    def _move(self, bucket: int, target: str) -> None:
        source = self._owners[bucket]
        if source == target:
            return
        self._owners[bucket] = target
        self._held[source].discard(bucket)
        self._held[target].add(bucket)
        self._loads[source] -= self._costs[bucket]
        self._loads[target] += self._costs[bucket]
        if self._before[bucket] == source:
            self._gave.add(source)
        self._took.add(target)
