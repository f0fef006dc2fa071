"""Table maps: what stands in front of changed rows, and how the rows of a table are walked.

A server logs a table map before each statement's rows, nearly always the same bytes. A watched table's plan is made once of them: which
bytes are passed over and which become values. It depends on which columns are NULL in a row, so it is made anew for each such pattern.
"""

from __future__ import annotations

from typing import Final

from migrate.binlog import column_types as types
from migrate.binlog.errors import LayoutMismatch, MalformedEvent
from migrate.binlog.layout import ColumnLayout, WatchedTable
from migrate.binlog.values import Decoder, decoder
from shardproxy.protocol.wire_types import MalformedPacket, read_lenenc_bytes, read_lenenc_int

# One part of a row: bytes to pass over, then a value behind a length of so many bytes (0: a value of fixed width, or none). The value is
# decoded into a slot, or passed over where there is no decoder.
Step = tuple[int, int, int, Decoder | None]

_MAX_PATTERNS: Final = 1024
# Optional metadata of a table map, by MySQL's numbers, which MariaDB shares.
_SIGNS: Final = 1
_NAMES: Final = 4
_NUMERIC: Final = (
    types.TINY,
    types.SHORT,
    types.INT24,
    types.LONG,
    types.LONGLONG,
    types.NEWDECIMAL,
    types.FLOAT,
    types.DOUBLE,
    types.YEAR,
)


class RowPlan:
    """How a row with certain columns NULL is walked; `tail` bytes follow the last step."""

    __slots__ = ("steps", "tail")

    def __init__(self, steps: list[Step], tail: int) -> None:
        self.steps = steps
        self.tail = tail


class TablePlan:
    """How the rows of a watched table are walked, as one table map describes them.

    `slots` are the distinct key columns in the table's order, and `order` leads from a delivered key to them; it is None where they are
    the same.
    """

    __slots__ = ("_decoders", "_patterns", "columns", "name", "null_bytes", "order", "slots")

    def __init__(self, table: WatchedTable, columns: list[types.LoggedColumn]) -> None:
        self.name = table.name
        self.columns = columns
        self.null_bytes = (len(columns) + 7) >> 3
        slots = sorted(set(table.key))
        self.slots = len(slots)
        order = tuple(slots.index(i) for i in table.key)
        self.order: tuple[int, ...] | None = None if order == tuple(range(len(order))) else order
        self._decoders: list[tuple[int, Decoder | None]] = [(0, None)] * len(columns)
        for slot, index in enumerate(slots):
            self._decoders[index] = (slot, decoder(table.columns[index], columns[index]))
        self._patterns: dict[bytes, RowPlan] = {}

    def row_plan(self, nulls: bytes) -> RowPlan:
        """The plan for rows with this bitmap of NULLs."""
        plan = self._patterns.get(nulls)
        if plan is None:
            if len(nulls) != self.null_bytes:
                raise MalformedEvent("a row is cut short")
            if len(self._patterns) >= _MAX_PATTERNS:
                self._patterns.clear()
            plan = self._patterns[nulls] = self._make(nulls)
        return plan

    def _make(self, nulls: bytes) -> RowPlan:
        steps: list[Step] = []
        run = 0
        for i, column in enumerate(self.columns):
            if nulls[i >> 3] >> (i & 7) & 1:
                continue
            slot, decode = self._decoders[i]
            if column.prefix:
                steps.append((run, column.prefix, slot, decode))
                run = 0
            elif decode is not None:
                steps.append((run, 0, slot, decode))
                run = column.fixed
            else:
                run += column.fixed
        return RowPlan(steps, run)


def map_names(event: bytes, pos: int, end: int) -> tuple[bytes, bytes, int]:
    """Schema and table of a table map, from behind its id, and where its columns begin."""
    names = []
    pos += 2
    for _ in range(2):
        if pos >= end:
            raise MalformedEvent("a table map is cut short")
        stop = pos + 1 + event[pos]
        names.append(event[pos + 1 : stop])
        pos = stop + 1
    if pos > end:
        raise MalformedEvent("a table map is cut short")
    return names[0], names[1], pos


def plan_table(table: WatchedTable, body: bytes) -> TablePlan:
    """The plan for a watched table. `body` is the rest of its table map, from the columns on."""
    try:
        count, pos = read_lenenc_int(body, 0)
        codes = body[pos : pos + count]
        pos += count
        metadata, pos = read_lenenc_bytes(body, pos)
        pos += (count + 7) >> 3
        if pos > len(body):
            raise MalformedEvent("a table map is cut short")
        if count != len(table.columns):
            raise LayoutMismatch(f"table {table.name} has {count} columns in the log and {len(table.columns)} in its layout")
        columns = _logged_columns(table, codes, metadata)
        for layout, logged in zip(table.columns, columns, strict=True):
            _check(table.name, layout, logged)
        _check_optional(table, columns, body, pos)
    except MalformedPacket as error:
        raise MalformedEvent(f"the table map of {table.name} cannot be read: {error.detail}") from None
    return TablePlan(table, columns)


def _logged_columns(table: WatchedTable, codes: bytes, metadata: bytes) -> list[types.LoggedColumn]:
    columns = []
    at = 0
    for layout, code in zip(table.columns, codes, strict=True):
        width = types.metadata_bytes(code)
        if at + width > len(metadata):
            raise MalformedEvent(f"the table map of {table.name} is cut short")
        try:
            columns.append(types.LoggedColumn(code, metadata[at : at + width], layout.fraction))
        except LayoutMismatch as error:
            raise LayoutMismatch(f"table {table.name}, column {layout.name}: {error}") from None
        at += width
    return columns


def _check(table: str, layout: ColumnLayout, logged: types.LoggedColumn) -> None:
    """The declared type against the logged one."""
    allowed = types.ALLOWED.get(layout.data_type)
    same = allowed is None or logged.type in allowed
    if same and layout.data_type in ("char", "varchar", "binary", "varbinary") and logged.type != types.VARCHAR_COMPRESSED:
        same = logged.longest == layout.octets
    elif same and layout.data_type == "decimal":
        same = (logged.metadata[0], logged.metadata[1]) == (layout.precision, layout.scale)
    elif same and logged.type in (types.TIMESTAMP2, types.DATETIME2, types.TIME2):
        same = logged.metadata[0] == layout.fraction
    if not same:
        raise LayoutMismatch(f"column {layout.name} of table {table} is not {layout.column_type} in the log")


def _check_optional(table: WatchedTable, columns: list[types.LoggedColumn], body: bytes, pos: int) -> None:
    """Signs and names, where the server logs them (`binlog_row_metadata`)."""
    while pos < len(body):
        kind = body[pos]
        value, pos = read_lenenc_bytes(body, pos + 1)
        if kind == _SIGNS:
            numeric = [layout for layout, logged in zip(table.columns, columns, strict=True) if logged.type in _NUMERIC]
            for i, layout in enumerate(numeric):
                unsigned = layout.unsigned or layout.data_type == "year"
                if i >> 3 >= len(value) or bool(value[i >> 3] >> (7 - (i & 7)) & 1) != unsigned:
                    raise LayoutMismatch(f"column {layout.name} of table {table.name} has another sign in the log")
        elif kind == _NAMES:
            at = 0
            for layout in table.columns:
                name, at = read_lenenc_bytes(value, at)
                if name.decode("utf-8", "replace") != layout.name:
                    raise LayoutMismatch(f"table {table.name} has a column {name.decode('utf-8', 'replace')} in place of {layout.name}")
