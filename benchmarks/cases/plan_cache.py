"""What a statement shape costs that the proxy has never seen: parsing and planning, which a cached plan saves."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from pymysql.connections import Connection

from benchmarks.client import connect, fetch
from benchmarks.endpoint import Endpoint
from benchmarks.lab import Lab
from benchmarks.layouts import TWO
from benchmarks.procfs import CpuMeter
from benchmarks.progress import say
from benchmarks.report import Table, number, spread

# `{name}` is an alias: a new one makes a new shape, and nothing else about the statement changes.
_TEMPLATES = {
    "point select": "SELECT c AS {name} FROM sbtest1 WHERE id = 7",
    "scatter, grouped": (
        "SELECT k AS {name}, COUNT(*), SUM(k) FROM sbtest1 WHERE id BETWEEN 1 AND 100 GROUP BY {name} ORDER BY {name} LIMIT 3"
    ),
}


def measure(lab: Lab) -> Table:
    """CPU time per query with one shape throughout and with a new shape each time; the difference is a miss."""
    table = Table(
        "Plan-cache miss, one connection",
        ("statement, via", "same shape, CPU µs/query", "new shape each time", "a miss costs, µs"),
    )
    new_names = (f"n{index}" for index in itertools.count())
    for endpoint in lab.endpoints(TWO):
        if not endpoint.proxy_pids:
            continue
        for title, template in _TEMPLATES.items():
            table.rows.append(_row(lab, endpoint, title, template, new_names))
    say("plan-cache: done")
    return table


def _row(lab: Lab, endpoint: Endpoint, title: str, template: str, new_names: Iterator[str]) -> list[str]:
    same: list[float] = []
    new: list[float] = []
    with connect(endpoint) as connection:
        fetch(connection, template.format(name="same"))
        for _ in range(lab.options.rounds):
            same.append(_us_per_query(lab, endpoint, connection, lambda: template.format(name="same")))
            new.append(_us_per_query(lab, endpoint, connection, lambda: template.format(name=next(new_names))))
    miss = [of_new - of_same for of_new, of_same in zip(new, same, strict=True)]
    return [f"{title}, {endpoint.name}", spread(same), spread(new), number(sorted(miss)[len(miss) // 2])]


def _us_per_query(lab: Lab, endpoint: Endpoint, connection: "Connection[Any]", next_statement: Callable[[], str]) -> float:
    count = lab.options.statements
    with CpuMeter(endpoint.proxy_pids) as cpu:
        for _ in range(count):
            fetch(connection, next_statement())
    return cpu.seconds / count * 1e6
