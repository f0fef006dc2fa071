"""The binary log's reader against real servers: what is delivered, in which order, and where reading resumes."""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import pytest

from migrate.binlog import (
    BinlogReader,
    ColumnLayout,
    Key,
    Position,
    RowChange,
    SchemaChanged,
    StatementLogged,
    Transaction,
    current_position,
    preflight,
    read_layouts,
)
from shardproxy.backends.engine import DEFAULT_KIND, Connection, ServerSettings
from shardproxy.backends.mysql_engine import MySQLEngine
from shardproxy.config.model import ServerUrl
from tests.support.servers import DatabaseServer, MariaDB, MySQL

SCHEMA = "app"
PATIENCE_S = 20.0
_SETTINGS = ServerSettings(1, 10.0, 1, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 1, 1, 1)
_IDS = itertools.count(900_000)
Watched = Mapping[str, Sequence[str]]
ACCOUNTS: Watched = {"accounts": ["id", "owner"]}


def start_server(flavour: str, name: str, *options: str) -> DatabaseServer:
    """A running server with a binary log; the test is skipped where there is none of this flavour."""
    kind = {"mariadb": MariaDB, "mysql": MySQL}[flavour]
    try:
        kind.binary()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    server = kind(f"{name}-{flavour}", log_bin=True, options=options)
    server.start()
    return server


@contextlib.asynccontextmanager
async def session(server: DatabaseServer, schema: str = SCHEMA) -> AsyncIterator[Connection]:
    """A connection as the mover has them."""
    engine = MySQLEngine("source", ServerUrl.parse(server.url(schema)), _SETTINGS)
    connection = await engine.connect(DEFAULT_KIND)
    try:
        yield connection
    finally:
        connection.abort()
        await engine.close()


async def open_reader(server: DatabaseServer, watched: Watched, start: Position | None = None, **options: Any) -> BinlogReader:
    """A reader that was started: from the log's end on, if nothing else is said."""
    async with session(server) as connection:
        start = start or await current_position(connection)
        layouts = await read_layouts(connection, SCHEMA, list(watched), watched)
    url = ServerUrl.parse(server.url(SCHEMA))
    reader = BinlogReader(url, SCHEMA, layouts, start, **{"server_id": next(_IDS), "heartbeat_s": 0.2, **options})
    await reader.start()
    return reader


@contextlib.asynccontextmanager
async def reading(
    server: DatabaseServer, watched: Watched = ACCOUNTS, start: Position | None = None, **options: Any
) -> AsyncIterator[BinlogReader]:
    """The same, closed at the end."""
    reader = await open_reader(server, watched, start, **options)
    try:
        yield reader
    finally:
        await reader.close()


async def take(reader: BinlogReader, changes: int) -> list[Transaction]:
    """Transactions with changes, until there are so many changes."""
    found: list[Transaction] = []
    async with asyncio.timeout(PATIENCE_S):
        async for transaction in reader:
            if transaction.changes:
                found.append(transaction)
            if sum(len(t.changes) for t in found) >= changes:
                break
    assert sum(len(t.changes) for t in found) == changes
    return found


async def take_idle(reader: BinlogReader, server: DatabaseServer) -> tuple[list[Transaction], Transaction]:
    """Transactions with changes until the server has no more, and the empty one that says so."""
    async with session(server) as connection:
        end = await current_position(connection)
    found: list[Transaction] = []
    async with asyncio.timeout(PATIENCE_S):
        async for transaction in reader:
            if transaction.idle and (reader.read_to.file, reader.read_to.offset) >= (end.file, end.offset):
                return found, transaction
            if transaction.changes:
                found.append(transaction)
    raise AssertionError("the reader ended")


def rows(transactions: Sequence[Transaction]) -> list[tuple[Key | None, Key | None]]:
    """The changes of all of them, without the table."""
    return [(change.before, change.after) for t in transactions for change in t.changes]


def inserted(*keys: Key) -> list[tuple[None, Key]]:
    """What `rows` gives for inserts."""
    return [(None, key) for key in keys]


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """A server of each flavour, one after the other."""
    started = start_server(request.param, "binlog", "--max-allowed-packet=64M")
    yield started
    started.kill()


