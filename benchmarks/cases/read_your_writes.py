"""Reads right after writes, in each way of reading: what they cost, who answers them, and how many are stale."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import replication, sysbench
from benchmarks.cases.oltp import rotated, weather
from benchmarks.endpoint import Endpoint
from benchmarks.lab import Lab
from benchmarks.progress import say
from benchmarks.replica_lab import ReplicaLab
from benchmarks.replication import MODES
from benchmarks.report import Table, median, number, spread
from benchmarks.sysbench import Run

_SCRIPT = "write_then_read"


@dataclass(frozen=True, slots=True)
class _Pattern:
    title: str
    clients: int
    reads: int
    other: bool = False

    @property
    def arguments(self) -> list[str]:
        return [f"--reads={self.reads}", f"--other={'on' if self.other else 'off'}"]


_PATTERNS = (
    _Pattern("write, read", 1, 1),
    _Pattern("write, 20 reads", 1, 20),
    _Pattern("write, 200 reads", 1, 200),
    _Pattern("write, read by another session", 1, 1, other=True),
    _Pattern("write, read; 8 clients", 8, 1),
    _Pattern("write, 20 reads; 8 clients", 8, 20),
)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A run; `on_primary` is the share of the reads, `asked_per_s` how often the servers were asked for their positions."""

    run: Run
    us_per_statement: float
    on_primary: float
    asked_per_s: float


def measure(lab: Lab) -> Table:
    """Each pattern in each mode, in turn within each round."""
    replicas = lab.replicas
    ways = [replicas.direct()] if "direct" in lab.options.targets else []
    ways += [replicas.through(replicas.proxy, mode, mode) for mode in MODES] if "proxy" in lab.options.targets else []
    table = Table(
        "Reads after writes",
        (
            "pattern, reads",
            "µs/statement",
            "proxy CPU µs/statement",
            "server CPU µs/statement",
            "reads on the primary, %",
            "stale reads, %",
            "positions asked for/s",
        ),
    )
    runs: list[Run] = []
    for pattern in _PATTERNS:
        measured: dict[str, list[_Measured]] = {way.name: [] for way in ways}
        for round_index in range(lab.options.rounds):
            for way in rotated(ways, round_index):
                measured[way.name].append(_run(replicas, way, pattern))
        table.rows.extend(_row(f"{pattern.title}, {name}", mine) for name, mine in measured.items())
        runs += [one.run for mine in measured.values() for one in mine]
        say(f"read-your-writes: {pattern.title}")
    table.remarks.append(weather(runs))
    return table


def _run(replicas: ReplicaLab, way: Endpoint, pattern: _Pattern) -> _Measured:
    seconds = max(1, replicas.options.seconds // 5)
    servers, through_proxy = replicas.shard.servers, bool(way.proxy_pids)
    reads = replicas.proxy.reads() if through_proxy else {}
    selects = sum(replication.selects(servers))
    run = sysbench.run(sysbench.script(_SCRIPT), way, replicas.options, seconds, threads=pattern.clients, arguments=pattern.arguments)
    asked = sum(replication.selects(servers)) - selects - run.reads
    on_primary = 1.0
    if through_proxy:
        reads = {role: count - reads[role] for role, count in replicas.proxy.reads().items()}
        on_primary = reads["primary"] / sum(reads.values())
    us_per_statement = pattern.clients / run.queries_per_s * 1e6
    return _Measured(run, us_per_statement, on_primary, asked / (run.queries / run.queries_per_s))


def _row(name: str, mine: Sequence[_Measured]) -> list[str]:
    direct = name.endswith("direct")
    stale = sum(one.run.stale_reads for one in mine) / sum(one.run.reads for one in mine)
    return [
        name,
        spread([one.us_per_statement for one in mine]),
        "–" if direct else spread([one.run.proxy_us_per_query for one in mine], 1),
        number(median([one.run.server_us_per_query for one in mine]), 1),
        number(100 * median([one.on_primary for one in mine]), 1),
        number(100 * stale, 2) if stale else "0",
        "–" if direct else number(median([one.asked_per_s for one in mine])),
    ]
