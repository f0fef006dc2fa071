"""What can stop the reading of a binary log. No text of these holds a row's values."""

from __future__ import annotations

from shardproxy.errors import ShardproxyError


class BinlogError(ShardproxyError):
    """The log cannot be read on."""


class SourceLost(BinlogError):
    """The connection broke or fell silent. A new reader may go on at the last `Transaction.end`."""


class SourceRefused(BinlogError):
    """The server does not hand its log to this account, or not as it is set up."""

    def __init__(self, errno: int, message: str) -> None:
        self.errno = errno
        super().__init__(f"the source does not hand out its binary log: {message} (error {errno})")


class LogGone(BinlogError):
    """The server has no log at the position any more: purged, reset, or lost in a crash. What was changed there is not known."""

    def __init__(self, position: str, message: str) -> None:
        super().__init__(f"the source's binary log cannot be read from {position}: {message}")


class EventsLost(BinlogError):
    """The server itself says that its log has a gap."""


class MalformedEvent(BinlogError):
    """Bytes that do not follow the format, or whose checksum is wrong."""


class UnknownEvent(BinlogError):
    """An event that this reader does not know and may not pass over."""

    def __init__(self, code: int, detail: str = "") -> None:
        self.code = code
        super().__init__(f"the source's binary log holds an event of type {code}, which cannot be read{detail and ': '}{detail}")


class SchemaChanged(BinlogError):
    """A watched table was changed, emptied or dropped. `statement` is the text as logged; it may hold values, so it is not logged."""

    def __init__(self, statement: str, what: str, table: str) -> None:
        self.statement = statement
        self.table = table
        super().__init__(f"{what} on the source concerns {table}, which is being read")


class StatementLogged(BinlogError):
    """A change was logged as the text of its statement, so which rows it changed is not known."""

    def __init__(self, statement: str, what: str, table: str) -> None:
        self.statement = statement
        self.table = table
        super().__init__(
            f"{what} on {table} was logged as a statement, so the rows that it changed are not known; "
            "the binlog_format of some session is not ROW"
        )


class LayoutMismatch(BinlogError):
    """A table is not as its layout says, or its rows are logged in part only."""


class TooManyChanges(BinlogError):
    """Prepared XA transactions hold more changed rows than are kept in memory."""
