"""Fixtures that every folder of tests may use. What they are made of is in `tests/support`."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import hypothesis
import pytest

from tests.support import process
from tests.support.proxy import ProxyProcess
from tests.support.replication import MariaDBNode, MySQLNode, ReplicatedShard
from tests.support.servers import DatabaseServer, ExternalServer, MariaDB, MySQL

# A busy machine is no failure; a hang is, and the time limit per test sees to that.
hypothesis.settings.register_profile("shardproxy", deadline=None)
hypothesis.settings.load_profile("shardproxy")

ORACLE_SCHEMA = "app"
P = TypeVar("P", bound=process.ServerProcess)
Server = DatabaseServer | ExternalServer


@dataclass(frozen=True)
class Shards:
    """Four schemas on two servers, and one server with a single schema that holds what they hold together."""

    servers: tuple[Server, Server]
    oracle: Server

    @property
    def placement(self) -> dict[str, tuple[Server, str]]:
        """Shard name → its server and its schema there: s0 is app_0 on the first server, s1 app_1 on the second …"""
        return {f"s{i}": (self.servers[i % 2], f"app_{i}") for i in range(4)}

    @property
    def urls(self) -> dict[str, str]:
        """Shard name → URL, as `ProxyProcess` takes them."""
        return {name: server.url(schema) for name, (server, schema) in self.placement.items()}

    def execute(self, shard: str, sql: str) -> list[tuple[Any, ...]]:
        """Run SQL on one shard directly, past any proxy."""
        server, schema = self.placement[shard]
        return server.execute(sql, schema)

    def reset(self) -> None:
        """Empty schemas everywhere, the oracle's too."""
        for server, schema in self.placement.values():
            server.create_schema(schema)
        self.oracle.create_schema(ORACLE_SCHEMA)


@pytest.fixture(scope="session")
def shards() -> Iterator[Shards]:
    """Two MariaDB servers with the schemas app_0 … app_3, and a third, the oracle, with `app`. Shared by all tests."""
    addresses = os.environ.get("SHARDPROXY_TEST_MYSQL", "")
    if addresses:
        if "PYTEST_XDIST_WORKER" in os.environ:
            pytest.fail("servers given by SHARDPROXY_TEST_MYSQL serve one test process: set PYTEST_WORKERS=0")
        given = [ExternalServer(address.strip()) for address in addresses.split(",")]
        running: list[Server] = [given[i % len(given)] for i in range(3)]
    else:
        running = [_start(MariaDB(name)) for name in ("mariadb-0", "mariadb-1", "oracle")]
    group = Shards((running[0], running[1]), running[2])
    group.reset()
    yield group
    for server in running:
        if isinstance(server, DatabaseServer):
            server.kill()  # nobody needs its data


@pytest.fixture
def empty_shards(shards: Shards) -> Shards:
    """`shards` with nothing in them."""
    shards.reset()
    return shards


@pytest.fixture
def mariadb() -> Iterator[Callable[..., MariaDB]]:
    """Makes MariaDB servers for one test to kill and pause: `mariadb(name="db", log_bin=False, options=())`."""
    yield from _factory(MariaDB)


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[MySQL]:
    """A real MySQL, shared by all tests; they are skipped where there is none."""
    try:
        MySQL.binary()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    server = MySQL("mysql")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def mariadb_replication() -> Iterator[ReplicatedShard]:
    """A MariaDB primary and two replicas, shared by all tests; these ask for `replicated_mariadb`."""
    yield from _replication(MariaDBNode)


@pytest.fixture(scope="session")
def mysql_replication() -> Iterator[ReplicatedShard]:
    """The same of MySQL; what asks for it is skipped where there is none."""
    try:
        MySQL.binary()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield from _replication(MySQLNode)


@pytest.fixture
def replicated_mariadb(mariadb_replication: ReplicatedShard) -> ReplicatedShard:
    """A MariaDB primary and two replicas, all well and empty; a test may do anything to them."""
    mariadb_replication.reset()
    return mariadb_replication


@pytest.fixture
def replicated_mysql(mysql_replication: ReplicatedShard) -> ReplicatedShard:
    """The same of MySQL."""
    mysql_replication.reset()
    return mysql_replication


@pytest.fixture(params=["mariadb", "mysql"])
def replicated(request: pytest.FixtureRequest) -> ReplicatedShard:
    """The same of each flavour, one after the other."""
    shard = request.getfixturevalue(f"replicated_{request.param}")
    assert isinstance(shard, ReplicatedShard)
    return shard


@pytest.fixture
def start_proxy() -> Iterator[Callable[..., ProxyProcess]]:
    """Starts proxies for one test: takes what `ProxyProcess` takes."""
    yield from _factory(ProxyProcess)


def _factory(make: Callable[..., P]) -> Iterator[Callable[..., P]]:
    made: list[P] = []

    def start(*args: Any, **kwargs: Any) -> P:
        made.append(make(*args, **kwargs))
        made[-1].start()
        return made[-1]

    yield start
    for server in made:
        server.kill()


def _replication(node: type[MariaDBNode | MySQLNode]) -> Iterator[ReplicatedShard]:
    shard = ReplicatedShard(node)
    yield shard
    shard.close()


def _start(server: MariaDB) -> MariaDB:
    server.start()
    return server


# ---------------------------------------------------------------- logs of what failed


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """From here on, what a server writes belongs to this test."""
    process.started[:] = [server for server in process.started if server.running]
    for server in process.started:
        server.mark_log()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """A failed test shows what its servers logged meanwhile."""
    report = yield
    if report.failed:
        for server in process.started:
            if text := server.log_since_mark().strip():
                report.sections.append((f"log of {server.name} (port {server.port})", text[-8000:]))
    return report
