"""Signals: SIGTERM drains, SIGHUP reads users and limits again."""

import os
import signal
import time
from collections.abc import Iterator

import pymysql
import pytest

from tests.conftest import Shards
from tests.support.shop import S0, Shop, open_shop, run
from tests.support.waiting import eventually
from tests.support.wire import ClosedError, WireClient, err, packet, ssl_request


@pytest.fixture
def shop(shards: Shards) -> Iterator[Shop]:
    """A proxy of one's own, to be stopped."""
    yield from open_shop(shards, "drain_s = 8")


def _refuses_new_clients(shop: Shop) -> bool:
    try:
        WireClient(shop.proxy.port, 2).socket.close()
    except OSError:
        return True
    return False


def test_sigterm_lets_statements_and_transactions_end(shop: Shop) -> None:
    """Idle clients are sent away with 1053, busy ones finish, new ones are refused; the process ends with 0."""
    idle, busy, inside = shop.wire(), shop.wire(), shop.connect()
    busy.send_packet(b"\x03SELECT SLEEP(1.5) FROM countries RIGHT JOIN (SELECT 1) x ON 1")
    run(inside, "BEGIN")
    run(inside, f"INSERT INTO users (uid) VALUES ({S0})")
    eventually(lambda: any("SLEEP(1.5)" in str(row) for row in shop.proxy.execute("SHOW PROCESSLIST")))
    os.kill(shop.proxy.pid, signal.SIGTERM)
    assert err(idle.read_packet()).errno == 1053
    assert idle.is_closed()
    eventually(lambda: _refuses_new_clients(shop))
    assert busy.read_result() == [(b"0",)]
    assert busy.is_closed()
    assert shop.proxy.running
    run(inside, f"UPDATE users SET age = 5 WHERE uid = {S0}")
    run(inside, "COMMIT")
    with pytest.raises(pymysql.err.OperationalError):
        run(inside, "SELECT 1")
    inside._force_close()
    idle.socket.close()
    busy.socket.close()
    assert shop.proxy.stop(5) == 0
    assert shop.shards.execute("s0", "SELECT age FROM users") == [(5,)]


def test_sigterm_does_not_wait_for_ever(shop: Shop) -> None:
    """A transaction that does not end is rolled back when the time is over; half-open logins hold up nothing."""
    forgotten = shop.connect()
    run(forgotten, "BEGIN")
    run(forgotten, f"INSERT INTO users (uid) VALUES ({S0})")
    half = [WireClient(shop.proxy.port) for _ in range(5)]
    for client in half:
        client.read_greeting()
    half[0].send(packet(ssl_request(), 1))
    half[1].send(packet(ssl_request(), 1) + b"\x16\x03\x01")
    begun = time.monotonic()
    assert shop.proxy.stop(20) == 0
    assert 7 < time.monotonic() - begun < 15
    for client in half:
        client.socket.close()
    forgotten._force_close()
    eventually(lambda: shop.shards.execute("s0", "SELECT COUNT(*) FROM users") == [(0,)])


def test_sigterm_without_clients_is_quick(shop: Shop) -> None:
    """An orchestrator does not wait for nothing."""
    begun = time.monotonic()
    assert shop.proxy.stop(10) == 0
    assert time.monotonic() - begun < 3


def test_sighup_reads_users_and_limits_again(shop: Shop) -> None:
    """New users get in, old passwords do not, also one that was remembered; those who are in stay in."""
    staying = shop.connect()
    shop.connect(user="stored", password="secret").close()
    config = shop.proxy.config_path
    text = config.read_text()
    stored = text.split("[users.stored]\npassword = ")[1].split("\n")[0]
    changed = text.replace(stored, '"changed"') + '\n[users.fresh]\npassword = "fresh"\n'
    changed = changed.replace("drain_s = 8", "drain_s = 8\nmax_connections = 3")
    config.write_text(changed)
    os.kill(shop.proxy.pid, signal.SIGHUP)
    eventually(lambda: shop.connect(user="fresh", password="fresh").close() or True, retry_on=pymysql.err.OperationalError)
    for wrong in ("secret", "app"):
        with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
            shop.connect(user="stored", password=wrong)
    shop.connect(user="stored", password="changed").close()
    assert run(staying, "SELECT 1") == [(1,)]
    staying.close()
    held = [shop.wire() for _ in range(3)]
    with WireClient(shop.proxy.port) as turned_away:
        assert int.from_bytes(turned_away.read_packet()[1:3], "little") == 1040
        with pytest.raises(ClosedError):
            turned_away.read_packet()
    for client in held:
        client.socket.close()


def test_sighup_with_a_faulty_file_changes_nothing(shop: Shop) -> None:
    """The faults are logged, and everybody goes on as before."""
    config = shop.proxy.config_path
    config.write_text(config.read_text().replace("[users.app]", "[users.app]\nnonsense = 1"))
    os.kill(shop.proxy.pid, signal.SIGHUP)
    eventually(lambda: "nonsense" in shop.proxy.log())
    assert shop.proxy.execute("SELECT 1") == [(1,)]


def test_silent_client_is_sent_away(shards: Shards) -> None:
    """`idle_timeout_s` counts from the login for a client that has not said anything since, and from its last command."""
    for shop in open_shop(shards, "idle_timeout_s = 1"):
        silent, spoke, inside = shop.wire(10), shop.wire(10), shop.wire(10)
        assert spoke.query(b"SELECT 1") == [(b"1",)]
        inside.query(b"BEGIN")
        inside.query(b"INSERT INTO users (uid) VALUES (1)")
        for client in (silent, spoke, inside):
            assert client.is_closed()
            client.socket.close()
        eventually(lambda: shards.execute("s0", "SELECT COUNT(*) FROM users") == [(0,)])
