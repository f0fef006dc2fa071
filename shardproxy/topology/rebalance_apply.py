"""Partition maps and shares of them: what a shard owns, and the maps after a move."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from shardproxy.topology.share import Interval, Share
from shardproxy.topology.topology import RangeMap

HashMaps = Mapping[str, tuple[str, ...]]
RangeMaps = Mapping[str, RangeMap]

# A place between keys, for comparing: below all keys, at a bound, or above all keys.
Place = tuple[int, Any]


def low_place(bound: object | None) -> Place:
    """Where an interval with this lower bound starts; None is below all keys."""
    return (0, 0) if bound is None else (1, _comparable(bound))


def high_place(bound: object | None) -> Place:
    """Where an interval with this upper bound ends; None is above all keys."""
    return (2, 0) if bound is None else (1, _comparable(bound))


def _comparable(bound: object) -> object:
    # A DATETIME column may have dates for bounds, each of which is its midnight; Python compares the two with nothing but their like.
    if isinstance(bound, dt.date) and not isinstance(bound, dt.datetime):
        return dt.datetime.combine(bound, dt.time())
    return bound


def intervals_of(ranges: RangeMap) -> list[tuple[Interval, str]]:
    """The ranges in order, with their owners."""
    edges = (ranges.start, *ranges.bounds, ranges.end)
    return list(zip(itertools.pairwise(edges), ranges.owners, strict=True))


def joined(parts: Iterable[tuple[Interval, str]]) -> list[tuple[Interval, str]]:
    """Intervals that follow one another, as few as there can be: neighbours of one owner are one."""
    result: list[tuple[Interval, str]] = []
    for (low, high), owner in parts:
        if result and result[-1][1] == owner:
            result[-1] = ((result[-1][0][0], high), owner)
        else:
            result.append(((low, high), owner))
    return result


def range_map(parts: Iterable[tuple[Interval, str]]) -> RangeMap:
    """The map of intervals that follow one another without a gap; neighbours of one owner become one range."""
    found = joined(parts)
    return RangeMap(
        bounds=tuple(high for (_, high), _ in found[:-1]),
        owners=tuple(owner for _, owner in found),
        start=found[0][0][0],
        end=found[-1][0][1],
    )


def owner_parts(hash_maps: HashMaps, range_maps: RangeMaps, group: str, shard: str) -> Share:
    """What a shard owns of a group; neighbouring ranges are one interval. Raises KeyError for a group that there is not."""
    if group in hash_maps:
        return Share(buckets=frozenset(bucket for bucket, owner in enumerate(hash_maps[group]) if owner == shard))
    return Share(intervals=tuple(interval for interval, owner in joined(intervals_of(range_maps[group])) if owner == shard))


def owns(hash_maps: HashMaps, range_maps: RangeMaps, group: str, shard: str, share: Share) -> bool:
    """Whether a shard owns the whole share. Raises KeyError for a group that there is not."""
    if group in hash_maps:
        owners = hash_maps[group]
        return not share.intervals and all(0 <= bucket < len(owners) and owners[bucket] == shard for bucket in share.buckets)
    return all(
        owner == shard
        for low, high in share.intervals
        for (start, end), owner in intervals_of(range_maps[group])
        if low_place(start) < high_place(high) and low_place(low) < high_place(end)
    )


def apply_move(
    hash_maps: HashMaps, range_maps: RangeMaps, group: str, share: Share, target: str
) -> tuple[dict[str, tuple[str, ...]], dict[str, RangeMap]]:
    """The maps after one move: `target` owns the share, whoever did before.

    Ranges are split at the share's bounds, and neighbours of one owner become one range. Bounds compare as Python does; a date
    is its midnight. Raises KeyError for a group that there is not, and ValueError for a share that is not part of it.
    """
    if share.everything:
        raise ValueError("a share of everything is no part of a map")
    if group in hash_maps:
        owners = hash_maps[group]
        if share.intervals or any(not 0 <= bucket < len(owners) for bucket in share.buckets):
            raise ValueError(f"the share has what group {group!r} does not: intervals, or buckets beyond the last")
        after = tuple(target if bucket in share.buckets else owner for bucket, owner in enumerate(owners))
        return {**hash_maps, group: after}, dict(range_maps)
    ranges = range_maps[group]
    if share.buckets:
        raise ValueError(f"group {group!r} is sharded by range; it has no buckets")
    parts = intervals_of(ranges)
    try:
        for low, high in share.intervals:
            if not low_place(ranges.start) <= low_place(low) < high_place(high) <= high_place(ranges.end):
                raise ValueError("an interval of the share is empty, or reaches beyond the ranges")
            parts = [piece for part in parts for piece in _reowned(part, low, high, target)]
    except TypeError as error:
        raise ValueError("the bounds of the share are of another type than those of the ranges") from error
    return dict(hash_maps), {**range_maps, group: range_map(parts)}


def _reowned(part: tuple[Interval, str], low: object | None, high: object | None, target: str) -> list[tuple[Interval, str]]:
    """A range, cut where [low, high) starts and ends in it, with that piece under its new owner."""
    (start, end), owner = part
    if high_place(high) <= low_place(start) or high_place(end) <= low_place(low):
        return [part]
    pieces: list[tuple[Interval, str]] = []
    if low_place(start) < low_place(low):
        pieces.append(((start, low), owner))
        start = low
    if high_place(high) < high_place(end):
        pieces += [((start, high), target), ((high, end), owner)]
    else:
        pieces.append(((start, end), target))
    return pieces