@pytest.fixture
def source(server: DatabaseServer) -> DatabaseServer:
    """The same with an empty table `accounts`, and another one that nobody watches."""
    server.create_schema(SCHEMA)
    server.execute(
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner INT UNSIGNED, note VARCHAR(100), body LONGTEXT);"
        "CREATE TABLE others (id BIGINT PRIMARY KEY)",
        SCHEMA,
    )
    return server


# ---------------------------------------------------------------- changes


async def test_inserts_updates_and_deletes_come_as_keys(source: DatabaseServer) -> None:
    """One statement may change many rows, a NULL is None, and only watched tables are told of."""
    async with reading(source) as reader:
        source.execute(
            "INSERT INTO accounts VALUES (1, 4294967295, 'a', 'b'), (-2, NULL, NULL, NULL); INSERT INTO others VALUES (1);"
            "UPDATE accounts SET note = 'c'; DELETE FROM accounts WHERE id = 1",
            SCHEMA,
        )
        found = await take(reader, 5)
    many, none = (1, 4294967295), (-2, None)
    assert [rows([t]) for t in found] == [inserted(many, none), [(none, none), (many, many)], [(many, None)]]
    assert all(not t.own and t.at > 0 for t in found)


async def test_an_update_of_the_key_has_both(source: DatabaseServer) -> None:
    """So a row can be taken away where it was."""
    async with reading(source) as reader:
        source.execute("INSERT INTO accounts (id, owner) VALUES (1, 5); UPDATE accounts SET id = 9, owner = 6", SCHEMA)
        found = await take(reader, 2)
    assert rows(found)[1] == ((1, 5), (9, 6))


async def test_every_kind_of_write_is_seen(source: DatabaseServer) -> None:
    """REPLACE and ON DUPLICATE KEY UPDATE are logged as what they did."""
    async with reading(source) as reader:
        source.execute(
            "INSERT INTO accounts (id, owner) VALUES (1, 1); REPLACE INTO accounts (id, owner) VALUES (1, 2);"
            "INSERT INTO accounts (id, owner) VALUES (1, 3) ON DUPLICATE KEY UPDATE owner = 3;"
            "INSERT IGNORE INTO accounts (id, owner) VALUES (1, 4), (2, 5);"
            "INSERT INTO accounts (id, owner) SELECT id + 10, owner FROM accounts",
            SCHEMA,
        )
        found = await take(reader, 6)
    assert {key for change in rows(found) for key in change} >= {(1, 1), (1, 2), (1, 3), (2, 5), (11, 3), (12, 5)}


async def test_transactions_come_whole_and_in_the_order_of_their_commits(source: DatabaseServer) -> None:
    """Nothing of a transaction that was rolled back, and only what was watched of one that was not."""
    async with reading(source) as reader:
        with source.connect(SCHEMA, autocommit=False) as late, late.cursor() as cursor:
            cursor.execute("INSERT INTO accounts (id) VALUES (1)")
            source.execute("INSERT INTO accounts (id) VALUES (2)", SCHEMA)
            source.execute("BEGIN; INSERT INTO accounts (id) VALUES (3); ROLLBACK", SCHEMA)
            cursor.execute("INSERT INTO others VALUES (1)")
            cursor.execute("SAVEPOINT a")
            cursor.execute("INSERT INTO accounts (id) VALUES (4)")
            cursor.execute("ROLLBACK TO a")
            cursor.execute("INSERT INTO accounts (id) VALUES (5)")
            late.commit()
        found, _ = await take_idle(reader, source)
    assert [rows([t]) for t in found] == [inserted((2, None)), inserted((1, None), (5, None))]


async def test_a_mixed_rollback_leaves_what_the_log_keeps_of_it(source: DatabaseServer) -> None:
    """With a temporary table in it a rolled back transaction may be logged; its rows are not delivered."""
    async with reading(source) as reader:
        source.execute("BEGIN; INSERT INTO accounts (id) VALUES (1); CREATE TEMPORARY TABLE x (a INT); ROLLBACK", SCHEMA)
        source.execute("INSERT INTO accounts (id) VALUES (2)", SCHEMA)
        found, _ = await take_idle(reader, source)
    assert rows(found) == inserted((2, None))


