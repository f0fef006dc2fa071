"""One client's connection: bytes to packets to session commands, and back.

Commands are taken strictly one at a time; what a client sends ahead stays in the buffer, and the socket is not read while there
is more than enough in it. A client that is slow to read makes the shard's connection wait, and nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from time import perf_counter
from typing import TYPE_CHECKING, cast

from shardproxy.errors import (
    ACCESS_DENIED,
    BAD_HANDSHAKE,
    INTERNAL,
    SHUTTING_DOWN,
    TOO_MANY_CONNECTIONS,
    UNKNOWN_CHARSET,
    ProxyError,
)
from shardproxy.protocol.charsets import charset_by_id
from shardproxy.protocol.flags import AUTOCOMMIT, Capability, Command
from shardproxy.protocol.framing import PacketReader, encode_packet
from shardproxy.protocol.handshake import MAX_LOGIN_BYTES, Greeting, Login, build_greeting, is_ssl_request, parse_change_user
from shardproxy.protocol.packets import ErrPacket, OkPacket, build_err, build_ok
from shardproxy.server.compression import Codec, CompressionLayer, codec_for
from shardproxy.server.login import LoginExchange, Reply, Step
from shardproxy.server.tls import TlsLayer
from shardproxy.session.channel import Pausable, Upload
from shardproxy.session.session import Session

if TYPE_CHECKING:
    from shardproxy.server.listener import Listener

log = logging.getLogger(__name__)

# Bytes a client may send ahead of the command that is being answered.
READ_AHEAD_BYTES = 1 << 20
COMMANDS_AT_ONCE = 100
QUERY = int(Command.QUERY)
STATEMENTS = frozenset((QUERY, int(Command.STMT_EXECUTE)))
WRITE_HIGH_WATER_BYTES = 256 * 1024


class ClientConnection(asyncio.Protocol):
    """One client; a `session.Channel`."""

    __slots__ = (
        "_busy",
        "_checking",
        "_divert",
        "_drained",
        "_exchange",
        "_layer",
        "_listener",
        "_paused_reading",
        "_reader",
        "_salt",
        "_scheduled",
        "_schema_checked",
        "_secure",
        "_sequence",
        "_session",
        "_timer",
        "_transport",
        "capabilities",
        "closed",
        "last_active",
        "slow",
        "source",
    )  # fmt: skip

    def __init__(self, listener: Listener, *, local: bool = False) -> None:
        self.source: Pausable | None = None
        self.capabilities: int = 0
        self.slow = False
        self.closed = False
        self.last_active = 0.0
        self._listener = listener
        self._busy = False
        self._checking: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._exchange: LoginExchange | None = None
        # What stands between the packets and the socket, where the client has asked for something.
        self._layer: TlsLayer | CompressionLayer | None = None
        self._paused_reading = False
        self._reader: PacketReader | CompressionLayer = PacketReader(MAX_LOGIN_BYTES, expect=1)
        # Nobody can listen in: a password may come in clear.
        self._secure = local
        self._salt = b""
        self._scheduled = False
        self._schema_checked = False
        self._divert: Upload | None = None
        self._sequence = 0
        self._session: Session | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client, or turn it away where there are too many."""
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        listener = self._listener
        listener.connections.add(self)
        listener.emptied.clear()
        router = listener.router
        if len(listener.connections) > router.limits.max_connections:
            router.metrics.errors[TOO_MANY_CONNECTIONS.id] += 1
            transport.write(encode_packet(build_err(ErrPacket(1040, "08004", "Too many connections")), 0))
            self.close()
            return
        offered = listener.offered
        peer = transport.get_extra_info("peername")
        host = peer[0] if isinstance(peer, tuple) else "localhost"
        self._exchange = exchange = LoginExchange(router.verifiers, listener.auth_plugin, offered, host, secure=self._secure)
        self._session = session = Session(router, self)
        session.state.host = host
        greeting = Greeting(listener.server_version, session.state.thread_id, exchange.salt, offered, plugin=exchange.plugin)
        self._timer = asyncio.get_running_loop().call_later(router.limits.handshake_timeout_s, self._too_slow)
        transport.write(encode_packet(build_greeting(greeting), 0))

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.closed:
            return
        if self._layer is not None:
            try:
                data = self._layer.receive(data)
                self._flush()
            except ssl.SSLError:
                self._transport.abort()
                return
            if self._reader is self._layer:
                self._feed(data)  # compressed: no packet can be seen in it yet
                return
        # The usual case: one whole packet, and nothing else to do.
        if not self._busy and self._exchange is None and not self._reader.buffered:
            size = len(data)
            if size > 5 and data[4] in STATEMENTS and data[0] | data[1] << 8 | data[2] << 16 == size - 4 and not data[3]:
                self._busy = True
                session = self._session
                assert session is not None
                session.first_sequence = 1
                if data[4] == QUERY:
                    session.started_at = perf_counter()
                    session.query(data[5:], data)
                else:
                    session.command(data[4:])
                return
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        self._reader.feed(data)
        if self._divert is not None:
            self._take_upload()
            return
        if self._busy:
            if self._reader.buffered > READ_AHEAD_BYTES and not self._paused_reading:
                self._paused_reading = True
                self._transport.pause_reading()
            return
        self._take_packets()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.closed = True
        self._listener.connections.discard(self)
        if not self._listener.connections:
            self._listener.emptied.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._session is not None:
            self._session.close()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def pause_writing(self) -> None:
        """The client reads slower than its rows come."""
        self.slow = True
        if self.source is not None:
            self.source.pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.slow = False
        if self.source is not None:
            self.source.resume()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # -- session.Channel ----------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self.closed:
            return
        if self._layer is None:
            self._transport.write(data)
        elif self._layer.send(data):
            self._flush()

    async def drain(self) -> None:
        """Wait until the client has read most of what was sent."""
        if self.slow and not self.closed:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def upload(self, target: Upload) -> None:
        """Give it the packets that the client sends now, up to an empty one."""
        self._divert = target
        self._reader.expect = None
        if self._reader.buffered:
            asyncio.get_running_loop().call_soon(self._take_upload)

    def _take_upload(self) -> None:
        try:
            while (target := self._divert) is not None:
                payload = self._reader.next_payload()
                if payload is None:
                    break
                if not payload:
                    self._divert = None
                    self._reader.expect = 0
                target.packet(payload, self._reader.sequence)
            if target is not None and target.congested and not self._paused_reading:
                self._paused_reading = True
                self._transport.pause_reading()
                target.when_ready(self._read_on)
        except ProxyError as error:
            self.refuse(error)

    def _read_on(self) -> None:
        if self._paused_reading and not self.closed:
            self._paused_reading = False
            self._transport.resume_reading()

    def finished(self) -> None:
        """The command is answered: take the next one."""
        self._busy = False
        if self._paused_reading and self._reader.buffered <= READ_AHEAD_BYTES:
            self._paused_reading = False
            self._transport.resume_reading()
        if self._listener.router.draining and self.idle:
            self.shut_down()
        elif self._reader.buffered:
            # Not from here: a client that sends many commands at once would nest us as deep.
            self._take_later()

    def close(self) -> None:
        """Close once everything is sent."""
        if not self.closed:
            self._flush()
            self.closed = True
            if self._session is not None:
                self._session.close()
            self._transport.close()
            # A peer that reads nothing must not keep the connection for ever.
            asyncio.get_running_loop().call_later(5, self._transport.abort)

    def relocate(self, host: str) -> None:
        """The client is not where its socket comes from: a load balancer that we trust says so, before the login."""
        if self._session is not None and self._exchange is not None:
            self._session.state.host = self._exchange.host = host

    # -- packets ------------------------------------------------------------------------------------------------------

    def _take_packets(self) -> None:
        # Commands that need no task would go on for as long as the client sends them, and nobody else would be served.
        for _ in range(COMMANDS_AT_ONCE):
            if self._busy or self.closed:
                return
            try:
                payload = self._reader.next_payload()
                if payload is None:
                    return
                if self._exchange is not None:
                    self._login_packet(payload)
                else:
                    self._command_packet(payload)
            except ProxyError as error:
                self.refuse(error)
            except Exception:
                log.exception("internal error")
                self.refuse(ProxyError(INTERNAL, "internal error", fatal=True))
        self._take_later()

    def _take_later(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._take_on)

    def _take_on(self) -> None:
        self._scheduled = False
        self._take_packets()

    def _command_packet(self, payload: bytes) -> None:
        self._reader.expect = 0
        self._busy = True
        assert self._session is not None
        if payload[:1] == bytes((Command.CHANGE_USER,)):
            self._change_user(payload)
        else:
            self._session.first_sequence = (self._reader.sequence + 1) & 0xFF
            self._session.command(payload)

    def refuse(self, error: ProxyError) -> None:
        """Tell the client, and close where the stream of packets cannot be trusted any more."""
        self._listener.router.metrics.errors[error.spec.id] += 1
        packet = ErrPacket(error.errno, error.sqlstate, error.message)
        # The login counts its packets itself: it may have sent some since the client's last one.
        sequence = self._reader.sequence + 1 if self._exchange is None else self._sequence
        self.write(encode_packet(build_err(packet), sequence & 0xFF))
        self.close()

    # -- login --------------------------------------------------------------------------------------------------------

    def _login_packet(self, payload: bytes) -> None:
        self._sequence = self._reader.sequence + 1
        self._reader.expect = self._sequence & 0xFF
        exchange = self._exchange
        assert exchange is not None
        may_start_tls = self._layer is None and self._listener.tls is not None and exchange.login is None
        if may_start_tls and is_ssl_request(payload):
            self._start_tls()
            return
        if not payload and exchange.step is Step.LOGIN:
            raise ProxyError(BAD_HANDSHAKE, "Bad handshake", fatal=True)
        try:
            reply = exchange.receive(payload)
        except ProxyError:
            self._listener.router.metrics.logins_failed += 1
            raise
        self._reply(reply)

    def _reply(self, reply: Reply) -> None:
        for payload in reply.payloads:
            self.write(encode_packet(payload, self._sequence))
            self._sequence += 1
        self._reader.expect = self._sequence & 0xFF
        if reply.password is not None:
            self._busy = True
            self._checking = asyncio.get_running_loop().create_task(self._check_password(reply.password))
        elif reply.done:
            self._logged_in()

    async def _check_password(self, password: bytes) -> None:
        """A slow hash is computed in a thread, so that logins do not hold up statements."""
        exchange = self._exchange
        assert exchange is not None
        right = await asyncio.get_running_loop().run_in_executor(None, exchange.check_clear, password)
        if self.closed:
            return
        try:
            self._reply(exchange.checked(password, right))
        except ProxyError as error:
            self._listener.router.metrics.logins_failed += 1
            self.refuse(error)

    def _logged_in(self) -> None:
        exchange, session, router = self._exchange, self._session, self._listener.router
        assert exchange is not None and exchange.login is not None and session is not None
        login = exchange.login
        charset = charset_by_id(login.charset)
        if charset is None:
            raise ProxyError(UNKNOWN_CHARSET, f"character set number {login.charset} is not supported; use utf8mb4", fatal=True)
        if login.database and not self._schema_checked:
            self._busy = True
            self._checking = asyncio.get_running_loop().create_task(self._check_schema(login.user, login.database))
            return
        self._salt = exchange.salt
        self.capabilities = login.capabilities
        session.started_at = perf_counter()
        state = session.state
        state.user = login.user
        state.schema = login.database
        other_schema = login.database if login.database and login.database != router.logical_schema else ""
        state.kind = (
            bool(login.capabilities & Capability.FOUND_ROWS),
            charset.name,
            charset.collation,
            other_schema,
            router.user_settings(login.user),
        )
        self._schema_checked = False
        state.codec = charset.codec
        session.login_kind, session.login_codec = state.kind, state.codec
        session.multi_statements = bool(login.capabilities & Capability.MULTI_STATEMENTS)
        self._exchange = None
        self._reader.max_payload_bytes = router.limits.max_packet_bytes
        self._reader.expect = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.write(encode_packet(build_ok(OkPacket(status=AUTOCOMMIT, info=exchange.proof())), self._sequence & 0xFF))
        codec = codec_for(login.capabilities, login.zstd_level)
        if codec is not None and self._reader is not self._layer:
            self._compress(codec)
        if self._busy:
            self.finished()

    async def _check_schema(self, user: str, name: str) -> None:
        try:
            await self._listener.router.check_schema(user, name)
            self._schema_checked = True
            if not self.closed:
                self._logged_in()
        except ProxyError as error:
            self.refuse(ProxyError(error.spec, error.detail, fatal=True, plain=error.plain))

    def _start_tls(self) -> None:
        assert self._listener.tls is not None and self._exchange is not None
        self._layer = TlsLayer(self._listener.tls)
        self._exchange.secure = self._secure = True
        self._exchange.certificate = self._listener.certificate
        rest = self._reader.take_rest()
        self._reader.expect = 2
        if rest:
            self.data_received(rest)

    def _flush(self) -> None:
        """Write what the layer has ready."""
        data = self._layer.outgoing() if self._layer is not None else b""
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _compress(self, codec: Codec) -> None:
        """From here on everything is compressed, both ways; what the client has sent ahead is already."""
        loop = asyncio.get_running_loop()
        below = cast(TlsLayer | None, self._layer)
        layer = CompressionLayer(codec, below, self._reader.max_payload_bytes, lambda: loop.call_soon(self._flush))
        layer.feed(self._reader.take_rest())
        self._layer = self._reader = layer

    def _change_user(self, payload: bytes) -> None:
        """COM_CHANGE_USER: a new login on the same connection; whoever fails it is closed."""
        assert self._session is not None
        router = self._listener.router
        login = parse_change_user(payload[1:], self.capabilities)
        exchange = LoginExchange(
            router.verifiers,
            self._listener.auth_plugin,
            self.capabilities,
            self._session.state.host,
            secure=self._secure,
        )
        # The client answers the salt of its last login, as servers let it; it is asked anew only where that answer is of another kind.
        exchange.salt = self._salt
        self._session.start(self._switch_user(exchange, login))

    async def _switch_user(self, exchange: LoginExchange, login: Login) -> None:
        assert self._session is not None
        await self._session.reset()
        self._exchange = exchange
        self._sequence = 1
        self._timer = asyncio.get_running_loop().call_later(self._listener.router.limits.handshake_timeout_s, self._too_slow)
        try:
            self._reply(exchange.start(login))
        except ProxyError as error:
            if error.spec is not ACCESS_DENIED or not self.capabilities & Capability.PLUGIN_AUTH:
                self.refuse(error)
                return
            # There are clients that send no answer, or not to that salt, and wait to be asked.
            usable = login.plugin if login.plugin in ("mysql_native_password", "caching_sha2_password") else None
            exchange.plugin = usable or self._listener.auth_plugin
            self._reply(exchange.switch())

    def _too_slow(self) -> None:
        """The client has not logged in in time."""
        self.write(encode_packet(build_err(ErrPacket(1043, "08S01", "Bad handshake: the login took too long")), self._sequence & 0xFF))
        self.close()
        self._transport.abort()

    # -- shutdown and idling ------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether the client may be sent away without losing anything."""
        session = self._session
        return not self._busy and (session is None or not session.state.in_transaction)

    def shut_down(self) -> None:
        """Say that the proxy is shutting down, and close."""
        if isinstance(self._layer, CompressionLayer):
            self._layer.restart()
        packet = ErrPacket(SHUTTING_DOWN.errno, SHUTTING_DOWN.sqlstate, f"{SHUTTING_DOWN.id}: Server shutdown in progress")
        self.write(encode_packet(build_err(packet), 0))
        self.close()

    def idle_for(self, now: float) -> float:
        """Seconds since the client's last command; 0 while it is served or logs in."""
        if self._busy or self._session is None or self._exchange is not None:
            return 0.0
        return now - self._session.started_at if self._session.started_at else 0.0
