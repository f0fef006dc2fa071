"""What the checks ask of a driver: the same words for all, and the driver's own calls behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from compat import SETTINGS, Skip

Row = tuple[Any, ...]
# What a check may ask a connection for; a driver says in `options` what its own words for them are.
WISHES = ("user", "password", "database", "tls", "socket", "compress", "infile", "multi", "read_timeout", "autocommit")


@dataclass(frozen=True)
class Done:
    """What a statement without rows came to."""

    affected: int
    last_id: int


class Connection:
    """One connection of a driver, whether its calls block or are awaited."""

    raw: Any

    async def rows(self, sql: str, arguments: Sequence[Any] = ()) -> list[Row]:
        """All rows of a statement, by an ordinary cursor."""
        raise NotImplementedError

    async def run(self, sql: str, arguments: Sequence[Any] = ()) -> Done:
        """A statement without rows."""
        raise NotImplementedError

    async def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """The driver's executemany; the affected rows."""
        raise NotImplementedError

    async def stream(self, sql: str) -> tuple[int, int]:
        """The rows one by one, by the driver's unbuffered cursor: their number, and the sum of the first column."""
        raise NotImplementedError

    async def results(self, sql: str) -> list[list[Row]]:
        """All results of several statements in one."""
        raise NotImplementedError

    async def call(self, procedure: str, arguments: Sequence[Any]) -> tuple[list[list[Row]], Any]:
        """The results of a procedure, and the value of its last parameter."""
        raise NotImplementedError

    async def begin(self) -> None:
        """The driver's own way to begin a transaction."""
        raise NotImplementedError

    async def commit(self) -> None:
        """The driver's commit."""
        raise NotImplementedError

    async def rollback(self) -> None:
        """The driver's rollback."""
        raise NotImplementedError

    async def autocommit(self, on: bool) -> None:
        """Turn autocommit on or off, by the driver's means."""
        raise NotImplementedError

    async def ping(self) -> None:
        """Fails on a connection that is gone."""
        raise NotImplementedError

    async def reset(self) -> None:
        """The driver's reset of a session."""
        raise Skip("the driver has no reset")

    async def close(self) -> None:
        """Say good-bye."""
        raise NotImplementedError


class Pool:
    """A driver's pool of at most 5 connections."""

    async def take(self) -> Connection:
        """A connection; waits where all are taken."""
        raise NotImplementedError

    async def give(self, connection: Connection) -> None:
        """Give it back."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close what it holds."""


class Driver:
    """One driver."""

    # Its exceptions for the errors that the checks provoke, by number.
    exceptions: Mapping[int, type[Exception]]
    # Its base of all errors.
    error: type[Exception] | tuple[type[Exception], ...]
    # UPDATE counts rows that it found, not rows that it changed.
    counts_found_rows = False
    # What this driver gets wrong on any server: columns of the type table and parts of checks, to the reason.
    quirks: ClassVar[Mapping[str, str]] = {}
    # Columns of the type table that it gets wrong by prepared statements, likewise.
    unpreparable: ClassVar[Mapping[str, str]] = {}
    # Whole checks, likewise.
    faults: ClassVar[Mapping[str, str]] = {}

    def options(self, wishes: Mapping[str, Any]) -> dict[str, Any]:
        """The driver's words for what a check wants; raises Skip for what it does not have."""
        raise NotImplementedError

    async def open(self, options: dict[str, Any]) -> Connection:
        """A connection by the driver's own options."""
        raise NotImplementedError

    async def connect(self, **wishes: Any) -> Connection:
        """A connection; `wishes` are among WISHES."""
        unknown = set(wishes) - set(WISHES)
        assert not unknown, unknown
        defaults = {"user": SETTINGS.user, "password": SETTINGS.password, "database": SETTINGS.database, "autocommit": True}
        return await self.open(self.options(defaults | wishes))

    async def pool(self) -> Pool:
        """A pool of at most 5 connections, in autocommit."""
        raise Skip("the driver has no pool")

    async def prepare(self, connection: Connection, sql: str) -> "Prepared":
        """A statement by the binary protocol."""
        raise Skip("the driver has no prepared statements of the server's")

    def code(self, error: Exception) -> int:
        """The server's number of an error."""
        return int(error.args[0]) if error.args and isinstance(error.args[0], int) else 0

    def expected(self, column: str, value: Any) -> Any:
        """How the driver gives a value of the type table."""
        return value

    def has_compression(self, connection: Connection) -> bool:
        """Whether both sides have agreed on it."""
        raise NotImplementedError


class Prepared:
    """A prepared statement of the server's."""

    async def rows(self, arguments: Sequence[Any]) -> list[Row]:
        """Execute it; its rows."""
        raise NotImplementedError

    async def run(self, arguments: Sequence[Any]) -> Done:
        """Execute it; what it came to."""
        raise NotImplementedError

    async def close(self) -> None:
        """Forget it."""
        raise NotImplementedError
