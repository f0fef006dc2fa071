"""A shard that is killed, hung or cut off: its statements fail in time and say so, the others go on, and it is found again."""

import contextlib
import time
from collections.abc import Callable, Iterator

import pymysql
import pytest

from tests.conftest import Shards
from tests.support.proxy import ProxyProcess
from tests.support.relay import Relay
from tests.support.servers import MariaDB
from tests.support.shop import S0, S1, S2, S3, SCHEMA, TABLES, Shop, run
from tests.support.waiting import eventually
from tests.support.wire import ClosedError, err

LIMITS = """
[limits]
connect_timeout_s = 1
health_interval_s = 0.5
pool_wait_s = 2
query_timeout_s = 6
"""
# What a client may be told of a shard that is away, each with the errno that its driver handles.
AWAY = {"SP1401": 1429, "SP1402": 1205, "SP1403": 2013, "SP1404": 1969}
# A hung server is noticed by two checks; whatever the statement was, it may not take longer than this.
IN_TIME_S = 8.0


class Field:
    """Four shards, of which s3 lives on a server of its own behind a relay."""

    def __init__(self, shards: Shards, server: MariaDB, relay: Relay, proxy: ProxyProcess) -> None:
        self.shop = Shop(shards, proxy)
        self.proxy = proxy
        self.server = server
        self.relay = relay

    def others_go_on(self) -> None:
        """A statement on each of the other shards, fast."""
        with self.proxy.connect(read_timeout=3) as connection:
            begun = time.monotonic()
            for uid in (S0, S1, S2):
                assert run(connection, f"SELECT uid FROM users WHERE uid = {uid}") == [(uid,)]
            assert time.monotonic() - begun < 1

    def fails_in_time(self, sql: str) -> str:
        """The SP id that a statement fails with."""
        begun = time.monotonic()
        with pytest.raises(pymysql.err.Error) as failed:
            self.proxy.execute(sql)
        assert time.monotonic() - begun < IN_TIME_S
        errno, text = failed.value.args
        found = text.split(":")[0]
        assert AWAY.get(found, errno) == errno, failed.value
        return found

    def comes_back(self) -> None:
        """The shard serves again without anybody's help."""
        eventually(
            lambda: self.proxy.execute(f"SELECT name FROM users WHERE uid = {S3}") == [("dan",)],
            15,
            retry_on=pymysql.err.Error,
        )


@pytest.fixture
def field(shards: Shards, mariadb: Callable[..., MariaDB], start_proxy: Callable[..., ProxyProcess]) -> Iterator[Field]:
    """Everything up, with one user on each shard."""
    Shop.create_tables(shards)
    server = mariadb("s3-server")
    server.create_schema("app_3")
    for name, columns in SCHEMA.items():
        if name != "notes":
            server.execute(f"CREATE TABLE {name} ({columns})", "app_3")
    with Relay(server.port) as relay:
        urls = shards.urls | {"s3": server.url("app_3").replace(str(server.port), str(relay.port))}
        proxy = start_proxy(urls, TABLES + LIMITS)
        field = Field(shards, server, relay, proxy)
        field.shop.fill_users()
        yield field


POINT = f"SELECT name FROM users WHERE uid = {S3}"
STATEMENTS = {
    "point read": POINT,
    "scatter": "SELECT COUNT(*) FROM users",
    "write": f"UPDATE users SET age = age + 1 WHERE uid = {S3}",
    "scatter write": "UPDATE users SET age = age + 1",
    "reference write": "INSERT INTO countries (id, code) VALUES (1, 'aa')",
    "ddl": "ALTER TABLE orders ADD COLUMN more INT",
}


