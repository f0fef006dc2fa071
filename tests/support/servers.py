"""Real database servers for tests: MariaDB from the machine's packages, MySQL where one is installed.

A data directory is initialised once per server version and kept as a template in the cache directory; every server
starts on a copy, which takes about a second.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pymysql
from pymysql.constants import CLIENT

from tests.support.ports import free_port
from tests.support.process import ServerProcess

USER = PASSWORD = "sp"
_TEMPLATE_RECIPE = 3  # raise it when what goes into a template changes
_SQL_DIRS = "/usr/sbin:/usr/local/sbin:/sbin"  # where servers are, and a user's PATH often is not

_USERS = f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"


class Endpoint:
    """How to reach one server as the all-powerful user `sp`."""

    host = "127.0.0.1"
    port: int

    def url(self, schema: str) -> str:
        """What stands in the proxy's config for a shard in `schema` on this server."""
        return f"mysql://{USER}:{PASSWORD}@{self.host}:{self.port}/{schema}"

    def connect(self, schema: str | None = None, **options: Any) -> pymysql.Connection:
        """A new PyMySQL connection in autocommit; the caller closes it. `options` are PyMySQL's."""
        defaults: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": USER,
            "password": PASSWORD,
            "database": schema,
            "autocommit": True,
            "charset": "utf8mb4",
            "connect_timeout": 10,
            "read_timeout": 30,
            "write_timeout": 30,
        }
        return pymysql.connect(**(defaults | options))

    def execute(self, sql: str, schema: str | None = None) -> list[tuple[Any, ...]]:
        """Run one or several statements on a connection of their own; the rows of the last one."""
        with self.connect(schema, client_flag=CLIENT.MULTI_STATEMENTS) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            rows = list(cursor.fetchall())
            while cursor.nextset():
                rows = list(cursor.fetchall())
            return rows

    def create_schema(self, name: str) -> None:
        """An empty schema of that name, whatever was there before."""
        self.execute(f"DROP DATABASE IF EXISTS `{name}`; CREATE DATABASE `{name}` CHARACTER SET utf8mb4")


class ExternalServer(Endpoint):
    """A server that somebody else runs (SHARDPROXY_TEST_MYSQL); tests that stop servers cannot use it."""

    def __init__(self, address: str) -> None:
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self.name = address


class DatabaseServer(ServerProcess, Endpoint):
    """A database server with a data directory of its own, on a port that stays its own through restarts."""

    flavour: ClassVar[str]

    def __init__(self, name: str = "db", *, log_bin: bool = False, options: Sequence[str] = ()) -> None:
        """`options` are added to the server's command line; `log_bin` turns on a row-format binary log."""
        super().__init__(name, free_port(), root=self.root())
        self.data_dir = self.dir / "data"
        self.socket = self.dir / "sock"
        self._log_bin = log_bin
        self._options = tuple(options)

    @classmethod
    def root(cls) -> Path:
        """The directory that the server takes for `/`."""
        return Path("/")

    @classmethod
    def binary(cls) -> str:
        """The server's path as seen from `root()`; raises FileNotFoundError, saying what to install."""
        raise NotImplementedError

    @classmethod
    def _create_template(cls, data_dir: Path, log: Path) -> None:
        """Initialise `data_dir`, which does not exist yet, with the user `sp`."""
        raise NotImplementedError

    @classmethod
    def _prefix(cls) -> list[str]:
        return [] if cls.root() == Path("/") else ["chroot", str(cls.root())]

    @classmethod
    def _seen(cls, path: Path) -> str:
        """`path` as the server sees it."""
        return "/" + str(path.relative_to(cls.root()))

    def start(self, timeout_s: float = 30.0) -> None:
        if not self.data_dir.exists():
            shutil.copytree(_template(type(self)), self.data_dir)
        super().start(timeout_s)

    def _command(self) -> list[str]:
        command = [
            *self._prefix(),
            self.binary(),
            "--no-defaults",
            *_as_root(),
            f"--datadir={self._seen(self.data_dir)}",
            f"--tmpdir={self._seen(self.dir)}",
            f"--socket={self._seen(self.socket)}",
            f"--pid-file={self._seen(self.dir)}/server.pid",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--server-id={self.port}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--max-connections=600",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=64M",
            # Commits reach the operating system but not the disk: a killed server loses nothing, a killed machine may.
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-doublewrite=0",
        ]
        if self._log_bin:
            command += ["--log-bin=binlog", "--binlog-format=ROW", "--sync-binlog=0"]
        else:
            command += ["--skip-log-bin"]
        return [*command, *self._options]

    def _is_ready(self) -> bool:
        try:
            self.connect().close()
        except pymysql.err.OperationalError:
            return False
        return True


