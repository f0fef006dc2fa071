"""Running sysbench 1.0 and reading what it prints."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.daemon import find_tool
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from benchmarks.options import Options
from benchmarks.procfs import CpuMeter, OthersMeter, StealMeter

_SCRIPTS = Path(__file__).with_name("scripts")
_COMMON = ("--skip-trx=on", "--auto_inc=off", "--rand-type=uniform", "--db-driver=mysql")

# sysbench's own list, and "duplicate entry": without transactions two threads may both delete a row and then both
# insert it again.
_IGNORED_ERRORS = "--mysql-ignore-errors=1213,1020,1205,1062"

_QUERIES = re.compile(r"^\s+queries:\s+(\d+)\s+\(([\d.]+) per sec\.\)", re.MULTILINE)
_READS = re.compile(r"^\s+read:\s+(\d+)", re.MULTILINE)
_STALE = re.compile(r"^stale reads: (\d+)", re.MULTILINE)  # told by scripts/write_then_read.lua, once for each thread
_IGNORED = re.compile(r"^\s+ignored errors:\s+(\d+)", re.MULTILINE)
_BUCKET = re.compile(r"^\s*([\d.]+) \|\**\s+(\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """One sysbench run against one endpoint. Latencies are per sysbench event, which may be several queries."""

    queries: int
    reads: int
    stale_reads: int
    queries_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    ignored_errors: int
    proxy_cpu_s: float
    server_cpu_s: float
    stolen_share: float  # of the machine's CPU time, by its hypervisor
    others_share: float  # the same by programs that have nothing to do with this

    @property
    def proxy_us_per_query(self) -> float:
        """CPU time of what stands between client and servers, in µs for each query."""
        return self.proxy_cpu_s / self.queries * 1e6

    @property
    def server_us_per_query(self) -> float:
        """CPU time of all the servers, in µs for each query."""
        return self.server_cpu_s / self.queries * 1e6


def load(endpoint: Endpoint, options: Options, tables: int) -> None:
    """Create and fill the tables; the fixed seed and single thread give every endpoint the same rows."""
    _run(_argv("oltp_common", endpoint, tables, options.table_rows, ["--threads=1", "--rand-seed=20"], "prepare"))


def script(name: str) -> str:
    """The path of a workload of ours."""
    return str(_SCRIPTS / f"{name}.lua")


def run(
    workload: str,
    endpoint: Endpoint,
    options: Options,
    seconds: int | None = None,
    *,
    prepared: bool = False,
    threads: int = 0,
    arguments: Sequence[str] = (),
) -> Run:
    """Run a workload for its seconds, as text or by prepared statements, and measure the CPU time on its way.

    `arguments` are the workload's own.

    Raises:
        BenchmarkError: sysbench failed, or did not do a single query.
    """
    extra = [f"--threads={threads or options.threads}", f"--time={seconds or options.seconds}", "--histogram=on", _IGNORED_ERRORS]
    extra += [f"--db-ps-mode={'auto' if prepared else 'disable'}", *arguments]
    argv = _argv(workload, endpoint, options.tables, options.table_rows, extra, "run")
    with (
        StealMeter() as steal,
        OthersMeter() as others,
        CpuMeter(endpoint.proxy_pids) as proxy_cpu,
        CpuMeter(endpoint.server_pids) as server_cpu,
    ):
        output = _run(argv)
    queries, ignored = _QUERIES.search(output), _IGNORED.search(output)
    if not queries or not ignored or not int(queries[1]):
        raise BenchmarkError(f"sysbench did nothing against {endpoint.name}:\n{output[-2000:]}")
    reads = _READS.search(output)
    buckets = parse_histogram(output)
    return Run(
        queries=int(queries[1]),
        reads=int(reads[1]) if reads else 0,
        stale_reads=sum(int(count) for count in _STALE.findall(output)),
        queries_per_s=float(queries[2]),
        p50_ms=percentile(buckets, 50),
        p95_ms=percentile(buckets, 95),
        p99_ms=percentile(buckets, 99),
        ignored_errors=int(ignored[1]),
        proxy_cpu_s=proxy_cpu.seconds,
        server_cpu_s=server_cpu.seconds,
        stolen_share=steal.share,
        others_share=others.share,
    )


def parse_histogram(output: str) -> list[tuple[float, int]]:
    """The latency histogram as (milliseconds, events), each bucket named by its value; they are 1.8 % apart."""
    return [(float(value), int(count)) for value, count in _BUCKET.findall(output)]


def percentile(buckets: Sequence[tuple[float, int]], percent: float) -> float:
    """The value of the first bucket with at least this share of all events in it and below it."""
    wanted = sum(count for _, count in buckets) * percent / 100
    seen = 0
    for value, count in buckets:
        seen += count
        if seen >= wanted:
            return value
    return float("nan")


def _argv(workload: str, endpoint: Endpoint, tables: int, table_rows: int, extra: Sequence[str], command: str) -> list[str]:
    return [
        find_tool("sysbench"),
        workload,
        "--mysql-host=127.0.0.1",
        f"--mysql-port={endpoint.port}",
        f"--mysql-user={endpoint.user}",
        f"--mysql-password={endpoint.password}",
        f"--mysql-db={endpoint.schema}",
        f"--tables={tables}",
        f"--table-size={table_rows}",
        *_COMMON,
        *extra,
        command,
    ]


def _run(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stdout + done.stderr)[-2000:]
        raise BenchmarkError(f"sysbench {argv[1]} {argv[-1]} on port {argv[3].partition('=')[2]} failed:\n{told}")
    return done.stdout
