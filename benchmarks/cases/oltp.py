"""The sysbench workloads over every target in turn: queries per second, latency, and CPU time per query."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks import sysbench
from benchmarks.lab import Lab
from benchmarks.layouts import TWO
from benchmarks.progress import say
from benchmarks.report import Table, median, number, paired_ratio, spread
from benchmarks.sysbench import Run

_Target = TypeVar("_Target")

_WARM_UP_S = 2
_COLUMNS = (
    "via",
    "queries/s",
    "÷ direct",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "proxy CPU µs/query",
    "÷ haproxy",
    "server CPU µs/query",
)


@dataclass(frozen=True, slots=True)
class _Workload:
    script: str
    queries_per_event: int
    cpu_goal: float | None = None  # the proxy's CPU per query over HAProxy's


def point_select(lab: Lab) -> Table:
    """One row by its primary key."""
    return _measure(lab, _Workload("oltp_point_select", 1, cpu_goal=1.4))


def read_only(lab: Lab) -> Table:
    """Ten point selects, then four 100-row ranges: plain, SUM, ORDER BY, DISTINCT with ORDER BY."""
    return _measure(lab, _Workload("oltp_read_only", 14, cpu_goal=1.5))


def write_only(lab: Lab) -> Table:
    """Two updates, a delete and an insert by primary key, each committed by itself."""
    return _measure(lab, _Workload("oltp_write_only", 4))


def _measure(lab: Lab, workload: _Workload) -> Table:
    options = lab.options
    endpoints = lab.endpoints(TWO)
    for endpoint in endpoints:
        sysbench.run(workload.script, endpoint, options, seconds=min(_WARM_UP_S, options.seconds))
    runs: dict[str, list[Run]] = {endpoint.name: [] for endpoint in endpoints}
    for round_index in range(options.rounds):
        for endpoint in rotated(endpoints, round_index):
            done = sysbench.run(workload.script, endpoint, options)
            runs[endpoint.name].append(done)
            say(
                f"{workload.script} {round_index + 1}/{options.rounds} {endpoint.name}: "
                f"{number(done.queries_per_s)} queries/s, proxy CPU {done.proxy_us_per_query:.1f} µs/query"
            )
    event = "query" if workload.queries_per_event == 1 else f"event of {workload.queries_per_event} queries"
    table = Table(f"{workload.script}, {options.threads} threads, latency per {event}", _COLUMNS)
    table.rows.extend(_row(name, runs) for name in runs)
    table.remarks.extend(_remarks(workload, runs))
    return table


def rotated(targets: Sequence[_Target], by: int) -> list[_Target]:
    """Each round starts with another target, so that none always runs on a machine warmed up by the same one."""
    by %= len(targets)
    return [*targets[by:], *targets[:by]]


def weather(runs: Sequence[Run]) -> str:
    """What the machine was busy with besides."""
    stolen, others = ([100 * getattr(run, field) for run in runs] for field in ("stolen_share", "others_share"))
    return f"CPU time during a run, %: stolen by the hypervisor {spread(stolen, 1)}, taken by other programs {spread(others, 1)}."


def _row(name: str, runs: dict[str, list[Run]]) -> list[str]:
    mine = runs[name]
    rates = [run.queries_per_s for run in mine]
    cpu = [run.proxy_us_per_query for run in mine]
    return [
        name,
        number(median(rates)),
        _ratio(rates, [run.queries_per_s for run in runs.get("direct", ())]),
        *(number(median([getattr(run, field) for run in mine]), 2) for field in ("p50_ms", "p95_ms", "p99_ms")),
        "–" if name == "direct" else spread(cpu, 1),
        "–" if name == "direct" else _ratio(cpu, [run.proxy_us_per_query for run in runs.get("haproxy", ())]),
        number(median([run.server_us_per_query for run in mine]), 1),
    ]


def _ratio(values: Sequence[float], base: Sequence[float]) -> str:
    return number(paired_ratio(values, base), 2) if base else "–"


def _remarks(workload: _Workload, runs: dict[str, list[Run]]) -> Iterator[str]:
    if workload.cpu_goal and runs.get("proxy") and runs.get("haproxy"):
        cpu = {name: [run.proxy_us_per_query for run in runs[name]] for name in ("proxy", "haproxy")}
        ratio = paired_ratio(cpu["proxy"], cpu["haproxy"])
        verdict = "met" if ratio <= workload.cpu_goal else "missed"
        yield f"CPU per query, proxy ÷ haproxy: {ratio:.2f}; the goal, at most {workload.cpu_goal}, is {verdict}."
    yield weather([run for done in runs.values() for run in done])
    for name, done in runs.items():
        if ignored := sum(run.ignored_errors for run in done):
            yield f"{name}: {ignored} statements met a deadlock, a lock timeout or a duplicate key and were given up."
