"""A primary with two replicas that follow it by GTID, and what a proxy's config says of them."""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from benchmarks import mariadb
from benchmarks.mariadb import MariaDb

SCHEMA = "app"
SHARD = "s0"
MODES = ("primary", "session", "global", "bounded", "eventual")
_REPLICAS = 2
# The shard's own account, for which a read-only server is one, and the one that changes roles: with the rights that
# docs/replicas.md asks for. The password is the name.
_ACCOUNT, _CONTROL = "shard", "control"
_ACCOUNTS = (
    *(f"CREATE USER {name}@'%' IDENTIFIED BY '{name}'" for name in (_ACCOUNT, _CONTROL)),
    f"GRANT ALL ON {SCHEMA}.* TO {_ACCOUNT}@'%'",
    f"GRANT SLAVE MONITOR ON *.* TO {_ACCOUNT}@'%'",
    f"GRANT READ_ONLY ADMIN, REPLICATION SLAVE ADMIN, RELOAD ON *.* TO {_CONTROL}@'%'",
)
_OPTIONS = (
    "--log-bin=binlog",
    "--relay-log=relay",
    "--log-slave-updates",
    "--binlog-format=ROW",
    "--sync-binlog=0",
    "--gtid-strict-mode=ON",
)
_CATCH_UP_S = 60


class ReplicatedShard:
    """Three running servers. `primary` is the first one at the beginning; whoever promotes another one says so here."""

    def __init__(self, template: Path, folder: Path, running: ExitStack) -> None:
        self._template = template
        self._folder = folder
        self._running = running
        self._numbers = count()
        self.servers = [self._start() for _ in range(1 + _REPLICAS)]
        self.primary = self.servers[0]
        for server in self.servers:
            _prepare(server)
        for server in self.replicas:
            self.follow(server)

    @property
    def replicas(self) -> list[MariaDb]:
        """All servers but the primary."""
        return [server for server in self.servers if server is not self.primary]

    def follow(self, server: MariaDb) -> None:
        """Let a server replicate from the primary and refuse writes."""
        source = f"MASTER_HOST = '127.0.0.1', MASTER_PORT = {self.primary.port}"
        login = f"MASTER_USER = '{mariadb.USER}', MASTER_PASSWORD = '{mariadb.PASSWORD}'"
        statements = (
            "STOP SLAVE",
            "SET GLOBAL read_only = 1",
            "SET GLOBAL gtid_slave_pos = @@gtid_current_pos",  # a former primary's own writes too
            f"CHANGE MASTER TO {source}, {login}, MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos",
            "START SLAVE",
        )
        server.execute(None, statements)

    def replace(self, server: MariaDb) -> MariaDb:
        """An empty server in the place of one that has died: it gets everything from the primary."""
        new = self._start(server.port)
        self.servers[self.servers.index(server)] = new
        _prepare(new)
        self.follow(new)
        return new

    def furthest(self) -> MariaDb:
        """The replica that has received most: the one to promote where the primary is gone."""
        return max(self.replicas, key=lambda server: int(str(server.replication()["Gtid_IO_Pos"]).rpartition("-")[2] or 0))

    def replace_astray(self) -> int:
        """Replace the replicas that cannot follow the primary, having what it lacks; gives how many those were."""
        astray = [server for server in self.replicas if server.replication().get("Last_IO_Errno")]
        for server in astray:
            server.daemon.stop()
            self.replace(server)
        return len(astray)

    def wait_caught_up(self) -> None:
        """Until the replicas have all that the primary has now."""
        [(position,)] = self.primary.execute(None, ["SELECT @@gtid_binlog_pos"])
        for server in self.replicas:
            server.execute(None, [f"SELECT MASTER_GTID_WAIT('{position}', {_CATCH_UP_S})"])

    def _start(self, port: int = 0) -> MariaDb:
        number = next(self._numbers)
        name = f"replicated-{id(self)}-{number}"
        options = (*_OPTIONS, f"--server-id={number + 1}")
        server = MariaDb(name, self._template, self._folder, [SCHEMA], options=options, accounts=_ACCOUNTS, port=port)
        self._running.callback(server.daemon.stop)
        return server


def address(server: MariaDb) -> str:
    """What the proxy calls a server."""
    return f"127.0.0.1:{server.port}"


def sections(shard: ReplicatedShard, replicas: int = _REPLICAS, pool_size: int = 64) -> str:
    """A proxy's config: the shard with its first replicas, and a user for each way of reading who is called like it."""
    urls = [f'"mysql://{_ACCOUNT}:{_ACCOUNT}@{address(server)}/{SCHEMA}"' for server in (shard.primary, *shard.replicas[:replicas])]
    lines = [
        f"[limits]\npool_size = {pool_size}",
        f"[shards.{SHARD}]\nprimary = {urls[0]}\nreplicas = [{', '.join(urls[1:])}]\ncontrol = '{_CONTROL}:{_CONTROL}'",
        *(f"[users.{mode}]\npassword = '{mode}'\nreads = '{mode}'" for mode in MODES),
    ]
    return "\n\n".join(lines) + "\n"


def selects(servers: Sequence[MariaDb]) -> list[int]:
    """How many SELECTs each server has been sent so far, the proxy's questions for its position among them."""
    told = [server.execute(None, ["SHOW GLOBAL STATUS LIKE 'Com_select'"]) for server in servers]
    return [int(rows[0][1]) for rows in told]


def _prepare(server: MariaDb) -> None:
    server.wait_ready()
    server.execute(None, ["RESET MASTER"])  # schema and accounts are on every server from the start: that is nothing to replicate
