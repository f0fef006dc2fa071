"""Decoding a server's response as far as a merge needs it: columns as messages, rows as payloads."""

from __future__ import annotations

from shardproxy.protocol.flags import MORE_RESULTS
from shardproxy.protocol.packets import EofPacket, ErrPacket, OkPacket, parse_eof, parse_err, parse_ok
from shardproxy.protocol.resultset import ColumnDefinition, parse_column
from shardproxy.protocol.scanner import (
    EOF_HEADER,
    EOF_MAX_PAYLOAD,
    ERR_HEADER,
    LOCAL_INFILE_HEADER,
    MAX_PAYLOAD,
    OK_HEADER,
)
from shardproxy.protocol.wire_types import MalformedPacket, read_lenenc_int

# A server that announces more is not believed; no SELECT has more columns.
MAX_COLUMNS = 65_535


class ResultReader:
    """Follows one response: an OK, an ERR, or a result set. Feed bytes; look at the attributes.

    `rows` grows as they come and is emptied by `take_rows`. `ready` is set once `ok`, `error` or all `columns` are known, `over`
    once the result has ended. Where another result follows it, as in the answer to a CALL, `next` reads that; `more`: the end of the
    columns has announced it.
    """

    def __init__(self) -> None:
        self.columns: list[ColumnDefinition] = []
        self.rows: list[bytes] = []
        self.row_bytes = 0
        self.ok: OkPacket | None = None
        self.eof: EofPacket | None = None
        self.error: ErrPacket | None = None
        self.ready = False
        self.over = False
        self.more = False
        self.next: ResultReader | None = None
        self._expected = -1
        self._buffer = b""
        self._parts: list[bytes] = []
        self._bare = False

    @classmethod
    def of_columns(cls) -> ResultReader:
        """A reader for COM_FIELD_LIST, whose response starts with the columns and ends behind them."""
        reader = cls()
        reader._bare = True
        reader._expected = MAX_COLUMNS
        return reader

    @property
    def done(self) -> bool:
        """Whether the whole response has come."""
        return self.over and (self.next is None or self.next.done)

    @property
    def last(self) -> ResultReader:
        """The reader of the last result that has begun."""
        reader = self
        while reader.next is not None:
            reader = reader.next
        return reader

    @property
    def held_bytes(self) -> int:
        """What waits to be taken, of all results."""
        return self.row_bytes + (self.next.held_bytes if self.next is not None else 0)

    def take_rows(self) -> list[bytes]:
        """The rows that have come since the last call."""
        rows, self.rows, self.row_bytes = self.rows, [], 0
        return rows

    def feed(self, data: bytes) -> None:
        """Take bytes from the server; raises `MalformedPacket` where the response cannot be followed."""
        if self.next is not None:
            self.last.feed(data)
            return
        buffer = self._buffer + data if self._buffer else data
        pos, size = 0, len(buffer)
        while size - pos >= 4:
            length = buffer[pos] | buffer[pos + 1] << 8 | buffer[pos + 2] << 16
            end = pos + 4 + length
            if end > size:
                break
            payload = buffer[pos + 4 : end]
            pos = end
            if length == MAX_PAYLOAD or self._parts:
                self._parts.append(payload)
                if length == MAX_PAYLOAD:
                    continue
                payload, self._parts = b"".join(self._parts), []
                self._row(payload)
                continue
            self._packet(payload)
            last = self.last
            if last is not self:
                self._buffer = b""
                last.feed(buffer[pos:])
                return
        self._buffer = buffer[pos:]

    def _packet(self, payload: bytes) -> None:
        if self.over or not payload:
            raise MalformedPacket("the server sent more than its response")
        first = payload[0]
        if self.ready:
            if first == EOF_HEADER and len(payload) <= EOF_MAX_PAYLOAD:
                self._end(payload)
            elif first == ERR_HEADER:
                self._fail(payload)
            else:
                self._row(payload)
        elif first == ERR_HEADER:
            self._fail(payload)
        elif self._expected < 0:
            self._first(payload, first)
        elif first == EOF_HEADER and len(payload) <= EOF_MAX_PAYLOAD:
            self.ready = True
            self.more = bool(parse_eof(payload).status & MORE_RESULTS)
            if self._bare:
                self._end(payload)
        elif len(self.columns) >= self._expected:
            raise MalformedPacket("the server sent more columns than it announced")
        else:
            self.columns.append(parse_column(payload))

    def _first(self, payload: bytes, first: int) -> None:
        if first == OK_HEADER:
            self.ok = parse_ok(payload)
            self.ready = self.over = True
            self._follow(self.ok.status)
        elif first == LOCAL_INFILE_HEADER:
            raise MalformedPacket("the server asked for a file")
        else:
            self._expected, _ = read_lenenc_int(payload, 0)
            if not 0 < self._expected <= MAX_COLUMNS:
                raise MalformedPacket("the server announced an impossible number of columns")

    def _row(self, payload: bytes) -> None:
        self.rows.append(payload)
        self.row_bytes += len(payload)

    def _fail(self, payload: bytes) -> None:
        self.error = parse_err(payload)
        self.ready = self.over = True

    def _end(self, payload: bytes) -> None:
        self.eof = parse_eof(payload)
        self.over = True
        self._follow(self.eof.status)

    def _follow(self, status: int) -> None:
        if status & MORE_RESULTS:
            self.next = ResultReader()
