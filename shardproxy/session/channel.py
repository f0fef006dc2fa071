"""A client's connection as its session sees it, and the sink that its results go to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from shardproxy.errors import MERGE_LIMIT, ProxyError
from shardproxy.protocol.binary import row_encoder
from shardproxy.protocol.flags import CURSOR_EXISTS, MORE_RESULTS, Capability
from shardproxy.protocol.framing import encode_packet, packet_count
from shardproxy.protocol.packets import EofPacket, ErrPacket, OkPacket, build_eof, build_err, build_ok
from shardproxy.protocol.resultset import ColumnDefinition, encode_header


class Upload(Protocol):
    """Where a client's file goes; see `executor.upload`."""

    @property
    def congested(self) -> bool:
        """Whether no more should come for now."""

    def packet(self, payload: bytes, sequence: int) -> None:
        """One packet of the file; an empty one ends it."""

    def when_ready(self, call: Callable[[], None]) -> None:
        """Have `call` called once more may come."""


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

    def upload(self, target: Upload) -> None:
        """Give it the packets that the client sends now, up to an empty one."""

    def finished(self) -> None:
        """The command is answered: the next one may come."""

    def close(self) -> None:
        """Close once everything is sent."""

    @property
    def slow(self) -> bool:
        """Whether the client has yet to read what was sent."""


class Sink:
    """Packets of one response, numbered in turn; see `executor.outcome.ResultSink`."""

    __slots__ = ("_channel", "_status", "more", "needs_rows", "raw", "sequence", "started")

    def __init__(self, channel: Channel, status: int, sequence: int = 1) -> None:
        self._channel = channel
        self._status = status
        self.sequence = sequence
        self.started = False
        # Rows have to be given one by one, not as a server sent them.
        self.needs_rows = False
        # Another result follows this one.
        self.more = False
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

    @property
    def takes_files(self) -> bool:
        """Whether the client has said that it would send a file."""
        return bool(self._channel.capabilities & Capability.LOCAL_FILES)

    def upload(self, target: Upload) -> None:
        """The client sends a file now, which goes there."""
        self._channel.upload(target)

    def _send(self, data: bytes) -> None:
        self.started = True
        self._channel.write(data)

    def send_header(self, columns: Sequence[ColumnDefinition], *, more: bool = False) -> None:
        """Send the column definitions. `more`: another result of the same statement follows."""
        # A client that skips the rows looks here for whether another answer follows, and not behind them.
        status = self._status | MORE_RESULTS if self.more or more else self._status
        header, self.sequence = encode_header(columns, status, self.sequence)
        self._send(header)

    def send_rows(self, payloads: Iterable[bytes]) -> None:
        """Send rows, given as the payloads of text rows."""
        self.send_encoded(payloads)

    def send_encoded(self, payloads: Iterable[bytes]) -> None:
        """Send rows that are in the client's form already."""
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
        if self.more:
            ok = replace(ok, status=ok.status | MORE_RESULTS)
        self._end(build_ok(ok))

    def send_eof(self, eof: EofPacket) -> None:
        """End the rows."""
        if self.more:
            eof = replace(eof, status=eof.status | MORE_RESULTS)
        self._end(build_eof(eof))

    def send_error(self, error: ErrPacket) -> None:
        """End a response with an error, wherever it stands."""
        self._end(build_err(error))

    def _end(self, payload: bytes) -> None:
        self._send(encode_packet(payload, self.sequence))
        self.sequence = (self.sequence + 1) & 0xFF


class BinarySink(Sink):
    """The same for an execution of a prepared statement: rows are put into the binary form."""

    __slots__ = ("_encode", "_names")

    def __init__(self, channel: Channel, status: int, sequence: int = 1, names: Sequence[bytes] = ()) -> None:
        """`names` are what the columns were called when the statement was prepared: with values written out some would differ."""
        super().__init__(channel, status, sequence)
        self.needs_rows = True
        self._names = names
        self._encode: Callable[[bytes], bytes]

    def send_header(self, columns: Sequence[ColumnDefinition], *, more: bool = False) -> None:
        """Send the column definitions."""
        if len(self._names) == len(columns):
            columns = [column.renamed(name) for column, name in zip(columns, self._names, strict=True)]
        self._encode = row_encoder(columns)
        super().send_header(columns, more=more)

    def send_rows(self, payloads: Iterable[bytes]) -> None:
        """Send rows, given as the payloads of text rows."""
        encode = self._encode
        self.send_encoded([encode(payload) for payload in payloads])


class CursorSink(Sink):
    """An answer that is kept, to be fetched in parts; `max_rows` and `max_bytes` bound it. `opened` says that there are rows."""

    __slots__ = ("_columns", "_encode", "_max_bytes", "_max_rows", "_rows", "_taken", "held_bytes", "opened")

    def __init__(self, channel: Channel, status: int, max_rows: int, max_bytes: int) -> None:
        super().__init__(channel, status, 1)
        self.needs_rows = True
        self.opened = False
        self._columns: Sequence[ColumnDefinition] = ()
        self._encode: Callable[[bytes], bytes]
        self._rows: list[bytes] = []
        self._taken = 0
        self.held_bytes = 0
        self._max_rows = max_rows
        self._max_bytes = max_bytes

    def send_header(self, columns: Sequence[ColumnDefinition], *, more: bool = False) -> None:
        """Keep the column definitions until it is known that all went well."""
        self._columns = columns
        self._encode = row_encoder(columns)

    def send_rows(self, payloads: Iterable[bytes]) -> None:
        """Keep rows; raises `ProxyError` (SP1218) where they are too many."""
        for payload in payloads:
            row = self._encode(payload)
            self._rows.append(row)
            self.held_bytes += len(row)
        if len(self._rows) > self._max_rows or self.held_bytes > self._max_bytes:
            raise ProxyError(MERGE_LIMIT, "the rows of a cursor take more than limits.merge_rows or limits.merge_bytes")

    def send_eof(self, eof: EofPacket) -> None:
        """All rows are here: tell the client that it may fetch them."""
        self.opened = True
        header, _ = encode_header(self._columns, eof.status | CURSOR_EXISTS, 1)
        self._send(header)

    def send_error(self, error: ErrPacket) -> None:
        """Nothing has been sent yet."""
        self.sequence = 1
        super().send_error(error)

    def take(self, count: int) -> tuple[list[bytes], bool]:
        """The next rows, in the binary form, and whether they are the last."""
        rows = self._rows[self._taken : self._taken + count]
        self._taken += len(rows)
        return rows, self._taken >= len(self._rows)
