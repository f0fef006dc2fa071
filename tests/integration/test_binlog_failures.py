"""What goes wrong while a binary log is read: servers that die, fall silent or have lost the log, and transactions that are too wide."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql
import pytest

from migrate.binlog import (
    BinlogError,
    BinlogReader,
    LayoutMismatch,
    LogGone,
    Position,
    SourceLost,
    SourceRefused,
    Transaction,
    current_position,
    read_layouts,
)
from shardproxy.config.model import ServerUrl
from tests.integration.test_binlog_reader import (
    ACCOUNTS,
    PATIENCE_S,
    SCHEMA,
    inserted,
    open_reader,
    reading,
    rows,
    session,
    start_server,
    take,
    take_idle,
)
from tests.support.servers import DatabaseServer, MariaDB
from tests.support.waiting import eventually

TABLE = "CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner INT UNSIGNED, note VARCHAR(100))"


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """A server of each flavour, to be stopped and started."""
    started = start_server(request.param, "binlog-failures")
    yield started
    started.kill()


@pytest.fixture
def source(server: DatabaseServer) -> DatabaseServer:
    """The same, running, with an empty table `accounts`."""
    server.create_schema(SCHEMA)
    server.execute(TABLE, SCHEMA)
    return server


class Writer:
    """Inserts 1, 2, 3 … each in a transaction of its own, until the server is gone."""

    def __init__(self, server: DatabaseServer, first: int) -> None:
        self.sure = first - 1
        self._server = server
        self._thread = threading.Thread(target=self._run, args=(first,))
        self._thread.start()

    def _run(self, first: int) -> None:
        with (
            contextlib.suppress(pymysql.err.MySQLError, OSError),
            self._server.connect(SCHEMA) as connection,
            connection.cursor() as cursor,
        ):
            for i in range(first, 10_000_000):
                cursor.execute(f"INSERT INTO accounts (id) VALUES ({i})")
                self.sure = i

    def join(self) -> int:
        """The last number that is certainly there."""
        self._thread.join(PATIENCE_S)
        return self.sure


async def read_until_lost(reader: BinlogReader, seen: list[int], stop: Callable[[], None], after: int) -> Position:
    """Collect ids, call `stop` after so many transactions, and give the last end before the source is lost."""
    end = reader.position
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                transaction = await anext(reader)
            except SourceLost:
                return end
            seen += [int(change.after[0] or 0) for change in transaction.changes if change.after]
            end = transaction.end
            if len(seen) >= after:
                after = 1 << 60
                await asyncio.to_thread(stop)


# ---------------------------------------------------------------- servers that die


async def test_a_killed_server_loses_nothing_for_who_resumes(source: DatabaseServer) -> None:
    """Killed again and again while it is written to: every row that is there has come, in order."""
    seen: list[int] = []
    async with session(source) as connection:
        end = await current_position(connection)
    last = 0
    for _ in range(3):
        reader = await open_reader(source, ACCOUNTS, end)
        writer = Writer(source, last + 1)
        end = await read_until_lost(reader, seen, source.kill, len(seen) + 200)
        await reader.close()
        writer.join()
        source.start()
        [(last,)] = source.execute("SELECT MAX(id) FROM accounts", SCHEMA)
        assert last >= writer.sure
    async with reading(source, start=end) as reader:
        found, _ = await take_idle(reader, source)
    seen += [int(after[0] or 0) for _, after in rows(found) if after]
    assert seen == list(range(1, last + 1))


async def test_a_prepared_transaction_survives_its_server(source: DatabaseServer) -> None:
    """Its rows come at its commit, after the server was killed and the reader began anew."""
    reader = await open_reader(source, ACCOUNTS)
    source.execute("XA START 'a'; INSERT INTO accounts (id) VALUES (1); XA END 'a'; XA PREPARE 'a'", SCHEMA)
    source.execute("INSERT INTO accounts (id) VALUES (2)", SCHEMA)
    seen: list[int] = []
    end = await read_until_lost(reader, seen, source.kill, 1)
    await reader.close()
    source.start()
    async with reading(source, start=end) as again:
        source.execute("XA COMMIT 'a'; INSERT INTO accounts (id) VALUES (3)", SCHEMA)
        assert rows(await take(again, 3)) == inserted((2, None), (1, None), (3, None))


async def test_a_server_that_is_shut_down_and_started(source: DatabaseServer) -> None:
    """It ends its log properly, and goes on in another file."""
    reader = await open_reader(source, ACCOUNTS)
    source.execute("INSERT INTO accounts (id) VALUES (1)", SCHEMA)
    seen: list[int] = []
    end = await read_until_lost(reader, seen, source.stop, 1)
    await reader.close()
    source.start()
    source.execute("INSERT INTO accounts (id) VALUES (2)", SCHEMA)
    async with reading(source, start=end) as again:
        assert rows(await take(again, 1)) == inserted((2, None))
    assert seen == [1]


async def test_a_broken_connection(source: DatabaseServer) -> None:
    """A dump that is killed is the same to the reader as a server that is."""
    async with reading(source) as reader:
        source.execute("INSERT INTO accounts (id) VALUES (1)", SCHEMA)
        await take(reader, 1)
        for (thread,) in source.execute("SELECT id FROM information_schema.PROCESSLIST WHERE command LIKE 'Binlog Dump%'"):
            source.execute(f"KILL {thread}")
        with pytest.raises(SourceLost):
            await take(reader, 1)
        with pytest.raises(SourceLost):
            await anext(reader)


async def test_a_server_that_falls_silent(source: DatabaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends a heartbeat when there is nothing else; without any, the connection counts as lost."""
    monkeypatch.setattr("migrate.binlog.reader._SILENT_S", 1.0)
    async with reading(source, heartbeat_s=0.05) as reader:
        await take_idle(reader, source)
        source.pause()
        try:
            with pytest.raises(SourceLost, match="silent"):
                await take(reader, 1)
        finally:
            source.resume()


