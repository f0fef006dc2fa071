"""The replicated shards that tests are given do what their methods say, and replicate as the proxy will rely on."""

import time
from collections.abc import Callable

import pymysql
import pytest

from tests.support.proxy import ProxyProcess
from tests.support.replication import ADMIN, PROXY, SCHEMA, Node, ReplicatedShard
from tests.support.waiting import eventually
from tests.support.wire import LOGIN_FLAGS, WireClient, login_payload, native_scramble, packet, sha2_scramble

SESSION_TRACK = 1 << 23
STATE_CHANGED = 0x4000
LOST = (pymysql.err.OperationalError, pymysql.err.InterfaceError)
TRACK = {"mariadb": b"SET SESSION session_track_system_variables = 'last_gtid'", "mysql": b"SET SESSION session_track_gtids = OWN_GTID"}


@pytest.fixture
def shard(replicated: ReplicatedShard) -> ReplicatedShard:
    """A replicated shard with a table `t` everywhere."""
    replicated.execute("CREATE TABLE t (id INT PRIMARY KEY, v INT)")
    replicated.wait_caught_up()
    return replicated


def ids(node: Node) -> list[int]:
    """The rows that a node has."""
    return [number for (number,) in node.execute(f"SELECT id FROM {SCHEMA}.t ORDER BY id")]


def through_relay(node: Node) -> pymysql.Connection:
    """A connection as the proxy makes it, and not a patient one."""
    return node.connect(SCHEMA, port=node.relay.port, connect_timeout=2, read_timeout=1, **PROXY.login)


# ---------------------------------------------------------------- roles and rights


def test_replicas_have_what_the_primary_has(shard: ReplicatedShard) -> None:
    """All nodes have numbers of their own, equal contents and equal positions, and only the primary takes writes."""
    shard.execute("INSERT INTO t VALUES (1, 1), (2, 2)")
    shard.wait_caught_up()
    assert [ids(node) for node in shard.nodes] == [[1, 2]] * 3
    assert len({node.position() for node in shard.nodes}) == 1
    assert len({node.execute("SELECT @@server_id")[0][0] for node in shard.nodes}) == 3
    assert [node.read_only for node in shard.nodes] == [False, True, True]
    assert shard.primary.replication() == {}


def test_accounts_can_do_what_they_are_for(shard: ReplicatedShard) -> None:
    """The proxy's sees how replication stands and writes only where that is allowed; the other changes that, and sees no rows."""
    replica = shard.replicas[0]
    shard.primary.execute_as(PROXY, "INSERT INTO t VALUES (1, 1)", SCHEMA)
    for sql in ("INSERT INTO t VALUES (2, 2)", "SELECT * FROM t FOR UPDATE"):
        with pytest.raises(pymysql.err.MySQLError) as failed:
            replica.execute_as(PROXY, sql, SCHEMA)
        assert failed.value.args[0] == 1290
    assert replica.execute_as(PROXY, "SELECT @@GLOBAL.read_only") == [(1,)]
    assert len(replica.execute_as(PROXY, "SHOW REPLICA STATUS")) == 1
    assert replica.execute_as(PROXY, "SHOW MASTER STATUS" if shard.flavour == "mariadb" else "SHOW BINARY LOG STATUS")
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        replica.execute_as(PROXY, "SET GLOBAL read_only = 0")
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        replica.execute_as(ADMIN, f"SELECT * FROM {SCHEMA}.t")


def test_reset_undoes_everything(shard: ReplicatedShard) -> None:
    """Whatever was done to it, there are three nodes with an empty schema in the first roles again."""
    first = shard.primary
    shard.replicas[0].delay_by(600)
    shard.replicas[1].execute_alone("CREATE DATABASE elsewhere")
    shard.replicas[1].execute_alone("CREATE USER stranger@'%' IDENTIFIED BY 'x'")
    shard.promote(shard.replicas[1])
    shard.execute("INSERT INTO t VALUES (1, 1)")
    first.execute("INSERT INTO app.t VALUES (1, 2)")  # the other half of a split brain
    first.black_hole()
    shard.replicas[1].starve()
    shard.replicas[1].pause()
    holder = shard.primary.connect(SCHEMA, autocommit=False)
    holder.cursor().execute("INSERT INTO t VALUES (5, 5)")
    first.kill()
    shard.reset()
    assert shard.primary is first
    assert len({node.position() for node in shard.nodes}) == 1
    assert [node.read_only for node in shard.nodes] == [False, True, True]
    for node in shard.nodes:
        assert node.execute("SHOW TABLES", SCHEMA) == []
        assert node.execute("SHOW DATABASES LIKE 'elsewhere'") == []
        assert node.execute("SELECT user FROM mysql.user WHERE user = 'stranger'") == []
        through_relay(node).close()
    assert [node.replication()["SQL_Delay"] for node in shard.replicas] == [0, 0]
    holder.close()


