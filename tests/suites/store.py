"""What came of the runs, kept beside the suites: the direct side is run once, and the report is made from both."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from tests.suites.cache import cache_dir
from tests.suites.model import Result, Results, Side


@dataclass
class Run:
    """The results of one suite on one side."""

    version: str = ""
    server: str = ""
    # Whether all tests were run; one that was interrupted goes on.
    whole: bool = False
    results: Results = field(default_factory=dict)

    @property
    def passed(self) -> list[str]:
        return [name for name, result in self.results.items() if result.outcome == "pass"]


def results_path(suite: str, side: Side) -> Path:
    """Where the results of a suite are kept."""
    directory = cache_dir() / "results"
    directory.mkdir(exist_ok=True)
    return directory / f"{suite}.{side}.json"


def load(suite: str, side: Side) -> Run:
    """What was kept; an empty run if there is nothing."""
    path = results_path(suite, side)
    if not path.exists():
        return Run()
    kept = json.loads(path.read_text())
    return Run(kept["version"], kept["server"], kept["whole"], {name: Result(*result) for name, result in kept["results"].items()})


def save(suite: str, side: Side, run: Run) -> None:
    """Keep it."""
    results = {name: [result.outcome, result.note] for name, result in sorted(run.results.items())}
    path = results_path(suite, side)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps({"version": run.version, "server": run.server, "whole": run.whole, "results": results}, indent=1))
    scratch.rename(path)
