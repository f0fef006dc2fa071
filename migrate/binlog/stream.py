"""The connection on which a server sends its log, once it has been logged in."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from migrate.binlog.rows import MAX_BYTES
from shardproxy.protocol.framing import PacketReader

# So much is kept unread; then the server has to wait.
HIGH_WATER_BYTES: Final = 4 << 20
LOW_WATER_BYTES: Final = 1 << 20
# The longest event that a server sends, and the status byte in front of it.
_MAX_PACKET_BYTES: Final = MAX_BYTES + (1 << 16)


class LogStream(asyncio.Protocol):
    """Bytes from the server, as whole packets, as fast as they are taken."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.lost: str = ""
        self._transport = transport
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._packets = PacketReader(_MAX_PACKET_BYTES, expect=None)
        self._wakeup: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        """More of the log."""
        self._chunks.append(data)
        self._held += len(data)
        if self._held > HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server, the network or we ourselves closed the connection. What came before is still to be read."""
        self.lost = self.lost or str(exc or "the connection was closed")
        self._wake()

    def next_packet(self) -> bytes | None:
        """The next whole packet's payload, or None until more bytes come."""
        while (payload := self._packets.next_payload()) is None:
            if not self._chunks:
                return None
            chunk = self._chunks.popleft()
            self._held -= len(chunk)
            self._packets.feed(chunk)
            if self._paused and self._held < LOW_WATER_BYTES and not self.lost:
                self._paused = False
                self._transport.resume_reading()
        return payload

    async def wait(self, timeout_s: float) -> None:
        """Until more has come, or the connection is lost; raises `TimeoutError`."""
        if self._chunks or self.lost:
            return
        self._wakeup = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._wakeup
        finally:
            self._wakeup = None

    def send(self, data: bytes) -> None:
        """Send a command."""
        self._transport.write(data)

    def close(self) -> None:
        """Close at once."""
        self.lost = self.lost or "the reader was closed"
        self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)
