"""Reading the SQL files, and asking the planner what EXPLAIN ROUTE would answer.

A file is made of blocks with blank lines between them. A block is a statement, up to a line that ends in a semicolon, and what
comes of it as comments:

    SELECT name FROM users WHERE uid IN (42, 142);
    -- route: select, the shards that the sharding key names
    -- s0: SELECT name FROM users WHERE uid IN (42)
    -- s1: SELECT name FROM users WHERE uid IN (142)
    -- merge: rows as they come

or, where it is refused, `-- SP1201: why`. Shards that get the same text share a line, and `any` stands for whichever is chosen.
Comments before a statement, and blocks of comments only, are for the reader. In files whose name begins with `moving`, rows of
some tables are on their way from one shard to another.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from shardproxy.config.loader import load_config, seed_topology
from shardproxy.errors import ProxyError
from shardproxy.executor.executor import Executor
from shardproxy.executor.state import ClientState
from shardproxy.planner.context import PlanContext, build_context
from shardproxy.session.answers import session_answer
from shardproxy.session.explain import RouteRow, route_rows
from shardproxy.telemetry.counters import Metrics
from shardproxy.topology.share import Share
from shardproxy.topology.topology import Topology
from tests.plans.schema import build_catalog

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.sql"))
ANY = "any"
# What lies on a shard that does not own it, by group and shard. Days are not told by such a word, so that one cannot be left out.
STRAYS = {
    "users": {"s0": Share(intervals=((100, 120),)), "s3": Share(intervals=((None, 10), (250, 300)))},
    "default": {"s1": Share(frozenset((627, 133)))},
    "logins": {"s0": Share(frozenset((17,)))},
    "events": {"s1": Share(intervals=(("soon", None),))},
}


@dataclass(frozen=True)
class Case:
    """One statement of a file: `note` are the comment lines before it, `line` is where it starts, `expected` what follows it."""

    note: tuple[str, ...]
    statement: str
    expected: tuple[str, ...]
    line: int


def read_cases(text: str) -> list[Case]:
    """The blocks of a file; one of comments only is a case without a statement."""
    cases = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        end = next((i for i in range(at, len(lines)) if not lines[i].strip()), len(lines))
        cases.append(_read_block(lines[at:end], at + 1))
        at = end
    return cases


def _read_block(lines: list[str], number: int) -> Case:
    start = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    if start == len(lines):
        return Case(tuple(lines), "", (), number)
    last = next((i for i in range(start, len(lines)) if lines[i].endswith(";")), None)
    if last is None:
        raise ValueError(f"line {number + start}: the statement does not end in a semicolon")
    for offset, line in enumerate(lines[last + 1 :], last + 1):
        if not line.startswith("-- "):
            raise ValueError(f"line {number + offset}: a blank line is missing before the next statement")
    return Case(tuple(lines[:start]), "\n".join(lines[start : last + 1]), tuple(lines[last + 1 :]), number + start)


def write_cases(cases: Iterable[Case]) -> str:
    """The text of a file."""
    return "\n\n".join("\n".join(filter(None, (*case.note, case.statement, *case.expected))) for case in cases) + "\n"


class Planner:
    """Plans for the shop of topology.toml, in a session of its own. Nothing is sent anywhere."""

    def __init__(self, topology: Topology | None = None) -> None:
        loaded = load_config(FOLDER / "topology.toml")
        self.context: PlanContext = build_context(topology or seed_topology(loaded.config), build_catalog(), "app")
        state = ClientState(7, "app", "10.0.0.9", "app", last_insert_id=3, row_count=2, found_rows=5)
        session: Any = SimpleNamespace(state=state, router=SimpleNamespace(server_version="10.11.6-MariaDB"))
        leases: Any = _NoLeases()
        self._executor = Executor(leases, state, Metrics(), lambda value: session_answer(session, value), 1_000_000)

    def outcome(self, statement: str) -> tuple[str, ...]:
        """What comes of a statement, as the comment lines that stand behind it."""
        try:
            rows = route_rows(self.context, self._executor, statement.removesuffix(";").encode())
        except ProxyError as error:
            return (f"-- {error.spec.id}: {error.detail}",)
        return tuple(_shown(rows))


@cache
def planner_of(file: str) -> Planner:
    """The planner for the statements of a file."""
    if not file.startswith("moving"):
        return Planner()
    return Planner(replace(planner_of("").context.topology, strays=STRAYS))


def _shown(rows: list[RouteRow]) -> Iterable[str]:
    kind, route, _, _, merge = rows[0]
    yield f"-- route: {kind}, {route}"
    grouped: dict[str, list[str]] = {}
    for _, _, shard, sql, _ in rows:
        if shard:
            grouped.setdefault(sql, []).append(shard)
    for sql, shards in grouped.items():
        yield f"-- {' '.join(shards)}: " + sql.replace("\n", "\\n")
    if merge:
        yield f"-- merge: {merge}"


class _NoLeases:
    """A session that holds no connection, over pools without servers."""

    held: dict[str, Any]
    reasons: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.held = {}
        self.pools = _Pools()

    def next_shard(self, shards: Any) -> str:
        """Which one is chosen changes from statement to statement."""
        return ANY


class _Pools(dict[str, Any]):
    """Only the schemas' names are asked for."""

    def __missing__(self, shard: str) -> Any:
        return SimpleNamespace(engine=SimpleNamespace(schema="app_" + shard.removeprefix("s")))
