"""Several statements in one command: one after the other, each answered as a result of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shardproxy.session.channel import Sink

if TYPE_CHECKING:
    from shardproxy.session.session import Session


async def run_several(session: Session, statements: Sequence[bytes]) -> None:
    """Carry them out in turn; the first error ends it, as on a server. Raises what planning a statement raises."""
    last = len(statements) - 1
    for number, text in enumerate(statements):
        session.failed = False
        sink = Sink(session.channel, session.state.status, session.first_sequence)
        sink.more = number < last
        # A server numbers the packets of each answer from 1; here they go on from the answer before.
        sink.needs_rows = number > 0
        session.statement = text
        await session.run_text(text, sink)
        if session.failed or session.closed:
            return
        session.first_sequence = sink.sequence
