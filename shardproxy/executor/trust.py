"""How far a process may trust its topology while it cannot reach the store.

As long as the store has heard of it lately, movers wait for it before a share changes its owner. After that they may not: then, before
each statement, the server that is to carry it out is asked whether a share has left it since. A read that finds none began before the
share had another owner; a write is refused by the server itself from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from shardproxy.backends.engine import Connection
from shardproxy.errors import MOVING, ProxyError, ServerError
from shardproxy.protocol.resultset import parse_row

_NO_TABLE_ERRNOS = frozenset((1146, 1142))


@dataclass(slots=True)
class Trust:
    """Of a process: until when (`perf_counter`) it is known to be waited for, and the moves that it knows to be decided.

    `first` is the number of the oldest move that it knows of: those before are long over.
    """

    decided: frozenset[int] = frozenset()
    first: int = 0
    valid_until: float = float("inf")

    @property
    def over(self) -> bool:
        """Whether servers have to be asked."""
        return perf_counter() > self.valid_until

    async def check(self, connection: Connection, *, for_tables: bool) -> None:
        """Raises `ProxyError` (1205) where rows may have left this server that a statement on tables expects there."""
        if not (for_tables and self.over and connection.relays):
            return
        try:
            result = await connection.query(b"SELECT move FROM `_sp_fence` WHERE state = 'closed'")
        except ServerError as error:
            if error.errno in _NO_TABLE_ERRNOS:
                return
            raise
        closed = {int(parse_row(row, 1)[0] or 0) for row in result.rows}
        if any(move >= self.first and move not in self.decided for move in closed):
            # They are being moved, or have been since.
            raise ProxyError(MOVING, f"rows have left shard {connection.shard}, and the store that knows where to is away; try again")
