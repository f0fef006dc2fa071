"""Schemas that are passed through: a server behind them does what it can, and what no client may do stays refused."""

import subprocess
from collections.abc import Generator

import pymysql
import pytest
from pymysql.constants import CLIENT

from tests.conftest import Shards
from tests.support.proxy import ProxyProcess
from tests.support.shop import TABLES, Shop, run
from tests.support.waiting import eventually
from tests.support.wire import LOGIN_FLAGS, MULTI_STATEMENTS, WireClient


@pytest.fixture(scope="module")
def elsewhere(shards: Shards) -> Generator[ProxyProcess, None, None]:
    """The shop's sharded tables, and the other schemas of the last shard's server, which is not the default one."""
    Shop.create_tables(shards)
    last = list(shards.urls)[-1]
    server = shards.servers[-1]
    server.create_schema("legacy")
    server.execute("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20))", "legacy")
    users = {"app": {"password": "app"}, "chief": {"password": "chief", "administer": True}}
    proxy = ProxyProcess(shards.urls, TABLES, settings={"open_schemas": last}, users=users)
    proxy.start()
    yield proxy
    proxy.kill()
    server.execute("DROP DATABASE legacy")


@pytest.fixture
def legacy(elsewhere: ProxyProcess) -> Generator[pymysql.Connection, None, None]:
    """A client that has chosen the open schema when it logged in."""
    with elsewhere.connect(database="legacy") as connection:
        yield connection


def test_settings_hold_where_the_schema_is(legacy: pymysql.Connection) -> None:
    """The schema is on its own shard only: that server checks and keeps what is SET, not the default shard's."""
    run(legacy, "SET time_zone = '+03:00', @mine = 4")
    assert run(legacy, "SELECT @@time_zone, @mine, DATABASE()") == [("+03:00", 4, "legacy")]
    run(legacy, "SET NAMES utf8mb4 COLLATE utf8mb4_bin")
    assert run(legacy, "SELECT @@collation_connection") == [("utf8mb4_bin",)]
    run(legacy, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    assert run(legacy, "SELECT @@tx_isolation") == [("READ-COMMITTED",)]


def test_anything_a_server_can_is_passed_through(legacy: pymysql.Connection) -> None:
    """Views, procedures with bodies, window functions; a session's own function in a body is not frozen."""
    run(legacy, "CREATE OR REPLACE VIEW latest AS SELECT id, ROW_NUMBER() OVER (ORDER BY id DESC) AS place, CONNECTION_ID() AS c FROM t")
    run(legacy, "DROP PROCEDURE IF EXISTS add_two")
    run(
        legacy,
        "CREATE PROCEDURE add_two() BEGIN INSERT INTO t (v) VALUES ('a'); INSERT INTO t (v) VALUES ('b'); SELECT LAST_INSERT_ID(); END",
    )
    [(first,)] = run(legacy, "CALL add_two()")
    [(second,)] = run(legacy, "CALL add_two()")
    assert second == first + 2
    assert run(legacy, "SELECT COUNT(DISTINCT c) FROM latest") == [(1,)]
    assert "connection_id()" in str(run(legacy, "SHOW CREATE VIEW latest")).lower()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM mysql.global_priv",
        "UPDATE `mysql`.`global_priv` SET user = 'x' WHERE 1 = 0",
        "SET STATEMENT sql_log_bin = 0 FOR DELETE FROM t",
        "SET STATEMENT `SQL_Log_Bin` = 0 FOR DELETE FROM t",
        'SET STATEMENT max_statement_time = 1, "sql_log_bin" = 0 FOR DELETE FROM t',
        "SET STATEMENT max_statement_time = 1, /* x */ server_id:=7 FOR DELETE FROM t",
        "SET STATEMENT max_statement_time = 1 FOR SET STATEMENT insert_id = 7 FOR INSERT INTO t (v) VALUES ('x')",
        "SET STATEMENT sql_mode = SUBSTRING('ANSI' FROM 1 FOR REPLACE('4', 'x', 'y')), sql_log_bin = 0 FOR DELETE FROM t",
        "SET STATEMENT sql_mode = SUBSTRING('ANSI' FROM 1 FOR REPLACE('4', 'x', 'y')) FOR GRANT ALL ON *.* TO x",
        "SET STATEMENT session_track_system_variables = '' FOR INSERT INTO t (v) VALUES ('x')",
        "SET STATEMENT max_statement_time = (SELECT 1 FROM mysql.global_priv) FOR SELECT 1",
        "SET STATEMENT max_statement_time = 1 FOR SELECT * FROM mysql.global_priv",
        "SET STATEMENT max_statement_time = 1 FOR CREATE USER x",
        "SET STATEMENT max_statement_time = 1 FOR SET STATEMENT sort_buffer_size = 100000 FOR DROP USER x",
        "SET STATEMENT max_statement_time = 1 FOR SET SESSION sql_log_bin = 0",
        "SET STATEMENT max_statement_time = 1 FOR SHUTDOWN",
        "SET STATEMENT max_statement_time = 1 FOR COMMIT",
        "SET STATEMENT max_statement_time = 1 FOR SHOW FULL PROCESSLIST",
        "SET STATEMENT max_statement_time = 1 FOR SELECT 1 INTO OUTFILE '/tmp/x'",
        "SET STATEMENT max_statement_time = 1 FOR LOAD DATA INFILE '/etc/passwd' INTO TABLE t",
        "SET STATEMENT max_statement_time = 1 FOR",
        "SET STATEMENT max_statement_time = 1",
        "SET STATEMENT max_statement_time = 1 FOR FLUSH TABLES",
        "SET STATEMENT max_statement_time = 1 FOR GRANT ALL ON *.* TO x",
        "SET SESSION sql_log_bin = 0",
        "GRANT ALL ON *.* TO x",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE t",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
    ],
)
def test_what_no_client_may_do_stays_refused(legacy: pymysql.Connection, sql: str) -> None:
    """By itself and in other words; the session goes on."""
    with pytest.raises(pymysql.err.MySQLError, match=r"SP1014|SP1217"):
        run(legacy, sql)
    assert run(legacy, "SELECT 1") == [(1,)]


