"""The connection phase: greeting, TLS request, login, authentication switch. Both roles, bytes in and messages out."""

from __future__ import annotations

from dataclasses import dataclass, field

from shardproxy.protocol.auth import ED25519
from shardproxy.protocol.flags import AUTOCOMMIT, Capability
from shardproxy.protocol.wire_types import (
    MalformedPacket,
    lenenc_bytes,
    lenenc_int,
    read_fixed,
    read_int,
    read_lenenc_bytes,
    read_lenenc_int,
    read_nul_bytes,
)

PROTOCOL_VERSION = 10
SSL_REQUEST_BYTES = 32
# A login packet is far smaller than this even with every connection attribute; it bounds what an unknown peer can make us hold.
MAX_LOGIN_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Greeting:
    """Protocol::HandshakeV10, the server's first packet. `salt` is 20 bytes without NUL."""

    server_version: str
    thread_id: int
    salt: bytes
    capabilities: int
    charset: int = 45
    status: int = AUTOCOMMIT
    plugin: str = "mysql_native_password"


@dataclass(frozen=True, slots=True)
class Login:
    """Protocol::HandshakeResponse41, or the user part of a COM_CHANGE_USER."""

    user: str
    auth_response: bytes
    capabilities: int
    max_packet_bytes: int = 0
    charset: int = 0
    database: str | None = None
    plugin: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    zstd_level: int = 0


def build_greeting(greeting: Greeting) -> bytes:
    """Payload of a greeting."""
    caps = greeting.capabilities
    return b"".join(
        (
            bytes((PROTOCOL_VERSION,)),
            greeting.server_version.encode() + b"\0",
            greeting.thread_id.to_bytes(4, "little"),
            greeting.salt[:8] + b"\0",
            (caps & 0xFFFF).to_bytes(2, "little"),
            bytes((greeting.charset & 0xFF,)),
            greeting.status.to_bytes(2, "little"),
            (caps >> 16).to_bytes(2, "little"),
            bytes((21,)),
            b"\0" * 10,
            greeting.salt[8:] + b"\0",
            greeting.plugin.encode() + b"\0",
        )
    )


def parse_greeting(payload: bytes) -> Greeting:
    """Decode a greeting; raises `MalformedPacket` for any protocol but 10."""
    if payload[:1] != bytes((PROTOCOL_VERSION,)):
        raise MalformedPacket("not a greeting of protocol 10")
    version, pos = read_nul_bytes(payload, 1)
    thread_id, pos = read_int(payload, pos, 4)
    salt1, pos = read_fixed(payload, pos, 8)
    low, pos = read_int(payload, pos + 1, 2)
    charset, pos = read_int(payload, pos, 1)
    status, pos = read_int(payload, pos, 2)
    high, pos = read_int(payload, pos, 2)
    salt_bytes, pos = read_int(payload, pos, 1)
    salt2, pos = read_fixed(payload, pos + 10, max(13, salt_bytes - 8))
    capabilities = low | high << 16
    plugin = b""
    if capabilities & Capability.PLUGIN_AUTH:
        plugin, pos = read_nul_bytes(payload, pos)
    salt = (salt1 + salt2).rstrip(b"\0")
    return Greeting(_text(version), thread_id, salt, capabilities, charset, status, _text(plugin))


def is_ssl_request(payload: bytes) -> bool:
    """Whether a client's first packet asks for TLS instead of logging in."""
    return len(payload) == SSL_REQUEST_BYTES and bool(int.from_bytes(payload[:4], "little") & Capability.SSL)


def build_ssl_request(capabilities: int, charset: int = 45, max_packet_bytes: int = 1 << 24) -> bytes:
    """Payload of an SSLRequest."""
    flags = capabilities | Capability.SSL
    return int(flags).to_bytes(4, "little") + max_packet_bytes.to_bytes(4, "little") + bytes((charset,)) + b"\0" * 23


def build_login(login: Login) -> bytes:
    """Payload of a login packet, with the fields that its capabilities announce."""
    caps = login.capabilities
    parts = [
        int(caps).to_bytes(4, "little"),
        login.max_packet_bytes.to_bytes(4, "little"),
        bytes((login.charset & 0xFF,)),
        b"\0" * 23,
        login.user.encode() + b"\0",
    ]
    if caps & Capability.LENENC_CLIENT_DATA:
        parts.append(lenenc_bytes(login.auth_response))
    else:
        parts.append(bytes((len(login.auth_response),)) + login.auth_response)
    if caps & Capability.CONNECT_WITH_DB:
        parts.append((login.database or "").encode() + b"\0")
    if caps & Capability.PLUGIN_AUTH:
        parts.append((login.plugin or "").encode() + b"\0")
    if caps & Capability.CONNECT_ATTRS:
        block = b"".join(lenenc_bytes(k.encode()) + lenenc_bytes(v.encode()) for k, v in login.attributes.items())
        parts.append(lenenc_int(len(block)) + block)
    if caps & Capability.ZSTD_COMPRESSION:
        parts.append(bytes((login.zstd_level,)))
    return b"".join(parts)


