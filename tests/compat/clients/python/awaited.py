"""Drivers whose calls are awaited: aiomysql, and asyncmy, which took over its interface."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from compat import SETTINGS, Skip
from driver import Connection, Done, Driver, Pool, Row
from pymysql.constants import CLIENT
from tls import verifying_context


class AwaitedConnection(Connection):
    """A connection of either."""

    def __init__(self, raw: Any, unbuffered: type) -> None:
        self.raw = raw
        self._unbuffered = unbuffered

    async def rows(self, sql: str, arguments: Sequence[Any] = ()) -> list[Row]:
        async with self.raw.cursor() as cursor:
            await cursor.execute(sql, tuple(arguments) or None)
            return [tuple(row) for row in await cursor.fetchall()]

    async def run(self, sql: str, arguments: Sequence[Any] = ()) -> Done:
        sql, arguments = self.sendable(sql, arguments)
        async with self.raw.cursor() as cursor:
            await cursor.execute(sql, tuple(arguments) or None)
            return Done(cursor.rowcount, cursor.lastrowid or 0)

    def sendable(self, sql: str, arguments: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        """A statement without what the driver cannot send."""
        return sql, arguments

    async def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        async with self.raw.cursor() as cursor:
            await cursor.executemany(sql, rows)
            return int(cursor.rowcount)

    async def stream(self, sql: str) -> tuple[int, int]:
        count = total = 0
        async with self.raw.cursor(self._unbuffered) as cursor:
            await cursor.execute(sql)
            while (row := await cursor.fetchone()) is not None:
                count, total = count + 1, total + row[0]
        return count, total

    async def results(self, sql: str) -> list[list[Row]]:
        async with self.raw.cursor() as cursor:
            await cursor.execute(sql)
            return await _results(cursor)

    async def call(self, procedure: str, arguments: Sequence[Any]) -> tuple[list[list[Row]], Any]:
        async with self.raw.cursor() as cursor:
            await cursor.callproc(procedure, tuple(arguments))
            results = await _results(cursor)
            await cursor.execute(f"SELECT @_{procedure}_{len(arguments) - 1}")
            return results, (await cursor.fetchone())[0]

    async def begin(self) -> None:
        await self.raw.begin()

    async def commit(self) -> None:
        await self.raw.commit()

    async def rollback(self) -> None:
        await self.raw.rollback()

    async def autocommit(self, on: bool) -> None:
        await self.raw.autocommit(on)

    async def ping(self) -> None:
        await self.raw.ping(reconnect=False)

    async def close(self) -> None:
        await self.raw.ensure_closed()


class AwaitedPool(Pool):
    """`create_pool` of either."""

    def __init__(self, raw: Any, unbuffered: type) -> None:
        self._raw = raw
        self._unbuffered = unbuffered

    async def take(self) -> Connection:
        return AwaitedConnection(await self._raw.acquire(), self._unbuffered)

    async def give(self, connection: Connection) -> None:
        released = self._raw.release(connection.raw)
        if released is not None:
            await released

    async def close(self) -> None:
        self._raw.close()
        await self._raw.wait_closed()


class AwaitedDriver(Driver):
    """Either driver, by its module."""

    connection = AwaitedConnection

    def __init__(self, module: ModuleType, errors: ModuleType, cursors: ModuleType) -> None:
        self._module = module
        self._unbuffered = cursors.SSCursor
        self.error = errors.MySQLError
        self.exceptions = {
            1062: errors.IntegrityError,
            1146: errors.ProgrammingError,
            1064: errors.ProgrammingError,
            1054: errors.OperationalError,
            1045: errors.OperationalError,
            1049: errors.OperationalError,
        }

    def options(self, wishes: Mapping[str, Any]) -> dict[str, Any]:
        options = {
            "user": wishes["user"],
            "password": wishes["password"],
            "db": wishes["database"],
            "autocommit": wishes["autocommit"],
            "charset": "utf8mb4",
        }
        options |= {"unix_socket": SETTINGS.socket} if wishes.get("socket") else {"host": SETTINGS.host, "port": SETTINGS.port}
        if wishes.get("tls"):
            options["ssl"] = verifying_context()
        if wishes.get("infile"):
            options["local_infile"] = True
        if wishes.get("multi"):
            options["client_flag"] = CLIENT.MULTI_STATEMENTS
        if wishes.get("compress"):
            raise Skip("the driver does not compress")
        if wishes.get("read_timeout"):
            raise Skip("tasks are cancelled")
        return options

    async def open(self, options: dict[str, Any]) -> Connection:
        return self.connection(await self._module.connect(**options), self._unbuffered)

    async def pool(self) -> Pool:
        options = self.options({"user": SETTINGS.user, "password": SETTINGS.password, "database": SETTINGS.database, "autocommit": True})
        return AwaitedPool(await self._module.create_pool(minsize=1, maxsize=5, **options), self._unbuffered)

    def expected(self, column: str, value: Any) -> Any:
        return value.to_bytes(8, "big") if column == "c_bit" and value is not None else value


async def _results(cursor: Any) -> list[list[Row]]:
    """All results that have columns."""
    results = []
    while True:
        if cursor.description is not None:
            results.append([tuple(row) for row in await cursor.fetchall()])
        if not await cursor.nextset():
            return results