async def test_a_server_that_is_not_there() -> None:
    """Nobody listens: lost, as it may come back."""
    server = MariaDB("nowhere", log_bin=True)
    reader = BinlogReader(ServerUrl.parse(server.url(SCHEMA)), SCHEMA, {}, Position("binlog.000001", 4), server_id=1)
    with pytest.raises(SourceLost):
        await reader.start()
    await reader.close()


async def test_two_readers_with_one_server_id(source: DatabaseServer) -> None:
    """The server gives its log to the newer one."""
    async with reading(source) as reader:
        await take_idle(reader, source)
        async with reading(source, server_id=reader._server_id) as other:
            await take_idle(other, source)
            with pytest.raises(SourceLost):
                await take(reader, 1)
            source.execute("INSERT INTO accounts (id) VALUES (1)", SCHEMA)
            assert rows(await take(other, 1)) == inserted((1, None))


# ---------------------------------------------------------------- logs that are gone


async def test_a_purged_log(source: DatabaseServer) -> None:
    """What was changed in it cannot be known any more."""
    async with session(source) as connection:
        start = await current_position(connection)
    source.execute("FLUSH BINARY LOGS; FLUSH BINARY LOGS")

    def purge() -> bool:
        # A log is kept while any dump reads it, and those of earlier tests end at their next heartbeat.
        logs = [name for name, *_ in source.execute("SHOW BINARY LOGS")]
        source.execute(f"PURGE BINARY LOGS TO '{logs[-1]}'")
        return start.file not in logs

    await asyncio.to_thread(eventually, purge)
    with pytest.raises(LogGone, match=start.file):
        async with reading(source, start=start) as reader:
            await take(reader, 1)


async def test_a_position_behind_the_end(source: DatabaseServer) -> None:
    """As after a crash that lost the end of the log."""
    async with session(source) as connection:
        end = await current_position(connection)
    with pytest.raises(LogGone):
        async with reading(source, start=Position(end.file, end.offset + 1000)) as reader:
            await take(reader, 1)


async def test_a_log_of_another_name(source: DatabaseServer) -> None:
    """As of another server."""
    with pytest.raises(LogGone):
        async with reading(source, start=Position("nothing.000001", 4)) as reader:
            await take(reader, 1)


async def test_a_position_within_an_event(source: DatabaseServer) -> None:
    """A server that notices says so, and the reader notices what it does not."""
    async with reading(source) as reader:
        start = reader.position
        source.execute("INSERT INTO accounts (id, note) VALUES (1, REPEAT('x', 90))", SCHEMA)
        [one] = await take(reader, 1)
    for offset in range(start.offset + 1, one.end.offset, 7):
        with pytest.raises(BinlogError):
            async with reading(source, start=Position(start.file, offset)) as reader:
                await take(reader, 1)


async def test_an_account_without_the_privilege(source: DatabaseServer) -> None:
    """With the server's own words."""
    source.execute("DROP USER IF EXISTS poor; CREATE USER poor IDENTIFIED BY 'poor'; GRANT SELECT ON app.* TO poor")
    url = ServerUrl.parse(source.url(SCHEMA)).model_copy(update={"user": "poor", "password": "poor"})
    reader = BinlogReader(url, SCHEMA, {}, Position("binlog.000001", 4), server_id=77)
    with pytest.raises(SourceRefused, match="denied"):
        await reader.start()
    await reader.close()


# ---------------------------------------------------------------- much at once


