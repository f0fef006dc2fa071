"""Prepared statements next to text: CPU time per execution, and how many statements the servers come to hold."""

from benchmarks import sysbench
from benchmarks.lab import Lab
from benchmarks.layouts import TWO
from benchmarks.progress import say
from benchmarks.report import Table, median, number, paired_ratio, spread
from benchmarks.sysbench import Run

_SCRIPTS = ("oltp_point_select", "oltp_read_only")
_COLUMNS = ("workload", "via", "queries/s", "proxy CPU µs/query", "prepared ÷ text", "÷ haproxy, prepared")


def measure(lab: Lab) -> Table:
    """Each workload as text and prepared, in turn within each round."""
    options = lab.options
    endpoints = {endpoint.name: endpoint for endpoint in lab.endpoints(TWO)}
    table = Table(f"Prepared statements (sysbench --db-ps-mode=auto), {options.threads} threads", _COLUMNS)
    for script in _SCRIPTS:
        ways = [(name, prepared) for name in ("haproxy", "proxy") if name in endpoints for prepared in (False, True)]
        runs: dict[tuple[str, bool], list[Run]] = {way: [] for way in ways}
        for round_index in range(options.rounds):
            for name, prepared in ways[round_index % len(ways) :] + ways[: round_index % len(ways)]:
                done = sysbench.run(script, endpoints[name], options, prepared=prepared)
                runs[name, prepared].append(done)
                say(f"{script} {round_index + 1}/{options.rounds} {name} prepared={prepared}: {done.proxy_us_per_query:.1f} µs/query")
        cpu = {way: [run.proxy_us_per_query for run in mine] for way, mine in runs.items()}
        for name, prepared in ways:
            text, peer = cpu.get((name, False), []), cpu.get(("haproxy", True), [])
            table.rows.append(
                [
                    script,
                    f"{name}, {'prepared' if prepared else 'text'}",
                    number(median([run.queries_per_s for run in runs[name, prepared]])),
                    spread(cpu[name, prepared], 1),
                    number(paired_ratio(cpu[name, prepared], text), 2) if prepared else "–",
                    number(paired_ratio(cpu[name, prepared], peer), 2) if prepared and name == "proxy" and peer else "–",
                ]
            )
    return table
