"""Answers of MySQL and MariaDB that are read row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardproxy.errors import ServerError
from shardproxy.protocol.packets import EofPacket, OkPacket
from shardproxy.protocol.prepare import PrepareReader
from shardproxy.protocol.result_reader import ResultReader
from shardproxy.protocol.resultset import ColumnDefinition

if TYPE_CHECKING:
    from shardproxy.backends.mysql import MySQLConnection

# What follows an answer that is read.
Reader = ResultReader | PrepareReader

# Rows waiting in one stream before the server is made to wait.
HIGH_WATER_BYTES = 256 * 1024


class MySQLStream:
    """An answer that is read row by row; see `engine.ResultStream`."""

    def __init__(self, connection: MySQLConnection, reader: Reader) -> None:
        self._connection = connection
        self._reader = reader

    @property
    def columns(self) -> list[ColumnDefinition]:
        """The result's columns; none for a statement that gives no rows."""
        return self._reader.columns

    @property
    def ok(self) -> OkPacket | None:
        """The OK of a statement that gives no rows."""
        return self._reader.ok

    @property
    def eof(self) -> EofPacket | None:
        """The end of the rows, once they have all been read."""
        return self._reader.eof

    @property
    def more(self) -> bool:
        """Whether the result's header has announced another one."""
        return self._reader.more

    @property
    def done(self) -> bool:
        """Whether the whole answer has come."""
        return self._reader.done

    @property
    def waits(self) -> bool:
        """Whether so many rows have come that the server is made to wait."""
        return self._reader.held_bytes > HIGH_WATER_BYTES

    @property
    def clean(self) -> bool:
        """Whether the answer has ended with rows, without error or warnings."""
        eof = self._reader.eof
        return eof is not None and not eof.warnings and self._reader.next is None

    def next_result(self) -> bool:
        """Go on to the result that follows this one, which has ended; False where there is none."""
        following = self._reader.next
        if following is None:
            return False
        self._reader = following
        return True

    def take_rows(self) -> list[bytes]:
        """The rows that have come so far."""
        return self._reader.take_rows()

    async def wait_ready(self) -> None:
        """Until the columns, an OK or an error are there."""
        while not self._reader.ready:
            if self._connection.closed:
                raise self._connection.lost_error()
            await self._connection.wait()
        self._check()

    async def next_rows(self) -> list[bytes] | None:
        """The next rows, or None at the end."""
        while not self._reader.rows:
            self._check()
            if self._reader.over:
                return None
            if self._connection.closed:
                raise self._connection.lost_error()
            await self._connection.wait()
        return self._reader.take_rows()

    def _check(self) -> None:
        error = self._reader.error
        if error is not None:
            raise ServerError(error.errno, error.sqlstate, error.message, self._connection.shard, error.raw)
