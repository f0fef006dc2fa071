"""A pytest plugin for foreign suites: one line of JSON per test into the file that $SUITES_RECORD names."""

import json
import os
from pathlib import Path
from typing import Any

_order = {"pass": 0, "skip": 1, "fail": 2}
_seen: dict[str, str] = {}


def pytest_runtest_logreport(report: Any) -> None:
    """Setup, call and teardown are told one by one; the worst of them counts."""
    outcome = {"passed": "pass", "skipped": "skip", "failed": "fail"}[report.outcome]
    if _order[outcome] < _order.get(_seen.get(report.nodeid, ""), -1):
        return
    if outcome == "pass" and report.when != "call":
        return
    _seen[report.nodeid] = outcome
    line = {"name": report.nodeid, "outcome": outcome, "note": str(report.longrepr or "")[-3000:]}
    with Path(os.environ["SUITES_RECORD"]).open("a") as record:
        record.write(json.dumps(line) + "\n")
