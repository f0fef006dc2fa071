"""While rows are moved they lie on two shards, and every statement meets them once: on the shard that owns them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pymysql
import pytest

from shardproxy.topology.hashing import BUCKETS, bucket_of
from shardproxy.topology.moves import Move, MoveState
from shardproxy.topology.share import Share
from tests.conftest import Server, Shards
from tests.support.proxy import ProxyProcess
from tests.support.strays import StoredMoves

TABLES = """
[tables.people]
key = "uid"
by = "hash"

[tables.pets]
key = "uid"
by = "hash"

[tables.visits]
key = "uid"
by = "range"
ranges = [{ to = 20, shard = "s0" }, { to = 40, shard = "s1" }, { to = 60, shard = "s2" }, { shard = "s3" }]

[tables.pages]
key = "uid"
by = "range"
group = "visits"

[tables.countries]
by = "reference"
"""
COLUMNS = {
    "people": "uid BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), age INT, country CHAR(2), KEY a (age)",
    "pets": "uid INT NOT NULL, id INT NOT NULL, name VARCHAR(40), legs INT, PRIMARY KEY (uid, id)",
    "visits": "uid BIGINT NOT NULL, id INT NOT NULL, page VARCHAR(40), age INT, PRIMARY KEY (uid, id)",
    "pages": "uid SMALLINT NOT NULL PRIMARY KEY, page VARCHAR(40)",
    "countries": "code CHAR(2) NOT NULL PRIMARY KEY, name VARCHAR(40)",
}
SHARDED = ("people", "pets", "visits", "pages")
SHARDS = ("s0", "s1", "s2", "s3")
ORACLE = "strays_all"

READS = (
    "SELECT COUNT(*), SUM(age), MIN(uid), MAX(uid), AVG(age), COUNT(DISTINCT country) FROM people",
    "SELECT uid, name FROM people",
    "SELECT uid FROM people WHERE age > 20 OR country = 'ch'",
    "SELECT uid FROM people WHERE age > 20 OR country = 'ch' -- or",
    "SELECT uid FROM people WHERE -- or\n age > 20 # or\n OR country = 'ch' ORDER BY age, uid LIMIT 20",
    "SELECT country, COUNT(*) FROM people WHERE age > 20 OR age < 5 GROUP BY country HAVING COUNT(*) > 1 ORDER BY country",
    "SELECT DISTINCT country FROM people ORDER BY country",
    "SELECT age FROM people USE INDEX FOR ORDER BY (a) WHERE age = 3 OR age = 4 ORDER BY age LIMIT 5",
    "SELECT STRAIGHT_JOIN `p q`.uid FROM people AS `p q` FORCE INDEX (a) WHERE `p q`.age BETWEEN 3 AND 30",
    "SELECT uid FROM people WHERE age = 3 OR 1 FOR UPDATE",
    "SELECT uid FROM people WHERE age = 3 OR 1 LOCK IN SHARE MODE",
    "SELECT app.people.uid FROM app.people WHERE app.people.age = 3 OR DATABASE() = 'app'",
    "SELECT p.uid, t.name FROM people p JOIN pets t ON t.uid = p.uid WHERE p.age > 10 OR t.legs = 4",
    "SELECT p.uid, t.name FROM people p, pets t WHERE t.uid = p.uid",
    "SELECT p.age, t.name FROM people p JOIN pets t USING (uid)",
    "SELECT p.uid, t.name FROM people p LEFT JOIN pets t ON t.uid = p.uid AND t.legs > 4 WHERE t.name IS NULL OR p.age > 10",
    "SELECT COUNT(*) FROM pets t RIGHT JOIN people p ON t.uid = p.uid",
    "SELECT p.uid, c.name FROM people p LEFT JOIN countries c ON c.code = p.country",
    "SELECT p.uid, b.uid, q.uid FROM people p JOIN pets b ON b.uid = p.uid AND p.uid = 5 RIGHT JOIN people q ON q.uid = p.uid",
    "SELECT uid FROM people WHERE uid IN (SELECT uid FROM pets WHERE legs = 4)",
    "SELECT uid FROM people WHERE uid NOT IN (SELECT uid FROM pets)",
    "SELECT uid FROM people p WHERE NOT EXISTS (SELECT 1 FROM pets t WHERE t.uid = p.uid AND t.legs = 4) OR age = 3",
    "SELECT uid, (SELECT COUNT(*) FROM pets t WHERE t.uid = p.uid) FROM people p",
    "SELECT COUNT(*) FROM people WHERE uid IN (1, 2, 3, 4, 5, 6, 7, 8, 9) AND (age > 3 OR age < 3)",
    "SELECT COUNT(*) FROM people WHERE uid IN (1, 2, 3, 4, 5, 6, 7, 8, 9) OR uid = 33",
    "SELECT COUNT(*) FROM people WHERE uid = 33 OR age = 3",
    "SELECT name FROM people WHERE uid = 33",
    "SELECT COUNT(*), SUM(age) FROM visits",
    "SELECT COUNT(*), SUM(age) FROM visits WHERE uid BETWEEN 10 AND 50",
    "SELECT COUNT(*), SUM(age) FROM visits WHERE uid BETWEEN 20 AND 39",
    "SELECT COUNT(*), SUM(age) FROM visits WHERE uid < 20",
    "SELECT COUNT(*), SUM(age) FROM visits WHERE uid >= 60 OR uid = 7",
    "SELECT v.uid, v.id, p.page FROM visits v LEFT JOIN pages p ON p.uid = v.uid",
    "SELECT p.page, COUNT(*) FROM visits v JOIN pages p ON p.uid = v.uid GROUP BY p.page",
)
WRITES = (
    "UPDATE people SET age = age + 1",
    "UPDATE people SET age = age + 1 WHERE age = 3 OR country = 'ch'",
    "UPDATE people SET age = age + 1 WHERE age = 3 OR country = 'ch' -- or",
    "UPDATE app.people AS p SET p.age = 7 WHERE (p.age > 3) OR p.country = 'ch'",
    "UPDATE people p SET p.age = (SELECT COUNT(*) FROM pets t WHERE t.uid = p.uid)",
    "UPDATE people p JOIN pets t ON t.uid = p.uid SET p.name = 'x', t.legs = 9 WHERE t.legs = 4 OR p.age = 3",
    "UPDATE people p LEFT JOIN pets t ON t.uid = p.uid SET p.name = 'none' WHERE t.uid IS NULL OR t.legs > 6",
    "UPDATE pets t RIGHT JOIN people p ON p.uid = t.uid SET p.age = 99",
    "UPDATE people p JOIN countries c ON c.code = p.country SET p.name = c.name",
    "UPDATE people p JOIN (SELECT code FROM countries WHERE name = 'Swiss') c ON c.code = p.country SET p.age = 0",
    "UPDATE people SET age = 1 WHERE uid IN (1, 2, 3, 4, 5, 6, 7, 8, 9)",
    "UPDATE people SET age = 1 WHERE uid = 33",
    "UPDATE visits SET age = age + 1 WHERE uid BETWEEN 10 AND 50",
    "UPDATE visits v JOIN pages p ON p.uid = v.uid SET v.page = p.page",
    "DELETE FROM people",
    "DELETE FROM people WHERE age = 3 OR country = 'ch'",
    "DELETE FROM people WHERE age = 3 OR country = 'ch' # or",
    "DELETE FROM app.people WHERE app.people.age = 3 OR country = 'ch'",
    "DELETE p, t FROM people p LEFT JOIN pets t ON t.uid = p.uid WHERE t.legs = 4 OR t.uid IS NULL",
    "DELETE t FROM people p JOIN pets t ON t.uid = p.uid",
    "DELETE FROM people WHERE uid IN (SELECT uid FROM pets)",
    "DELETE FROM visits WHERE age > 3 OR uid = 7",
    "DELETE FROM visits WHERE uid >= 20",
    "DELETE FROM pages",
)


def moves(hash_maps: Mapping[str, tuple[str, ...]]) -> Iterator[Move]:
    """Rows on their way to two shards, and rows that one shard has given away."""
    [(group, owners)] = hash_maps.items()
    for number, (holder, state) in enumerate((("s1", MoveState.COPYING), ("s2", MoveState.SWITCHED), ("s3", MoveState.FENCING))):
        foreign = frozenset(bucket for bucket in range(BUCKETS) if owners[bucket] != holder and bucket % 3 == number)
        source, target = (holder, "s0") if state is MoveState.SWITCHED else ("s0", holder)
        yield Move(number + 1, group, source, target, Share(foreign), state)
    yield Move(4, "visits", "s1", "s0", Share(intervals=((25, 40),)), MoveState.VERIFYING)
    yield Move(5, "visits", "s2", "s3", Share(intervals=((60, 70), (75, None))), MoveState.CLEANUP)
    yield Move(6, "visits", "s0", "s3", Share(intervals=((None, 12),)), MoveState.PREPARING)


class Cluster:
    """Four shards with rows of others, one server with the rows that there really are, and a proxy."""

    def __init__(self, placement: dict[str, tuple[Server, str]], oracle: Server) -> None:
        self.placement = placement
        self.oracle = oracle
        for server, schema in [*placement.values(), (oracle, ORACLE)]:
            server.create_schema(schema)
            for name, columns in COLUMNS.items():
                server.execute(f"CREATE TABLE {name} ({columns})", schema)
        self.proxy = ProxyProcess({name: server.url(schema) for name, (server, schema) in placement.items()}, TABLES)
        self.proxy.start()
        stored = StoredMoves(self.proxy)
        stored.put(moves(stored.topology.hash_maps))
        self.document = stored.topology
        strays = self.document.strays
        self.shares = {
            (table, shard): share
            for group, shares in strays.items()
            for shard, share in shares.items()
            for table in (("visits", "pages") if group == "visits" else ("people", "pets"))
        }
        self.strays: dict[tuple[str, str], list[Any]] = {}

    def owner(self, table: str, uid: int) -> str:
        """The shard that a row belongs to."""
        if table in ("visits", "pages"):
            return SHARDS[min(uid // 20, 3)]
        [owners] = self.document.hash_maps.values()
        return owners[bucket_of(b"%d" % uid)]

    def is_stray(self, table: str, shard: str, uid: int) -> bool:
        """Whether a row may lie there without belonging there."""
        share = self.shares.get((table, shard), Share())
        inside = any((low is None or uid >= low) and (high is None or uid < high) for low, high in share.intervals)  # type: ignore[operator]
        return inside or (table in ("people", "pets") and bucket_of(b"%d" % uid) in share.buckets)

    def fill(self) -> None:
        """The same rows as ever, and copies of some of them where they do not belong."""
        rows: dict[str, list[tuple[Any, ...]]] = {
            "people": [(uid, f"'p{uid}'", uid % 40, "'ch'" if uid % 3 else "'de'") for uid in range(80)],
            "pets": [(uid, n, f"'a{uid}'", 2 * n) for uid in range(80) for n in range(uid % 4)],
            "visits": [(uid, n, f"'v{n}'", n) for uid in range(80) for n in range(uid % 5)],
            "pages": [(uid, f"'x{uid % 7}'") for uid in range(80)],
        }
        countries = [("'ch'", "'Swiss'"), ("'de'", "'German'")]
        self._put(self.oracle, ORACLE, rows | {"countries": countries})
        for shard, (server, schema) in self.placement.items():
            held = {}
            for table, values in rows.items():
                own = [row for row in values if self.owner(table, row[0]) == shard]
                strays = [row for row in values if self.is_stray(table, shard, row[0])]
                assert not set(own) & set(strays)
                held[table] = own + strays
            self._put(server, schema, held | {"countries": countries})
        _, self.strays = self._held()
        assert all(self.strays.values())

    @staticmethod
    def _put(server: Server, schema: str, tables: dict[str, list[tuple[Any, ...]]]) -> None:
        statements = []
        for table, rows in tables.items():
            values = ", ".join(f"({', '.join(map(str, row))})" for row in rows)
            statements += [f"DELETE FROM {table}", f"INSERT INTO {table} VALUES {values}"]
        server.execute("; ".join(["BEGIN", *statements, "COMMIT"]), schema)

    def _held(self) -> tuple[dict[str, list[Any]], dict[tuple[str, str], list[Any]]]:
        """By table the rows that lie where they belong, and by table and shard those that do not."""
        own: dict[str, list[Any]] = {table: [] for table in SHARDED}
        strays: dict[tuple[str, str], list[Any]] = {key: [] for key in self.shares}
        for shard, (server, schema) in self.placement.items():
            with server.connect(schema) as connection, connection.cursor() as cursor:
                for table in SHARDED:
                    cursor.execute(f"SELECT * FROM {table}")
                    for row in cursor.fetchall():
                        (strays[table, shard] if self.is_stray(table, shard, row[0]) else own[table]).append(row)
        return {table: sorted(rows) for table, rows in own.items()}, {key: sorted(rows) for key, rows in strays.items()}

    def check(self) -> None:
        """The shards hold together what the one server holds, and what does not belong to them is as it was."""
        own, strays = self._held()
        for table in SHARDED:
            assert own[table] == sorted(self.oracle.execute(f"SELECT * FROM {table}", ORACLE))
        assert strays == self.strays

    def both(self, sql: str, *before: str) -> tuple[Any, Any]:
        """What the proxy and the one server say: rows in any order, or how many were changed."""
        return self._answer(self.proxy.connect(), sql, *before), self._answer(self.oracle.connect(ORACLE), sql, *before)

    @staticmethod
    def _answer(connection: pymysql.Connection, sql: str, *before: str) -> Any:
        with connection, connection.cursor() as cursor:
            for statement in before:
                cursor.execute(statement)
            affected = cursor.execute(sql.replace("app.", "") if connection.db == ORACLE.encode() else sql)
            return sorted(cursor.fetchall(), key=repr) if cursor.description else affected


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def running(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Shards on servers of each flavour."""
    found: Shards | Server = request.getfixturevalue("shards" if request.param == "mariadb" else "mysql_server")
    if isinstance(found, Shards):
        cluster = Cluster({name: (server, f"strays_{name}") for name, (server, _) in found.placement.items()}, found.oracle)
    else:
        cluster = Cluster({name: (found, f"strays_{name}") for name in SHARDS}, found)
    yield cluster
    cluster.proxy.kill()


