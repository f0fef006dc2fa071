"""Many clients that log in and then say nothing: what each of them costs in memory."""

import time
from contextlib import ExitStack

from benchmarks.client import connect
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab
from benchmarks.layouts import TWO
from benchmarks.procfs import CpuMeter, settled_rss_kib
from benchmarks.progress import say
from benchmarks.report import Table, number

_WARM_UP_CONNECTIONS = 50
_WATCHED_S = 3.0
_GOAL_KIB = 40.0


def measure(lab: Lab) -> Table:
    """Memory before, with and after the connections, and the CPU share that their mere presence takes."""
    wanted = lab.options.idle_connections
    table = Table(
        f"{number(wanted)} idle connections",
        (
            "via",
            "logins/s",
            "CPU µs/login",
            "RSS before, MiB",
            "with all, MiB",
            "KiB/connection",
            "after closing, MiB",
            "idle CPU %",
        ),
    )
    for endpoint in lab.endpoints(TWO):
        if endpoint.proxy_pids:
            table.rows.append(_row(endpoint, wanted, table))
            say(f"idle: {endpoint.name}")
    return table


def _row(endpoint: Endpoint, wanted: int, table: Table) -> list[str]:
    pids = endpoint.proxy_pids
    with ExitStack() as warm_up:
        for _ in range(_WARM_UP_CONNECTIONS):  # code paths loaded and pools made, so that only connections count
            warm_up.enter_context(connect(endpoint))
    before_kib = settled_rss_kib(pids)
    with ExitStack() as clients:
        started = time.perf_counter()
        with CpuMeter(pids) as login_cpu:
            connections = [clients.enter_context(connect(endpoint)) for _ in range(wanted)]
        login_s = time.perf_counter() - started
        with_all_kib = settled_rss_kib(pids)
        with CpuMeter(pids) as idle_cpu:
            time.sleep(_WATCHED_S)
        for connection in connections:
            connection.ping(reconnect=False)
        if not all(connection.open for connection in connections):
            raise BenchmarkError(f"{endpoint.name} closed some of the idle connections")
    after_kib = settled_rss_kib(pids)
    each_kib = (with_all_kib - before_kib) / wanted
    if endpoint.name == "proxy":
        verdict = "met" if each_kib <= _GOAL_KIB else "missed"
        table.remarks.append(f"The goal, at most {_GOAL_KIB:g} KiB per connection in the proxy, is {verdict}.")
    return [
        endpoint.name,
        number(wanted / login_s),
        number(login_cpu.seconds / wanted * 1e6),
        number(before_kib / 1024, 1),
        number(with_all_kib / 1024, 1),
        number(each_kib, 1),
        number(after_kib / 1024, 1),
        number(idle_cpu.seconds / _WATCHED_S * 100, 1),
    ]
