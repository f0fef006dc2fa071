"""TLS on a connection that began in clear.

A client sends its ClientHello right behind the SSLRequest, often in the same segment, so the bytes are here already when TLS
starts. asyncio's own upgrade would wait for them for ever; here they go through an `ssl.MemoryBIO`.
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """A context for clients; raises `ssl.SSLError` or `OSError` where the files do not do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    return context


def certificate_fingerprint(cert: Path) -> bytes:
    """SHA256 of the first certificate of a chain, which is the one that a client gets to see as the server's own."""
    begin, end = ssl.PEM_HEADER, ssl.PEM_FOOTER
    text = cert.read_text(encoding="ascii", errors="replace")
    first = text[text.index(begin) : text.index(end) + len(end)]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).digest()


class TlsLayer:
    """Encrypted bytes in, clear bytes out, and the other way round; without I/O.

    `outgoing` is what must be written to the socket after each call. Raises `ssl.SSLError` where the peer does not keep to TLS.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.established = False
        self.ended = False

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the socket; gives what they say in clear."""
        self._incoming.write(data)
        if not self.established:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            self.established = True
        parts = []
        while True:
            try:
                part = self._object.read(65536)
            except ssl.SSLWantReadError:
                break
            if not part:
                # The client has said goodbye; what it does with its socket after that is nothing to wait for.
                self.ended = True
                break
            parts.append(part)
        return b"".join(parts)

    def send(self, data: bytes) -> bool:
        """Encrypt; the result is in `outgoing`. Gives whether there is one.

        A client that has asked for TLS could not read an answer in clear: until TLS is there, it only sees the connection close.
        """
        if self.established:
            self._object.write(data)
        return self.established

    @property
    def version(self) -> str:
        """The protocol's, as `TLSv1.3`."""
        return self._object.version() or ""

    @property
    def cipher(self) -> str:
        """The cipher's name."""
        cipher = self._object.cipher()
        return cipher[0] if cipher else ""

    def outgoing(self) -> bytes:
        """What must be written to the socket now."""
        return self._outgoing.read()


def status_of(layer: TlsLayer | None) -> dict[bytes, bytes]:
    """What SHOW STATUS says of a connection with this layer, or without one."""
    version, cipher = (layer.version, layer.cipher) if layer is not None else ("", "")
    return {b"ssl_version": version.encode(), b"ssl_cipher": cipher.encode()}
