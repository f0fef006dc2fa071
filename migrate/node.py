"""One server as a mover sees it: a session that copies bytes, the `_sp_` tables, the fence and its guards, and markers.

The fence is a row per move in `_sp_fence`. Guards are triggers on the moved tables, there only while a move runs: a write to a row of
the share reads the fence with a shared lock, so that closing the fence waits for all writers that have begun, and later ones are
refused, whoever they are and however they came. The mover's own session passes by setting `@_sp_mover`.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Final

from migrate.errors import MoveBlocked, Replaced
from migrate.tables import MovedTable, guarded_sql, read_rows, read_texts
from shardproxy.backends.engine import DEFAULT_KIND, Connection
from shardproxy.backends.mysql_engine import MySQLEngine
from shardproxy.errors import ProxyError, ServerError
from shardproxy.topology.share import Share

FENCE: Final = "_sp_fence"
MARKER: Final = "_sp_marker"
OUTBOX: Final = "_sp_outbox"
_FENCE_TABLE: Final = (
    f"CREATE TABLE IF NOT EXISTS `{FENCE}` (move BIGINT PRIMARY KEY, grp VARCHAR(190) NOT NULL, side VARCHAR(10) NOT NULL,"
    " state VARCHAR(10) NOT NULL, epoch BIGINT NOT NULL, token BIGINT NOT NULL) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4"
)
_MARKER_TABLE: Final = f"CREATE TABLE IF NOT EXISTS `{MARKER}` (id INT PRIMARY KEY, mark BIGINT NOT NULL) ENGINE = InnoDB"
_OUTBOX_TABLE: Final = (
    f"CREATE TABLE IF NOT EXISTS `{OUTBOX}` (id BIGINT AUTO_INCREMENT PRIMARY KEY, move BIGINT NOT NULL, tbl VARCHAR(64) NOT NULL,"
    " k LONGTEXT NOT NULL, KEY (move)) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
)
# The guards' message begins like a proxy's, which tells it to clients as an error that may be tried again.
GUARD_MESSAGE: Final = "SP1412: the rows are being moved to another shard; try again"
# A mover that is stopped in a transaction must not keep its locks for long: the server ends its session.
_SESSION: Final = (
    "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', foreign_key_checks = 0, unique_checks = 1,"
    " innodb_lock_wait_timeout = 5, lock_wait_timeout = 1, wait_timeout = {idle}, @_sp_mover = {token},"
    " transaction_isolation = 'READ-COMMITTED'"
)
_IDLE_S: Final = 15
NO_TABLE_ERRNO: Final = 1146
LOCK_ERRNOS: Final = frozenset((1205, 1213))


class Node:
    """A server of a shard. `session` gives connections set up for moving rows; the caller closes them by leaving the context."""

    def __init__(self, shard: str, engine: MySQLEngine, token: int) -> None:
        self.shard = shard
        self.engine = engine
        self.token = token

    async def connect(self, *, idle_s: int = _IDLE_S) -> Connection:
        """A session of the mover; raises `ProxyError` or `ServerError`."""
        connection = await self.engine.connect(DEFAULT_KIND)
        text = _SESSION.format(idle=idle_s, token=self.token)
        try:
            await connection.query(text.replace("transaction_isolation", "tx_isolation").encode())
        except ServerError as error:
            if error.errno != 1193:
                connection.abort()
                raise
            await connection.query(text.encode())
        return connection

    async def reopened(self, connection: Connection | None) -> Connection:
        """The session, or another one where the server has ended it, as it does with one that is idle for long."""
        return await self.connect() if connection is None or connection.closed else connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """A session for a few statements."""
        connection = await self.connect()
        try:
            yield connection
        finally:
            connection.abort()

    async def flavour(self) -> str:
        """`mariadb` or `mysql`, and the version."""
        async with self.session() as session:
            return (await read_texts(session, "SELECT VERSION()"))[0][0]

    async def set_up(self) -> None:
        """Make the `_sp_` tables where they are missing."""
        async with self.session() as session:
            for statement in (_FENCE_TABLE, _MARKER_TABLE, _OUTBOX_TABLE):
                await session.query(statement.encode())
            await session.query(f"INSERT IGNORE INTO `{MARKER}` VALUES (1, 0)".encode())

    # -- fence --------------------------------------------------------------------------------------------------------

    async def claim(self, move: int, group: str, side: str, state: str) -> str:
        """Write this mover's token into a move's fence, which is made in `state` where it is missing; gives the fence's state.

        Raises `Replaced` where a newer mover has been here. Waits for what an older one has under way.
        """
        async with self.session() as session:
            await session.query(
                f"INSERT IGNORE INTO `{FENCE}` VALUES ({move}, '{_text(group)}', '{side}', '{state}', 0, {self.token})".encode()
            )
            await session.query(f"UPDATE `{FENCE}` SET token = {self.token} WHERE move = {move} AND token <= {self.token}".encode())
            found = await read_texts(session, f"SELECT state, token FROM `{FENCE}` WHERE move = {move}")
            if int(found[0][1]) != self.token:
                raise Replaced(f"mover {found[0][1]} acts on {self.shard}")
            return found[0][0]

    async def set_fence(self, move: int, state: str, epoch: int, *, lock_wait_s: int = 1) -> None:
        """Open or close the fence. Closing waits for writers under way; raises `MoveBlocked` where they take too long."""
        async with self.session() as session:
            await session.query(b"SET SESSION innodb_lock_wait_timeout = %d" % lock_wait_s)
            try:
                await session.query(
                    f"UPDATE `{FENCE}` SET state = '{state}', epoch = {epoch} WHERE move = {move} AND token = {self.token}".encode()
                )
            except ServerError as error:
                if error.errno in LOCK_ERRNOS:
                    raise MoveBlocked(f"writers on {self.shard} hold the fence: {await self._blockers(session)}") from error
                raise
            found = await read_texts(session, f"SELECT state, token FROM `{FENCE}` WHERE move = {move}")
            if not found or int(found[0][1]) != self.token or found[0][0] != state:
                raise Replaced(f"another mover acts on {self.shard}")

    async def _blockers(self, session: Connection) -> str:
        """The oldest transactions, which are most likely in the way."""
        with contextlib.suppress(ServerError, ProxyError):
            rows = await read_texts(
                session,
                "SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) FROM information_schema.INNODB_TRX"
                " WHERE trx_mysql_thread_id <> CONNECTION_ID() ORDER BY trx_started LIMIT 3",
            )
            return ", ".join(f"connection {thread} in a transaction for {age} s" for thread, age in rows) or "none is left"
        return "no right to see them"

    async def has_fence(self, move: int) -> bool:
        """Whether there is a fence of this number."""
        async with self.session() as session:
            try:
                return bool(await read_texts(session, f"SELECT move FROM `{FENCE}` WHERE move = {move}"))
            except ServerError as error:
                if error.errno == NO_TABLE_ERRNO:
                    return False
                raise

    # -- guards -------------------------------------------------------------------------------------------------------

    async def make_guards(self, move: int, tables: Sequence[MovedTable], share: Share, *, outbox: bool = False) -> None:
        """Make the triggers that are missing; with `outbox` also those that write down which rows have changed.

        Raises `MoveBlocked` where a table stays locked, and `Replaced`.
        """
        async with self.session() as session:
            known = await self._guards(session, move)
            for table in tables:
                for event, rows in (("INSERT", ("NEW",)), ("UPDATE", ("OLD", "NEW")), ("DELETE", ("OLD",))):
                    name = _guard_name(move, event[0], table.name)
                    wanted = {name: _guard_sql(name, move, event, table, share, rows)}
                    if outbox:
                        name = _guard_name(move, "o" + event[0], table.name)
                        wanted[name] = _outbox_sql(name, move, event, table, share, rows)
                    for name, statement in wanted.items():
                        if name not in known:
                            await self._check_token(session, move)
                            await self._define(session, statement, table.name)

    async def _define(self, session: Connection, statement: str, table: str) -> None:
        try:
            await session.query(statement.encode())
        except ServerError as error:
            if error.errno in LOCK_ERRNOS:
                raise MoveBlocked(f"table {table} on {self.shard} is in use: {await self._blockers(session)}") from error
            raise

    async def _check_token(self, session: Connection, move: int) -> None:
        found = await read_texts(session, f"SELECT token FROM `{FENCE}` WHERE move = {move}")
        if not found or int(found[0][0]) != self.token:
            raise Replaced(f"another mover acts on {self.shard}")

    async def _guards(self, session: Connection, move: int | None = None) -> dict[str, str]:
        pattern = "\\_sp\\_" + (f"{move}\\_%" if move is not None else "%")
        rows = await read_texts(
            session,
            "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
            f" AND TRIGGER_NAME LIKE '{pattern}'",
        )
        return {row[0]: row[1] for row in rows}

    async def sweep_guards(self, active: Collection[int]) -> None:
        """Drop the triggers of moves that are over: a mover that had been stopped may have made some after its move was taken over."""
        async with self.session() as session:
            for name, table in (await self._guards(session)).items():
                number = name.split("_")[2]
                if not number.isdigit() or int(number) not in active:
                    await self._define(session, f"DROP TRIGGER IF EXISTS `{name}`", table)

    async def drop_guards(self, move: int) -> None:
        """Drop a move's triggers. Raises `MoveBlocked` where a table stays locked."""
        async with self.session() as session:
            for name, table in (await self._guards(session, move)).items():
                await self._define(session, f"DROP TRIGGER IF EXISTS `{name}`", table)

    async def empty_outbox(self, move: int) -> None:
        """Forget what was written down for a move."""
        async with self.session() as session:
            await session.query(f"DELETE FROM `{OUTBOX}` WHERE move = {move}".encode())

    # -- positions ----------------------------------------------------------------------------------------------------

    async def mark(self, session: Connection) -> None:
        """A write of no meaning. When it returns, all that stands before it in the binary log can be read: commits become visible in
        the order in which they are logged."""
        await session.query(f"UPDATE `{MARKER}` SET mark = mark + 1 WHERE id = 1".encode())

    async def prepared(self) -> set[str]:
        """The XA transactions that are prepared: their locks on the fence may be gone, and their rows will come all the same."""
        async with self.session() as session:
            rows = await read_rows(session, "XA RECOVER")
            return {"/".join(repr(value) for value in row) for row in rows}


