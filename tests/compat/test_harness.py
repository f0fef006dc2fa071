"""The matrix itself: what it reads, what it makes of it, and what it writes."""

import sys
from pathlib import Path

import pytest

from tests.compat import report, results
from tests.compat.known import Known, explained, load_known
from tests.compat.manifest import BadManifest, Program, load_file, load_programs
from tests.compat.options import parse_options
from tests.compat.outcome import CHECKS, FAIL, OK, SKIP, Outcome, Verdict, run_program
from tests.compat.results import Row
from tests.compat.targets import Target
from tests.compat.workshop import NotAvailable, cache_root, prepare, version_of

MANIFEST = """
language = "Tongue"
files = ["lock"]
sources = ["*.py"]
setup = [["{python}", "-c", "open('made', 'a').write('x')"]]

[environment]
WORD = "in {cache}"

[[program]]
name = "a-Client"
run = ["{python}", "client.py"]
version = ["{python}", "-c", "print('1.2')"]
"""
NOWHERE = Target("direct", 1)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A program of its own language, and a cache of its own."""
    monkeypatch.setenv("SHARDPROXY_COMPAT_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "tongue"
    source.mkdir()
    (source / "lock").write_text("1")
    (source / "client.py").write_text("print('connect\\tok\\t')")
    (source / "programs.toml").write_text(MANIFEST)
    return load_file(source / "programs.toml")[0]


def test_all_manifests_can_be_read() -> None:
    """Of every language that is here."""
    assert {program.language for program in load_programs()} >= {"python"}
    assert len({program.prefix for program in load_programs()}) == len(load_programs())


def test_known_failures_name_what_is_there() -> None:
    """A reason for a check or a target that is not there explains nothing."""
    ids = [program.id for program in load_programs()]
    for entry in load_known():
        assert entry.check in CHECKS
        assert set(entry.targets) <= {"proxy", "sharded", "mysql-proxy", "router", "mysql-router"}
        assert any(entry.covers(program, entry.check, entry.targets[0]) for program in ids), entry


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("language = 'x'\ntypo = 1\n[[program]]\nname = 'a'\nrun = ['a']", "unknown keys: typo"),
        ("language = 'x'\n[[program]]\nname = 'a'", "run is missing"),
        ("[[program]]\nname = 'a'\nrun = ['a']", "language is missing"),
        ("language = 'x'\n[[program]]\nname = 'a'\nrun = 'a b'", "a command is a list of words"),
        ("language = 'x'\n[[program]]\nname = 'a-b'\nrun = ['a']\n[[program]]\nname = 'a_b'\nrun = ['a']", "the same prefix"),
        ("language =", "programs.toml"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    """With what is wrong, rather than with a program that does not run."""
    path = tmp_path / "programs.toml"
    path.write_text(text)
    with pytest.raises(BadManifest, match=fault):
        load_file(path)


def test_a_program_is_set_up_once(program: Program) -> None:
    """And again when what its set-up depends on has changed."""
    first = prepare(program)
    assert prepare(program) == first
    assert (first / "made").read_text() == "x"
    assert version_of(program, first) == "1.2"
    assert program.prefix == "tongue_a_client"
    (program.source / "lock").write_text("2")
    assert prepare(program) != first
    assert len(list(cache_root().glob("tongue-*/made"))) == 2


def test_changed_sources_are_copied(program: Program) -> None:
    """Into the same directory: what was installed stays."""
    cache = prepare(program)
    (program.source / "client.py").write_text("import os; print('batch\\tfail\\t' + os.environ['WORD'])")
    prepare(program)
    assert run_program(program, NOWHERE, cache).verdicts == {"batch": Verdict(FAIL, f"in {cache}")}


def test_a_failed_set_up_says_why(program: Program) -> None:
    """By its last line that speaks of an error."""
    manifest = MANIFEST.replace("open('made', 'a').write('x')", "raise SystemExit('some error from https://example.test/ here\\\\nbye')")
    (program.source / "programs.toml").write_text(manifest)
    with pytest.raises(NotAvailable, match=r"some error from … here$"):
        prepare(load_file(program.source / "programs.toml")[0])
    (program.source / "programs.toml").write_text("requires = ['no-such-tool']\n" + MANIFEST)
    with pytest.raises(NotAvailable, match="there is no no-such-tool"):
        prepare(load_file(program.source / "programs.toml")[0])


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("print('connect\\tok\\t'); raise SystemExit('broke')", "ended with status 1 after connect: broke"),
        ("print('hello')", "it printed no checks"),
        ("print('connect\\tok\\t', flush=True); input(); import time; time.sleep(60)", "ended with status 1 after connect: EOFError"),
        ("import time; print('connect\\tok\\t', flush=True); time.sleep(60)", "not done within 1 s after connect"),
    ],
)
def test_a_program_that_does_not_come_to_its_end(program: Program, text: str, trouble: str) -> None:
    """What it did not report has failed, with the reason."""
    (program.source / "client.py").write_text(text)
    (program.source / "programs.toml").write_text(MANIFEST.replace('name = "a-Client"', 'name = "a-Client"\ntimeout_s = 1'))
    program = load_file(program.source / "programs.toml")[0]
    outcome = run_program(program, NOWHERE, prepare(program))
    assert outcome.trouble.startswith(trouble)
    assert outcome.verdict("batch").status == FAIL


def test_what_is_worse_behind_the_proxy(program: Program) -> None:
    """Failures there, and what is left out there only; not what fails on the server too."""
    row = Row.of(program)
    row.add("direct", outcome(connect=OK, batch=FAIL, kill=OK, connect_socket=OK, keys=OK))
    row.add("proxy", outcome(connect=OK, batch=FAIL, kill=SKIP, connect_socket=SKIP, keys=OK))
    row.add("sharded", outcome(connect=OK, batch=FAIL, kill=OK, connect_socket=OK, keys=FAIL))
    assert [(target, check) for target, check, _ in row.worse_behind_the_proxy(["proxy", "sharded"])] == [
        ("proxy", "kill"),
        ("sharded", "keys"),
    ]
    assert list(row.worse_behind_the_proxy(["direct"])) == []


def test_the_document(program: Program) -> None:
    """A mark per check, a note per error, and a reason where there is one."""
    row = Row.of(program)
    row.version = "1.2"
    row.add("direct", outcome(connect=OK, batch=FAIL, kill=OK, keys=OK))
    row.add("proxy", outcome(connect=OK, batch=FAIL, kill=FAIL, keys=OK))
    row.add("sharded", outcome(connect=OK, batch=FAIL, kill=FAIL, keys=FAIL))
    missing = Row("tongue/other", "Tongue", unavailable="there is no tongue")
    text = report.document([row, missing], [Known("tongue/*", "kill", ("proxy",), "left for later")])
    lines = text.splitlines()
    assert "| | a-Client 1.2 |" in lines
    assert "| `connect` | ok |" in lines
    assert "| `batch` | fails directly too [1] |" in lines
    assert "| `keys` | **sharded fails** [2] |" in lines
    assert "| `kill` | **fails** [3] |" in lines
    assert "| `large` | – |" in lines
    assert "3. left for later" in lines
    assert "- other: not available here: there is no tongue" in lines


def test_a_reason_goes_for_the_error_of_every_driver() -> None:
    """By the proxy's own id, where the error has one."""
    known = [Known("tongue/*", "keys", ("sharded",), "left for later")]
    assert explained(known, "tongue/a", "keys", "sharded", "DriverError: SP1501: no, SP1501") == "left for later (SP1501)"
    assert explained(known, "tongue/b", "keys", "sharded", "gone") == "left for later"
    assert explained(known, "tongue/a", "keys", "proxy", "SP1501: no") == "SP1501: no"


