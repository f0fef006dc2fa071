"""Logging in, errors, and what is agreed on at the beginning: the checks of drivers."""

from compat import SETTINGS, Skip, same
from driver import Connection, Driver


class LoginChecks:
    """Needs a driver; see `driver_checks`."""

    driver: Driver

    async def check_connect(self) -> None:
        connection = await self.driver.connect()
        same(await connection.rows("SELECT 1"), [(1,)], "SELECT 1")
        same(await connection.rows("SELECT DATABASE()"), [(SETTINGS.database,)], "the database")
        await connection.ping()
        await connection.close()

    async def check_connect_sha2(self) -> None:
        if not SETTINGS.sha2_user:
            raise Skip("there is no such user")
        user = {"user": SETTINGS.sha2_user, "password": SETTINGS.sha2_password}
        # In clear first: the second login of a user is the short one.
        for wishes in ({}, {"tls": True}, {}):
            if wishes and not SETTINGS.ca:
                continue
            connection = await self.driver.connect(**user, **wishes)
            same((await connection.rows("SELECT CURRENT_USER()"))[0][0].partition("@")[0], SETTINGS.sha2_user, "the user")
            await connection.close()
        await self._refused(1045, user=SETTINGS.sha2_user, password="wrong")

    async def check_connect_tls(self) -> None:
        if not SETTINGS.ca:
            raise Skip("the server has no TLS")
        connection = await self.driver.connect(tls=True)
        same(await connection.rows("SELECT 'over TLS'"), [("over TLS",)], "a row")
        same(self.is_encrypted(connection), True, "encryption")
        big = "x" * 100_000  # several records of TLS in each direction
        same(await connection.rows("SELECT %s", (big,)), [(big,)], "a long text")
        await connection.close()

    async def check_connect_socket(self) -> None:
        if not SETTINGS.socket:
            raise Skip("there is no socket")
        connection = await self.driver.connect(socket=True)
        same(await connection.rows("SELECT 1"), [(1,)], "SELECT 1")
        await connection.close()

    async def check_compress(self) -> None:
        connection = await self.driver.connect(compress=True)
        same(self.driver.has_compression(connection), True, "compression")
        for text in ("short", "long " * 200_000):
            same(await connection.rows("SELECT %s", (text,)), [(text,)], "a text")
        await connection.close()

    async def check_errors(self) -> None:
        table = SETTINGS.table("errors")
        connection = await self.driver.connect()
        await connection.run(f"DROP TABLE IF EXISTS {table}")
        await connection.run(f"CREATE TABLE {table} (id INT NOT NULL PRIMARY KEY)")
        await connection.run(f"INSERT INTO {table} VALUES (1)")
        for code, statement in (
            (1062, f"INSERT INTO {table} VALUES (1)"),
            (1146, f"SELECT * FROM {table}_that_is_not_there"),
            (1054, f"SELECT no_such_column FROM {table}"),
            (1064, "SELECT 1 FROM WHERE"),
        ):
            await self._fails(connection, code, statement)
            same(await connection.rows(f"SELECT id FROM {table}"), [(1,)], f"the connection after {code}")
        await self._refused(1045, password="wrong")
        await self._refused(1049, database="no_such_schema")
        await self._fails(connection, 1064, "SELEKT 1")
        await connection.close()

    async def _fails(self, connection: Connection, code: int, statement: str) -> None:
        try:
            await connection.rows(statement)
        except self.driver.error as error:
            self._is(error, code)
        else:
            raise AssertionError(f"no error {code}")

    async def _refused(self, code: int, **wishes: str) -> None:
        try:
            connection = await self.driver.connect(**wishes)
        except self.driver.error as error:
            self._is(error, code)
        else:
            await connection.close()
            raise AssertionError(f"let in where {code} was expected")

    def _is(self, error: Exception, code: int) -> None:
        same(self.driver.code(error), code, f"the number of {error}")
        expected = self.driver.exceptions[code]
        if not isinstance(error, expected):
            raise AssertionError(f"{code} is a {type(error).__name__} in place of a {expected.__name__}")

    def is_encrypted(self, connection: Connection) -> bool:
        """What the driver says of its connection."""
        return bool(connection.raw._secure)
