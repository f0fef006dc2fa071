"""Rows on shards that do not own them, as in the middle of moves: the proxy knows of them from its store, and must not meet them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random

from shardproxy.config.loader import load_config, seed_topology
from shardproxy.store.records import StoredTopology
from shardproxy.topology.hashing import BUCKETS
from shardproxy.topology.keys import BytesKey, DateKey, DateTimeKey, IntegerKey, KeyType, StringKey
from shardproxy.topology.moves import Move, MoveState
from shardproxy.topology.share import Share
from shardproxy.topology.share_sql import share_sql
from shardproxy.topology.topology import Topology
from tests.conftest import Shards
from tests.property.differential.clients import Client, Row
from tests.property.differential.columns import Column
from tests.property.differential.schemas import Schema, Table
from tests.property.differential.writes import insert
from tests.support.proxy import ProxyProcess
from tests.support.strays import StoredMoves

_AT_LEAST = 12


class Strays:
    """What lies where it does not belong, and what it was when it was put there."""

    def __init__(self, shards: Shards, process: ProxyProcess, *, known: bool = True) -> None:
        """Where they are not `known`, the proxy, which is running, takes them for rows like all others."""
        topology = seed_topology(load_config(process.config_path).config)
        moves = tuple(_moves(topology))
        self._stored = StoredMoves(process)
        self._moves = moves if known else ()
        self._groups = {name: rule.group for name, rule in topology.rules.items()}
        self._shares = StoredTopology(1, {}, topology.hash_maps, topology.range_maps, moves=moves).strays
        self._shards = {
            name: Client(lambda server=server, schema=schema, **options: server.connect(schema, **options))
            for name, (server, schema) in shards.placement.items()
        }
        self._planted: dict[tuple[str, str], list[Row]] = {}
        self.rows = 0

    def withdraw(self) -> None:
        """Nothing is moved: the schema may be changed."""
        self._stored.put(())

    def announce(self) -> None:
        """From now on the proxy knows."""
        self._stored.put(self._moves)

    def plant(self, rng: Random, table: Table) -> None:
        """Put rows on the shards that may have them; the table is empty."""
        for shard, condition in self._conditions(table):
            client = self._shards[shard]
            for _ in range(20):
                client.run(insert(rng, table, 20, verb="INSERT IGNORE").sql)
                client.run(f"DELETE FROM {table.name} WHERE NOT {condition}")
                rows = sorted(client.rows(f"SELECT * FROM {table.name}"), key=repr)
                if len(rows) >= _AT_LEAST:
                    break
            self._planted[table.name, shard] = rows
            self.rows += len(rows)

    def fault(self, schema: Schema) -> str:
        """What has become of them, or "" where they are as they were."""
        for table in schema.sharded:
            for shard, condition in self._conditions(table):
                rows = sorted(self._shards[shard].rows(f"SELECT * FROM {table.name} WHERE {condition}"), key=repr)
                if rows != self._planted[table.name, shard]:
                    return f"rows of {table.name} that lie on {shard} without belonging there have changed"
        return ""

    def hang_up(self) -> None:
        """Close the connections."""
        for client in self._shards.values():
            client.close()

    def _conditions(self, table: Table) -> Iterator[tuple[str, str]]:
        for shard, share in self._shares.get(self._groups[table.name], {}).items():
            yield shard, share_sql(_key_type(table.key), "k", share)


def _moves(topology: Topology) -> Iterator[Move]:
    """Shards that get rows, and one that has given some away."""
    for group, owners in topology.hash_maps.items():
        foreign = {shard: [b for b in range(BUCKETS) if owners[b] != shard] for shard in topology.shards}
        yield _move(group, "s0", "s1", Share(frozenset(foreign["s1"][::3])), MoveState.COPYING)
        yield _move(group, "s0", "s3", Share(frozenset(foreign["s3"][1::2])), MoveState.VERIFYING)
        yield _move(group, "s2", "s1", Share(frozenset(foreign["s2"][::5])), MoveState.SWITCHED)
    for group, ranges in topology.range_maps.items():
        edges = [ranges.start, *ranges.bounds, ranges.end]
        intervals = list(pairwise(edges))
        for holder, owner in zip(range(len(intervals)), [*range(1, len(intervals)), 0], strict=True):
            source, target = ranges.owners[owner], ranges.owners[holder]
            if holder % 2:
                yield _move(group, target, source, Share(intervals=(intervals[owner],)), MoveState.CLEANUP)
            else:
                yield _move(group, source, target, Share(intervals=(intervals[owner],)), MoveState.FENCING)


def _move(group: str, source: str, target: str, share: Share, state: MoveState) -> Move:
    return Move(0, group, source, target, share, state)


def _key_type(column: Column) -> KeyType:
    """As the proxy reads it from the servers, as far as it matters here."""
    if column.kind == "int":
        return IntegerKey(-(1 << 63), (1 << 64) - 1)
    if column.kind == "bin":
        return BytesKey(16)
    if column.kind == "date":
        return DateKey()
    if column.kind == "datetime":
        return DateTimeKey(int(column.ddl.partition("(")[2].rstrip(")")))
    return StringKey(column.ddl.startswith("CHAR") or "nopad" not in column.collation, 20, "utf-8")
