"""Where each kind of statement runs in a shard with replicas: docs/replicas.md, line by line, on real servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest
from pymysql.constants import CLIENT

from tests.support.replica_proxy import PRIMARY, REPLICAS, ReplicaProxy, shard_of
from tests.support.waiting import eventually

STRICT = '[tables.who_strict]\nby = "unsharded"\nreads = "primary"\n'
ROUTINES = (
    "CREATE FUNCTION asks() RETURNS VARCHAR(20) DETERMINISTIC READS SQL DATA RETURN (SELECT node FROM who WHERE id = 1)",
    "CREATE PROCEDURE writes() BEGIN UPDATE t SET v = v + 1 WHERE id = 1; SELECT node FROM who WHERE id = 1; END",
    "CREATE TABLE who_strict LIKE who",
)


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def place(request: pytest.FixtureRequest) -> Iterator[ReplicaProxy]:
    """One shard with one proxy for all tests of this file, in a schema that is passed through."""
    shard = shard_of(request, request.param)
    sequence = ("CREATE SEQUENCE numbers",) if shard.flavour == "mariadb" else ()
    found = ReplicaProxy(shard, STRICT, ROUTINES + sequence)
    found.sign("app.who_strict")
    yield found
    found.proxy.kill()


def fresh(place: ReplicaProxy, sql: str, user: str = "app") -> str:
    """Who answers the first statement of a session; the column `node` tells."""
    with place.client(user) as client:
        return str(client.one(sql))


# ---------------------------------------------------------------- one statement


def test_plain_reads_run_on_replicas(place: ReplicaProxy) -> None:
    """Whatever their form."""
    for sql in (
        "SELECT node FROM who WHERE id = 1",
        "SELECT node FROM who ORDER BY id LIMIT 1",
        "SELECT node FROM who LIMIT 1 OFFSET 0",
        "SELECT SQL_CALC_FOUND_ROWS node FROM who LIMIT 1",
        "SELECT w.node FROM who w JOIN who x USING (id)",
        "SELECT (SELECT node FROM who WHERE id = 1) FROM t",
        "SELECT node FROM who UNION ALL SELECT 'x' FROM who WHERE id = 2",
        "WITH x AS (SELECT node FROM who) SELECT node FROM x",
        "SELECT node FROM who WHERE node <> CONCAT('up', 'date')",
        "SELECT MAX(node), COUNT(*), NOW() FROM who GROUP BY id",
        "/* a comment */ SELECT node FROM app.who",
    ):
        assert fresh(place, sql) in REPLICAS, sql


def test_reads_are_spread_over_the_replicas(place: ReplicaProxy) -> None:
    """At no load at all too: of sessions that come one after the other, and of one that does not care."""
    with place.client("eventual") as client:
        shares = Counter(client.who() for _ in range(40))
    assert min(shares[name] for name in REPLICAS) >= 15
    shares = Counter(fresh(place, "SELECT node FROM who WHERE id = 1") for _ in range(40))
    assert min(shares[name] for name in REPLICAS) >= 15


def test_what_only_the_primary_can_do_runs_there(place: ReplicaProxy) -> None:
    """Locks of rows and by name, the server's own variables and tables, functions that are not known to only compute."""
    statements = [
        "SELECT node FROM who WHERE id = 1 FOR UPDATE",
        "SELECT node FROM who WHERE id = 1 LOCK IN SHARE MODE",
        "SELECT node, GET_LOCK('a', 0) FROM who",
        "SELECT node, IS_FREE_LOCK('a') FROM who",
        "SELECT node, @@server_id FROM who",
        "SELECT node, @@session.sql_mode FROM who",
        "SELECT w.node, c.TABLE_NAME FROM who w JOIN information_schema.TABLES c ON c.TABLE_NAME = 'who'",
        "SELECT asks()",
        "SELECT asks() FROM t",
        "SELECT node, @x := 1 FROM who",
        "CALL writes()",
    ]
    if place.shard.flavour == "mariadb":
        statements += ["SELECT node, NEXTVAL(numbers) FROM who", "SELECT node, NEXT VALUE FOR numbers FROM who"]
        statements += ["SELECT node, LASTVAL(numbers) FROM who", "SELECT node, SETVAL(numbers, 500) FROM who"]
    else:
        statements += ["SELECT node FROM who FOR SHARE", "SELECT node FROM who FOR UPDATE SKIP LOCKED", "TABLE who"]
    for sql in statements:
        with place.client() as client:
            rows = client.run(sql)
            assert PRIMARY in rows[0], sql