def test_warnings_stay_until_a_statement_uses_a_table(legacy: pymysql.Connection) -> None:
    """A script looks at the count first, and at the warnings then."""
    run(legacy, "INSERT INTO t VALUES (901, 'z')")
    for between, count in (("SELECT 1", 1), ("SELECT @@warning_count", 1), ("SET @a = 1", 1), ("SELECT 1 FROM t", 0)):
        assert run(legacy, "SELECT CAST(v AS SIGNED) FROM t WHERE id = 901") == [(0,)]
        run(legacy, between)
        assert run(legacy, "SELECT @@warning_count") == [(count,)], between
        assert len(run(legacy, "SHOW WARNINGS")) == count


def test_rollback_warns_of_what_it_cannot_take_back(legacy: pymysql.Connection) -> None:
    """A table without transactions keeps its rows; the count is in the OK, and nothing is left for the next ROLLBACK."""
    run(legacy, "CREATE OR REPLACE TABLE lasting (a INT) ENGINE = MyISAM")
    for write, codes in (("INSERT INTO lasting VALUES (1)", [1196]), ("INSERT INTO t (v) VALUES ('gone')", [])):
        run(legacy, "BEGIN")
        run(legacy, write)
        with legacy.cursor() as cursor:
            cursor.execute("ROLLBACK")
            assert cursor.warning_count == len(codes)
        assert [row[1] for row in run(legacy, "SHOW WARNINGS")] == codes


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW FUNCTION STATUS WHERE Db = 'legacy'",
        "SHOW PROCEDURE STATUS WHERE Db = 'legacy'",
        "SHOW TABLE STATUS LIKE 'shown'",
        "SHOW STATUS LIKE 'Threads_created'",
        "SHOW GLOBAL STATUS LIKE 'Threads_created'",
        "SHOW LOCAL STATUS LIKE 'Threads_created'",
    ],
)
def test_status_is_the_server_s(legacy: pymysql.Connection, shards: Shards, sql: str) -> None:
    """Of routines and tables, too: not every SHOW with that word is about variables."""
    run(legacy, "CREATE OR REPLACE FUNCTION shown() RETURNS INT RETURN 1")
    run(legacy, "CREATE OR REPLACE PROCEDURE shown() SELECT 1")
    run(legacy, "CREATE OR REPLACE TABLE shown (a INT)")
    rows = run(legacy, sql)
    assert rows
    assert rows == list(shards.servers[-1].execute(sql, "legacy"))