def test_proxy_takes_the_config(replicated: ReplicatedShard, start_proxy: Callable[..., ProxyProcess]) -> None:
    """A proxy starts with it, and its account may do there what clients do."""
    proxy = start_proxy({"s0": replicated.config()})
    proxy.execute("CREATE TABLE t (id INT PRIMARY KEY, v INT)")
    proxy.execute("INSERT INTO t VALUES (1, 1)")
    replicated.wait_caught_up()
    assert [ids(node) for node in replicated.nodes] == [[1]] * 3
    assert replicated.primary.relay.connections > 0


# ---------------------------------------------------------------- lag and errors


def test_delayed_replica_lags(shard: ReplicatedShard) -> None:
    """A delay holds rows back on one replica for as long as it says, and says so; ending it lets them in."""
    slow, fast = shard.replicas
    slow.delay_by(2)
    begun = time.monotonic()
    shard.execute("INSERT INTO t VALUES (1, 1)")
    position = shard.primary.position()
    fast.wait_for(position)
    assert (ids(slow), ids(fast)) == ([], [1])
    with pytest.raises(TimeoutError):
        slow.wait_for(position, 0.1)
    slow.wait_for(position)
    assert time.monotonic() - begun > 1  # the servers count in whole seconds
    slow.delay_by(600)
    shard.execute("INSERT INTO t VALUES (2, 2)")
    eventually(lambda: slow.replication()["Seconds_Behind_Source"])
    assert ids(slow) == [1]
    slow.delay_by(0)
    shard.wait_caught_up()
    assert ids(slow) == [1, 2]


def test_stopped_io_thread_receives_nothing(shard: ReplicatedShard) -> None:
    """And the other thread says of itself that it runs."""
    replica = shard.replicas[0]
    replica.stop_io()
    before = replica.received()
    shard.execute("INSERT INTO t VALUES (1, 1)")
    shard.replicas[1].wait_for(shard.primary.position())
    status = replica.replication()
    assert (status["Replica_IO_Running"], status["Replica_SQL_Running"]) == ("No", "Yes")
    assert replica.received() == before
    assert not replica.has(shard.primary.position(), 0.1)
    replica.start_io()
    shard.wait_caught_up()


def test_stopped_sql_thread_applies_nothing(shard: ReplicatedShard) -> None:
    """What comes is received meanwhile."""
    replica = shard.replicas[0]
    replica.stop_sql()
    before = replica.received()
    shard.execute("INSERT INTO t VALUES (1, 1)")
    eventually(lambda: replica.received() != before)
    status = replica.replication()
    assert (status["Replica_IO_Running"], status["Replica_SQL_Running"]) == ("Yes", "No")
    assert not replica.has(shard.primary.position(), 0.1)
    replica.start_sql()
    shard.wait_caught_up()


def test_broken_replication_is_repaired(shard: ReplicatedShard) -> None:
    """A row that is there already stops one replica with an error, and no other."""
    broken, well = shard.replicas
    broken.break_replication(shard.primary)
    status = broken.replication()
    assert (status["Replica_IO_Running"], status["Replica_SQL_Running"], status["Last_SQL_Errno"]) == ("Yes", "No", 1062)
    assert status["Seconds_Behind_Source"] is None
    shard.execute("INSERT INTO t VALUES (1, 1)")
    well.wait_for(shard.primary.position())
    assert ids(broken) == []
    broken.repair()
    shard.wait_caught_up()
    assert ids(broken) == [1]
    assert broken.read_only


