"""`shardctl verify`: whether every row lies where the topology says, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

from migrate.cluster import Cluster, opened
from migrate.preflight import tables_on
from migrate.tables import read_texts
from shardproxy.cli.main import EXIT_DONE, EXIT_FAILED
from shardproxy.cli.printing import plain_table, stdout_console
from shardproxy.config.loader import LoadedConfig
from shardproxy.store.records import StoredTopology
from shardproxy.topology.rebalance_apply import owner_parts
from shardproxy.topology.share import Share


async def verify(loaded: LoadedConfig, *, as_json: bool) -> int:
    """Count, on each shard, the rows that it owns, those that a move has there, and those that belong elsewhere: exit code 1 if any."""
    async with opened(loaded) as cluster:
        stored = cluster.open()
        rows = []
        for shard in stored.members:
            rows += await _on_shard(cluster, stored, shard)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        table = plain_table("shard", "table", "own rows", "of moves", "misplaced")
        for row in rows:
            table.add_row(row["shard"], row["table"], str(row["rows"]), str(row["moving"]), str(row["misplaced"]))
        stdout_console().print(table)
    return EXIT_FAILED if any(row["misplaced"] for row in rows) else EXIT_DONE


async def _on_shard(cluster: Cluster, stored: StoredTopology, shard: str) -> list[dict[str, Any]]:
    topology = cluster.topology(stored)
    node = cluster.node(shard, stored)
    found = []
    for group in sorted({rule.group for rule in topology.rules.values() if rule.scheme.sharded}):
        own = owner_parts(stored.hash_maps, stored.range_maps, group, shard)
        stray = stored.strays.get(group, {}).get(shard, Share())
        counts = []
        names: list[str] = []
        async with node.session() as session:
            for share in (Share(everything=True), own, stray):
                tables = await tables_on(node, topology, group, share, joins=False)
                names = [table.name for table in tables]
                counts.append([int((await read_texts(session, f"SELECT COUNT(*) FROM {t.sql} WHERE {t.condition}"))[0][0]) for t in tables])
        for name, whole, owned, moving in zip(names, *counts, strict=True):
            found.append({"shard": shard, "table": name, "rows": owned, "moving": moving, "misplaced": whole - owned - moving})
    return found
