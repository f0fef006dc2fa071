"""A replicated shard of real servers: one primary, its replicas, and what goes wrong with them, on command.

Everything is replicated by GTID, so that any node can follow any other. Each node has two relays: one in front of it,
through which a proxy reaches it, and one through which its replication comes in. Tests and this module speak to the
servers directly, so a node that is cut off from a proxy can still be looked at.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, NamedTuple

import pymysql
from pymysql.cursors import DictCursor

from tests.support.relay import Relay
from tests.support.servers import USER, DatabaseServer, MariaDB, MySQL
from tests.support.waiting import eventually

SCHEMA = "app"


class Account(NamedTuple):
    """A user of all nodes, whose password is its name."""

    name: str

    @property
    def login(self) -> dict[str, str]:
        """What PyMySQL wants to know."""
        return {"user": self.name, "password": self.name}


PROXY = Account("proxy")  # reads and writes, and sees how replication stands; read_only holds for it
ADMIN = Account("failover")  # sets read_only, ends connections, tells nodes whom to follow; sees no rows
_REPLICATION = Account("replication")
_OURS = {USER, *(account.name for account in (PROXY, ADMIN, _REPLICATION))}


class Node(DatabaseServer):
    """One server of a replicated shard, with the life and death of a `ServerProcess`.

    A node that is killed and started again has its data, and goes on replicating if it did. Whether it takes writes
    is then up to `read_only_at_start`: promotions leave it as it is on a node that is down, as they do out there.
    """

    # What the proxy and the one who promotes need beside rights on the schemas.
    _proxy_rights: ClassVar[str]
    _admin_rights: ClassVar[str]
    # Words of the flavour; to take writes, and to refuse them.
    _set_read_only: ClassVar[tuple[str, str]]
    _change_delay: ClassVar[str]
    _forget_gtids: ClassVar[tuple[str, ...]]

    def __init__(self, name: str) -> None:
        super().__init__(name, log_bin=True)
        self.relay = Relay(self.port)
        self.feed = Relay(0)  # `follow` gives it its target
        self.read_only_at_start = False
        self._open = contextlib.ExitStack()
        for relay in (self.relay, self.feed):
            self._open.enter_context(relay)

    def url(self, schema: str = SCHEMA, account: Account = PROXY) -> str:
        """What stands in the proxy's config: leads through the relay."""
        return f"mysql://{account.name}:{account.name}@{self.host}:{self.relay.port}/{schema}"

    def connect(self, schema: str | None = None, **options: Any) -> pymysql.Connection:
        """A new PyMySQL connection, past the relay. Without TLS, for which PyMySQL would read all certificates first."""
        return super().connect(schema, **({"ssl_disabled": True} | options))

    def execute_as(self, account: Account, sql: str, schema: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement with the rights of `account`, directly; its rows."""
        with self.connect(schema, **account.login) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def execute_alone(self, sql: str) -> None:
        """Run one statement that no other node gets and that costs no GTID, on a read-only node as well."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_log_bin = 0")
            cursor.execute(sql)

    # -- life

    def start(self, timeout_s: float = 60.0) -> None:
        """Start, with its accounts if it is new, and return once it answers."""
        new = not self.data_dir.exists()
        super().start(timeout_s)
        if new:
            self._create_accounts()

    def close(self) -> None:
        """Kill it for good."""
        self.kill()
        self._open.close()

    def _create_accounts(self) -> None:
        for account in (PROXY, ADMIN, _REPLICATION):
            self.execute_alone(f"CREATE USER {account.name}@'%' IDENTIFIED BY '{account.name}'")
        self.execute_alone(f"GRANT ALL PRIVILEGES ON `{SCHEMA}%`.* TO {PROXY.name}@'%'")
        self.execute_alone(f"GRANT {self._proxy_rights} ON *.* TO {PROXY.name}@'%'")
        self.execute_alone(f"GRANT {self._admin_rights} ON *.* TO {ADMIN.name}@'%'")
        self.execute_alone(f"GRANT REPLICATION SLAVE ON *.* TO {_REPLICATION.name}@'%'")

    # -- the way to it

    def cut_off(self) -> None:
        """Reset the proxy's connections, and refuse new ones."""
        self.relay.refuse()
        self.relay.cut()

    def black_hole(self) -> None:
        """Let nothing through, either way, and keep the proxy's connections open; new ones open and get no answer."""
        self.relay.stall()

    def starve(self) -> None:
        """Let nothing through from the node it follows. Both its threads go on calling themselves running, and
        its lag 0, until a network timeout of the server's."""
        self.feed.stall()

    def heal(self) -> None:
        """Undo what was done to its relays."""
        for relay in (self.relay, self.feed):
            relay.delay(0)
            relay.accept()
            relay.flow()

    # -- replication

    def follow(self, source: Node) -> None:
        """Replicate from `source`, from where this node's own history ends, whomever it has followed before."""
        self.execute_as(ADMIN, "STOP REPLICA")
        self.feed.target = (source.host, source.port)
        self.feed.cut()
        self.execute_as(ADMIN, self._change_source(self.feed.port))
        self.execute_as(ADMIN, "START REPLICA")

    def _change_source(self, port: int) -> str:
        raise NotImplementedError

    def leave(self) -> None:
        """Follow nobody. What it has received and not applied is lost."""
        self.execute_as(ADMIN, "STOP REPLICA")
        self.execute_as(ADMIN, "RESET REPLICA ALL")

    def set_read_only(self, read_only: bool) -> None:
        """Refuse writes, or take them, until the next start."""
        self.execute_as(ADMIN, self._set_read_only[read_only])

    @property
    def read_only(self) -> bool:
        """Whether it refuses writes now."""
        return bool(self.execute("SELECT @@GLOBAL.read_only")[0][0])

    def delay_by(self, seconds: int) -> None:
        """Apply from now on what is at least that old; 0 ends it."""
        self.execute_as(ADMIN, "STOP REPLICA")
        self.execute_as(ADMIN, f"{self._change_delay} = {seconds}")
        self.execute_as(ADMIN, "START REPLICA")

    def stop_io(self) -> None:
        """Receive nothing more; what has come is applied."""
        self.execute_as(ADMIN, "STOP REPLICA IO_THREAD")

    def start_io(self) -> None:
        """Undo `stop_io`."""
        self.execute_as(ADMIN, "START REPLICA IO_THREAD")

    def stop_sql(self) -> None:
        """Apply nothing more; things go on being received."""
        self.execute_as(ADMIN, "STOP REPLICA SQL_THREAD")

    def start_sql(self) -> None:
        """Undo `stop_sql`."""
        self.execute_as(ADMIN, "START REPLICA SQL_THREAD")

    def break_replication(self, source: Node) -> None:
        """Let it fail on a row that is here already (error 1062): it goes on receiving, and applies nothing more."""
        source.execute("CREATE DATABASE IF NOT EXISTS breakage; CREATE TABLE IF NOT EXISTS breakage.t (id INT PRIMARY KEY)")
        self.wait_for(source.position())
        self.execute_alone("INSERT INTO breakage.t VALUES (1)")
        source.execute("INSERT INTO breakage.t VALUES (1)")
        eventually(lambda: self.replication()["Last_SQL_Errno"])

    def repair(self) -> None:
        """Undo `break_replication`."""
        self.execute_alone("DELETE FROM breakage.t")
        self.start_sql()

    def replication(self) -> dict[str, Any]:
        """SHOW REPLICA STATUS by MySQL's column names (`Replica_IO_Running`, `Seconds_Behind_Source`, …) on either
        flavour; empty on a node that follows nobody."""
        with self.connect(cursorclass=DictCursor) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW REPLICA STATUS")
            row: Any = cursor.fetchone() or {}
        return {name.replace("Slave", "Replica").replace("Master", "Source"): value for name, value in row.items()}

    def position(self) -> str:
        """The GTIDs up to which it has everything, as `wait_for` and its flavour's functions take them."""
        raise NotImplementedError

    def received(self) -> str:
        """The GTIDs up to which it has received everything, applied or not. It must be a replica."""
        raise NotImplementedError

    def has(self, position: str, wait_s: float = 0.0) -> bool:
        """Whether it has applied `position`, or does within `wait_s` seconds. MariaDB's primary never says so."""
        raise NotImplementedError

    def wait_for(self, position: str, timeout_s: float = 20.0) -> None:
        """Return once it has applied `position`; a TimeoutError says how replication stands."""
        if not self.has(position, timeout_s):
            raise TimeoutError(f"{self.name} has {self.position()!r} and not {position!r}: {self.replication()}")

    # -- from any state to an empty one

    def clear(self) -> None:
        """Make it run, follow nobody, take writes, and have no schemas, no strangers' accounts and no history."""
        if self.running:
            self.resume()
        else:
            self.start()
        self.heal()
        self._end_connections()
        self.execute("STOP REPLICA; RESET REPLICA ALL")
        self.set_read_only(False)
        schemas = "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN"
        for (schema,) in self.execute(f"{schemas} ('mysql', 'sys', 'information_schema', 'performance_schema')"):
            self.execute_alone(f"DROP DATABASE `{schema}`")
        for user, host in self.execute("SELECT user, host FROM mysql.user WHERE user NOT REGEXP '^(root$|mysql|mariadb)'"):
            if user not in _OURS:
                self.execute_alone(f"DROP USER '{user}'@'{host}'")
        for statement in self._forget_gtids:
            self.execute(statement)

    def _end_connections(self) -> None:
        # A transaction left open would hold locks, and another node that is being sent the binary log holds that.
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id, user FROM information_schema.processlist WHERE id <> CONNECTION_ID()")
            others = [number for number, user in cursor.fetchall() if user in _OURS]
            for other in others:
                with contextlib.suppress(pymysql.err.OperationalError):  # it has gone by itself
                    cursor.execute(f"KILL {other}")


