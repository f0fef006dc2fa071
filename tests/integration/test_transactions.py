"""Transactions, and writes that reach several shards, as a MySQL client expects them."""

from typing import Any

import pymysql
import pytest

from tests.support.shop import S0, S1, S2, S3, Shop, run
from tests.support.waiting import eventually
from tests.support.wire import Err

IN_TRANSACTION, AUTOCOMMIT = 1, 2
SP1501 = "SP1501"


def _uids(shop: Shop) -> list[int]:
    """What is committed, asked of the shards themselves."""
    return sorted(row[0] for rows in shop.on_each("SELECT uid FROM users").values() for row in rows)


@pytest.mark.parametrize("begin", ["BEGIN", "START TRANSACTION", "START TRANSACTION READ WRITE", "SET autocommit = 0"])
@pytest.mark.parametrize(("end", "kept"), [("COMMIT", [S0]), ("ROLLBACK", []), ("COMMIT WORK", [S0])])
def test_transaction_ends_as_it_is_told(shop: Shop, begin: str, end: str, kept: list[int]) -> None:
    """Nobody else sees its rows before the commit, and nobody ever after a rollback."""
    with shop.connect() as connection:
        run(connection, begin)
        run(connection, f"INSERT INTO users (uid) VALUES ({S0})")
        assert run(connection, f"SELECT uid FROM users WHERE uid = {S0}") == [(S0,)]
        assert _uids(shop) == []
        run(connection, end)
        assert _uids(shop) == kept


def test_status_flags_follow_the_transaction(shop: Shop) -> None:
    """Drivers and pools read the status bits of every answer; those of a result set are in its last packet."""
    with shop.wire() as client:
        steps: list[tuple[str, int]] = [
            ("SELECT 1", AUTOCOMMIT),
            ("BEGIN", AUTOCOMMIT | IN_TRANSACTION),
            ("SELECT 1", AUTOCOMMIT | IN_TRANSACTION),
            (f"INSERT INTO users (uid) VALUES ({S0})", AUTOCOMMIT | IN_TRANSACTION),
            ("SELECT COUNT(*) FROM users", AUTOCOMMIT | IN_TRANSACTION),
            ("COMMIT", AUTOCOMMIT),
            ("SET autocommit = 0", 0),
            (f"SELECT uid FROM users WHERE uid = {S0}", IN_TRANSACTION),
            ("ROLLBACK", 0),
            ("SET autocommit = 1", AUTOCOMMIT),
            ("SELECT COUNT(*) FROM users", AUTOCOMMIT),
        ]
        for sql, status in steps:
            client.query(sql.encode())
            assert client.status & 3 == status, sql


def test_disconnect_rolls_back(shop: Shop) -> None:
    """However the client goes, its locks are free and its rows are gone."""
    for polite in (True, False):
        connection = shop.connect()
        run(connection, "BEGIN")
        run(connection, f"INSERT INTO users (uid) VALUES ({S0})")
        if polite:
            connection.close()
        else:
            connection._force_close()
        with shop.connect() as other:
            run(other, "SET SESSION innodb_lock_wait_timeout = 5")
            run(other, f"INSERT INTO users (uid) VALUES ({S0})")
            run(other, f"DELETE FROM users WHERE uid = {S0}")


def test_begin_commits_the_transaction_before(shop: Shop) -> None:
    """As on any server, a second BEGIN ends the first transaction well."""
    with shop.connect() as connection:
        run(connection, "BEGIN")
        run(connection, f"INSERT INTO users (uid) VALUES ({S0})")
        run(connection, "BEGIN")
        assert _uids(shop) == [S0]


def test_setting_autocommit_commits(shop: Shop) -> None:
    """`SET autocommit = 1` ends what autocommit = 0 began."""
    with shop.connect() as connection:
        run(connection, "SET autocommit = 0")
        run(connection, f"INSERT INTO users (uid) VALUES ({S0})")
        run(connection, "SET autocommit = 1")
        assert _uids(shop) == [S0]


def test_ddl_commits(shop: Shop) -> None:
    """A schema change ends an open transaction, even one on other tables."""
    with shop.connect() as connection:
        run(connection, "BEGIN")
        run(connection, f"INSERT INTO users (uid) VALUES ({S0})")
        run(connection, "CREATE TABLE IF NOT EXISTS side (id INT PRIMARY KEY)")
        assert connection.server_status & IN_TRANSACTION == 0
        assert _uids(shop) == [S0]
        run(connection, "DROP TABLE side")


def test_savepoints(shop: Shop) -> None:
    """Set before or after the first write, rolled back to, released, and unknown ones refused with the session intact."""
    with shop.connect() as connection:
        for sql in ("BEGIN", "SAVEPOINT a", f"INSERT INTO users (uid) VALUES ({S0})", "SAVEPOINT b"):
            run(connection, sql)
        run(connection, f"INSERT INTO users (uid) VALUES ({S0 + 1})")
        run(connection, "ROLLBACK TO SAVEPOINT b")
        with pytest.raises(pymysql.err.OperationalError, match="nowhere"):
            run(connection, "ROLLBACK TO nowhere")
        run(connection, "RELEASE SAVEPOINT b")
        with pytest.raises(pymysql.err.OperationalError, match="does not exist"):
            run(connection, "ROLLBACK TO b")
        run(connection, "COMMIT")
        assert _uids(shop) == [S0]


