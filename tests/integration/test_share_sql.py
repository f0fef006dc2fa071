"""A server puts every key in the bucket and the interval that the proxy puts it in, whatever it is connected with."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

import pymysql
import pytest

from shardproxy.topology.hashing import BUCKETS, bucket_of
from shardproxy.topology.keys import BytesKey, DateKey, DateTimeKey, IntegerKey, Key, KeyType, StringKey
from shardproxy.topology.placement import range_placement
from shardproxy.topology.share import Share
from shardproxy.topology.share_sql import bucket_sql, share_sql
from shardproxy.topology.topology import RangeMap
from tests.conftest import Server, Shards

SCHEMA = "share_sql"
KEYS = 2000
CHARSETS = ("utf8mb4", "latin1", "ucs2", "utf16", "utf32", "gbk", "sjis", "swe7")
COLLATIONS = ("utf8mb4_unicode_ci", "latin1_german2_ci", "utf16_bin")
MODES = (
    "",
    "ANSI",
    "TRADITIONAL",
    "NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH",
    "HIGH_NOT_PRECEDENCE,IGNORE_SPACE,NO_UNSIGNED_SUBTRACTION",
)
# Letters that sort, pad or are written in their own way.
LETTERS = ("a", "B", "z", "0", "9", " ", " ", "\t", "\0", "\x1f", "!", "~", "'", '"', "\\", "%", "`", "\n", "\x7f")
WIDE = (*LETTERS, "é", "ß", "\u00a0", "日", "\ud7ff", "\ue000", "\uffff", "😀", "𐀀", "\U0010ffff")


@dataclass(frozen=True)
class Case:
    """A column that can be a sharding key. `only` is the flavour that has its collation."""

    name: str
    column: str
    key_type: KeyType
    only: str = ""

    def value(self, rng: Random) -> Any:
        """What an application may store there."""
        kind = self.key_type
        if isinstance(kind, IntegerKey):
            near = rng.choice((0, kind.low, kind.high)) + rng.randint(-3, 3)
            return min(max(rng.choice((near, rng.randint(kind.low, kind.high), rng.randint(0, 10_000))), kind.low), kind.high)
        if isinstance(kind, StringKey):
            letters = LETTERS if kind.codec == "ascii" else WIDE
            text = "".join(rng.choice(letters) for _ in range(rng.randint(0, 6)))
            return text.rstrip(" ") if kind.padded and rng.random() < 0.5 else text
        if isinstance(kind, BytesKey):
            return bytes(rng.choice((0, 9, 32, 39, 65, 92, 97, 128, 195, 255)) for _ in range(rng.randint(0, 6)))
        day = rng.choice((f"{rng.randint(1000, 9999)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}", "2024-02-29", "1000-01-01"))
        if isinstance(kind, DateKey):
            return day
        assert isinstance(kind, DateTimeKey)
        time = f"{day} {rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"
        return f"{time}.{rng.randrange(10**kind.decimals):0{kind.decimals}}" if kind.decimals else time

    def key(self, value: Any) -> Key:
        """The same as the proxy knows it."""
        return value if isinstance(value, bytes) else self.key_type.from_config(value)


def _strings(padded: bool, codec: str = "utf-8") -> StringKey:
    return StringKey(padded, 6, codec)


CASES = (
    Case("tinyint", "TINYINT", IntegerKey(-128, 127)),
    Case("int", "INT", IntegerKey(-(1 << 31), (1 << 31) - 1)),
    Case("zerofill", "INT(9) UNSIGNED ZEROFILL", IntegerKey(0, (1 << 32) - 1)),
    Case("bigint", "BIGINT", IntegerKey(-(1 << 63), (1 << 63) - 1)),
    Case("unsigned", "BIGINT UNSIGNED", IntegerKey(0, (1 << 64) - 1)),
    Case("varchar", "VARCHAR(6) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", _strings(True)),
    Case("char", "CHAR(6) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", _strings(True)),
    Case("latin1", "VARCHAR(6) CHARACTER SET latin1 COLLATE latin1_bin", _strings(True, "ascii")),
    Case("ascii", "CHAR(6) CHARACTER SET ascii COLLATE ascii_bin", _strings(True, "ascii")),
    Case("nopad", "VARCHAR(6) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", _strings(False), "mariadb"),
    Case("nopad_latin1", "VARCHAR(6) CHARACTER SET latin1 COLLATE latin1_nopad_bin", _strings(False, "ascii"), "mariadb"),
    Case("nopad_char", "CHAR(6) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", _strings(True), "mariadb"),
    Case("v0900", "VARCHAR(6) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin", _strings(False), "mysql"),
    Case("v0900_char", "CHAR(6) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin", _strings(True), "mysql"),
    Case("varbinary", "VARBINARY(6)", BytesKey(6)),
    Case("date", "DATE", DateKey()),
    Case("seconds", "DATETIME", DateTimeKey(0)),
    Case("millis", "DATETIME(3)", DateTimeKey(3)),
    Case("micros", "DATETIME(6)", DateTimeKey(6)),
)


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> Server:
    """A server of each flavour with an empty schema."""
    found: Shards | Server = request.getfixturevalue("shards" if request.param == "mariadb" else "mysql_server")
    found = found.oracle if isinstance(found, Shards) else found
    found.create_schema(SCHEMA)
    return found


@pytest.fixture
def connection(server: Server) -> Iterator[pymysql.Connection]:
    """A connection whose session a test may change as it likes."""
    with server.connect(SCHEMA) as connection:
        yield connection


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest, server: Server) -> Case:
    """Each type of column that the server has."""
    chosen: Case = request.param
    flavour = "mariadb" if "mariadb" in str(server.execute("SELECT VERSION()")[0][0]).lower() else "mysql"
    if chosen.only not in ("", flavour):
        pytest.skip(f"a collation of {chosen.only}")
    return chosen


def fill(connection: pymysql.Connection, case: Case, count: int) -> list[Any]:
    """A table `t` with that many values in `k`; gives them by their number `n`."""
    rng = Random(case.name)
    values = [case.value(rng) for _ in range(count)]
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS t")
        cursor.execute(f"CREATE TABLE t (n INT PRIMARY KEY, k {case.column} NOT NULL, bucket INT)")
        cursor.executemany("INSERT INTO t (n, k) VALUES (%s, %s)", list(enumerate(values)))
    return values


def settings() -> Iterator[list[str]]:
    """What a session may have set."""
    for charset in CHARSETS:
        yield [f"character_set_connection = {charset}"]
    for collation in COLLATIONS:
        yield [f"collation_connection = {collation}"]
    for mode in MODES:
        yield [f"sql_mode = '{mode}'", f"character_set_connection = {'utf16' if len(mode) % 2 else 'utf8mb4'}"]


def column_of(cursor: pymysql.cursors.Cursor, sql: str) -> list[Any]:
    """The first column of an answer that comes without warnings."""
    cursor.execute(sql)
    rows = [row[0] for row in cursor.fetchall()]
    cursor.execute("SHOW WARNINGS")
    warnings = [row for row in cursor.fetchall() if "deprecated" not in row[2]]
    assert not warnings, (sql, warnings[:3])
    return rows


def test_buckets(connection: pymysql.Connection, case: Case) -> None:
    """The server's bucket is the proxy's."""
    values = fill(connection, case, KEYS)
    expected = [bucket_of(case.key_type.canonical(case.key(value))) for value in values]
    for setting in settings():
        with connection.cursor() as cursor:
            cursor.execute(f"SET {', '.join(setting)}")
            got = column_of(cursor, f"SELECT {bucket_sql(case.key_type, 't.`k`')} FROM t ORDER BY n")
            wrong = [(value, a, b) for value, a, b in zip(values, got, expected, strict=True) if a != b]
            assert not wrong, (setting, len(wrong), wrong[:3])
            cursor.execute("SET sql_mode = DEFAULT, character_set_connection = utf8mb4")


def test_every_bucket_is_reached(connection: pymysql.Connection) -> None:
    """So that no number is read in a way of its own; and a list takes the rows of its buckets and no others."""
    case = CASES[3]
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS t")
        cursor.execute("CREATE TABLE t (k BIGINT PRIMARY KEY)")
        cursor.execute(f"INSERT INTO t VALUES {', '.join(f'({n})' for n in range(60_000))}")
        expected = [bucket_of(b"%d" % n) for n in range(60_000)]
        assert set(expected) == set(range(BUCKETS))
        share = Share(frozenset(Random(1).sample(range(BUCKETS), 1000)))
        for charset in ("utf8mb4", "utf16"):
            cursor.execute(f"SET character_set_connection = {charset}")
            assert column_of(cursor, f"SELECT {bucket_sql(case.key_type, '`k`')} FROM t ORDER BY k") == expected
            inside = column_of(cursor, f"SELECT k FROM t WHERE {share_sql(case.key_type, '`k`', share)} ORDER BY k")
            assert inside == [n for n, bucket in enumerate(expected) if bucket in share.buckets]
            outside = column_of(cursor, f"SELECT k FROM t WHERE NOT {share_sql(case.key_type, '`k`', share)} ORDER BY k")
            assert outside == [n for n, bucket in enumerate(expected) if bucket not in share.buckets]


def test_intervals(connection: pymysql.Connection, case: Case) -> None:
    """A row is in the one interval that the proxy finds for its key, in every order of the column's own."""
    values = fill(connection, case, KEYS)
    if isinstance(case.key_type, BytesKey):
        values = [value if value.isascii() else b"" for value in values]
        with connection.cursor() as cursor:
            cursor.executemany("UPDATE t SET k = %s WHERE n = %s", [(value, n) for n, value in enumerate(values)])
    by_key = {case.key(value): value.decode() if isinstance(value, bytes) else value for value in values}
    keys = sorted(Random(2).sample(sorted(by_key), 9))  # type: ignore[type-var]
    bounds = [by_key[key] for key in keys]
    placement = range_placement(case.key_type, RangeMap(tuple(bounds), tuple("0123456789")))
    expected = [placement.shard_of(case.key(value)) for value in values]
    edges = [None, *bounds, None]
    for setting in settings():
        with connection.cursor() as cursor:
            cursor.execute(f"SET {', '.join(setting)}")
            for n, interval in enumerate(pairwise(edges)):
                share = share_sql(case.key_type, "t.`k`", Share(intervals=(interval,)))
                inside = set(column_of(cursor, f"SELECT n FROM t WHERE {share}"))
                wanted = {i for i, shard in enumerate(expected) if shard == str(n)}
                assert inside == wanted, (setting, interval, [values[i] for i in inside ^ wanted][:3])
                outside = column_of(cursor, f"SELECT n FROM t WHERE NOT {share}")
                assert len(outside) == len(values) - len(wanted)
            cursor.execute("SET sql_mode = DEFAULT, character_set_connection = utf8mb4")