def test_other_proxies_in_the_document(program: Program) -> None:
    """By what passes on the server itself; what a target does not offer is not held against it, what fails is named."""
    row = Row.of(program)
    row.version = "1.2"
    row.add("direct", outcome(connect=OK, batch=FAIL, kill=OK, connect_socket=OK, keys=OK))
    row.add("proxy", outcome(connect=OK, batch=FAIL, kill=OK, connect_socket=OK, keys=OK, compress=FAIL))
    assert "other proxies" not in report.document([row], [])
    row.add("router", outcome(connect=OK, batch=FAIL, kill=FAIL, connect_socket=OK, keys=SKIP), "MySQL Router 9.9.9")
    row.add("Other 1.0", outcome(connect=OK, batch=OK, kill=OK, connect_socket=SKIP, keys=OK), "Other 1.0")
    lines = report.document([row], []).splitlines()
    assert "| | MariaDB itself | shardproxy | Other 1.0 | MySQL Router 9.9.9 |" in lines
    assert "| Tongue: a-Client 1.2 | 4 | 4 | 3 | 2, not `keys` [1], `kill` [2] |" in lines
    assert "| all | 4 of 4 | 4 of 4 | 3 of 3 | 2 of 4 |" in lines
    assert "2. no kill" in lines
    assert any(line.startswith("ProxySQL is not measured") for line in lines)
    row.add("ProxySQL 3", outcome(connect=OK), "ProxySQL 3")
    assert "ProxySQL is not measured" not in report.document([row], [])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--against", "127.0.0.1:1", "--target", "direct"],
        ["--against", "127.0.0.1:1", "--write"],
        ["--against", "127.0.0.1:1", "--as", "router"],
        ["--as", "Other 1.0"],
    ],
)
def test_what_goes_without_the_other(arguments: list[str]) -> None:
    """Results in the document have the name of what was measured."""
    with pytest.raises(SystemExit):
        parse_options(arguments)


def test_something_else_is_measured_in_place_of_the_targets() -> None:
    """And kept by its name, if it has one."""
    named = parse_options(["--against", "127.0.0.1:6446", "--as", "Other 1.0", "--write"])
    assert named.targets == ("Other 1.0",)
    assert named.against == Target("Other 1.0", 6446, label="Other 1.0")
    unnamed = parse_options(["--against", "127.0.0.1:6446"]).against
    assert unnamed is not None and not unnamed.label


def test_results_are_kept(program: Program, tmp_path: Path) -> None:
    """For runs of other targets, as long as the version is the same."""
    old = Row.of(program)
    old.add("direct", outcome(connect=OK))
    results.save(tmp_path / "results.json", {old.id: old})
    kept = results.load(tmp_path / "results.json")
    assert kept == {old.id: old}
    new = Row.of(program)
    new.add("router", outcome(connect=FAIL), "MySQL Router 9.9.9")
    assert set(results.merge(kept[old.id], new).targets) == {"direct", "router"}
    assert results.merge(new, old).labels == {"router": "MySQL Router 9.9.9"}
    newer = Row.of(program)
    newer.version = "2"
    assert results.merge(kept[old.id], newer).targets == {}
    assert results.load(tmp_path / "nothing.json") == {}


def outcome(**checks: str) -> Outcome:
    """What a program reported."""
    return Outcome({check: Verdict(status, f"no {check}" if status == FAIL else "") for check, status in checks.items()})


def test_the_python_that_runs_the_matrix_is_meant(program: Program) -> None:
    """`{python}` is this one."""
    (program.source / "client.py").write_text("import sys; print('connect\\tok\\t' + sys.executable)")
    assert run_program(program, NOWHERE, prepare(program)).verdicts["connect"].detail == sys.executable
