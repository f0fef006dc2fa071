"""The tests of Python's drivers and of SQLAlchemy, which all run under pytest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.suites.cache import cache_dir, checkout, checkout_version, python, python_version, source_distribution
from tests.suites.model import Certificate, Result, Suite, Target
from tests.suites.recorded import run_recorded

_TEST_S = 60
# As many as a command line holds without trouble; the rest in further runs.
_NAMES_AT_ONCE = 400


@dataclass
class PytestSuite(Suite):
    """Tests that pytest runs in the environment that all Python suites share."""

    paths: Sequence[str] = ("tests",)
    options: Sequence[str] = ()
    timeout_s: float = 1500
    # Whether pytest finds a test by the name that it tells of it; else all are run, and those that were asked for are told.
    by_name: bool = True

    def tree(self) -> Path:
        """Where the sources are."""
        raise NotImplementedError

    def arguments(self, target: Target, tree: Path) -> list[str]:
        """What tells these tests where the server is."""
        raise NotImplementedError

    def environment(self, target: Target) -> dict[str, str]:
        """Likewise."""
        return {}

    def run(self, target: Target, names: Sequence[str]) -> Iterator[tuple[str, Result]]:
        tree = target.backend.dir / "tree"
        shutil.copytree(self.tree(), tree, ignore=shutil.ignore_patterns(".git", "__pycache__"), dirs_exist_ok=True)
        plugins = ["-p", "pytest_record", *(["-p", "pytest_adapted"] if target.side.endswith("adapted") else [])]
        common = [str(python()), "-m", "pytest", *plugins, f"--timeout={_TEST_S}", "-p", "no:cacheprovider", "-q"]
        arguments = self.arguments(target, tree)
        asked_for = set(names)
        by_name = names if self.by_name else []
        for start in range(0, max(len(by_name), 1), _NAMES_AT_ONCE):
            chosen = by_name[start : start + _NAMES_AT_ONCE] or self.paths
            told = run_recorded(
                [*common, *self.options, *arguments, *chosen],
                record=cache_dir() / f"{self.name}.{target.side}.jsonl",
                cwd=tree,
                environment=self.environment(target),
                timeout_s=self.timeout_s,
            )
            yield from (result for result in told if not asked_for or result[0] in asked_for)


class PyMySQL(PytestSuite):
    """Its tests read two sets of connection options from a file."""

    def prepare(self) -> str:
        return f"PyMySQL {checkout_version(self.tree())}"

    def tree(self) -> Path:
        python()
        return checkout("pymysql", "PyMySQL/PyMySQL")

    def arguments(self, target: Target, tree: Path) -> list[str]:
        base = {"host": target.host, "port": target.port, "user": target.user, "passwd": target.password, "use_unicode": True}
        databases = [base | {"database": "test1", "local_infile": True}, base | {"database": "test2"}]
        (tree / "pymysql/tests/databases.json").write_text(json.dumps(databases))
        return []


class AioMySQL(PytestSuite):
    """Its fixtures insist on TLS with a certificate of its own."""

    def prepare(self) -> str:
        directory = self.tree() / "tests/ssl_resources/ssl"
        self.certificate = Certificate(directory / "server-cert.pem", directory / "server-key.pem", directory / "ca.pem")
        return f"aiomysql {python_version('aiomysql')}"

    def tree(self) -> Path:
        return source_distribution("aiomysql")

    def arguments(self, target: Target, tree: Path) -> list[str]:
        # All tests would fail with the fixture. It chooses the server's own schema, which the proxy keeps to itself, to make others;
        # and it asks for the status of TLS, for which there is a test as well.
        conftest = tree / "tests/conftest.py"
        text = conftest.read_text().replace("db='mysql'", f"db='{target.schema}'").replace("startswith('TLS')", "startswith('')")
        conftest.write_text(text)
        return [f"--mysql-address=tcp={target.host}:{target.port}"]

    def environment(self, target: Target) -> dict[str, str]:
        return {"MYSQL_ROOT_PASSWORD": target.password, "MYSQL_USER": target.user, "MYSQL_PASSWORD": target.password}


class AsyncMy(PytestSuite):
    """The address stands in its conftest; the driver itself is the compiled one of the environment."""

    def prepare(self) -> str:
        return f"asyncmy {python_version('asyncmy')}, tests of {checkout_version(self.tree())}"

    def tree(self) -> Path:
        python()
        return checkout("asyncmy", "long2ice/asyncmy")

    def arguments(self, target: Target, tree: Path) -> list[str]:
        shutil.rmtree(tree / "asyncmy")
        conftest = tree / "conftest.py"
        conftest.write_text(conftest.read_text().replace("port=3306", f"port={target.port}"))
        return []

    def environment(self, target: Target) -> dict[str, str]:
        return {"MYSQL_PASS": target.password}


class SQLAlchemy(PytestSuite):
    """Its suite for dialects, and what it tests of MySQL's alone.

    Adapted, it is told by its own switches that there are no views and no other schemas: it makes them beside most tables.
    """

    def prepare(self) -> str:
        self.tree()
        return f"SQLAlchemy {python_version('SQLAlchemy')} over PyMySQL {python_version('PyMySQL')}"

    def tree(self) -> Path:
        return source_distribution("sqlalchemy")

    def arguments(self, target: Target, tree: Path) -> list[str]:
        if target.side.endswith("adapted"):
            closed = " = ".join(f"DefaultRequirements.{name}" for name in ("views", "schemas", "cross_schema_fk_reflection"))
            with (tree / "test/requirements.py").open("a") as switches:
                switches.write(f"\n\n{closed} = property(lambda self: exclusions.closed())\n")
        return ["--dburi", target.dsn("mysql+pymysql") + "?charset=utf8mb4", "--disable-asyncio"]


SUITES = [
    PyMySQL("pymysql", title="PyMySQL", about="its own tests", schema="test1", more_schemas=("test2",), paths=("pymysql/tests",)),
    AioMySQL(
        "aiomysql",
        title="aiomysql",
        about="its own tests, but for those that want SQLAlchemy 1.3",
        options=("--ignore=tests/sa", "-k", "not sa and not engine"),
        server_options=("--lock-wait-timeout=5",),  # a failed test leaves transactions open, and the next drops their tables
    ),
    AsyncMy("asyncmy", title="asyncmy", about="its own tests", options=("-o", "asyncio_mode=auto")),
    SQLAlchemy(
        "sqlalchemy",
        title="SQLAlchemy",
        about="the suite for dialects, and the tests of MySQL's",
        more_schemas=("test_schema",),
        paths=("test/dialect/mysql", "test/dialect/test_suite.py"),
        by_name=False,
        options=("--override-ini=addopts=", "--maxfail=0", "--tb=native", "-p", "no:logging", "-p", "no:warnings"),
    ),
]
