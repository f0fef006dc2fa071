"""Redis servers for the cache case: plain ones, a cluster of three, and twemproxy before the plain ones."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import redis

from benchmarks.daemon import Daemon, find_tool, free_port
from benchmarks.errors import BenchmarkError

NODES = 3
_TWEMPROXY = """\
cache:
  listen: 127.0.0.1:{port}
  hash: fnv1a_64
  distribution: ketama
  redis: true
  servers:
{servers}
"""


class RedisLab:
    """Three plain servers, three of a cluster, and twemproxy; ended with the stack that they are given."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self._folder = folder
        self._running = running
        self.plain = [self._server(f"plain{number}") for number in range(NODES)]
        self.cluster = [
            self._server(f"cluster{number}", "--cluster-enabled", "yes", "--cluster-port", str(free_port())) for number in range(NODES)
        ]
        self._join()
        self.twemproxy = self._twemproxy()

    def _server(self, name: str, *options: str) -> int:
        port = free_port()
        home = self._folder / name
        home.mkdir()
        command = [find_tool("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(home), *options]
        daemon = Daemon(name, command, home / "log")
        self._running.callback(daemon.stop)
        with redis.Redis(port=port) as client:
            daemon.wait_ready(lambda: _answers(client))
        return port

    def _join(self) -> None:
        addresses = [f"127.0.0.1:{port}" for port in self.cluster]
        command = [find_tool("redis-cli"), "--cluster", "create", *addresses, "--cluster-replicas", "0", "--cluster-yes"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise BenchmarkError(f"the cluster was not made: {done.stdout[-500:]}{done.stderr[-500:]}")
        with redis.Redis(port=self.cluster[0], decode_responses=True) as client:
            until = time.monotonic() + 30
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                if time.monotonic() > until:
                    raise BenchmarkError("the cluster did not come up")
                time.sleep(0.1)

    def _twemproxy(self) -> int:
        port = free_port()
        home = self._folder / "twemproxy"
        home.mkdir()
        servers = "\n".join(f"   - 127.0.0.1:{plain}:1" for plain in self.plain)
        config = home / "nutcracker.yml"
        config.write_text(_TWEMPROXY.format(port=port, servers=servers), encoding="utf-8")
        daemon = Daemon("nutcracker", [find_tool("nutcracker"), "-c", str(config), "-s", str(free_port())], home / "log")
        self._running.callback(daemon.stop)
        with redis.Redis(port=port, protocol=2, driver_info=None) as client:
            daemon.wait_ready(lambda: _gets(client))
        return port


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _gets(client: redis.Redis) -> bool:
    try:
        client.get("ready?")
    except redis.RedisError:
        return False
    return True
