"""A large result set, read as fast as it comes, and once by a reader that stops in the middle.

The memory is the point: a proxy that relays holds a few buffers, however long the result set is and however slow
its reader. The paused run would show a proxy that reads ahead of its client.
"""

from dataclasses import dataclass

from benchmarks.client import Streamed, connect, stream
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from benchmarks.lab import ROW_MARK, STREAM_SHARDED, STREAM_WHOLE, Lab
from benchmarks.layouts import FOUR
from benchmarks.procfs import CpuMeter, RssSampler
from benchmarks.progress import say
from benchmarks.report import Table, median, number, spread

_PAUSE_S = 2.0
_SELECTS = {
    "unsharded table, relayed": f"SELECT id, k, c FROM {STREAM_WHOLE}",
    f"range table over {FOUR.shards} shards": f"SELECT id, k, c FROM {STREAM_SHARDED}",
    f"range table over {FOUR.shards} shards, ORDER BY": f"SELECT id, k, c FROM {STREAM_SHARDED} ORDER BY k",
}


@dataclass(frozen=True, slots=True)
class _Pass:
    streamed: Streamed
    cpu_s: float
    start_mib: float
    peak_mib: float


def measure(lab: Lab) -> Table:
    """Rows per second, CPU time per row, and memory before and at most during the select."""
    rows = lab.options.stream_rows
    table = Table(
        f"Streamed select of {number(rows)} rows",
        (
            "select, via",
            "rows/s",
            "MB/s",
            "proxy CPU µs/row",
            "RSS before, MiB",
            "peak, MiB",
            f"peak, reader stops {_PAUSE_S:g} s",
        ),
    )
    endpoints = lab.endpoints(FOUR)
    for title, sql in _SELECTS.items():
        passes: dict[str, list[_Pass]] = {endpoint.name: [] for endpoint in endpoints}
        for _ in range(lab.options.rounds):
            for endpoint in endpoints:
                passes[endpoint.name].append(_pass(endpoint, sql, rows))
        for endpoint in endpoints:
            paused = _pass(endpoint, sql, rows, _PAUSE_S) if endpoint.proxy_pids else None
            table.rows.append(_row(f"{title}, {endpoint.name}", passes[endpoint.name], paused))
        say(f"stream: {title}")
    return table


def _pass(endpoint: Endpoint, sql: str, rows: int, pause_s: float = 0.0) -> _Pass:
    with (
        connect(endpoint) as connection,
        RssSampler(endpoint.proxy_pids) as memory,
        CpuMeter(endpoint.proxy_pids) as cpu,
    ):
        streamed = stream(connection, sql, ROW_MARK, pause_s)
    if streamed.rows != rows:
        raise BenchmarkError(f"{sql!r} through {endpoint.name} gave {streamed.rows} rows instead of {rows}")
    return _Pass(streamed, cpu.seconds, memory.start_kib / 1024, memory.peak_kib / 1024)


def _row(name: str, passes: list[_Pass], paused: _Pass | None) -> list[str]:
    rates = [one.streamed.rows / one.streamed.seconds for one in passes]
    megabytes = [one.streamed.read_bytes / one.streamed.seconds / 1e6 for one in passes]
    row = [name, number(median(rates)), number(median(megabytes))]
    if paused is None:
        return [*row, "–", "–", "–", "–"]
    cpu = [one.cpu_s / one.streamed.rows * 1e6 for one in passes]
    peaks = [number(max(one.peak_mib for one in passes), 1), number(paused.peak_mib, 1)]
    return [*row, spread(cpu, 2), number(min(one.start_mib for one in passes), 1), *peaks]
