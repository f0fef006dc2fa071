"""MySQL Connector/Python, by its first argument `pure`, in Python, or `c`, with its extension."""

try:
    # It brings a newer OpenSSL than the system's, and has to be there before asyncio loads that one.
    import _mysql_connector
except ImportError:
    _mysql_connector = None

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, ClassVar

import mysql.connector
from blocking import BlockingConnection
from compat import SETTINGS, run
from driver import Connection, Done, Driver, Pool, Prepared, Row
from driver_checks import DriverChecks
from mysql.connector import errors
from mysql.connector.constants import ClientFlag
from mysql.connector.pooling import MySQLConnectionPool


class ConnectorConnection(BlockingConnection):
    """Where it differs from PEP 249's common extensions."""

    def _unbuffered(self) -> Any:
        return self.raw.cursor(buffered=False)

    def _begin(self) -> None:
        self.raw.start_transaction()

    def _autocommit(self, on: bool) -> None:
        self.raw.autocommit = on

    def _ping(self) -> None:
        self.raw.ping(reconnect=False)

    async def call(self, procedure: str, arguments: Sequence[Any]) -> tuple[list[list[Row]], Any]:
        def work() -> tuple[list[list[Row]], Any]:
            with closing(self.raw.cursor()) as cursor:
                after = cursor.callproc(procedure, tuple(arguments))
                return [[tuple(row) for row in result.fetchall()] for result in cursor.stored_results()], after[-1]

        return await asyncio.to_thread(work)

    async def reset(self) -> None:
        await asyncio.to_thread(self.raw.cmd_reset_connection)


class ConnectorPool(Pool):
    """It refuses where others wait, so the wait is here."""

    def __init__(self, raw: MySQLConnectionPool, size: int) -> None:
        self._raw = raw
        self._free = asyncio.Semaphore(size)

    async def take(self) -> Connection:
        await self._free.acquire()
        try:
            return ConnectorConnection(await asyncio.to_thread(self._raw.get_connection))
        except BaseException:
            self._free.release()
            raise

    async def give(self, connection: Connection) -> None:
        try:
            await connection.close()
        finally:
            self._free.release()


class ConnectorPrepared(Prepared):
    """A cursor with `prepared=True`: it prepares what it first executes."""

    def __init__(self, raw: Any, sql: str) -> None:
        self._cursor = raw.cursor(prepared=True)
        self._sql = sql

    async def rows(self, arguments: Sequence[Any]) -> list[Row]:
        def work() -> list[Row]:
            self._cursor.execute(self._sql, tuple(arguments))
            return [tuple(bytes(value) if isinstance(value, bytearray) else value for value in row) for row in self._cursor.fetchall()]

        return await asyncio.to_thread(work)

    async def run(self, arguments: Sequence[Any]) -> Done:
        def work() -> Done:
            self._cursor.execute(self._sql, tuple(arguments))
            return Done(self._cursor.rowcount, self._cursor.lastrowid or 0)

        return await asyncio.to_thread(work)

    async def close(self) -> None:
        await asyncio.to_thread(self._cursor.close)


# From any server, by version 26.10.
_UNPREPARABLE_PURE = {
    "c_year": "taken for text",
    "c_time": "a negative time without microseconds has its sign at the wrong part",
    "c_bit": "bytes, where text statements give a number",
    "c_set": "text, where text statements give a set",
    "c_json": "bytes from MySQL, where text statements give text",
}
_UNPREPARABLE_C = {
    "c_bigint_unsigned": "refused",
    "c_double": "taken for a FLOAT",
    "c_time": "zero, whatever it is",
    "c_varchar": "ends at a zero byte",
    "c_text": "ends at a zero byte",
    "c_bit": "ends the program",
    "c_json": "bytes from MySQL, where text statements give text",
}


class Connector(Driver):
    """Either form with an application's options."""

    # The extension's own gets through where the second of several statements fails.
    error = (errors.Error, _mysql_connector.MySQLInterfaceError) if _mysql_connector else errors.Error
    # By SQLSTATE, and not by number.
    exceptions: ClassVar[Mapping[int, type[Exception]]] = {
        1062: errors.IntegrityError,
        1146: errors.ProgrammingError,
        1064: errors.ProgrammingError,
        1054: errors.ProgrammingError,
        1045: errors.ProgrammingError,
        1049: errors.ProgrammingError,
    }

    def __init__(self, *, pure: bool) -> None:
        self._pure = pure
        self.unpreparable = _UNPREPARABLE_PURE if pure else _UNPREPARABLE_C

    def options(self, wishes: Mapping[str, Any]) -> dict[str, Any]:
        options = {name: wishes[name] for name in ("user", "password", "database", "autocommit")}
        options |= {"charset": "utf8mb4", "use_pure": self._pure}
        options |= {"unix_socket": SETTINGS.socket} if wishes.get("socket") else {"host": SETTINGS.host, "port": SETTINGS.port}
        if wishes.get("tls"):
            options |= {"ssl_ca": SETTINGS.ca, "ssl_verify_cert": True, "ssl_verify_identity": True}
        elif self._pure and not wishes.get("socket") and wishes["user"] != SETTINGS.sha2_user:
            # Neither form can log in by caching_sha2_password without TLS; both are left to find out that there is TLS.
            options["ssl_disabled"] = True
        if wishes.get("infile"):
            options["allow_local_infile"] = True
        if wishes.get("compress"):
            options["compress"] = True
        if wishes.get("read_timeout"):
            options["read_timeout"] = wishes["read_timeout"]
        return options

    async def open(self, options: dict[str, Any]) -> Connection:
        return ConnectorConnection(await asyncio.to_thread(lambda: mysql.connector.connect(**options)))

    async def pool(self) -> Pool:
        options = self.options({"user": SETTINGS.user, "password": SETTINGS.password, "database": SETTINGS.database, "autocommit": True})
        raw = await asyncio.to_thread(lambda: MySQLConnectionPool(pool_name="compat", pool_size=5, **options))
        return ConnectorPool(raw, 5)

    async def prepare(self, connection: Connection, sql: str) -> Prepared:
        return ConnectorPrepared(connection.raw, sql)

    def code(self, error: Exception) -> int:
        return int(getattr(error, "errno", 0) or 0)

    def expected(self, column: str, value: Any) -> Any:
        return {*value.split(",")} - {""} if column == "c_set" and value is not None else value

    def has_compression(self, connection: Connection) -> bool:
        handshake = connection.raw._handshake
        return bool(handshake["capabilities"] & ClientFlag.COMPRESS and connection.raw._client_flags & ClientFlag.COMPRESS)


class ConnectorChecks(DriverChecks):
    """Each form says in its own way whether it is encrypted."""

    def is_encrypted(self, connection: Connection) -> bool:
        extension = getattr(connection.raw, "_cmysql", None)
        return bool(extension.get_ssl_cipher() if extension else connection.raw.is_secure)


if __name__ == "__main__":
    form = sys.argv[1]
    if form == "c" and _mysql_connector is None:
        raise SystemExit("the extension is not there")
    run(ConnectorChecks(Connector(pure=form == "pure")))
