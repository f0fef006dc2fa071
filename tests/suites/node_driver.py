"""The tests of node's mysql2."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.suites.cache import checkout, checkout_version, run
from tests.suites.model import Missing, Result, Suite, Target

_TEST_S = 60
# What it tests against servers of its own, or of other kinds.
_OTHERS = ("mysql-server", "auth-switch", "binlog", "cleartext", "multi-factor", "handshake-unknown")


class NodeMySQL2(Suite):
    """Each of its files is a program."""

    def prepare(self) -> str:
        if not shutil.which("node"):
            raise Missing("needs node")
        self.tree = checkout("mysql2", "sidorares/node-mysql2", "with its dependencies installed by npm")
        if not (self.tree / "node_modules/tsx").exists():
            raise Missing(f"install the dependencies of {self.tree}, tsx and poku among them")
        return f"mysql2 {checkout_version(self.tree)}"

    def names(self, target: Target) -> list[str]:
        found = [path for path in self.tree.glob("test/integration/**/*.test.*") if path.suffix in (".mts", ".mjs", ".cjs")]
        found += self.tree.glob("test/global/integration/**/*.test.*")
        names = sorted(str(path.relative_to(self.tree)) for path in found)
        return [name for name in names if not any(word in name for word in _OTHERS) and self._connects(self.tree / name)]

    @staticmethod
    def _connects(path: Path) -> bool:
        text = path.read_text()
        return "createServer" not in text and ("common.test" in text or "create" in text)

    def run(self, target: Target, names: Sequence[str]) -> Iterator[tuple[str, Result]]:
        environment = {
            "MYSQL_HOST": target.host,
            "MYSQL_PORT": str(target.port),
            "MYSQL_USER": target.user,
            "MYSQL_PASSWORD": target.password,
            "MYSQL_DATABASE": target.schema,
            "CI": "1",
            "NO_COLOR": "1",
        }
        for name in names:
            done = run(["node", "--import", "tsx", name], timeout_s=_TEST_S, cwd=self.tree, environment=environment)
            failed = "takes too long\n" if done.status is None else ""
            yield name, Result("pass") if done.status == 0 else Result("fail", f"{failed}{done.output[-2500:]}\n{target.heard()}")
            target.heard()


SUITES = [NodeMySQL2("mysql2", title="node mysql2", about="its integration tests")]
