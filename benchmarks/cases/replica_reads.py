"""Reads spread over two replicas, beside the primary alone: rates, CPU time on each server, and the shares of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import replication, sysbench
from benchmarks.cases.oltp import rotated, weather
from benchmarks.endpoint import Endpoint
from benchmarks.lab import Lab
from benchmarks.procfs import cpu_seconds
from benchmarks.progress import say
from benchmarks.replica_lab import ReplicaLab
from benchmarks.report import Table, median, number, paired_ratio, spread
from benchmarks.sysbench import Run

_WARM_UP_S = 1
_NEGLIGIBLE = 0.05  # of all queries: the proxy asks servers that answer nobody for their positions
_COLUMNS = (
    "via",
    "queries/s",
    "÷ direct",
    "p50 ms",
    "p95 ms",
    "CPU µs/query between",
    "server CPU µs/query",
    "primary, replicas: CPU µs/query answered",
    "shares of the queries, %",
)
_LIMIT = 4  # connections to each server
_LIMITED_CLIENTS = 16


@dataclass(frozen=True, slots=True)
class _Measured:
    """A run, and for each server its CPU seconds and the queries that it was sent."""

    run: Run
    cpu_s: Sequence[float]
    answered: Sequence[int]

    @property
    def shares(self) -> list[float]:
        return [count / sum(self.answered) for count in self.answered]

    def us_per_query(self, server: int) -> float | None:
        """CPU time for each query that this server has answered; None for a server that has answered none."""
        if self.shares[server] < _NEGLIGIBLE:
            return None
        return self.cpu_s[server] / self.answered[server] * 1e6


def point(lab: Lab) -> Table:
    """One row by its primary key."""
    return _cpu_bound(lab.replicas, "oltp_point_select", "Replicas: oltp_point_select")


def aggregate(lab: Lab) -> Table:
    """An aggregate over four fifths of a table."""
    rows = number(lab.options.table_rows * 0.8)
    return _cpu_bound(lab.replicas, sysbench.script("aggregate"), f"Replicas: aggregate over {rows} rows")


def limited(lab: Lab) -> Table:
    """Reads that take 5 ms and hardly any CPU time, with few connections to each server: what bounds is not the processor."""
    replicas = lab.replicas
    one, two = (replicas.start_proxy(replicas.shard, count, _LIMIT) for count in (1, 2))
    ways = [
        replicas.through(two, "primary", "1 server: primary"),
        replicas.through(one, "session", "1 server: replica, session"),
        replicas.through(two, "session", "2 servers: replicas, session"),
        replicas.through(two, "eventual", "2 servers: replicas, eventual"),
    ]
    measured = _measure(replicas, ways, sysbench.script("sleep"), _LIMITED_CLIENTS)
    for proxy in (one, two):
        proxy.daemon.stop()  # or it would go on asking the servers how they are
    table = Table(
        f"Replicas: SELECT …, SLEEP(0.005), {_LIMITED_CLIENTS} clients, {_LIMIT} connections to each server",
        ("proxy over", "queries/s", "÷ primary alone", "p50 ms", "p95 ms", "proxy CPU µs/query", "shares of the queries, %"),
    )
    base = [each.run.queries_per_s for each in measured[ways[0].name]]
    for name, mine in measured.items():
        rates = [one.run.queries_per_s for one in mine]
        table.rows.append(
            [
                name,
                spread(rates),
                number(paired_ratio(rates, base), 2),
                *(number(median([getattr(one.run, field) for one in mine]), 2) for field in ("p50_ms", "p95_ms")),
                spread([one.run.proxy_us_per_query for one in mine], 1),
                _shares(mine),
            ]
        )
    table.remarks.append(f"The most that {_LIMIT} connections can do: {number(_LIMIT / 0.005)} queries/s for each server.")
    table.remarks.append(weather([each.run for mine in measured.values() for each in mine]))
    return table


def _cpu_bound(replicas: ReplicaLab, workload: str, title: str) -> Table:
    ways = replicas.ways()
    measured = _measure(replicas, ways, workload, replicas.options.threads)
    table = Table(f"{title}, {replicas.options.threads} threads", _COLUMNS)
    base = [one.run.queries_per_s for one in measured.get("direct", ())]
    table.rows.extend(_row(name, mine, base) for name, mine in measured.items())
    table.remarks.append(weather([one.run for mine in measured.values() for one in mine]))
    if "router" in replicas.options.targets:
        table.remarks.append(f"router: {replicas.router.version}." if replicas.router else "MySQL Router is not on this machine.")
    return table


def _measure(replicas: ReplicaLab, ways: Sequence[Endpoint], workload: str, threads: int) -> Mapping[str, Sequence[_Measured]]:
    """Each way in turn within each round."""
    measured: dict[str, list[_Measured]] = {way.name: [] for way in ways}
    for way in ways:
        sysbench.run(workload, way, replicas.options, seconds=_WARM_UP_S, threads=threads)
    for round_index in range(replicas.options.rounds):
        for way in rotated(ways, round_index):
            done = _run(replicas, way, workload, threads)
            measured[way.name].append(done)
            say(
                f"{workload.rpartition('/')[2]} {round_index + 1}/{replicas.options.rounds} {way.name}: "
                f"{number(done.run.queries_per_s)} queries/s, shares {_shares([done])}"
            )
    return measured


def _run(replicas: ReplicaLab, way: Endpoint, workload: str, threads: int) -> _Measured:
    servers = replicas.shard.servers
    selects, cpu_s = replication.selects(servers), [cpu_seconds([pid]) for pid in way.server_pids]
    run = sysbench.run(workload, way, replicas.options, threads=threads)
    cpu_s = [cpu_seconds([pid]) - before for pid, before in zip(way.server_pids, cpu_s, strict=True)]
    return _Measured(run, cpu_s, [now - before for now, before in zip(replication.selects(servers), selects, strict=True)])


def _row(name: str, mine: Sequence[_Measured], base: Sequence[float]) -> list[str]:
    rates = [one.run.queries_per_s for one in mine]
    return [
        name,
        number(median(rates)),
        number(paired_ratio(rates, base), 2) if base else "–",
        *(number(median([getattr(one.run, field) for one in mine]), 2) for field in ("p50_ms", "p95_ms")),
        "–" if name == "direct" else spread([one.run.proxy_us_per_query for one in mine], 1),
        number(median([one.run.server_us_per_query for one in mine]), 1),
        " / ".join(_server_costs(mine)),
        _shares(mine),
    ]


def _server_costs(mine: Sequence[_Measured]) -> Iterator[str]:
    for server in range(len(mine[0].cpu_s)):
        told = [cost for one in mine if (cost := one.us_per_query(server)) is not None]
        yield number(median(told), 1) if told else "–"


def _shares(mine: Sequence[_Measured]) -> str:
    """Of each server, over all rounds."""
    sums = [sum(counts) for counts in zip(*(one.answered for one in mine), strict=True)]
    return " / ".join(number(100 * count / sum(sums), 1) for count in sums)
