"""The documents name files, functions and error ids that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from shardproxy.admin.metrics import render_metrics
from shardproxy.backends.registry import Backends
from shardproxy.config.loader import load_config, seed_topology
from shardproxy.errors import CATALOGUE
from shardproxy.session.router import Router

REPO = Path(__file__).resolve().parents[2]
DOCS = sorted((REPO / "docs").rglob("*.md"))
NAMED = re.compile(r"`([\w/]+\.py):([\w.]+)`")
ONLY_FILES = re.compile(r"`((?:shardproxy|tests|benchmarks)/[\w/.]+\.(?:py|md|sql|toml))`")
IDS = re.compile(r"SP\d{4}")


def places(document: Path) -> set[tuple[str, str]]:
    """Every `file:name` of a document."""
    return set(NAMED.findall(document.read_text()))


@cache
def names_in(path: Path) -> frozenset[str]:
    """What a module defines: names at its top, and members of its classes as `Class.member`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        found |= _defined(node)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{member}" for inner in node.body for member in _defined(inner)}
    return frozenset(found)


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()


def missing(document_places: set[tuple[str, str]]) -> set[str]:
    """Those that are not in the code."""
    return {
        f"{file}:{name}"
        for file, name in document_places
        if not (path := REPO / "shardproxy" / file).is_file() or name not in names_in(path)
    }


@pytest.mark.parametrize("document", DOCS, ids=lambda path: str(path.relative_to(REPO)))
def test_documents_name_what_exists(document: Path) -> None:
    """Functions, files, error ids and links."""
    text = document.read_text()
    assert missing(places(document)) == set()
    assert [file for file in ONLY_FILES.findall(text) if not (REPO / file).exists()] == []
    assert set(IDS.findall(text)) <= set(CATALOGUE)
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / link).exists(), link


def test_life_of_a_query_follows_the_code_through_every_package() -> None:
    """A package that no query passes, or that was forgotten, shows up here."""
    passed = {file.split("/")[0] for file, _ in places(REPO / "docs/life-of-a-query.md")}
    packages = {path.parent.name for path in (REPO / "shardproxy").glob("*/__init__.py")}
    assert packages - passed <= {"admin", "cache", "telemetry"}


def test_operations_name_every_metric_and_no_other() -> None:
    """As Prometheus sees them."""
    loaded = load_config(REPO / "schemas/examples/sqlite.toml")
    router = Router(loaded, seed_topology(loaded.config), Backends(loaded), [])
    served = set(re.findall(r"^# TYPE (\w+) ", render_metrics(router).decode(), re.MULTILINE))
    named = set(re.findall(r"shardproxy_\w+", (REPO / "docs/operations.md").read_text()))
    assert named == served


def test_every_decision_is_in_the_list() -> None:
    """With its title."""
    folder = REPO / "docs/decisions"
    listed = dict(re.findall(r"^- \[(.*)\]\((.*)\)$", (folder / "README.md").read_text(), re.MULTILINE))
    pages = {path.read_text().splitlines()[0].removeprefix("# "): path.name for path in folder.glob("0*.md")}
    assert listed == pages


def test_a_name_that_is_gone_is_noticed() -> None:
    """The checker itself: a missing function, member and file."""
    assert missing({("sql/fingerprint.py", "fingerprint"), ("session/session.py", "Session.query")}) == set()
    assert missing({("sql/fingerprint.py", "shape_of")}) == {"sql/fingerprint.py:shape_of"}
    assert missing({("session/session.py", "Session.ask")}) == {"session/session.py:Session.ask"}
    assert missing({("session/dispatch.py", "COMMANDS")}) == {"session/dispatch.py:COMMANDS"}
