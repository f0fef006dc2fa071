"""The MySQL port, and the Unix socket beside it: accepts clients, sends idle ones away, drains on shutdown."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from time import perf_counter

from shardproxy.config.model import Address
from shardproxy.protocol.flags import OFFERED, Capability
from shardproxy.server.compression import offered_compression
from shardproxy.server.connection import ClientConnection
from shardproxy.server.gate import HeaderGate
from shardproxy.server.unix_socket import UnixSocket
from shardproxy.session.router import Router

# Connections that the kernel keeps until we accept them.
BACKLOG = 1024


class Listener:
    """The endpoint of one process."""

    def __init__(self, router: Router, tls: ssl.SSLContext | None, certificate: bytes = b"") -> None:
        self.router = router
        self.tls = tls
        # Its SHA256.
        self.certificate = certificate
        settings = router.loaded.config.proxy
        # The capabilities that the greeting offers.
        self.offered = OFFERED | (Capability.SSL if tls is not None else 0) | offered_compression(settings.compression)
        if not settings.local_infile:
            self.offered &= ~Capability.LOCAL_FILES
        self.auth_plugin = router.loaded.config.proxy.auth_plugin
        self._balancers = [ipaddress.ip_network(text) for text in router.loaded.config.proxy.proxy_protocol_networks]
        self.connections: set[ClientConnection] = set()
        # Set when the last client has gone.
        self.emptied = asyncio.Event()
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self._unix: UnixSocket | None = None
        self._idler: asyncio.Task[None] | None = None

    @property
    def server_version(self) -> str:
        """What the greeting calls us: by default the shards' own version, so that clients speak to them as they would without us."""
        version = self.router.server_version
        return f"5.5.5-{version}" if "mariadb" in version.lower() else version

    async def start(self, *, shared: bool = False, first: bool = True) -> None:
        """Open the port, and the Unix socket where there is one; raises `OSError` where one of them cannot be had.

        `shared`: other processes open the same port, of which the `first` has the socket.
        """
        settings = self.router.loaded.config.proxy
        address = Address.parse(settings.listen)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._client, address.host, address.port, backlog=BACKLOG, reuse_port=shared)
        self._servers.append(server)
        self.port = server.sockets[0].getsockname()[1]
        if settings.socket is not None and first:
            unix = UnixSocket(self.router.loaded.resolve(settings.socket), int(settings.socket_mode, 8))
            opened = unix.open()
            self._unix = unix
            self._servers.append(await loop.create_unix_server(lambda: ClientConnection(self, local=True), sock=opened, backlog=BACKLOG))
        self._idler = loop.create_task(self._close_idle())

    def _client(self) -> asyncio.Protocol:
        """A client of the port: perhaps one that comes by a load balancer, which says so."""
        client = ClientConnection(self)
        return HeaderGate(client, self._balancers) if self._balancers else client

    async def _close_idle(self) -> None:
        while True:
            limit = self.router.limits.idle_timeout_s
            await asyncio.sleep(min(limit, 30))
            now = perf_counter()
            for connection in list(self.connections):
                if connection.idle_for(now) > limit:
                    connection.close()

    async def drain(self, seconds: float) -> None:
        """Stop accepting; let open statements and transactions end, for at most that long; then close everyone."""
        for server in self._servers:
            server.close()
        if self._unix is not None:
            # At once: whoever starts while we drain makes its own.
            self._unix.remove()
        if self._idler is not None:
            self._idler.cancel()
        for connection in list(self.connections):
            if connection.idle:
                connection.shut_down()
        if self.connections:
            try:
                async with asyncio.timeout(seconds):
                    await self.emptied.wait()
            except TimeoutError:
                pass
        for connection in list(self.connections):
            connection.close()
        await asyncio.sleep(0)
