"""A client's way in: greeting, login and COM_CHANGE_USER, with TLS and compression where they are agreed upon."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from shardproxy.errors import ACCESS_DENIED, BAD_HANDSHAKE, UNKNOWN_CHARSET, ProxyError
from shardproxy.protocol.charsets import Charset, charset_by_id
from shardproxy.protocol.flags import AUTOCOMMIT, Capability
from shardproxy.protocol.framing import encode_packet
from shardproxy.protocol.handshake import Greeting, Login, build_greeting, is_ssl_request, parse_change_user
from shardproxy.protocol.packets import ErrPacket, OkPacket, build_err, build_ok
from shardproxy.server.compression import codec_for
from shardproxy.server.login import LoginExchange, Reply, Step
from shardproxy.server.tls import status_of
from shardproxy.session.lifecycle import enter, reset

if TYPE_CHECKING:
    from shardproxy.server.connection import ClientConnection
    from shardproxy.server.listener import Listener
    from shardproxy.session.session import Session

PLUGINS = ("mysql_native_password", "caching_sha2_password")


class Entrance:
    """The logins of one connection: the first, and those of COM_CHANGE_USER. `sequence` numbers the next packet of a login."""

    __slots__ = ("_checking", "_client", "_listener", "_salt", "_schema_checked", "_secure", "_session", "_timer", "sequence")

    def __init__(self, client: ClientConnection, listener: Listener, session: Session, *, secure: bool) -> None:
        self._client = client
        self._listener = listener
        self._session = session
        # Nobody can listen in: a password may come in clear.
        self._secure = secure
        self._checking: asyncio.Task[None] | None = None
        self._schema_checked = False
        # What the client's last login answered.
        self._salt = b""
        self._timer: asyncio.TimerHandle | None = None
        self.sequence = 0

    def greet(self) -> None:
        """Send the greeting; the client has so much time to log in."""
        listener, session = self._listener, self._session
        exchange = self._exchange_of(listener.offered)
        greeting = Greeting(listener.server_version, session.state.thread_id, exchange.salt, listener.offered, plugin=exchange.plugin)
        self._begin(exchange)
        self._client.write(encode_packet(build_greeting(greeting), 0))

    def change_user(self, payload: bytes) -> None:
        """COM_CHANGE_USER: a new login on the same connection; whoever fails it is closed."""
        login = parse_change_user(payload[1:], self._client.capabilities)
        exchange = self._exchange_of(self._client.capabilities)
        # The client answers the salt of its last login, as servers let it; it is asked anew only where that answer is of another kind.
        exchange.salt = self._salt
        self._session.start(self._switch_user(exchange, login))

    def take(self, payload: bytes) -> None:
        """A packet of the login; raises `ProxyError` where the client is refused."""
        client = self._client
        self.sequence = client.reader.sequence + 1
        client.reader.expect = self.sequence & 0xFF
        exchange = client.exchange
        assert exchange is not None
        if exchange.login is None and client.may_start_tls and is_ssl_request(payload):
            exchange.secure = self._secure = True
            exchange.certificate = self._listener.certificate
            client.start_tls()
            return
        if not payload and exchange.step is Step.LOGIN:
            raise ProxyError(BAD_HANDSHAKE, "Bad handshake", fatal=True)
        try:
            reply = exchange.receive(payload)
        except ProxyError:
            self._listener.router.metrics.logins_failed += 1
            raise
        self._reply(reply)

    def close(self) -> None:
        """The client is gone."""
        if self._timer is not None:
            self._timer.cancel()

    # -- steps --------------------------------------------------------------------------------------------------------

    def _exchange_of(self, offered: int) -> LoginExchange:
        listener = self._listener
        return LoginExchange(listener.router.verifiers, listener.auth_plugin, offered, self._session.state.host, secure=self._secure)

    def _begin(self, exchange: LoginExchange) -> None:
        self._client.exchange = exchange
        self._timer = asyncio.get_running_loop().call_later(self._listener.router.limits.handshake_timeout_s, self._too_slow)

    def _reply(self, reply: Reply) -> None:
        client = self._client
        for payload in reply.payloads:
            client.write(encode_packet(payload, self.sequence))
            self.sequence += 1
        client.reader.expect = self.sequence & 0xFF
        if reply.password is not None:
            client.busy = True
            self._checking = asyncio.get_running_loop().create_task(self._check_password(reply.password))
        elif reply.done:
            self._check_login()

    async def _check_password(self, password: bytes) -> None:
        """A slow hash is computed in a thread, so that logins do not hold up statements."""
        client = self._client
        exchange = client.exchange
        assert exchange is not None
        right = await asyncio.get_running_loop().run_in_executor(None, exchange.check_clear, password)
        if client.closed:
            return
        try:
            self._reply(exchange.checked(password, right))
        except ProxyError as error:
            self._listener.router.metrics.logins_failed += 1
            client.refuse(error)

    def _check_login(self) -> None:
        """The password is right; whether the schema may be chosen may have to be asked."""
        client = self._client
        assert client.exchange is not None and client.exchange.login is not None
        login = client.exchange.login
        charset = charset_by_id(login.charset)
        if charset is None:
            raise ProxyError(UNKNOWN_CHARSET, f"character set number {login.charset} is not supported; use utf8mb4", fatal=True)
        if login.database and not self._schema_checked:
            client.busy = True
            self._checking = asyncio.get_running_loop().create_task(self._check_schema(login.user, login.database))
            return
        self._enter(client.exchange, login, charset)

    async def _check_schema(self, user: str, name: str) -> None:
        try:
            await self._listener.router.check_schema(user, name)
            self._schema_checked = True
            if not self._client.closed:
                self._check_login()
        except ProxyError as error:
            self._client.refuse(ProxyError(error.spec, error.detail, fatal=True, plain=error.plain))

    def _enter(self, exchange: LoginExchange, login: Login, charset: Charset) -> None:
        client, session, router = self._client, self._session, self._listener.router
        self._salt = exchange.salt
        self._schema_checked = False
        client.capabilities = login.capabilities
        session.started_at = perf_counter()
        enter(
            session,
            login.user,
            login.database,
            charset,
            found_rows=bool(login.capabilities & Capability.FOUND_ROWS),
            several=bool(login.capabilities & Capability.MULTI_STATEMENTS),
        )
        client.exchange = None
        client.reader.max_payload_bytes = router.limits.max_packet_bytes
        client.reader.expect = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        client.write(encode_packet(build_ok(OkPacket(status=AUTOCOMMIT, info=exchange.proof())), self.sequence & 0xFF))
        codec = codec_for(login.capabilities, login.zstd_level)
        if codec is not None:
            client.compress(codec)
        session.state.transport = {b"compression": b"OFF" if codec is None else b"ON", **status_of(client.tls)}
        if client.busy:
            client.finished()

    async def _switch_user(self, exchange: LoginExchange, login: Login) -> None:
        reset(self._session)
        self._begin(exchange)
        self.sequence = 1
        try:
            self._reply(exchange.start(login))
        except ProxyError as error:
            if error.spec is not ACCESS_DENIED or not self._client.capabilities & Capability.PLUGIN_AUTH:
                self._client.refuse(error)
                return
            # There are clients that send no answer, or not to that salt, and wait to be asked.
            exchange.plugin = login.plugin if login.plugin in PLUGINS else self._listener.auth_plugin
            self._reply(exchange.switch())

    def _too_slow(self) -> None:
        """The client has not logged in in time."""
        packet = ErrPacket(1043, "08S01", "Bad handshake: the login took too long")
        self._client.write(encode_packet(build_err(packet), self.sequence & 0xFF))
        self._client.close()
        self._client.abort()
