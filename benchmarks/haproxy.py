"""HAProxy in TCP mode on one thread: the peer that only forwards bytes, and so the floor for a proxy's cost."""

import socket
import tempfile
from pathlib import Path

from benchmarks.daemon import Daemon, find_tool, free_port

_CONFIG = """\
global
    nbthread 1
    maxconn 8192
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen mysql
    bind 127.0.0.1:{port} backlog 4096
    balance roundrobin
{servers}
"""


class HaProxy:
    """A running HAProxy before one server, or before several that take connections in turn."""

    def __init__(self, folder: Path, *server_ports: int) -> None:
        self.port = free_port()
        home = Path(tempfile.mkdtemp(prefix="haproxy-", dir=folder))
        config = home / "haproxy.cfg"
        servers = "\n".join(f"    server s{port} 127.0.0.1:{port}" for port in server_ports)
        config.write_text(_CONFIG.format(port=self.port, servers=servers), encoding="utf-8")
        self.daemon = Daemon("haproxy", [find_tool("haproxy"), "-db", "-f", str(config)], home / "haproxy.log")

    def wait_ready(self) -> None:
        """Wait until it listens."""
        self.daemon.wait_ready(self._listens)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
        except OSError:
            return False
        return True
