"""MariaDB servers, each on a copy of one freshly installed data directory."""

import getpass
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import DictCursor

from benchmarks.daemon import Daemon, find_tool, free_port
from benchmarks.errors import BenchmarkError

USER = PASSWORD = "sp"
NO_BINLOG = ("--skip-log-bin",)

# The same for every server. Nothing waits for the disk, and all rows fit into memory, so that what differs between
# two runs is what stands in front of the server.
_SETTINGS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=512M",
    "--innodb-log-file-size=256M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-stats-persistent-sample-pages=64",
    "--max-connections=5000",
    "--back-log=1024",
    "--max-allowed-packet=64M",
    "--thread-cache-size=64",
    "--character-set-server=utf8mb4",
)


class MariaDb:
    """A running server on a port of its own."""

    def __init__(
        self,
        name: str,
        template: Path,
        folder: Path,
        schemas: Iterable[str],
        *,
        options: Sequence[str] = NO_BINLOG,
        accounts: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        """`accounts`: statements that make others than ours, which may do anything but this."""
        self.port = port or free_port()
        data = folder / name
        shutil.copytree(template, data)
        setup = folder / f"{name}.sql"
        setup.write_text("".join(f"{line};\n" for line in (*_setup_statements(schemas), *accounts)), encoding="utf-8")
        argv = [
            find_tool("mariadbd", "mysqld"),
            "--no-defaults",  # first, or the machine's own settings would count
            f"--datadir={data}",
            f"--port={self.port}",
            f"--socket={data}/server.sock",
            f"--pid-file={data}/server.pid",
            f"--user={getpass.getuser()}",
            f"--init-file={setup}",
            *_SETTINGS,
            *options,
        ]
        self.daemon = Daemon(name, argv, folder / f"{name}.log")

    def wait_ready(self) -> None:
        """Wait until the server takes our login."""
        self.daemon.wait_ready(self._answers)

    def execute(self, schema: str | None, statements: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        """Run statements as they are, past every proxy; the rows of the last one."""
        with self._connect(database=schema, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def replication(self) -> dict[str, Any]:
        """SHOW SLAVE STATUS; empty where it follows nobody."""
        with self._connect() as connection, connection.cursor(DictCursor) as cursor:
            cursor.execute("SHOW SLAVE STATUS")
            return dict(cursor.fetchone() or {})

    def _connect(self, **options: Any) -> "Connection[Any]":
        # Without TLS, for which PyMySQL would read all certificates first, in 50 ms.
        return pymysql.connect(host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, ssl_disabled=True, **options)

    def _answers(self) -> bool:
        try:
            self._connect(connect_timeout=2).close()
        except pymysql.err.OperationalError:
            return False
        return True


def install_template(folder: Path) -> Path:
    """Make the data directory that each server gets a copy of."""
    data = folder / "template"
    argv = [
        find_tool("mariadb-install-db", "mysql_install_db"),
        "--no-defaults",
        f"--datadir={data}",
        f"--user={getpass.getuser()}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"mariadb-install-db failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return data


def _setup_statements(schemas: Iterable[str]) -> Iterable[str]:
    yield f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'"
    yield f"GRANT ALL ON *.* TO '{USER}'@'%'"
    for schema in schemas:
        yield f"CREATE DATABASE IF NOT EXISTS {schema}"