async def test_tables_that_know_no_transactions(source: DatabaseServer) -> None:
    """MyISAM's rows are there at once, so they come although the transaction around them was rolled back."""
    source.execute("CREATE TABLE flat (id INT PRIMARY KEY) ENGINE = MyISAM", SCHEMA)
    async with reading(source, {"flat": ["id"]}) as reader:
        source.execute("INSERT INTO flat VALUES (1), (2)", SCHEMA)
        if source.flavour == "mariadb":
            source.execute("BEGIN; INSERT INTO accounts (id) VALUES (7); INSERT INTO flat VALUES (3); ROLLBACK", SCHEMA)
        found, _ = await take_idle(reader, source)
    assert rows(found)[:2] == inserted((1,), (2,))
    assert (rows(found)[2:] == inserted((3,))) is (source.flavour == "mariadb")


async def test_a_row_larger_than_a_packet(source: DatabaseServer) -> None:
    """An event of 16 MB and more is split on the wire."""
    async with reading(source) as reader:
        source.execute("INSERT INTO accounts VALUES (1, 2, 'x', REPEAT('y', 17000000)), (2, 3, NULL, REPEAT('z', 40000000))", SCHEMA)
        source.execute("UPDATE accounts SET note = 'n' WHERE id = 1; INSERT INTO accounts (id) VALUES (3)", SCHEMA)
        found = await take(reader, 4)
    assert rows(found) == [*inserted((1, 2), (2, 3)), ((1, 2), (1, 2)), (None, (3, None))]


async def test_our_own_tables_mark_a_transaction(source: DatabaseServer) -> None:
    """So the mover's marks are told from the application's writes."""
    source.execute("CREATE TABLE _sp_mark (id INT PRIMARY KEY)", SCHEMA)
    async with reading(source) as reader:
        source.execute("BEGIN; INSERT INTO _sp_mark VALUES (1); INSERT INTO accounts (id) VALUES (1); COMMIT", SCHEMA)
        source.execute("INSERT INTO accounts (id) VALUES (2)", SCHEMA)
        found = await take(reader, 2)
    assert [t.own for t in found] == [True, False]


# ---------------------------------------------------------------- positions


async def test_every_end_resumes_behind_what_was_delivered(source: DatabaseServer) -> None:
    """From each `end`, the rest comes and nothing else; also over the border of two files."""
    async with reading(source) as reader:
        start = reader.position
        for i in range(6):
            source.execute(f"BEGIN; INSERT INTO accounts (id) VALUES ({i}); INSERT INTO accounts (id) VALUES ({100 + i}); COMMIT", SCHEMA)
            if i % 2:
                source.execute("FLUSH BINARY LOGS")
        found = await take(reader, 12)
    assert len({t.end.file for t in found}) == 3
    for i, position in enumerate([start, *[t.end for t in found]]):
        async with reading(source, start=Position.decode(position.encode())) as again:
            rest, _ = await take_idle(again, source)
        assert rows(rest) == rows(found[i:])


async def test_heartbeats_tell_how_far_the_log_was_read(source: DatabaseServer) -> None:
    """Changes of other tables move the end on although they are not delivered."""
    async with reading(source) as reader:
        source.execute("INSERT INTO others VALUES (1)", SCHEMA)
        async with session(source) as connection:
            end = await current_position(connection)
        found, idle = await take_idle(reader, source)
        _, later = await take_idle(reader, source)
    assert not found
    assert (later.end.file, later.end.offset) == (end.file, end.offset) and not idle.changes


async def test_a_busy_log_without_watched_changes_is_told_of(source: DatabaseServer) -> None:
    """A server that always has something to send sends no heartbeats."""
    async with reading(source, heartbeat_s=0.1) as reader:
        start = reader.position
        stop = threading.Event()

        def write() -> None:
            with source.connect(SCHEMA) as connection, connection.cursor() as cursor:
                for i in itertools.count():
                    if stop.is_set():
                        break
                    cursor.execute(f"INSERT INTO others VALUES ({i})")

        writing = asyncio.create_task(asyncio.to_thread(write))
        try:
            async with asyncio.timeout(PATIENCE_S):
                async for transaction in reader:
                    assert not transaction.changes
                    if not transaction.idle and transaction.end.offset > start.offset:
                        break
        finally:
            stop.set()
            await writing


