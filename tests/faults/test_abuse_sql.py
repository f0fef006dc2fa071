"""Hostile statements: long, deep, wide or meaningless. An answer or a proper error, and nobody else waits for it."""

from collections.abc import Iterator

import pytest

from tests.faults.test_abuse import undisturbed
from tests.support.shop import Shop
from tests.support.wire import ClosedError, Err, packet

SYNTAX = (1064, 1235)


def _numbers(count: int) -> bytes:
    return b",".join(b"%d" % i for i in range(count))


def _rows(count: int) -> bytes:
    return b",".join(b"(%d,2,'abcdefghijklmnopqrst')" % i for i in range(count))


FOUR_MB = 4_000_000
# What is sent → the errnos that may come back; None stands for success.
STATEMENTS: dict[str, tuple[bytes, tuple[int | None, ...]]] = {
    "garbage words": (b"SELECT " + b"x y z " * 700_000, SYNTAX),
    "garbage digits": (b"SELECT " + b"1 2 3 " * 700_000, SYNTAX),
    "garbage marks": (b"SELECT " + b"+-" * 2_000_000, SYNTAX),
    "garbage bytes": (b"\xff" * FOUR_MB, SYNTAX),
    "random bytes": (bytes(range(256)) * 16_000, SYNTAX),
    "zero bytes": (b"\0" * FOUR_MB, SYNTAX),
    "open comments": (b"SELECT " + b"/*" * 2_000_000, SYNTAX),
    "open executable comments": (b"SELECT " + b"/*!" * 1_300_000, SYNTAX),
    "open versioned comments": (b"SELECT " + b"/*!50000 " * 400_000, SYNTAX),
    "open hints": (b"SELECT " + b"/*+" * 1_300_000, SYNTAX),
    "escaped quotes": (b"SELECT " + b"'\\" * 2_000_000, SYNTAX),
    "single quotes": (b"SELECT " + b"'" * 3_999_999, SYNTAX),
    "backticks": (b"SELECT " + b"`" * 3_999_999, SYNTAX),
    "dashes": (b"SELECT 1 " + b"-- " * 1_300_000, (None, *SYNTAX)),
    "comments in rows": (b"INSERT INTO orders (uid, oid) VALUES (1,1),(" + b"(/*" * 1_300_000, SYNTAX),
    "semicolons": (b";" * FOUR_MB, (1064, 1065)),
    "question marks": (b"SELECT " + b"?" * FOUR_MB, SYNTAX),
    "nested parentheses": (b"SELECT " + b"(" * 10_000 + b"1" + b")" * 10_000, (None, *SYNTAX)),
    "nested parentheses in WHERE": (
        b"SELECT uid FROM users WHERE uid = " + b"(" * 10_000 + b"1" + b")" * 10_000,
        (None, *SYNTAX),
    ),
    "open parentheses": (b"SELECT uid FROM users WHERE " + b"(" * 10_000, SYNTAX),
    "nested subqueries": (
        b"SELECT uid FROM users WHERE uid IN " + b"(SELECT uid FROM users WHERE uid IN " * 300 + b"(1)" + b")" * 300,
        (None, *SYNTAX),
    ),
    "nested derived tables": (b"SELECT * FROM " + b"(SELECT * FROM " * 60 + b"users" + b") t" * 60, (None, *SYNTAX)),
    "nested functions": (b"SELECT uid FROM users WHERE uid = " + b"ABS(" * 5000 + b"1" + b")" * 5000, (None, *SYNTAX)),
    "nested CASE": (
        b"SELECT " + b"CASE WHEN 1 THEN " * 2000 + b"1" + b" END" * 2000 + b" FROM users",
        (None, *SYNTAX, 1436),
    ),
    "AND chain": (b"SELECT uid FROM users WHERE uid = 1" + b" AND age = 2" * 9000, (None, *SYNTAX, 1436)),
    "OR chain": (b"SELECT uid FROM users WHERE uid = 1" + b" OR age = 2" * 9000, (None, *SYNTAX, 1436)),
    "OR chain over the key": (b"SELECT uid FROM users WHERE uid = 1" + b" OR uid = 2" * 9000, (None, *SYNTAX, 1436)),
    "mixed chain": (b"SELECT uid FROM users WHERE uid = 1" + b" AND age = 2 OR age = 3" * 5000, (None, *SYNTAX, 1436)),
    "sum chain": (b"SELECT uid FROM users WHERE uid = 1" + b"+1" * 30_000, (None, *SYNTAX, 1436)),
    "NOT chain": (b"SELECT uid FROM users WHERE " + b"NOT " * 20_000 + b"uid = 1", (None, *SYNTAX, 1436)),
    "minus chain": (b"SELECT uid FROM users WHERE uid = " + b"- " * 20_000 + b"1", (None, *SYNTAX, 1436)),
    "UNION chain": (b" UNION ".join([b"SELECT 1 FROM users"] * 3000), (None, *SYNTAX, 1436)),
    "UNION chain in an INSERT": (
        b"INSERT INTO notes (note) SELECT 'x'" + b" UNION ALL SELECT 'y'" * 3000,
        (None, *SYNTAX, 1436),
    ),
    "joins": (
        b"SELECT 1 FROM users u0 " + b" ".join(b"JOIN users u%d ON u%d.uid = u0.uid" % (i, i) for i in range(1, 300)),
        (None, 1116, *SYNTAX),
    ),
    "columns": (b"SELECT " + b",".join(b"uid+age c%d" % i for i in range(8000)) + b" FROM users", (None, 1117, *SYNTAX)),
    "assignments": (b"SET " + b",".join(b"@a%d = 1" % i for i in range(5000)), (None, *SYNTAX)),
    "IN list on ranges": (b"SELECT uid FROM users WHERE uid IN (" + _numbers(500_000) + b")", (None,)),
    "IN list on buckets": (b"SELECT uid FROM orders WHERE uid IN (" + _numbers(500_000) + b")", (None, *SYNTAX)),
    "IN list with a NULL": (b"SELECT uid FROM orders WHERE uid IN (NULL," + _numbers(20_000) + b")", (None, *SYNTAX)),
    "IN list of an UPDATE": (b"UPDATE orders SET total = 1 WHERE uid IN (" + _numbers(500_000) + b")", (None, *SYNTAX)),
    "string": (b"SELECT LENGTH('" + b"x" * FOUR_MB + b"')", (None,)),
    "one long row": (b"INSERT INTO orders (uid, oid, pad) VALUES (1,1,'" + b"x" * FOUR_MB + b"')", (None,)),
    "one long unsharded row": (b"INSERT INTO notes (note) VALUES ('" + b"x" * FOUR_MB + b"')", (None,)),
    "many rows": (b"INSERT INTO orders (uid, oid, pad) VALUES " + _rows(120_000), (None,)),
    "many rows without an end": (b"INSERT INTO orders (uid, oid, pad) VALUES " + _rows(120_000) + b",(", SYNTAX),
    "many rows and an update": (
        b"INSERT INTO orders (uid, oid, pad) VALUES " + _rows(100_000) + b" ON DUPLICATE KEY UPDATE pad = VALUES(pad)",
        (None,),
    ),
    "invalid UTF-8": (b"SELECT uid FROM users WHERE name = '\xff\xfe\xc3\x28'", (None, 1300, 1366, 1267)),
    "invalid UTF-8 in a name": (b"SELECT \xff\xfe FROM users", (1054, 1064)),
    "invalid UTF-8 in a key": (b"INSERT INTO users (uid, name) VALUES (1, '\xff\xfe')", (None, 1366)),
    "half a character": (b"SELECT uid FROM users WHERE name = '\xf0\x9f", SYNTAX),
}