def test_starved_replica_calls_itself_well(shard: ReplicatedShard) -> None:
    """A silent link is no error and no lag by what a replica says of itself, which is why nobody should ask only that."""
    replica = shard.replicas[0]
    replica.starve()
    shard.execute("INSERT INTO t VALUES (1, 1)")
    position = shard.primary.position()
    shard.replicas[1].wait_for(position)
    # MySQL's applier keeps account three times a second; until then a lag that is over may be left standing.
    eventually(lambda: replica.replication()["Seconds_Behind_Source"] == 0)
    status = replica.replication()
    assert (status["Replica_IO_Running"], status["Replica_SQL_Running"]) == ("Yes", "Yes")
    assert not replica.has(position, 0.2)
    assert replica.replication()["Seconds_Behind_Source"] == 0
    replica.heal()
    replica.wait_for(position)


# ---------------------------------------------------------------- nodes that are away


def test_relays_cut_off_and_swallow(shard: ReplicatedShard) -> None:
    """The proxy's way to a node breaks in two manners, and is healed; replication and direct connections know nothing of it."""
    replica = shard.replicas[0]
    connection = through_relay(replica)
    replica.black_hole()
    with pytest.raises(pymysql.err.OperationalError, match="timed out"):
        connection.ping(reconnect=False)
    with pytest.raises(pymysql.err.OperationalError):
        through_relay(replica)
    replica.heal()
    connection = through_relay(replica)
    replica.cut_off()
    with pytest.raises((*LOST, OSError)):
        connection.ping(reconnect=False)
    with pytest.raises(pymysql.err.OperationalError, match="refused"):
        through_relay(replica)
    shard.execute("INSERT INTO t VALUES (1, 1)")
    shard.wait_caught_up()
    assert ids(replica) == [1]
    replica.heal()
    through_relay(replica).close()


def test_killed_and_paused_nodes_come_back(shard: ReplicatedShard) -> None:
    """They keep their data, replicas stay read-only and catch up by themselves."""
    killed, paused = shard.replicas
    shard.execute("INSERT INTO t VALUES (1, 1)")
    shard.wait_caught_up()
    killed.kill()
    paused.pause()
    shard.execute("INSERT INTO t VALUES (2, 2)")
    with pytest.raises(pymysql.err.OperationalError):
        killed.connect()
    with pytest.raises(pymysql.err.OperationalError):
        paused.connect(connect_timeout=1, read_timeout=1)
    killed.start()
    paused.resume()
    shard.wait_caught_up()
    assert [ids(node) for node in shard.nodes] == [[1, 2]] * 3
    assert killed.read_only
    shard.primary.kill()
    shard.primary.start()
    shard.execute("INSERT INTO t VALUES (3, 3)")
    shard.wait_caught_up()
    shard.replicas[0].restart()
    assert ids(shard.replicas[0]) == [1, 2, 3]


# ---------------------------------------------------------------- promotions


def test_promotion_after_a_crash_and_the_old_primary_back_as_replica(shard: ReplicatedShard) -> None:
    """The new primary has all that it had received, late as it was in applying; the old one returns writable, and then joins."""
    old, (new, other) = shard.primary, shard.replicas
    new.stop_sql()
    shard.execute("INSERT INTO t VALUES (1, 1)")
    other.wait_for(old.position())
    eventually(lambda: new.received() == other.received())
    old.kill()
    new.start_sql()
    shard.promote(new)
    assert shard.primary is new and shard.replicas == [old, other]
    assert ids(new) == [1]
    shard.execute("INSERT INTO t VALUES (2, 2)")
    other.wait_for(new.position())
    old.start()
    assert [node.read_only for node in shard.nodes] == [False, False, True]
    shard.rejoin(old)
    shard.wait_caught_up()
    assert [ids(node) for node in shard.nodes] == [[1, 2]] * 3
    old.kill()
    old.start()
    assert [node.read_only for node in shard.nodes] == [True, False, True]
    assert shard.config()["primary"] == new.url()


def test_fenced_primary_refuses_open_transactions(shard: ReplicatedShard) -> None:
    """What has written and not committed cannot do so any more, and there is no writing on the fenced node after a restart."""
    primary = shard.primary
    with primary.connect(SCHEMA, **PROXY.login, autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1, 1)")
        shard.fence()
        with pytest.raises(pymysql.err.MySQLError) as failed:
            cursor.execute("COMMIT")
        assert failed.value.args[0] == 1290
    primary.kill()  # an orderly end takes MySQL's primary ten seconds
    primary.start()
    assert primary.read_only
    assert ids(primary) == []


