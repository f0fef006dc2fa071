"""A server that many tests share, put back to what it was before each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pymysql

from tests.suites.model import Target

_SYSTEM = {"mysql", "information_schema", "performance_schema", "sys"}


class Cleaner:
    """Drops what tests have left: schemas, accounts, changed global variables. Goes to the server itself."""

    def __init__(self, target: Target, others: Sequence[str] = (), furniture: Sequence[str] = ()) -> None:
        self._server = target.backend
        self._renew = target.renew
        self._schemas = (target.schema, *others)
        self._furniture = furniture
        self._globals = self._variables()
        self._users = self._accounts()
        self._system = self._system_tables()

    def clean(self) -> None:
        """Empty schemas, the accounts and the global variables of the start; another server if its own tables have changed."""
        if self._system_tables() != self._system:
            self._renew()
        with self._server.connect(read_timeout=60) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION lock_wait_timeout = 20")
            cursor.execute("SHOW DATABASES")
            for (name,) in cursor.fetchall():
                if name not in _SYSTEM:
                    cursor.execute(f"DROP DATABASE `{name}`")
            for name in self._schemas:
                cursor.execute(f"CREATE DATABASE `{name}`")
            for statement in self._furniture:
                cursor.execute(statement)
            for user, host in self._accounts() - self._users:
                _drop_account(cursor, user, host)
            self._restore(cursor)

    def _restore(self, cursor: pymysql.cursors.Cursor) -> None:
        for name, value in self._variables().items():
            before = self._globals.get(name, value)
            if before != value:
                # Some are not to be set: counters and the like.
                with suppress(pymysql.err.MySQLError):
                    cursor.execute(f"SET GLOBAL {name} = %s", (int(before) if before.lstrip("-").isdigit() else before,))

    def _variables(self) -> dict[str, str]:
        return dict(self._server.execute("SHOW GLOBAL VARIABLES"))

    def _system_tables(self) -> list[tuple[Any, ...]]:
        columns = "SELECT COUNT(*), SUM(CRC32(CONCAT(table_name, column_name, column_type))) FROM information_schema.columns"
        tables = "SELECT table_name, engine FROM information_schema.tables"
        mysql = "WHERE table_schema = 'mysql'"
        return self._server.execute(f"{columns} {mysql}") + self._server.execute(f"{tables} {mysql} ORDER BY table_name")

    def _accounts(self) -> set[tuple[str, str]]:
        return {(user, host) for user, host in self._server.execute("SELECT user, host FROM mysql.user")}


def _drop_account(cursor: pymysql.cursors.Cursor, user: str, host: str) -> None:
    try:
        cursor.execute("DROP USER %s@%s", (user, host))
    except pymysql.err.MySQLError:
        with suppress(pymysql.err.MySQLError):
            cursor.execute("DROP ROLE %s", (user,))