def numbers(source: DatabaseServer, count: int) -> str:
    """A query that gives 1 to `count`."""
    if source.flavour == "mariadb":
        return f"SELECT seq FROM seq_1_to_{count}"
    return f"WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < {count}) SELECT seq FROM n"


async def test_a_very_wide_transaction_comes_in_parts(source: DatabaseServer) -> None:
    """All but the last have the end from before it, so that resuming from any of them misses nothing."""
    count = 450_000
    prefix = "" if source.flavour == "mariadb" else f"SET cte_max_recursion_depth = {count};"
    async with reading(source) as reader:
        start = reader.position
        source.execute(f"{prefix} INSERT INTO accounts (id) {numbers(source, count)}", SCHEMA)
        found: list[Transaction] = await take(reader, count)
    assert len(found) == 3 and max(len(t.changes) for t in found) < 210_000
    assert [t.end == start for t in found] == [True, True, False]
    assert [change.after for t in found for change in t.changes] == [(n, None) for n in range(1, count + 1)]


async def test_a_slow_consumer_holds_the_server_back(source: DatabaseServer) -> None:
    """What is not taken stays on the server, but for a few megabytes."""
    async with reading(source) as reader:
        source.execute(f"INSERT INTO accounts (id) {numbers(source, 900)}", SCHEMA)
        source.execute("; ".join(f"UPDATE accounts SET note = REPEAT('{i % 10}', 100)" for i in range(80)), SCHEMA)
        stream = reader._stream
        assert stream is not None
        held = 0
        for _ in range(50):
            await asyncio.sleep(0.01)
            held = max(held, stream._held)
        assert 4 << 20 < held < 6 << 20
        found, _ = await take_idle(reader, source)
    assert sum(len(t.changes) for t in found) == 900 * 81


async def test_waiting_can_be_given_up(source: DatabaseServer) -> None:
    """A cancelled wait loses nothing."""
    async with reading(source, heartbeat_s=30.0) as reader:
        found = []
        for i in range(5):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    found += rows([await anext(reader)])
            source.execute(f"INSERT INTO accounts (id) VALUES ({i})", SCHEMA)
        found += rows(await take(reader, 5 - len(found)))
    assert found == inserted(*[(i, None) for i in range(5)])


async def test_a_closed_reader_ends(source: DatabaseServer) -> None:
    """Also for who waits already; the server lets go of it."""
    async with reading(source, heartbeat_s=30.0) as reader:
        waiting = asyncio.create_task(anext(reader, None))
        await asyncio.sleep(0.05)
        await reader.close()
        async with asyncio.timeout(PATIENCE_S):
            assert await waiting is None
        assert [t async for t in reader] == []


# ---------------------------------------------------------------- logs of other kinds


async def test_an_encrypted_log(tmp_path: Path) -> None:
    """The server decrypts what it sends."""
    keys = tmp_path / "keys"
    keys.write_text("1;" + "a7" * 32 + "\n")
    plugin = "--plugin-load-add=file_key_management"
    try:
        server = start_server("mariadb", "binlog-encrypted", plugin, f"--file-key-management-filename={keys}", "--encrypt-binlog")
    except (RuntimeError, AssertionError):
        pytest.skip("this MariaDB has no file_key_management")
    try:
        server.create_schema(SCHEMA)
        server.execute(TABLE, SCHEMA)
        async with reading(server) as reader:
            start = reader.position
            server.execute("INSERT INTO accounts (id) VALUES (1); FLUSH BINARY LOGS; INSERT INTO accounts (id) VALUES (2)", SCHEMA)
            assert rows(await take(reader, 2)) == inserted((1, None), (2, None))
        async with reading(server, start=start) as again:
            assert rows(await take(again, 2)) == inserted((1, None), (2, None))
    finally:
        server.kill()


async def test_names_in_other_letters() -> None:
    """A server that has all names in small letters logs them so, and names are compared as they are."""
    server = start_server("mariadb", "binlog-small", "--lower-case-table-names=1")
    try:
        server.create_schema(SCHEMA)
        server.execute(TABLE, SCHEMA)
        async with session(server) as connection:
            assert await read_layouts(connection, SCHEMA, ["accounts"], ACCOUNTS)
            for schema, table in ((SCHEMA.upper(), "accounts"), (SCHEMA, "Accounts")):
                with pytest.raises(LayoutMismatch, match="spelled differently"):
                    await read_layouts(connection, schema, [table], {table: ["id"]})
    finally:
        server.kill()


async def test_a_server_without_a_log() -> None:
    """There is no position to begin at."""
    server = MariaDB("no-binlog")
    server.start()
    try:
        server.create_schema(SCHEMA)
        async with session(server) as connection:
            with pytest.raises(SourceRefused, match="log_bin"):
                await current_position(connection)
    finally:
        server.kill()
