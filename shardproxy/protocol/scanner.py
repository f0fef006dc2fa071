"""Finding the end of a server's response without decoding it.

This is the inner loop of the relay: it looks at packet headers and at the first byte of each packet, and at nothing else.
Rows and column definitions are forwarded as they came; only the packet that ends the response is held back, because its
status flags belong to the client's session. Written as plain typed Python that mypyc can compile.
"""

from __future__ import annotations

from typing import Final

from shardproxy.protocol.flags import MORE_RESULTS
from shardproxy.protocol.packets import parse_eof, parse_err, parse_ok
from shardproxy.protocol.wire_types import MalformedPacket

FIRST: Final = 0
COLUMNS: Final = 1
ROWS: Final = 2
DONE: Final = 3

OK_HEADER: Final = 0x00
ERR_HEADER: Final = 0xFF
EOF_HEADER: Final = 0xFE
LOCAL_INFILE_HEADER: Final = 0xFB
MAX_PAYLOAD: Final = 0xFFFFFF
# EOF is five bytes; a row can start with 0xFE only if its first value is 16 MB or longer.
EOF_MAX_PAYLOAD: Final = 8


class ResponseScanner:
    """Follows one response: an OK, an ERR, or a result set in text or binary form; or several, each announced by the one before.

    `feed` takes the server's bytes in any chunking and gives those that may be forwarded at once; a packet that must be seen
    whole stays in `pending`. When `state` is DONE, `final` holds the last bytes, which `feed` did not give: rows up to
    `terminal_start`, then the packet that ends the response. `terminal` is that packet's payload and `sequence` its number;
    `end_status` is the status word of an end of rows without warnings, else -1.
    """

    def __init__(self, state: int = FIRST) -> None:
        self.state: int = state
        self.columns_left: int = 0
        self.rows: int = 0
        self.terminal: bytes = b""
        self.sequence: int = 0
        self.pending: bytes = b""
        self.final: bytes = b""
        self.terminal_start: int = 0
        self.end_status: int = -1
        # Whether the server may ask for the client's file, and whether it has just done so.
        self.may_ask: bool = False
        self.asks: bool = False
        self._skip: int = 0
        self._continued: bool = False

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes from the server; gives those that can go to the client now.

        Raises `MalformedPacket` where the response cannot be followed, or where it does not end with its last packet.
        """
        data = self.pending + chunk if self.pending else chunk
        size = len(data)
        pos = self._skip
        if pos >= size:
            self._skip = pos - size
            self.pending = b""
            return data
        state = self.state
        while size - pos >= 4:
            length = data[pos] | data[pos + 1] << 8 | data[pos + 2] << 16
            end = pos + 4 + length
            if self._continued:
                self._continued = length == MAX_PAYLOAD
            elif length == 0:
                raise MalformedPacket("the server sent an empty packet")
            elif pos + 4 == size:
                break
            elif state == ROWS and not _ends_rows(data[pos + 4], length):
                self.rows += 1
                self._continued = length == MAX_PAYLOAD
            elif end > size:
                break
            else:
                state = DONE if state == ROWS else self._control(data, pos, end)
                if state == DONE:
                    if not self._more_follow(data, pos, end):
                        return self._finish(data, pos, end)
                    state, self.rows = FIRST, 0
                self.state = state
            if end > size:
                self._skip = end - size
                self.pending = b""
                return data
            pos = end
        self._skip = 0
        self.pending = data[pos:] if pos < size else b""
        return data[:pos] if pos < size else data

    def _control(self, data: bytes, pos: int, end: int) -> int:
        """Judge a packet before the rows; gives the state behind it."""
        first = data[pos + 4]
        if self.state == FIRST:
            if first in (OK_HEADER, ERR_HEADER):
                return DONE
            if first == LOCAL_INFILE_HEADER and self.may_ask:
                self.may_ask = False
                self.asks = True
                return FIRST
            if first == LOCAL_INFILE_HEADER or end - pos > 4 + 9:
                raise MalformedPacket("the server asked for something that was not offered")
            self.columns_left = _small_lenenc(data, pos + 4, end)
            return COLUMNS
        if self.columns_left > 0:
            if first == ERR_HEADER:
                return DONE
            self.columns_left -= 1
            return COLUMNS
        if first == EOF_HEADER:
            return ROWS
        if first == ERR_HEADER:
            return DONE
        raise MalformedPacket("the columns of a result have no end")

    def _more_follow(self, data: bytes, pos: int, end: int) -> bool:
        """Whether another result comes behind this OK or EOF, as in the answer to a CALL."""
        if data[pos + 4] == ERR_HEADER:
            return False
        if data[pos + 4] == EOF_HEADER:
            return end - pos >= 9 and bool(data[pos + 7] & MORE_RESULTS)
        return bool(parse_ok(data[pos + 4 : end]).status & MORE_RESULTS)

    def _finish(self, data: bytes, pos: int, end: int) -> bytes:
        if end != len(data):
            raise MalformedPacket("the server sent more than its response")
        _check_terminal(data[pos + 4 :])
        self.terminal = data[pos + 4 :]
        self.sequence = data[pos + 3]
        self.final = data
        self.terminal_start = pos
        self.pending = b""
        self.state = DONE
        if data[pos + 4] == EOF_HEADER and data[end - 4 : end - 2] == b"\0\0":
            self.end_status = data[end - 2] | data[end - 1] << 8
        return b""


def _ends_rows(first: int, length: int) -> bool:
    return (first == EOF_HEADER and length <= EOF_MAX_PAYLOAD) or first == ERR_HEADER


def _check_terminal(payload: bytes) -> None:
    """Raise for a last packet that could not be read: whoever waits for the response must not be left waiting."""
    first = payload[0]
    if first == OK_HEADER:
        parse_ok(payload)
    elif first == ERR_HEADER:
        parse_err(payload)
    else:
        parse_eof(payload)


def _small_lenenc(data: bytes, pos: int, end: int) -> int:
    first = data[pos]
    if 0 < first < 0xFB and end == pos + 1:
        return first
    if first == 0xFC and end == pos + 3 and (data[pos + 1] or data[pos + 2]):
        return data[pos + 1] | data[pos + 2] << 8
    raise MalformedPacket("the server sent an impossible column count")
