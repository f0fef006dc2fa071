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
    INTERNAL,
    SHUTTING_DOWN,
    TOO_MANY_CONNECTIONS,
    ProxyError,
)
from shardproxy.protocol.flags import Command
from shardproxy.protocol.framing import PacketReader, encode_packet
from shardproxy.protocol.handshake import MAX_LOGIN_BYTES
from shardproxy.protocol.packets import ErrPacket, build_err
from shardproxy.server.compression import Codec, CompressionLayer
from shardproxy.server.entrance import Entrance
from shardproxy.server.login import LoginExchange
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
        "_divert", "_drained", "_entrance", "_layer", "_listener", "_local", "_paused_reading", "_scheduled", "_session",
        "_tls", "_transport", "busy", "capabilities", "closed", "exchange", "last_active", "reader", "slow", "source",
    )  # fmt: skip

    def __init__(self, listener: Listener, *, local: bool = False) -> None:
        self.source: Pausable | None = None
        self.capabilities: int = 0
        self.slow = False
        self.closed = False
        self.last_active = 0.0
        self._listener = listener
        # A command or a step of the login is under way: what comes meanwhile waits.
        self.busy = False
        # The login that is going on.
        self.exchange: LoginExchange | None = None
        self.reader: PacketReader | CompressionLayer = PacketReader(MAX_LOGIN_BYTES, expect=1)
        self._divert: Upload | None = None
        self._drained: asyncio.Future[None] | None = None
        self._entrance: Entrance | None = None
        # What stands between the packets and the socket, where the client has asked for something.
        self._layer: TlsLayer | CompressionLayer | None = None
        self._local = local
        self._paused_reading = False
        self._scheduled = False
        self._session: Session | None = None
        self._tls: TlsLayer | None = None
        self._transport: asyncio.Transport

    def abort(self) -> None:
        """Close without waiting for what is still to be sent."""
        self._transport.abort()

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
        peer = transport.get_extra_info("peername")
        self._session = session = Session(router, self)
        session.state.host = peer[0] if isinstance(peer, tuple) else "localhost"
        self._entrance = entrance = Entrance(self, listener, session, secure=self._local)
        entrance.greet()

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
            if self._tls is not None and self._tls.ended and not data:
                self._transport.close()
                return
            if self.reader is self._layer:
                self._feed(data)  # compressed: no packet can be seen in it yet
                return
        # The usual case: one whole packet, and nothing else to do.
        if not self.busy and self.exchange is None and not self.reader.buffered:
            size = len(data)
            if size > 5 and data[4] in STATEMENTS and data[0] | data[1] << 8 | data[2] << 16 == size - 4 and not data[3]:
                self.busy = True
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
        self.reader.feed(data)
        if self._divert is not None:
            self._take_upload()
            return
        if self.busy:
            if self.reader.buffered > READ_AHEAD_BYTES and not self._paused_reading:
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
        if self._entrance is not None:
            self._entrance.close()
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
        self.reader.expect = None
        if self.reader.buffered:
            asyncio.get_running_loop().call_soon(self._take_upload)

    def _take_upload(self) -> None:
        try:
            while (target := self._divert) is not None:
                payload = self.reader.next_payload()
                if payload is None:
                    break
                if not payload:
                    self._divert = None
                    self.reader.expect = 0
                target.packet(payload, self.reader.sequence)
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
        self.busy = False
        if self._paused_reading and self.reader.buffered <= READ_AHEAD_BYTES:
            self._paused_reading = False
            self._transport.resume_reading()
        if self._listener.router.draining and self.idle:
            self.shut_down()
        elif self.reader.buffered:
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
        if self._session is not None and self.exchange is not None:
            self._session.state.host = self.exchange.host = host

    # -- packets ------------------------------------------------------------------------------------------------------

    def _take_packets(self) -> None:
        # Commands that need no task would go on for as long as the client sends them, and nobody else would be served.
        for _ in range(COMMANDS_AT_ONCE):
            if self.busy or self.closed:
                return
            try:
                payload = self.reader.next_payload()
                if payload is None:
                    return
                if self.exchange is not None and self._entrance is not None:
                    self._entrance.take(payload)
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
        self.reader.expect = 0
        self.busy = True
        assert self._session is not None and self._entrance is not None
        if payload[:1] == bytes((Command.CHANGE_USER,)):
            self._entrance.change_user(payload)
        else:
            self._session.first_sequence = (self.reader.sequence + 1) & 0xFF
            self._session.command(payload)

    def refuse(self, error: ProxyError) -> None:
        """Tell the client, and close where the stream of packets cannot be trusted any more."""
        self._listener.router.metrics.errors[error.spec.id] += 1
        packet = ErrPacket(error.errno, error.sqlstate, error.message)
        # The login counts its packets itself: it may have sent some since the client's last one.
        in_login = self.exchange is not None and self._entrance is not None
        sequence = self._entrance.sequence if in_login and self._entrance is not None else self.reader.sequence + 1
        self.write(encode_packet(build_err(packet), sequence & 0xFF))
        self.close()

    # -- layers -------------------------------------------------------------------------------------------------------

    @property
    def may_start_tls(self) -> bool:
        """Whether the client may ask for encryption now."""
        return self._layer is None and self._listener.tls is not None

    def start_tls(self) -> None:
        """From here on everything is encrypted."""
        assert self._listener.tls is not None
        self._layer = self._tls = TlsLayer(self._listener.tls)
        rest = self.reader.take_rest()
        self.reader.expect = 2
        if rest:
            self.data_received(rest)

    @property
    def tls(self) -> TlsLayer | None:
        """The connection's encryption, if it has any."""
        return self._tls

    def _flush(self) -> None:
        """Write what the layer has ready."""
        data = self._layer.outgoing() if self._layer is not None else b""
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def compress(self, codec: Codec) -> None:
        """From here on everything is compressed, both ways, unless it is already; what the client has sent ahead is."""
        if self.reader is self._layer:
            return
        loop = asyncio.get_running_loop()
        layer = CompressionLayer(codec, self._tls, self.reader.max_payload_bytes, lambda: loop.call_soon(self._flush))
        layer.feed(self.reader.take_rest())
        self._layer = self.reader = layer

    # -- shutdown and idling ------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether the client may be sent away without losing anything."""
        session = self._session
        return not self.busy and (session is None or not session.state.in_transaction)

    def shut_down(self) -> None:
        """Say that the proxy is shutting down, and close."""
        if isinstance(self._layer, CompressionLayer):
            self._layer.restart()
        packet = ErrPacket(SHUTTING_DOWN.errno, SHUTTING_DOWN.sqlstate, f"{SHUTTING_DOWN.id}: Server shutdown in progress")
        self.write(encode_packet(build_err(packet), 0))
        self.close()

    def idle_for(self, now: float) -> float:
        """Seconds since the client's last command; 0 while it is served or logs in."""
        if self.busy or self._session is None or self.exchange is not None:
            return 0.0
        return now - self._session.started_at if self._session.started_at else 0.0
