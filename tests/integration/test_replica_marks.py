"""What a session has written or seen, it sees again: after statements of all kinds, and not after it was reset."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import pytest

from tests.support.replica_proxy import PRIMARY, REPLICAS, ReplicaProxy, shard_of
from tests.support.replication import ReplicatedShard
from tests.support.waiting import eventually
from tests.support.wire import WireClient, native_scramble

RESET, CHANGE_USER = b"\x1f", b"\x11"
FUNCTION = (
    "CREATE FUNCTION counts() RETURNS INT DETERMINISTIC MODIFIES SQL DATA "
    "BEGIN UPDATE t SET v = v + 1 WHERE id = 1; RETURN (SELECT v FROM t WHERE id = 1); END"
)
PROCEDURE = "CREATE PROCEDURE moves() BEGIN UPDATE t SET v = v + 1 WHERE id = 1; SELECT v FROM t WHERE id = 1; END"


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def place(request: pytest.FixtureRequest) -> Iterator[ReplicaProxy]:
    """One shard with one proxy, in a schema that is passed through."""
    shard = shard_of(request, request.param)
    sequence = ("CREATE SEQUENCE numbers",) if shard.flavour == "mariadb" else ()
    found = ReplicaProxy(shard, prepare=(FUNCTION, PROCEDURE, *sequence))
    yield found
    found.proxy.kill()


# ---------------------------------------------------------------- what was seen on the primary


def test_what_was_seen_on_the_primary_stays_seen(place: ReplicaProxy) -> None:
    """By whatever statement: replicas are late, and others have written."""
    statements = [
        "SELECT v FROM t WHERE id = 1 FOR UPDATE",
        "SELECT v FROM t WHERE id = 1 LOCK IN SHARE MODE",
        "SELECT v, @@server_id FROM t",
        "SELECT v, IS_FREE_LOCK('x') FROM t",
        "CHECKSUM TABLE t",
        "SELECT SUM(v) FROM t WHERE @@server_id",
        "/* shardproxy: primary */ SELECT v FROM t",
    ]
    statements += ["TABLE t", "SELECT v FROM t FOR SHARE"] if place.shard.flavour == "mysql" else ["SELECT NEXTVAL(numbers), v FROM t"]
    with place.delayed():
        place.shard.execute("UPDATE t SET v = v + 1")
        [(value,)] = place.shard.execute("SELECT v FROM t")
        for sql in statements:
            with place.client() as client:
                client.run(sql)
                assert client.one("SELECT v FROM t") == value, sql
            with place.client() as client:
                client.run("BEGIN")
                client.run(sql)
                client.run("COMMIT")
                assert client.one("SELECT v FROM t") == value, sql
        with place.client() as client:
            assert client.one("SELECT v FROM t") < value  # or all this has shown nothing


@pytest.mark.parametrize("loose", ["SET shardproxy_reads = 'eventual'", "/* shardproxy: replica */ SELECT 1 FROM t"])
def test_strict_reads_do_not_follow_loose_ones(place: ReplicaProxy, loose: str) -> None:
    """An eventual read may go to the replica that is late; a session read after it sees what was seen before."""
    with place.delayed(both=False), place.client() as client:
        place.shard.execute("UPDATE t SET v = v + 1")
        value = client.one("SELECT v FROM t WHERE id = 1 FOR UPDATE")
        for _ in range(12):
            client.run(loose)
            client.one("SELECT v FROM t")
            client.run("SET shardproxy_reads = 'session'")
            assert client.one("SELECT v FROM t") == value


def test_strict_reads_do_not_follow_a_loose_transaction(place: ReplicaProxy) -> None:
    """One that was read from a replica as it happened to be, with more than one statement."""
    with place.delayed(), place.client() as client:
        place.shard.execute("UPDATE t SET v = v + 1")
        value = client.one("SELECT v FROM t WHERE id = 1 FOR UPDATE")
        client.run("START TRANSACTION READ ONLY")
        for hint in ("/* shardproxy: replica */", "", "/* shardproxy: replica */"):
            assert client.one(f"{hint} SELECT v FROM t") < value
        client.run("COMMIT")
        assert client.one("SELECT v FROM t") == value


def test_what_a_write_has_shown_stays_seen(place: ReplicaProxy) -> None:
    """Also where reads may be old and need not show the session's own writes: what it was shown it was shown."""
    shown = ["SELECT counts()", "CALL moves()"]
    if place.shard.flavour == "mariadb":
        shown += ["INSERT INTO t VALUES (1, 0) ON DUPLICATE KEY UPDATE v = v + 1 RETURNING v"]
    with place.delayed():
        for sql in shown:
            with place.client("bounded") as client:
                client.run("SET shardproxy_max_lag_ms = 600000")
                client.run("SELECT v FROM t")
                value = client.one(sql)
                assert client.one("SELECT v FROM t") == value, sql


# ---------------------------------------------------------------- what was written