class MariaDBNode(Node, MariaDB):
    """MariaDB, whose positions are lists of `domain-server-number`: the last of each domain."""

    # REPLICA MONITOR allows SHOW REPLICA STATUS; REPLICATION CLIENT, another name of BINLOG MONITOR, does not.
    _proxy_rights = "REPLICA MONITOR, BINLOG MONITOR"
    _admin_rights = "READ_ONLY ADMIN, CONNECTION ADMIN, REPLICATION SLAVE ADMIN, REPLICA MONITOR, BINLOG MONITOR, PROCESS, RELOAD"
    _set_read_only = ("SET GLOBAL read_only = 0", "SET GLOBAL read_only = 1")
    _change_delay = "CHANGE MASTER TO MASTER_DELAY"
    _forget_gtids = (
        "RESET MASTER",
        "SET GLOBAL gtid_slave_pos = ''",
        "SET GLOBAL session_track_system_variables = DEFAULT",
    )

    def _command(self) -> list[str]:
        # Strict, so that what was written on the wrong node stops replication and does not go unnoticed.
        options = ["--log-slave-updates", "--gtid-strict-mode=ON", "--relay-log=relay"]
        return [*super()._command(), *options, f"--read-only={int(self.read_only_at_start)}"]

    def _change_source(self, port: int) -> str:
        # slave_pos does not hold what a node wrote while it was primary; demoting adds it.
        return (
            f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = '{_REPLICATION.name}', "
            f"MASTER_PASSWORD = '{_REPLICATION.name}', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos, MASTER_DEMOTE_TO_SLAVE = 1"
        )

    def position(self) -> str:
        return str(self.execute("SELECT @@gtid_binlog_pos")[0][0])

    def received(self) -> str:
        return str(self.replication()["Gtid_IO_Pos"])

    def has(self, position: str, wait_s: float = 0.0) -> bool:
        with self.connect(read_timeout=wait_s + 10) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT MASTER_GTID_WAIT(%s, %s)", (position, wait_s))
            return cursor.fetchone() == (0,)


