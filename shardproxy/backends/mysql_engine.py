"""Connecting to a MySQL or MariaDB server, and asking it about its schema."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

import aiomysql
import pymysql.err
from pymysql.constants import CLIENT

from shardproxy.backends.engine import ANY_SCHEMA, DEFAULT_KIND, Connection, ConnectionKind, ServerSettings, ShardSchema
from shardproxy.backends.mysql import MySQLConnection
from shardproxy.config.model import ServerUrl
from shardproxy.errors import BACKEND_LOST, BACKEND_PROTOCOL, NO_BACKEND, ProxyError, ServerError
from shardproxy.protocol.flags import Capability
from shardproxy.protocol.resultset import parse_row

log = logging.getLogger(__name__)

# What is read of a server's schema. The order of the columns is that of `catalog_builder`.
_COLUMNS: Final = """
SELECT c.TABLE_NAME, c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, c.IS_NULLABLE, c.CHARACTER_SET_NAME, c.COLLATION_NAME,
       c.CHARACTER_MAXIMUM_LENGTH, c.NUMERIC_SCALE, c.DATETIME_PRECISION, c.EXTRA, c.COLUMN_DEFAULT, c.GENERATION_EXPRESSION
FROM information_schema.COLUMNS c JOIN information_schema.TABLES t
  ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
