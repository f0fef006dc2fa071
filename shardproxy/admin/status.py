"""The state of a proxy as plain data, for /api/status and `shardctl status`."""

from __future__ import annotations

from collections import Counter
from time import perf_counter
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
                "servers": _servers(router, shard),
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


def _servers(router: Router, shard: str) -> list[dict[str, Any]]:
    """The members of a replicated shard; none for a shard of one server."""
    found = router.backends.sets.get(shard)
    if found is None:
        return []
    now = perf_counter()
    result = []
    for server in found.servers:
        role = "primary" if server is found.primary else "former primary" if server.ousted else "replica"
        lag_s = server.lag_s(now)
        result.append(
            {
                "server": server.name,
                "role": role,
                "state": server.pool.health.state.value,
                "reason": server.pool.health.reason or (server.probe.fault if server.probe is not None else ""),
                "lag_ms": None if role == "primary" or lag_s == float("inf") else round(lag_s * 1000),
                "read": server in found.eligible,
                "reads": server.reads,
                "in_use": server.in_flight,
            }
        )
        if role == "primary":
            result[-1]["reason"] = result[-1]["reason"] or found.held_back or found.fault
    return result


def _shown(bound: object) -> str:
    return "…" if bound is None else str(bound)
