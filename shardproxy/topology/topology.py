"""The topology: shards, tables and the map from partitions to shards, as one immutable snapshot with an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from shardproxy.config.model import ReadMode
from shardproxy.topology.share import Share


class Scheme(Enum):
    """How a table is spread over the shards."""

    RANGE = "range"
    HASH = "hash"
    REFERENCE = "reference"
    UNSHARDED = "unsharded"

    @property
    def sharded(self) -> bool:
        """Whether each row lives on the one shard that its key names."""
        return self in (Scheme.RANGE, Scheme.HASH)

    @property
    def copied(self) -> bool:
        """Whether every shard has all rows."""
        return self is Scheme.REFERENCE


@dataclass(frozen=True, slots=True)
class TableRule:
    """What the config says of one table. `group` names the partition map; `shard` is where an unsharded table lives.

    `local_unique` names unique keys that the operator accepts as unique within each shard only. `reads` is how strict reads of it are at
    least, where the config says so.
    """

    name: str
    scheme: Scheme
    key: str = ""
    group: str = ""
    shard: str = ""
    local_unique: tuple[str, ...] = ()
    reads: ReadMode | None = None


@dataclass(frozen=True, slots=True)
class RangeMap:
    """Half-open ranges in order. `bounds[i]` ends range i and starts range i + 1; `start` and `end` are None where open."""

    bounds: tuple[object, ...]
    owners: tuple[str, ...]
    start: object | None = None
    end: object | None = None


@dataclass(frozen=True, slots=True)
class Topology:
    """Shards, rules and partition maps of one epoch.

    `strays` says which rows may lie on a shard that does not own them, by group and shard: those that a move is bringing, and those
    that it has left behind. Statements over several shards leave them out. `moving` are the groups of which rows are being moved.
    """

    epoch: int
    shards: tuple[str, ...]
    default_shard: str
    rules: Mapping[str, TableRule]
    hash_maps: Mapping[str, tuple[str, ...]]
    range_maps: Mapping[str, RangeMap]
    strays: Mapping[str, Mapping[str, Share]] = field(default_factory=dict)
    moving: frozenset[str] = frozenset()

    def rule(self, table: str) -> TableRule:
        """The rule of a table; a table that no rule names is unsharded and lives on the default shard."""
        found = self.rules.get(table)
        return found if found is not None else TableRule(table, Scheme.UNSHARDED, shard=self.default_shard)
