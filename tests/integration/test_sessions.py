"""What a session sets is its own, wherever its statements go, and nobody else ever sees it."""

import contextlib
from typing import Any

import pymysql
import pytest

from tests.support.shop import S0, S1, S2, S3, Shop, run
from tests.support.waiting import eventually

# Each leaves something behind on a connection, and the question shows whether it is there.
TRACES = {
    "user variable": ("SET @left = 5", "SELECT @left", (5,), (None,)),
    "assignment in a SELECT": ("SELECT @left := 6", "SELECT @left", (6,), (None,)),
    "session variable": ("SET SESSION group_concat_max_len = 7", "SELECT @@group_concat_max_len", (7,), (1048576,)),
    "time zone": ("SET time_zone = '+05:00'", "SELECT @@time_zone", ("+05:00",), ("SYSTEM",)),
    "isolation": (
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SELECT @@tx_isolation",
        ("READ-COMMITTED",),
        ("REPEATABLE-READ",),
    ),
    "sql mode": ("SET sql_mode = 'NO_ZERO_DATE'", "SELECT @@sql_mode LIKE '%STRICT%'", (0,), (1,)),
    "foreign keys": ("SET foreign_key_checks = 0", "SELECT @@foreign_key_checks", (0,), (1,)),
    "autocommit": ("SET autocommit = 0", "SELECT @@autocommit", (0,), (1,)),
    "character set": ("SET NAMES latin1", "SELECT @@character_set_client", ("latin1",), ("utf8mb4",)),
}


@pytest.mark.parametrize("trace", TRACES)
def test_setting_holds_for_its_session_and_no_other(shop: Shop, trace: str) -> None:
    """On every shard while the session lives; on no connection that others get, before or after it ends."""
    change, question, mine, others = TRACES[trace]
    shop.fill_users()
    with shop.connect() as connection:
        run(connection, change)
        for _ in range(8):
            assert run(connection, question) == [mine]
        for uid in (S0, S1, S2, S3):
            [(value,)] = run(connection, f"{question} FROM users WHERE uid = {uid}")
            assert value == mine[0], f"on the shard of {uid}"
        _nobody_else_sees(shop, question, others)
    _nobody_else_sees(shop, question, others)


def _nobody_else_sees(shop: Shop, question: str, others: tuple[Any, ...]) -> None:
    with shop.connect() as connection:
        for uid in (S0, S1, S2, S3) * 3:
            assert run(connection, f"{question} FROM users WHERE uid = {uid}") == [others]
            assert run(connection, question) == [others]


def test_temporary_table_is_its_session_s_own(shop: Shop) -> None:
    """Others do not see it, and it is gone with its session however that ends."""
    for polite in (True, False):
        connection = shop.connect()
        run(connection, "CREATE TEMPORARY TABLE mine (a INT)")
        run(connection, "INSERT INTO mine VALUES (1), (2)")
        assert run(connection, "SELECT SUM(a) FROM mine") == [(3,)]
        with shop.connect() as other, pytest.raises(pymysql.err.ProgrammingError, match="mine"):
            run(other, "SELECT * FROM mine")
        if polite:
            connection.close()
        else:
            connection._force_close()
        for _ in range(8):
            with shop.connect() as other, pytest.raises(pymysql.err.ProgrammingError, match="mine"):
                run(other, "SELECT * FROM mine")


def test_named_lock_is_held_until_its_session_ends(shop: Shop) -> None:
    """Others wait for it in vain while the session lives, however many statements it runs."""
    shop.fill_users()
    with shop.connect() as other:
        for polite in (True, False):
            holder = shop.connect()
            assert run(holder, "SELECT GET_LOCK('mine', 0)") == [(1,)]
            for uid in (S0, S1, S2, S3):
                run(holder, f"SELECT name FROM users WHERE uid = {uid}")
            assert run(other, "SELECT GET_LOCK('mine', 0)") == [(0,)]
            if polite:
                holder.close()
            else:
                holder._force_close()
            eventually(lambda: run(other, "SELECT GET_LOCK('mine', 5)") == [(1,)])
            assert run(other, "SELECT RELEASE_LOCK('mine')") == [(1,)]


