"""MySQL Router before replicas, as its manual sets up a read-only port: connections go to the servers in turn."""

import getpass
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pymysql

from benchmarks import mariadb
from benchmarks.daemon import Daemon, find_tool, free_port
from benchmarks.errors import BenchmarkError

# No TLS on either side, as on the other ways. Threads are as many as by default: one for each core.
_CONFIG = """\
[DEFAULT]
logging_folder =
runtime_folder = {home}
data_folder = {home}

[logger]
level = WARNING

[routing:ro]
bind_address = 127.0.0.1
bind_port = {port}
protocol = classic
routing_strategy = round-robin
destinations = {destinations}
client_ssl_mode = DISABLED
server_ssl_mode = DISABLED
"""


class Router:
    """A running `mysqlrouter`; `home` is for the caller to remove.

    Raises:
        BenchmarkError: This machine has none, on the PATH or in an unpacked system at MYSQL_ROOT.
    """

    def __init__(self, *server_ports: int) -> None:
        root, prefix, binary = _found()
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="bench-router-", dir=root / "tmp"))
        seen = "/" + str(self.home.relative_to(root))
        destinations = ",".join(f"127.0.0.1:{port}" for port in server_ports)
        config = self.home / "router.conf"
        config.write_text(_CONFIG.format(home=seen, port=self.port, destinations=destinations), encoding="utf-8")
        argv = [*prefix, binary, f"--user={getpass.getuser()}", "--config", f"{seen}/router.conf"]
        self.version = subprocess.run([*prefix, binary, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        self.daemon = Daemon("mysqlrouter", argv, self.home / "router.log")

    def wait_ready(self) -> None:
        """Wait until a login through it succeeds."""
        self.daemon.wait_ready(self._answers)

    def _answers(self) -> bool:
        try:
            pymysql.connect(host="127.0.0.1", port=self.port, user=mariadb.USER, password=mariadb.PASSWORD, connect_timeout=2).close()
        except pymysql.err.OperationalError:
            return False
        return True


def _found() -> tuple[Path, list[str], str]:
    """What it takes for `/`, the command that makes it so, and its path there."""
    root = os.environ.get("MYSQL_ROOT")
    if root and (Path(root) / "usr/bin/mysqlrouter").exists() and shutil.which("chroot"):
        return Path(root), ["chroot", root], "/usr/bin/mysqlrouter"
    try:
        return Path("/"), [], find_tool("mysqlrouter")
    except BenchmarkError as error:
        raise BenchmarkError("mysqlrouter is neither on the PATH nor in MYSQL_ROOT") from error
