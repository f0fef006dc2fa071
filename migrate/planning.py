"""What would move: the partitions' sizes as the servers tell them, and the moves that level them."""

from __future__ import annotations

import asyncio
import datetime as dt
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from migrate.cluster import Cluster
from migrate.errors import MoveError, MoveRefused
from migrate.preflight import check_place, preflight, tables_on
from migrate.tables import MovedTable, name_sql, read_texts
from shardproxy.backends.engine import Connection
from shardproxy.errors import ProxyError, ServerError
from shardproxy.store.records import StoredTopology
from shardproxy.topology.hashing import BUCKETS
from shardproxy.topology.keys import DateKey, DateTimeKey, IntegerKey, KeyType
from shardproxy.topology.moves import Move, MoveState
from shardproxy.topology.rebalance import GroupLoad, RebalancePlan, apply_move, plan_rebalance
from shardproxy.topology.rebalance_apply import high_place, intervals_of, low_place
from shardproxy.topology.rebalance_ranges import Cell
from shardproxy.topology.share import Share
from shardproxy.topology.share_sql import bucket_sql
from shardproxy.topology.topology import RangeMap

By = Literal["count", "rows", "bytes", "requests"]
# A range is looked at in so many parts of equally many rows; it can be split between them.
_CELLS = 64
# A shard may have so much more or less than its part of what is counted before anything moves: less is not worth a move.
THRESHOLD = 0.1
# Moves that are over and still shown.
_KEPT = 100
# What a copy does, in bytes per second, where nothing is known of these servers yet; and the pause that a cutover takes.
_USUAL_RATE = 10 << 20
USUAL_PAUSE_MS = 50


@dataclass(frozen=True, slots=True)
class Size:
    """Of partitions: rows and bytes, in all tables of the group."""

    rows: float = 0.0
    octets: float = 0.0

    def __add__(self, other: Size) -> Size:
        return Size(self.rows + other.rows, self.octets + other.octets)


@dataclass(frozen=True, slots=True)
class GroupSizes:
    """A group's partitions: by bucket, or by cell in order."""

    buckets: tuple[Size, ...] = ()
    cells: tuple[tuple[object | None, object | None, Size], ...] = ()

    @property
    def total(self) -> Size:
        """The whole group."""
        return sum((*self.buckets, *(size for _, _, size in self.cells)), Size())

    def of(self, share: Share) -> Size:
        """A share, whose intervals end where cells do."""
        if share.buckets:
            return sum((self.buckets[bucket] for bucket in share.buckets), Size())
        found = Size()
        for low, high, size in self.cells:
            if any(_within(low, high, interval) for interval in share.intervals):
                found += size
        return found


@dataclass(frozen=True, slots=True)
class ProposedMove:
    """A move that would be made."""

    move: Move
    size: Size

    @property
    def seconds(self) -> float:
        """How long it may take, roughly."""
        return 2.0 + self.size.octets / _USUAL_RATE


@dataclass(frozen=True, slots=True)
class Proposal:
    """What `rebalance` shows: the moves, what they weigh, and what forbids them."""

    epoch: int
    moves: tuple[ProposedMove, ...]
    total: Size
    plan: RebalancePlan
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()


async def propose(cluster: Cluster, stored: StoredTopology, by: By) -> Proposal:
    """The moves that give every shard its part. Raises `MoveRefused` where sizes cannot be told."""
    topology = cluster.topology(stored)
    groups = sorted({rule.group for rule in topology.rules.values() if rule.scheme.sharded})
    sizes = dict(zip(groups, await asyncio.gather(*(_sizes(cluster, stored, group) for group in groups)), strict=True))
    weights = cluster.weights(stored)
    requests = await _requests(cluster) if by == "requests" else None
    loads = {group: load for group in groups if (load := _load(group, sizes[group], by, requests)) is not None}
    plan = plan_rebalance(_after(unfinished(stored), stored), weights, loads, groups=groups, threshold=THRESHOLD)
    # Members are made first, by moves of their own.
    number = max((move.id for move in stored.moves), default=0) + len(joining(stored))
    moves = []
    for planned in plan.moves:
        number += 1
        move = Move(number, planned.group, planned.source, planned.target, planned.share)
        moves.append(ProposedMove(move, sizes[planned.group].of(planned.share)))
    total = sum((sizes[group].total for group in groups), Size())
    faults, notes = await _look(cluster, stored, moves)
    return Proposal(stored.epoch, tuple(moves), total, plan, faults, notes)


def unfinished(stored: StoredTopology) -> list[Move]:
    """Moves that a run goes on with before it plans others."""
    return [move for move in stored.moves if not (move.state.over or move.state.decided)]


