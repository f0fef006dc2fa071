"""Redis servers for tests, from Debian's package: nothing is kept on disk."""

import shutil
import socket
from collections.abc import Sequence

import redis

from tests.support.ports import free_port
from tests.support.process import ServerProcess


class RedisServer(ServerProcess):
    """One server on a port that stays its own through restarts."""

    def __init__(self, name: str = "redis", *, options: Sequence[str] = ()) -> None:
        super().__init__(name, free_port())
        self._options = tuple(options)

    @staticmethod
    def binary() -> str:
        """The server's path; raises FileNotFoundError, saying what to install."""
        path = shutil.which("redis-server") or shutil.which("redis-server", path="/usr/sbin:/usr/local/bin")
        if path is None:
            raise FileNotFoundError("no redis-server on this machine: install redis-server, or run `make test`")
        return path

    @property
    def url(self) -> str:
        """What a client is given."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: object) -> redis.Redis:
        """redis-py's own client."""
        return redis.Redis(host="127.0.0.1", port=self.port, **options)  # type: ignore[arg-type]

    def _command(self) -> list[str]:
        return [
            self.binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.dir),
            *self._options,
        ]  # fmt: skip

    def _is_ready(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
