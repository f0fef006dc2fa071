"""How the answers of several shards become one. Built by the planner, carried out by the `merge` package.

Columns are numbered in the shards' own result: from 0 for those the client sees, and from -1 backwards for hidden ones that
the planner added at the end, whose number of visible ones may not be known before the result comes (`SELECT *`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an ordering. Strings are compared by `weight`, a column with the collation's own sort key; `collation` is
    either its name or the number of a column that tells it. Other types need no weight.

    `whole`: equal values must stand side by side. A server sorts by a prefix of long strings only (max_sort_length), so such a
    key refuses them.
    """

    value: int
    descending: bool = False
    weight: int | None = None
    collation: str | int | None = None
    whole: bool = False


class Combine(Enum):
    """How the partial results of an aggregate are put together."""

    FIRST = "first"
    COUNT = "count"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    AVG = "avg"
    COUNT_DISTINCT = "count distinct"
    BIT_AND = "bit_and"
    BIT_OR = "bit_or"
    BIT_XOR = "bit_xor"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One column of a grouped result. MIN and MAX compare by `key`; AVG divides hidden columns `total` and `count`."""

    column: int
    combine: Combine
    key: SortKey | None = None
    total: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A HAVING condition on one merged column and literals (by number) or another column. `op` is =, <>, <, <=, >, >=, between,
    in, is null, is not null."""

    op: str
    column: int
    slots: tuple[tuple[int, bool], ...] = ()
    other: int | None = None


@dataclass(frozen=True, slots=True)
class Logic:
    """AND, OR and NOT of HAVING conditions."""

    op: str
    parts: tuple[Condition, ...]


Condition = Comparison | Logic


@dataclass(frozen=True, slots=True)
class Grouping:
    """GROUP BY over partial results that come ordered by the group's keys (none: one group in all).

    `distinct` are the keys within a group that COUNT(DISTINCT) counts; rows are ordered by them behind the group's keys.
    `final_order` sorts the finished groups where they are not wanted in the order of their keys.
    """

    keys: tuple[SortKey, ...]
    aggregates: tuple[Aggregate, ...]
    distinct: tuple[SortKey, ...] = ()
    having: Condition | None = None
    final_order: tuple[SortKey, ...] = ()


@dataclass(frozen=True, slots=True)
class MergeSpec:
    """The merge of a SELECT. `order` is the order in which every shard sends its rows; without it they may be mixed freely.

    `distinct` drops rows that are equal to the one before in all keys of `order`. `limit` and `offset` are numbers of literals.
    `template` is what each shard is asked.
    """

    order: tuple[SortKey, ...] = ()
    hidden: int = 0
    distinct: bool = False
    grouping: Grouping | None = None
    limit: int | None = None
    offset: int | None = None
