"""The test program of the C client library: several hundred tests, half of them of prepared statements and cursors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tests.suites.cache import debian_packages, debian_version, run
from tests.suites.model import Result, Suite, Target


class ClientTest(Suite):
    """mariadb-client-test, one test at a time: one that fails ends the program."""

    def prepare(self) -> str:
        debian_packages("mariadb-test")
        return f"Debian's mariadb-test {debian_version('mariadb-test')}"

    def names(self, target: Target) -> list[str]:
        listed = run([self._program(), "--no-defaults", "-T"], timeout_s=20).output
        return sorted(line.strip() for line in listed.splitlines() if re.fullmatch(r"\s*test_\w+\s*", line))

    def run(self, target: Target, names: Sequence[str]) -> Iterator[tuple[str, Result]]:
        options = ["-h", target.host, "-P", str(target.port), "-u", target.user, f"-p{target.password}", "-D", target.schema]
        for name in names:
            # The schema that the tests make for themselves, and leave behind when one ends the program.
            target.backend.execute("DROP DATABASE IF EXISTS client_test_db")
            done = run([self._program(), "--no-defaults", *options, "--silent", name], timeout_s=60, cwd=target.backend.dir)
            said = "takes too long" if done.status is None else done.tail(8)
            yield name, Result("pass") if done.status == 0 else Result("fail", f"{said}\n{target.heard()}")
            target.heard()

    @staticmethod
    def _program() -> str:
        return str(debian_packages("mariadb-test") / "usr/bin/mariadb-client-test")


SUITES = [
    ClientTest(
        "client-test",
        title="mariadb-client-test",
        about="the tests of the C client library, each by its name",
        server_options=["--max-allowed-packet=64M"],
    )
]
