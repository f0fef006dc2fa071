"""Connections to MySQL and MariaDB: aiomysql connects and logs in, then this protocol takes the transport over.

A connection is idle, relaying (bytes go to a client as they come; see `ResponseScanner`) or reading (rows are taken apart for a
merge or for the proxy itself). Bytes that arrive while it is idle, or a response that cannot be followed, end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from shardproxy.backends.engine import ANY_SCHEMA, BufferedResult, ConnectionKind, RelayTarget
from shardproxy.backends.mysql_stream import HIGH_WATER_BYTES, MySQLStream, Reader
from shardproxy.backends.statements import BackendStatement, BackendStatements
from shardproxy.errors import BACKEND_LOST, BACKEND_PROTOCOL, QUERY_TIMEOUT, ProxyError
from shardproxy.protocol.charsets import OF_NAMES
from shardproxy.protocol.flags import Command
from shardproxy.protocol.framing import encode_packet
from shardproxy.protocol.gtid import told_position
from shardproxy.protocol.prepare import PrepareReader
from shardproxy.protocol.result_reader import ResultReader
from shardproxy.protocol.resultset import ColumnDefinition
from shardproxy.protocol.scanner import DONE, ROWS, ResponseScanner
from shardproxy.protocol.wire_types import MalformedPacket

if TYPE_CHECKING:
    from shardproxy.backends.pool import Pool


class MySQLConnection(asyncio.Protocol):
    """One connection to a server; see `engine.Connection`."""

    relays = True

    def __init__(
        self,
        shard: str,
        schema: str,
        kind: ConnectionKind,
        transport: asyncio.Transport,
        thread_id: int,
        on_abandon: Callable[[int], None],
        statements: int = 128,
    ) -> None:
        self.shard = shard
        self.schema = schema
        self.kind = kind
        self.closed = False
        self.primed = 0
        self.status = 2
        self.started_at = 0.0
        self.thread_id = thread_id
        self.keep: object = None
        self.on_closed: Callable[[MySQLConnection], None] | None = None
        self.on_progress: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.on_cancel: Callable[[MySQLConnection], None] | None = None
        self.killing: asyncio.Future[None] | None = None
        self.dirty = False
        self.position = ""
        self.use = 0
        self.pool: Pool
        # What makes the server tell of positions; forgotten by a reset.
        self.tracking = b""
        self.tracks_variables = False
        # Counts commands, so that a late KILL can tell whether it still concerns the same one.
        self.generation = 0
        self.congested = False
        self.statements = BackendStatements(statements)
        self._initial_kind = kind
        self._transport = transport
        self._on_abandon = on_abandon
        self._target: RelayTarget | None = None
        self._scanner: ResponseScanner | None = None
        self._reader: Reader | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._paused = False
        self._timed_out = False
        self._forwarded = False

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes from the server."""
        scanner = self._scanner
        try:
            if scanner is not None:
                forward = scanner.feed(data)
                target = self._target
                assert target is not None
                if scanner.state == DONE:
                    self._target = self._scanner = None
                    target.relay_end(self, scanner)
                    # The last bytes may have filled the client's buffer; that is no business of whoever comes next.
                    self.resume()
                elif forward:
                    self._forwarded = True
                    target.relay_bytes(forward)
                    if scanner.asks:
                        scanner.asks = False
                        target.relay_file(self)
            elif self._reader is not None:
                self._read(data)
            else:
                # A server says something unasked only when it is about to close, as MySQL does for idle connections.
                self.abort(kill=False)
        except MalformedPacket:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server, the network or we ourselves closed the connection."""
        self.closed = True
        self.resume_writing()
        target, self._target, self._scanner = self._target, None, None
        if target is not None:
            target.relay_lost(self, self._forwarded)
        self._wake()
        if self.on_closed is not None:
            self.on_closed(self)

    # -- relaying -----------------------------------------------------------------------------------------------------

    def relay(self, packet: bytes, target: RelayTarget, *, file: bool = False) -> None:
        """Send a framed command and forward its response. `file`: the server may ask for the client's file."""
        if self._scanner is not None or self._reader is not None:
            raise ProxyError(BACKEND_PROTOCOL, f"the connection to shard {self.shard} is busy")
        self._target = target
        self._scanner = scanner = ResponseScanner()
        scanner.may_ask = file
        self.generation += 1
        self._forwarded = False
        self.started_at = perf_counter()
        if self.statements.closing:
            packet = self.statements.take_closing() + packet
        self._transport.write(packet)

    def write(self, data: bytes) -> None:
        """Send more of a command that is under way: the client's file."""
        self.started_at = perf_counter()
        self._transport.write(data)

    def pause_writing(self) -> None:
        """The server reads slower than a file comes."""
        self.congested = True

    def resume_writing(self) -> None:
        """The server has caught up."""
        self.congested = False
        call, self.on_writable = self.on_writable, None
        if call is not None:
            call()

    def pause(self) -> None:
        """Stop reading: whoever gets the rows is slow."""
        if not self._paused and not self.closed:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and not self.closed:
            self._paused = False
            self._transport.resume_reading()

    # -- reading ------------------------------------------------------------------------------------------------------

    def send(self, sql: bytes) -> MySQLStream:
        """Send a statement; its answer is awaited with `wait_ready`."""
        return self._send(b"\x03" + sql, ResultReader())

    async def query(self, sql: bytes) -> BufferedResult:
        """Run a statement with a small answer, once a KILL that is under way cannot hit it."""
        if self.killing is not None:
            await self.killing
        return await self.query_at_once(sql)

    async def query_at_once(self, sql: bytes) -> BufferedResult:
        """The same without waiting."""
        stream = self.send(sql)
        await stream.wait_ready()
        rows: list[bytes] = []
        while (batch := await stream.next_rows()) is not None:
            rows += batch
        warnings = stream.ok.warnings if stream.ok else stream.eof.warnings if stream.eof else 0
        return BufferedResult(stream.columns, rows, stream.ok, warnings)

    def prepared(self, text: bytes) -> BackendStatement | None:
        """The statement that is prepared from this text already."""
        return self.statements.get((self.kind[1:], text))

    async def prepare(self, text: bytes) -> BackendStatement:
        """Prepare a statement, or find it prepared."""
        found = self.prepared(text)
        if found is not None:
            return found
        reader = PrepareReader()
        await self._start(bytes((Command.STMT_PREPARE,)) + text, reader)
        found = BackendStatement(reader.statement_id, tuple(reader.parameters), tuple(reader.columns))
        self.statements.add((self.kind[1:], text), found)
        return found

    def forget(self, text: bytes) -> None:
        """What was prepared from this text cannot be used any more."""
        self.statements.drop((self.kind[1:], text))

    async def field_list(self, body: bytes) -> list[ColumnDefinition]:
        """The columns that COM_FIELD_LIST asks for."""
        return (await self._start(bytes((Command.FIELD_LIST,)) + body, ResultReader.of_columns())).columns

    async def ping(self) -> None:
        """Raises where the server does not answer."""
        await self._start(bytes((Command.PING,)), ResultReader())

    async def disable_multi_statements(self) -> None:
        """aiomysql switches them on; a statement is then one statement again, whatever a client writes into it."""
        reader = ResultReader.of_columns()
        await self._start(bytes((Command.SET_OPTION, 1, 0)), reader)

    async def set_kind(self, kind: ConnectionKind) -> None:
        """Change the character set, the schema and the session variables; FOUND_ROWS cannot change."""
        if kind[3] not in (self.kind[3], ANY_SCHEMA):
            await self._start(bytes((Command.INIT_DB,)) + (kind[3] or self.schema).encode(), ResultReader())
            self.kind = (*self.kind[:3], kind[3], self.kind[4])
        if any(name in ("character_set_connection", "collation_connection") for name, _ in self.kind[4]):
            # The values below would be read in that character set, and some variables take none in UTF-16.
            await self.query(b"SET NAMES utf8mb4")
            rest = tuple(pair for pair in self.kind[4] if pair[0] not in OF_NAMES)
            self.kind = (self.kind[0], "utf8mb4", "", self.kind[3], rest)
        tail = f" COLLATE '{kind[2]}'" if kind[2] else ""
        wanted = dict(kind[4])
        # In this order: NAMES sets variables that may have been set by themselves before, or are to be.
        parts = [b"SESSION %s = DEFAULT" % name.encode() for name, _ in self.kind[4] if name not in wanted]
        parts.append(f"NAMES '{kind[1]}'{tail}".encode())
        parts += [b"SESSION %s = %s" % (name.encode(), value) for name, value in kind[4]]
        await self.query(b"SET " + b", ".join(parts))
        self.kind = (self.kind[0], *kind[1:])

    async def reset(self) -> None:
        """COM_RESET_CONNECTION: rolls back, drops temporary tables and locks, forgets variables."""
        await self._start(bytes((Command.RESET_CONNECTION,)), ResultReader())
        self.primed = 0
        self.statements.clear()
        # The server is back at its defaults, but for the schema, which may be another one or gone.
        self.kind = (*self.kind[:3], ANY_SCHEMA if self._initial_kind[3] else self.kind[3], ())
        if self.tracking:
            await self.query(self.tracking)
        await self.set_kind(self._initial_kind)

    def note(self, changes: bytes) -> None:
        """The server has told of changes of its session: keep its position."""
        self.position = told_position(changes) or self.position

    async def _start(self, payload: bytes, reader: Reader) -> MySQLStream:
        stream = self._send(payload, reader)
        await stream.wait_ready()
        return stream

    def send_command(self, packet: bytes) -> MySQLStream:
        """The same for a framed command; rows come in the form that the command gives."""
        return self._send_framed(packet, ResultReader())

    def _send(self, payload: bytes, reader: Reader) -> MySQLStream:
        return self._send_framed(encode_packet(payload, 0), reader)

    def _send_framed(self, packet: bytes, reader: Reader) -> MySQLStream:
        if self.closed:
            raise ProxyError(BACKEND_LOST, f"the connection to shard {self.shard} is closed")
        if self._reader is not None or self._scanner is not None:
            raise ProxyError(BACKEND_PROTOCOL, f"the connection to shard {self.shard} is busy")
        self._reader = reader
        self.generation += 1
        self.started_at = perf_counter()
        self._transport.write(self.statements.take_closing() + packet)
        return MySQLStream(self, reader)

    def _read(self, data: bytes) -> None:
        reader = self._reader
        assert reader is not None
        reader.feed(data)
        done = reader.done
        if not done and reader.held_bytes > HIGH_WATER_BYTES:
            self.pause()
        if done:
            self._reader = None
            last = reader.last
            if last.ok is not None:
                self.status = last.ok.status
                if last.ok.changes:
                    self.note(last.ok.changes)
            elif last.eof is not None:
                self.status = last.eof.status
        if reader.ready:
            self._wake()

    async def wait(self) -> None:
        """Until more has come; raises where the connection is lost or the time is up."""
        if self.closed:
            raise self.lost_error()
        self.resume()
        loop = asyncio.get_running_loop()
        self._wakeup = wakeup = loop.create_future()
        try:
            await wakeup
        except asyncio.CancelledError:
            # Nobody will read the rest of this answer.
            self.abort()
            raise
        finally:
            # Someone else may be waiting by now, for the answer to the next command.
            if self._wakeup is wakeup:
                self._wakeup = None

    def lost_error(self) -> ProxyError:
        """What is told of a statement whose connection is gone."""
        if self._timed_out:
            return ProxyError(QUERY_TIMEOUT, f"the statement on shard {self.shard} ran longer than its time limit and was stopped")
        return ProxyError(BACKEND_LOST, f"the connection to shard {self.shard} was lost during the statement")

    def _wake(self) -> None:
        if self.on_progress is not None:
            self.on_progress()
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    # -- ending -------------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a response is outstanding."""
        return self._scanner is not None or self._reader is not None

    @property
    def in_rows(self) -> bool:
        """Whether a relayed response has come as far as its rows."""
        return self._scanner is not None and self._scanner.state == ROWS

    @property
    def timed_out(self) -> bool:
        """Whether the connection was closed because its statement ran too long."""
        return self._timed_out

    def cancel(self) -> None:
        """Stop the statement that is running."""
        if self.busy and self.killing is None and self.on_cancel is not None:
            self.on_cancel(self)

    def time_out(self) -> None:
        """The statement has had its time."""
        self._timed_out = True
        self.abort()

    def abort(self, kill: bool = True) -> None:
        """Close at once; `kill` also stops what the server is still doing for it."""
        if self.closed:
            return
        if not self.busy:
            # Without a goodbye the server would log an aborted connection.
            if not self._transport.is_closing():
                self._transport.write(encode_packet(bytes((Command.QUIT,)), 0))
        elif kill:
            self._on_abandon(self.thread_id)
        self.closed = True
        self._transport.abort()
