"""The state of a proxy as plain data, for /api/status and `shardctl status`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from shardproxy.session.router import Router


def status(router: Router) -> dict[str, Any]:
    """Everything an operator wants to see first."""
    topology = router.topology
    buckets = {group: dict(sorted(Counter(owners).items())) for group, owners in topology.hash_maps.items()}
    hits, misses, entries = router.plan_cache_counts
    return {
        "ready": router.ready,
        "draining": router.draining,
        "epoch": topology.epoch,
        "schema": router.logical_schema,
        "connections": len(router.sessions),
        "queries": router.statements,
        "plan_cache": {"hits": hits, "misses": misses, "entries": entries},
        "shards": [
            {
                "name": shard,
                "server": pool.engine.label,
                "state": pool.health.state.value,
                "reason": pool.health.reason,
                "in_use": pool.in_use,
                "idle": pool.idle,
                "waiting": pool.waiting,
                "buckets": {group: counts.get(shard, 0) for group, counts in buckets.items()},
                "ranges": [
                    f"{group}: [{_shown(low)}, {_shown(high)})"
                    for group, ranges in topology.range_maps.items()
                    for low, high, owner in zip((ranges.start, *ranges.bounds), (*ranges.bounds, ranges.end), ranges.owners, strict=True)
                    if owner == shard
                ],
            }
            for shard, pool in router.backends.pools.items()
        ],
        "tables": [
            {
                "name": name,
                "by": rule.scheme.value,
                "key": rule.key,
                "group": rule.group,
                "shard": rule.shard,
                "problem": router.context.problems.get(name, ""),
            }
            for name, rule in sorted(topology.rules.items())
        ],
        "differences": router.differences,
    }


def _shown(bound: object) -> str:
    return "…" if bound is None else str(bound)
