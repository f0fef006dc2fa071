"""From a key to its shard: one table's partition map together with its key's type."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Final

from shardproxy.errors import KEY_NO_PARTITION, ProxyError
from shardproxy.topology.hashing import bucket_of
from shardproxy.topology.keys import IntegerKey, Key, KeyType, Unprovable
from shardproxy.topology.topology import RangeMap

# Literals whose shard is remembered, per placement. Beyond that the memory is dropped and filled anew.
_REMEMBERED: Final = 65_536


def _literal_shard(placement: Placement, raw: bytes, codec: str) -> str | None:
    """The shard of rows whose key equals an integer literal, or that are stored with it; None where that is not certain."""
    key_type = placement.key_type
    key = key_type.from_literal(raw, codec)
    if isinstance(key, Unprovable) or (isinstance(key_type, IntegerKey) and not key_type.low <= int(key) <= key_type.high):
        return None
    shard = placement.shard_of(key)
    if shard is not None and (isinstance(key_type, IntegerKey) or raw.isascii()):
        memory = placement.remembered
        if len(memory) >= _REMEMBERED:
            memory.clear()
        memory[raw] = shard
    return shard


@dataclass(frozen=True, slots=True)
class HashPlacement:
    """Hash sharding: the shard is the owner of the key's bucket."""

    key_type: KeyType
    owners: tuple[str, ...]
    remembered: dict[bytes, str] = field(default_factory=dict, compare=False, repr=False)
    all_shards: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "all_shards", tuple(sorted(set(self.owners))))

    def shard_of_literal(self, raw: bytes, codec: str) -> str | None:
        """The shard of a literal in one step, or None where it is not certain that there is one. `raw` is as written."""
        return self.remembered.get(raw) or _literal_shard(self, raw, codec)

    def shard_of(self, key: Key) -> str | None:
        """The shard that holds rows with this key."""
        return self.owners[bucket_of(self.key_type.canonical(key))]

    def shards(self) -> tuple[str, ...]:
        """All shards that own a bucket."""
        return self.all_shards

    def shards_between(self, low: Key | None, high: Key | None, high_inclusive: bool = True) -> tuple[str, ...]:
        """Keys of an interval may be anywhere."""
        return self.shards()


@dataclass(frozen=True, slots=True)
class RangePlacement:
    """Range sharding. `bounds` are canonical; a key outside `start` and `end` belongs to no shard."""

    key_type: KeyType
    bounds: tuple[Key, ...]
    owners: tuple[str, ...]
    start: Key | None
    end: Key | None
    remembered: dict[bytes, str] = field(default_factory=dict, compare=False, repr=False)
    all_shards: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "all_shards", tuple(sorted(set(self.owners))))

    def shard_of_literal(self, raw: bytes, codec: str) -> str | None:
        """The shard of a literal in one step, or None where it is not certain that there is one. `raw` is as written."""
        return self.remembered.get(raw) or _literal_shard(self, raw, codec)

    def shard_of(self, key: Key) -> str | None:
        """The shard that holds rows with this key, or None where no range does."""
        if (self.start is not None and key < self.start) or (self.end is not None and key >= self.end):  # type: ignore[operator]
            return None
        return self.owners[bisect_right(self.bounds, key)]

    def shards(self) -> tuple[str, ...]:
        """All shards that own a range."""
        return self.all_shards

    def shards_between(self, low: Key | None, high: Key | None, high_inclusive: bool = True) -> tuple[str, ...]:
        """The shards of the ranges that touch the interval; None is an open end. The lower end counts as inclusive."""
        first = 0 if low is None else bisect_right(self.bounds, low)
        if high is None:
            last = len(self.owners) - 1
        elif high_inclusive:
            last = bisect_right(self.bounds, high)
        else:
            last = bisect_left(self.bounds, high)
        return tuple(sorted(set(self.owners[first : last + 1])))


Placement = HashPlacement | RangePlacement


def range_placement(key_type: KeyType, ranges: RangeMap) -> RangePlacement:
    """Bind a range map to a key type; raises ValueError where a bound does not fit the type or the bounds do not grow."""
    bounds = tuple(key_type.from_config(bound) for bound in ranges.bounds)
    start = None if ranges.start is None else key_type.from_config(ranges.start)
    end = None if ranges.end is None else key_type.from_config(ranges.end)
    edges = [edge for edge in (start, *bounds, end) if edge is not None]
    if any(a >= b for a, b in itertools.pairwise(edges)):  # type: ignore[operator]
        raise ValueError("the ranges overlap or are out of order")
    return RangePlacement(key_type, bounds, ranges.owners, start, end)


def shard_for_row(placement: Placement, column: str, key: Key) -> str:
    """The shard on which a new row must be stored; raises `ProxyError` where no range holds its key."""
    shard = placement.shard_of(key)
    if shard is None:
        shown = key.rstrip().decode("utf-8", "replace") if isinstance(key, bytes) else key
        raise ProxyError(KEY_NO_PARTITION, f"Table has no partition for value {shown} of sharding key '{column}'")
    return shard
