"""A client's connection as its session sees it, and the sink that its results go to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from shardproxy.protocol.flags import Capability
from shardproxy.protocol.framing import encode_packet, packet_count
from shardproxy.protocol.packets import EofPacket, ErrPacket, OkPacket, build_eof, build_err, build_ok
from shardproxy.protocol.resultset import ColumnDefinition, encode_header


class Pausable(Protocol):
    """Something that produces bytes and can be told to wait."""

    def pause(self) -> None:
        """Stop producing."""

    def resume(self) -> None:
        """Go on."""


class Channel(Protocol):
    """The way back to the client."""

    source: Pausable | None
    capabilities: Capability | int

    def write(self, data: bytes) -> None:
        """Send bytes; they are buffered while the client is slow."""

    async def drain(self) -> None:
        """Wait until the client has read most of what was sent."""

    def finished(self) -> None:
        """The command is answered: the next one may come."""

    def close(self) -> None:
        """Close once everything is sent."""

    @property
    def slow(self) -> bool:
        """Whether the client has yet to read what was sent."""


class Sink:
    """Packets of one response, numbered in turn; see `executor.outcome.ResultSink`."""

    __slots__ = ("_channel", "_status", "raw", "sequence", "started")

    def __init__(self, channel: Channel, status: int, sequence: int = 1) -> None:
        self._channel = channel
        self._status = status
        self.sequence = sequence
        self.started = False
        # Bytes were relayed: where the last packet ends is not known here.
        self.raw = False

    def write(self, data: bytes) -> None:
        """Send bytes of a response as they are."""
        self.raw = True
        self._send(data)

    def read_from(self, source: Pausable | None) -> None:
        """What is written comes from this connection, which is made to wait while the client is slow."""
        self._channel.source = source
        if source is not None and self._channel.slow:
            source.pause()

    def _send(self, data: bytes) -> None:
        self.started = True
        self._channel.write(data)

    def send_header(self, columns: Sequence[ColumnDefinition]) -> None:
        """Send the column definitions."""
        header, self.sequence = encode_header(columns, self._status, self.sequence)
        self._send(header)

    def send_rows(self, payloads: Iterable[bytes]) -> None:
        """Send rows."""
        sequence = self.sequence
        parts = []
        for payload in payloads:
            n = len(payload)
            if n < 0xFFFFFF:
                parts.append((n | (sequence & 0xFF) << 24).to_bytes(4, "little"))
                parts.append(payload)
                sequence += 1
            else:
                parts.append(encode_packet(payload, sequence))
                sequence += packet_count(n)
        self.sequence = sequence & 0xFF
        if parts:
            self._send(b"".join(parts))

    async def drain(self) -> None:
        """Wait while the client is slow to read."""
        if self._channel.slow:
            await self._channel.drain()

    def send_ok(self, ok: OkPacket) -> None:
        """End a response without rows."""
        self._send(encode_packet(build_ok(ok), self.sequence))

    def send_eof(self, eof: EofPacket) -> None:
        """End the rows."""
        self._send(encode_packet(build_eof(eof), self.sequence))

    def send_error(self, error: ErrPacket) -> None:
        """End a response with an error, wherever it stands."""
        self._send(encode_packet(build_err(error), self.sequence))