@pytest.mark.parametrize("begin", ["BEGIN", "SET autocommit = 0"])
@pytest.mark.parametrize("upkeep", ["ANALYZE", "CHECK", "OPTIMIZE", "REPAIR"])
@pytest.mark.parametrize("form", ["{} TABLE parted", "ALTER TABLE parted {} PARTITION p0"])
def test_upkeep_of_tables_answers_with_rows(legacy: pymysql.Connection, form: str, upkeep: str, begin: str) -> None:
    """Of single partitions, too. As a change of the schema it commits what is open, and is no part of what comes then."""
    run(legacy, "CREATE OR REPLACE TABLE parted (a INT) ENGINE = Aria PARTITION BY HASH (a) PARTITIONS 2")
    for sql in ("DELETE FROM t WHERE v LIKE 'upkeep%'", begin, "INSERT INTO t (v) VALUES ('upkeep before')"):
        run(legacy, sql)
    assert ("legacy.parted", upkeep.lower(), "status") in [row[:3] for row in run(legacy, form.format(upkeep))]
    # Without autocommit the next transaction begins by itself.
    for sql in (*(["BEGIN"] if begin == "BEGIN" else []), "INSERT INTO t (v) VALUES ('upkeep behind')", "ROLLBACK"):
        run(legacy, sql)
    assert run(legacy, "SELECT v FROM t WHERE v LIKE 'upkeep%'") == [("upkeep before",)]
    assert run(legacy, "ALTER TABLE parted COALESCE PARTITION 1") == []


def test_analyzed_write_is_a_write(legacy: pymysql.Connection) -> None:
    """ANALYZE carries it out, in the transaction that is open."""
    for sql in ("BEGIN", "ANALYZE INSERT INTO t (v) VALUES ('analyzed')", "ROLLBACK"):
        run(legacy, sql)
    assert run(legacy, "SELECT v FROM t WHERE v = 'analyzed'") == []


def test_schema_change_that_waits_stops_no_other(elsewhere: ProxyProcess, legacy: pymysql.Connection, shards: Shards) -> None:
    """It waits for a transaction, whose own session may change other tables meanwhile, as others may."""
    run(legacy, "CREATE OR REPLACE TABLE read_by_one (a INT)")
    waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock%'"
    with elsewhere.connect(database="legacy") as other, WireClient(elsewhere.port).login(database="legacy") as waiter:
        run(legacy, "BEGIN")
        run(legacy, "SELECT * FROM read_by_one")
        waiter.query(b"SET lock_wait_timeout = 40")
        waiter.send_packet(b"\x03ALTER TABLE read_by_one ADD COLUMN b INT")
        assert eventually(lambda: shards.servers[-1].execute(waiting) == [(1,)])
        run(other, "CREATE OR REPLACE TABLE of_another (a INT)")
        assert shards.servers[-1].execute(waiting) == [(1,)]
        # This commits what the other waits for.
        run(legacy, "CREATE OR REPLACE TABLE of_the_same (a INT)")
        assert waiter.read_result() == []
        assert [row[0] for row in run(legacy, "SHOW COLUMNS FROM read_by_one")] == ["a", "b"]


