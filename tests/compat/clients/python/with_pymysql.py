"""PyMySQL."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pymysql
from blocking import BlockingConnection
from compat import SETTINGS, Skip, run
from driver import Connection, Driver
from driver_checks import DriverChecks
from pymysql import err
from pymysql.constants import CLIENT
from pymysql.cursors import SSCursor


class PyMySQLConnection(BlockingConnection):
    """Its unbuffered cursor is a class of its own."""

    def _unbuffered(self) -> Any:
        return self.raw.cursor(SSCursor)

    def _ping(self) -> None:
        self.raw.ping(reconnect=False)


class PyMySQL(Driver):
    """PyMySQL with an application's options."""

    error = pymysql.MySQLError
    exceptions: ClassVar[Mapping[int, type[Exception]]] = {
        1062: err.IntegrityError,
        1146: err.ProgrammingError,
        1064: err.ProgrammingError,
        1054: err.OperationalError,
        1045: err.OperationalError,
        1049: err.OperationalError,
    }

    def options(self, wishes: Mapping[str, Any]) -> dict[str, Any]:
        options = {name: wishes[name] for name in ("user", "password", "database", "autocommit")} | {"charset": "utf8mb4"}
        options |= {"unix_socket": SETTINGS.socket} if wishes.get("socket") else {"host": SETTINGS.host, "port": SETTINGS.port}
        if wishes.get("tls"):
            options |= {"ssl_ca": SETTINGS.ca, "ssl_verify_cert": True, "ssl_verify_identity": True}
        if wishes.get("infile"):
            options["local_infile"] = True
        if wishes.get("multi"):
            options["client_flag"] = CLIENT.MULTI_STATEMENTS
        if wishes.get("read_timeout"):
            options["read_timeout"] = wishes["read_timeout"]
        if wishes.get("compress"):
            raise Skip("the driver does not compress")
        return options

    async def open(self, options: dict[str, Any]) -> Connection:
        return PyMySQLConnection(pymysql.connect(**options))

    def expected(self, column: str, value: Any) -> Any:
        return value.to_bytes(8, "big") if column == "c_bit" and value is not None else value


if __name__ == "__main__":
    run(DriverChecks(PyMySQL()))
