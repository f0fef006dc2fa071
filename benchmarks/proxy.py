"""The proxy under test, started as a user would start it."""

import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import mariadb
from benchmarks.daemon import Daemon, free_port
from benchmarks.layouts import Layout, range_bounds

USER = PASSWORD = SCHEMA = "app"
_REPOSITORY = Path(__file__).resolve().parent.parent


class Proxy:
    """A running `shardproxy serve` with one worker."""

    def __init__(self, folder: Path, layout: Layout, server_ports: Sequence[int], tables: str) -> None:
        self.port = free_port()
        self._admin_port = free_port()
        home = Path(tempfile.mkdtemp(prefix=f"proxy-{layout.name}-", dir=folder))
        config = home / "shardproxy.toml"
        head = "\n".join(_config(layout, self.port, self._admin_port, server_ports))
        config.write_text(f"{head}\n{tables}", encoding="utf-8")
        argv = [sys.executable, "-m", "shardproxy", "serve", "--config", str(config)]
        self.daemon = Daemon(f"proxy over {layout.shards} shards", argv, home / "proxy.log", cwd=_REPOSITORY)

    def wait_ready(self) -> None:
        """Wait until it says that it can serve."""
        self.daemon.wait_ready(self._is_ready)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._admin_port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def hashed_tables(count: int) -> str:
    """The rules of sysbench's tables, spread by the hash of their primary key."""
    return "".join(f'\n[tables.sbtest{number}]\nkey = "id"\nby = "hash"\n' for number in range(1, count + 1))


def range_table(name: str, rows: int, shards: int) -> str:
    """The rule of a table whose ids 1..rows are cut into equal ranges."""
    bounds = range_bounds(rows, shards)
    parts = [f'{{ to = {bound}, shard = "s{shard}" }}' for shard, bound in enumerate(bounds)]
    parts.append(f'{{ shard = "s{shards - 1}" }}')
    return f'\n[tables.{name}]\nkey = "id"\nby = "range"\nranges = [{", ".join(parts)}]\n'


def _config(layout: Layout, port: int, admin_port: int, server_ports: Sequence[int]) -> Iterator[str]:
    yield "[proxy]"
    yield f'listen = "127.0.0.1:{port}"'
    yield f'admin = "127.0.0.1:{admin_port}"'
    yield "workers = 1"
    yield f'schema = "{SCHEMA}"'
    yield 'default_shard = "s0"'
    yield 'store = "sqlite:///topology.db"'
    yield f'\n[users.{USER}]\npassword = "{PASSWORD}"\n'
    for shard, server in layout.servers():
        address = f"{mariadb.USER}:{mariadb.PASSWORD}@127.0.0.1:{server_ports[server]}"
        yield f'[shards.s{shard}]\nprimary = "mysql://{address}/{layout.schema(shard)}"'