def test_rollback_to_the_first_savepoint_undoes_all(shop: Shop) -> None:
    """Also on a shard that the transaction reached after the savepoint was set."""
    with shop.connect() as connection:
        for sql in ("BEGIN", "SAVEPOINT a", f"INSERT INTO users (uid) VALUES ({S0})", "ROLLBACK TO a", "COMMIT"):
            run(connection, sql)
        assert _uids(shop) == []


def test_unknown_savepoint_in_an_empty_transaction(shop: Shop) -> None:
    """A server says 1305 whether or not the transaction has done anything."""
    with shop.connect() as connection:
        run(connection, "BEGIN")
        with pytest.raises(pymysql.err.OperationalError, match="nowhere") as unknown:
            run(connection, "ROLLBACK TO nowhere")
        assert unknown.value.args[0] == 1305


def test_second_shard_is_refused_for_writes(shop: Shop) -> None:
    """The transaction stays as it was: its own shard can still be written, every shard can be read, and it commits."""
    shop.fill_users()
    with shop.connect() as connection:
        run(connection, "BEGIN")
        run(connection, f"UPDATE users SET age = 99 WHERE uid = {S0}")
        for sql in (
            f"UPDATE users SET age = 99 WHERE uid = {S1}",
            "UPDATE users SET age = 99",
            f"INSERT INTO users (uid) VALUES ({S0 + 1}), ({S1 + 1})",
            f"SELECT name FROM users WHERE uid = {S1} FOR UPDATE",
            "INSERT INTO countries (code) VALUES ('xx')",
        ):
            with pytest.raises(pymysql.err.Error, match=SP1501) as refused:
                run(connection, sql)
            assert refused.value.args[0] == 1235, sql
        assert run(connection, "SELECT COUNT(*) FROM users") == [(4,)]
        run(connection, f"INSERT INTO users (uid) VALUES ({S0 + 1})")
        run(connection, "COMMIT")
    ages: dict[str, Any] = shop.on_each("SELECT uid, age FROM users ORDER BY uid")
    assert ages["s0"] == [(S0, 99), (S0 + 1, 0)]
    assert ages["s1"] == [(S1, S1 // 10)]


def test_error_of_one_shard_leaves_the_transaction_intact(shop: Shop) -> None:
    """A duplicate key fails its statement and nothing else."""
    shop.fill_users()
    with shop.connect() as connection:
        run(connection, "BEGIN")
        run(connection, f"UPDATE users SET age = 99 WHERE uid = {S0}")
        with pytest.raises(pymysql.err.IntegrityError):
            run(connection, f"INSERT INTO users (uid) VALUES ({S0})")
        run(connection, "COMMIT")
    assert shop.shards.execute("s0", "SELECT age FROM users") == [(99,)]


@pytest.mark.parametrize("sql", ["SELECT nonsense FROM users", "SELECT uid * 9000000000000000000 FROM users"])
def test_error_of_a_scatter_leaves_the_transaction_intact(shop: Shop, sql: str) -> None:
    """A question that fails on some shard is no reason to lose what was written on another."""
    shop.fill_users()
    with shop.connect() as connection:
        run(connection, "BEGIN")
        run(connection, f"UPDATE users SET age = 99 WHERE uid = {S0}")
        for _ in range(5):
            with pytest.raises(pymysql.err.Error):
                run(connection, sql)
        assert run(connection, f"SELECT age FROM users WHERE uid = {S0}") == [(99,)]
        run(connection, "COMMIT")
    assert shop.shards.execute("s0", "SELECT age FROM users") == [(99,)]


def test_deadlock_ends_the_transaction_everywhere(shop: Shop) -> None:
    """The victim gets 1213, is out of its transaction, and the other one goes on."""
    run_first = f"INSERT INTO users (uid) VALUES ({S0}), ({S0 + 1})"
    with shop.connect() as a, shop.connect() as b:
        run(a, run_first)
        for connection, uid in ((a, S0), (b, S0 + 1)):
            run(connection, "BEGIN")
            run(connection, f"UPDATE users SET age = 1 WHERE uid = {uid}")
        run(b, "SELECT COUNT(*) FROM users")  # another shard takes part, too
        a._execute_command(3, f"UPDATE users SET age = 2 WHERE uid = {S0 + 1}")
        waiting = "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'"
        eventually(lambda: shop.shards.execute("s0", waiting) != [(0,)])
        outcomes = []
        for finish in (
            lambda: run(b, f"UPDATE users SET age = 2 WHERE uid = {S0}"),
            a._read_query_result,
        ):
            try:
                finish()
                outcomes.append(0)
            except pymysql.err.OperationalError as error:
                outcomes.append(error.args[0])
        assert sorted(outcomes) == [0, 1213]
        victim = b if outcomes[0] else a
        victim._execute_command(0x0E, b"")
        assert victim._read_packet()._data[3] & IN_TRANSACTION == 0


def test_failing_write_over_several_shards_leaves_nothing(shop: Shop) -> None:
    """One duplicate on one shard, and no shard has kept anything."""
    shop.fill_users()
    with shop.connect() as connection:
        for sql in (
            f"INSERT INTO users (uid) VALUES ({S0 + 1}), ({S1 + 1}), ({S2}), ({S3 + 1})",
            f"UPDATE users SET name = 'new', age = IF(uid = {S2}, -99999999999, 1)",
            f"UPDATE users SET age = IF(uid = {S3}, (SELECT 1 UNION SELECT 2), 1)",
            f"INSERT INTO users (uid, age) VALUES ({S0 + 1}, 1), ({S1 + 1}, 99999999999)",
        ):
            with pytest.raises(pymysql.err.Error):
                run(connection, sql)
            assert run(connection, "SELECT uid, name FROM users ORDER BY uid") == [
                (S0, "ann"),
                (S1, "bob"),
                (S2, "cid"),
                (S3, "dan"),
            ], sql
        assert run(connection, "SELECT COUNT(*), MAX(age) FROM users") == [(4, S3 // 10)]


def test_ddl_reaches_all_shards(shop: Shop) -> None:
    """Changed, used at once, changed back; a failing one is reported and changes no shard."""
    shop.fill_users()
    with shop.connect() as connection:
        run(connection, "ALTER TABLE users ADD COLUMN extra INT NOT NULL DEFAULT 7")
        assert run(connection, "SELECT DISTINCT extra FROM users") == [(7,)]
        assert run(connection, "SELECT SUM(extra) FROM users") == [(28,)]
        run(connection, "ALTER TABLE users DROP COLUMN extra")
        with pytest.raises(pymysql.err.OperationalError, match="Unknown column"):
            run(connection, "SELECT extra FROM users")
        with pytest.raises(pymysql.err.OperationalError, match="Duplicate column"):
            run(connection, "ALTER TABLE users ADD COLUMN name INT")
        assert len({tuple(rows) for rows in shop.on_each("DESCRIBE users").values()}) == 1


def test_reference_writes_are_the_same_everywhere(shop: Shop) -> None:
    """The clock and AUTO_INCREMENT values of one statement are the same on every copy."""
    with shop.connect() as connection:
        run(connection, "INSERT INTO countries (code, seen) VALUES ('aa', NOW(6)), ('bb', CURRENT_TIMESTAMP(6))")
        assert run(connection, "SELECT LAST_INSERT_ID(), ROW_COUNT()")[0][0] == 1
        run(connection, "INSERT INTO countries (code, seen) VALUES ('cc', NOW(6))")
        run(connection, "UPDATE countries SET seen = NOW(6) WHERE code = 'bb'")
        run(connection, "DELETE FROM countries WHERE code = 'aa'")
        with pytest.raises(pymysql.err.IntegrityError):
            run(connection, "INSERT INTO countries (code) VALUES ('dd'), ('cc')")
        run(connection, "INSERT INTO countries (code, seen) VALUES ('ee', UTC_TIMESTAMP(6))")
        for sql in ("VALUES (LEFT(UUID(), 2))", "VALUES (CHAR(65 + RAND() * 26))"):
            with pytest.raises(pymysql.err.NotSupportedError, match="SP1215"):
                run(connection, f"INSERT INTO countries (code) {sql}")
        copies = shop.on_each("SELECT id, code, seen FROM countries ORDER BY id")
        assert len({tuple(rows) for rows in copies.values()}) == 1
        assert [row[1] for row in copies["s0"]] == ["bb", "cc", "ee"]
        assert run(connection, "SELECT id, code, seen FROM countries ORDER BY id") == list(copies["s0"])


def test_set_session_transaction_begins_none(shop: Shop) -> None:
    """Without autocommit either: the characteristics of the next one can still be set. One that is open goes on as it was begun."""
    with shop.wire() as client:
        for sql in (
            b"SET autocommit = 0",
            b"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        ):
            assert client.query(sql) == [], sql
            assert not client.status & IN_TRANSACTION
        assert client.query(b"SELECT @@tx_isolation") == [(b"READ-COMMITTED",)]
        client.query(b"ROLLBACK")
        for sql in (b"BEGIN", b"SET SESSION TRANSACTION READ ONLY", b"INSERT INTO users (uid) VALUES (%d)" % S0, b"COMMIT"):
            assert client.query(sql) == [], sql
        answer = client.query(b"INSERT INTO users (uid) VALUES (%d)" % (S0 + 1))
        assert isinstance(answer, Err)
        assert answer.errno == 1792
