"""asyncmy."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import asyncmy
import asyncmy.cursors
import asyncmy.errors
from awaited import AwaitedDriver
from compat import run
from driver import Connection, Done, Prepared, Row
from driver_checks import DriverChecks


class AsyncmyPrepared(Prepared):
    """`Connection.prepare` of asyncmy."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def rows(self, arguments: Sequence[Any]) -> list[Row]:
        return [tuple(row) for row in (await self._raw.execute(tuple(arguments))).rows]

    async def run(self, arguments: Sequence[Any]) -> Done:
        result = await self._raw.execute(tuple(arguments))
        return Done(result.affected_rows, result.insert_id or 0)

    async def close(self) -> None:
        await self._raw.close()


class Asyncmy(AwaitedDriver):
    """asyncmy with an application's options."""

    quirks: ClassVar[Mapping[str, str]] = {"large_first": "a row that begins with a value of 16 MB is taken for the end of the rows"}
    faults: ClassVar[Mapping[str, str]] = {"infile": "the name of the file is bytes where its own code wants text"}

    async def prepare(self, connection: Connection, sql: str) -> Prepared:
        return AsyncmyPrepared(await connection.raw.prepare(sql.replace("%s", "?")))


if __name__ == "__main__":
    run(DriverChecks(Asyncmy(asyncmy, asyncmy.errors, asyncmy.cursors)))