# ---------------------------------------------------------------- XA


async def test_a_prepared_transaction_comes_when_it_is_committed(source: DatabaseServer) -> None:
    """In the order of commits, not of preparations; until then no end goes beyond it."""
    async with reading(source) as reader:
        start = reader.position
        source.execute("XA START 'a', 'b', 7; INSERT INTO accounts (id) VALUES (1); XA END 'a', 'b', 7; XA PREPARE 'a', 'b', 7", SCHEMA)
        source.execute("INSERT INTO accounts (id) VALUES (2)", SCHEMA)
        [between] = await take(reader, 1)
        assert rows([between]) == inserted((2, None)) and between.end == start
        _, idle = await take_idle(reader, source)
        assert idle.end == start
        source.execute("XA COMMIT 'a', 'b', 7", SCHEMA)
        [committed] = await take(reader, 1)
        assert rows([committed]) == inserted((1, None)) and committed.end != start
    async with reading(source, start=start) as again:
        assert rows(await take(again, 2)) == inserted((2, None), (1, None))
    async with reading(source, start=committed.end) as again:
        assert (await take_idle(again, source))[0] == []


async def test_xa_in_one_phase_and_rolled_back(source: DatabaseServer) -> None:
    """One phase is an ordinary commit; what was rolled back never comes."""
    async with reading(source) as reader:
        source.execute("XA START 'one'; INSERT INTO accounts (id) VALUES (1); XA END 'one'; XA COMMIT 'one' ONE PHASE", SCHEMA)
        source.execute("XA START 'two'; INSERT INTO accounts (id) VALUES (2); XA END 'two'; XA PREPARE 'two'", SCHEMA)
        source.execute("XA ROLLBACK 'two'", SCHEMA)
        source.execute("XA START 'two'; INSERT INTO accounts (id) VALUES (3); XA END 'two'; XA PREPARE 'two'; XA COMMIT 'two'", SCHEMA)
        found, idle = await take_idle(reader, source)
    assert [rows([t]) for t in found] == [inserted((1, None)), inserted((3, None))]
    assert found[-1].end == idle.end and reader.unseen_xa == 0


async def test_several_prepared_transactions_hold_the_end_one_after_the_other(source: DatabaseServer) -> None:
    """The end goes to the oldest that is left."""
    async with reading(source) as reader:
        start = reader.position
        for name in "xyz":
            source.execute(
                f"XA START '{name}'; INSERT INTO accounts (id) VALUES ({ord(name)}); XA END '{name}'; XA PREPARE '{name}'", SCHEMA
            )
        source.execute("XA COMMIT 'y'", SCHEMA)
        [y] = await take(reader, 1)
        source.execute("XA COMMIT 'x'", SCHEMA)
        [x] = await take(reader, 1)
        source.execute("XA ROLLBACK 'z'", SCHEMA)
        assert y.end == start and x.end != start
        async with reading(source, start=x.end) as again:
            found, idle = await take_idle(again, source)
        assert found == [] and idle.end.offset > x.end.offset
        # Of what was prepared before a start, only the end is seen.
        assert again.unseen_xa == 2


# ---------------------------------------------------------------- statements


@pytest.mark.parametrize(
    "ddl",
    [
        "ALTER TABLE accounts ADD extra INT",
        "TRUNCATE accounts",
        "DROP TABLE `accounts`",
        "CREATE INDEX i ON accounts (note)",
        "RENAME TABLE accounts TO elsewhere",
        "RENAME TABLE accounts TO _sp_elsewhere",
        "CREATE TRIGGER t BEFORE INSERT ON accounts FOR EACH ROW SET @x = 1",
        "DROP DATABASE app",
        "USE mysql; ALTER TABLE App.accounts ADD extra INT",
    ],
)
async def test_a_change_of_a_watched_table_stops_the_reading(source: DatabaseServer, ddl: str) -> None:
    """What was committed before it still comes."""
    ddl = ddl.replace("App", SCHEMA)
    async with reading(source) as reader:
        source.execute("INSERT INTO accounts (id) VALUES (1)", SCHEMA)
        source.execute(ddl, SCHEMA)
        assert rows(await take(reader, 1)) == inserted((1, None))
        with pytest.raises(SchemaChanged) as caught:
            await take(reader, 1)
        with pytest.raises(SchemaChanged):
            await anext(reader)
    assert caught.value.statement.split(" ")[0] in ddl


