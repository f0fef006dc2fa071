"""Sessions share connections to the shards: nothing that one of them leaves behind is seen by another."""

import concurrent.futures
import contextlib
import random
from collections.abc import Generator
from functools import partial
from typing import Any

import pymysql
import pytest

from tests.conftest import Shards
from tests.support.binary import BinaryClient, Result, integer, text
from tests.support.proxy import ProxyProcess
from tests.support.shop import S0, S1, S2, S3, TABLES, Shop, run
from tests.support.waiting import eventually
from tests.support.wire import Err

EACH = (S0, S1, S2, S3)
RESET = b"\x1f"
# What clients of a mix set, and what they must then see.
SETTINGS = [
    {"time_zone": "+01:00", "sql_mode": "ONLY_FULL_GROUP_BY"},
    {"time_zone": "-02:00", "sql_mode": ""},
    {"time_zone": "SYSTEM", "sql_mode": "STRICT_ALL_TABLES"},
    {"time_zone": "+03:00", "max_error_count": "7"},
    {"group_concat_max_len": "100", "foreign_key_checks": "0"},
]


class Setup(Shop):
    """A shop with one connection to each shard, and a schema `w` that is passed through, on the first one's server."""

    def client(self, database: str = "app") -> BinaryClient:
        """A raw client; the caller closes it."""
        return BinaryClient(self.proxy.port, 20).login(database=database)

    def in_w(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the server directly."""
        return self.shards.servers[0].execute(sql, "w")


def _open(shards: Shards, pool_size: int) -> Generator[Setup, None, None]:
    limits = f"\n[limits]\npool_size = {pool_size}\npool_wait_s = 30\nconnection_statements = 20\n"
    proxy = ProxyProcess(shards.urls, TABLES + limits, settings={"open_schemas": "s0"})
    proxy.start()
    made = Setup(shards, proxy)
    made.fill_users()
    yield made
    proxy.kill()


@pytest.fixture(scope="module")
def tables(shards: Shards) -> Generator[None, None, None]:
    """What both proxies work on."""
    Shop.create_tables(shards)
    shards.servers[0].create_schema("w")
    shards.servers[0].execute("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))", "w")
    yield
    shards.servers[0].execute("DROP DATABASE w")


@pytest.fixture(scope="module")
def running_setup(shards: Shards, tables: None) -> Generator[Setup, None, None]:
    """One proxy for all tests of the file."""
    yield from _open(shards, 1)


@pytest.fixture(scope="module")
def roomy(shards: Shards, tables: None) -> Generator[Setup, None, None]:
    """The same with four connections to each shard."""
    yield from _open(shards, 4)


@pytest.fixture
def setup(running_setup: Setup) -> Setup:
    """The same with one user per shard and an empty table in `w`."""
    running_setup.fill_users()
    running_setup.in_w("DELETE FROM t")
    return running_setup


# ---------------------------------------------------------------- characteristics of the next transaction


BETWEEN = [b"SELECT 1", b"SET time_zone = '+01:00'", b"SELECT nonsense", b"SHOW TABLES", b"DO 0"]
WRITES = {"app": b"UPDATE users SET age = 1 WHERE uid = 50", "w": b"REPLACE INTO t VALUES (1, 'x')"}


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("schema", WRITES)
def test_characteristics_of_the_next_transaction_are_nobody_elses(setup: Setup, schema: str, between: bytes) -> None:
    """SET TRANSACTION concerns the same session only, whatever statement comes between."""
    with setup.client(schema) as one, setup.client(schema) as other:
        assert one.query(b"SET TRANSACTION READ ONLY") == []
        one.query(between)
        assert other.query(WRITES[schema]) == []


@pytest.mark.parametrize(
    "between",
    [
        None,
        *(
            pytest.param(sql, marks=pytest.mark.xfail(strict=True, reason="used up by a statement without tables"))
            if not sql.startswith(b"SET")
            else sql
            for sql in BETWEEN
        ),
    ],
)
def test_characteristics_of_the_next_transaction_wait_for_it(setup: Setup, between: bytes | None) -> None:
    """A statement without tables is no transaction, so they are still there for the next one, and then are gone."""
    with setup.client("w") as client:
        client.query(b"SET TRANSACTION READ ONLY")
        if between is not None:
            client.query(between)
        client.query(b"START TRANSACTION")
        answer = client.query(WRITES["w"])
        assert isinstance(answer, Err)
        assert answer.errno == 1792
        client.query(b"ROLLBACK")
        assert client.query(WRITES["w"]) == []


# ---------------------------------------------------------------- transactions and their ends


def test_temporary_table_does_not_end_a_transaction(roomy: Setup) -> None:
    """Neither making nor dropping one commits."""
    for schema, write, count in (
        ("app", b"INSERT INTO users (uid) VALUES (60)", b"SELECT COUNT(*) FROM users WHERE uid = 60"),
        ("w", b"INSERT INTO t VALUES (60, 'x')", b"SELECT COUNT(*) FROM t WHERE id = 60"),
    ):
        with roomy.client(schema) as client:
            for sql in (b"BEGIN", write, b"CREATE TEMPORARY TABLE tt (a INT)", b"DROP TEMPORARY TABLE tt", b"ROLLBACK"):
                assert client.query(sql) == [], sql
            assert client.query(count) == [(b"0",)]


@pytest.mark.parametrize("end", [b"COMMIT", b"ROLLBACK"])
def test_transaction_that_a_failed_procedure_has_begun(setup: Setup, end: bytes) -> None:
    """It is the client's to commit or to roll back, as on a server."""
    setup.in_w("CREATE OR REPLACE PROCEDURE p() BEGIN START TRANSACTION; INSERT INTO t VALUES (7, 'p'); SIGNAL SQLSTATE '45000'; END")
    with setup.client("w") as client:
        assert isinstance(client.query(b"CALL p()"), Err)
        assert client.query(end) == []
    assert eventually(lambda: setup.in_w("SELECT COUNT(*) FROM t WHERE id = 7") == [(int(end == b"COMMIT"),)])


def test_autocommit_that_a_procedure_has_switched_off(setup: Setup) -> None:
    """What follows is in a transaction, and a COMMIT makes it last."""
    setup.in_w("CREATE OR REPLACE PROCEDURE p() SET autocommit = 0")
    with setup.client("w") as client:
        for sql in (b"CALL p()", b"INSERT INTO t VALUES (8, 'p')", b"COMMIT", b"INSERT INTO t VALUES (9, 'p')"):
            assert client.query(sql) == []
        assert not client.status & 2
    assert eventually(lambda: setup.in_w("SELECT id FROM t") == [(8,)])


def test_procedure_that_commits_the_clients_transaction(setup: Setup) -> None:
    """A later ROLLBACK does not bring it back, and the next statement is in no transaction."""
    setup.in_w("CREATE OR REPLACE PROCEDURE p() COMMIT")
    with setup.client("w") as client:
        for sql in (b"BEGIN", b"INSERT INTO t VALUES (1, 'a')", b"CALL p()"):
            assert client.query(sql) == []
        assert not client.status & 1
        for sql in (b"INSERT INTO t VALUES (2, 'b')", b"ROLLBACK"):
            assert client.query(sql) == []
    assert setup.in_w("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


# ---------------------------------------------------------------- what statements leave behind


@pytest.mark.parametrize(
    ("made", "used"),
    [
        ("CREATE OR REPLACE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @left = 1", b"INSERT INTO t VALUES (5, 'x')"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS INT BEGIN SET @left = 1; RETURN 1; END", b"SELECT f()"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS INT BEGIN SET SESSION sort_buffer_size = 100000; RETURN 1; END", b"SELECT f()"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS INT RETURN GET_LOCK('left', 0)", b"SELECT f()"),
        (
            "CREATE OR REPLACE PROCEDURE p() BEGIN SET @left = 1; SET SESSION sort_buffer_size = 100000; DO GET_LOCK('left', 0); END",
            b"CALL p()",
        ),
    ],
    ids=["trigger", "function", "function that sets", "function that locks", "procedure"],
)
def test_what_a_routine_leaves_is_gone_with_its_session(setup: Setup, made: str, used: bytes) -> None:
    """User variables, settings and locks of a session end with it, however they came about."""
    asked = b"SELECT @left, @@sort_buffer_size, IS_FREE_LOCK('left')"
    with setup.client("w") as maker:
        assert maker.query(made.encode()) == []
    try:
        with setup.client("w") as other:
            before = other.query(asked)
            with setup.client("w") as one:
                assert not isinstance(one.query(used), Err)
            assert eventually(lambda: other.query(asked) == before)
    finally:
        setup.in_w("DROP TRIGGER IF EXISTS g; DROP FUNCTION IF EXISTS f; DROP PROCEDURE IF EXISTS p")


def test_reset_puts_the_character_set_back(setup: Setup) -> None:
    """Both for the server and for the proxy, which reads keys by it."""
    for sql in (b"SET NAMES latin1", b"SET character_set_client = latin1"):
        with setup.client() as client:
            client.query(sql)
            assert client.command(RESET)[:1] == b"\0"
            assert client.query(b"SELECT @@character_set_client, @@character_set_results") == [(b"utf8mb4", b"utf8mb4")]


@pytest.mark.parametrize(
    "bad",
    [
        "NAMES utf8mb4 COLLATE nonsense",
        "autocommit = 7",
        "nonsense = 1",
        "sql_mode = 'NONSENSE'",
        "sql_mode = 'NO_BACKSLASH_ESCAPES'",
        "character_set_client = gbk",
    ],
)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("schema", WRITES)
def test_set_that_fails_changes_nothing(setup: Setup, schema: str, bad: str, first: bool) -> None:
    """All assignments or none; nor does the next one on the connection see any of it."""
    asked = b"SELECT @@time_zone, @@max_error_count, @@sql_mode, @@character_set_client, @@collation_connection, @@character_set_results"
    with setup.client(schema) as client, setup.client(schema) as other:
        before = client.query(asked)
        parts = [bad, "time_zone = '+05:00'", "max_error_count = 5"]
        parts += [] if "NAMES" in bad or "character_set" in bad else ["NAMES latin1"]
        assert isinstance(client.query(f"SET {', '.join(parts if first else parts[::-1])}".encode()), Err)
        assert other.query(asked) == before
        assert client.query(asked) == before


CHARSETS = b"SELECT @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection"


@pytest.mark.parametrize(
    "statements",
    [
        ["SET NAMES latin1, character_set_connection = latin5"],
        ["SET character_set_connection = latin5, NAMES latin1"],
        ["SET collation_connection = latin5_bin, character_set_results = NULL, NAMES latin1, character_set_results = utf8mb4"],
        ["SET NAMES utf8mb4 COLLATE utf8mb4_bin, NAMES latin1 COLLATE latin1_bin, time_zone = '+03:00'"],
        ["SET CHARACTER SET latin1"],
        ["SET CHARSET latin1, collation_connection = utf8mb4_bin"],
        ["SET collation_connection = utf8mb4_bin, CHARACTER SET latin1"],
        ["SET CHARACTER SET latin1", "SET NAMES utf8mb4"],
        ["SET collation_connection = latin5_bin", "SET character_set_connection = latin2"],
        ["SET character_set_connection = latin2", "SET collation_connection = latin5_bin"],
        ["SET collation_server = latin2_bin", "SET NAMES latin1"],
        ["SET NAMES latin1, @a = 'é', @b = collation('a')"],
    ],
    ids="; ".join,
)
def test_character_sets_are_those_of_a_server(setup: Setup, statements: list[str]) -> None:
    """By SET NAMES, SET CHARACTER SET and single variables, each in its turn, on every connection that the session gets."""
    setup.in_w("ALTER DATABASE w CHARACTER SET latin2")
    asked = CHARSETS + b", @@collation_server, HEX(@a), @b"
    with setup.shards.servers[0].connect("w") as direct:
        for sql in statements:
            run(direct, sql)
        wanted = [tuple(None if value is None else str(value).encode() for value in row) for row in run(direct, asked.decode())]
    with setup.client("w") as one, setup.client("w") as other:
        before = other.query(asked)
        for sql in statements:
            assert one.query(sql.encode()) == []
            if "@a" not in sql:
                assert other.query(asked) == before
        assert one.query(asked) == wanted


@pytest.mark.parametrize("variable", ["collation_connection = 'utf16_bin'", "character_set_connection = 'ucs2'"])
@pytest.mark.parametrize("schema", WRITES)
def test_connection_s_character_set_that_is_not_ascii_s(setup: Setup, schema: str, variable: str) -> None:
    """Settings that come behind it reach the server as they are, the session's own and those of whoever gets the connection next."""
    asked = b"SELECT @@time_zone, @@collation_connection, @@sql_mode, @@lc_time_names, @@character_set_results"
    with setup.client(schema) as one, setup.client(schema) as other:
        assert other.query(b"SET time_zone = '-02:00', lc_time_names = 'de_DE'") == []
        seen = other.query(asked)
        for sql in (f"SET {variable}", "SET character_set_results = NULL", "SET sql_mode = 'ANSI'", "SET sql_mode = DEFAULT"):
            one.query(sql.encode())
            assert other.query(asked) == seen
        mine = one.query(asked)
        assert one.query(b"SET time_zone = CONVERT('+03:00' USING latin1)") == []
        assert other.query(asked) == seen
        assert one.query(asked) == [(b"+03:00", *mine[0][1:])]  # type: ignore[misc]
        assert one.query(b"SET NAMES utf8mb4") == []
        assert other.query(asked) == seen


def test_character_set_results_of_null(setup: Setup) -> None:
    """Set to NULL, and taken back by SET NAMES; others see nothing of it."""
    with setup.client() as one, setup.client() as other:
        one.query(b"SET character_set_results = NULL")
        for uid in EACH:
            assert one.query(b"SELECT @@character_set_results FROM users WHERE uid = %d" % uid) == [(None,)]
            assert other.query(b"SELECT @@character_set_results FROM users WHERE uid = %d" % uid) == [(b"utf8mb4",)]
        one.query(b"SET NAMES utf8mb4")
        for uid in EACH:
            assert one.query(b"SELECT @@character_set_results FROM users WHERE uid = %d" % uid) == [(b"utf8mb4",)]


def test_set_inside_a_transaction(setup: Setup) -> None:
    """It takes effect at once on the shard that is written, and the transaction goes on."""
    with setup.client() as one, setup.client() as other:
        for sql in (b"BEGIN", b"UPDATE users SET age = 77 WHERE uid = 50", b"SET time_zone = '+04:00'"):
            assert one.query(sql) == []
        assert one.query(b"SELECT @@time_zone, age FROM users WHERE uid = 50") == [(b"+04:00", b"77")]
        assert one.query(b"ROLLBACK") == []
        assert one.query(b"SELECT @@time_zone, age FROM users WHERE uid = 50") == [(b"+04:00", b"5")]
        assert other.query(b"SELECT @@time_zone, age FROM users WHERE uid = 50") == [(b"SYSTEM", b"5")]


# ---------------------------------------------------------------- many at once


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_everybody_sees_their_own_settings(roomy: Setup) -> None:
    """200 clients with five kinds of settings over four connections: each always sees its own, on every shard, in text and prepared,
    after errors, resets and kills."""
    with concurrent.futures.ThreadPoolExecutor(40) as threads:
        wrong = [fault for faults in threads.map(partial(_one_of_many, roomy), range(200)) for fault in faults]
    assert not wrong, wrong[:5]
    counts = [server.execute("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'")[0][1] for server in roomy.shards.servers]
    # Two shards on each server, five connections each with those of the other proxy here, twenty statements at most.
    assert all(int(count) <= 2 * 5 * 20 for count in counts), counts


def _one_of_many(setup: Setup, number: int) -> list[object]:
    rng = random.Random(number)
    mine = SETTINGS[number % len(SETTINGS)]
    names = sorted({name for one in SETTINGS for name in one})
    faults: list[object] = []
    with setup.client() as client:
        defaults = dict(zip(names, _seen(client, names, S0), strict=True))
        if defaults["max_error_count"] != b"64" or defaults["foreign_key_checks"] != b"1":
            faults.append(("not fresh", defaults))
        expected = [mine.get(name, (defaults[name] or b"").decode()).encode() for name in names]
        client.query(
            (
                "SET " + ", ".join(f"{name} = '{value}'" if not value.isdigit() else f"{name} = {value}" for name, value in mine.items())
            ).encode()
        )
        for step in range(6):
            uid = EACH[(number + step) % 4]
            if (seen := _seen(client, names, uid)) != expected:
                faults.append((number, step, seen, expected))
            answer = client.run(f"SELECT {', '.join('@@' + name for name in names)} FROM users WHERE uid = ?", [integer(uid)])
            if not isinstance(answer, Result):
                faults.append((number, answer))
            form = rng.randrange(5)
            if form == 0:
                client.query(b"SELECT nonsense FROM users WHERE uid = %d" % uid)
            elif form == 1:
                client.query(b"SET nonsense = 1, time_zone = '+09:00'")
            elif form == 2:
                client.run("SELECT name FROM users WHERE name = ? ORDER BY name", [text("x")])
            elif form == 3 and step == 5:
                client.command(RESET)
                if (seen := _seen(client, names, uid)) != list(defaults.values()):
                    faults.append((number, "after a reset", seen))
    return faults


def _seen(client: BinaryClient, names: list[str], uid: int) -> list[bytes | None]:
    rows = client.query(f"SELECT {', '.join('@@' + name for name in names)} FROM users WHERE uid = {uid}".encode())
    return list(rows[0]) if not isinstance(rows, Err) else [repr(rows).encode()]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_statement_is_nobody_elses(setup: Setup) -> None:
    """A KILL QUERY that comes just as its statement ends hits no other statement: neither of another client on the same connection
    nor the next one of the same client."""
    setup.in_w("INSERT INTO t VALUES (1, 'one')")
    with setup.client("w") as victim, setup.client("w") as killer, setup.client("w") as bystander:
        number = int(victim.query(b"SELECT CONNECTION_ID()")[0][0] or 0)
        made = victim.prepare("SELECT v, SLEEP(?) FROM t WHERE id = 1")
        assert not isinstance(made, Err)
        rng = random.Random(1)
        killed = 0
        for step in range(300):
            victim.send_packet(b"\x03SELECT v, SLEEP(%.4f) FROM t WHERE id = 1" % rng.choice((0, 0.0005, 0.001, 0.003)))
            killer.query(b"KILL QUERY %d" % number)
            bystander.send_packet(b"\x03SELECT v FROM t WHERE id = 1")
            answer = victim.read_result()
            assert answer == [(b"one", b"0")] or (isinstance(answer, Err) and answer.errno == 1317) or answer == [(b"one", b"1")]
            killed += isinstance(answer, Err) or answer[0][1] == b"1"
            assert bystander.read_result() == [(b"one",)], step
            assert victim.query(b"SELECT 7") == [(b"7",)], step
        assert 0 < killed < 300


@pytest.mark.slow
def test_commit_behind_a_killed_statement(setup: Setup) -> None:
    """The end of a transaction waits until a kill has been dealt with: what has been confirmed is there, and nothing else is."""
    with setup.client("w") as killer:
        for number in range(40):
            with setup.client("w") as client:
                own = int(client.query(b"SELECT CONNECTION_ID()")[0][0] or 0)
                client.query(b"BEGIN")
                client.send_packet(b"\x03INSERT INTO t SELECT %d, SLEEP(0.002)" % number)
                killer.query(b"KILL QUERY %d" % own)
                written = client.read_result() == []
                if written:
                    assert client.query(b"SAVEPOINT a") == []
                    assert client.query(b"COMMIT") == []
            assert setup.in_w(f"SELECT COUNT(*) FROM t WHERE id = {number}") == [(int(written),)]


def test_nobody_kills_what_is_another_users(shards: Shards) -> None:
    """Neither their statement nor their connection."""
    proxy = ProxyProcess(shards.urls, TABLES, users={"app": {"password": "app"}, "eve": {"password": "eve"}})
    proxy.start()
    try:
        with proxy.connect() as victim, proxy.connect(user="eve", password="eve") as eve:
            number = run(victim, "SELECT CONNECTION_ID()")[0][0]
            for sql in (f"KILL {number}", f"KILL QUERY {number}", f"KILL CONNECTION {number}"):
                with pytest.raises(pymysql.err.MySQLError, match="1095"), eve.cursor() as cursor:
                    cursor.execute(sql)
            with contextlib.closing(victim.cursor()) as cursor:
                cursor.execute("SELECT 1")
    finally:
        proxy.kill()