class MySQLNode(Node, MySQL):
    """MySQL, whose positions are sets of transactions."""

    _proxy_rights = "REPLICATION CLIENT"
    # Resetting a replica takes RELOAD.
    _admin_rights = "SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN, REPLICATION_SLAVE_ADMIN, REPLICATION CLIENT, PROCESS, RELOAD"
    _set_read_only = ("SET GLOBAL read_only = 0", "SET GLOBAL super_read_only = 1")
    _change_delay = "CHANGE REPLICATION SOURCE TO SOURCE_DELAY"
    _forget_gtids = ("RESET BINARY LOGS AND GTIDS", "SET GLOBAL session_track_gtids = DEFAULT")

    def _command(self) -> list[str]:
        options = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-replica-updates=ON", "--relay-log=relay"]
        return [*super()._command(), *options, f"--super-read-only={int(self.read_only_at_start)}"]

    def execute_alone(self, sql: str) -> None:
        strict = self.execute("SELECT @@GLOBAL.super_read_only")[0][0]
        self.execute("SET GLOBAL super_read_only = 0")  # read_only stays
        super().execute_alone(sql)
        self.execute(f"SET GLOBAL super_read_only = {strict}")

    def _change_source(self, port: int) -> str:
        return (
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = '{_REPLICATION.name}', "
            f"SOURCE_PASSWORD = '{_REPLICATION.name}', GET_SOURCE_PUBLIC_KEY = 1, SOURCE_AUTO_POSITION = 1, "
            "SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 0"
        )

    def position(self) -> str:
        return str(self.execute("SELECT @@GLOBAL.gtid_executed")[0][0]).replace("\n", "")

    def received(self) -> str:
        return str(self.replication()["Retrieved_Gtid_Set"]).replace("\n", "")

    def has(self, position: str, wait_s: float = 0.0) -> bool:
        # A timeout of 0 would mean for ever.
        with self.connect(read_timeout=wait_s + 10) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", (position, max(wait_s, 0.001)))
            return cursor.fetchone() == (0,)