def test_diagnostics_of_whoever_had_the_connection_are_not_shown(legacy: pymysql.Connection) -> None:
    """GET DIAGNOSTICS would ask any connection; in a routine it is about the routine."""
    with pytest.raises(pymysql.err.MySQLError, match="SP12"):
        run(legacy, "GET DIAGNOSTICS @n = NUMBER")
    run(legacy, "BEGIN NOT ATOMIC GET DIAGNOSTICS @n = NUMBER; END")


def test_statement_with_settings_of_its_own_runs(legacy: pymysql.Connection) -> None:
    """As MariaDB's Connector/J sends it for a time limit."""
    assert run(legacy, "SET STATEMENT max_statement_time = 5 FOR SELECT 7") == [(7,)]


def test_statement_with_settings_of_its_own_is_what_it_is(elsewhere: ProxyProcess, legacy: pymysql.Connection) -> None:
    """A schema change, a write, a read with another setting inside, EXECUTE: each as if it came by itself."""
    timed = "SET STATEMENT max_statement_time = 5 FOR "
    run(legacy, "DROP TABLE IF EXISTS timed")
    run(legacy, "BEGIN")
    run(legacy, "INSERT INTO t (v) VALUES ('timed')")
    run(legacy, timed + "CREATE TABLE timed (a INT DEFAULT 1, c INT) SELECT CONNECTION_ID() AS c")
    run(legacy, "ROLLBACK")
    assert run(legacy, "SELECT COUNT(*) FROM t WHERE v = 'timed'") == [(1,)]
    assert run(legacy, f"{timed}SET STATEMENT sql_mode = SUBSTRING('ANSI' FROM 1 FOR 4) FOR SELECT c FROM timed") == [(legacy.thread_id(),)]
    assert run(legacy, timed + "SELECT c FROM timed FOR UPDATE") == [(legacy.thread_id(),)]
    assert run(legacy, timed + "(SELECT a FROM timed)") == [(1,)]
    assert [row[2:] for row in run(legacy, timed + "CHECK TABLE timed")] == [("status", "OK")]
    with elsewhere.connect(user="chief", password="chief", database="legacy") as chief:
        run(chief, timed + "CREATE USER timed@localhost")
        run(chief, timed + "DROP USER timed@localhost")
    run(legacy, "PREPARE two FROM 'SELECT ? + @@max_statement_time'")
    run(legacy, "SET @one = 1")
    assert run(legacy, timed + "EXECUTE two USING @one") == [(6.0,)]
    run(legacy, timed + "DROP TABLE timed")


@pytest.mark.parametrize("name", ["mysql", "sys", "performance_schema", "nowhere"])
def test_server_s_own_schemas_cannot_be_chosen(elsewhere: ProxyProcess, legacy: pymysql.Connection, name: str) -> None:
    """Not by USE and not at login."""
    with pytest.raises(pymysql.err.OperationalError) as refused:
        run(legacy, f"USE {name}")
    assert refused.value.args[0] == 1049
    with pytest.raises(pymysql.err.OperationalError) as refused:
        elsewhere.connect(database=name)
    assert refused.value.args[0] == 1049


def test_administration_by_those_who_have_the_right(elsewhere: ProxyProcess, legacy: pymysql.Connection) -> None:
    """It reaches the server; in the sharded schema, which is on several servers, it stays refused, as what stops a server does."""
    with elsewhere.connect(user="chief", password="chief", database="legacy") as chief:
        [(before,)] = run(chief, "SELECT @@GLOBAL.max_statement_time")
        run(chief, "SET GLOBAL max_statement_time = 77, @mine = 3")
        assert run(legacy, "SELECT @@GLOBAL.max_statement_time") == [(77.0,)]
        assert run(chief, "SELECT @mine") == [(3,)]
        run(chief, f"SET @@GLOBAL.max_statement_time = {before}")
        run(chief, "FLUSH TABLES")
        run(chief, "CREATE USER made_here@localhost")
        assert run(chief, "SELECT COUNT(*) FROM mysql.user WHERE user = 'made_here'") == [(1,)]
        run(chief, "DROP USER made_here@localhost")
        for sql in ("SHUTDOWN", "RESET MASTER", "STOP SLAVE", "SET SESSION sql_log_bin = 0"):
            with pytest.raises(pymysql.err.MySQLError, match=r"SP1014|SP1217"):
                run(chief, sql)
        run(chief, "USE app")
        for sql in ("FLUSH TABLES", "SET GLOBAL max_statement_time = 1"):
            with pytest.raises(pymysql.err.MySQLError, match="SP1014"):
                run(chief, sql)
        run(chief, "USE mysql")
        run(chief, "RESET QUERY CACHE")