def test_promotion_there_and_back(shard: ReplicatedShard) -> None:
    """Planned: fence, wait, promote, rejoin; then the same the other way."""
    first = shard.primary
    for number, new in enumerate((shard.replicas[0], first)):
        old = shard.primary
        shard.fence()
        shard.wait_caught_up()
        shard.promote(new)
        shard.rejoin(old)
        shard.execute(f"INSERT INTO t VALUES ({number}, 1)")
        shard.wait_caught_up()
    assert [ids(node) for node in shard.nodes] == [[0, 1]] * 3


def test_what_an_old_primary_alone_has_shows_when_it_rejoins(replicated_mariadb: ReplicatedShard) -> None:
    """In strict mode, a transaction that never left the old primary keeps it from following the new one (error 1236)."""
    shard = replicated_mariadb
    shard.execute("CREATE TABLE t (id INT PRIMARY KEY, v INT)")
    shard.wait_caught_up()
    old = shard.primary
    old.kill()
    shard.promote(shard.replicas[0])
    old.start()
    old.execute("INSERT INTO app.t VALUES (1, 1)")
    for number in (2, 3):
        shard.execute(f"INSERT INTO t VALUES ({number}, 1)")
    shard.rejoin(old)
    eventually(lambda: old.replication()["Last_IO_Errno"] == 1236)


def test_write_on_a_replica_stops_it_in_strict_mode(replicated_mariadb: ReplicatedShard) -> None:
    """Whoever has READ_ONLY ADMIN may write there; the next transaction of the primary then has a number that is taken (1950)."""
    shard = replicated_mariadb
    shard.replicas[0].execute("CREATE DATABASE errant")
    shard.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    eventually(lambda: shard.replicas[0].replication()["Last_SQL_Errno"] == 1950)


# ---------------------------------------------------------------- what the servers say of GTIDs


class Tracking(WireClient):
    """A client that is told the GTIDs of its writes."""

    def enter(self, node: Node) -> "Tracking":
        """Log in as the proxy's account, which has logged in before."""
        node.execute_as(PROXY, "SELECT 1")  # or caching_sha2_password wants more than a scramble
        self.read_greeting()
        plugin, scramble = "mysql_native_password", native_scramble
        if node.flavour == "mysql":
            plugin, scramble = "caching_sha2_password", sha2_scramble
        answer = scramble(PROXY.name.encode(), self.salt)
        self.send_packet(login_payload(PROXY.name, answer, SCHEMA, LOGIN_FLAGS | SESSION_TRACK | 1 << 16, plugin), 1)
        while (packet := self.read_packet())[:1] != b"\0":
            assert packet == b"\x01\x03", packet
        return self

    def tracked(self, sql: bytes) -> dict[int, bytes]:
        """What the OK for a statement tracks, by type."""
        self.send_packet(b"\x03" + sql)
        return self.next_tracked()

    def next_tracked(self) -> dict[int, bytes]:
        """What the next OK tracks; counts and lengths are below 251 in these tests."""
        ok = self.read_packet()
        assert ok[0] == 0, ok
        if not int.from_bytes(ok[3:5], "little") & STATE_CHANGED:
            return {}
        at = 8 + ok[7]  # behind the message
        items, rest = {}, ok[at + 1 : at + 1 + ok[at]]
        while rest:
            items[rest[0]] = rest[2 : 2 + rest[1]]
            rest = rest[2 + rest[1] :]
        return items


def gtid_of(items: dict[int, bytes], flavour: str) -> str:
    """The GTID in what an OK tracks: a variable's name and value, or an encoding's number and a set."""
    head = b"\x09last_gtid" if flavour == "mariadb" else b"\0"
    item = items[0 if flavour == "mariadb" else 3]
    assert item.startswith(head)
    assert item[len(head)] == len(item) - len(head) - 1
    return item[len(head) + 1 :].decode()