class MariaDB(DatabaseServer):
    """MariaDB as the machine's packages install it."""

    flavour = "mariadb"

    @classmethod
    def binary(cls) -> str:
        return _which("mariadbd", "mariadb-server-core")

    @classmethod
    def _create_template(cls, data_dir: Path, log: Path) -> None:
        common = ["--no-defaults", f"--datadir={data_dir}", *_as_root(), "--innodb-log-file-size=16M"]
        install = [_which("mariadb-install-db", "mariadb-server-core"), *common]
        # Forced, or it gives up on machines that cannot look up their own name, as in some containers.
        _run([*install, "--auth-root-authentication-method=normal", "--skip-test-db", "--force"], log)
        # In bootstrap mode the grant tables are not loaded until they are flushed.
        _run([cls.binary(), *common, "--bootstrap"], log, stdin="FLUSH PRIVILEGES;\n" + _USERS)

    def _command(self) -> list[str]:
        return [*super()._command(), "--innodb-log-file-size=16M"]


class MySQL(DatabaseServer):
    """Oracle's MySQL: a `mysqld` by SHARDPROXY_TEST_MYSQLD, or an unpacked system at MYSQL_ROOT to be run by chroot."""

    flavour = "mysql"

    @classmethod
    def root(cls) -> Path:
        return Path(os.environ.get("MYSQL_ROOT") or "/")

    @classmethod
    def binary(cls) -> str:
        path = os.environ.get("SHARDPROXY_TEST_MYSQLD") or ("/usr/sbin/mysqld" if "MYSQL_ROOT" in os.environ else "")
        if not path:
            raise FileNotFoundError("set SHARDPROXY_TEST_MYSQLD to a mysqld of MySQL 8 or 9, or MYSQL_ROOT")
        if not (cls.root() / path.lstrip("/")).exists():
            raise FileNotFoundError(f"no MySQL server at {cls.root() / path.lstrip('/')}")
        return path

    @classmethod
    def _create_template(cls, data_dir: Path, log: Path) -> None:
        users = data_dir.with_name("users.sql")
        users.write_text(_USERS)
        options = ["--no-defaults", f"--datadir={cls._seen(data_dir)}", f"--init-file={cls._seen(users)}", *_as_root()]
        _run([*cls._prefix(), cls.binary(), *options, "--initialize-insecure", "--innodb-redo-log-capacity=32M"], log)
        (data_dir / "auto.cnf").unlink()  # the server's UUID: each makes its own, or none could be another's replica

    def _command(self) -> list[str]:
        return [*super()._command(), "--innodb-redo-log-capacity=32M", "--mysqlx=OFF"]


@cache
def _template(server: type[DatabaseServer]) -> Path:
    """The initialised data directory that servers of this version start from; made on first use."""
    command = [*server._prefix(), server.binary(), "--no-defaults", "--version"]
    version = subprocess.run(command, check=True, capture_output=True).stdout
    key = hashlib.sha256(version + bytes([_TEMPLATE_RECIPE, os.getuid() == 0])).hexdigest()[:12]
    cache_dir = _cache_dir(server.root())
    template = cache_dir / f"{server.flavour}-{key}"
    with (cache_dir / f"{template.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes that start together share the work
        if not template.exists():
            scratch = cache_dir / f"{template.name}.new"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            server._create_template(scratch / "data", cache_dir / f"{template.name}.log")
            (scratch / "data").rename(template)
            shutil.rmtree(scratch)
    return template


def _cache_dir(root: Path) -> Path:
    if root == Path("/"):
        path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shardproxy-tests"
    else:
        path = root / "var/cache/shardproxy-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _as_root() -> list[str]:
    # Servers refuse to run as root unless told that it is meant.
    return ["--user=root"] if os.getuid() == 0 else []


def _which(binary: str, package: str) -> str:
    path = shutil.which(binary) or shutil.which(binary, path=_SQL_DIRS)
    if path is None:
        raise FileNotFoundError(f"no {binary} on this machine: install {package}, or run `make test`")
    return path


def _run(command: list[str], log: Path, stdin: str = "") -> None:
    with log.open("ab") as output:
        done = subprocess.run(command, input=stdin.encode(), stdout=output, stderr=output, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed with status {done.returncode}:\n{log.read_text(errors='replace')}")