def test_pinned_session_is_counted_with_its_reason(shop: Shop) -> None:
    """Operators see why connections are held."""
    with shop.connect() as connection:
        run(connection, "CREATE TEMPORARY TABLE counted (a INT)")
        assert 'reason="temporary table"' in shop.proxy.http("/metrics")[1]


def test_failed_set_changes_nothing(shop: Shop) -> None:
    """The whole statement counts or nothing of it, and the session can go on."""
    with shop.connect() as connection:
        before = run(connection, "SELECT @@sql_mode, @@group_concat_max_len, @@collation_connection")
        for sql, errno in (
            ("SET nonsense = 1", 1193),
            ("SET sql_mode = 'NONSENSE'", 1231),
            ("SET group_concat_max_len = 9, nonsense = 1", 1193),
            ("SET NAMES utf8mb4 COLLATE utf8mb4_nonsense", 1273),
            ("SET NAMES latin1 COLLATE utf8mb4_bin", 1253),
            ("SET NAMES nonsense", 1115),
            ("SET NAMES 'default'", 1115),
            ("SET CHARACTER SET `DEFAULT`", 1115),
            ("SET GLOBAL max_connections = 1", 1227),
            ("SET", 1064),
        ):
            with pytest.raises(pymysql.err.Error) as refused:
                run(connection, sql)
            assert refused.value.args[0] == errno, sql
            for _ in range(4):
                after = run(connection, "SELECT @@sql_mode, @@group_concat_max_len, @@collation_connection")
                assert after == before, sql


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI", "ORACLE"])
def test_sql_modes_that_change_the_language_are_refused(shop: Shop, mode: str) -> None:
    """The proxy would read such statements wrongly; nothing of the SET is left behind."""
    with shop.connect() as connection:
        before = run(connection, "SELECT @@sql_mode")
        for sql in (f"SET sql_mode = '{mode}'", f"SET sql_mode = CONCAT(@@sql_mode, ',{mode}')"):
            with pytest.raises(pymysql.err.NotSupportedError, match="SP1217"):
                run(connection, sql)
            assert run(connection, "SELECT @@sql_mode") == before


def test_pipes_that_join_strings_are_not_taken_for_or(shop: Shop) -> None:
    """Drivers switch the mode on when they connect, and few statements use it: only those are refused."""
    shop.fill_users()
    with shop.connect() as connection:
        run(connection, "SET sql_mode = (SELECT CONCAT(@@sql_mode, ',PIPES_AS_CONCAT'))")
        assert run(connection, f"SELECT uid FROM users WHERE uid = {S0}") == [(S0,)]
        with pytest.raises(pymysql.err.NotSupportedError, match="SP1217"):
            run(connection, f"SELECT uid FROM users WHERE uid = {S0} || uid = {S1}")
        run(connection, "SET sql_mode = DEFAULT")
        assert len(run(connection, f"SELECT uid FROM users WHERE uid = {S0} || uid = {S1}")) == 2


def test_last_insert_id_is_the_client_s_own(shop: Shop) -> None:
    """The first generated value of the last INSERT that generated one, whatever runs in between, per client."""
    with shop.connect() as one, shop.connect() as two:
        run(one, "INSERT INTO notes (note) VALUES ('a'), ('b')")
        run(two, "INSERT INTO notes (note) VALUES ('c')")
        assert run(one, "SELECT LAST_INSERT_ID()") == [(1,)]
        assert run(two, "SELECT LAST_INSERT_ID()") == [(3,)]
        run(one, "INSERT INTO users (uid) VALUES (1)")
        run(one, "SELECT COUNT(*) FROM users")
        assert run(one, "SELECT LAST_INSERT_ID(), @@last_insert_id, @@identity") == [(1, 1, 1)]
        run(one, "UPDATE notes SET id = LAST_INSERT_ID(id + 100) WHERE note = 'c'")
        assert run(one, "SELECT LAST_INSERT_ID()") == [(103,)]
        assert run(two, "SELECT LAST_INSERT_ID()") == [(3,)]
        assert run(one, "SELECT note FROM notes WHERE id = LAST_INSERT_ID()") == [("c",)]
        run(one, "INSERT INTO countries (code) VALUES ('aa')")
        assert run(one, "SELECT LAST_INSERT_ID()") == [(1,)]
        with one.cursor() as cursor:
            cursor.execute("INSERT INTO notes (note) VALUES ('d')")
            assert cursor.lastrowid == run(one, "SELECT LAST_INSERT_ID()")[0][0]


