"""The statements that are prepared on one connection: whoever has the connection finds them again.

They are known by their text and by what the connection was set to, since a server binds a statement to schema, character set and modes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from shardproxy.protocol.flags import Command
from shardproxy.protocol.framing import encode_packet
from shardproxy.protocol.resultset import ColumnDefinition

# A text, and the kind of connection without what cannot change.
Key = tuple[tuple[object, ...], bytes]


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
        self._by_key: OrderedDict[Key, BackendStatement] = OrderedDict()
        # Numbers of those to be closed: that needs no answer, so it goes out with the next command.
        self.closing: list[int] = []

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: Key) -> BackendStatement | None:
        """The statement prepared under this key."""
        found = self._by_key.get(key)
        if found is not None:
            self._by_key.move_to_end(key)
        return found

    def add(self, key: Key, statement: BackendStatement) -> None:
        """Remember one; another may have to go for it."""
        self._by_key[key] = statement
        if len(self._by_key) > self.capacity:
            self.closing.append(self._by_key.popitem(last=False)[1].id)

    def drop(self, key: Key) -> None:
        """The server does not know it any more, or not as it was."""
        found = self._by_key.pop(key, None)
        if found is not None:
            self.closing.append(found.id)

    def clear(self) -> None:
        """The server has forgotten all of them."""
        self._by_key.clear()
        self.closing.clear()

    def take_closing(self) -> bytes:
        """The commands that close what was dropped; nothing answers them."""
        if not self.closing:
            return b""
        packets = [encode_packet(bytes((Command.STMT_CLOSE,)) + number.to_bytes(4, "little"), 0) for number in self.closing]
        self.closing.clear()
        return b"".join(packets)
