"""The statements that are prepared on one connection, by their text: whoever has the connection finds them again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from shardproxy.protocol.flags import Command
from shardproxy.protocol.framing import encode_packet
from shardproxy.protocol.resultset import ColumnDefinition


@dataclass(frozen=True, slots=True)
class BackendStatement:
    """One of them: the server's number for it, and what the server told of its parameters and columns."""

    id: int
    parameters: tuple[ColumnDefinition, ...]
    columns: tuple[ColumnDefinition, ...]


class BackendStatements:
    """At most `capacity` statements, those dropped first that have not been used for longest."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._by_text: OrderedDict[bytes, BackendStatement] = OrderedDict()
        # Numbers of those to be closed: that needs no answer, so it goes out with the next command.
        self.closing: list[int] = []

    def __len__(self) -> int:
        return len(self._by_text)

    def get(self, text: bytes) -> BackendStatement | None:
        """The statement prepared from this text."""
        found = self._by_text.get(text)
        if found is not None:
            self._by_text.move_to_end(text)
        return found

    def add(self, text: bytes, statement: BackendStatement) -> None:
        """Remember one; another may have to go for it."""
        self._by_text[text] = statement
        if len(self._by_text) > self.capacity:
            self.closing.append(self._by_text.popitem(last=False)[1].id)

    def drop(self, text: bytes) -> None:
        """The server does not know it any more, or not as it was."""
        found = self._by_text.pop(text, None)
        if found is not None:
            self.closing.append(found.id)

    def close_later(self, statement_id: int) -> None:
        """Close a statement that was prepared for one use."""
        self.closing.append(statement_id)

    def clear(self) -> None:
        """The server has forgotten all of them."""
        self._by_text.clear()
        self.closing.clear()

    def take_closing(self) -> bytes:
        """The commands that close what was dropped; nothing answers them."""
        if not self.closing:
            return b""
        packets = [encode_packet(bytes((Command.STMT_CLOSE,)) + number.to_bytes(4, "little"), 0) for number in self.closing]
        self.closing.clear()
        return b"".join(packets)
