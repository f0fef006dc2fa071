"""Events of a binary log: headers, checksums and the bodies that matter, without any state.

Numbers and forms follow MySQL's `mysql/binlog/event` and MariaDB's `log_event.h`; https://mariadb.com/kb/en/replication-protocol/.
An event is handled as the payload of its packet: a status byte, the header of 19 bytes, the body, and the checksum if there is one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from migrate.binlog.errors import MalformedEvent, UnknownEvent
from migrate.binlog.rows import MAX_BYTES, expand
from shardproxy.protocol.wire_types import MalformedPacket, read_lenenc_int

zstandard: Any
try:
    import zstandard
except ImportError:  # the extra `zstd`; only MySQL with binlog_transaction_compression needs it
    zstandard = None
_ZSTD_ERRORS: Final[tuple[type[Exception], ...]] = () if zstandard is None else (zstandard.ZstdError,)

QUERY: Final = 2
STOP: Final = 3
ROTATE: Final = 4
INTVAR: Final = 5
RAND: Final = 13
USER_VAR: Final = 14
FORMAT_DESCRIPTION: Final = 15
XID: Final = 16
EXECUTE_LOAD_QUERY: Final = 18
TABLE_MAP: Final = 19
INCIDENT: Final = 26
HEARTBEAT: Final = 27
GTID: Final = 33
ANONYMOUS_GTID: Final = 34
XA_PREPARE: Final = 38
PARTIAL_UPDATE_ROWS: Final = 39
TRANSACTION_PAYLOAD: Final = 40
HEARTBEAT_V2: Final = 41
GTID_TAGGED: Final = 42
MARIADB_GTID: Final = 162
GTIDS: Final = (MARIADB_GTID, GTID, ANONYMOUS_GTID, GTID_TAGGED)
START_ENCRYPTION: Final = 164
QUERY_COMPRESSED: Final = 165
# BEGIN_LOAD_QUERY, APPEND_BLOCK and DELETE_FILE belong to EXECUTE_LOAD_QUERY, which is looked at; IGNORABLE, ROWS_QUERY, PREVIOUS_GTIDS,
# TRANSACTION_CONTEXT, VIEW_CHANGE; MariaDB's ANNOTATE_ROWS, BINLOG_CHECKPOINT, GTID_LIST.
PASSED: Final = frozenset((INTVAR, RAND, USER_VAR, STOP, 9, 11, 17, 28, 29, 35, 36, 37, 160, 161, 163))
# Rows events by number: what they do (see `rows`), whether extra data comes first (version 2), whether the rows are compressed.
ROWS: Final[dict[int, tuple[int, bool, bool]]] = {
    **{23 + kind: (kind, False, False) for kind in range(3)},
    **{30 + kind: (kind, True, False) for kind in range(3)},
    **{166 + kind: (kind, False, True) for kind in range(3)},
    **{169 + kind: (kind, True, True) for kind in range(3)},
}

FLAG_IN_USE: Final = 0x01
FLAG_ARTIFICIAL: Final = 0x20
FLAG_IGNORABLE: Final = 0x80
HEADER_END: Final = 20  # behind the status byte and the header
_HEADER: Final = struct.Struct("<xIBIIIH")
_CHECKSUM_BYTES: Final = 4
_CRC32: Final = 1
# What a CRC-32 must begin with for a 0 byte in front to change nothing, and what it is of any bytes with their own CRC-32 behind them: so
# one call does, without a copy.
_CRC_START: Final = 0x0F6A7026
_CRC_WHOLE: Final = 0x2144DF1C
# What this reader takes the fixed parts of bodies for; a server that says otherwise speaks another format.
_FIXED_PARTS: Final = {
    QUERY: 13,
    ROTATE: 8,
    TABLE_MAP: 8,
    **{code: 10 if extra else 8 for code, (_, extra, _) in ROWS.items()},
}
_GTID_STANDALONE: Final = 1
_GTID_PREPARED_XA: Final = 64
_ZSTD: Final = 0
_PLAIN: Final = 255
_PAYLOAD_TYPE: Final = 2
_PAYLOAD_SIZE: Final = 3
_PAYLOAD_END: Final = 0
# Servers compress with windows of 8 MB at most.
_MAX_WINDOW_BYTES: Final = 1 << 27

Header = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement that was logged as text, or a word of a transaction's frame."""

    schema: bytes
    text: bytes


def parse_header(event: bytes) -> Header:
    """Time, type, server id, size, position of the event's end (its low four bytes) and flags."""
    if len(event) < HEADER_END:
        raise MalformedEvent("an event is cut short")
    header: Header = _HEADER.unpack_from(event)
    if header[3] != len(event) - 1:
        raise MalformedEvent(f"an event of type {header[1]} is not as long as it says")
    return header


def checksum_holds(event: bytes) -> bool:
    """Whether the last four bytes are the checksum of the others, but for the status byte, which is 0."""
    return len(event) >= HEADER_END + _CHECKSUM_BYTES and zlib.crc32(event, _CRC_START) == _CRC_WHOLE


