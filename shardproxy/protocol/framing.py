"""Packets on the wire: a 3-byte length, a sequence number, and payloads over 16 MB split in parts.

A payload of exactly 0xFFFFFF bytes is followed by another packet (an empty one if nothing is left). The first byte of such a
continuation means nothing and is never looked at.
"""

from __future__ import annotations

from shardproxy.errors import OUT_OF_ORDER, PACKET_TOO_LARGE, ProxyError

MAX_PAYLOAD = 0xFFFFFF


def encode_packet(payload: bytes, sequence: int) -> bytes:
    """Frame one payload, split where it is 16 MB or more. `sequence` is that of the first part and wraps at 256."""
    n = len(payload)
    if n < MAX_PAYLOAD:
        return n.to_bytes(3, "little") + bytes((sequence & 0xFF,)) + payload
    parts = []
    for start in range(0, n + 1, MAX_PAYLOAD):
        part = payload[start : start + MAX_PAYLOAD]
        parts.append(len(part).to_bytes(3, "little") + bytes((sequence & 0xFF,)) + part)
        sequence += 1
    return b"".join(parts)


def packet_count(payload_bytes: int) -> int:
    """How many packets a payload of that size takes, hence by how much the sequence number advances."""
    return payload_bytes // MAX_PAYLOAD + 1


class PacketReader:
    """Bytes in, whole payloads out, whatever the chunking.

    `max_payload_bytes` bounds one payload: a longer declared length raises `ProxyError` (1153) before anything of it is
    kept. `expect` is the sequence number that the next packet must have, or None where any will do.
    """

    __slots__ = ("_buffer", "_parts", "_parts_bytes", "_start", "expect", "max_payload_bytes", "sequence")

    def __init__(self, max_payload_bytes: int, expect: int | None = 0) -> None:
        self.max_payload_bytes = max_payload_bytes
        self.expect = expect
        self.sequence = 0
        self._buffer = bytearray()
        self._start = 0
        self._parts: list[bytes] = []
        self._parts_bytes = 0

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not yet taken out."""
        return len(self._buffer) - self._start + self._parts_bytes

    def feed(self, data: bytes) -> None:
        """Add what came from the peer."""
        self._buffer += data

    def take_rest(self) -> bytes:
        """Give back, and forget, the bytes behind the last packet taken: what follows an SSLRequest is TLS already."""
        rest = bytes(self._buffer[self._start :])
        self._clear()
        return rest

    def next_payload(self) -> bytes | None:
        """The next whole payload, or None until more bytes come. `sequence` is then that of its last packet."""
        while True:
            buffer, start = self._buffer, self._start
            if len(buffer) - start < 4:
                return None
            length = buffer[start] | buffer[start + 1] << 8 | buffer[start + 2] << 16
            sequence = buffer[start + 3]
            if self._parts_bytes + length > self.max_payload_bytes:
                self.sequence = sequence
                raise ProxyError(PACKET_TOO_LARGE, "got a packet bigger than 'max_allowed_packet' bytes", fatal=True)
            if self.expect is not None and sequence != self.expect:
                raise ProxyError(OUT_OF_ORDER, "got packets out of order", fatal=True)
            end = start + 4 + length
            if len(buffer) < end:
                return None
            self.sequence = sequence
            payload = bytes(buffer[start + 4 : end])
            self._advance(end)
            if length < MAX_PAYLOAD and not self._parts:
                return payload
            self._parts.append(payload)
            self._parts_bytes += length
            if self.expect is not None:
                self.expect = (sequence + 1) & 0xFF
            if length < MAX_PAYLOAD:
                whole = b"".join(self._parts)
                self._parts, self._parts_bytes = [], 0
                return whole

    def _advance(self, end: int) -> None:
        if end == len(self._buffer):
            self._clear()
        elif end > 1 << 16:
            del self._buffer[:end]
            self._start = 0
        else:
            self._start = end

    def _clear(self) -> None:
        self._buffer = bytearray()
        self._start = 0
