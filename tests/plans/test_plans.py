"""Every statement in the SQL files has the plan, or the refusal, that stands behind it."""

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import shardproxy
from shardproxy import errors
from shardproxy.errors import CATALOGUE, ErrorSpec
from shardproxy.executor import executor
from shardproxy.planner import columns
from shardproxy.planner.template import OwnershipFilter
from shardproxy.topology.topology import RangeMap
from tests.plans.cases import FILES, FOLDER, Case, Planner, planner_of, read_cases, write_cases

PACKAGE = Path(shardproxy.__file__).parent
# Packages in which a plan is made or evaluated for the values of a statement.
PLANNING = ("planner", "routing", "sql", "topology")


def _cases() -> list[tuple[str, Case]]:
    return [(path.name, case) for path in FILES for case in read_cases(path.read_text()) if case.statement]


CASES = _cases()


@pytest.mark.parametrize(("file", "case"), CASES, ids=[f"{file}:{case.line}" for file, case in CASES])
def test_plan_is_as_written(file: str, case: Case) -> None:
    """If the new plan is right, `python -m tests.plans` writes it down."""
    assert planner_of(file).outcome(case.statement) == case.expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_written_as_they_are_read(path: Path) -> None:
    """So that writing expectations anew touches nothing else; and no statement stands in a file twice."""
    text = path.read_text()
    cases = read_cases(text)
    assert write_cases(cases) == text
    statements = [case.statement for case in cases if case.statement]
    assert len(set(statements)) == len(statements)


def test_refusals_files_hold_refusals_only() -> None:
    """And no other file holds one."""
    for file, case in CASES:
        refused = re.match(r"-- SP\d{4}: ", case.expected[0]) is not None
        assert refused == file.endswith("refusals.sql"), f"{file}:{case.line}"


def test_every_refusal_that_planning_can_raise_has_a_case() -> None:
    """Each SP12xx that a module of the planning packages imports."""
    raised = {
        spec.id
        for package in PLANNING
        for path in (PACKAGE / package).rglob("*.py")
        for name in _imported_from_errors(path)
        if isinstance(spec := getattr(errors, name), ErrorSpec) and spec.id.startswith("SP12")
    }
    shown = {match for _, case in CASES for match in re.findall(r"^-- (SP\d{4}): ", "\n".join(case.expected), re.MULTILINE)}
    assert len(raised) > 15
    assert raised <= shown
    assert shown <= set(CATALOGUE)


def _imported_from_errors(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "shardproxy.errors"]
    return [alias.name for node in imports for alias in node.names]


# ---------------------------------------------------------------- the checker itself


def _changed(outcome: Callable[[str], tuple[str, ...]]) -> dict[str, int]:
    """How many cases of each file would fail."""
    counts: dict[str, int] = {}
    for file, case in CASES:
        counts[file] = counts.get(file, 0) + (outcome(case.statement) != case.expected)
    return counts


def test_a_moved_range_is_noticed() -> None:
    """With the boundary between two shards in another place, statements about rows beside it go elsewhere."""
    topology = planner_of("").context.topology
    ranges = topology.range_maps["users"]
    moved = RangeMap((99, *ranges.bounds[1:]), ranges.owners)
    changed = _changed(Planner(replace(topology, range_maps={**topology.range_maps, "users": moved})).outcome)
    assert changed["point.sql"]
    assert changed["ranges.sql"]


def test_a_hash_map_of_another_order_is_noticed() -> None:
    """With the buckets of two shards exchanged, hash-sharded rows are looked for in the wrong place."""
    topology = planner_of("").context.topology
    other = {"s0": "s1", "s1": "s0"}
    maps = {group: tuple(other.get(owner, owner) for owner in owners) for group, owners in topology.hash_maps.items()}
    changed = _changed(Planner(replace(topology, hash_maps=maps)).outcome)
    assert changed["point.sql"]
    assert changed["in_lists.sql"]
    assert changed["inserts.sql"]


def test_rows_that_are_no_longer_left_out_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every statement over several shards then meets them twice."""
    monkeypatch.setattr(OwnershipFilter, "on", lambda self, shard: b"")
    changed = {case.statement for file, case in CASES if file == "moving.sql" and planner_of(file).outcome(case.statement) != case.expected}
    left_out = {case.statement for file, case in CASES if file == "moving.sql" and any("NOT (" in line for line in case.expected)}
    assert changed == left_out
    assert len(left_out) > 20


def test_lists_that_are_no_longer_split_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every shard then gets the whole list."""
    monkeypatch.setattr(executor, "split_list", lambda raw, placement, codec: None)
    assert _changed(Planner().outcome)["in_lists.sql"]


def test_strings_compared_by_their_bytes_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would be if the planner took character columns for plain values."""
    monkeypatch.setattr(columns, "_TEXT", frozenset())
    changed = _changed(Planner().outcome)
    assert changed["order.sql"]
    assert changed["distinct.sql"]


def test_a_refusal_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check, a sort that cannot be merged would go out to the shards."""
    monkeypatch.setattr(columns, "_UNORDERED", frozenset())
    assert _changed(Planner().outcome)["refusals.sql"]


@pytest.mark.parametrize(
    "text",
    ["SELECT 1\n-- any: SELECT 1\n", "SELECT 1;\n-- any: SELECT 1\nSELECT 2;\n"],
    ids=["no semicolon", "no blank line"],
)
def test_a_file_that_cannot_be_read_is_an_error(text: str) -> None:
    """A case must not get lost in its neighbour."""
    with pytest.raises(ValueError, match="line"):
        read_cases(text)


def test_a_statement_without_an_expectation_fails() -> None:
    """It is not taken for one that expects nothing."""
    [case] = read_cases("SELECT 1;\n")
    assert planner_of("").outcome(case.statement) != case.expected


def test_folder_has_a_file_for_each_kind_of_statement() -> None:
    """A guard against files that the glob does not find."""
    assert {"point.sql", "joins.sql", "inserts.sql", "ddl.sql", "refusals.sql"} <= {path.name for path in FOLDER.iterdir()}
