"""The tests of go-sql-driver/mysql."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.suites.cache import cache_dir, go_module, must, run
from tests.suites.model import Certificate, Result, Suite, Target
from tests.support.certificate import write_certificate

_MODULE = "github.com/go-sql-driver/mysql"
_TEST_S = 60


class GoDriver(Suite):
    """Compiled once; then each test by its name, since one that hangs would take the others with it."""

    def prepare(self) -> str:
        self.tree, version = go_module(_MODULE)
        self.program = cache_dir() / f"go-sql-driver-{version}.test"
        if not self.program.exists():
            must(["go", "test", "-c", "-o", self.program, "."], cwd=self.tree)
        made = write_certificate(cache_dir())
        self.certificate = Certificate(Path(made["cert"]), Path(made["key"]), Path(made["ca"]))
        return f"go-sql-driver/mysql {version}"

    def names(self, target: Target) -> list[str]:
        listed = must([self.program, "-test.list", "^Test"], cwd=self.tree)
        # Those that never connect would pass anywhere.
        source = "".join(path.read_text() for path in (self.tree / "driver_test.go", self.tree / "conncheck_test.go"))
        return [name for name in listed.split() if f"func {name}(" in source]

    def run(self, target: Target, names: Sequence[str]) -> Iterator[tuple[str, Result]]:
        environment = {
            "MYSQL_TEST_USER": target.user,
            "MYSQL_TEST_PASS": target.password,
            "MYSQL_TEST_PROT": "tcp",
            "MYSQL_TEST_ADDR": f"{target.host}:{target.port}",
            "MYSQL_TEST_DBNAME": target.schema,
            "MYSQL_TEST_CONCURRENT": "1",
        }
        for name in names:
            command: list[str | Path] = [self.program, f"-test.run=^{name}$", "-test.v", f"-test.timeout={_TEST_S}s"]
            done = run(command, timeout_s=_TEST_S + 10, cwd=self.tree, environment=environment)
            if done.status == 0 and f"--- SKIP: {name}" in done.output:
                yield name, Result("skip", done.tail())
            elif done.status == 0 and f"--- PASS: {name}" in done.output:
                yield name, Result("pass")
            else:
                yield name, Result("fail", f"{done.output[:2500]}\n{target.heard()}")
            target.heard()


SUITES = [
    GoDriver(
        "go-sql-driver",
        title="go-sql-driver/mysql",
        about="its own tests that connect",
        schema="gotest",
        server_options=["--max-allowed-packet=64M"],
    )
]