def test_key_caches_are_set_by_name(elsewhere: ProxyProcess, legacy: pymysql.Connection) -> None:
    """A name of two parts, of which the first is told apart by case; not for other variables."""
    with elsewhere.connect(user="chief", password="chief", database="legacy") as chief:
        run(chief, "CREATE OR REPLACE TABLE cached (a INT PRIMARY KEY) ENGINE = MyISAM")
        run(chief, "SET GLOBAL Hot.key_buffer_size = 2097152, `cold`.KEY_buffer_size = 1048576")
        assert run(chief, "SELECT @@Hot.key_buffer_size > 2000000, @@hot.key_buffer_size, @@cold.key_buffer_size > 0") == [(1, 0, 1)]
        assert [row[2:] for row in run(chief, "CACHE INDEX cached IN Hot")] == [("status", "OK")]
        run(chief, "SET @@GLOBAL.Hot.key_buffer_size = 0, GLOBAL cold.key_buffer_size = 0")
        assert run(chief, "SELECT @@Hot.key_buffer_size") == [(0,)]
        for sql in ("SET hot.sql_log_bin = 0", "SET GLOBAL hot.", "SET hot.sort_buffer_size"):
            with pytest.raises(pymysql.err.MySQLError):
                run(chief, sql)
        assert run(chief, "SELECT @@sql_log_bin") == [(1,)]
    with pytest.raises(pymysql.err.MySQLError, match="SP1014"):
        run(legacy, "SET GLOBAL hot.key_buffer_size = 1048576")


@pytest.mark.parametrize(
    "sql",
    [
        "SET GLOBAL max_error_count = 7, join_buffer_size = 131072",
        "SET max_error_count = 7, GLOBAL max_error_count = 8, join_buffer_size = 131072",
        "SET GLOBAL max_error_count = 7, @@join_buffer_size = 131072, max_error_count = 8, SESSION max_error_count = 9",
        "SET GLOBAL max_error_count = 7, NAMES latin1, join_buffer_size = 131072",
        "SET @@GLOBAL.max_error_count = 7, join_buffer_size = 131072",
        "SET GLOBAL max_error_count = 7, @@SESSION.max_error_count = 8, join_buffer_size = 131072",
        "SET SESSION max_error_count = 7, @@GLOBAL.max_error_count = 8, join_buffer_size = 131072",
        "SET GLOBAL max_error_count = 7, autocommit = 0",
    ],
)
def test_scope_of_a_set_holds_until_another_one_is_named(elsewhere: ProxyProcess, shards: Shards, sql: str) -> None:
    """As on a server: GLOBAL is not for the first assignment only, and @@ has one of its own."""
    names = ["max_error_count", "join_buffer_size", "autocommit"]
    asked = "SELECT " + ", ".join(f"@@GLOBAL.{name}, @@SESSION.{name}" for name in names)
    server = shards.servers[-1]
    before = dict(zip(names, server.execute(asked)[0][::2], strict=True))
    seen = []
    for connection in (server.connect("legacy"), elsewhere.connect(user="chief", password="chief", database="legacy")):
        with connection:
            run(connection, sql)
            seen.append(run(connection, asked))
        server.execute("SET " + ", ".join(f"GLOBAL {name} = {value}" for name, value in before.items()))
    assert seen[0] == seen[1]


