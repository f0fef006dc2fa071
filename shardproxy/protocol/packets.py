"""OK, ERR and EOF packets, in both directions."""

from __future__ import annotations

from dataclasses import dataclass

from shardproxy.protocol.flags import SESSION_STATE_CHANGED
from shardproxy.protocol.wire_types import MalformedPacket, lenenc_bytes, lenenc_int, read_int, read_lenenc_int


@dataclass(frozen=True, slots=True)
class OkPacket:
    """A statement succeeded and gave no rows. `changes` tells of the session's state, to clients with SESSION_TRACK only."""

    affected_rows: int = 0
    last_insert_id: int = 0
    status: int = 0
    warnings: int = 0
    info: bytes = b""
    changes: bytes = b""


@dataclass(frozen=True, slots=True)
class EofPacket:
    """The end of the columns or of the rows of a result set."""

    warnings: int = 0
    status: int = 0


@dataclass(frozen=True, slots=True)
class ErrPacket:
    """A statement or a login failed. `raw` is the message as it came, where that is in another character set than UTF-8."""

    errno: int
    sqlstate: str
    message: str
    raw: bytes = b""


def build_ok(ok: OkPacket) -> bytes:
    """Payload of an OK packet. The info string is length-encoded, as servers send it (the manual says otherwise)."""
    head = b"\0" + lenenc_int(ok.affected_rows) + lenenc_int(ok.last_insert_id)
    status = ok.status | SESSION_STATE_CHANGED if ok.changes else ok.status
    head += status.to_bytes(2, "little") + min(ok.warnings, 0xFFFF).to_bytes(2, "little")
    if ok.changes:
        return head + lenenc_bytes(ok.info) + lenenc_bytes(ok.changes)
    return head + lenenc_bytes(ok.info) if ok.info else head


def changed_variable(name: str, value: bytes) -> bytes:
    """One entry of `changes`: a system variable has a new value."""
    return b"\0" + lenenc_bytes(lenenc_bytes(name.encode()) + lenenc_bytes(value))


def changed_schema(name: str) -> bytes:
    """One entry of `changes`: another schema has been chosen."""
    return b"\x01" + lenenc_bytes(lenenc_bytes(name.encode()))


def parse_ok(payload: bytes) -> OkPacket:
    """Decode an OK packet; its changes are there on connections with SESSION_TRACK only."""
    affected, pos = read_lenenc_int(payload, 1)
    insert_id, pos = read_lenenc_int(payload, pos)
    status, pos = read_int(payload, pos, 2)
    warnings, pos = read_int(payload, pos, 2)
    info = b""
    if pos < len(payload):
        n, start = read_lenenc_int(payload, pos)
        if status & SESSION_STATE_CHANGED and start + n < len(payload):
            info = payload[start : start + n]
            n, start = read_lenenc_int(payload, start + n)
            if start + n != len(payload):
                raise MalformedPacket("the changes of an OK are cut short")
            return OkPacket(affected, insert_id, status, warnings, info, payload[start:])
        # Some servers send the rest of the packet without its length; take what is there.
        info = payload[start : start + n] if start + n == len(payload) else payload[pos:]
    return OkPacket(affected, insert_id, status, warnings, info)


def build_eof(eof: EofPacket) -> bytes:
    """Payload of an EOF packet."""
    return b"\xfe" + min(eof.warnings, 0xFFFF).to_bytes(2, "little") + eof.status.to_bytes(2, "little")


def parse_eof(payload: bytes) -> EofPacket:
    """Decode an EOF packet."""
    if len(payload) < 5:
        raise MalformedPacket("EOF is cut short")
    return EofPacket(int.from_bytes(payload[1:3], "little"), int.from_bytes(payload[3:5], "little"))


def build_err(err: ErrPacket) -> bytes:
    """Payload of an ERR packet. The text is cut at 512 characters, as MySQL itself cuts it."""
    text = err.raw[:512] or err.message[:512].encode("utf-8", "replace")
    return b"\xff" + err.errno.to_bytes(2, "little") + b"#" + err.sqlstate.encode("ascii") + text


def parse_err(payload: bytes) -> ErrPacket:
    """Decode an ERR packet; before the capabilities are agreed it comes without an SQLSTATE."""
    if len(payload) < 3:
        raise MalformedPacket("ERR is cut short")
    errno = int.from_bytes(payload[1:3], "little")
    sqlstate, raw = "HY000", payload[3:]
    if payload[3:4] == b"#" and len(payload) >= 9:
        sqlstate, raw = payload[4:9].decode("ascii", "replace"), payload[9:]
    message = raw.decode("utf-8", "replace")
    return ErrPacket(errno, sqlstate, message, raw if message.encode() != raw else b"")
