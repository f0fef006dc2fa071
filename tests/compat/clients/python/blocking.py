"""Drivers whose calls block (DB-API 2): each call runs in a thread, so that checks can do two things at a time."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from driver import Connection, Done, Row


class BlockingConnection(Connection):
    """A DB-API connection. Subclasses say what the standard leaves open."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    # -- what the standard leaves open

    def _unbuffered(self) -> Any:
        """A cursor that does not fetch all rows at once."""
        raise NotImplementedError

    def _begin(self) -> None:
        self.raw.begin()

    def _autocommit(self, on: bool) -> None:
        self.raw.autocommit(on)

    def _ping(self) -> None:
        raise NotImplementedError

    def _execute_several(self, cursor: Any, sql: str) -> list[list[Row]]:
        cursor.execute(sql)
        return _results(cursor)

    def _out(self, cursor: Any, procedure: str, number: int) -> Any:
        """The value that a procedure gave its OUT parameter, in the way of PEP 249's common extension."""
        cursor.execute(f"SELECT @_{procedure}_{number}")
        return cursor.fetchone()[0]

    # -- the standard

    async def rows(self, sql: str, arguments: Sequence[Any] = ()) -> list[Row]:
        def work() -> list[Row]:
            with closing(self.raw.cursor()) as cursor:
                cursor.execute(sql, tuple(arguments)) if arguments else cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()]

        return await asyncio.to_thread(work)

    async def run(self, sql: str, arguments: Sequence[Any] = ()) -> Done:
        def work() -> Done:
            with closing(self.raw.cursor()) as cursor:
                cursor.execute(sql, tuple(arguments)) if arguments else cursor.execute(sql)
                return Done(int(cursor.rowcount), int(cursor.lastrowid or 0))

        return await asyncio.to_thread(work)

    async def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        def work() -> int:
            with closing(self.raw.cursor()) as cursor:
                cursor.executemany(sql, rows)
                return int(cursor.rowcount)

        return await asyncio.to_thread(work)

    async def stream(self, sql: str) -> tuple[int, int]:
        def work() -> tuple[int, int]:
            count = total = 0
            with closing(self._unbuffered()) as cursor:
                cursor.execute(sql)
                while (row := cursor.fetchone()) is not None:
                    count, total = count + 1, total + row[0]
            return count, total

        return await asyncio.to_thread(work)

    async def results(self, sql: str) -> list[list[Row]]:
        def work() -> list[list[Row]]:
            with closing(self.raw.cursor()) as cursor:
                return self._execute_several(cursor, sql)

        return await asyncio.to_thread(work)

    async def call(self, procedure: str, arguments: Sequence[Any]) -> tuple[list[list[Row]], Any]:
        def work() -> tuple[list[list[Row]], Any]:
            with closing(self.raw.cursor()) as cursor:
                cursor.callproc(procedure, tuple(arguments))
                results = _results(cursor)
            with closing(self.raw.cursor()) as cursor:
                return results, self._out(cursor, procedure, len(arguments) - 1)

        return await asyncio.to_thread(work)

    async def begin(self) -> None:
        await asyncio.to_thread(self._begin)

    async def commit(self) -> None:
        await asyncio.to_thread(self.raw.commit)

    async def rollback(self) -> None:
        await asyncio.to_thread(self.raw.rollback)

    async def autocommit(self, on: bool) -> None:
        await asyncio.to_thread(self._autocommit, on)

    async def ping(self) -> None:
        await asyncio.to_thread(self._ping)

    async def close(self) -> None:
        await asyncio.to_thread(self.raw.close)


def _results(cursor: Any) -> list[list[Row]]:
    """All results that have columns."""
    results = []
    while True:
        if cursor.description is not None:
            results.append([tuple(row) for row in cursor.fetchall()])
        if not cursor.nextset():
            return results
