"""mysqlclient, which is MariaDB's library in C."""

from collections.abc import Mapping
from typing import Any, ClassVar

import MySQLdb
from blocking import BlockingConnection
from compat import SETTINGS, run
from driver import Connection, Driver
from driver_checks import DriverChecks
from MySQLdb.constants import CLIENT
from MySQLdb.cursors import SSCursor


class MysqlclientConnection(BlockingConnection):
    """Its unbuffered cursor is a class of its own."""

    def _unbuffered(self) -> Any:
        return self.raw.cursor(SSCursor)

    def _ping(self) -> None:
        self.raw.ping()


class MysqlclientChecks(DriverChecks):
    """It does not say whether it is encrypted; the server does."""

    def is_encrypted(self, connection: Connection) -> bool:
        return bool(connection.raw.server_capabilities & CLIENT.SSL)


class Mysqlclient(Driver):
    """mysqlclient with an application's options."""

    error = MySQLdb.MySQLError
    exceptions: ClassVar[Mapping[int, type[Exception]]] = {
        1062: MySQLdb.IntegrityError,
        1146: MySQLdb.ProgrammingError,
        1064: MySQLdb.ProgrammingError,
        1054: MySQLdb.OperationalError,
        1045: MySQLdb.OperationalError,
        1049: MySQLdb.OperationalError,
    }

    def options(self, wishes: Mapping[str, Any]) -> dict[str, Any]:
        options = {name: wishes[name] for name in ("user", "password", "database", "autocommit")} | {"charset": "utf8mb4"}
        options |= {"unix_socket": SETTINGS.socket} if wishes.get("socket") else {"host": SETTINGS.host, "port": SETTINGS.port}
        if wishes.get("tls"):
            options |= {"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": SETTINGS.ca}}
        if wishes.get("infile"):
            options["local_infile"] = 1
        if wishes.get("compress"):
            options["compress"] = True
        if wishes.get("read_timeout"):
            options["read_timeout"] = wishes["read_timeout"]
        return options

    async def open(self, options: dict[str, Any]) -> Connection:
        return MysqlclientConnection(MySQLdb.connect(**options))

    def expected(self, column: str, value: Any) -> Any:
        return value.to_bytes(8, "big") if column == "c_bit" and value is not None else value

    def has_compression(self, connection: Connection) -> bool:
        return bool(connection.raw.server_capabilities & connection.raw.client_flag & CLIENT.COMPRESS)


if __name__ == "__main__":
    run(MysqlclientChecks(Mysqlclient()))