def test_writes_run_on_the_primary(place: ReplicaProxy, tmp_path: Path) -> None:
    """What they have seen tells; the replicas get it from there."""
    lines = tmp_path / "lines"
    lines.write_text("5,x\n")
    writes = [
        "CREATE TABLE got AS SELECT 0 AS id, node FROM who",
        "INSERT INTO got SELECT 1, node FROM who",
        "REPLACE INTO got SELECT 2, node FROM who",
        "INSERT INTO got VALUES (3, 'x'), (4, 'x')",
        "UPDATE got, who SET got.node = who.node WHERE got.id = 3",
        "DELETE FROM got WHERE id = 4",
        f"LOAD DATA LOCAL INFILE '{lines}' INTO TABLE got FIELDS TERMINATED BY ',' SET node = (SELECT node FROM who)",
        "ALTER TABLE got ADD COLUMN more INT",
    ]
    before = place.shard.primary.execute("SELECT @@GLOBAL.local_infile")[0][0]
    place.shard.primary.execute("SET GLOBAL local_infile = 1")
    for sql in writes:
        with place.client(local_infile=True) as client:
            client.run(sql)
    place.shard.primary.execute(f"SET GLOBAL local_infile = {before}")
    rows = place.shard.execute("SELECT id, node, more FROM got ORDER BY id")
    assert rows == [(number, PRIMARY, None) for number in (0, 1, 2, 3, 5)]
    with place.client() as client:
        client.run("DROP TABLE got")


def test_insert_returning_runs_on_the_primary_and_is_a_write(place: ReplicaProxy) -> None:
    """Its answer is rows and brings no position."""
    if place.shard.flavour != "mariadb":
        pytest.skip("MySQL has no RETURNING")
    with place.delayed(), place.client() as client, place.client("global") as other:
        assert client.one("INSERT INTO t VALUES (2, 2) RETURNING v") == 2
        assert client.one("SELECT COUNT(*) FROM t WHERE id = 2") == 1
        assert other.one("SELECT COUNT(*) FROM t WHERE id = 2") == 1
        client.run("DELETE FROM t WHERE id = 2")


def test_prepared_statements_run_like_others(place: ReplicaProxy) -> None:
    """By the text protocol; by the binary one in `test_replica_sessions`."""
    with place.client() as client:
        client.run("PREPARE s FROM 'SELECT node FROM who WHERE id = ?'")
        client.run("SET @id = 1")
        assert client.one("EXECUTE s USING @id") == PRIMARY  # the session has left something on its connection


def test_several_statements_in_one_packet_run_each_where_it_belongs(place: ReplicaProxy) -> None:
    """The last one has to see the one before it."""
    with place.client(client_flag=CLIENT.MULTI_STATEMENTS) as client, client.connection.cursor() as cursor:
        cursor.execute("SELECT node FROM who; SELECT node FROM who FOR UPDATE; UPDATE t SET v = v + 1 WHERE id = 1; SELECT node FROM who")
        found = [cursor.fetchall()]
        while cursor.nextset():
            found.append(cursor.fetchall())
    assert found[0][0][0] in REPLICAS
    assert found[1] == ((PRIMARY,),)
    assert [len(rows) for rows in found] == [1, 1, 0, 1]


def test_found_rows_is_that_of_the_replica_that_answered(place: ReplicaProxy) -> None:
    """And does not go to another server for it."""
    rows = [(number, 0) for number in range(10, 20)]
    place.shard.execute("INSERT INTO t VALUES " + ", ".join(map(str, rows)))
    place.shard.wait_caught_up()
    with place.client() as client:
        client.run("SELECT SQL_CALC_FOUND_ROWS id FROM t WHERE id >= 10 LIMIT 3")
        assert client.one("SELECT FOUND_ROWS()") == 10
        client.run("SELECT id FROM t WHERE id >= 10 LIMIT 3 OFFSET 2")
        assert client.one("SELECT FOUND_ROWS()") == 5
        assert client.run("SELECT id FROM t WHERE id >= 10 LIMIT 3 OFFSET 100") == []
        assert client.who() in REPLICAS
    place.shard.execute("DELETE FROM t WHERE id >= 10")


# ---------------------------------------------------------------- transactions