@pytest.fixture(scope="module")
def filled(running: Cluster) -> Cluster:
    """With its rows, for tests that only read."""
    running.fill()
    return running


@pytest.mark.parametrize("sql", READS)
def test_reads(filled: Cluster, sql: str) -> None:
    """Each row is counted, grouped and joined once."""
    got, expected = filled.both(sql.replace("'app'", "DATABASE()"))
    assert got == expected


@pytest.mark.parametrize("charset", ["utf16", "ucs2", "latin1", "utf8mb4"])
def test_character_sets_of_the_connection(filled: Cluster, charset: str) -> None:
    """The buckets are the same whatever the client has set."""
    setting = f"SET character_set_connection = {charset}"
    for sql in (READS[0], "SELECT COUNT(*), SUM(legs) FROM pets", "SELECT COUNT(*), SUM(age) FROM visits"):
        got, expected = filled.both(sql, setting)
        assert got == expected


@pytest.mark.parametrize("sql", WRITES)
def test_writes(running: Cluster, sql: str) -> None:
    """Each row is changed once, and those that are on their way stay as they are."""
    running.fill()
    got, expected = running.both(sql)
    assert got == expected
    running.check()


def test_in_a_transaction(running: Cluster) -> None:
    """Reads of several shards there get the same texts."""
    running.fill()
    got, expected = running.both(READS[0], "BEGIN", "UPDATE people SET age = age + 100 WHERE uid = 33")
    assert got == expected


def test_what_goes_to_one_shard_is_left_as_it_is(running: Cluster) -> None:
    """Its rows are its own: nothing has to be left out, and its condition can go by the key's index."""
    with running.proxy.connect() as connection, connection.cursor() as cursor:
        for sql, shards in (("people WHERE uid = 33", 1), ("visits WHERE uid BETWEEN 20 AND 39", 1), ("people", 4)):
            cursor.execute(f"EXPLAIN ROUTE SELECT * FROM {sql}")
            texts = [row[3] for row in cursor.fetchall()]
            assert len(texts) == shards
            assert any("NOT (" in text for text in texts) == (shards > 1)
