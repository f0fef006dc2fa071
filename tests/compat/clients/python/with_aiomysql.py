"""aiomysql."""

from collections.abc import Sequence
from typing import Any

import aiomysql
import pymysql.err
from awaited import AwaitedConnection, AwaitedDriver
from compat import run
from driver_checks import DriverChecks


class AiomysqlConnection(AwaitedConnection):
    """aiomysql 0.3 escapes bytes by a function that PyMySQL 1.2 no longer has."""

    def sendable(self, sql: str, arguments: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        marks = ["UNHEX(%s)" if isinstance(argument, bytes) else "%s" for argument in arguments]
        sql = sql % tuple(marks) if arguments else sql
        return sql, [argument.hex() if isinstance(argument, bytes) else argument for argument in arguments]


class Aiomysql(AwaitedDriver):
    """aiomysql with an application's options."""

    connection = AiomysqlConnection


if __name__ == "__main__":
    run(DriverChecks(Aiomysql(aiomysql, pymysql.err, aiomysql)))
