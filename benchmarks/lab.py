"""The laboratory: what the cases need, started when first asked for and taken down together.

Three MariaDB servers with the same settings: two hold the shards, the third holds all rows in one piece and answers
the direct runs and those through HAProxy. Each layout has its own proxy process and its own schemas. Cases about
replicas have servers of their own (`replica_lab.py`).
"""

import resource
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from benchmarks import mariadb, proxy, sysbench
from benchmarks.client import check_same_rows
from benchmarks.endpoint import Endpoint
from benchmarks.haproxy import HaProxy
from benchmarks.layouts import FOUR, LAYOUTS, SHARD_SERVERS, Layout, range_bounds
from benchmarks.mariadb import MariaDb
from benchmarks.move_lab import MoveLab
from benchmarks.options import Options
from benchmarks.proxy import Proxy
from benchmarks.replica_lab import ReplicaLab
from benchmarks.replication import ReplicatedShard

STREAM_SHARDED, STREAM_WHOLE = "stream_sharded", "stream_whole"
ROW_MARK = b"~~"  # ends each streamed row; the rows are too long for the byte "~" to stand in their packet's length

# Sorted by k on disk, so that no server sorts before it can send, while the rows of one k range are spread over all
# ranges of id: a merge has to take from every shard in turn.
_STREAM_TABLE = """CREATE OR REPLACE TABLE {table} (
    id INT NOT NULL, k INT NOT NULL, c CHAR(130) NOT NULL, PRIMARY KEY (k, id)) ENGINE = InnoDB"""
_STREAM_ROWS = """INSERT INTO {table} SELECT seq, seq * 7919 % 1000003, CONCAT(REPEAT(LPAD(seq, 16, '0'), 8), '~~')
    FROM seq_{first}_to_{last} ORDER BY seq * 7919 % 1000003"""

_Server = TypeVar("_Server", MariaDb, HaProxy, Proxy)


@contextmanager
def open_lab(options: Options) -> Iterator["Lab"]:
    """A laboratory in a temporary folder; everything in it ends with the block."""
    # Thousands of connections, two sockets for each in what stands between; the servers inherit the limit from us.
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as running:
        yield Lab(options, Path(folder), running)


class Lab:
    """Servers, proxies and rows, each made when first needed."""

    def __init__(self, options: Options, folder: Path, running: ExitStack) -> None:
        self.options = options
        self.folder = folder
        self.running = running
        self._proxies: dict[Layout, Proxy] = {}
        self._loaded: set[tuple[Layout, str]] = set()

    def endpoints(self, layout: Layout) -> list[Endpoint]:
        """The wanted ways to the rows of a layout, with the same rows behind each."""
        wanted = [target for target in self.options.targets if target != "router"]  # that one stands before replicas only
        found = [self._endpoint(target, layout) for target in wanted]
        for endpoint in found:
            # HAProxy stands before the server that `direct` talks to: one load serves both.
            rows = "sharded" if endpoint.name == "proxy" else "whole"
            if (layout, rows) not in self._loaded:
                self._load(endpoint, layout)
                self._loaded.add((layout, rows))
        check_same_rows(found)
        return found

    @cached_property
    def replicas(self) -> ReplicaLab:
        """The part of the laboratory with replicas."""
        return ReplicaLab(self.options, self.folder, self.running, lambda: ReplicatedShard(self._template, self.folder, self.running))

    @cached_property
    def moves(self) -> MoveLab:
        """The part of the laboratory in which rows move from shard to shard."""
        return MoveLab(self.options, self.folder, lambda: self._template)

    def proxy_log_tail(self) -> str:
        """The ends of the proxies' logs, for when something has gone wrong."""
        started = [*self._proxies.values(), *self.replicas.proxies, *self.moves.proxies]
        return "\n".join(f"{one.daemon.name}:\n{one.daemon.log_tail()}" for one in started)

    def _endpoint(self, target: str, layout: Layout) -> Endpoint:
        if target == "proxy":
            started = self._proxy(layout)
            shard_pids = tuple(server.daemon.pid for server in self._shard_servers)
            login = (proxy.USER, proxy.PASSWORD, proxy.SCHEMA)
            return Endpoint(target, started.port, *login, (started.daemon.pid,), shard_pids)
        login = (mariadb.USER, mariadb.PASSWORD, layout.name)
        server_pids = (self._whole_server.daemon.pid,)
        if target == "haproxy":
            return Endpoint(target, self._haproxy.port, *login, (self._haproxy.daemon.pid,), server_pids)
        return Endpoint(target, self._whole_server.port, *login, (), server_pids)

    # ------------------------------------------------------------ processes

    @cached_property
    def _template(self) -> Path:
        return mariadb.install_template(self.folder)

    @cached_property
    def _shard_servers(self) -> list[MariaDb]:
        schemas = [[name for layout in LAYOUTS for name in layout.schemas(index)] for index in range(SHARD_SERVERS)]
        servers = [MariaDb(f"shards-{index}", self._template, self.folder, names) for index, names in enumerate(schemas)]
        return [self._keep(server) for server in servers]

    @cached_property
    def _whole_server(self) -> MariaDb:
        return self._keep(MariaDb("whole", self._template, self.folder, [layout.name for layout in LAYOUTS]))

    @cached_property
    def _haproxy(self) -> HaProxy:
        return self._keep(HaProxy(self.folder, self._whole_server.port))

    def _proxy(self, layout: Layout) -> Proxy:
        if layout not in self._proxies:
            tables = proxy.hashed_tables(self._tables(layout))
            if layout is FOUR:
                self._fill_shards()
                tables += proxy.range_table(STREAM_SHARDED, self.options.stream_rows, FOUR.shards)
            ports = [server.port for server in self._shard_servers]
            sections = proxy.shards(layout, ports) + tables
            self._proxies[layout] = self._keep(Proxy(self.folder, f"proxy over {layout.shards} shards", sections))
        return self._proxies[layout]

    def _keep(self, server: _Server) -> _Server:
        self.running.callback(server.daemon.stop)
        server.wait_ready()
        return server

    # ------------------------------------------------------------ rows

    def _tables(self, layout: Layout) -> int:
        return 1 if layout is FOUR else self.options.tables

    def _load(self, endpoint: Endpoint, layout: Layout) -> None:
        sysbench.load(endpoint, self.options, self._tables(layout))
        if layout is FOUR and endpoint.name != "proxy":
            for table in (STREAM_SHARDED, STREAM_WHOLE):
                self._whole_server.execute(FOUR.name, _stream_table(table, 1, self.options.stream_rows))

    def _fill_shards(self) -> None:
        """Put the streamed rows on the shards directly: a million rows are there in seconds."""
        edges = [1, *range_bounds(self.options.stream_rows, FOUR.shards), self.options.stream_rows + 1]
        for shard, server in FOUR.servers():
            fill = _stream_table(STREAM_SHARDED, edges[shard], edges[shard + 1] - 1)
            self._shard_servers[server].execute(FOUR.schema(shard), fill)
        self._shard_servers[0].execute(FOUR.schema(0), _stream_table(STREAM_WHOLE, 1, self.options.stream_rows))


def _stream_table(table: str, first: int, last: int) -> Sequence[str]:
    return [_STREAM_TABLE.format(table=table), _STREAM_ROWS.format(table=table, first=first, last=last)]
