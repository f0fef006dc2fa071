"""`shardproxy check`: does the config fit what the shards hold, and if not, what is to be done."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from shardproxy.backends.catalog_builder import Finding
from shardproxy.cli.offline import offline_router, read_schemas
from shardproxy.cli.printing import count_of, indented, print_json, stdout_console
from shardproxy.config.loader import load_config
from shardproxy.session.router import Router

# From the gravest: its heading, its style, and what it means.
_SEVERITIES = {
    "error": ("Errors", "bold red", "the proxy does not serve these"),
    "warning": ("Warnings", "bold yellow", "these are served, but look again"),
    "note": ("Notes", "bold cyan", "good to know"),
}
_UNREADABLE_RANGES = "correct 'ranges' in the config, or the column's type"


async def check(path: Path, *, as_json: bool) -> int:
    """Print every finding; gives 0 when there is no error among them, else 1. Raises `ConfigError` for a faulty file.

    What is checked is the topology that a proxy would serve: the store's, or the file's before there is a store.
    """
    logging.getLogger("shardproxy").setLevel(logging.CRITICAL)  # whatever would be logged is a finding here
    loaded = load_config(path)
    async with offline_router(loaded) as router:
        findings = await find(router)
        if as_json:
            print_json([asdict(finding) for finding in findings])
        else:
            _print(stdout_console(), router, findings)
    return 1 if any(finding.severity == "error" for finding in findings) else 0


async def find(router: Router) -> list[Finding]:
    """Every finding, the gravest first, then by table."""
    findings = await read_schemas(router)
    findings += router.findings
    named = {finding.table for finding in findings if finding.severity == "error"}
    for table, problem in router.context.problems.items():
        if table not in named:  # the rest shows only when rows are placed: bounds that the column cannot hold
            findings.append(Finding("error", table, problem, _UNREADABLE_RANGES))
    for difference in router.differences:
        findings.append(Finding("note", "", f"file and store differ: {difference}", "the store is what is served"))
    order = list(_SEVERITIES)
    return sorted(findings, key=lambda finding: (order.index(finding.severity), finding.table))


def _print(console: Console, router: Router, findings: Sequence[Finding]) -> None:
    for severity, (heading, style, meaning) in _SEVERITIES.items():
        found = [finding for finding in findings if finding.severity == severity]
        if found:
            console.print(Text.assemble((heading, style), (f"  {meaning}", "dim")))
            for finding in found:
                _print_finding(console, finding)
            console.print()
    counts = [sum(finding.severity == severity for finding in findings) for severity in _SEVERITIES]
    shards, tables = len(router.backends.pools), len(router.topology.rules)
    summary = ", ".join(count_of(count, noun) for count, noun in zip(counts, _SEVERITIES, strict=True) if count)
    console.print(f"{count_of(shards, 'shard')}, {count_of(tables, 'table')} in the config: {summary or 'all is well'}")


def _print_finding(console: Console, finding: Finding) -> None:
    where = Text(f"{finding.table}: ", style="bold") if finding.table else Text()
    indented(console, where.append(finding.text, style="not bold"), 2)
    if finding.advice:
        indented(console, Text(f"→ {finding.advice}"), 4)
