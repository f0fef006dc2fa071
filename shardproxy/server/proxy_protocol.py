"""The PROXY protocol, versions 1 and 2: what a load balancer says of the client behind it, before that client's first byte.

No I/O: bytes in, the client's address out. The specification is HAProxy's `proxy-protocol.txt`. What has no header is told from
what has one by four bytes at most: a client's first packet is numbered 1, and at that place a header has an `X` or a newline.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

V1_PREFIX: Final = b"PROXY "
V2_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
# The specification's bound, the newline included.
MAX_V1_BYTES: Final = 107
# What may follow the signature's four bytes: addresses take 216 at most, the rest are additions that we skip. Load balancers add
# some hundred bytes; nobody needs the 64 KiB that the length could say.
MAX_V2_BODY_BYTES: Final = 4096

_PORT = re.compile(r"(?:0|[1-9][0-9]{0,4})")
# Family and transport → bytes of both addresses (and ports) together, bytes of one address.
_TCP4, _TCP6, _UNIX_STREAM = 0x11, 0x21, 0x31
_SIZES = {_TCP4: (12, 4), _TCP6: (36, 16), _UNIX_STREAM: (216, 108)}


class MalformedHeaderError(ValueError):
    """What began like a header is none."""


@dataclass(frozen=True, slots=True)
class Header:
    """What was found before the client's bytes. `version` is 0 where there is no header.

    `host` is the client's address, None where that of the socket counts: no header, LOCAL, UNKNOWN. `rest` are the client's bytes.
    """

    version: int
    host: str | None
    rest: bytes


class HeaderReader:
    """Takes a connection's first bytes, however they are cut, until it is clear what they are. Holds 4 KiB and what came last."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Header | None:
        """Add bytes; the header once it is whole, None while it is not. Raises `MalformedHeaderError`. Not to be called again then."""
        self._buffer += data
        buffer = self._buffer
        if buffer.startswith(V1_PREFIX):
            return _version_1(buffer)
        if buffer.startswith(V2_SIGNATURE):
            return _version_2(buffer)
        if V1_PREFIX.startswith(buffer) or V2_SIGNATURE.startswith(buffer):
            return None
        return Header(0, None, buffer)


def _version_1(buffer: bytes) -> Header | None:
    end = buffer.find(b"\r\n", 0, MAX_V1_BYTES)
    if end < 0:
        if len(buffer) >= MAX_V1_BYTES:
            raise MalformedHeaderError(f"no end within {MAX_V1_BYTES} bytes")
        return None
    try:
        words = buffer[len(V1_PREFIX) : end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise MalformedHeaderError("not ASCII") from None
    rest = buffer[end + 2 :]
    if words[0] == "UNKNOWN":
        return Header(1, None, rest)
    if len(words) != 5 or words[0] not in ("TCP4", "TCP6"):
        raise MalformedHeaderError("not a protocol, two addresses and two ports")
    version = 4 if words[0] == "TCP4" else 6
    host, _ = (_address(word, version) for word in words[1:3])
    for port in words[3:]:
        if not _PORT.fullmatch(port) or int(port) > 65535:
            raise MalformedHeaderError("not a port")
    return Header(1, host, rest)


def _version_2(buffer: bytes) -> Header | None:
    start = len(V2_SIGNATURE) + 4
    if len(buffer) < start:
        return None
    version_command, family = buffer[start - 4 : start - 2]
    size = int.from_bytes(buffer[start - 2 : start], "big")
    if version_command not in (0x20, 0x21):
        raise MalformedHeaderError("not LOCAL or PROXY of version 2")
    if size > MAX_V2_BODY_BYTES:
        raise MalformedHeaderError(f"more than {MAX_V2_BODY_BYTES} bytes")
    if len(buffer) < start + size:
        return None
    body, rest = buffer[start : start + size], buffer[start + size :]
    # LOCAL is the load balancer itself, at a health check; family 0 is a client that it cannot describe.
    if version_command == 0x20 or family == 0:
        return Header(2, None, rest)
    if family not in _SIZES:
        raise MalformedHeaderError("not a stream of a known family")
    both, one = _SIZES[family]
    if size < both:
        raise MalformedHeaderError("the addresses are cut short")
    if family == _UNIX_STREAM:
        return Header(2, "localhost", rest)
    return Header(2, plain_address(ipaddress.ip_address(body[:one])), rest)


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise MalformedHeaderError("not an address") from None
    if address.version != version or "%" in text:
        raise MalformedHeaderError("not an address of that family")
    return plain_address(address)


def plain_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An address as a user knows it: an IPv4 address also where it came in the form of IPv6."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