@pytest.mark.parametrize("other", [False, True])
def test_writes_of_all_kinds_are_seen(place: ReplicaProxy, other: bool) -> None:
    """By the session that has written, and with `global` by others; whether the answer has told a position or not."""
    writes = [
        ["UPDATE t SET v = v + 1"],
        ["BEGIN", "UPDATE t SET v = v + 1", "COMMIT"],
        ["SET autocommit = 0", "UPDATE t SET v = v + 1", "SET autocommit = 1"],
        ["BEGIN", "UPDATE t SET v = v + 1", "CREATE TABLE made (id INT)"],
        ["SELECT counts()"],
        ["DO counts()"],
        ["SELECT counts() FROM who"],
        ["INSERT INTO t VALUES (1, 0) ON DUPLICATE KEY UPDATE v = v + 1"],
        ["REPLACE INTO t SELECT id, v + 1 FROM t"],
        ["START TRANSACTION READ ONLY", "SELECT v FROM t", "COMMIT", "UPDATE t SET v = v + 1"],
    ]
    with place.delayed():
        for statements in writes:
            with place.client() as client:
                for sql in statements:
                    client.run(sql)
                [(value,)] = place.shard.execute("SELECT v FROM t WHERE id = 1")
                if not other:
                    assert client.one("SELECT v FROM t WHERE id = 1") == value, statements
            if other:
                with place.client("global") as client:
                    assert client.one("SELECT v FROM t WHERE id = 1") == value, statements
            place.shard.execute("DROP TABLE IF EXISTS made")


def test_commit_is_a_write_at_its_own_time(place: ReplicaProxy) -> None:
    """Though the client has told the server to say nothing of it, and the replicas are known to have all that was there meanwhile."""
    with place.delayed(1):
        place.shard.wait_caught_up()
        with place.client() as client:
            if place.shard.flavour == "mariadb":
                client.outcome("SET SESSION session_track_system_variables = ''")
            client.run("BEGIN")
            client.run("UPDATE t SET v = v + 1")
            begun = monotonic()
            eventually(lambda: max(server["lag_ms"] for server in place.servers()[1:]) < (monotonic() - begun) * 1000 - 50)
            value = client.one("SELECT v FROM t")
            client.run("COMMIT")
            assert client.one("SELECT v FROM t") == value


def test_sequences_are_read_as_they_were_left(place: ReplicaProxy) -> None:
    """Taking a value is a write."""
    if place.shard.flavour != "mariadb":
        pytest.skip("MySQL has no sequences")
    with place.delayed(), place.client() as client:
        client.run("SELECT SETVAL(numbers, 5000)")
        assert (
            client.one("SELECT next_not_cached_value FROM numbers")
            == place.shard.execute("SELECT next_not_cached_value FROM numbers")[0][0]
        )


# ---------------------------------------------------------------- resets


def change_user(client: WireClient, user: str) -> None:
    """COM_CHANGE_USER."""
    client.send_packet(CHANGE_USER + user.encode() + b"\0\0app\0\x2d\0mysql_native_password\0")
    payload = client.read_packet()
    scramble = native_scramble(user.encode(), payload[1:].split(b"\0")[1])
    client.send_packet(scramble, client.sequence + 1)
    assert client.read_packet()[:1] == b"\0"


@pytest.mark.parametrize("how", ["reset", "change user"])
def test_reset_session_is_a_new_one(place: ReplicaProxy, how: str) -> None:
    """It has written and seen nothing, and reads as its user does."""
    who = b"SELECT node FROM who"
    with place.delayed(), WireClient(place.proxy.port).login() as client:
        client.query(b"UPDATE t SET v = v + 1")
        client.query(b"SET shardproxy_reads = 'global'")
        assert client.query(who) == [(PRIMARY.encode(),)]
        if how == "reset":
            assert client.command(RESET)[:1] == b"\0"
        else:
            change_user(client, "session")
        assert client.query(b"SELECT @@shardproxy_reads") == [(b"session",)]
        [(node,)] = client.query(who)
        assert node.decode() in REPLICAS
        change_user(client, "primary")
        assert client.query(who) == [(PRIMARY.encode(),)]
        change_user(client, "global")
        assert client.query(who) == [(PRIMARY.encode(),)]  # of what somebody has written


@pytest.mark.parametrize("reset", [False, True])
def test_connections_that_were_reset_tell_positions(replicated: ReplicatedShard, reset: bool) -> None:
    """Or the proxy would take a server for the primary that lacks a write which it has acknowledged."""
    place = ReplicaProxy(replicated, "[limits]\npool_size = 1\n", rules={"write_wait_s": 0.5})
    try:
        if reset:
            with place.client() as client:
                client.run("SELECT GET_LOCK('x', 0)")
        for node in replicated.replicas:
            node.delay_by(600)
        place.settle()
        with place.client() as client:
            client.run("UPDATE t SET v = v + 1")
        replicated.primary.kill()
        replicated.promote(replicated.replicas[0], apply_all=False)
        with place.client() as client:
            eventually(lambda: "lacks some that were acknowledged" in client.fails("UPDATE t SET v = v + 1")[1])
    finally:
        place.proxy.kill()