async def test_other_statements_pass(source: DatabaseServer) -> None:
    """Those on other tables, on other schemas, on our own triggers, and those that change no table."""
    source.create_schema("app2")
    async with reading(source) as reader:
        for sql in (
            "ALTER TABLE others ADD extra INT",
            "CREATE TABLE accounts2 (id INT PRIMARY KEY)",
            "CREATE TRIGGER _sp_fence BEFORE INSERT ON accounts FOR EACH ROW SET @x = 1",
            "DROP TRIGGER _sp_fence",
            "CREATE TABLE _sp_copy LIKE accounts",
            "DROP TABLE _sp_copy",
            "CREATE TEMPORARY TABLE accounts (id INT); INSERT INTO accounts VALUES (77); DROP TEMPORARY TABLE accounts",
            "CREATE VIEW v AS SELECT id FROM accounts",
            "ANALYZE TABLE accounts; OPTIMIZE TABLE accounts",
            "GRANT SELECT ON accounts TO sp",
            "CREATE PROCEDURE p() UPDATE accounts SET note = 'x'",
        ):
            source.execute(sql, SCHEMA)
        source.execute("CREATE TABLE accounts (id INT PRIMARY KEY); INSERT INTO accounts VALUES (55); DROP TABLE accounts", "app2")
        source.execute("INSERT INTO accounts (id) VALUES (1)", SCHEMA)
        assert rows(await take(reader, 1)) == inserted((1, None))


@pytest.mark.parametrize("dml", ["INSERT INTO accounts (id) VALUES (1)", "DELETE FROM app.accounts", "UPDATE others SET id = 2"])
async def test_a_statement_in_place_of_rows_stops_the_reading(source: DatabaseServer, dml: str) -> None:
    """Any on the schema: what triggers did is not in its text."""
    async with reading(source) as reader:
        source.execute(f"INSERT INTO others VALUES (1); SET binlog_format = STATEMENT; {dml}", SCHEMA)
        with pytest.raises(StatementLogged) as caught:
            await take(reader, 1)
    assert caught.value.statement.startswith(dml) and "VALUES" not in str(caught.value)


# ---------------------------------------------------------------- before the start


async def test_preflight_finds_nothing_wrong(source: DatabaseServer) -> None:
    """With ROW, FULL and the privileges, there is nothing to say."""
    async with session(source) as connection:
        assert await preflight(connection) == []


async def test_preflight_names_what_forbids_the_reading(source: DatabaseServer) -> None:
    """Each setting that would lose changes, and missing privileges."""
    source.execute("SET GLOBAL binlog_format = MIXED; SET GLOBAL binlog_row_image = MINIMAL")
    source.execute("DROP USER IF EXISTS poor; CREATE USER poor IDENTIFIED BY 'poor'; GRANT SELECT ON app.* TO poor")
    try:
        url = ServerUrl.parse(source.url(SCHEMA)).model_copy(update={"user": "poor", "password": "poor"})
        connection = await MySQLEngine("source", url, _SETTINGS).connect(DEFAULT_KIND)
        faults = await preflight(connection)
        connection.abort()
    finally:
        source.execute("SET GLOBAL binlog_format = ROW; SET GLOBAL binlog_row_image = FULL")
    assert [fault.split(" ")[0] for fault in faults] == ["binlog_format", "binlog_row_image", "the", "the"]
    assert "REPLICATION SLAVE" in faults[2] and "REPLICATION CLIENT" in faults[3]


def test_a_change_is_a_value() -> None:
    """Equal changes are equal."""
    assert RowChange("t", None, (1,)) == RowChange("t", None, (1,))
    assert ColumnLayout("a", "int", "int unsigned").unsigned
