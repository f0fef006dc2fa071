"""What the store keeps: one document with everything that proxies must agree on, under an epoch that counts its changes."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shardproxy.topology.moves import Hold, Move, MoveState
from shardproxy.topology.rebalance_apply import owns
from shardproxy.topology.share import Share
from shardproxy.topology.topology import RangeMap


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """A member, or one that is to become one. `primary` and `replicas` are URLs as in the file, or empty where the file has the shard.

    `member`: it has the reference tables, and may own partitions. `draining`: it is to own nothing.
    """

    primary: str = ""
    replicas: tuple[str, ...] = ()
    weight: float | None = None
    member: bool = True
    draining: bool = False


@dataclass(frozen=True, slots=True)
class ShardedTable:
    """A table that was sharded after the file was written."""

    key: str
    group: str


@dataclass(frozen=True, slots=True)
class StoredTopology:
    """The document. `mover` is the token of the mover that acts: a mover with a lower one has been replaced and must stop.

    `knobs` are the mover's settings that an operator may change while it runs.
    """

    epoch: int
    shards: Mapping[str, ShardRecord]
    hash_maps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    range_maps: Mapping[str, RangeMap] = field(default_factory=dict)
    tables: Mapping[str, ShardedTable] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    hold: Hold | None = None
    mover: int = 0
    knobs: Mapping[str, float] = field(default_factory=dict)

    @property
    def members(self) -> tuple[str, ...]:
        """The shards that statements may reach."""
        return tuple(name for name, record in self.shards.items() if record.member)

    def move(self, number: int) -> Move | None:
        """The move of that number."""
        return next((move for move in self.moves if move.id == number), None)

    def with_move(self, move: Move) -> StoredTopology:
        """The document with this move in place of the one of its number, or added."""
        known = self.move(move.id) is not None
        moves = tuple(move if other.id == move.id else other for other in self.moves)
        return replace(self, moves=moves if known else (*moves, move))

    def without_hold(self) -> StoredTopology:
        """The next document, in which nothing has to wait."""
        return replace(self, epoch=self.epoch + 1, hold=None)

    @property
    def strays(self) -> dict[str, dict[str, Share]]:
        """By group and shard, the rows that may lie on a shard that does not own them."""
        found: dict[str, dict[str, Share]] = {}
        for move in self.moves:
            if move.joins:
                continue
            shard = move.target if move.state.strays_on_target else move.source if move.state.strays_on_source else ""
            share = self._not_owned(move, shard) if shard else Share()
            if share:
                of_group = found.setdefault(move.group, {})
                of_group[shard] = of_group.get(shard, Share()) | share
        return found

    def _not_owned(self, move: Move, shard: str) -> Share:
        """What of a move's share another shard owns: rows that a shard owns are never left out there, whatever moves there were."""
        if move.group in self.hash_maps:
            owners = self.hash_maps[move.group]
            return Share(frozenset(bucket for bucket in move.share.buckets if owners[bucket] != shard))
        if move.group not in self.range_maps:
            return Share()
        parts = tuple(part for part in move.share.intervals if not owns({}, self.range_maps, move.group, shard, Share(intervals=(part,))))
        return Share(intervals=parts)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A proxy that has told the store of itself: the epoch up to which it has carried everything out, and whether it still lives."""

    proxy: str
    epoch: int
    alive: bool


def encode(topology: StoredTopology) -> str:
    """The document as JSON, without its epoch."""
    return json.dumps(
        {
            "shards": {name: _plain(record) for name, record in topology.shards.items()},
            "hash": {group: _runs(owners) for group, owners in topology.hash_maps.items()},
            "range": {
                group: {"bounds": [_tag(b) for b in m.bounds], "owners": m.owners, "start": _tag(m.start), "end": _tag(m.end)}
                for group, m in topology.range_maps.items()
            },
            "tables": {name: _plain(table) for name, table in topology.tables.items()},
            "moves": [_plain_move(move) for move in topology.moves],
            "hold": [topology.hold.move, topology.hold.epoch] if topology.hold else None,
            "mover": topology.mover,
            "knobs": dict(topology.knobs),
        }
    )


def decode(epoch: int, text: str) -> StoredTopology:
    """The document from JSON; also the form of the first version, which knew no moves."""
    raw = json.loads(text)
    shards = raw["shards"]
    return StoredTopology(
        epoch,
        {name: ShardRecord() for name in shards}
        if isinstance(shards, list)
        else {name: ShardRecord(**{**record, "replicas": tuple(record["replicas"])}) for name, record in shards.items()},
        {group: _from_runs(owners) for group, owners in raw["hash"].items()},
        {
            group: RangeMap(tuple(_untag(b) for b in m["bounds"]), tuple(m["owners"]), _untag(m["start"]), _untag(m["end"]))
            for group, m in raw["range"].items()
        },
        {name: ShardedTable(**table) for name, table in raw.get("tables", {}).items()},
        tuple(_move(move) for move in raw.get("moves", ())),
        Hold(*raw["hold"]) if raw.get("hold") else None,
        raw.get("mover", 0),
        raw.get("knobs", {}),
    )


def _plain(record: ShardRecord | ShardedTable) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def _plain_move(move: Move) -> dict[str, Any]:
    plain = {name: getattr(move, name) for name in move.__slots__}
    plain["state"] = move.state.value
    plain["share"] = plain_share(move.share)
    return plain


def _move(raw: dict[str, Any]) -> Move:
    return Move(**{**raw, "state": MoveState(raw["state"]), "share": share_of(raw["share"])})


def plain_share(share: Share) -> dict[str, Any]:
    """A share as JSON has it."""
    intervals = [[_tag(low), _tag(high)] for low, high in share.intervals]
    return {"buckets": sorted(share.buckets), "intervals": intervals, "everything": share.everything}


def share_of(raw: dict[str, Any]) -> Share:
    """A share from JSON."""
    intervals = tuple((_untag(low), _untag(high)) for low, high in raw["intervals"])
    return Share(frozenset(raw["buckets"]), intervals, raw["everything"])


def _runs(owners: tuple[str, ...]) -> dict[str, Any]:
    """Owners by number: 4096 names would make every document ten times as long."""
    names = sorted(set(owners))
    number = {name: i for i, name in enumerate(names)}
    return {"names": names, "owners": [number[owner] for owner in owners]}


def _from_runs(raw: Any) -> tuple[str, ...]:
    if isinstance(raw, list):
        return tuple(raw)
    names = raw["names"]
    return tuple(names[number] for number in raw["owners"])


def _tag(value: object) -> object:
    """TOML's dates have no form in JSON."""
    if isinstance(value, dt.datetime):
        return {"datetime": value.isoformat()}
    return {"date": value.isoformat()} if isinstance(value, dt.date) else value


def _untag(value: object) -> object:
    if isinstance(value, dict):
        return dt.datetime.fromisoformat(value["datetime"]) if "datetime" in value else dt.date.fromisoformat(value["date"])
    return value