def _after(moves: Sequence[Move], stored: StoredTopology) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, RangeMap]]:
    """The maps as they will be once these have been carried out."""
    hash_maps, range_maps = stored.hash_maps, stored.range_maps
    for move in moves:
        if not move.joins and move.state is not MoveState.ABORTING:
            hash_maps, range_maps = apply_move(hash_maps, range_maps, move.group, move.share, move.target)
    return hash_maps, range_maps


def joining(stored: StoredTopology) -> list[Move]:
    """The moves that make members of shards that were added."""
    number = max((move.id for move in stored.moves), default=0)
    under_way = {move.target for move in stored.moves if move.joins and not move.state.over}
    source = stored.members[0]
    found = []
    for name, record in stored.shards.items():
        if not record.member and name not in under_way and not record.draining:
            number += 1
            found.append(Move(number, "", source, name, Share(everything=True), joins=True))
    return found


def overlapping(stored: StoredTopology, moves: Sequence[Move]) -> list[Move]:
    """Moves that are switched, whose leftovers lie where others would bring rows of the same group."""
    wanted = {(move.group, move.target) for move in moves}
    return [
        move
        for move in stored.moves
        if move.state in (MoveState.SWITCHED, MoveState.CLEANUP) and not move.joins and (move.group, move.source) in wanted
    ]


def with_moves(stored: StoredTopology, moves: Sequence[Move]) -> StoredTopology:
    """The document with moves added. Of those that are over only the last are kept."""
    over = [move for move in stored.moves if move.state.over]
    forgotten = {move.id for move in over[:-_KEPT]}
    return replace(stored, moves=(*(move for move in stored.moves if move.id not in forgotten), *moves))


