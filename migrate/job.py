"""What all steps of one move share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from migrate.board import Board
from migrate.errors import Replaced
from migrate.node import FENCE, Node
from migrate.tables import MovedTable, read_texts
from migrate.throttle import Throttle
from shardproxy.backends.engine import Connection
from shardproxy.errors import ServerError
from shardproxy.topology.moves import Move, MoveState
from shardproxy.topology.topology import Topology

# Progress is saved so often, in seconds: what is lost of it in a crash is copied again.
_SAVE_S = 0.5


@dataclass(slots=True)
class Progress:
    """How far a move is. `copied` has, by table, the key of the last row that is on the target, or None once all are.

    `position` is where in the source's binary log the changes begin that may be missing on the target; `reverse` the same for the way
    back, in the target's log. `source` names the server that the position belongs to.
    """

    position: str = ""
    source: str = ""
    reverse: str = ""
    reverse_source: str = ""
    copied: dict[str, list[str] | None] = field(default_factory=dict)
    rows_total: int = 0
    rows_copied: int = 0
    bytes_copied: int = 0
    rows_applied: int = 0
    lag_ms: int = 0
    rate: float = 0.0
    pause_ms: int = 0
    attempts: int = 0
    throttled: str = ""
    # Triggers write down which rows change, because the binary log may not be read.
    outbox: bool = False
    # The rows are there already, as they were at the position: this is the way back of a move.
    back: bool = False
    # The target's guards are gone: nothing is left to be done for a switched move but its clean-up.
    freed: bool = False
    started_at: float = 0.0
    # When the move came to its state.
    entered_at: float = 0.0
    copied_at: float = 0.0

    @classmethod
    def load(cls, saved: dict[str, Any]) -> Progress:
        """From what was saved; what an older version saved besides is dropped."""
        return cls(**{name: saved[name] for name in cls.__slots__ if name in saved})

    def plain(self) -> dict[str, Any]:
        """What is saved."""
        return {name: getattr(self, name) for name in self.__slots__} | {"copied": dict(self.copied)}


@dataclass(slots=True)
class Job:
    """A move under way: its two nodes, its tables, and how far it is."""

    board: Board
    topology: Topology
    move: Move
    source: Node
    target: Node
    tables: Sequence[MovedTable]
    throttle: Throttle
    progress: Progress = field(default_factory=Progress)
    # Nothing of the share is on the target.
    empty: bool = False
    # The tables that this process itself has emptied on the target and not begun to copy.
    fresh: set[str] = field(default_factory=set)
    _saved_at: float = 0.0

    def __post_init__(self) -> None:
        self.throttle.tell = self._tell
        self.throttle.wanted = self.wanted

    def wanted(self) -> str:
        """What an operator wishes of the move, as far as it can be heeded where the move is: "pause", "cancel" or nothing."""
        wanted, state = self.board.wanted.get(self.move.id, ""), self.move.state
        late = state in (MoveState.FENCING, MoveState.ABORTING) or (wanted == "cancel" and state.decided)
        return "" if late else wanted

    async def _tell(self) -> None:
        await self.save(now=False)

    async def save(self, *, now: bool = True) -> None:
        """Keep the progress; without `now` only if it has not been kept for a while."""
        if now or time.monotonic() - self._saved_at > _SAVE_S:
            self._saved_at = time.monotonic()
            self.progress.throttled = self.throttle.reason
            await self.board.save_progress(self.move.id, self.progress.plain())

    async def begin(self, connection: Connection, node: Node) -> None:
        """Begin a transaction that can only be committed while no newer mover has claimed the move: its claim waits for this one.

        Raises `Replaced`.
        """
        await connection.query(b"START TRANSACTION")
        found = await read_texts(connection, f"SELECT token FROM `{FENCE}` WHERE move = {self.move.id} LOCK IN SHARE MODE")
        if not found or int(found[0][0]) != node.token:
            raise Replaced(f"another mover acts on {node.shard}")


async def roll_back(connection: Connection) -> None:
    """Undo the transaction, so that the session can go on."""
    if not connection.closed:
        await connection.query(b"ROLLBACK")


def is_duplicate(error: ServerError) -> bool:
    """Whether a row was refused because another one has a key of its."""
    return error.errno == 1062
