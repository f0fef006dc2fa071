"""A MySQL client made of bytes: it sends what it is told to, right or wrong, and never more."""

import hashlib
import socket
import ssl
import zlib
from typing import NamedTuple, Self

import zstandard

CONNECT_WITH_DB = 1 << 3
PROTOCOL_41 = 1 << 9
SSL = 1 << 11
SECURE_CONNECTION = 1 << 15
PLUGIN_AUTH = 1 << 19
COMPRESS = 1 << 5
ZSTD = 1 << 26
MULTI_STATEMENTS = 1 << 16
LOGIN_FLAGS = 1 | PROTOCOL_41 | 1 << 13 | SECURE_CONNECTION | 1 << 17 | PLUGIN_AUTH


class ClosedError(Exception):
    """The other side has closed the connection."""


class Err(NamedTuple):
    """What an ERR packet says."""

    errno: int
    text: str


class WireClient:
    """One socket. Packets are sent and read one at a time; `sequence` is that of the packet read last,
    `status` that of the last result, `header_status` the one behind its columns."""

    def __init__(self, port: int, timeout_s: float = 15.0, host: str = "127.0.0.1") -> None:
        self._set_up(socket.create_connection((host, port), timeout_s))

    @classmethod
    def over(cls, connected: socket.socket) -> Self:
        """A client on a socket that is connected already, of whatever family."""
        client = cls.__new__(cls)
        client._set_up(connected)
        return client

    def _set_up(self, connected: socket.socket) -> None:
        self.socket = connected
        self.sequence = -1
        self.status = 0
        self.header_status = 0
        self.salt = b""
        self.greeting = b""
        self._buffer = b""
        # The capability by which it compresses, what has come compressed, the numbers that has had, and the one that must be next.
        self.compression = 0
        self.compressed = b""
        self.numbers: list[int] = []
        self.number: int | None = 0
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    # -- bytes and packets

    def send(self, data: bytes) -> None:
        """Send bytes as they are, through TLS once that has started."""
        if self.compression:
            data = self.compress(data)
        self.send_raw(data)

    def compress(self, data: bytes, number: int = 0) -> bytes:
        """One compressed packet; what is read next must be the answer to it."""
        self.number = number + 1
        packed = zlib.compress(data) if self.compression == COMPRESS else zstandard.compress(data)
        return compressed_packet(packed, number, len(data))

    def send_raw(self, data: bytes) -> None:
        """Send bytes uncompressed, through TLS once that has started."""
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        self.socket.sendall(data)

    def send_packet(self, payload: bytes, sequence: int = 0) -> None:
        """Send one packet of less than 16 MB."""
        self.send(packet(payload, sequence))

    def read_packet(self) -> bytes:
        """The next payload; raises `ClosedError` at the end of the stream and `TimeoutError` where nothing comes."""
        head = self._take(4)
        self.sequence = head[3]
        return self._take(int.from_bytes(head[:3], "little"))

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _receive(self) -> None:
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            raise ClosedError
        if self._tls is None:
            self._expand(data)
            return
        self._incoming.write(data)
        try:
            while part := self._tls.read(1 << 16):
                self._expand(part)
        except ssl.SSLWantReadError:
            pass

    def _expand(self, data: bytes) -> None:
        """Add what came to what can be read. Compressed packets must be numbered without a gap, as the C libraries demand, unless
        `number` is None."""
        if not self.compression:
            self._buffer += data
            return
        self.compressed += data
        while len(self.compressed) >= 7 and len(self.compressed) >= (end := 7 + int.from_bytes(self.compressed[:3], "little")):
            head, data, self.compressed = self.compressed[:7], self.compressed[7:end], self.compressed[end:]
            self.numbers.append(head[3])
            if self.number is not None:
                assert head[3] == self.number & 0xFF, (head, self.number)
                self.number += 1
            if size := int.from_bytes(head[4:], "little"):
                data = zlib.decompress(data) if self.compression == COMPRESS else zstandard.decompress(data)
                assert len(data) == size
            self._buffer += data

    def is_closed(self) -> bool:
        """Read whatever still comes; True where the other side then closes, False where it is silent."""
        try:
            while True:
                self._buffer = b""
                self._receive()
        except ClosedError:
            return True
        except TimeoutError:
            return False

    # -- login

    def read_greeting(self) -> bytes:
        """Read the greeting and keep its salt."""
        self.greeting = payload = self.read_packet()
        rest = payload[payload.index(b"\0", 1) + 5 :]
        self.salt = rest[:8] + rest[27 : 27 + 12]
        return payload

    def start_tls(self, flags: int = LOGIN_FLAGS) -> None:
        """SSLRequest with the ClientHello right behind it, in one segment; then the rest of the TLS handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        tls = context.wrap_bio(self._incoming, self._outgoing)
        first = packet(ssl_request(flags), 1)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(first + self._outgoing.read())
                first = b""
                data = self.socket.recv(1 << 16)
                if not data:
                    raise ClosedError from None
                self._incoming.write(data)
        self.socket.sendall(self._outgoing.read())
        self._tls = tls

    def login(
        self,
        user: str = "app",
        password: str = "app",
        database: str = "app",
        flags: int = LOGIN_FLAGS,
        *,
        tls: bool = False,
        compression: int = 0,
    ) -> Self:
        """Read the greeting and log in by mysql_native_password; raises AssertionError where that is refused."""
        self.read_greeting()
        flags |= compression
        if tls:
            self.start_tls(flags)
        scramble = native_scramble(password.encode(), self.salt)
        self.send_packet(login_payload(user, scramble, database, flags), 2 if tls else 1)
        answer = self.read_packet()
        assert answer[:1] == b"\0", answer
        self.compression = compression
        return self

    # -- commands

    def command(self, payload: bytes) -> bytes:
        """Send a command and read the first packet of its answer."""
        self.send_packet(payload)
        return self.read_packet()

    def query(self, sql: bytes) -> list[tuple[bytes | None, ...]] | Err:
        """Run a statement: its rows (none for an OK), or its error."""
        self.send_packet(b"\x03" + sql)
        return self.read_result()

    def read_result(self) -> list[tuple[bytes | None, ...]] | Err:
        """Read one answer to its end."""
        first = self.read_packet()
        if first[:1] == b"\xff":
            return err(first)
        if first[:1] == b"\0":
            self.status = _ok_status(first)
            return []
        for _ in range(first[0]):
            self.read_packet()
        end = self.read_packet()
        assert end[:1] == b"\xfe"
        self.header_status = int.from_bytes(end[3:5], "little")
        rows: list[tuple[bytes | None, ...]] = []
        while True:
            payload = self.read_packet()
            if payload[:1] == b"\xfe" and len(payload) < 9:
                self.status = int.from_bytes(payload[3:5], "little")
                return rows
            if payload[:1] == b"\xff":
                return err(payload)
            rows.append(_row(payload))


def packet(payload: bytes, sequence: int = 0) -> bytes:
    """Frame one payload of less than 16 MB."""
    return len(payload).to_bytes(3, "little") + bytes((sequence & 0xFF,)) + payload


def compressed_packet(data: bytes, number: int, size: int) -> bytes:
    """Frame what is compressed already; `size` is what it announces, 0 for data that is not compressed."""
    return len(data).to_bytes(3, "little") + bytes((number & 0xFF,)) + size.to_bytes(3, "little") + data


def err(payload: bytes) -> Err:
    """What an ERR packet says."""
    assert payload[:1] == b"\xff", payload[:40]
    return Err(int.from_bytes(payload[1:3], "little"), payload[9:].decode("utf-8", "replace"))


def ssl_request(flags: int = LOGIN_FLAGS) -> bytes:
    """Payload of an SSLRequest."""
    return (flags | SSL).to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + bytes((45,)) + b"\0" * 23


def login_payload(user: str, response: bytes, database: str = "", flags: int = LOGIN_FLAGS, plugin: str = "mysql_native_password") -> bytes:
    """Payload of a login packet."""
    flags |= CONNECT_WITH_DB if database else 0
    head = flags.to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + bytes((45,)) + b"\0" * 23
    body = user.encode() + b"\0" + bytes((len(response),)) + response
    body += database.encode() + b"\0" if database else b""
    return head + body + (plugin.encode() + b"\0" if flags & PLUGIN_AUTH else b"")


def native_scramble(password: bytes, salt: bytes) -> bytes:
    """The answer of mysql_native_password."""
    if not password:
        return b""
    one = hashlib.sha1(password).digest()
    two = hashlib.sha1(salt + hashlib.sha1(one).digest()).digest()
    return bytes(a ^ b for a, b in zip(one, two, strict=True))


def sha2_scramble(password: bytes, salt: bytes) -> bytes:
    """The answer of caching_sha2_password."""
    if not password:
        return b""
    one = hashlib.sha256(password).digest()
    two = hashlib.sha256(hashlib.sha256(one).digest() + salt).digest()
    return bytes(a ^ b for a, b in zip(one, two, strict=True))


def _ok_status(payload: bytes) -> int:
    at = 1
    for _ in range(2):
        at += {0xFC: 3, 0xFD: 4, 0xFE: 9}.get(payload[at], 1)
    return int.from_bytes(payload[at : at + 2], "little")


def _row(payload: bytes) -> tuple[bytes | None, ...]:
    values: list[bytes | None] = []
    at = 0
    while at < len(payload):
        size, at = payload[at], at + 1
        if size == 0xFB:
            values.append(None)
            continue
        if size > 0xFB:
            width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[size]
            size, at = int.from_bytes(payload[at : at + width], "little"), at + width
        values.append(payload[at : at + size])
        at += size
    return tuple(values)