def test_compound_statements_are_not_cut(elsewhere: ProxyProcess) -> None:
    """Where several statements may be sent at once, the semicolons inside of one do not end it."""
    with elsewhere.connect(database="legacy", client_flag=CLIENT.MULTI_STATEMENTS) as connection, connection.cursor() as cursor:
        cursor.execute("FOR i IN 1..3 DO INSERT INTO t (v) VALUES (CONCAT('for', i)); END FOR")
        cursor.execute("SELECT COUNT(*) FROM t WHERE v LIKE 'for%'; SELECT 2")
        assert cursor.fetchall() == ((3,),)
        assert cursor.nextset()
        assert cursor.fetchall() == ((2,),)
        timed = "SET STATEMENT max_error_count = 5 FOR "
        for settings in (timed, f"/* a */ {timed.lower()}\n{timed}"):
            cursor.execute(settings + "CREATE OR REPLACE PROCEDURE cut() BEGIN DO 1; SELECT 7; END")
            cursor.execute("CALL cut()")
            assert cursor.fetchall() == ((7,),)
            assert cursor.nextset()
            cursor.execute("DROP PROCEDURE cut")
        cursor.execute(timed + "SELECT 1; CREATE TEMPORARY TABLE cut (a INT); SELECT 3")
        assert cursor.fetchall() == ((1,),)
        assert cursor.nextset()
        assert cursor.nextset()
        assert cursor.fetchall() == ((3,),)


@pytest.mark.parametrize("before", ["", "SELECT 0; ", f"SET @long = '{'x' * (1 << 15)}'; "])
def test_header_of_a_procedure_s_results_says_that_more_follow(elsewhere: ProxyProcess, before: str) -> None:
    """Relayed or taken apart: clients that skip the rows look there."""
    with elsewhere.connect(database="legacy") as connection:
        run(connection, "CREATE OR REPLACE PROCEDURE two() BEGIN SELECT 1; SELECT 2; END")
    with WireClient(elsewhere.port).login(database="legacy", flags=LOGIN_FLAGS | MULTI_STATEMENTS) as client:
        client.send_packet(b"\x03" + f"{before}CALL two(); SELECT 3".encode())
        wanted = [*([[(b"0",)]] if "SELECT" in before else [[]] if before else []), [(b"1",)], [(b"2",)], [], [(b"3",)]]
        for number, rows in enumerate(wanted, 1):
            client.header_status = 0
            assert client.read_result() == rows
            more = number < len(wanted)
            assert bool(client.status & 8) == more
            assert bool(client.header_status & 8) == (more and bool(rows))
        assert client.query(b"SELECT 4") == [(b"4",)]


def test_comment_alone_is_a_statement(legacy: pymysql.Connection) -> None:
    """As on a server, where only nothing at all is an error."""
    run(legacy, "-- nothing")
    run(legacy, "/* nothing */")
    with pytest.raises(pymysql.err.MySQLError) as refused:
        run(legacy, " ")
    assert refused.value.args[0] == 1065


def test_status_tells_of_the_client_s_connection(elsewhere: ProxyProcess, legacy: pymysql.Connection) -> None:
    """TLS and compression are between client and proxy; the rest of SHOW STATUS is the server's."""
    assert run(legacy, "SHOW STATUS LIKE 'Ssl_cipher'") == [("Ssl_cipher", "")]
    assert run(legacy, "SHOW SESSION STATUS LIKE 'Compression'") == [("Compression", "OFF")]
    assert len(run(legacy, "SHOW GLOBAL STATUS")) > 300
    command = [
        "mariadb",
        "-h127.0.0.1",
        f"-P{elsewhere.port}",
        "-uapp",
        "-papp",
        "-C",
        "-BN",
        "app",
        "-e",
        "SHOW STATUS LIKE 'compression'",
    ]
    assert subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout == "Compression\tON\n"
