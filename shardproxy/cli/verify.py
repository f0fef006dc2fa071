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
        async with node.session() as session:
            shares = [await tables_on(node, topology, group, share, joins=False) for share in (own, stray)]
            for of_own, of_moves in zip(*shares, strict=True):
                # One statement, as rows come and go meanwhile.
                sums = f"SUM({of_own.condition}), SUM({of_moves.condition})"
                whole, owned, moving = (await read_texts(session, f"SELECT COUNT(*), {sums} FROM {of_own.sql}"))[0]
                misplaced = int(whole) - int(owned or 0) - int(moving or 0)
                row = {"shard": shard, "table": of_own.name, "rows": int(owned or 0), "moving": int(moving or 0), "misplaced": misplaced}
                found.append(row)
    return found
