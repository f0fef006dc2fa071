"""Transactions whose statements take the short way, in text and prepared: errors, losses and ends of them."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.support.binary import BinaryClient, integer, text
from tests.support.shop import S0, S1, Shop
from tests.support.wire import ClosedError, Err

FORMS = ["text", "prepared"]
IN_TRANSACTION, AUTOCOMMIT = 1, 2


class Talker:
    """A client that says everything in one form."""

    def __init__(self, shop: Shop, form: str) -> None:
        self.client = BinaryClient(shop.proxy.port, 20).login()
        self.form = form

    def ask(self, sql: str, *values: object) -> object:
        """Rows, [] for an OK, or the number of an error."""
        if self.form == "prepared":
            given = [integer(value) if isinstance(value, int) else text(str(value)) for value in values]
            answer = self.client.run(sql, given)
            if isinstance(answer, Err):
                return answer.errno
            return [tuple(None if cell is None else int.from_bytes(cell, "little") for cell in row) for row in answer.rows]
        for value in values:
            sql = sql.replace("?", str(value) if isinstance(value, int) else f"'{value}'", 1)
        found = self.client.query(sql.encode())
        return found.errno if isinstance(found, Err) else [tuple(int(cell or 0) for cell in row) for row in found]

    @property
    def status(self) -> int:
        """IN_TRANSACTION and AUTOCOMMIT, as the last answer had them."""
        return self.client.status & 3


@pytest.fixture(params=FORMS)
def pair(request: pytest.FixtureRequest, shop: Shop) -> Iterator[tuple[Talker, Talker]]:
    """Two clients of the same form, and one user per shard."""
    shop.fill_users()
    one, other = Talker(shop, request.param), Talker(shop, request.param)
    yield one, other
    for talker in (one, other):
        talker.client.socket.close()


SERVER_LOST, TRANSACTION_LOST = 2013, 1213
AGE = "SELECT age FROM users WHERE uid = ?"
SET_AGE = "UPDATE users SET age = ? WHERE uid = ?"


def test_begin_and_commit(pair: tuple[Talker, Talker]) -> None:
    """The status tells where the transaction begins and ends; others see it when it has."""
    one, other = pair
    for begin in ("BEGIN", "START TRANSACTION"):
        age = one.ask(AGE, S0)[0][0] + 1  # type: ignore[index]
        assert one.ask(begin) == []
        assert one.status == IN_TRANSACTION | AUTOCOMMIT
        assert one.ask(SET_AGE, age, S0) == []
        assert one.ask(AGE, S0) == [(age,)]
        assert one.status == IN_TRANSACTION | AUTOCOMMIT
        assert other.ask(AGE, S0) == [(age - 1,)]
        assert one.ask("COMMIT") == []
        assert one.status == AUTOCOMMIT
        assert other.ask(AGE, S0) == [(age,)]


def test_autocommit_off(pair: tuple[Talker, Talker]) -> None:
    """Every statement is in a transaction, and a ROLLBACK takes it back."""
    one, other = pair
    assert one.ask("SET autocommit = 0") == []
    assert one.ask(SET_AGE, 91, S0) == []
    assert one.status == IN_TRANSACTION
    assert other.ask(AGE, S0) == [(5,)]
    assert one.ask("ROLLBACK") == []
    assert one.status == 0
    assert one.ask(AGE, S0) == [(5,)]
    assert one.ask(SET_AGE, 92, S0) == []
    assert one.ask("SET autocommit = 1") == []
    assert one.status == AUTOCOMMIT
    assert other.ask(AGE, S0) == [(92,)]


def test_savepoints(pair: tuple[Talker, Talker]) -> None:
    """They are on every shard that takes part, whenever it came in."""
    one, other = pair
    for sql, values in [("BEGIN", ()), (SET_AGE, (11, S0)), ("SAVEPOINT a", ()), (SET_AGE, (12, S0))]:
        assert one.ask(sql, *values) == []
    assert one.ask(AGE, S1) == [(15,)]
    assert one.ask("ROLLBACK TO SAVEPOINT a") == []
    assert one.ask(AGE, S0) == [(11,)]
    assert one.ask("ROLLBACK TO SAVEPOINT nowhere") == 1305
    assert one.ask("RELEASE SAVEPOINT a") == []
    assert one.ask("ROLLBACK TO SAVEPOINT a") == 1305
    assert one.ask("COMMIT") == []
    assert other.ask(AGE, S0) == [(11,)]


def test_lock_wait_timeout_keeps_the_transaction(pair: tuple[Talker, Talker]) -> None:
    """Only the statement is taken back; what was written before is committed."""
    one, other = pair
    one.ask("BEGIN")
    one.ask(SET_AGE, 21, S0)
    other.ask("SET innodb_lock_wait_timeout = 1")
    other.ask("BEGIN")
    other.ask("UPDATE users SET age = ? WHERE uid = ?", 0, 51)
    assert other.ask("INSERT INTO users (uid, age) VALUES (?, ?)", 51, 22) == []
    assert other.ask(SET_AGE, 23, S0) == 1205
    assert other.ask(AGE, 51) == [(22,)]
    assert other.status == IN_TRANSACTION | AUTOCOMMIT
    assert other.ask("COMMIT") == []
    one.ask("ROLLBACK")
    assert one.ask(AGE, 51) == [(22,)]
    assert one.ask(AGE, S0) == [(5,)]


def test_deadlock_ends_the_transaction(pair: tuple[Talker, Talker]) -> None:
    """The server has rolled it back: the client is in none any more, and what follows stands alone."""
    one, other = pair
    one.ask("INSERT INTO users (uid, age) VALUES (?, ?)", 51, 1)
    for talker, uid in ((one, S0), (other, 51)):
        talker.ask("BEGIN")
        assert talker.ask(SET_AGE, 31, uid) == []
    one.client.send_packet(b"\x03UPDATE users SET age = 32 WHERE uid = 51")
    answer = other.ask(SET_AGE, 33, S0)
    first = one.client.read_result()
    assert (answer == 1213) != (isinstance(first, Err) and first.errno == 1213)
    loser, winner = (other, one) if answer == 1213 else (one, other)
    assert winner.ask("COMMIT") == []
    assert loser.ask(SET_AGE, 34, S0) == []
    assert loser.status == AUTOCOMMIT
    assert loser.ask("ROLLBACK") == []
    assert winner.ask(AGE, S0) == [(34,)]


@pytest.mark.parametrize("next_", [AGE, SET_AGE, "COMMIT"])
def test_lost_connection_loses_the_transaction(shop: Shop, pair: tuple[Talker, Talker], next_: str) -> None:
    """The next statement says so, is not carried out elsewhere, and what was written is not there."""
    one, other = pair
    one.ask("BEGIN")
    one.ask(SET_AGE, 41, S0)
    killed = shop.shards.execute("s0", "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_rows_modified > 0")
    shop.shards.execute("s0", f"KILL {killed[0][0]}")
    with contextlib.suppress(ClosedError):
        values = (42, S0) if next_ == SET_AGE else (S0,) if next_ == AGE else ()
        told = one.ask(next_, *values)
        assert isinstance(told, int)
        if told == SERVER_LOST:
            # It was lost during this statement; the next one is told of the transaction.
            assert one.ask(AGE, S0) == TRANSACTION_LOST
        assert one.ask(AGE, S0) == [(5,)]
    assert other.ask(AGE, S0) == [(5,)]


def test_write_on_a_second_shard_leaves_the_transaction_as_it_is(pair: tuple[Talker, Talker]) -> None:
    """It is refused before anything is sent."""
    one, other = pair
    one.ask("BEGIN")
    assert one.ask(SET_AGE, 51, S0) == []
    assert isinstance(one.ask(SET_AGE, 52, S1), int)
    assert one.ask(AGE, S0) == [(51,)]
    assert one.ask("COMMIT") == []
    assert other.ask(AGE, S0) == [(51,)]
    assert other.ask(AGE, S1) == [(15,)]