def _text(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _guard_name(move: int, kind: str, table: str) -> str:
    name = f"_sp_{move}_{kind.lower()}_{table}"
    # A name has 64 characters at most.
    return name if len(name) <= 60 else name[:50] + "_" + hashlib.sha256(table.encode()).hexdigest()[:9]


def _guard_sql(name: str, move: int, event: str, table: MovedTable, share: Share, rows: Sequence[str]) -> str:
    """Closed to writers as long as the fence's row is not open; the shared lock on it makes whoever closes it wait for them."""
    action = (
        f"SELECT state INTO _sp_state FROM `{FENCE}` WHERE move = {move} LOCK IN SHARE MODE;"
        f" IF _sp_state <> 'open' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{GUARD_MESSAGE}'; END IF;"
    )
    body = "\n".join(guarded_sql(table, share, row, action) for row in rows)
    return _trigger(name, f"BEFORE {event}", table, f"DECLARE _sp_state VARCHAR(10) DEFAULT ''; DECLARE _sp_bucket INT;\n{body}")


def _outbox_sql(name: str, move: int, event: str, table: MovedTable, share: Share, rows: Sequence[str]) -> str:
    """Behind the change, as only then numbers that the server chooses are known. Keys are written as SQL literals, in hexadecimal."""
    body = "\n".join(
        guarded_sql(
            table,
            share,
            row,
            f"INSERT INTO `{OUTBOX}` (move, tbl, k) VALUES ({move}, '{_text(table.name)}', CONCAT_WS(',', {table.key_hex_sql(row)}));",
        )
        for row in rows
    )
    return _trigger(name, f"AFTER {event}", table, f"DECLARE _sp_bucket INT;\n{body}")


def _trigger(name: str, when: str, table: MovedTable, body: str) -> str:
    """Nothing but the question who writes for the mover's own rows: even variables would be made for each of them."""
    return f"CREATE TRIGGER `{name}` {when} ON {table.sql} FOR EACH ROW BEGIN IF @_sp_mover IS NULL THEN BEGIN {body}\nEND; END IF; END"