def test_gtid_comes_with_the_ok_of_a_write(shard: ReplicatedShard) -> None:
    """After autocommit writes and COMMIT, and after nothing else; COM_RESET_CONNECTION ends it."""
    with Tracking(shard.primary.port).enter(shard.primary) as client:
        assert client.tracked(b"INSERT INTO t VALUES (0, 0)") == {}
        assert client.tracked(TRACK[shard.flavour]) == {}
        gtid = gtid_of(client.tracked(b"INSERT INTO t VALUES (1, 1)"), shard.flavour)
        assert shard.replicas[0].has(gtid, 5)
        assert ids(shard.replicas[0]) == [0, 1]
        for sql in (b"UPDATE t SET v = v", b"BEGIN", b"INSERT INTO t VALUES (2, 2)", b"ROLLBACK", b"DO 1", b"BEGIN"):
            assert client.tracked(sql).keys() <= {5}, sql
        assert client.tracked(b"INSERT INTO t VALUES (2, 2)") == {}
        after = gtid_of(client.tracked(b"COMMIT"), shard.flavour)
        assert after != gtid
        assert shard.replicas[0].has(after, 5)
        client.send_packet(b"\x1f")
        client.next_tracked()
        assert client.tracked(b"INSERT INTO app.t VALUES (3, 3)") == {}


def test_gtid_of_several_writes_in_one_packet(shard: ReplicatedShard) -> None:
    """Each has its own on MariaDB; on MySQL the second comes together with the first, as a set."""
    with Tracking(shard.primary.port).enter(shard.primary) as client:
        client.tracked(TRACK[shard.flavour])
        first = gtid_of(client.tracked(b"INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (2, 2)"), shard.flavour)
        second = gtid_of(client.next_tracked(), shard.flavour)
    if shard.flavour == "mariadb":
        server, number = first.rsplit("-", 1)
        assert second == f"{server}-{int(number) + 1}"
    else:
        server, number = first.rsplit(":", 1)
        assert second == f"{server}:{number}-{int(number) + 1}"


def test_waiting_for_a_gtid(shard: ReplicatedShard) -> None:
    """It ends as soon as the replica is there, or about when the time is over; and a SELECT may be sent right behind."""
    replica = shard.replicas[0]
    function, late = ("MASTER_GTID_WAIT", b"-1") if shard.flavour == "mariadb" else ("WAIT_FOR_EXECUTED_GTID_SET", b"1")
    wait = f"\x03SELECT {function}('{{}}', 1)".format
    replica.stop_sql()
    shard.execute("INSERT INTO t VALUES (1, 1)")
    position = shard.primary.position()
    with Tracking(replica.port).enter(replica) as client:
        both = packet(wait(position).encode()) + packet(b"\x03SELECT id FROM t")
        begun = time.monotonic()
        client.send(both)
        assert (client.read_result(), client.read_result()) == ([(late,)], [])
        assert 0.9 < time.monotonic() - begun < 5
        client.send(both)
        replica.start_sql()
        assert (client.read_result(), client.read_result()) == ([(b"0",)], [(b"1",)])


def test_no_time_to_wait_means_two_things(shard: ReplicatedShard) -> None:
    """With a timeout of 0, MariaDB looks and does not wait; MySQL waits for ever."""
    replica = shard.replicas[0]
    replica.stop_sql()
    shard.execute("INSERT INTO t VALUES (1, 1)")
    position = shard.primary.position()
    if shard.flavour == "mariadb":
        assert replica.execute_as(PROXY, f"SELECT MASTER_GTID_WAIT('{position}', 0)") == [(-1,)]
        return
    connection = replica.connect(read_timeout=1)
    with pytest.raises(pymysql.err.OperationalError, match="timed out"):
        connection.cursor().execute(f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', 0)")


def test_mariadb_positions(replicated_mariadb: ReplicatedShard) -> None:
    """A primary's own writes are in gtid_binlog_pos and not in gtid_slave_pos, and so it waits in vain for them."""
    shard = replicated_mariadb
    sql = "SELECT @@gtid_slave_pos, @@gtid_binlog_pos, @@gtid_current_pos"
    position = shard.primary.position()
    assert shard.primary.execute(sql) == [("", position, position)]
    assert shard.replicas[0].execute(sql) == [(position,) * 3]
    assert not shard.primary.has(position, 0.1)
    shard.promote(shard.replicas[0])
    shard.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    after = shard.primary.position()
    assert shard.primary.execute(sql) == [(position, after, after)]
    assert shard.primary.has(position)
    assert not shard.primary.has(after, 0.1)
    shard.replicas[1].wait_for(after)