def parse_login(payload: bytes, offered: int) -> Login:
    """Decode a login packet. A field is there only if both sides know its capability, whatever the client claims."""
    if len(payload) < 32:
        raise MalformedPacket("the login is cut short")
    caps = int.from_bytes(payload[:4], "little") & offered
    if not caps & Capability.PROTOCOL_41:
        raise MalformedPacket("the client is older than MySQL 4.1")
    max_packet = int.from_bytes(payload[4:8], "little")
    charset = payload[8]
    user, pos = read_nul_bytes(payload, 32)
    if caps & Capability.LENENC_CLIENT_DATA:
        auth, pos = read_lenenc_bytes(payload, pos)
    elif caps & Capability.SECURE_CONNECTION:
        n, pos = read_int(payload, pos, 1)
        auth, pos = read_fixed(payload, pos, n)
    else:
        auth, pos = read_nul_bytes(payload, pos)
    database: str | None = None
    if caps & Capability.CONNECT_WITH_DB and pos < len(payload):
        raw, pos = _nul_or_rest(payload, pos)
        database = _text(raw) or None
    plugin, pos = _optional_plugin(payload, pos, caps)
    attributes: dict[str, str] = {}
    if caps & Capability.CONNECT_ATTRS:
        attributes, pos = _attributes(payload, pos)
    # One byte of MySQL's clients, four of MariaDB's: the first of them says it.
    level = payload[pos] if caps & Capability.ZSTD_COMPRESSION and pos < len(payload) else 0
    return Login(_text(user), auth, caps, max_packet, charset, database, plugin, attributes, level)


def parse_change_user(body: bytes, capabilities: int) -> Login:
    """Decode a COM_CHANGE_USER behind its command byte; `capabilities` are those that the login agreed on."""
    user, pos = read_nul_bytes(body, 0)
    n, pos = read_int(body, pos, 1)
    auth, pos = read_fixed(body, pos, n)
    database, pos = _nul_or_rest(body, pos)
    charset = 0
    if pos + 2 <= len(body):
        charset, pos = read_int(body, pos, 2)
    plugin, pos = _optional_plugin(body, pos, capabilities)
    attributes = _attributes(body, pos)[0] if capabilities & Capability.CONNECT_ATTRS else {}
    return Login(_text(user), auth, capabilities, 0, charset, _text(database) or None, plugin, attributes)


def build_auth_switch(plugin: str, salt: bytes) -> bytes:
    """Payload of an AuthSwitchRequest. The NUL behind a salt is not part of it, and the ed25519 plugin does not want one."""
    return b"\xfe" + plugin.encode() + b"\0" + salt + (b"" if plugin == ED25519 else b"\0")


def parse_auth_switch(payload: bytes) -> tuple[str, bytes]:
    """Decode an AuthSwitchRequest into the plugin and its salt."""
    if payload[:1] != b"\xfe":
        raise MalformedPacket("not an authentication switch")
    plugin, pos = read_nul_bytes(payload, 1)
    return _text(plugin), payload[pos:].rstrip(b"\0")


def _optional_plugin(payload: bytes, pos: int, caps: int) -> tuple[str | None, int]:
    if not caps & Capability.PLUGIN_AUTH or pos >= len(payload):
        return None, pos
    raw, pos = _nul_or_rest(payload, pos)
    return _text(raw), pos


def _attributes(payload: bytes, pos: int) -> tuple[dict[str, str], int]:
    """Connection attributes. Some clients set the flag and leave the block out, so an absent block is an empty one."""
    if pos >= len(payload):
        return {}, pos
    size, pos = read_lenenc_int(payload, pos)
    end = pos + size
    if end > len(payload):
        raise MalformedPacket("the connection attributes are cut short")
    attributes: dict[str, str] = {}
    while pos < end:
        key, pos = read_lenenc_bytes(payload, pos)
        value, pos = read_lenenc_bytes(payload, pos)
        if pos > end:
            raise MalformedPacket("a connection attribute crosses its block")
        attributes[_text(key)] = _text(value)
    return attributes, end


def _nul_or_rest(payload: bytes, pos: int) -> tuple[bytes, int]:
    end = payload.find(b"\0", pos)
    return (payload[pos:], len(payload)) if end < 0 else (payload[pos:end], end + 1)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
