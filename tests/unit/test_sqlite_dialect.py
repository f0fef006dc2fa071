"""What SQLite is told in place of MySQL's SQL, and what a client is told of its answers."""

import sqlite3
from collections.abc import Iterator

import pytest

from shardproxy.backends.sqlite_dialect import translate
from shardproxy.backends.sqlite_functions import register
from shardproxy.backends.sqlite_schema import create_views, load_schema, show, table_types
from shardproxy.backends.sqlite_types import column_of, encoder_of, result_types
from shardproxy.errors import ProxyError
from shardproxy.protocol.flags import ColumnType

TABLE = b"""CREATE TABLE t (
    id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin COMMENT 'x' DEFAULT 'q',
    price DECIMAL(10, 2),
    day DATE,
    UNIQUE KEY by_name (name),
    KEY by_day (day, price)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"""


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """A file with the table `t`, as a connection of the engine would see it."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    register(db)
    create_views(db)
    run(db, TABLE)
    run(db, b"INSERT INTO t VALUES (1, 'a', 1.5, '2024-02-03'), (2, 'b', NULL, NULL)")
    yield db
    db.close()


def run(db: sqlite3.Connection, sql: bytes) -> list[tuple[object, ...]]:
    """The rows of the last statement that a translation comes to."""
    for statement in translate(sql).statements:
        rows = db.execute(statement).fetchall()
    return rows


@pytest.mark.parametrize(
    ("mysql", "sqlite"),
    [
        (b"START TRANSACTION READ ONLY", ["BEGIN"]),
        (b"RELEASE SAVEPOINT a", ["RELEASE SAVEPOINT a"]),
        (b"TRUNCATE TABLE t", ["DELETE FROM t"]),
        (b"SELECT a FROM t WHERE b = 1 FOR UPDATE", ["SELECT a FROM t WHERE b = 1"]),
        (b"DROP TABLE IF EXISTS a, b", ["DROP TABLE IF EXISTS a", "DROP TABLE IF EXISTS b"]),
        (b"CREATE UNIQUE INDEX k ON t (a, b(10) DESC)", ['CREATE UNIQUE INDEX "t.k" ON "t"("a", "b")']),
        (b"DROP INDEX k ON t", ['DROP INDEX "t.k"']),
        (
            b"ALTER TABLE t ADD COLUMN x INT AFTER y, ADD KEY k (x)",
            ["ALTER TABLE t ADD COLUMN x INT", 'CREATE INDEX "t.k" ON "t"("x")'],
        ),
        (
            b"INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = VALUES(a) + 1",
            ["INSERT INTO t (a) VALUES (1) ON CONFLICT DO UPDATE SET a = excluded.a + 1"],
        ),
    ],
)
def test_statement_is_translated(mysql: bytes, sqlite: list[str]) -> None:
    """What sqlglot alone would leave in MySQL's words."""
    assert list(translate(mysql).statements) == sqlite


@pytest.mark.parametrize("value", ["1", "-2.5", "NULL", "'it''s'", "''", "'a,b)'"])
def test_insert_of_plain_values_goes_as_it_is(value: str) -> None:
    """It is not parsed, however long it is."""
    sql = f"INSERT INTO t VALUES (1, {value}), (2, {value})"
    assert translate(sql.encode()).statements == (sql,)


@pytest.mark.parametrize("value", [r"'it\'s'", '"it\'s"'])
def test_insert_of_mysql_strings_is_translated(value: str) -> None:
    """A backslash and double quotes mean something else to SQLite."""
    assert translate(f"INSERT INTO t VALUES ({value})".encode()).statements == ("INSERT INTO t VALUES ('it''s')",)


def test_statement_without_a_translation_is_refused() -> None:
    """With the catalogue's id, not with sqlglot's message alone."""
    with pytest.raises(ProxyError, match="SP1216"):
        translate(b"SELECT 1 FROM t PROCEDURE analyse()")


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        (b"SELECT id+1, VERSION(), COUNT(*), 'x', id FROM t", ("id+1", "VERSION()", "COUNT(*)", "x", "")),
        (b"SELECT DISTINCT IF(id > 1, 2, 3) , id AS i FROM t", ("IF(id > 1, 2, 3)", "")),
        (b"SELECT *, id+1 FROM t", ()),
    ],
)
def test_expression_is_named_by_its_own_text(sql: bytes, names: tuple[str, ...]) -> None:
    """As MySQL does; SQLite would show the translated text."""
    assert translate(sql).names == names