def test_transactions_run_on_the_primary(place: ReplicaProxy) -> None:
    """Plain reads too; and so with autocommit off."""
    with place.client() as client:
        for begin in ("BEGIN", "START TRANSACTION", "START TRANSACTION READ WRITE", "START TRANSACTION WITH CONSISTENT SNAPSHOT"):
            client.run(begin)
            assert client.who() == PRIMARY, begin
            client.run("COMMIT")
    with place.client() as client:
        client.run("SET autocommit = 0")
        assert client.who() == PRIMARY
        client.run("COMMIT")
        assert client.who() == PRIMARY
        client.run("ROLLBACK")
        client.run("SET autocommit = 1")
        eventually(lambda: client.who() in REPLICAS)
    with place.client() as client:
        client.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        client.run("BEGIN")
        assert client.who() == PRIMARY


def test_read_only_transaction_stays_on_one_replica(place: ReplicaProxy) -> None:
    """Which shows one state throughout, whatever comes in meanwhile."""
    servers = set()
    for _ in range(4):
        with place.client() as client:
            client.run("START TRANSACTION READ ONLY")
            before = client.one("SELECT v FROM t WHERE id = 1")
            place.shard.execute("UPDATE t SET v = v + 1 WHERE id = 1")
            place.shard.wait_caught_up()
            found = {client.who() for _ in range(5)}
            assert len(found) == 1
            assert client.one("SELECT v FROM t WHERE id = 1") == before
            client.run("COMMIT")
            assert client.one("SELECT v FROM t WHERE id = 1") >= before
            servers |= found
    assert servers <= REPLICAS


@pytest.mark.parametrize("first", ["SELECT node FROM who FOR UPDATE", "SELECT node, @@server_id FROM who"])
def test_read_only_transaction_that_begins_on_the_primary_stays_there(place: ReplicaProxy, first: str) -> None:
    """Its first statement decides."""
    with place.client() as client:
        client.run("START TRANSACTION READ ONLY")
        found = client.outcome(first)
        assert found[0][0] == PRIMARY if isinstance(found, list) else found[0] == 1792  # MariaDB locks no rows there
        assert client.who() == PRIMARY


def test_read_only_transaction_refuses_writes_as_a_server_does(place: ReplicaProxy) -> None:
    """Error 1792, wherever it runs; it goes on, and so does the session."""
    with place.client() as client:
        client.run("START TRANSACTION READ ONLY")
        assert client.who() in REPLICAS
        assert client.fails("UPDATE t SET v = 0")[0] == 1792
        assert client.who() in REPLICAS
        client.run("COMMIT")
        client.run("UPDATE t SET v = v + 1 WHERE id = 1")


@pytest.mark.parametrize("sql", ["SELECT GET_LOCK('b', 0)", "SELECT node FROM who FOR UPDATE"])
def test_read_only_transaction_on_a_replica_takes_no_locks_there(place: ReplicaProxy, sql: str) -> None:
    """Nobody else would see them; the session is not bound to the replica afterwards."""
    with place.client() as client:
        client.run("START TRANSACTION READ ONLY")
        assert client.who() in REPLICAS
        client.fails(sql)
        client.run("COMMIT")
        client.run("UPDATE t SET v = v + 1 WHERE id = 1")
        assert client.one("SELECT GET_LOCK('b', 0)") == 1


@pytest.mark.parametrize(
    "sql",
    ["SELECT v INTO @x FROM t WHERE id = 1", "SELECT @x := v FROM t WHERE id = 1", "SET @x = (SELECT v FROM t WHERE id = 1)", "SET @x = 7"],
)
def test_what_a_read_only_transaction_leaves_behind_goes_to_the_primary(place: ReplicaProxy, sql: str) -> None:
    """A session that keeps its connection must be able to write."""
    with place.client() as client:
        client.run("START TRANSACTION READ ONLY")
        assert client.who() in REPLICAS
        client.run(sql)
        kept = client.one("SELECT @x")
        client.run("COMMIT")
        client.run("UPDATE t SET v = v + 1 WHERE id = 1")
        assert client.one("SELECT @x") == kept is not None
        assert client.who() == PRIMARY


# ---------------------------------------------------------------- pinned sessions


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMPORARY TABLE mine (id INT)",
        "SELECT GET_LOCK('c', 0)",
        "SET @x = 1",
        "LOCK TABLES who READ",
        "CALL writes()",
        "HANDLER who OPEN",
    ],
)
def test_pinned_sessions_stay_on_the_primary(place: ReplicaProxy, sql: str) -> None:
    """What they have left behind is there."""
    with place.client() as client:
        client.run(sql)
        assert {client.who() for _ in range(4)} == {PRIMARY}


