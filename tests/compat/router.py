"""MySQL Router before one server, as somebody would run it who takes what its manual gives as defaults."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pymysql

from tests.compat.rsa_certificate import write_rsa_certificate
from tests.support.ports import free_port
from tests.support.process import ServerProcess
from tests.support.servers import PASSWORD, USER, DatabaseServer

# Static routing, which needs no cluster to ask. TLS ends at Router, as its default is once it has a certificate, and is
# begun anew towards the server. One host makes all connections here, and some of them are meant to fail: by default the
# first hundred would have it blocked.
_CONFIG = """\
[DEFAULT]
logging_folder =
runtime_folder = {dir}
data_folder = {dir}

[logger]
level = WARNING

[routing:compat]
bind_address = 127.0.0.1
bind_port = {port}
socket = {dir}/sock
protocol = classic
routing_strategy = first-available
destinations = 127.0.0.1:{server}
client_ssl_cert = {dir}/server.crt
client_ssl_key = {dir}/server.key
max_connect_errors = 4294967295
"""


class Router(ServerProcess):
    """A `mysqlrouter` on a free port, in a directory with its certificate and `sock`."""

    def __init__(self, name: str, server: DatabaseServer) -> None:
        """Nothing starts yet; FileNotFoundError says what to install."""
        root, self._binary = _found()
        super().__init__(name, free_port(), root=root)
        self._root = root
        self.ca = str(write_rsa_certificate(self.dir))
        self.socket = self.dir / "sock"
        (self.dir / "router.conf").write_text(_CONFIG.format(dir=self._seen(), port=self.port, server=server.port))

    @staticmethod
    def is_here() -> bool:
        """Whether this machine can run one."""
        try:
            _found()
        except FileNotFoundError:
            return False
        return True

    @property
    def label(self) -> str:
        """What it is, with its version."""
        command = [*_prefix(self._root), self._binary, "--version"]
        words = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        version = re.search(r"\d+\.\d+\.\d+", words)
        return f"MySQL Router {version.group()}" if version else "MySQL Router"

    def _seen(self) -> str:
        return "/" + str(self.dir.relative_to(self._root))

    def _command(self) -> list[str]:
        as_root = ["--user=root"] if os.getuid() == 0 else []
        return [*_prefix(self._root), self._binary, *as_root, "--config", f"{self._seen()}/router.conf"]

    def _is_ready(self) -> bool:
        try:
            pymysql.connect(host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, connect_timeout=5).close()
        except pymysql.err.OperationalError:
            return False
        return True


@cache
def _found() -> tuple[Path, str]:
    """The directory it takes for `/`, and its path there: a `mysqlrouter` on the PATH, or one in MYSQL_ROOT."""
    if path := shutil.which("mysqlrouter"):
        return Path("/"), path
    root = os.environ.get("MYSQL_ROOT")
    if root and (Path(root) / "usr/bin/mysqlrouter").exists():
        return Path(root), "/usr/bin/mysqlrouter"
    raise FileNotFoundError("no mysqlrouter on the PATH or in MYSQL_ROOT")


def _prefix(root: Path) -> list[str]:
    return [] if root == Path("/") else ["chroot", str(root)]
