"""What stands before a replicated shard: the proxy, with a user for each way of reading, and its peers."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from benchmarks import mariadb, replication, sysbench
from benchmarks.client import check_same_rows
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from benchmarks.haproxy import HaProxy
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.proxy import Proxy
from benchmarks.replication import ReplicatedShard
from benchmarks.router import Router


class ReplicaLab:
    """A shard with two replicas, with sysbench's rows, and proxies over it, each made when first needed."""

    def __init__(self, options: Options, folder: Path, running: ExitStack, new_shard: Callable[[], ReplicatedShard]) -> None:
        self.options = options
        self.new_shard = new_shard
        self.proxies: list[Proxy] = []
        self._folder = folder
        self._running = running

    @cached_property
    def shard(self) -> ReplicatedShard:
        """The servers, with the same rows on each."""
        shard = self.new_shard()
        endpoint = Endpoint("primary", shard.primary.port, mariadb.USER, mariadb.PASSWORD, replication.SCHEMA)
        sysbench.load(endpoint, self.options, self.options.tables)
        shard.wait_caught_up()
        return shard

    @cached_property
    def proxy(self) -> Proxy:
        """A proxy over the primary and both replicas."""
        return self.start_proxy(self.shard)

    def start_proxy(self, shard: ReplicatedShard, replicas: int = 2, pool_size: int = 64) -> Proxy:
        """A new proxy over the primary and its first replicas, with that many connections to each of them."""
        started = Proxy(self._folder, f"proxy over {replicas} replicas", replication.sections(shard, replicas, pool_size))
        self._running.callback(started.daemon.stop)
        self.proxies.append(started)
        started.wait_ready()
        return started

    def ways(self) -> list[Endpoint]:
        """The wanted ways to read: the primary, the proxy in three modes, and peers that spread connections over the replicas."""
        wanted, found = self.options.targets, []
        if "direct" in wanted:
            found.append(self.direct())
        if "proxy" in wanted:
            found += [self.through(self.proxy, mode) for mode in ("primary", "session", "eventual")]
        if "haproxy" in wanted:
            found.append(self._before_replicas("haproxy, replicas", self._haproxy))
        if "router" in wanted and self.router is not None:
            found.append(self._before_replicas("router, replicas", self.router))
        check_same_rows(found)
        return found

    def direct(self) -> Endpoint:
        """The primary, with nothing before it."""
        return Endpoint("direct", self.shard.primary.port, mariadb.USER, mariadb.PASSWORD, replication.SCHEMA, (), self._server_pids)

    def through(self, proxy: Proxy, mode: str, name: str = "") -> Endpoint:
        """A proxy, for sessions that read in one way."""
        return Endpoint(name or f"proxy, {mode}", proxy.port, mode, mode, replication.SCHEMA, (proxy.daemon.pid,), self._server_pids)

    @cached_property
    def router(self) -> Router | None:
        """MySQL Router over the replicas, where there is one."""
        try:
            started = Router(*(server.port for server in self.shard.replicas))
        except BenchmarkError as error:
            say(f"MySQL Router is left out: {error}")
            return None
        self._running.callback(shutil.rmtree, started.home, ignore_errors=True)
        self._running.callback(started.daemon.stop)
        started.wait_ready()
        return started

    @cached_property
    def _haproxy(self) -> HaProxy:
        started = HaProxy(self._folder, *(server.port for server in self.shard.replicas))
        self._running.callback(started.daemon.stop)
        started.wait_ready()
        return started

    def _before_replicas(self, name: str, peer: HaProxy | Router) -> Endpoint:
        login = (mariadb.USER, mariadb.PASSWORD, replication.SCHEMA)
        return Endpoint(name, peer.port, *login, (peer.daemon.pid,), self._server_pids)

    @property
    def _server_pids(self) -> tuple[int, ...]:
        return tuple(server.daemon.pid for server in self.shard.servers)