def test_row_count_and_found_rows_are_of_the_last_statement(shop: Shop) -> None:
    """Added up over the shards, -1 behind a result set and an error, 0 behind a DDL."""
    with shop.connect() as connection:
        steps = [
            (f"INSERT INTO users (uid) VALUES ({S0}), ({S1}), ({S2}), ({S3})", 4),
            ("UPDATE users SET age = 5", 4),
            ("UPDATE users SET age = 5", 0),
            (f"UPDATE users SET age = 6 WHERE uid IN ({S0}, {S3})", 2),
            (f"INSERT INTO users (uid, age) VALUES ({S0}, 9) ON DUPLICATE KEY UPDATE age = 9", 2),
            (f"REPLACE INTO users (uid) VALUES ({S0}), ({S1})", 4),
            (f"DELETE FROM users WHERE uid < {S1}", 1),
            ("SELECT uid FROM users", -1),
            ("SET @a = 1", 0),
            ("DELETE FROM users", 3),
        ]
        for sql, count in steps:
            run(connection, sql)
            assert run(connection, "SELECT ROW_COUNT()") == [(count,)], sql
        shop.fill_users()
        for sql, found in (
            ("SELECT uid FROM users", 4),
            ("SELECT uid FROM users LIMIT 3", 3),
            (f"SELECT uid FROM users WHERE uid = {S1}", 1),
            ("SELECT uid FROM users WHERE uid = 99999", 0),
            ("SELECT COUNT(*) FROM users", 1),
        ):
            run(connection, sql)
            assert run(connection, "SELECT FOUND_ROWS()") == [(found,)], sql


def test_found_rows_flag_counts_matched_rows(shop: Shop) -> None:
    """SQLAlchemy, Django and most drivers set CLIENT_FOUND_ROWS; others must not get their connections."""
    shop.fill_users()
    flag = pymysql.constants.CLIENT.FOUND_ROWS
    with shop.connect(client_flag=flag) as matched, shop.connect() as changed:
        for _ in range(3):
            for connection, one, all_ in ((matched, 1, 4), (changed, 0, 0)):
                with connection.cursor() as cursor:
                    assert cursor.execute(f"UPDATE users SET name = name WHERE uid = {S1}") == one
                    assert cursor.execute("UPDATE users SET name = name") == all_


def test_warnings_are_those_of_the_last_statement(shop: Shop) -> None:
    """On one shard, on several, after an error; none of a statement before or of another client."""
    with shop.connect() as connection, shop.connect() as other:
        run(connection, "SET sql_mode = ''")
        run(connection, f"INSERT INTO users (uid, age) VALUES ({S0}, 'x'), ({S1}, 'y')")
        rows = run(connection, "SHOW WARNINGS")
        assert [(level, code) for level, code, _ in rows] == [("Warning", 1366)] * 2
        assert not any("app_" in text for _, _, text in rows), "the shards' schemas must not show"
        assert run(connection, "SHOW COUNT(*) WARNINGS") == [(2,)]
        assert run(connection, "SELECT @@warning_count") == [(2,)]
        assert run(other, "SHOW WARNINGS") == []
        run(connection, "SELECT CAST('z' AS SIGNED) FROM users WHERE uid = 50")
        assert [row[1] for row in run(connection, "SHOW WARNINGS")] == [1292]
        run(connection, "SELECT uid FROM users")
        assert run(connection, "SHOW WARNINGS") == []
        with pytest.raises(pymysql.err.OperationalError):
            run(connection, "SELECT nonsense FROM users")
        assert [row[:2] for row in run(connection, "SHOW ERRORS")] == [("Error", 1054)]