def test_temporary_tables_are_read_where_they_are(place: ReplicaProxy) -> None:
    """Also where a table of that name is on the replicas."""
    with place.client() as client:
        client.run("CREATE TEMPORARY TABLE t (id INT)")
        client.run("INSERT INTO t VALUES (77)")
        assert client.run("SELECT * FROM t") == [(77,)]
        client.run("DROP TEMPORARY TABLE t")
        assert len(client.run("SELECT * FROM t")[0]) == 2


# ---------------------------------------------------------------- settings


def test_users_and_tables_say_how_strict_reads_are(place: ReplicaProxy) -> None:
    """The stricter one of both counts, until the session says otherwise."""
    sql = "SELECT node FROM who_strict"
    for user in ("app", "global", "session", "bounded", "eventual"):
        eventually(lambda who=user: fresh(place, "SELECT node FROM who", who) in REPLICAS)  # `global`: once nobody has just written
        assert fresh(place, sql, user) == PRIMARY, user
        assert fresh(place, "SELECT s.node FROM who w JOIN `app`.`who_strict` AS s USING (id)", user) == PRIMARY, user
    assert fresh(place, "SELECT node FROM who", "primary") == PRIMARY
    assert fresh(place, "/* shardproxy: replica */ " + sql) in REPLICAS
    assert fresh(place, "/* shardproxy: primary */ SELECT node FROM who", "eventual") == PRIMARY
    with place.client("eventual") as client:
        client.run("SET shardproxy_reads = 'session'")
        assert client.one(sql) in REPLICAS
        client.run("SET SESSION shardproxy_reads = DEFAULT")
        assert client.one(sql) == PRIMARY


# ---------------------------------------------------------------- trouble


def test_read_on_a_replica_can_be_killed(place: ReplicaProxy) -> None:
    """At once, by another session; both the session and the replica go on."""
    with place.client() as client, place.client() as other, ThreadPoolExecutor(1) as pool:
        begun = monotonic()
        running = pool.submit(client.outcome, "SELECT SLEEP(20) FROM who")

        sleeping = "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'"
        eventually(lambda: any(node.execute(sleeping) for node in place.shard.replicas))
        assert place.shard.primary.execute(sleeping) == []
        other.run(f"KILL QUERY {client.connection.thread_id()}")
        found = running.result()
        assert found == [(1,)] or found[0] == 1317
        assert monotonic() - begun < 15
        assert client.who() in REPLICAS
    place.settle()


def test_replica_that_lags_behind_a_schema_change_is_not_believed(place: ReplicaProxy) -> None:
    """The primary answers for a table, a column, an index and a view that the replicas do not have yet."""
    shard = place.shard
    with place.delayed():
        shard.execute(
            "CREATE TABLE late (id INT PRIMARY KEY, v INT); INSERT INTO late VALUES (1, 5); ALTER TABLE t ADD COLUMN w INT DEFAULT 3"
        )
        shard.execute("CREATE INDEX iw ON t (w); CREATE VIEW seen AS SELECT v FROM late")
        for sql, value in (
            ("SELECT v FROM late", 5),
            ("SELECT w FROM t WHERE id = 1", 3),
            ("SELECT w FROM t FORCE INDEX (iw) WHERE id = 1", 3),
            ("SELECT v FROM seen", 5),
        ):
            with place.client() as client:
                assert client.one(sql) == value, sql
                assert client.one(sql) == value, sql
            with place.client() as client:
                client.run("START TRANSACTION READ ONLY")
                assert client.one(sql) == value, sql
                assert client.who() == PRIMARY, sql
        with place.client() as client:
            assert client.fails("SELECT * FROM never")[0] == 1146
        shard.execute("DROP VIEW seen; DROP TABLE late; ALTER TABLE t DROP COLUMN w")


def test_own_schema_change_is_seen_at_once(place: ReplicaProxy) -> None:
    """Replicas that lag are not asked: they might know an older table of the same name."""
    with place.delayed(), place.client() as client:
        client.run("CREATE TABLE mine (id INT)")
        assert client.run("SELECT * FROM mine") == []
        client.run("ALTER TABLE mine ADD COLUMN more INT")
        client.run("INSERT INTO mine VALUES (1, 2)")
        assert client.run("SELECT * FROM mine") == [(1, 2)]
        client.run("TRUNCATE TABLE mine")
        assert client.run("SELECT * FROM mine") == []
        client.run("DROP TABLE mine")
        assert client.fails("SELECT * FROM mine")[0] == 1146
