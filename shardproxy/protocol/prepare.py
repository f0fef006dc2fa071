"""The answer to COM_STMT_PREPARE, in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shardproxy.protocol.framing import encode_packet
from shardproxy.protocol.packets import EofPacket, ErrPacket, OkPacket, build_eof, parse_err
from shardproxy.protocol.resultset import ColumnDefinition, build_column, parse_column
from shardproxy.protocol.scanner import ERR_HEADER, MAX_PAYLOAD, OK_HEADER
from shardproxy.protocol.wire_types import MalformedPacket, read_int

_OK_BYTES: Final = 12


class PrepareReader:
    """Follows one such answer; feed bytes, look at the attributes. See `result_reader.ResultReader`."""

    def __init__(self) -> None:
        self.statement_id = 0
        self.parameters: list[ColumnDefinition] = []
        self.columns: list[ColumnDefinition] = []
        self.rows: list[bytes] = []
        self.row_bytes = self.held_bytes = 0
        self.ok: OkPacket | None = None
        self.eof: EofPacket | None = None
        self.error: ErrPacket | None = None
        self.ready = False
        self.over = self.done = self.more = False
        self._buffer = b""
        # Definitions and EOFs still to come, in order.
        self._parameters_left = -1
        self._columns_left = 0
        self._ends_left = 0

    @property
    def last(self) -> PrepareReader:
        """There is one answer."""
        return self

    @property
    def next(self) -> None:
        """There is one answer."""

    def take_rows(self) -> list[bytes]:
        """There are none."""
        return []

    def feed(self, data: bytes) -> None:
        """Take bytes from the server; raises `MalformedPacket` where the answer cannot be followed."""
        buffer = self._buffer + data if self._buffer else data
        pos, size = 0, len(buffer)
        while size - pos >= 4:
            length = buffer[pos] | buffer[pos + 1] << 8 | buffer[pos + 2] << 16
            end = pos + 4 + length
            if end > size:
                break
            if self.done or not length or length == MAX_PAYLOAD:
                raise MalformedPacket("the server sent more than its response")
            self._packet(buffer[pos + 4 : end])
            pos = end
        self._buffer = buffer[pos:]

    def _packet(self, payload: bytes) -> None:
        if self._parameters_left < 0:
            self._first(payload)
        elif self._parameters_left:
            self.parameters.append(parse_column(payload))
            self._parameters_left -= 1
        elif self._ends_left > (self._columns_left > 0):
            # The EOF behind the parameters.
            self._ends_left -= 1
        elif self._columns_left:
            self.columns.append(parse_column(payload))
            self._columns_left -= 1
        else:
            self._ends_left -= 1
        if self._parameters_left == 0 and not self._columns_left and not self._ends_left:
            self.ready = self.over = self.done = True

    def _first(self, payload: bytes) -> None:
        if payload[0] == ERR_HEADER:
            self.error = parse_err(payload)
            self._parameters_left = 0
            return
        if payload[0] != OK_HEADER or len(payload) < _OK_BYTES - 3:
            raise MalformedPacket("the server prepared nothing")
        self.statement_id, pos = read_int(payload, 1, 4)
        self._columns_left, pos = read_int(payload, pos, 2)
        self._parameters_left, _ = read_int(payload, pos, 2)
        self._ends_left = (self._columns_left > 0) + (self._parameters_left > 0)


def build_prepared(statement_id: int, parameters: Sequence[ColumnDefinition], columns: Sequence[ColumnDefinition], status: int) -> bytes:
    """The whole answer, in packets numbered from 1."""
    head = b"\0" + statement_id.to_bytes(4, "little") + len(columns).to_bytes(2, "little") + len(parameters).to_bytes(2, "little")
    packets = [encode_packet(head + b"\0\0\0", 1)]
    for definitions in (parameters, columns):
        for definition in definitions:
            packets.append(encode_packet(build_column(definition), len(packets) + 1))
        if definitions:
            packets.append(encode_packet(build_eof(EofPacket(0, status)), len(packets) + 1))
    return b"".join(packets)


def parameter_column() -> ColumnDefinition:
    """What is told of a parameter: that it is one."""
    return ColumnDefinition(b"?", 253, charset=63, length=0, flags=0x80)