@pytest.fixture
def shop(running_shop: Shop) -> Iterator[Shop]:
    """The proxy of all these tests, started anew where one has left it unable to answer."""
    running_shop.clear()
    yield running_shop
    try:
        running_shop.wire(2).socket.close()
    except (TimeoutError, ClosedError, OSError):
        running_shop.proxy.kill()
        running_shop.proxy.start()


@pytest.mark.parametrize("name", STATEMENTS)
def test_hostile_statement_disturbs_nobody(shop: Shop, name: str) -> None:
    """It is answered, the connection goes on, a second client's reads take less than a second, and memory is bounded."""
    sql, outcomes = STATEMENTS[name]
    with undisturbed(shop, growth_mb=250), shop.wire(15) as client:
        client.send(packet(b"\x03" + sql))
        answer = client.read_result()
        if isinstance(answer, Err):
            assert answer.errno in outcomes, answer
            assert "SP19" not in answer.text
        else:
            assert None in outcomes, f"{len(answer)} rows instead of an error"
        assert client.query(b"SELECT 1") == [(b"1",)]


def test_refused_statements_are_not_kept(shop: Shop) -> None:
    """The plan cache remembers that a shape is refused, not the megabytes that came with it."""
    with undisturbed(shop, growth_mb=60), shop.wire(30) as client:
        for i in range(150):
            sql = b"SELECT a%d, '" % i + b"x" * (1 << 20) + b"' FROM users JOIN orders ON users.uid < orders.oid"
            answer = client.query(sql)
            assert isinstance(answer, Err)
