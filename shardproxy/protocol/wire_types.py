"""The protocol's basic types: fixed and length-encoded integers and strings.

Names follow the MySQL manual ("Protocol::LengthEncodedInteger" and its page). Every read is checked against the bytes that
are there; a short buffer raises `MalformedPacket` and nothing is allocated for a length that was only declared.
"""

from __future__ import annotations

from shardproxy.errors import MALFORMED_PACKET, ProxyError


class MalformedPacket(ProxyError):
    """A peer sent a packet that does not follow the protocol; its connection is closed."""

    def __init__(self, detail: str) -> None:
        super().__init__(MALFORMED_PACKET, f"malformed packet: {detail}", fatal=True)


def lenenc_int(value: int) -> bytes:
    """Encode `int<lenenc>`; `value` is 0 to 2^64 - 1."""
    if value < 251:
        return bytes((value,))
    if value < 0x10000:
        return b"\xfc" + value.to_bytes(2, "little")
    if value < 0x1000000:
        return b"\xfd" + value.to_bytes(3, "little")
    return b"\xfe" + value.to_bytes(8, "little")


def lenenc_bytes(value: bytes) -> bytes:
    """Encode `string<lenenc>`."""
    n = len(value)
    if n < 251:
        return bytes((n,)) + value
    return lenenc_int(n) + value


def read_lenenc_int(buf: bytes, pos: int) -> tuple[int, int]:
    """Decode `int<lenenc>` at `pos`; gives the value and the position behind it."""
    try:
        first = buf[pos]
    except IndexError:
        raise MalformedPacket("an integer is missing") from None
    if first < 0xFB:
        return first, pos + 1
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first, 0)
    if not width or pos + 1 + width > len(buf):
        raise MalformedPacket("an integer is cut short")
    return int.from_bytes(buf[pos + 1 : pos + 1 + width], "little"), pos + 1 + width


def read_lenenc_bytes(buf: bytes, pos: int) -> tuple[bytes, int]:
    """Decode `string<lenenc>` at `pos`; gives the bytes and the position behind them."""
    n, pos = read_lenenc_int(buf, pos)
    end = pos + n
    if end > len(buf):
        raise MalformedPacket("a string is longer than its packet")
    return buf[pos:end], end


def read_nul_bytes(buf: bytes, pos: int) -> tuple[bytes, int]:
    """Decode `string<NUL>` at `pos`; gives the bytes without the NUL and the position behind it."""
    end = buf.find(b"\0", pos)
    if end < 0:
        raise MalformedPacket("a string has no end")
    return buf[pos:end], end + 1


def read_fixed(buf: bytes, pos: int, n: int) -> tuple[bytes, int]:
    """Take exactly `n` bytes at `pos`."""
    end = pos + n
    if end > len(buf):
        raise MalformedPacket("the packet is cut short")
    return buf[pos:end], end


def read_int(buf: bytes, pos: int, width: int) -> tuple[int, int]:
    """Decode `int<width>` (little endian) at `pos`."""
    raw, pos = read_fixed(buf, pos, width)
    return int.from_bytes(raw, "little"), pos
