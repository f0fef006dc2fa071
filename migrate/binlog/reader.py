"""Reading a server's binary log as a replica does, from a position on, for as long as the server sends it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Final

from migrate.binlog.assembler import Assembler
from migrate.binlog.changes import Transaction
from migrate.binlog.errors import BinlogError, LogGone, MalformedEvent, SourceLost, SourceRefused
from migrate.binlog.layout import WatchedTable
from migrate.binlog.position import FIRST_OFFSET, MAX_OFFSET, Position
from migrate.binlog.source import current_position, preflight
from migrate.binlog.stream import LogStream
from shardproxy.backends.engine import ANY_SCHEMA, DEFAULT_KIND, ServerSettings
from shardproxy.backends.mysql_engine import MySQLEngine
from shardproxy.config.model import ServerUrl
from shardproxy.errors import ProxyError, ServerError
from shardproxy.protocol.framing import encode_packet
from shardproxy.protocol.packets import parse_err
from shardproxy.protocol.wire_types import MalformedPacket

__all__ = ["BinlogReader", "current_position", "preflight"]

_COM_BINLOG_DUMP: Final = 0x12
_OK: Final = 0
_EOF: Final = 0xFE
_ERR: Final = 0xFF
_READ_FAILED: Final = 1236
# The server shuts down, the connection was killed, or it broke.
_GOING_AWAY: Final = frozenset((1053, 1077, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 3169, 4031))
# Texts of that error for which the log may well be there.
_SAME_SERVER_ID: Final = "same server_uuid/server_id"
_TOO_LARGE: Final = "max_allowed_packet"
# How long a server may be silent: so many heartbeats, and so many seconds at least.
_SILENT_HEARTBEATS: Final = 10
_SILENT_S: Final = 10.0
# The event loop gets its turn after so long.
_SLICE_S: Final = 0.01
_CONNECT_TIMEOUT_S: Final = 10.0

# As replicas do it. MariaDB: it may send events as they are in the log; without that, it would rewrite GTIDs and refuse XA transactions.
_SESSION: Final = (
    b"SET @master_heartbeat_period = %(period)d, @source_heartbeat_period = %(period)d, "
    b"@master_binlog_checksum = @@GLOBAL.binlog_checksum, @source_binlog_checksum = @@GLOBAL.binlog_checksum, "
    b"@mariadb_slave_capability = 4, @slave_connect_state = NULL"
)


class BinlogReader:
    """Delivers the watched tables' changes, transaction by transaction.

    `server_id` must be that of no server and of no other reader: a server gives the log to one of those that share an id. What ends the
    reading is raised, and raised again by every further call.
    """

    def __init__(
        self,
        url: ServerUrl,
        schema: str,
        tables: Mapping[str, WatchedTable],
        start: Position,
        *,
        server_id: int,
        heartbeat_s: float = 0.5,
    ) -> None:
        if not 0 < server_id <= 0xFFFFFFFF:
            raise ValueError("a server id is a number from 1 to 4294967295")
        if not 0 <= start.offset <= MAX_OFFSET:
            raise ValueError(f"a dump cannot begin at {start}")
        self._engine = MySQLEngine("source", url, _settings())
        self._start = self._end = start
        self._server_id = server_id
        self._heartbeat_s = heartbeat_s
        self._silence_s = max(_SILENT_S, heartbeat_s * _SILENT_HEARTBEATS)
        self._assembler = Assembler(schema, tables, start)
        self._stream: LogStream | None = None
        self._keep: object = None
        self._error: BinlogError | None = None
        self._closed = False
        self._told_at = 0.0

    @property
    def position(self) -> Position:
        """The end of what was delivered last; before that, the start."""
        return self._end

    @property
    def read_to(self) -> Position:
        """How far the log has been read, whatever waits for its commit or for being delivered."""
        return self._assembler.boundary

    @property
    def unseen_xa(self) -> int:
        """How many XA transactions were resolved that had been prepared before the start, or had changed no watched table."""
        return self._assembler.unseen_xa

    async def start(self) -> None:
        """Connect, and ask for the log; raises what stands in the way, as far as the server says so at once."""
        stream = await self._connect()
        offset = max(self._start.offset, FIRST_OFFSET)
        command = offset.to_bytes(4, "little") + b"\0\0" + self._server_id.to_bytes(4, "little") + self._start.file.encode()
        stream.send(encode_packet(bytes((_COM_BINLOG_DUMP,)) + command, 0))
        self._told_at = monotonic()
        try:
            while not self._step():
                await self._wait()
        except BinlogError as error:
            self._fail(error)
            raise

    async def _connect(self) -> LogStream:
        connection = None
        try:
            connection = await self._engine.connect((*DEFAULT_KIND[:3], ANY_SCHEMA, ()))
            await connection.query(_SESSION % {b"period": int(self._heartbeat_s * 1e9)})
        except (ProxyError, ServerError) as error:
            if connection is not None:
                connection.abort()
            if isinstance(error, ServerError):
                raise SourceRefused(error.errno, error.message) from None
            raise SourceLost(f"the source cannot be reached: {error.detail}") from None
        # From here on the transport is the stream's.
        self._keep = connection
        self._stream = stream = LogStream(connection._transport)
        connection._transport.set_protocol(stream)
        return stream

    async def close(self) -> None:
        """Stop reading; the server notices at its next heartbeat."""
        self._closed = True
        if self._stream is not None:
            self._stream.close()
        await self._engine.close()

    def __aiter__(self) -> BinlogReader:
        return self

    async def __anext__(self) -> Transaction:
        """The next transaction, or an empty one once a heartbeat has gone by without any."""
        ready = self._assembler.ready
        slice_end = monotonic() + _SLICE_S
        while not ready:
            if self._closed:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            try:
                read = self._step()
                if not read and not ready:
                    await self._wait()
            except BinlogError as error:
                self._fail(error)
                continue
            now = monotonic()
            if now - self._told_at >= self._heartbeat_s and not ready:
                ready.append(Transaction((), self._assembler.safe, self._assembler.at))
            if now >= slice_end:
                await asyncio.sleep(0)
                slice_end = monotonic() + _SLICE_S
        self._told_at = monotonic()
        transaction = ready.popleft()
        self._end = transaction.end
        return transaction

    def _step(self) -> bool:
        """Take one more packet; False where none has come."""
        assembler = self._assembler
        if assembler.packed:
            assembler.unpack()
            return True
        stream = self._stream
        assert stream is not None
        try:
            packet = stream.next_packet()
        except ProxyError as error:
            raise MalformedEvent(f"the source sent a packet that cannot be read: {error.detail}") from None
        if packet is None:
            return False
        status = packet[0] if packet else _ERR
        if status == _OK:
            assembler.feed(packet)
        elif status == _ERR:
            raise self._server_error(packet)
        elif status == _EOF:
            raise SourceLost("the source ended the sending of its binary log")
        else:
            raise MalformedEvent(f"the source sent a packet of unknown kind {status}")
        return True

    async def _wait(self) -> None:
        stream = self._stream
        assert stream is not None
        if stream.lost:
            raise SourceLost(f"the connection to the source was lost: {stream.lost}")
        try:
            await stream.wait(self._silence_s)
        except TimeoutError:
            raise SourceLost(f"the source was silent for {self._silence_s:g} s") from None

    def _server_error(self, packet: bytes) -> BinlogError:
        try:
            error = parse_err(packet)
        except MalformedPacket as malformed:
            return MalformedEvent(malformed.detail)
        if _SAME_SERVER_ID in error.message:
            return SourceLost(f"another reader or replica uses server id {self._server_id}: {error.message}")
        if error.errno in _GOING_AWAY:
            return SourceLost(f"the source ended the connection: {error.message} (error {error.errno})")
        if error.errno != _READ_FAILED or _TOO_LARGE in error.message:
            return SourceRefused(error.errno, error.message)
        return LogGone(self._assembler.safe.encode(), error.message)

    def _fail(self, error: BinlogError) -> None:
        self._error = error
        if self._stream is not None:
            self._stream.close()


def _settings() -> ServerSettings:
    """Only the time to connect matters for a connection of our own."""
    return ServerSettings(
        pool_size=1,
        pool_wait_s=_CONNECT_TIMEOUT_S,
        pool_queue=1,
        pool_idle_s=_CONNECT_TIMEOUT_S,
        connect_timeout_s=_CONNECT_TIMEOUT_S,
        query_timeout_s=_CONNECT_TIMEOUT_S,
        health_interval_s=_CONNECT_TIMEOUT_S,
        health_fast_interval_s=_CONNECT_TIMEOUT_S,
        health_timeout_s=_CONNECT_TIMEOUT_S,
        health_rise=1,
        health_fall=1,
        statements=1,
    )
