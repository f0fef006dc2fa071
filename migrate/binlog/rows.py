"""Walking row images: the keys of changed rows out of a rows event, everything else passed over."""

from __future__ import annotations

import zlib
from typing import Final

from migrate.binlog.changes import Key, RowChange, Value
from migrate.binlog.errors import LayoutMismatch, MalformedEvent
from migrate.binlog.tables import TablePlan
from shardproxy.protocol.wire_types import MalformedPacket, read_lenenc_int

INSERT: Final = 0
UPDATE: Final = 1
DELETE: Final = 2

# No server logs more in one event.
MAX_BYTES: Final = 1 << 30


def read_rows(plan: TablePlan, kind: int, data: bytes, pos: int, end: int, *, compressed: bool = False) -> list[RowChange]:
    """The changes of one rows event; `pos` is behind its header and extra data."""
    try:
        count, pos = read_lenenc_int(data, pos)
    except MalformedPacket as error:
        raise MalformedEvent(f"a rows event cannot be read: {error.detail}") from None
    if count != len(plan.columns):
        raise LayoutMismatch(f"rows of table {plan.name} have {count} columns, not {len(plan.columns)}")
    for _ in range(2 if kind == UPDATE else 1):
        present = int.from_bytes(data[pos : pos + plan.null_bytes], "little")
        pos += plan.null_bytes
        if pos > end:
            raise MalformedEvent("a rows event is cut short")
        every = (1 << count) - 1
        if present & every != every:
            raise LayoutMismatch(f"rows of table {plan.name} are logged in part only; some session's binlog_row_image is not FULL")
    if compressed:
        data = expand(data[pos:end])
        pos, end = 0, len(data)
    try:
        keys = _walk(plan, data, pos, end)
    except (IndexError, ValueError):
        raise MalformedEvent(f"a row of table {plan.name} is cut short") from None
    table = plan.name
    if kind == INSERT:
        return [RowChange(table, None, key) for key in keys]
    if kind == DELETE:
        return [RowChange(table, key, None) for key in keys]
    if len(keys) & 1:
        raise MalformedEvent(f"an update of table {table} has no image of how the last row is now")
    return [RowChange(table, keys[i], keys[i + 1]) for i in range(0, len(keys), 2)]


def _walk(plan: TablePlan, data: bytes, pos: int, end: int) -> list[Key]:
    """The keys of row images, one after another up to the end.

    No length is trusted: whatever it says, the position only grows, and a row that ends behind the event is refused.
    """
    keys: list[Key] = []
    null_bytes = plan.null_bytes
    order = plan.order
    empty: list[Value] = [None] * plan.slots
    while pos < end:
        row = plan.row_plan(data[pos : pos + null_bytes])
        pos += null_bytes
        values = empty.copy()
        for run, prefix, slot, decode in row.steps:
            pos += run
            if decode is None:
                if prefix == 1:
                    pos += 1 + data[pos]
                elif prefix == 2:
                    pos += 2 + (data[pos] | data[pos + 1] << 8)
                else:
                    pos += prefix + int.from_bytes(data[pos : pos + prefix], "little")
            elif prefix:
                start = pos + prefix
                pos = start + int.from_bytes(data[pos:start], "little")
                if pos > end:
                    break
                values[slot] = decode(data, start, pos)
            else:
                values[slot] = decode(data, pos, pos)
        pos += row.tail
        if pos > end:
            raise MalformedEvent(f"a row of table {plan.name} is cut short")
        keys.append(tuple(values) if order is None else tuple([values[i] for i in order]))
    return keys


def expand(data: bytes) -> bytes:
    """Undo MariaDB's compression of an event: a byte of method and width, the length in so many bytes, and a zlib stream."""
    head = data[0] if data else 0
    width = head & 0x07
    if not head & 0x80 or head & 0x70 or not 1 <= width <= 4 or len(data) <= width:
        raise MalformedEvent("a compressed event has an unknown form")
    size = int.from_bytes(data[1 : 1 + width], "big")
    if size > MAX_BYTES:
        raise MalformedEvent("a compressed event is too large")
    stream = zlib.decompressobj()
    try:
        whole = stream.decompress(data[1 + width :], size + 1)
    except zlib.error:
        raise MalformedEvent("a compressed event cannot be expanded") from None
    if len(whole) != size or not stream.eof:
        raise MalformedEvent("a compressed event is not as long as it says")
    return whole
