"""Statements that go to all four shards and are merged, one at a time on one connection."""

import time
from dataclasses import dataclass, field
from typing import Any

from pymysql.connections import Connection

from benchmarks.client import connect, fetch
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab
from benchmarks.layouts import FOUR
from benchmarks.procfs import CpuMeter
from benchmarks.progress import say
from benchmarks.report import Table, median, number, spread

_STATEMENTS = (
    "SELECT COUNT(*), SUM(k) FROM sbtest1",
    "SELECT id, k, c FROM sbtest1 ORDER BY k, id LIMIT 10",
    "SELECT k % 10 AS digit, COUNT(*), AVG(k) FROM sbtest1 GROUP BY digit ORDER BY digit",
)


@dataclass(slots=True)
class _Measured:
    latencies_ms: list[float] = field(default_factory=list)
    proxy_us: list[float] = field(default_factory=list)  # per statement, one entry for each round
    server_us: list[float] = field(default_factory=list)


def measure(lab: Lab) -> Table:
    """Latency and CPU time per statement through each target, with the answers compared."""
    endpoints = lab.endpoints(FOUR)
    table = Table(
        f"Scatter over {FOUR.shards} shards, {number(lab.options.table_rows)} rows, one connection",
        ("statement, via", "p50 ms", "p95 ms", "p99 ms", "proxy CPU µs/statement", "server CPU µs/statement"),
    )
    for sql in _STATEMENTS:
        measured = {endpoint.name: _Measured() for endpoint in endpoints}
        # sysbench fills each side with random values of its own: an endpoint is held to its own answer. That answers are
        # right is what tests/property is for.
        answers: dict[str, set[str]] = {endpoint.name: set() for endpoint in endpoints}
        for _ in range(lab.options.rounds):
            for endpoint in endpoints:
                with connect(endpoint) as connection:
                    answers[endpoint.name].add(repr(fetch(connection, sql)))  # also the warm-up
                    _run(connection, sql, lab.options.statements, endpoint, measured[endpoint.name])
        for name, given in answers.items():
            if len(given) > 1:
                raise BenchmarkError(f"{name} answers {sql!r} differently from round to round: {sorted(given)}")
        say(f"scatter: {sql}")
        table.rows.extend(_row(f"`{sql}`, {name}", of_one) for name, of_one in measured.items())
    return table


def _run(connection: "Connection[Any]", sql: str, count: int, endpoint: Endpoint, measured: _Measured) -> None:
    with CpuMeter(endpoint.proxy_pids) as proxy_cpu, CpuMeter(endpoint.server_pids) as server_cpu:
        for _ in range(count):
            started = time.perf_counter()
            fetch(connection, sql)
            measured.latencies_ms.append((time.perf_counter() - started) * 1e3)
    measured.proxy_us.append(proxy_cpu.seconds / count * 1e6)
    measured.server_us.append(server_cpu.seconds / count * 1e6)


def _row(name: str, measured: _Measured) -> list[str]:
    ordered = sorted(measured.latencies_ms)
    quantiles = (ordered[int(len(ordered) * share)] for share in (0.5, 0.95, 0.99))
    proxy = "–" if name.endswith("direct") else spread(measured.proxy_us)
    return [name, *(number(value, 2) for value in quantiles), proxy, number(median(measured.server_us))]
