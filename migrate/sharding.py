"""Unsharded tables become sharded ones: what must hold of them, and the tables that the other shards need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from migrate.cluster import Cluster
from migrate.errors import MoveRefused
from migrate.node import Node
from migrate.preflight import foreign_keys, make_missing, triggers
from migrate.tables import Described, describe, moved_table, name_sql, read_texts
from shardproxy.backends.catalog_builder import build_catalog
from shardproxy.backends.engine import ShardSchema
from shardproxy.store.records import StoredTopology
from shardproxy.topology.share import Share
from shardproxy.topology.topology import Topology


async def check_sharding(cluster: Cluster, sharded: StoredTopology, home: str, names: Sequence[str]) -> None:
    """Look whether tables could be served, and their rows moved, as `sharded` declares them; their rows lie on `home`.

    Raises `MoveRefused` with every reason why not.
    """
    topology = cluster.topology(sharded)
    nodes = {shard: cluster.node(shard, sharded) for shard in topology.shards}
    async with nodes[home].session() as session:
        found = await describe(session)
        reasons = await foreign_keys(session, list(names))
        reasons += await triggers(session, list(names), home)
    absent = [name for name in names if name not in found]
    if absent:
        raise MoveRefused([f"table {name} is not on shard {home}" for name in absent])
    for name in names:
        table = moved_table(topology.rule(name), found[name], Share(buckets=frozenset((0,))))
        reasons += [table] if isinstance(table, str) else []
    for shard, node in nodes.items():
        if shard != home:
            reasons += await _in_the_way(node, {name: found[name] for name in names})
    reasons += [text for text in await _faults(topology, nodes, home, names) if text not in reasons]
    if reasons:
        raise MoveRefused(reasons)


async def _in_the_way(node: Node, wanted: Mapping[str, Described]) -> list[str]:
    """Tables that another shard has already must be empty, and the same: no client could reach them so far."""
    reasons = []
    async with node.session() as session:
        there = await describe(session)
        for name, described in wanted.items():
            if name not in there:
                continue
            if there[name].columns != described.columns:
                reasons.append(f"table {name} on {node.shard}, which no client sees so far, is declared in another way; drop it there")
            elif await read_texts(session, f"SELECT 1 FROM {name_sql(name)} LIMIT 1"):
                reasons.append(f"table {name} on {node.shard}, which no client sees so far, has rows; move them out of the way by hand")
    return reasons


async def _faults(topology: Topology, nodes: Mapping[str, Node], home: str, names: Sequence[str]) -> list[str]:
    """What would keep the proxies from serving the tables if all shards had them."""
    schemas = {}
    for shard, node in nodes.items():
        async with node.session() as session:
            schemas[shard] = await node.engine.load_schema(session)
    for shard in nodes:
        schemas[shard] = _with_tables(schemas[shard], schemas[home], names)
    _, findings = build_catalog(topology, schemas, 0)
    wrong = [finding for finding in findings if finding.severity == "error" and finding.table in names]
    return [f"table {finding.table}: {finding.text}" + (f"; {finding.advice}" if finding.advice else "") for finding in wrong]


def _with_tables(schema: ShardSchema, other: ShardSchema, names: Sequence[str]) -> ShardSchema:
    def taken(ours: list[tuple[str | None, ...]], theirs: list[tuple[str | None, ...]]) -> list[tuple[str | None, ...]]:
        return [row for row in ours if row[0] not in names] + [row for row in theirs if row[0] in names]

    return replace(schema, columns=taken(schema.columns, other.columns), unique_keys=taken(schema.unique_keys, other.unique_keys))


async def make_everywhere(cluster: Cluster, stored: StoredTopology, home: str, names: Sequence[str]) -> None:
    """Make the tables, empty, on every shard that has them not; again and again without harm."""
    async with cluster.node(home, stored).session() as source:
        for shard in stored.members:
            if shard != home:
                async with cluster.node(shard, stored).session() as target:
                    await make_missing(source, target, names)
