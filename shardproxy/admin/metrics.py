"""The counters in Prometheus' format, made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from shardproxy.session.router import Router
from shardproxy.telemetry.counters import LATENCY_BOUNDS_S


class RouterCollector(Collector):
    """Reads one process' counters."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def collect(self) -> Iterator[Metric]:
        """All metric families."""
        yield from self._clients()
        yield from self._queries()
        yield from self._pools()
        yield from self._replicas()

    def _clients(self) -> Iterator[Metric]:
        router, metrics = self._router, self._router.metrics
        yield GaugeMetricFamily("shardproxy_connections", "Client connections that are open.", value=len(router.sessions))
        yield CounterMetricFamily("shardproxy_connections", "Client connections since the start.", value=metrics.connections_total)
        yield CounterMetricFamily("shardproxy_logins_failed", "Refused logins.", value=metrics.logins_failed)
        pins = CounterMetricFamily("shardproxy_pins", "Sessions that were pinned to their connections.", labels=["reason"])
        for reason, count in metrics.pins.items():
            pins.add_metric([reason], count)
        yield pins
        yield GaugeMetricFamily("shardproxy_topology_epoch", "Epoch of the topology that is served.", value=router.topology.epoch)

    def _queries(self) -> Iterator[Metric]:
        router, metrics = self._router, self._router.metrics
        queries = CounterMetricFamily("shardproxy_queries", "Statements sent to shards.", labels=["kind", "shard"])
        for shard, pool in router.backends.pools.items():
            for kind, count in pool.statements.items():
                queries.add_metric([kind, shard], count)
        yield queries
        errors = CounterMetricFamily(
            "shardproxy_errors", "Errors that clients were given, by id; 'server' for a shard's own.", labels=["id"]
        )
        for id_, count in metrics.errors.items():
            errors.add_metric([id_], count)
        yield errors
        yield CounterMetricFamily("shardproxy_retries", "Reads repeated on a new connection.", value=metrics.retries)
        buckets, total = [], 0
        for bound, count in zip([*map(str, LATENCY_BOUNDS_S), "+Inf"], metrics.latency.buckets, strict=True):
            total += count
            buckets.append((bound, total))
        yield HistogramMetricFamily(
            "shardproxy_command_seconds",
            "Time from a command's arrival to the end of its answer.",
            buckets=buckets,
            sum_value=metrics.latency.total,
        )
        hits, misses, entries = router.plan_cache_counts
        yield CounterMetricFamily("shardproxy_plan_cache_hits", "Statements whose shape was planned already.", value=hits)
        yield CounterMetricFamily("shardproxy_plan_cache_misses", "Statements that had to be planned.", value=misses)
        yield GaugeMetricFamily("shardproxy_plan_cache_entries", "Plans in the cache.", value=entries)

    def _pools(self) -> Iterator[Metric]:
        connections = GaugeMetricFamily("shardproxy_pool_connections", "Connections to a shard's server.", labels=["shard", "state"])
        waiting = GaugeMetricFamily("shardproxy_pool_waiting", "Statements that wait for a connection.", labels=["shard"])
        up = GaugeMetricFamily("shardproxy_server_up", "1 unless the server is down.", labels=["shard"])
        for shard, pool in self._router.backends.pools.items():
            connections.add_metric([shard, "in_use"], pool.in_use)
            connections.add_metric([shard, "idle"], pool.idle)
            waiting.add_metric([shard], pool.waiting)
            up.add_metric([shard], int(pool.health.usable))
        yield connections
        yield waiting
        yield up

    def _replicas(self) -> Iterator[Metric]:
        """Of replicated shards: who is read, and how old what is read may be."""
        reads = CounterMetricFamily("shardproxy_reads", "Reads of tables by the server that answered.", labels=["shard", "server", "role"])
        lag = GaugeMetricFamily("shardproxy_replica_lag_seconds", "How far a replica is known to be behind.", labels=["shard", "server"])
        usable = GaugeMetricFamily("shardproxy_replica_up", "1 if a replica may be read.", labels=["shard", "server"])
        writable = GaugeMetricFamily("shardproxy_primary_up", "1 if statements may be sent to the primary.", labels=["shard"])
        now = perf_counter()
        for shard, found in self._router.backends.sets.items():
            writable.add_metric([shard], int(found.has_primary))
            for server in found.servers:
                primary = server is found.primary
                reads.add_metric([shard, server.name, "primary" if primary else "replica"], server.reads)
                if not primary:
                    lag.add_metric([shard, server.name], server.lag_s(now))
                    usable.add_metric([shard, server.name], int(server in found.eligible))
        yield reads
        yield lag
        yield usable
        yield writable


def render_metrics(router: Router) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(RouterCollector(router))
    return generate_latest(registry)
