"""Oracle's MySQL behind the proxy, in place of MariaDB: its login, its collations, its dictionary."""

from collections.abc import Iterator
from decimal import Decimal

import pymysql
import pytest

from tests.support.proxy import ProxyProcess
from tests.support.servers import MySQL
from tests.support.shop import run

TABLES = """
[tables.people]
key = "uid"
by = "hash"

[tables.events]
key = "uid"
by = "range"
ranges = [{ to = 100, shard = "s0" }, { to = 200, shard = "s1" }, { to = 300, shard = "s2" }, { shard = "s3" }]

[tables.countries]
by = "reference"
"""
PEOPLE = "uid BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), country CHAR(2), score INT"
# Equal in utf8mb4_0900_ai_ci: case and accents aside; trailing blanks count (NO PAD).
NAMES = [
    "Zoe",
    "zoë",
    "ZOE ",
    "apple",
    "Äpfel",
    "äpfel",
    "Apple",
    "straße",
    "STRASSE",
    "Œuvre",
    "oeuvre",
    "_x",
    "1",
    "",
    "ñandú",
    "nandu",
    "日本",
    "ab c",
    "ab-c",
    "abc",
]
SHARDS = [f"my_{i}" for i in range(4)]


@pytest.fixture(scope="module")
def proxy(mysql_server: MySQL) -> Iterator[ProxyProcess]:
    """A proxy over four schemas of one MySQL."""
    for schema in [*SHARDS, "my_all"]:
        mysql_server.create_schema(schema)
    server = ProxyProcess({f"s{i}": mysql_server.url(schema) for i, schema in enumerate(SHARDS)}, TABLES)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def people(proxy: ProxyProcess, mysql_server: MySQL) -> ProxyProcess:
    """The proxy with people on all shards, and the same people in one table of the schema `my_all`."""
    rows = [(uid, NAMES[uid % len(NAMES)] if uid % 11 else None, ("de", "fr", "se")[uid % 3], uid % 7) for uid in range(100)]
    proxy.execute("DROP TABLE IF EXISTS people")
    proxy.execute(f"CREATE TABLE people ({PEOPLE})")
    mysql_server.execute(f"DROP TABLE IF EXISTS people; CREATE TABLE people ({PEOPLE})", "my_all")
    for connect in (proxy.connect, lambda: mysql_server.connect("my_all")):
        with connect() as connection, connection.cursor() as cursor:
            assert cursor.executemany("INSERT INTO people VALUES (%s, %s, %s, %s)", rows) == 100
    return proxy


def test_login_and_version(proxy: ProxyProcess, mysql_server: MySQL) -> None:
    """Connections to the shards log in by caching_sha2_password, MySQL's only plugin since version 9."""
    plugins = mysql_server.execute("SELECT plugin FROM mysql.user WHERE user = 'sp'")
    assert plugins == [("caching_sha2_password",)]
    with proxy.connect() as connection:
        assert run(connection, "SELECT 1 + 1, DATABASE()") == [(2, "app")]
        assert "MariaDB" not in run(connection, "SELECT @@version_comment")[0][0]


def test_insert_is_split(people: ProxyProcess, mysql_server: MySQL) -> None:
    """Every shard has its part of one INSERT, and no row twice."""
    parts = [{uid for (uid,) in mysql_server.execute("SELECT uid FROM people", schema)} for schema in SHARDS]
    assert all(parts)
    assert sum(map(len, parts)) == 100
    assert set().union(*parts) == set(range(100))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name, uid FROM people ORDER BY name, uid",
        "SELECT name, uid FROM people ORDER BY name DESC, uid LIMIT 7 OFFSET 20",
        "SELECT country, COUNT(*), SUM(score), AVG(score), MIN(uid), MAX(uid) FROM people GROUP BY country ORDER BY country",
        "SELECT COUNT(*), COUNT(name), AVG(score), SUM(score) FROM people",
        "SELECT score, COUNT(*) AS n FROM people GROUP BY score HAVING n > 14 ORDER BY n DESC, score",
        "SELECT DISTINCT country, score FROM people ORDER BY country, score",
        "SELECT COUNT(*) FROM people WHERE name = 'ZOE'",
        "SELECT uid FROM people WHERE name LIKE 'zo%' ORDER BY uid",
        "SELECT * FROM people WHERE uid IN (3, 50, 99, 1000) ORDER BY uid",
    ],
)
def test_scatter_gives_what_one_server_gives(people: ProxyProcess, mysql_server: MySQL, sql: str) -> None:
    """Merged from four schemas, or read from one that has all rows: the same rows in the same order."""
    there = mysql_server.execute(sql, "my_all")
    assert there
    assert people.execute(sql) == there