@pytest.mark.timeout(120)
def test_killed_server(field: Field) -> None:
    """Everything that needs it fails in time, all else goes on, and it is found again when it is back."""
    field.server.kill()
    for name, sql in STATEMENTS.items():
        if name != "ddl":
            assert field.fails_in_time(sql) in AWAY, name
        field.others_go_on()
    assert field.fails_in_time(POINT) == "SP1401"
    ages = [age for (age,) in field.proxy.execute(f"SELECT age FROM users WHERE uid < {S2 + 50} ORDER BY uid")]
    assert ages == [S0 // 10, S1 // 10, S2 // 10], "a failed write has left something on other shards"
    field.server.start()
    field.comes_back()
    assert field.proxy.execute("SELECT COUNT(*), SUM(age) FROM users") == [(4, (S0 + S1 + S2 + S3) // 10)]


@pytest.mark.timeout(120)
def test_hung_server(field: Field) -> None:
    """A server that accepts and never answers is found out by its checks; nobody waits longer than the limits say."""
    with field.proxy.connect() as connection:
        assert run(connection, POINT) == [("dan",)]
        field.server.pause()
        for name in ("point read", "scatter", "scatter write"):
            begun = time.monotonic()
            assert field.fails_in_time(STATEMENTS[name]) in AWAY, name
            assert time.monotonic() - begun < IN_TIME_S
            field.others_go_on()
        # By now it is known to be down: an answer comes at once.
        eventually(lambda: field.fails_in_time(POINT) == "SP1401")
        begun = time.monotonic()
        assert field.fails_in_time(POINT) == "SP1401"
        assert time.monotonic() - begun < 0.5
        field.server.resume()
        field.comes_back()
    assert field.proxy.execute(f"SELECT age FROM users WHERE uid = {S0}") == [(S0 // 10,)]


@pytest.mark.timeout(120)
def test_cut_in_the_pool_is_not_noticed_by_reads(field: Field) -> None:
    """A read on a pooled connection that has died is tried again on a new one; a client sees nothing of it."""
    with field.proxy.connect() as connection:
        for _ in range(5):
            assert run(connection, POINT) == [("dan",)]
            field.relay.cut()
            assert run(connection, POINT) == [("dan",)]
            field.relay.cut()
            assert run(connection, "SELECT COUNT(*) FROM users") == [(4,)]


@pytest.mark.timeout(120)
def test_cut_in_a_transaction_ends_it(field: Field) -> None:
    """The client learns that it is over, nothing of it is left, and its session can begin another."""
    with field.proxy.connect() as connection:
        run(connection, "BEGIN")
        run(connection, f"UPDATE users SET age = 99 WHERE uid = {S3}")
        field.relay.cut()
        with pytest.raises(pymysql.err.Error) as lost:
            run(connection, POINT)
        assert lost.value.args[0] in (1213, 2013), lost.value
    field.comes_back()
    with field.proxy.connect() as connection:
        run(connection, "BEGIN")
        run(connection, f"UPDATE users SET age = 98 WHERE uid = {S3}")
        field.relay.cut()
        with pytest.raises(pymysql.err.Error) as lost:
            run(connection, "COMMIT")
        assert lost.value.args[0] in (1213, 2013), lost.value
    field.comes_back()
    eventually(lambda: field.server.execute("SELECT age FROM users", "app_3") == [(S3 // 10,)])
    field.others_go_on()


@pytest.mark.timeout(120)
def test_transaction_goes_on_where_a_shard_it_has_only_read_is_lost(field: Field) -> None:
    """What was written elsewhere commits, or is reported as rolled back: never one and said the other."""
    with field.proxy.connect() as connection:
        run(connection, "BEGIN")
        run(connection, POINT)
        run(connection, f"UPDATE users SET age = 97 WHERE uid = {S0}")
        field.relay.cut()
        try:
            run(connection, "COMMIT")
            committed = True
        except pymysql.err.Error:
            committed = False
    age = field.shop.shards.execute("s0", "SELECT age FROM users")
    assert age == [(97 if committed else S0 // 10,)]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["point", "scatter", "in a transaction"])
def test_cut_in_the_middle_of_a_result(field: Field, kind: str) -> None:
    """A client gets an error after whole rows: never a short answer that looks whole, never a row that was not sent."""
    field.proxy.execute("INSERT INTO orders (uid, oid) VALUES " + ", ".join(f"({uid}, 0)" for uid in range(1, 30)))
    [(uid,), *_] = field.server.execute("SELECT uid FROM orders", "app_3")
    rows = ", ".join(f"({uid}, {oid}, '{'x' * 2000}')" for oid in range(1, 2001))
    field.proxy.execute(f"INSERT INTO orders (uid, oid, pad) VALUES {rows}")
    with field.shop.wire(10) as client:
        if kind == "in a transaction":
            client.query(b"BEGIN")
        field.relay.delay(20)
        sql = "SELECT oid, pad FROM orders WHERE oid > 0" + (f" AND uid = {uid}" if kind != "scatter" else "")
        assert client.command(b"\x03" + sql.encode()) == b"\x02"
        assert [client.read_packet()[:1] for _ in range(3)] == [b"\x03", b"\x03", b"\xfe"]
        seen = 0
        # In the middle of a row there is no place for an error: then the connection is closed.
        with contextlib.suppress(ClosedError):
            while (payload := client.read_packet())[:1] != b"\xff":
                assert payload[:1] != b"\xfe", f"the result ends well after {seen} rows"
                assert payload.endswith(b"x" * 2000)
                assert len(payload) < 2010, "an error has been written into a row"
                expected = (client.sequence + 1) & 0xFF
                seen += 1
                if seen == 5:
                    field.relay.cut()
            assert err(payload).errno == 2013
            assert client.sequence == expected
        assert 5 <= seen < 2000
    field.relay.delay(0)
    field.others_go_on()
    field.comes_back()


@pytest.mark.timeout(120)
def test_statement_over_its_time_is_stopped(field: Field) -> None:
    """1969, and the shard does not go on with it."""
    begun = time.monotonic()
    assert field.fails_in_time(f"SELECT SLEEP(30) FROM users WHERE uid = {S3}") == "SP1404"
    assert time.monotonic() - begun < IN_TIME_S
    running = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP(30)%' AND ID <> CONNECTION_ID()"
    eventually(lambda: field.server.execute(running) == [(0,)])


@pytest.mark.timeout(120)
def test_proxy_starts_without_one_shard_and_takes_it_in(
    shards: Shards, mariadb: Callable[..., MariaDB], start_proxy: Callable[..., ProxyProcess]
) -> None:
    """Clients of the others are served at once where the schema is known from them; readiness waits for all."""
    Shop.create_tables(shards)
    server = mariadb("late")
    server.create_schema("app_3")
    for name, columns in SCHEMA.items():
        server.execute(f"CREATE TABLE {name} ({columns})", "app_3")
    server.kill()
    proxy = ProxyProcess(shards.urls | {"s3": server.url("app_3")}, TABLES + LIMITS)
    ready = proxy._is_ready
    proxy._is_ready = lambda: proxy.http("/healthz")[0] == 200  # type: ignore[method-assign]
    proxy.start()
    try:
        assert proxy.http("/readyz")[0] == 503
        server.start()
        eventually(ready, 15)
        proxy.execute(f"INSERT INTO users (uid) VALUES ({S3})")
        assert server.execute("SELECT uid FROM users", "app_3") == [(S3,)]
    finally:
        proxy.kill()
