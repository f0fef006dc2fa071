"""Letting go of a share: statements that touch it wait while its owner changes, and those under way are waited for.

A statement is *under way* from when it was planned for the topology that is to be left until its answer is sent; a transaction that has
touched the share's tables on one of the two shards, until it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from shardproxy.errors import MOVING, ProxyError
from shardproxy.planner.plan import AnyPlan, DdlPlan, Plan
from shardproxy.routing.resolve import key_of
from shardproxy.topology.hashing import bucket_of
from shardproxy.topology.keys import Unprovable
from shardproxy.topology.moves import Hold
from shardproxy.topology.placement import HashPlacement, Placement, RangePlacement
from shardproxy.topology.share import Share

if TYPE_CHECKING:
    from shardproxy.session.router import Router
    from shardproxy.session.session import Session

# A move gives up after two seconds, so that whoever waits longer waits for a mover that is gone.
MAX_WAIT_S: Final = 8.0
_POLL_S: Final = 0.002


@dataclass(frozen=True, slots=True)
class Holding:
    """A hold as a proxy carries it out: no new statement touches `share` of `tables`. `shards` are the source and the target."""

    hold: Hold
    tables: frozenset[str]
    shards: frozenset[str]
    share: Share
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def concerns(self, session: Session, plan: AnyPlan, literals: Sequence[bytes]) -> bool:
        """Whether a statement has to wait. What belongs to a transaction that uses the tables already is let through: it is waited for."""
        if not uses_tables(plan, self.tables):
            return False
        leases = session.leases
        if leases.touched and not self.tables.isdisjoint(leases.touched):
            return False
        point = plan.route.point if isinstance(plan, Plan) else None
        if point is None or self.share.everything or point.slot >= len(literals):
            return True
        key = key_of(point.placement, literals[point.slot], point.negative, session.state.codec)
        return isinstance(key, Unprovable) or contains(self.share, point.placement, key)

    async def wait(self) -> None:
        """Until the share has its owner again; raises `ProxyError` (1205) where that takes too long."""
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await self.released.wait()
        except TimeoutError:
            raise ProxyError(MOVING, "the rows are changing their shard, and that takes too long; try again") from None


def contains(share: Share, placement: Placement, key: int | bytes) -> bool:
    """Whether a key is in a share."""
    if isinstance(placement, HashPlacement):
        return bucket_of(placement.key_type.canonical(key)) in share.buckets
    assert isinstance(placement, RangePlacement)
    for low, high in share.intervals:
        from_ = None if low is None else placement.key_type.from_config(low)
        to = None if high is None else placement.key_type.from_config(high)
        if (from_ is None or key >= from_) and (to is None or key < to):  # type: ignore[operator]
            return True
    return False


def uses_tables(plan: AnyPlan | None, tables: Collection[str]) -> bool:
    """Whether a statement works on one of these tables; one of which nothing is known may."""
    if plan is None:
        return True
    if isinstance(plan, Plan):
        return plan.whole or not frozenset(plan.tables).isdisjoint(tables)
    # A schema change says of its steps which tables they are about, but a view or a rename may reach others.
    return isinstance(plan, DdlPlan) and not plan.temporary


async def let_go(router: Router, tables: frozenset[str], shards: Collection[str] = ()) -> None:
    """Until nothing is under way that was planned before now and uses one of the tables.

    With `shards`, transactions that have touched the tables there are waited for too.
    """
    waited_for = {
        session: session.started_at
        for session in router.sessions.values()
        if (session.statement and uses_tables(session.running, tables)) or _in_transaction(session, tables, shards)
    }
    while waited_for:
        for session, started_at in list(waited_for.items()):
            if session.closed or (not _same_statement(session, started_at) and not _in_transaction(session, tables, shards)):
                del waited_for[session]
        if waited_for:
            await asyncio.sleep(_POLL_S)


def _same_statement(session: Session, started_at: float) -> bool:
    """Whether a session is still at what it was at, and not waiting for the hold to end."""
    return bool(session.statement) and session.started_at == started_at and not session.held_back


def _in_transaction(session: Session, tables: frozenset[str], shards: Collection[str]) -> bool:
    leases = session.leases
    return bool(shards) and not leases.began.isdisjoint(shards) and not tables.isdisjoint(leases.touched)
