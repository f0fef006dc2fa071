"""The comparison of both sides, and the page that is made of it."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.suites import sharding, store
from tests.suites.model import BASES, Result, Side, Suite

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


_SHARDED_HEAD = """
## Over a sharded schema

Two of the suites again, with their schema spread over {shards} shards. Which table is spread how is told from what a direct run
creates and inserts ([how](../tests/suites/sharding.py)). Each suite runs as it is, and then adapted as an application is before
its tables are spread ([how](../tests/suites/assets/pytest_adapted.py)): statements commit by themselves, the first column of a
table can be a key, and SQLAlchemy is told that there are no views and no other schemas. Adapted tests count if they pass adapted
and directly. As above, tests that ask no server anything count too.

| suite | tables | pass directly | through the proxy | |
|---|---|---|---|---|
"""
_MANNERS: dict[Side, str] = {"sharded": "as it is", "sharded-adapted": "adapted"}


@dataclass(frozen=True)
class Reason:
    """Why some tests of some suites differ: known by their names, by what they said, or both."""

    because: str
    suite: str = "*"
    tests: Sequence[str] = ("*",)
    message: str = ""
    side: str = "*"

    def fits(self, suite: str, name: str, note: str, side: Side = "proxy") -> bool:
        """Whether it is the reason for this difference."""
        return (
            fnmatch.fnmatchcase(suite, self.suite)
            and fnmatch.fnmatchcase(side, self.side)
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
    side: Side = "proxy"
    explained: dict[Reason, list[str]] = field(default_factory=dict)
    unexplained: dict[str, str] = field(default_factory=dict)

    @property
    def ratio(self) -> str:
        """Rounded down: what is not whole does not read 100 %."""
        return f"{self.passed * 1000 // self.total / 10} %" if self.total else "–"

    def summary(self) -> str:
        """In a line."""
        known = sum(len(names) for names in self.explained.values())
        side = "" if self.side == "proxy" else f" {self.side}"
        return f"{self.suite.name}{side}: {self.passed} of {self.total} ({self.ratio}), {known} explained, {len(self.unexplained)} not"


def read_reasons(path: Path = REASONS) -> list[Reason]:
    """From the file, in its order: the first that fits counts."""
    listed = tomllib.loads(path.read_text())["reason"]
    return [Reason(**{**reason, "tests": tuple(reason.get("tests", ("*",)))}) for reason in listed]


def compare(suite: Suite, reasons: Sequence[Reason], side: Side = "proxy") -> Comparison:
    """What is kept of this side and of the one that it is compared with."""
    direct, proxy = store.load(suite.name, BASES[side]), store.load(suite.name, side)
    counted = direct.passed if proxy.results else []
    comparison = Comparison(suite, direct.version, direct.server, len(counted), 0, side)
    for name in counted:
        result = proxy.results.get(name, Result("fail", "did not run"))
        if result.outcome == "pass":
            comparison.passed += 1
        elif reason := next((reason for reason in reasons if reason.fits(suite.name, name, result.note, side)), None):
            comparison.explained.setdefault(reason, []).append(name)
        else:
            comparison.unexplained[name] = result.note
    return comparison


def write(comparisons: Sequence[Comparison], path: Path = PAGE) -> None:
    """The page, anew."""
    servers = sorted({_short(comparison.server) for comparison in comparisons})
    whole = [comparison for comparison in comparisons if comparison.side == "proxy"]
    rows = [f"| {c.suite.title} | {c.suite.about} | {c.total} | {c.passed} | {c.ratio} |\n" for c in whole]
    parts = [_HEAD.format(server=" and ".join(servers)), *rows]
    parts += (f"\n## {c.suite.title}\n\n{c.version.strip()}. {_differences(c, _listed)}" for c in whole)
    if sharded := [comparison for comparison in comparisons if comparison.side != "proxy"]:
        parts += _over_shards(sharded)
    path.write_text("".join(parts))


def _over_shards(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield _SHARDED_HEAD.format(shards=len(sharding.SHARDS))
    for c in comparisons:
        spread = " and ".join(f"{count} by {how}" for how, count in sorted(sharding.count(c.suite, c.side).items()))
        yield f"| {c.suite.title}, {_MANNERS[c.side]} | {spread} | {c.total} | {c.passed} | {c.ratio} |\n"
    for c in comparisons:
        yield f"\n### {c.suite.title}, {_MANNERS[c.side]}\n\n{_differences(c, _by_class)}"


def _differences(comparison: Comparison, listed: Callable[[Sequence[str]], str]) -> str:
    if comparison.passed == comparison.total:
        return "No difference.\n"
    lines = ["What passes directly and not through the proxy:\n\n"]
    for reason, names in sorted(comparison.explained.items(), key=lambda item: -len(item[1])):
        lines.append(f"- {reason.because}: {listed(names)}\n")
    if comparison.unexplained:
        lines.append(f"- without a reason so far: {_listed(list(comparison.unexplained))}\n")
    return "".join(lines)


def _by_class(names: Sequence[str]) -> str:
    """How many, and of which classes: refusals often are of all tests of one."""
    classes = Counter(re.sub(r"_m\w+\+pymysql\w*$", "", name.split("::")[-2 if name.count("::") > 1 else 0]) for name in names)
    return f"{len(names)} × " + ", ".join(f"`{name}`" + (f" ({count})" if count > 1 else "") for name, count in classes.items())


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} × {shown}{more}" if len(names) > 1 else shown


def _short(server: str) -> str:
    version = server.split("-")[0]
    return f"MariaDB {version}" if "MariaDB" in server else f"MySQL {version}"
