"""The Python programs whose packages are here anyway: what they do on a server they do through the proxy.

The whole matrix is `make compat`; these few are run by every `make test`, with fewer rows to stream.
"""

import sys
from collections.abc import Iterator

import pytest

from tests.compat.known import load_known
from tests.compat.manifest import CLIENTS, Program, load_file
from tests.compat.outcome import Outcome, run_command
from tests.compat.results import PAIRS, Row
from tests.compat.targets import Lab, open_lab
from tests.compat.workshop import environment_of

PROGRAMS = {program.name: program for program in load_file(CLIENTS / "python/programs.toml")}
# Of these every package is in requirements-dev.lock.
HERE = ("pymysql", "aiomysql", "sqlalchemy-pymysql")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A server, and the proxy before one and two of them."""
    with open_lab([PROGRAMS[name] for name in HERE]) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", HERE)
def test_a_client_finds_through_the_proxy_what_it_finds_on_a_server(lab: Lab, name: str) -> None:
    """But for what known.toml says; and that has to be true, or it would go on saying it."""
    program = PROGRAMS[name]
    row = Row.of(program)
    for target in ("direct", *PAIRS["direct"]):
        outcome = _run(program, lab, target)
        assert not outcome.trouble, f"{target}: {outcome.trouble}"
        row.add(target, outcome)
    assert [check for check, verdict in row.targets["direct"].items() if verdict.status == "fail"] == [], "on the server itself"

    failures = {(check, target): verdict.detail for target, check, verdict in row.worse_behind_the_proxy(PAIRS["direct"])}
    # Other proxies are not run here.
    known = {(entry.check, target) for entry in load_known() for target in PAIRS["direct"] if entry.covers(program.id, entry.check, target)}
    assert {key: detail for key, detail in failures.items() if key not in known} == {}
    assert known - set(failures) == set(), "these work now, and may leave known.toml"


def _run(program: Program, lab: Lab, target: str) -> Outcome:
    """Run it by this Python in place of the one of its own environment."""
    assert program.run[0] == "./venv/bin/python"
    words = [word.replace("{source}", str(program.source)) for word in program.run[1:]]
    environment = environment_of(program, program.source) | {"COMPAT_ROWS": "20000"}
    return run_command(program, [sys.executable, *words], program.source, environment, lab.target(target))
