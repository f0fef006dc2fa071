"""The proxy under test, started as a user would start it."""

import datetime
import json
import re
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import mariadb
from benchmarks.daemon import Daemon, free_port
from benchmarks.errors import BenchmarkError
from benchmarks.layouts import Layout, range_bounds

USER = PASSWORD = SCHEMA = "app"
_REPOSITORY = Path(__file__).resolve().parent.parent
_READS = re.compile(r"^shardproxy_reads_total\{(.*)\} (\S+)$", re.MULTILINE)
_HEAD = f"""\
[proxy]
listen = "127.0.0.1:{{port}}"
admin = "127.0.0.1:{{admin_port}}"
workers = 1
schema = "{SCHEMA}"
default_shard = "s0"
store = "{{store}}"

[users.{USER}]
password = "{PASSWORD}"
"""


class Proxy:
    """A running `shardproxy serve` with one worker. `sections` are its config's shards, tables and further users.

    Its topology is its own, unless `store` says where it is.
    """

    def __init__(self, folder: Path, name: str, sections: str, store: str = "sqlite:///topology.db") -> None:
        self.port = free_port()
        self._admin_port = free_port()
        home = Path(tempfile.mkdtemp(prefix="proxy-", dir=folder))
        self.config = home / "shardproxy.toml"
        head = _HEAD.format(port=self.port, admin_port=self._admin_port, store=store)
        self.config.write_text(f"{head}\n{sections}", encoding="utf-8")
        argv = [sys.executable, "-m", "shardproxy", "serve", "--config", str(self.config)]
        self.daemon = Daemon(name, argv, home / "proxy.log", cwd=_REPOSITORY)

    def wait_ready(self) -> None:
        """Wait until it says that it can serve."""
        self.daemon.wait_ready(self._is_ready)

    def ctl(self, *arguments: str) -> list[str]:
        """The command line of a `shardctl` for this proxy; it runs in the repository's folder."""
        return [sys.executable, "-m", "shardproxy.cli.ctl", "--config", str(self.config), *arguments]

    def members(self) -> list[dict[str, Any]]:
        """The servers of the first shard, as /api/status has them."""
        servers: list[dict[str, Any]] = json.loads(self._get("/api/status"))["shards"][0]["servers"]
        return servers

    def reads(self) -> dict[str, int]:
        """Reads of tables so far by the role of the server that answered."""
        counts = {"primary": 0, "replica": 0}
        for labels, value in _READS.findall(self._get("/metrics")):
            counts["primary" if 'role="primary"' in labels else "replica"] += int(float(value))
        return counts

    def switched_at(self) -> float:
        """When it last took another server for the primary, by its log, in seconds since the epoch.

        Raises:
            BenchmarkError: It never did.
        """
        for line in reversed(self.daemon.log().splitlines()):
            if '"another primary"' in line:
                return datetime.datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
        raise BenchmarkError("the proxy's log tells of no other primary")

    def promote(self, shard: str, server: str, *, force: bool) -> dict[str, Any]:
        """What `shardctl promote` asks for, without the time in which that starts."""
        body = json.dumps({"shard": shard, "server": server, "force": force}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self._admin_port}/api/promote", body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            report: dict[str, Any] = json.load(answer)
            return report

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin_port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def _is_ready(self) -> bool:
        try:
            self._get("/readyz")
        except (urllib.error.URLError, OSError):
            return False
        return True


def hashed_tables(count: int) -> str:
    """The rules of sysbench's tables, spread by the hash of their primary key."""
    return "".join(f'\n[tables.sbtest{number}]\nkey = "id"\nby = "hash"\n' for number in range(1, count + 1))


def range_table(name: str, rows: int, shards: int) -> str:
    """The rule of a table whose ids 1..rows are cut into equal ranges."""
    bounds = range_bounds(rows, shards)
    parts = [f'{{ to = {bound}, shard = "s{shard}" }}' for shard, bound in enumerate(bounds)]
    parts.append(f'{{ shard = "s{shards - 1}" }}')
    return f'\n[tables.{name}]\nkey = "id"\nby = "range"\nranges = [{", ".join(parts)}]\n'


def shards(layout: Layout, server_ports: Sequence[int]) -> str:
    """The shards of a layout."""
    return "\n".join(_shards(layout, server_ports)) + "\n"


def _shards(layout: Layout, server_ports: Sequence[int]) -> Iterator[str]:
    for shard, server in layout.servers():
        address = f"{mariadb.USER}:{mariadb.PASSWORD}@127.0.0.1:{server_ports[server]}"
        yield f'[shards.s{shard}]\nprimary = "mysql://{address}/{layout.schema(shard)}"'
