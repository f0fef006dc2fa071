"""Who may speak for others: takes the PROXY header off a connection, and then gives the connection to its client."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from shardproxy.errors import BAD_HANDSHAKE, ProxyError
from shardproxy.server.proxy_protocol import HeaderReader, MalformedHeaderError, plain_address

if TYPE_CHECKING:
    from shardproxy.server.connection import ClientConnection

log = logging.getLogger(__name__)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_trusted(host: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks; an IPv4 address counts as such also in the form of IPv6."""
    address = ipaddress.ip_address(plain_address(ipaddress.ip_address(host.partition("%")[0])))
    return any(address in network for network in networks)


class HeaderGate(asyncio.Protocol):
    """Stands before a client until its first bytes have come; from then on the transport calls the client directly.

    The client greets at once, as MariaDB does: a load balancer sends its header unasked, and a client without one waits for us.
    """

    def __init__(self, client: ClientConnection, networks: Sequence[Network]) -> None:
        self._client = client
        self._networks = networks
        self._reader = HeaderReader()
        self._peer = ""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if peer is None:
            # It has gone again, and with it the way to find out whether it is trusted.
            transport.abort()
        else:
            self._peer = peer[0]
        self._client.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Read the header, and hand over."""
        client = self._client
        if client.closed:
            return
        try:
            header = self._reader.feed(data)
            if header is None:
                return
            if header.version and not is_trusted(self._peer, self._networks):
                raise MalformedHeaderError(f"{self._peer} is not in proxy_protocol_networks")
        except MalformedHeaderError as error:
            log.warning("PROXY header refused", extra={"peer": self._peer, "reason": str(error)})
            client.refuse(ProxyError(BAD_HANDSHAKE, f"Bad handshake: PROXY header refused: {error}", fatal=True))
            return
        self._transport.set_protocol(client)
        if header.host is not None:
            client.relocate(header.host)
        if header.rest:
            client.data_received(header.rest)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone before it has said who it is."""
        self._client.connection_lost(exc)

    def pause_writing(self) -> None:
        """Passed on."""
        self._client.pause_writing()

    def resume_writing(self) -> None:
        """Passed on."""
        self._client.resume_writing()