@pytest.mark.parametrize("sql", ["SELECT name, COUNT(*) FROM people GROUP BY name", "SELECT DISTINCT name FROM people"])
def test_groups_follow_the_collation(people: ProxyProcess, mysql_server: MySQL, sql: str) -> None:
    """Names that utf8mb4_0900_ai_ci takes for equal are one group; which of them stands for it is the server's choice."""

    def fold(rows: list[tuple[object, ...]]) -> list[tuple[str, ...]]:
        classes = dict(mysql_server.execute("SELECT CAST(name AS BINARY), HEX(WEIGHT_STRING(name)) FROM people", "my_all"))
        return sorted((str(classes[None if row[0] is None else str(row[0]).encode()]), *map(str, row[1:])) for row in rows)

    here, there = people.execute(sql), mysql_server.execute(sql, "my_all")
    assert fold(here) == fold(there)
    assert len(here) < len(NAMES) + 1


def test_average_is_exact(people: ProxyProcess) -> None:
    """AVG is put together from sums and counts, with MySQL's four more digits."""
    total, average = people.execute("SELECT SUM(score), AVG(score) FROM people")[0]
    assert (total, average) == (Decimal(295), Decimal("2.9500"))
    assert str(average) == "2.9500"


def test_transactions(people: ProxyProcess) -> None:
    """On one shard: rollback, savepoints, commit; a second shard in it is refused."""
    with people.connect() as connection:
        run(connection, "BEGIN")
        run(connection, "UPDATE people SET score = 100 WHERE uid = 1")
        assert people.execute("SELECT score FROM people WHERE uid = 1") == [(1,)]
        run(connection, "ROLLBACK")
        assert run(connection, "SELECT score FROM people WHERE uid = 1") == [(1,)]
        run(connection, "START TRANSACTION")
        run(connection, "UPDATE people SET score = 200 WHERE uid = 1")
        run(connection, "SAVEPOINT here")
        run(connection, "UPDATE people SET score = 300 WHERE uid = 1")
        run(connection, "ROLLBACK TO SAVEPOINT here")
        run(connection, "COMMIT")
    assert people.execute("SELECT score FROM people WHERE uid = 1") == [(200,)]


def test_errors_are_mysql_s_own(people: ProxyProcess) -> None:
    """Numbers of errors come through; a write that fails on one shard leaves none of its rows elsewhere."""
    for sql, errno in (
        ("INSERT INTO people (uid) VALUES (1000), (1001), (1002), (1003), (1004), (5)", 1062),
        ("SELECT nothing FROM people", 1054),
        ("SELECT * FROM missing", 1146),
    ):
        with pytest.raises(pymysql.err.MySQLError) as failed:
            people.execute(sql)
        assert failed.value.args[0] == errno, sql
    assert people.execute("SELECT COUNT(*) FROM people WHERE uid >= 1000") == [(0,)]


def test_schema_changes_reach_every_shard(proxy: ProxyProcess, mysql_server: MySQL) -> None:
    """CREATE, ALTER, indexes, reference tables, DROP."""
    proxy.execute("CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR(40))")
    proxy.execute("CREATE TABLE events (uid BIGINT NOT NULL, at DATETIME(6) NOT NULL, what JSON, PRIMARY KEY (uid, at))")
    proxy.execute("ALTER TABLE events ADD COLUMN kind VARCHAR(10) NOT NULL DEFAULT 'k'")
    proxy.execute("CREATE INDEX by_kind ON events (kind)")
    proxy.execute("INSERT INTO countries VALUES ('de', 'Germany'), ('fr', 'France')")
    values = ", ".join(f"({uid}, '2024-05-06 07:08:09.123456', '{{\"a\": {uid}}}')" for uid in (50, 150, 250, 350))
    proxy.execute(f"INSERT INTO events (uid, at, what) VALUES {values}")
    for schema in SHARDS:
        assert mysql_server.execute("SELECT COUNT(*), MIN(kind) FROM events", schema) == [(1, "k")]
        assert mysql_server.execute("SELECT COUNT(*) FROM countries", schema) == [(2,)]
    assert proxy.execute("SELECT uid, what ->> '$.a' FROM events ORDER BY uid") == [(u, str(u)) for u in (50, 150, 250, 350)]
    proxy.execute("DROP TABLE events")
    proxy.execute("DROP TABLE countries")
    assert all(not mysql_server.execute("SHOW TABLES LIKE 'events'", schema) for schema in SHARDS)


def test_dictionary_shows_one_schema(people: ProxyProcess) -> None:
    """SHOW and information_schema know the logical schema, and each table once."""
    with people.connect() as connection:
        assert run(connection, "SHOW TABLES") == [("people",)]
        assert run(connection, "SHOW FULL TABLES") == [("people", "BASE TABLE")]
        assert [row[0] for row in run(connection, "DESCRIBE people")] == ["uid", "name", "country", "score"]
        assert "`name` varchar(40)" in run(connection, "SHOW CREATE TABLE people")[0][1]
        tables = run(connection, "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'app'")
        assert tables == [("app", "people")]
        columns = "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY ORDINAL_POSITION"
        assert run(connection, columns) == [("uid", "bigint"), ("name", "varchar"), ("country", "char"), ("score", "int")]