WHERE c.TABLE_SCHEMA = DATABASE() AND t.TABLE_SCHEMA = DATABASE()
  AND t.TABLE_TYPE IN ('BASE TABLE', 'VIEW') AND LEFT(c.TABLE_NAME, 4) <> '_sp_'
ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION"""
_UNIQUE_KEYS: Final = """
SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"""
_VIEWS: Final = "SELECT TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()"
_ROUTINES: Final = "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = 'FUNCTION'"

# What COLLATE in a statement names most often, besides what columns use.
_COMMON_COLLATIONS: Final = ("utf8mb4_bin", "utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_0900_ai_ci", "utf8mb4_0900_bin")
UNKNOWN_COLLATION: Final = b"?"
_KILL_POLL_S: Final = 0.02
UNKNOWN_DATABASE_ERRNO: Final = 1049
# Neither kind of server tells of positions by default.
_TRACK_MARIADB: Final = b"SET SESSION session_track_system_variables = 'last_gtid'"
_TRACK_MYSQL: Final = b"SET SESSION session_track_gtids = OWN_GTID"


class MySQLEngine:
    """One MySQL or MariaDB server; see `engine.Engine`."""

    relays = True

    def __init__(self, shard: str, url: ServerUrl, settings: ServerSettings) -> None:
        self.shard = shard
        self.label = url.label
        self.address = f"{url.host}:{url.port}"
        self.schema = url.schema_name
        self._url = url
        self.settings = settings
        # The weight of a space by collation. It never changes, so it is asked once.
        self._weights: dict[str, bytes | None] = {"binary": b""}
        self._kills: set[asyncio.Task[None]] = set()
        self._had_schema = False
        # Whether servers are to tell of the position of each write.
        self.tracks = False

    async def connect(self, kind: ConnectionKind) -> MySQLConnection:
        """A new connection, logged in and set up; raises `ProxyError` (SP1401) where there is none to be had in time."""
        try:
            async with asyncio.timeout(self.settings.connect_timeout_s):
                connection = await self._connect(kind)
                await connection.disable_multi_statements()
                if connection.tracking:
                    await connection.query(connection.tracking)
                await self._set_kind(connection, kind)
                return connection
        except TimeoutError:
            reason = "no answer in time"
        except (OSError, pymysql.err.Error, asyncio.IncompleteReadError) as error:
            reason = str(error.args[1] if len(error.args) > 1 else error)
        except ServerError as error:
            reason = error.message
        except ProxyError as error:
            if error.spec is not BACKEND_LOST:
                raise
            reason = "the connection was lost at once"
        raise ProxyError(NO_BACKEND, f"shard {self.shard} ({self.label}) cannot be reached: {reason}")

    async def connect_as(self, account: tuple[str, str]) -> MySQLConnection:
        """A new connection of another account (user and password), without a schema."""
        url = self._url.model_copy(update={"user": account[0], "password": account[1]})
        other = MySQLEngine(self.shard, url, self.settings)
        return await other.connect((*DEFAULT_KIND[:3], ANY_SCHEMA, ()))

    async def _connect(self, kind: ConnectionKind) -> MySQLConnection:
        url = self._url
        raw: Any = await aiomysql.connect(
            host=url.host,
            port=url.port,
            user=url.user,
            password=url.password,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=None,
            client_flag=(CLIENT.FOUND_ROWS if kind[0] else 0) | CLIENT.PS_MULTI_RESULTS | (Capability.SESSION_TRACK if self.tracks else 0),
            local_infile=True,
            program_name="shardproxy",
        )
        # From here on the transport is ours; the aiomysql object must neither read nor complain that it was not closed.
        reader, writer = raw._reader, raw._writer
        thread_id, version = raw.server_thread_id[0], str(raw.get_server_info())
        raw._reader = raw._writer = None
        if reader._buffer:
            writer.transport.abort()
            raise ProxyError(BACKEND_PROTOCOL, f"shard {self.shard} sent something unasked")
        connection = MySQLConnection(self.shard, self.schema, kind, writer.transport, thread_id, self._kill_later, self.settings.statements)
        connection.on_cancel = self._cancel_later
        if self.tracks:
            connection.tracks_variables = "mariadb" in version.lower()
            connection.tracking = _TRACK_MARIADB if connection.tracks_variables else _TRACK_MYSQL
        # What it is set to so far.
        connection.kind = (kind[0], DEFAULT_KIND[1], "", ANY_SCHEMA, ())
        # A StreamWriter that is collected closes its transport.
        connection.keep = writer
        writer.transport.set_protocol(connection)
        writer.transport.resume_reading()
        return connection

    async def _set_kind(self, connection: MySQLConnection, kind: ConnectionKind) -> None:
        """A client's handshake may name a collation that only other servers know; those take the character set's default then.

        The schema may have been dropped by a client; what needs it will be told so. One that was never there is a fault of the config.
        """
        try:
            await connection.set_kind(kind)
        except ServerError as error:
            if error.errno == UNKNOWN_DATABASE_ERRNO and self._had_schema:
                return
            if error.errno == UNKNOWN_DATABASE_ERRNO:
                raise
            await connection.set_kind((kind[0], kind[1], "", *kind[3:]))
            connection.kind = kind
        self._had_schema = True

    def _kill_later(self, thread_id: int) -> None:
        """Stop what the server is doing for a connection that was given up, through another connection."""
        task = asyncio.get_running_loop().create_task(self._kill(thread_id))
        self._kills.add(task)
        task.add_done_callback(self._kills.discard)

    async def _kill(self, thread_id: int) -> None:
        try:
            connection = await self.connect(DEFAULT_KIND)
            try:
                await connection.query(b"KILL %d" % thread_id)
            finally:
                connection.abort()
        except (ProxyError, ServerError) as error:
            # Gone already, or the server is away: then nothing runs there for us.
            log.debug("kill of %s on %s: %s", thread_id, self.label, error)

    def _cancel_later(self, connection: MySQLConnection) -> None:
        loop = asyncio.get_running_loop()
        connection.killing = loop.create_future()
        task = loop.create_task(self._cancel(connection, connection.generation))
        self._kills.add(task)
        task.add_done_callback(self._kills.discard)

    async def _cancel(self, victim: MySQLConnection, generation: int) -> None:
        """KILL QUERY for one statement; afterwards make sure that no later one is hit."""
        killing = victim.killing
        try:
            side = await self.connect(DEFAULT_KIND)
            try:
                if victim.busy and victim.generation == generation:
                    await side.query(b"KILL QUERY %d" % victim.thread_id)
            finally:
                side.abort()
            while victim.busy and not victim.closed and victim.generation == generation:  # noqa: ASYNC110 - rare, and soon over
                await asyncio.sleep(_KILL_POLL_S)
            if not victim.closed and not victim.busy:
                # A KILL that came too late waits for the next statement: let it be this one.
                with contextlib.suppress(ServerError):
                    await victim.query_at_once(b"DO 0")
        except (ProxyError, ServerError) as error:
            log.debug("kill of a statement of %s on %s: %s", victim.thread_id, self.label, error)
        finally:
            victim.killing = None
            if killing is not None and not killing.done():
                killing.set_result(None)

    async def load_schema(self, connection: Connection) -> ShardSchema:
        """What the shard's schema holds."""
        columns = await self._rows(connection, _COLUMNS)
        unique_keys = await self._rows(connection, _UNIQUE_KEYS)
        views = await self._rows(connection, _VIEWS)
        routines = await self._rows(connection, _ROUTINES)
        [(version, sql_mode)] = await self._rows(connection, "SELECT VERSION(), @@GLOBAL.sql_mode")
        used = {(str(row[5]), str(row[6])) for row in columns if row[5] and row[6]}
        [(connection_collation,)] = await self._rows(connection, "SELECT @@collation_connection")
        used |= {("utf8mb4", name) for name in (*_COMMON_COLLATIONS, connection_collation) if name}
        for charset, collation in sorted(used):
            if collation.lower() not in self._weights:
                self._weights[collation.lower()] = await self._space_weight(connection, charset, collation)
        collations = {name: weight for name, weight in self._weights.items() if weight != UNKNOWN_COLLATION}
        flavour = "mariadb" if "mariadb" in (version or "").lower() else "mysql"
        names = [row[0] or "" for row in routines]
        return ShardSchema(columns, unique_keys, views, names, collations, version or "", flavour, sql_mode or "")

    async def _space_weight(self, connection: Connection, charset: str, collation: str) -> bytes | None:
        """The weight of a space, b"" for a collation that does not pad, None where padding is not done at the end."""

        def text(value: str) -> str:
            return f"CONVERT('{value}' USING {charset}) COLLATE {collation}"

        weights = ", ".join(f"HEX(WEIGHT_STRING({text(value)}))" for value in (" ", "a", "a "))
        try:
            [(space, a, a_space, padded)] = await self._rows(connection, f"SELECT {weights}, {text('a')} = {text('a ')}")
        except ServerError:
            return UNKNOWN_COLLATION
        if padded != "1":
            return b""
        return bytes.fromhex(space or "") if (a or "") + (space or "") == a_space else None

    @staticmethod
    async def _rows(connection: Connection, sql: str) -> list[tuple[str | None, ...]]:
        result = await connection.query(sql.encode())
        width = len(result.columns)
        return [tuple(None if v is None else v.decode("utf-8", "replace") for v in parse_row(row, width)) for row in result.rows]

    async def close(self) -> None:
        """Wait for kills that are under way."""
        for task in list(self._kills):
            task.cancel()
        await asyncio.gather(*self._kills, return_exceptions=True)
