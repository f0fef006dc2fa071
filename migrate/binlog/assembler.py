"""Events in, committed transactions out: what belongs together, where it ends, and where reading may resume. No I/O."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from migrate.binlog.changes import RowChange, Transaction
from migrate.binlog.errors import EventsLost, LayoutMismatch, MalformedEvent, TooManyChanges, UnknownEvent
from migrate.binlog.events import (
    EXECUTE_LOAD_QUERY,
    FLAG_ARTIFICIAL,
    FLAG_IGNORABLE,
    FORMAT_DESCRIPTION,
    GTIDS,
    HEADER_END,
    HEARTBEAT,
    HEARTBEAT_V2,
    INCIDENT,
    PARTIAL_UPDATE_ROWS,
    PASSED,
    QUERY,
    QUERY_COMPRESSED,
    ROTATE,
    ROWS,
    START_ENCRYPTION,
    TABLE_MAP,
    TRANSACTION_PAYLOAD,
    XA_PREPARE,
    XID,
    checksum_holds,
    packed_events,
    parse_format,
    parse_gtid,
    parse_header,
    parse_prepare,
    parse_query,
    parse_rotate,
)
from migrate.binlog.layout import WatchedTable
from migrate.binlog.position import FIRST_OFFSET, MAX_OFFSET, Position
from migrate.binlog.rows import read_rows
from migrate.binlog.statements import OWN_PREFIX, Frame, Statements, frame_of
from migrate.binlog.tables import TablePlan, map_names, plan_table

log = logging.getLogger(__name__)

# A transaction with more changes is delivered in parts.
PART_CHANGES: Final = 200_000
# XA transactions that are prepared cannot be delivered yet, so all of them together are held to this.
MAX_PREPARED_CHANGES: Final = 2_000_000
_MAX_MAPS: Final = 4096
# Servers write this id where a statement's rows came to nothing.
_NO_TABLE: Final = 0xFFFFFF
_LAST_OF_STATEMENT: Final = 1

# What a group of events is: none is open; its GTID was read; it runs to its commit.
_NONE: Final = 0
_OPENED: Final = 1
_RUNNING: Final = 2


class _Map:
    """A table map that was seen before: a watched table's plan, one of our own tables, or neither."""

    __slots__ = ("own", "plan")

    def __init__(self, plan: TablePlan | None, own: bool) -> None:
        self.plan = plan
        self.own = own


class _Prepared:
    """An XA transaction that waits for its commit."""

    __slots__ = ("changes", "own", "start")

    def __init__(self, start: Position, changes: list[RowChange], own: bool) -> None:
        self.start = start
        self.changes = changes
        self.own = own


