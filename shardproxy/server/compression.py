"""The compressed protocol: between the packets and the socket (or TLS), from the packet behind the login's OK on.

What is said is cut without regard to packets, and wrapped in packets of another kind: three bytes of length, a number, three bytes
of length before compression, or 0 where it was not compressed. They are numbered on their own: a command begins at 0, and whoever
speaks next goes on where the other one stopped. A client checks that, so a packet is only opened once the command before it has
been answered.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final, Protocol

from shardproxy.errors import CANNOT_EXPAND, OUT_OF_ORDER, ProxyError
from shardproxy.protocol.flags import Capability
from shardproxy.protocol.framing import MAX_PAYLOAD, PacketReader
from shardproxy.server.tls import TlsLayer

try:
    import zstandard
except ImportError:  # an extra: without it zlib alone is offered
    HAVE_ZSTD = False
else:
    HAVE_ZSTD = True

HEADER_BYTES: Final = 7
# Servers leave smaller ones as they are, too: it would not pay.
MIN_COMPRESSED_BYTES: Final = 50
# What one packet wraps, and what more belongs to the last packet in it. A client can read the first while it waits for the second.
PIECE_BYTES: Final = 256 * 1024
# A packet of ours that has not come whole waits until it has, as Connector/Python cannot read one whose header is cut, or that is
# in three parts. More than so much does not wait.
HELD_BYTES: Final = 4 << 20
# An answer is written in parts, often small ones, which are worth more together. So much is not kept waiting for more.
TOGETHER_BYTES: Final = 16 * 1024
# Of nine. The other ones take twice the time and more for a tenth less, and all clients wait meanwhile.
ZLIB_LEVEL: Final = 1
# Of 22, where a client asks for more; 3 where it asks for none.
MAX_ZSTD_LEVEL, ZSTD_LEVEL = 6, 3
# Enough for anything that a packet may announce, and what the decompressor may take for itself.
MAX_ZSTD_WINDOW_BYTES: Final = 1 << 24


class Codec(Protocol):
    """One way to compress."""

    def compress(self, data: bytes) -> bytes:
        """Data, made smaller or not."""

    def expand(self, data: bytes, size: int) -> bytes:
        """What was compressed, `size` bytes by what its packet says; another size is for the caller to see.

        Never makes more than one byte more than that. Raises `ValueError` where it cannot be done.
        """


class Zlib:
    """CLIENT_COMPRESS."""

    def compress(self, data: bytes) -> bytes:
        """See `Codec`."""
        return zlib.compress(data, ZLIB_LEVEL)

    def expand(self, data: bytes, size: int) -> bytes:
        """See `Codec`."""
        stream = zlib.decompressobj()
        try:
            # One byte more: to the end of the stream, with its checksum, it comes only where there is room left.
            found = stream.decompress(data, size + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if not stream.eof or stream.unused_data:
            raise ValueError("the stream does not end with its packet")
        return found


class Zstd:
    """CLIENT_ZSTD_COMPRESSION_ALGORITHM; `level` is what the client asks for."""

    def __init__(self, level: int) -> None:
        self._compressor = zstandard.ZstdCompressor(level=min(level or ZSTD_LEVEL, MAX_ZSTD_LEVEL))
        self._expander = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW_BYTES)

    def compress(self, data: bytes) -> bytes:
        """See `Codec`."""
        return self._compressor.compress(data)

    def expand(self, data: bytes, size: int) -> bytes:
        """See `Codec`."""
        try:
            # Not `decompress`, which believes what the frame says of its size.
            with self._expander.stream_reader(data) as stream:
                return stream.read(size + 1)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None


def offered_compression(allowed: tuple[str, ...]) -> int:
    """The capabilities for what the config allows and this process can do."""
    zlib_flag = Capability.COMPRESS if "zlib" in allowed else 0
    return zlib_flag | (Capability.ZSTD_COMPRESSION if HAVE_ZSTD and "zstd" in allowed else 0)


def codec_for(capabilities: int, zstd_level: int) -> Codec | None:
    """What a login has agreed on; zlib where that leaves a choice, as MySQL has it."""
    if capabilities & Capability.COMPRESS:
        return Zlib()
    return Zstd(zstd_level) if capabilities & Capability.ZSTD_COMPRESSION else None


class CompressionLayer:
    """Stands in for a connection's `PacketReader`, as compressed packets are opened one by one as packets are asked for; and for its
    `TlsLayer`, which it keeps `below` itself.

    `later` is called when something has been sent that should go out at the end of this callback of the event loop.
    """

    def __init__(self, codec: Codec, below: TlsLayer | None, max_payload_bytes: int, later: Callable[[], object]) -> None:
        self._codec = codec
        self._below = below
        self._later = later
        self._packets = PacketReader(max_payload_bytes)
        self._received = bytearray()
        # Of the next packet, whoever sends it.
        self._number = 0
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._asked = False
        # Bytes that are still to come of a packet whose beginning was too long to wait.
        self._ahead = 0
        self._packed: list[bytes] = []

    # -- PacketReader -------------------------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not yet taken out, compressed or not."""
        return len(self._received) + self._packets.buffered

    @property
    def sequence(self) -> int:
        """The number of the last packet taken, as its own header has it."""
        return self._packets.sequence

    @property
    def expect(self) -> int | None:
        """The number that the next packet must have."""
        return self._packets.expect

    @expect.setter
    def expect(self, number: int | None) -> None:
        self._packets.expect = number

    @property
    def max_payload_bytes(self) -> int:
        """The largest payload of a packet."""
        return self._packets.max_payload_bytes

    @max_payload_bytes.setter
    def max_payload_bytes(self, size: int) -> None:
        self._packets.max_payload_bytes = size

    def feed(self, data: bytes) -> None:
        """Add what came from the client."""
        self._received += data

    def take_rest(self) -> bytes:
        """Give back, and forget, what has not been opened."""
        rest = bytes(self._received)
        self._received.clear()
        return rest

    def next_payload(self) -> bytes | None:
        """The next whole payload, or None until more bytes come. Raises `ProxyError` as `PacketReader` does, and where what was
        compressed is not what was announced."""
        while True:
            payload = self._packets.next_payload()
            if payload is not None or not self._open():
                return payload

    def _open(self) -> bool:
        """Open the next compressed packet, if it is whole."""
        received = self._received
        if len(received) < HEADER_BYTES:
            return False
        end = HEADER_BYTES + int.from_bytes(received[:3], "little")
        number, size = received[3], int.from_bytes(received[4:HEADER_BYTES], "little")
        in_order = number in (0, self._number)
        if in_order and len(received) < end:
            return False
        # What was sent before belongs to the numbers before; a refusal to the ones behind.
        self._pack()
        self._number = (number + 1) & 0xFF
        if not in_order:
            raise ProxyError(OUT_OF_ORDER, "got packets out of order", fatal=True)
        data = bytes(received[HEADER_BYTES:end])
        del received[:end]
        if size:
            try:
                expanded = self._codec.expand(data, size)
            except ValueError:
                raise ProxyError(CANNOT_EXPAND, fatal=True) from None
            if len(expanded) != size:
                raise ProxyError(CANNOT_EXPAND, "a compressed packet is not of the size that it announces", fatal=True)
            data = expanded
        self._packets.feed(data)
        return True

    # -- TlsLayer -----------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the socket; gives them without TLS, for `feed`."""
        return data if self._below is None else self._below.receive(data)

    def send(self, data: bytes) -> bool:
        """Take bytes for the client; gives whether they should go out at once."""
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes >= TOGETHER_BYTES:
            return True
        if not self._asked:
            self._asked = True
            self._later()
        return False

    def outgoing(self) -> bytes:
        """What must be written to the socket now."""
        self._asked = False
        self._pack()
        data = b"".join(self._packed)
        self._packed.clear()
        if self._below is None:
            return data
        if data:
            self._below.send(data)
        return self._below.outgoing()

    def restart(self) -> None:
        """What is sent next answers no command, so it is numbered from 0."""
        self._pack()
        self._number = 0

    def _pack(self) -> None:
        """Wrap what has been sent, as far as its packets are whole."""
        if not self._unsent:
            return
        data = b"".join(self._unsent)
        size = len(data)
        start, end = 0, self._ahead
        following = end
        while following <= size:
            end = following
            if end - start >= PIECE_BYTES:
                self._wrap(data[start:end])
                start = end
            following = end + 4 + int.from_bytes(data[end : end + 3], "little") if end + 4 <= size else size + 1
        if end > size or size - end >= HELD_BYTES:
            self._ahead = max(end, following) - size
            end = size
        else:
            self._ahead = 0
        if end > start:
            self._wrap(data[start:end])
        rest = data[end:]
        self._unsent = [rest] if rest else []
        self._unsent_bytes = len(rest)

    def _wrap(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_PAYLOAD):
            piece = data[start : start + MAX_PAYLOAD]
            size = len(piece)
            packed = self._codec.compress(piece) if size >= MIN_COMPRESSED_BYTES else piece
            if len(packed) >= size:
                packed, size = piece, 0
            self._packed.append(len(packed).to_bytes(3, "little") + bytes((self._number,)) + size.to_bytes(3, "little") + packed)
            self._number = (self._number + 1) & 0xFF
