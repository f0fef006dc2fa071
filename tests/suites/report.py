"""The comparison of both sides, and the page that is made of it."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.suites import store
from tests.suites.model import Result, Suite

REASONS = Path(__file__).with_name("reasons.toml")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
_NAMES_SHOWN = 400

_HEAD = """\
# Conformance

Other people's test suites, each run against {server} directly and then through the proxy, where every table lives on one
shard. A test counts if it passes directly; the others say nothing about the proxy. `python -m tests.suites --write` makes this
page from the latest run of each suite; they are downloaded for it ([how](../tests/suites/README.md)).

| suite | what it is | pass directly | through the proxy | |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Reason:
    """Why some tests of some suites differ: known by their names, by what they said, or both."""

    because: str
    suite: str = "*"
    tests: Sequence[str] = ("*",)
    message: str = ""

    def fits(self, suite: str, name: str, note: str) -> bool:
        """Whether it is the reason for this difference."""
        return (
            fnmatch.fnmatchcase(suite, self.suite)
            and any(fnmatch.fnmatchcase(name, pattern) for pattern in self.tests)
            and re.search(self.message, note) is not None
        )


@dataclass
class Comparison:
    """Both sides of one suite."""

    suite: Suite
    version: str
    server: str
    total: int
    passed: int
    explained: dict[Reason, list[str]] = field(default_factory=dict)
    unexplained: dict[str, str] = field(default_factory=dict)

    @property
    def ratio(self) -> str:
        """Rounded down: what is not whole does not read 100 %."""
        return f"{self.passed * 1000 // self.total / 10} %" if self.total else "–"

    def summary(self) -> str:
        """In a line."""
        known = sum(len(names) for names in self.explained.values())
        return f"{self.suite.name}: {self.passed} of {self.total} ({self.ratio}), {known} explained, {len(self.unexplained)} not"


def read_reasons(path: Path = REASONS) -> list[Reason]:
    """From the file, in its order: the first that fits counts."""
    listed = tomllib.loads(path.read_text())["reason"]
    return [Reason(**{**reason, "tests": tuple(reason.get("tests", ("*",)))}) for reason in listed]


def compare(suite: Suite, reasons: Sequence[Reason]) -> Comparison:
    """What is kept of both sides."""
    direct, proxy = store.load(suite.name, "direct"), store.load(suite.name, "proxy")
    counted = direct.passed if proxy.results else []
    comparison = Comparison(suite, direct.version, direct.server, len(counted), 0)
    for name in counted:
        result = proxy.results.get(name, Result("fail", "did not run"))
        if result.outcome == "pass":
            comparison.passed += 1
        elif reason := next((reason for reason in reasons if reason.fits(suite.name, name, result.note)), None):
            comparison.explained.setdefault(reason, []).append(name)
        else:
            comparison.unexplained[name] = result.note
    return comparison


def write(comparisons: Sequence[Comparison], path: Path = PAGE) -> None:
    """The page, anew."""
    servers = sorted({_short(comparison.server) for comparison in comparisons})
    rows = [f"| {c.suite.title} | {c.suite.about} | {c.total} | {c.passed} | {c.ratio} |\n" for c in comparisons]
    text = _HEAD.format(server=" and ".join(servers)) + "".join(rows)
    path.write_text(text + "".join(_differences(comparison) for comparison in comparisons))


def _differences(comparison: Comparison) -> str:
    lines = [f"\n## {comparison.suite.title}\n\n{comparison.version.strip()}. "]
    if comparison.passed == comparison.total:
        return lines[0] + "No difference.\n"
    lines.append("What passes directly and not through the proxy:\n\n")
    for reason, names in sorted(comparison.explained.items(), key=lambda item: -len(item[1])):
        lines.append(f"- {reason.because}: {_listed(names)}\n")
    if comparison.unexplained:
        lines.append(f"- without a reason so far: {_listed(list(comparison.unexplained))}\n")
    return "".join(lines)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} × {shown}{more}" if len(names) > 1 else shown


def _short(server: str) -> str:
    version = server.split("-")[0]
    return f"MariaDB {version}" if "MariaDB" in server else f"MySQL {version}"