def parse_format(event: bytes) -> bool:
    """Read a format description; gives whether the events of its file have checksums."""
    at = HEADER_END
    lengths = event[at + 57 : len(event) - _CHECKSUM_BYTES - 1]
    if len(lengths) < TABLE_MAP or event[at : at + 2] != b"\x04\0" or event[at + 56] != HEADER_END - 1:
        raise MalformedEvent("the source's binary log has an unknown format")
    for code, length in _FIXED_PARTS.items():
        # A server leaves the events at 0 that it never writes.
        if code <= len(lengths) and lengths[code - 1] not in (length, 0):
            raise MalformedEvent(f"events of type {code} have an unknown format")
    method = event[len(event) - _CHECKSUM_BYTES - 1]
    if method not in (0, _CRC32):
        raise MalformedEvent(f"the source's binary log has checksums of an unknown kind {method}")
    if method == _CRC32 and not checksum_holds(event):
        # A file that is still written, or was when its server died, has a flag that the checksum is without.
        flags = event[18] & ~FLAG_IN_USE
        if not checksum_holds(event[:18] + bytes((flags,)) + event[19:]):
            raise MalformedEvent("a format description has a wrong checksum")
    return method == _CRC32


def parse_rotate(event: bytes, end: int) -> tuple[str, int]:
    """The next file, and the offset in it."""
    if end < HEADER_END + 9:
        raise MalformedEvent("the name of the next log is missing")
    return event[HEADER_END + 8 : end].decode("utf-8", "replace"), int.from_bytes(event[HEADER_END : HEADER_END + 8], "little")


def parse_query(event: bytes, end: int, code: int) -> Query:
    """The statement of a QUERY event, compressed or not, or of an EXECUTE_LOAD_QUERY."""
    at = HEADER_END
    start = at + 13 + (13 if code == EXECUTE_LOAD_QUERY else 0)
    if start > end:
        raise MalformedEvent("a statement is cut short")
    schema_bytes = event[at + 8]
    start += event[at + 11] | event[at + 12] << 8
    text = start + schema_bytes + 1
    if text > end:
        raise MalformedEvent("a statement is cut short")
    body = event[text:end]
    return Query(event[start : text - 1], expand(body) if code == QUERY_COMPRESSED else body)


def parse_prepare(event: bytes, end: int) -> tuple[bool, bytes]:
    """Whether an XA transaction was committed in one phase, and its id as `XA COMMIT` writes it."""
    at = HEADER_END
    if at + 13 > end:
        raise MalformedEvent("the end of an XA transaction is cut short")
    format_id, gtrid, bqual = struct.unpack_from("<iII", event, at + 1)
    data = event[at + 13 : end]
    if gtrid > 64 or bqual > 64 or gtrid + bqual > len(data):
        raise MalformedEvent("an XA transaction's id is cut short")
    return event[at] != 0, xid_text(data[:gtrid], data[gtrid : gtrid + bqual], format_id)


def xid_text(gtrid: bytes, bqual: bytes, format_id: int) -> bytes:
    """An XA transaction's id in the form that servers log it."""
    return f"X'{gtrid.hex()}',X'{bqual.hex()}',{format_id}".encode()


def parse_gtid(event: bytes, end: int, code: int) -> tuple[bool, bool]:
    """Whether the group that follows may be of one event only, and whether it is to be prepared. MySQL tells both with a statement."""
    if code != MARIADB_GTID:
        return True, False
    if end < HEADER_END + 13:
        raise MalformedEvent("a GTID is cut short")
    flags = event[HEADER_END + 12]
    return bool(flags & _GTID_STANDALONE), bool(flags & _GTID_PREPARED_XA)


def packed_events(event: bytes, end: int) -> Iterator[bytes]:
    """The events of a MySQL transaction that was compressed as a whole. They have no checksums of their own."""
    method = _PLAIN
    size = 0
    pos = HEADER_END
    try:
        while True:
            field, pos = read_lenenc_int(event, pos)
            if field == _PAYLOAD_END:
                break
            length, pos = read_lenenc_int(event, pos)
            if field == _PAYLOAD_TYPE:
                method, _ = read_lenenc_int(event, pos)
            elif field == _PAYLOAD_SIZE:
                size, _ = read_lenenc_int(event, pos)
            pos += length
    except MalformedPacket:
        pos = end + 1
    if pos > end:
        raise MalformedEvent("a compressed transaction is cut short")
    source: Any = BytesIO(event[pos:end])
    if method == _ZSTD:
        if zstandard is None:
            raise UnknownEvent(TRANSACTION_PAYLOAD, "a transaction compressed with zstd, for which the package zstandard is not installed")
        source = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).stream_reader(source)
    elif method != _PLAIN:
        raise UnknownEvent(TRANSACTION_PAYLOAD, f"compressed by the unknown method {method}")
    return _split(source, size)


def _split(source: Any, missing: int) -> Iterator[bytes]:
    """The events of a payload of so many bytes."""
    while head := _exactly(source, HEADER_END - 1, may_end=True):
        size = int.from_bytes(head[9:13], "little")
        if not HEADER_END - 1 <= size <= MAX_BYTES:
            raise MalformedEvent("an event in a compressed transaction is not as long as it says")
        yield b"\0" + head + _exactly(source, size - len(head))
        missing -= size
    if missing:
        raise MalformedEvent("a compressed transaction is not as long as it says")


def _exactly(source: Any, size: int, *, may_end: bool = False) -> bytes:
    parts = []
    missing = size
    while missing:
        try:
            part = source.read(min(missing, 1 << 20))
        except _ZSTD_ERRORS:
            raise MalformedEvent("a compressed transaction cannot be expanded") from None
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    if missing and not (may_end and not parts):
        raise MalformedEvent("a compressed transaction is cut short")
    return b"".join(parts)