@pytest.mark.parametrize(
    ("sql", "kind", "scale"),
    [
        ("SELECT id FROM t", ColumnType.LONG, 0),
        ("SELECT price FROM t x", ColumnType.NEWDECIMAL, 2),
        ("SELECT SUM(id) FROM t", ColumnType.NEWDECIMAL, 0),
        ("SELECT AVG(t.price) FROM t", ColumnType.NEWDECIMAL, 6),
        ("SELECT COUNT(DISTINCT name) FROM t", ColumnType.LONGLONG, 0),
        ("SELECT MAX(day) FROM t", ColumnType.DATE, 0),
        ("SELECT id / 2 FROM t", ColumnType.NEWDECIMAL, 4),
        ("SELECT price * 1.5 FROM t", ColumnType.NEWDECIMAL, 3),
        ("SELECT IFNULL(name, 'none') FROM t", ColumnType.VAR_STRING, 0),
        ("SELECT CASE WHEN id = 1 THEN price ELSE NULL END FROM t", ColumnType.NEWDECIMAL, 2),
        ("SELECT d.p FROM (SELECT price AS p FROM t) d", ColumnType.NEWDECIMAL, 2),
    ],
)
def test_result_has_the_type_that_mysql_gives_it(db: sqlite3.Connection, sql: str, kind: ColumnType, scale: int) -> None:
    """Told from the statement, so that a shard without rows answers like the others."""
    query = translate(sql.encode()).query
    assert query is not None
    (found,) = result_types(query, lambda name: table_types(db, name))
    assert found is not None
    assert (found.kind, found.scale) == (kind, scale)


@pytest.mark.parametrize(("value", "shown"), [(1.5, b"1.50"), (3, b"3.00"), (0.125, b"0.13"), (None, None)])
def test_decimal_is_shown_with_its_digits(db: sqlite3.Connection, value: object, shown: bytes | None) -> None:
    """Whatever SQLite has made of it."""
    types = table_types(db, "t")
    assert types is not None
    assert encoder_of(column_of("price", types["price"], []))(value) == shown


def test_table_is_described_as_it_was_created(db: sqlite3.Connection) -> None:
    """DESCRIBE and SHOW CREATE TABLE speak of MySQL's types and of the indexes' own names."""
    _, rows = show(db, "DESCRIBE t")
    assert [row[:4] for row in rows] == [
        ("id", "integer", "NO", "PRI"),
        ("name", "varchar(20)", "YES", "UNI"),
        ("price", "decimal(10,2)", "YES", ""),
        ("day", "date", "YES", "MUL"),
    ]
    _, [(_, text)] = show(db, "SHOW CREATE TABLE `t`")
    assert "UNIQUE KEY `by_name` (`name`),\n  KEY `by_day` (`day`,`price`)" in str(text)


def test_catalog_sees_keys_and_counting_columns(db: sqlite3.Connection) -> None:
    """What placement and `check` rest on."""
    schema = load_schema(db)
    assert schema.unique_keys == [("t", "PRIMARY", "id"), ("t", "by_name", "name")]
    assert [(row[1], row[2], row[10]) for row in schema.columns] == [
        ("id", "bigint", "auto_increment"),
        ("name", "varchar", ""),
        ("price", "decimal", ""),
        ("day", "date", ""),
    ]


def test_functions_that_sqlite_lacks_are_there(db: sqlite3.Connection) -> None:
    """A sample of each kind."""
    sql = b"SELECT YEAR(day), CONCAT(name, '-', id), SUBSTRING_INDEX('a.b.c', '.', -2), LENGTH('\xc3\xa9') FROM t WHERE id = 1"
    assert run(db, sql) == [(2024, "a-1", "b.c", 2)]
    assert run(db, b"SELECT CONCAT(name, NULL), FIELD('b', 'a', 'b') FROM t WHERE id = 1") == [(None, 2)]
