"""The scripts of MariaDB's own regression suite: what a script prints directly is recorded, and replayed through the proxy."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.suites.cache import Done, cache_dir, debian_packages, debian_version, run
from tests.suites.model import Result, Suite, Target
from tests.suites.throwaway import Cleaner

_TEST_S = 30
# Scripts tell the test system which warnings to expect in the server's log.
_MTR = "CREATE PROCEDURE mtr.add_suppression(pattern VARCHAR(255)) BEGIN END"
# A script beside which one of these lies wants a server started in a way of its own.
_STARTS = (".opt", "-master.opt", ".cnf", "-master.sh", ".combinations", "-server.opt")
# What a script may say that needs the whole test system around it: restarts, debug builds, files of the server, replication,
# plugins, servers built in or started in other ways.
_NEEDS = re.compile(
    r"restart_mysqld|shutdown_server|have_debug|debug_sync|debug_dbug|mysqld_datadir|have_log_bin|have_binlog|binlog"
    r"|master-slave|big_test|not_embedded_no|is_embedded|galera|have_perfschema|performance_schema|install plugin|install soname"
    r"|have_\w*plugin|plugin_dir|_SO\b|write_file|mysql_upgrade|mariadb-install|mysqld_bootstrap|wait_until_disconnected"
    r"|MYSQL_FIX|MYSQL_EMBEDDED|mysql_client_test|MYSQL_BINLOG|perror|valgrind|windows|kill_mysqld|expect_crash"
    r"|proxy_protocol|unix_socket|check_ftwrl|reap_?later|have_ssl|ssl_cipher|master_mysock|socket=|--port=",
    re.IGNORECASE,
)
_SLOW = re.compile(r"\bsleep [2-9]|sleep\([2-9]|mysqlslap", re.IGNORECASE)

# What the test system starts its servers with, as far as the output of scripts depends on it.
_OPTIONS = (
    "--character-set-server=latin1",
    "--default-storage-engine=myisam",
    "--use-stat-tables=preferably",
    "--histogram-type=json_hb",
    "--key-buffer-size=1M",
    "--sort-buffer-size=256K",
    "--max-heap-table-size=1M",
    "--log-bin-trust-function-creators=1",
    "--max-connections=300",
    "--lock-wait-timeout=20",
)


class MysqlTest(Suite):
    """mariadb-test, one script at a time, with a clean server before each."""

    def prepare(self) -> str:
        root = debian_packages("mariadb-test", "mariadb-test-data", "libpcre2-posix3")
        self.tests = root / "usr/share/mysql/mysql-test"
        self.libraries = str(next(root.glob("usr/lib/*-linux-gnu")))
        self.program = root / "usr/bin/mariadb-test"
        self.baseline = cache_dir() / "mysqltest"
        self.baseline.mkdir(exist_ok=True)
        self.vardir = cache_dir() / "mysqltest-var"
        self.vardir.mkdir(exist_ok=True)
        self.server_options = (*_OPTIONS, f"--secure-file-priv={self.vardir}")
        return f"Debian's mariadb-test-data {debian_version('mariadb-test-data')}"

    def names(self, target: Target) -> list[str]:
        return sorted(f"main.{path.stem}" for path in (self.tests / "main").glob("*.test") if self._fits(path))

    @staticmethod
    def _fits(path: Path) -> bool:
        if any(path.with_name(path.stem + start).exists() for start in _STARTS):
            return False
        text = path.read_text(errors="replace")
        return not _NEEDS.search(text) and not _SLOW.search(text) and not path.stem.startswith(("mysql_", "mysqld", "plugin", "ssl"))

    def run(self, target: Target, names: Sequence[str]) -> Iterator[tuple[str, Result]]:
        cleaner = Cleaner(target, ("mtr",), [_MTR])
        for name in names:
            cleaner.clean()
            self._make_vardir()
            result = self.baseline / f"{name}.result"
            if target.side == "direct":
                done = self._script(target, name, result, "--record")
                if done.status == 0:
                    # What one server does not print twice, no proxy has to.
                    cleaner.clean()
                    self._make_vardir()
                    done = self._script(target, name, result)
            else:
                done = self._script(target, name, result)
            yield name, _judged(done, target.heard())

    def _script(self, target: Target, name: str, result: Path, *options: str) -> Done:
        suite, _, script = name.partition(".")
        client = " ".join(["--no-defaults", *target.client_options()])
        environment = {
            "LD_LIBRARY_PATH": self.libraries,
            "MYSQL_TEST_DIR": str(self.tests),
            "MYSQLTEST_VARDIR": str(self.vardir),
            "MYSQL_TMP_DIR": str(self.vardir / "tmp"),
            "MYSQL": f"mariadb {client}",
            "MYSQL_DUMP": f"mariadb-dump {client}",
            "MYSQL_SHOW": f"mariadb-show {client}",
            "MYSQL_CHECK": f"mariadb-check {client}",
            "MYSQL_IMPORT": f"mariadb-import {client}",
            "MYSQLADMIN": f"mariadb-admin {client}",
            "MASTER_MYPORT": str(target.port),
            "DEFAULT_MASTER_PORT": str(target.port),
        }
        command = [
            *(str(self.program), "--no-defaults", *target.client_options(), f"--database={target.schema}", "--silent", "--tail-lines=4"),
            *(f"--test-file={self.tests}/{suite}/{script}.test", f"--result-file={result}", f"--suite-dir={self.tests}/{suite}"),
            *(f"--tmpdir={self.vardir}/tmp", f"--logdir={self.vardir}/log", "--max-connect-retries=5", *options),
        ]
        return run(command, timeout_s=_TEST_S, cwd=self.tests, environment=environment)

    def _make_vardir(self) -> None:
        shutil.rmtree(self.vardir, ignore_errors=True)
        for part in ("tmp", "log"):
            (self.vardir / part).mkdir(parents=True)
        (self.vardir / "std_data").symlink_to(self.tests / "std_data")


def _judged(done: Done, heard: str) -> Result:
    if done.status == 0:
        return Result("pass")
    if done.status == 62:
        return Result("skip", done.tail())
    said = "takes too long" if done.status is None else _shortened(done.output.strip())
    return Result("fail", f"{said}\n{heard}")


def _shortened(text: str, most: int = 1200) -> str:
    return text if len(text) <= 2 * most else f"{text[:most]}\n[…]\n{text[-most:]}"


SUITES = [
    MysqlTest(
        "mysqltest",
        title="mariadb-test",
        about="the server's own regression scripts that need no special server: same output on both sides",
        password="",
        server_options=_OPTIONS,
    )
]