async def _look(cluster: Cluster, stored: StoredTopology, moves: Sequence[ProposedMove]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What forbids the moves, and what else there is to know."""
    notes: dict[str, None] = {}
    faults: dict[str, None] = {}
    for move in [*joining(stored), *(proposed.move for proposed in moves)]:
        try:
            job = await cluster.job(move, stored)
            notes.update(dict.fromkeys(await preflight(job)))
            leftovers = overlapping(stored, [move])
            notes.update(dict.fromkeys(f"what move {old.id} has left on {old.source} is cleaned up first" for old in leftovers))
            if not leftovers:
                # Otherwise the place is looked at when it is clean, as it is before any move begins.
                await check_place(job)
        except MoveRefused as refused:
            faults.update(dict.fromkeys(refused.reasons))
        except (MoveError, ProxyError, ServerError) as error:
            faults[str(error)] = None
    return tuple(faults), tuple(notes)


@dataclass(frozen=True, slots=True)
class Requests:
    """What the proxies have counted lately: by group, requests per bucket, and a sample of keys."""

    buckets: dict[str, Counter[int]]
    keys: dict[str, list[Any]]


async def _requests(cluster: Cluster) -> Requests:
    """Raises `MoveRefused` where nothing was counted."""
    buckets: dict[str, Counter[int]] = {}
    keys: dict[str, list[Any]] = {}
    for report in await cluster.board.reports():
        for group, counts in report.get("buckets", {}).items():
            buckets.setdefault(group, Counter()).update({int(bucket): count for bucket, count in counts.items()})
        for group, sample in report.get("keys", {}).items():
            keys.setdefault(group, []).extend(sample)
    if not buckets and not keys:
        raise MoveRefused(["no proxy has counted requests yet: they tell the store every ten seconds"])
    return Requests(buckets, keys)


def _load(group: str, sizes: GroupSizes, by: By, requests: Requests | None) -> GroupLoad | None:
    if requests is not None:
        if sizes.cells:
            return GroupLoad(cells=_asked_cells(sizes, requests.keys.get(group, ())))
        counts = requests.buckets.get(group, Counter())
        # A bucket that nobody asks for now is not free for ever.
        least = counts.total() / BUCKETS / 10
        return GroupLoad(buckets=tuple(counts[bucket] + least for bucket in range(BUCKETS))) if counts else None
    if sizes.cells:
        # The number of ranges says nothing of their rows.
        return GroupLoad(cells=tuple(Cell(low, high, size.octets if by == "bytes" else size.rows) for low, high, size in sizes.cells))
    if by == "count":
        return None
    return GroupLoad(buckets=tuple(size.octets if by == "bytes" else size.rows for size in sizes.buckets))


def _asked_cells(sizes: GroupSizes, keys: Sequence[Any]) -> tuple[Cell, ...]:
    """The cells with how many of the sampled keys fall into each."""
    places = sorted(low_place(key) for key in map(_key_bound(sizes), keys))
    return tuple(
        Cell(low, high, bisect_left(places, high_place(high)) - bisect_left(places, low_place(low)) + 0.01) for low, high, _ in sizes.cells
    )


def _key_bound(sizes: GroupSizes) -> Callable[[Any], object]:
    """How a key's text becomes a value of the type that the bounds have."""
    bounds = [bound for low, high, _ in sizes.cells for bound in (low, high) if bound is not None]
    if bounds and isinstance(bounds[0], dt.datetime):
        return dt.datetime.fromisoformat
    if bounds and isinstance(bounds[0], dt.date):
        return dt.date.fromisoformat
    return lambda key: key


# -- sizes ----------------------------------------------------------------------------------------------------------------


async def _sizes(cluster: Cluster, stored: StoredTopology, group: str) -> GroupSizes:
    if group in stored.hash_maps:
        owners = sorted(set(stored.hash_maps[group]))
        parts = await asyncio.gather(*(_bucket_sizes(cluster, stored, group, shard) for shard in owners))
        buckets = [Size()] * BUCKETS
        for shard, part in zip(owners, parts, strict=True):
            for bucket, size in part.items():
                if stored.hash_maps[group][bucket] == shard:
                    buckets[bucket] += size
        return GroupSizes(buckets=tuple(buckets))
    cells: list[tuple[object | None, object | None, Size]] = []
    for (low, high), owner in intervals_of(stored.range_maps[group]):
        cells += await _cell_sizes(cluster, stored, group, owner, low, high)
    return GroupSizes(cells=tuple(cells))


async def _bucket_sizes(cluster: Cluster, stored: StoredTopology, group: str, shard: str) -> dict[int, Size]:
    node = cluster.node(shard, stored)
    found: dict[int, Size] = {}
    everything = Share(buckets=frozenset(range(BUCKETS)))
    for table in await tables_on(node, cluster.topology(stored), group, everything, joins=False):
        assert table.key_type is not None
        async with node.session() as session:
            octets = await _row_bytes(session, table)
            bucket = bucket_sql(table.key_type, name_sql(table.sharding_key))
            for text, rows in await read_texts(session, f"SELECT {bucket} AS _sp_bucket, COUNT(*) FROM {table.sql} GROUP BY _sp_bucket"):
                found[int(text)] = found.get(int(text), Size()) + Size(int(rows), int(rows) * octets)
    return found


async def _cell_sizes(
    cluster: Cluster, stored: StoredTopology, group: str, shard: str, low: object | None, high: object | None
) -> list[tuple[object | None, object | None, Size]]:
    """A range in parts of about equally many rows of the group's largest table."""
    node = cluster.node(shard, stored)
    tables = await tables_on(node, cluster.topology(stored), group, Share(intervals=((low, high),)), joins=False)
    best: tuple[list[object], list[Size]] = ([], [Size()])
    extra = Size()
    async with node.session() as session:
        for table in tables:
            octets = await _row_bytes(session, table)
            column = name_sql(table.sharding_key)
            parts = await read_texts(
                session,
                f"SELECT MIN(_sp_k), COUNT(*) FROM (SELECT {column} AS _sp_k, NTILE({_CELLS}) OVER (ORDER BY {column}) AS _sp_n"
                f" FROM {table.sql} WHERE {table.condition}) AS parts GROUP BY _sp_n ORDER BY _sp_n",
            )
            assert table.key_type is not None
            bounds: list[object] = []
            sizes = [Size()]
            for at, rows in parts:
                bound = _bound(table.key_type, at)
                if sizes[-1].rows and (not bounds or bounds[-1] != bound):
                    bounds.append(bound)
                    sizes.append(Size())
                sizes[-1] += Size(int(rows), int(rows) * octets)
            if sum(size.rows for size in sizes) > sum(size.rows for size in best[1]):
                extra, best = extra + sum(best[1], Size()), (bounds, sizes)
            else:
                extra += sum(sizes, Size())
    bounds, sizes = best
    whole = sum(sizes, Size())
    edges = [low, *bounds, high]
    grown = [
        size + Size(extra.rows * size.rows / whole.rows, extra.octets * size.rows / whole.rows) if whole.rows else size for size in sizes
    ]
    return [(edges[i], edges[i + 1], size) for i, size in enumerate(grown)]


def _bound(key_type: KeyType, text: str) -> object:
    if isinstance(key_type, IntegerKey):
        return int(text)
    if isinstance(key_type, DateKey):
        return dt.date.fromisoformat(text)
    return dt.datetime.fromisoformat(text) if isinstance(key_type, DateTimeKey) else text


async def _row_bytes(connection: Connection, table: MovedTable) -> float:
    name = table.name.encode().hex()
    found = await read_texts(
        connection,
        f"SELECT AVG_ROW_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = _utf8mb4 x'{name}'",
    )
    return float(found[0][0] or 0) if found else 0.0


def _within(low: object | None, high: object | None, interval: tuple[object | None, object | None]) -> bool:
    return low_place(interval[0]) <= low_place(low) and high_place(high) <= high_place(interval[1])
