"""Texts that are more than one short statement: several in one command, and those so long that reading them is work for threads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shardproxy.errors import TOO_COMPLEX, ProxyError
from shardproxy.planner.cache import PlanCache
from shardproxy.planner.plan import Plan
from shardproxy.session.channel import Sink
from shardproxy.session.hints import read_hint
from shardproxy.sql.fingerprint import expand_executable_comments, fingerprint, shape_within
from shardproxy.sql.rows import first_row_only, has_rows
from shardproxy.sql.split import split_statements
from shardproxy.sql.statement import MAX_READ_BYTES

if TYPE_CHECKING:
    from shardproxy.session.router import Router
    from shardproxy.session.session import Session

# From these sizes on, reading and planning a statement is left to threads.
LONG_BYTES = 16 * 1024
LONG_SHAPE_BYTES = 2 * 1024
HUGE_BYTES = 256 * 1024


def expanded(router: Router, text: bytes) -> bytes:
    """A statement with what its executable comments say, where the shards' servers would execute it."""
    if b"/*!" not in text and b"/*M!" not in text:
        return text
    catalog = router.catalog
    numbers = ([*catalog.server_version.split("-")[0].split("."), "0", "0"])[:3]
    version = int("".join(f"{int(n) if n.isdigit() else 0:02d}" for n in numbers))
    return expand_executable_comments(text, catalog.flavour, version)


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
        session.state.hint = read_hint(text) if session.sets else None
        await run_text(session, text, sink)
        if session.failed or session.closed:
            return
        session.first_sequence = sink.sequence


async def run_text(session: Session, text: bytes, sink: Sink | None = None) -> None:
    """Carry out a statement of any length, the long way. Raises what its planning raises."""
    if len(text) > LONG_BYTES:
        if sink is None and session.multi_statements and b";" in text:
            parts = await asyncio.get_running_loop().run_in_executor(None, split_statements, text)
            if len(parts) > 1:
                await run_several(session, parts)
                return
        await _run_long(session, text, sink)
        return
    shape, literals = fingerprint(text)
    plans = session.plans
    if len(shape) > LONG_SHAPE_BYTES and shape not in plans:
        await plan_beside(session, plans, shape, text, literals, sink)
    else:
        await session.run(plans.get(shape, literals), text, literals, sink)


async def plan_beside(
    session: Session, plans: PlanCache, shape: bytes, text: bytes, literals: list[bytes], sink: Sink | None = None
) -> None:
    """Plan a long statement in a thread: parsing takes long enough for other clients to notice."""
    built = await asyncio.get_running_loop().run_in_executor(None, plans.build, shape, literals)
    await session.run(plans.add(shape, literals, built), text, literals, sink)


async def _run_long(session: Session, text: bytes, sink: Sink | None) -> None:
    """Carry out a statement so long that reading it would hold up other clients: threads do that."""
    loop = asyncio.get_running_loop()
    plans = session.plans
    if has_rows(text):
        # Planned by its first row; looking at every literal would take longer than running it.
        shape, literals = fingerprint(await loop.run_in_executor(None, first_row_only, text))
        plan = plans.get(shape, literals)
        if isinstance(plan, Plan) and (plan.insert is not None or plan.template is None):
            await session.run(plan.for_many_rows(), text, literals, sink)
            return
    if len(text) > HUGE_BYTES and not await loop.run_in_executor(None, shape_within, text, MAX_READ_BYTES):
        raise ProxyError(TOO_COMPLEX, f"the statement is longer than {MAX_READ_BYTES} bytes, not counting its literals")
    shape, literals = fingerprint(text)
    if len(shape) > LONG_SHAPE_BYTES and shape not in plans:
        await plan_beside(session, plans, shape, text, literals, sink)
        return
    await session.run(plans.get(shape, literals), text, literals, sink)
