"""Transactions, sessions and several connections at a time: the checks of drivers."""

import asyncio
import time

from compat import SETTINGS, Skip, same
from driver import Connection, Driver, Pool

PEOPLE = SETTINGS.table("people")
_TASKS, _STATEMENTS = 20, 50
# A statement of 30 seconds is over by then, or was not ended.
_SOON_S = 10.0


class SessionChecks:
    """Needs a driver; see `driver_checks`."""

    driver: Driver

    async def check_transactions(self) -> None:
        one, other = await self.driver.connect(), await self.driver.connect()
        await one.run(f"DROP TABLE IF EXISTS {PEOPLE}")
        await one.run(f"CREATE TABLE {PEOPLE} (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(20)) ENGINE = InnoDB")
        await self._commits_and_rolls_back(one, other)
        await self._isolates(one, other)
        await one.autocommit(False)
        await one.run(f"INSERT INTO {PEOPLE} VALUES (20, 'unseen')")
        same(await self._names(other, 20), [], "an uncommitted row with autocommit off")
        await one.autocommit(True)  # commits
        same(await self._names(other, 20), ["unseen"], "the row once autocommit is on")
        await one.begin()
        for number in range(100, 110):
            await one.run(f"INSERT INTO {PEOPLE} VALUES (%s, 'many')", (number,))
        await one.rollback()
        same(await other.rows(f"SELECT COUNT(*) FROM {PEOPLE} WHERE id >= 100"), [(0,)], "rows of ten keys, rolled back")
        await one.close()
        await other.close()

    async def _commits_and_rolls_back(self, one: Connection, other: Connection) -> None:
        await one.begin()
        await one.run(f"INSERT INTO {PEOPLE} VALUES (1, 'first')")
        same(await self._names(other, 1), [], "an uncommitted row, seen from elsewhere")
        same(await self._names(one, 1), ["first"], "an uncommitted row, seen from within")
        await one.commit()
        same(await self._names(other, 1), ["first"], "a committed row")
        await one.begin()
        await one.run(f"UPDATE {PEOPLE} SET name = 'second' WHERE id = 1")
        await one.run("SAVEPOINT here")
        await one.run(f"UPDATE {PEOPLE} SET name = 'third' WHERE id = 1")
        await one.run("ROLLBACK TO SAVEPOINT here")
        same(await self._names(one, 1), ["second"], "after going back to the savepoint")
        await one.run("RELEASE SAVEPOINT here")
        await one.rollback()
        same(await self._names(one, 1), ["first"], "after the rollback")

    async def _isolates(self, one: Connection, other: Connection) -> None:
        for number, (level, seen) in enumerate((("REPEATABLE READ", "before"), ("READ COMMITTED", "after")), 10):
            await other.run(f"INSERT INTO {PEOPLE} VALUES (%s, 'before')", (number,))
            await one.run(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")
            await one.begin()
            same(await self._names(one, number), ["before"], f"at first, {level}")
            await other.run(f"UPDATE {PEOPLE} SET name = 'after' WHERE id = %s", (number,))
            same(await self._names(one, number), [seen], f"after a change elsewhere, {level}")
            await one.commit()

    async def _names(self, connection: Connection, key: int) -> list[str]:
        return [row[0] for row in await connection.rows(f"SELECT name FROM {PEOPLE} WHERE id = %s", (key,))]

    async def check_reset(self) -> None:
        table = SETTINGS.table("reset")
        connection = await self.driver.connect()
        try:
            await connection.run(f"DROP TABLE IF EXISTS {table}")
            await connection.run(f"CREATE TABLE {table} (id INT NOT NULL PRIMARY KEY)")
            await connection.run("SET @mine = 1")
            await connection.run(f"CREATE TEMPORARY TABLE {table}_temporary (id INT)")
            await connection.begin()
            await connection.run(f"INSERT INTO {table} VALUES (1)")
            await connection.reset()
            same(await connection.rows("SELECT @mine"), [(None,)], "a user variable")
            same(await connection.rows(f"SELECT COUNT(*) FROM {table}"), [(0,)], "rows of an open transaction")
            try:
                await connection.rows(f"SELECT * FROM {table}_temporary")
            except self.driver.error as error:
                same(self.driver.code(error), 1146, f"the number of {error}")
            else:
                raise AssertionError("the temporary table is still there")
            same(await connection.rows("SELECT 'ä', DATABASE()"), [("ä", SETTINGS.database)], "character set and database")
        finally:
            await connection.close()

    async def check_pool(self) -> None:
        pool = await self.driver.pool()
        try:
            await asyncio.gather(*(self._use(pool, number) for number in range(_TASKS)))
            await self._replaces_a_killed_one(pool)
        finally:
            await pool.close()

    async def _use(self, pool: Pool, task: int) -> None:
        for number in range(_STATEMENTS):
            connection = await pool.take()
            try:
                same(await connection.rows("SELECT %s, %s", (task, number)), [(task, number)], "a task's own row")
            finally:
                await pool.give(connection)

    async def _replaces_a_killed_one(self, pool: Pool) -> None:
        connection = await pool.take()
        number = (await connection.rows("SELECT CONNECTION_ID()"))[0][0]
        await pool.give(connection)
        other = await self.driver.connect()
        await other.run(f"KILL {number}")
        await other.close()
        await asyncio.sleep(0.2)  # the end of a connection takes a moment to arrive, and there is nothing to wait on
        seen = set()
        for _ in range(6):
            connection = await pool.take()
            try:
                seen.add((await connection.rows("SELECT CONNECTION_ID()"))[0][0])
            finally:
                await pool.give(connection)
        assert number not in seen, "the killed connection still answers"

    async def check_kill(self) -> None:
        victim, killer = await self.driver.connect(), await self.driver.connect()
        number = (await victim.rows("SELECT CONNECTION_ID()"))[0][0]
        started = time.monotonic()
        sleeping = asyncio.ensure_future(self._sleep(victim))
        while not sleeping.done():
            assert time.monotonic() - started < _SOON_S, "KILL QUERY does not end the statement"
            await asyncio.wait([sleeping], timeout=0.5)  # it has to be running before it can be ended
            if not sleeping.done():
                await killer.run(f"KILL QUERY {number}")
        same(await sleeping, True, "whether it was interrupted")
        same(await victim.rows("SELECT 1"), [(1,)], "the connection afterwards")
        await victim.close()
        await killer.close()
        await self._times_out()

    async def _sleep(self, connection: Connection) -> bool:
        """MySQL's SLEEP says that it was interrupted, MariaDB's statement fails."""
        try:
            return (await connection.rows("SELECT SLEEP(30)"))[0][0] == 1
        except self.driver.error as error:
            same(self.driver.code(error), 1317, f"the number of {error}")
            return True

    async def _times_out(self) -> None:
        started = time.monotonic()
        try:
            connection = await self.driver.connect(read_timeout=1)
        except Skip:  # a task that waits is cancelled
            connection = await self.driver.connect()
            try:
                await asyncio.wait_for(connection.rows("SELECT SLEEP(30)"), 1)
            except TimeoutError:
                pass
            else:
                raise AssertionError("SLEEP(30) came to an end") from None
        else:
            try:
                await connection.rows("SELECT SLEEP(30)")
            except self.driver.error:
                pass
            else:
                raise AssertionError("SLEEP(30) came to an end")
        assert time.monotonic() - started < _SOON_S, "the driver's time-out took too long"
        same(await (again := await self.driver.connect()).rows("SELECT 1"), [(1,)], "a connection afterwards")
        await again.close()

    async def check_multi(self) -> None:
        table, procedure = SETTINGS.table("multi"), SETTINGS.table("proc")
        connection = await self.driver.connect(multi=True)
        await connection.run(f"DROP TABLE IF EXISTS {table}")
        makes = f"CREATE TABLE {table} (id INT); INSERT INTO {table} VALUES (1), (2)"
        statements = f"{makes}; SELECT id FROM {table} ORDER BY id; SELECT 'last;'"
        same(await connection.results(statements), [[(1,), (2,)], [("last;",)]], "the results of four statements")
        try:
            await connection.results("SELECT 1; SELEKT 2; SELECT 3")
        except self.driver.error as error:
            same(self.driver.code(error), 1064, f"the number of {error}")
        else:
            raise AssertionError("no error for wrong SQL among several statements")
        same(await connection.rows("SELECT 4"), [(4,)], "the connection afterwards")
        await connection.run(f"DROP PROCEDURE IF EXISTS {procedure}")
        await connection.run(f"CREATE PROCEDURE {procedure} (IN a INT, OUT b INT) BEGIN SELECT a; SELECT a + 1, 'two'; SET b = a * 10; END")
        same(await connection.call(procedure, (7, 0)), ([[(7,)], [(8, "two")]], 70), "the results of a procedure and its OUT parameter")
        await connection.close()