def test_warnings_stay_until_a_statement_uses_a_table(shop: Shop) -> None:
    """As on a server, which is asked here too: neither SET and the like nor a query without a table clears them."""
    with shop.connect() as connection, shop.shards.servers[0].connect("app_0") as direct:
        for warned in ("SELECT CAST('z' AS SIGNED) FROM countries RIGHT JOIN (SELECT 1) x ON 1", "SELECT nonsense FROM countries"):
            for between in (
                *("SELECT 1", "SELECT @@warning_count", "DO 1", "SET @a = 1", "SET time_zone = 'SYSTEM'", "BEGIN", "COMMIT", "ROLLBACK"),
                *("SAVEPOINT a", "SHOW COUNT(*) WARNINGS", "SHOW PROCESSLIST", "-- nothing", "SELECT CAST('y' AS SIGNED)"),
                *("SELECT 1 FROM countries", "SHOW TABLES", "SHOW DATABASES", "SELECT TABLE_NAME FROM information_schema.TABLES"),
            ):
                seen = []
                for client in (connection, direct):
                    with contextlib.suppress(pymysql.MySQLError):
                        run(client, warned)
                    run(client, between)
                    seen.append((run(client, "SELECT @@warning_count, @@error_count"), [row[:2] for row in run(client, "SHOW WARNINGS")]))
                assert seen[0] == seen[1], (warned, between)


def test_warnings_of_a_set_are_the_client_s(shop: Shop) -> None:
    """Its count is in the OK, as the server has it."""
    with shop.connect() as connection, shop.shards.servers[0].connect("app_0") as direct:
        seen = []
        for client in (connection, direct):
            with client.cursor() as cursor:
                cursor.execute("SET max_error_count = 999999, group_concat_max_len = 1, time_zone = '+01:00', NAMES utf8mb4")
                count = cursor.warning_count
            seen.append((count, run(client, "SHOW WARNINGS"), run(client, "SELECT @@max_error_count, @@group_concat_max_len")))
            run(client, "SET time_zone = 'SYSTEM'")
        assert seen[0] == seen[1]
        assert seen[0][0] == 2


@pytest.mark.parametrize("charset", ["utf8mb4", "latin1"])
def test_errors_are_in_the_client_s_character_set(shop: Shop, charset: str) -> None:
    """As the server has sent them, by any way; also where SHOW WARNINGS repeats them."""
    e = "é".encode("latin1" if charset == "latin1" else "utf-8")
    insert = b"INSERT INTO countries (code) VALUES ('" + e + b"')"
    with shop.wire() as client:
        client.query(b"SET NAMES " + charset.encode())
        assert client.query(insert) == []
        for sql in (insert, insert + b", ('xx')", b"SELECT `" + e + b"` FROM users WHERE uid = 50", b"SELECT `" + e + b"` FROM users"):
            answer = client.command(b"\x03" + sql)
            assert answer[:1] == b"\xff"
            assert b"'" + e + b"'" in answer
            assert b"app_" not in answer
            [(_, _, message)] = client.query(b"SHOW ERRORS")  # type: ignore[misc]
            assert b"'" + e + b"'" in (message or b"")


def test_schema_s_name_is_the_logical_one(shop: Shop) -> None:
    """DATABASE(), SHOW, information_schema and messages speak of `app`, never of the shards' schemas."""
    with shop.connect() as connection:
        assert run(connection, "SELECT DATABASE(), SCHEMA()") == [("app", "app")]
        assert run(connection, "SHOW TABLES") == [("countries",), ("notes",), ("orders",), ("users",)]
        assert ("app",) in run(connection, "SHOW DATABASES")
        assert all("app_" not in name for (name,) in run(connection, "SHOW DATABASES"))
        rows = run(connection, "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'app'")
        assert sorted(rows) == [("app", name) for name in ("countries", "notes", "orders", "users")]
        for sql in ("SELECT * FROM nowhere", "SELECT * FROM app.nowhere", "DROP TABLE nowhere"):
            with pytest.raises(pymysql.err.Error) as missing:
                run(connection, sql)
            assert "app_" not in str(missing.value)
        assert run(connection, "SELECT app.users.uid FROM app.users") == []
