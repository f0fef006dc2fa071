"""A share: the part of a group's key space that one move carries from one shard to another."""

from __future__ import annotations

from dataclasses import dataclass

# Half-open, [low, high), with bounds as the config has them; None is an open end.
Interval = tuple[object | None, object | None]


@dataclass(frozen=True, slots=True)
class Share:
    """Buckets of a hash group, or intervals of a range group; `everything` is all rows of a table that is not sharded yet."""

    buckets: frozenset[int] = frozenset()
    intervals: tuple[Interval, ...] = ()
    everything: bool = False

    def __bool__(self) -> bool:
        return self.everything or bool(self.buckets or self.intervals)

    def __or__(self, other: Share) -> Share:
        """The rows that are in one of the two."""
        return Share(self.buckets | other.buckets, self.intervals + other.intervals, self.everything or other.everything)

    @property
    def size(self) -> int:
        """How many partitions it has."""
        return len(self.buckets) + len(self.intervals)