def test_triggers_see_the_same_bucket(connection: pymysql.Connection, case: Case) -> None:
    """Before a row is stored, and with the character set that the trigger was made under."""
    values = fill(connection, case, 50)
    expected = [bucket_of(case.key_type.canonical(case.key(value))) for value in values]
    for charset in ("utf8mb4", "utf16"):
        with connection.cursor() as cursor:
            cursor.execute(f"SET character_set_connection = {charset}")
            for event in ("INSERT", "UPDATE"):
                trigger = f"guard_{event}"
                cursor.execute(f"DROP TRIGGER IF EXISTS {trigger}")
                bucket = bucket_sql(case.key_type, "NEW.`k`")
                cursor.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON t FOR EACH ROW SET NEW.bucket = {bucket}")
            cursor.execute("DELETE FROM t")
            cursor.executemany("INSERT INTO t (n, k) VALUES (%s, %s)", list(enumerate(values)))
            assert column_of(cursor, "SELECT bucket FROM t ORDER BY n") == expected
            cursor.execute("SET character_set_connection = utf8mb4")
            cursor.execute(f"SET sql_mode = '{MODES[3]}'")
            cursor.execute("UPDATE t SET bucket = NULL")
            assert column_of(cursor, "SELECT bucket FROM t ORDER BY n") == expected
            cursor.execute("SET sql_mode = DEFAULT")


def test_shares_in_statements_that_change_rows(connection: pymysql.Connection, case: Case) -> None:
    """Strict mode, which makes an error of a warning where rows are written, finds nothing to complain of."""
    values = fill(connection, case, 300)
    buckets = [bucket_of(case.key_type.canonical(case.key(value))) for value in values]
    share = Share(frozenset(buckets[:100]))
    inside = [n for n, bucket in enumerate(buckets) if bucket in share.buckets]
    for mode in MODES:
        with connection.cursor() as cursor:
            cursor.execute(f"SET sql_mode = '{mode}'")
            cursor.execute("UPDATE t SET bucket = 0")
            cursor.execute(f"UPDATE t SET bucket = -1 WHERE {share_sql(case.key_type, '`k`', share)}")
            assert column_of(cursor, "SELECT n FROM t WHERE bucket = -1 ORDER BY n") == inside
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM t WHERE NOT {share_sql(case.key_type, '`k`', share)}")
        assert column_of(cursor, "SELECT n FROM t ORDER BY n") == inside