class Assembler:
    """Follows one server's binary log from a position on; finished transactions are put into `ready`.

    `safe` is where to resume for nothing to be missed, `boundary` the last place between two groups. `unseen_xa` counts XA transactions
    that were resolved here and prepared before the start, or without changing watched tables.
    """

    def __init__(self, schema: str, tables: Mapping[str, WatchedTable], start: Position, *, part_changes: int = PART_CHANGES) -> None:
        self.ready: deque[Transaction] = deque()
        self.safe = start
        self.boundary = start
        self.unseen_xa = 0
        self.at = 0
        self._schema = schema.encode()
        self._tables = {name.encode(): table for name, table in tables.items()}
        self._statements = Statements(schema, tables)
        self._part_changes = part_changes
        self._file = start.file
        self._offset = max(start.offset, FIRST_OFFSET)
        # Bytes of events behind it whose position is not in the log: newer servers leave that out within a transaction, for speed.
        self._unplaced = 0
        self._checksums = False
        self._formatted = False
        self._maps: dict[bytes, _Map] = {}
        self._current: dict[int, _Map] = {}
        self._group = _NONE
        self._changes: list[RowChange] = []
        self._own = False
        self._xa = False
        self._prepared: dict[bytes, _Prepared] = {}
        self._prepared_changes = 0
        self._packed: Iterator[bytes] | None = None

    # -- events -------------------------------------------------------------------------------------------------------

    def feed(self, event: bytes) -> None:
        """Take one packet's payload. While `packed`, `unpack` must be called before the next."""
        at, code, _, size, position, flags = parse_header(event)
        if code == FORMAT_DESCRIPTION:
            self._format(event, size, position, flags)
            return
        if code == ROTATE and (flags & FLAG_ARTIFICIAL or not position):
            self._enter_file(event)
            return
        end = len(event)
        if self._checksums:
            if not checksum_holds(event):
                raise MalformedEvent(f"an event of type {code} behind {self._file}:{self._offset} has a wrong checksum")
            end -= 4
        elif not self._formatted:
            raise MalformedEvent(f"an event of type {code} came before the log's format")
        if code in (HEARTBEAT, HEARTBEAT_V2):
            self.ready.append(Transaction((), self.safe, self.at, idle=True))
            return
        if position:
            self._advance(size, position)
        elif code != START_ENCRYPTION:
            self._unplaced += size
        if at:
            self.at = at
        if code == TRANSACTION_PAYLOAD:
            self._packed = packed_events(event, end)
        else:
            self._handle(code, event, end, flags)
        if self._group == _NONE:
            self._settle()

    @property
    def packed(self) -> bool:
        """Whether there are events of a compressed transaction to be taken out."""
        return self._packed is not None

    def unpack(self, limit: int = 1000) -> None:
        """Take out some events of a compressed transaction."""
        assert self._packed is not None
        for _ in range(limit):
            event = next(self._packed, None)
            if event is None:
                self._packed = None
                break
            _, code, _, _, _, flags = parse_header(event)
            if code == TRANSACTION_PAYLOAD:
                raise MalformedEvent("a compressed transaction holds another")
            self._handle(code, event, len(event), flags)
        if self._group == _NONE:
            self._settle()

    def _handle(self, code: int, event: bytes, end: int, flags: int) -> None:
        rows = ROWS.get(code)
        if rows is not None:
            self._rows(event, end, *rows)
        elif code == TABLE_MAP:
            self._table_map(event, end)
        elif code == XID:
            self._check_running()
            self._commit()
        elif code in (QUERY, QUERY_COMPRESSED, EXECUTE_LOAD_QUERY):
            self._query(event, end, code)
        elif code in GTIDS:
            alone, xa = parse_gtid(event, end, code)
            self._begin(_OPENED if alone else _RUNNING, xa=xa)
        elif code == XA_PREPARE:
            self._prepare(*parse_prepare(event, end))
        elif code not in PASSED:
            self._handle_rare(code, event, end, flags)

    def _handle_rare(self, code: int, event: bytes, end: int, flags: int) -> None:
        if code == ROTATE:
            self._begin(_NONE, xa=False)
            file, offset = parse_rotate(event, end)
            self._go_to(file, offset)
        elif code == PARTIAL_UPDATE_ROWS:
            if self._map_of(event, end).plan is not None:
                raise LayoutMismatch("a watched table's rows are logged in part only; some session's binlog_row_value_options is not empty")
        elif code == INCIDENT:
            raise EventsLost(f"the source says at {self._file}:{self._offset} that its binary log misses events")
        elif code == START_ENCRYPTION:
            # Servers decrypt what they send. Where they do not, the checksums behind this fail; without any, that would not be seen.
            if not self._checksums:
                raise UnknownEvent(code, "the log is encrypted, and has no checksums to tell whether the server decrypts it")
        elif not flags & FLAG_IGNORABLE:
            raise UnknownEvent(code, f"at {self._file}:{self._offset}")

    # -- files and positions ------------------------------------------------------------------------------------------

    def _format(self, event: bytes, size: int, position: int, flags: int) -> None:
        self._checksums = parse_format(event)
        self._formatted = True
        self._begin(_NONE, xa=False)
        # In the middle of a file it is sent out of place, and its position is 0.
        if position and not flags & FLAG_ARTIFICIAL:
            self._advance(size, position)
            self._settle()

    def _enter_file(self, event: bytes) -> None:
        """The server tells, outside of the log, which file it reads now."""
        # Whether this event has a checksum depends on the server and on the file before; the name tells.
        file, offset = parse_rotate(event, len(event) - 4 if checksum_holds(event) else len(event))
        if (file, offset) != (self._file, self._offset):
            if not self._formatted:
                raise MalformedEvent(f"the source begins at {file}:{offset}, not at {self._file}:{self._offset}")
            # A group that is open was cut off when the server died, and has been rolled back.
            self._drop_group()
            self._go_to(file, offset)

    def _go_to(self, file: str, offset: int) -> None:
        self._file, self._offset, self._unplaced = file, max(offset, FIRST_OFFSET), 0
        self._current.clear()
        self._settle()

    def _advance(self, size: int, position: int) -> None:
        """Go behind an event. Its header has the low four bytes of where it ends; events that are not sent leave gaps."""
        base = self._offset + self._unplaced
        offset = base & ~0xFFFFFFFF | position
        if offset < base:
            offset += 1 << 32
        if not size <= offset - base < 1 << 31:
            raise MalformedEvent(f"an event of {size} bytes behind {self._file}:{base} ends at {position}")
        self._offset = offset
        self._unplaced = 0

    def _settle(self) -> None:
        """Between groups: what has been read needs not be read again, but for XA transactions that wait."""
        boundary = self.boundary
        if (self._offset != boundary.offset or self._file != boundary.file) and self._offset <= MAX_OFFSET and not self._unplaced:
            self.boundary = boundary = Position(self._file, self._offset)
        self.safe = next(iter(self._prepared.values())).start if self._prepared else boundary

    # -- groups -------------------------------------------------------------------------------------------------------

    def _commit(self) -> None:
        changes = self._changes
        self._group = _NONE
        if changes or self._own:
            self._settle()
            self.ready.append(Transaction(tuple(changes), self.safe, self.at, self._own))
            self._changes = []
            self._own = False

    def _begin(self, group: int, *, xa: bool) -> None:
        if self._changes:
            # It ended in a way that is not known here, so whether it was committed is not known either.
            raise MalformedEvent(f"a transaction before {self._file}:{self._offset} has no end")
        if len(self._current) > _MAX_MAPS:
            self._current.clear()
        self._group = group
        self._xa = xa
        self._own = False

    def _drop_group(self) -> None:
        if self._group == _RUNNING and self._changes:
            log.info("a transaction of %d changes before %s:%d was cut off", len(self._changes), self._file, self._offset)
        self._group = _NONE
        self._changes = []
        self._own = False

    def _query(self, event: bytes, end: int, code: int) -> None:
        query = parse_query(event, end, code)
        frame, xid = frame_of(query.text)
        if frame is None:
            self._statements.check(query)
            if self._group != _RUNNING:
                self._commit()
        elif frame in (Frame.BEGIN, Frame.XA_START):
            self._begin(_RUNNING, xa=frame is Frame.XA_START)
        elif frame is Frame.COMMIT:
            self._check_running()
            self._commit()
        elif frame is Frame.ROLLBACK:
            self._drop_group()
        else:
            self._resolve(xid, committed=frame is Frame.XA_COMMIT)

    def _check_running(self) -> None:
        """The end of a transaction whose beginning was not read: rows of it may have been missed."""
        if self._group == _NONE:
            raise MalformedEvent(f"reading began in the middle of a transaction, which ends at {self._file}:{self._offset}")

    def _prepare(self, one_phase: bool, xid: bytes) -> None:
        self._check_running()
        if one_phase:
            self._commit()
            return
        if self._changes:
            self._prepared_changes += len(self._changes)
            self._prepared[xid] = _Prepared(self.boundary, self._changes, self._own)
            self._changes = []
        self._drop_group()

    def _resolve(self, xid: bytes, *, committed: bool) -> None:
        self._begin(_NONE, xa=False)
        prepared = self._prepared.pop(xid, None)
        if prepared is None:
            self.unseen_xa += 1
            return
        self._prepared_changes -= len(prepared.changes)
        if committed:
            self._changes, self._own = prepared.changes, prepared.own
            self._commit()

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _table_map(self, event: bytes, end: int) -> None:
        body = event[HEADER_END:end]
        known = self._maps.get(body)
        if known is None:
            if len(self._maps) >= _MAX_MAPS:
                self._maps.clear()
            known = self._maps[body] = self._read_map(event, end)
        if known.own:
            self._own = True
        self._current[int.from_bytes(body[:6], "little")] = known

    def _read_map(self, event: bytes, end: int) -> _Map:
        schema, name, pos = map_names(event, HEADER_END + 6, end)
        table = self._tables.get(name) if schema == self._schema else None
        own = schema == self._schema and name.startswith(OWN_PREFIX.encode())
        return _Map(None if table is None else plan_table(table, event[pos:end]), own)

    def _map_of(self, event: bytes, end: int) -> _Map:
        at = HEADER_END
        if at + 8 > end:
            raise MalformedEvent("a rows event is cut short")
        table_id = int.from_bytes(event[at : at + 6], "little")
        known = self._current.get(table_id)
        if known is None:
            if table_id == _NO_TABLE:
                return _Map(None, False)
            raise MalformedEvent(f"rows before {self._file}:{self._offset} are of a table that was not described")
        return known

    def _rows(self, event: bytes, end: int, kind: int, extra: bool, compressed: bool) -> None:
        plan = self._map_of(event, end).plan
        self._check_running()
        at = HEADER_END + 8
        if plan is not None:
            if extra:
                if at + 2 > end:
                    raise MalformedEvent("a rows event is cut short")
                at += event[at] | event[at + 1] << 8
            self._changes += read_rows(plan, kind, event, at, end, compressed=compressed)
        if self._group == _OPENED:
            # A group without a frame ends with its statement.
            if event[HEADER_END + 6] & _LAST_OF_STATEMENT:
                self._commit()
        elif len(self._changes) >= self._part_changes:
            self._many()

    def _many(self) -> None:
        """A transaction with very many changes: deliver what there is of it. Being in the log it is committed, unless it is prepared."""
        if not self._xa:
            self.ready.append(Transaction(tuple(self._changes), self.safe, self.at, self._own))
            self._changes = []
        elif self._prepared_changes + len(self._changes) > MAX_PREPARED_CHANGES:
            raise TooManyChanges(f"prepared XA transactions hold more than {MAX_PREPARED_CHANGES} changed rows of watched tables")
