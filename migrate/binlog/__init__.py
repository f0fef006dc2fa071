"""Reading MySQL's and MariaDB's binary logs: which rows of watched tables each committed transaction changed.

`events` … `assembler` are without I/O; `reader` connects them to a server. A row's key columns become values, and nothing else.
"""

from migrate.binlog.changes import Key, RowChange, Transaction, Value
from migrate.binlog.errors import (
    BinlogError,
    EventsLost,
    LayoutMismatch,
    LogGone,
    MalformedEvent,
    SchemaChanged,
    SourceLost,
    SourceRefused,
    StatementLogged,
    TooManyChanges,
    UnknownEvent,
)
from migrate.binlog.layout import ColumnLayout, WatchedTable, read_layouts
from migrate.binlog.position import Position
from migrate.binlog.reader import BinlogReader
from migrate.binlog.source import current_position, preflight
from migrate.binlog.values import literal

__all__ = [
    "BinlogError",
    "BinlogReader",
    "ColumnLayout",
    "EventsLost",
    "Key",
    "LayoutMismatch",
    "LogGone",
    "MalformedEvent",
    "Position",
    "RowChange",
    "SchemaChanged",
    "SourceLost",
    "SourceRefused",
    "StatementLogged",
    "TooManyChanges",
    "Transaction",
    "UnknownEvent",
    "Value",
    "WatchedTable",
    "current_position",
    "literal",
    "preflight",
    "read_layouts",
]