class ReplicatedShard:
    """A primary and the replicas that follow it. The first `reset` starts them."""

    def __init__(self, node: type[MariaDBNode | MySQLNode] = MariaDBNode, replicas: int = 2) -> None:
        self.flavour = node.flavour
        self.nodes: tuple[Node, ...] = tuple(node(f"{node.flavour}-node-{i}") for i in range(1 + replicas))
        self.primary = self.nodes[0]

    @property
    def replicas(self) -> list[Node]:
        """All nodes but the primary, whether they follow it or not."""
        return [node for node in self.nodes if node is not self.primary]

    def close(self) -> None:
        """Kill all nodes for good."""
        for node in self.nodes:
            node.close()

    def reset(self) -> None:
        """All nodes up, equal, reachable and without delay; the first one is the primary; there is nothing but an empty
        schema `app`. Other global variables than read_only, and those by which GTIDs are tracked, are not put back."""
        self.primary = self.nodes[0]
        for node in self.nodes:
            node.read_only_at_start = node is not self.primary
        with ThreadPoolExecutor() as pool:
            list(pool.map(Node.clear, self.nodes))
        for node in self.replicas:
            node.set_read_only(True)
            node.follow(self.primary)
        self.primary.create_schema(SCHEMA)
        self.wait_caught_up()

    def config(self, schema: str = SCHEMA) -> dict[str, Any]:
        """What stands in the proxy's config for this shard."""
        return {"primary": self.primary.url(schema), "replicas": [node.url(schema) for node in self.replicas]}

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run statements on the primary directly, in the schema `app`; the rows of the last one."""
        return self.primary.execute(sql, SCHEMA)

    def wait_caught_up(self, timeout_s: float = 20.0) -> None:
        """Return once every replica has applied what the primary has now."""
        position = self.primary.position()
        for node in self.replicas:
            node.wait_for(position, timeout_s)

    def promote(self, node: Node, *, apply_all: bool = True) -> None:
        """Make a replica the primary, and point the other replicas that run at it.

        The old primary is left as it is: `fence` it before, or have two that take writes. Unless told otherwise, the new
        one first applies all that it has received, and takes writes only then.
        """
        others = [other for other in self.replicas if other is not node and other.running]
        node.stop_io()
        if apply_all:
            node.wait_for(node.received())
        node.leave()
        node.set_read_only(False)
        node.read_only_at_start = False
        self.primary = node
        for other in others:
            other.follow(node)

    def fence(self, node: Node | None = None) -> None:
        """Let a node, by default the primary, take no more writes, not after a restart either; transactions that have written fail."""
        fenced = node or self.primary
        fenced.read_only_at_start = True
        if fenced.running:
            fenced.set_read_only(True)

    def rejoin(self, node: Node) -> None:
        """Make a node that runs, such as an old primary, a replica. What it alone has makes replication fail later on."""
        self.fence(node)
        node.follow(self.primary)
