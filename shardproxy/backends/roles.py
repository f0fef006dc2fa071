"""Who is the primary of a shard, from what its servers say: a pure decision.

The primary is the one server that takes writes and has every write that was acknowledged. Where that is not exactly one, nothing is
written until it is: two servers that take writes would each go their own way, and a server that lacks acknowledged writes would lose
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from shardproxy.protocol.gtid import Position


class Member(Protocol):
    """A server as this decision sees it."""

    @property
    def name(self) -> str:
        """Its address."""

    @property
    def writable(self) -> bool:
        """Whether it answers and takes writes, as far as is known."""

    @property
    def ousted(self) -> bool:
        """Whether another one was made primary in its place, which it does not follow yet."""

    @property
    def logged(self) -> Position:
        """All that it has, of its own and by replication."""

    @property
    def follows(self) -> bool:
        """Whether it is a replica in order."""

    def runs_from(self, other: Self) -> bool:
        """Whether it replicates from that server at this moment."""

    @property
    def trouble(self) -> str:
        """Why it does not answer or takes no writes."""


M = TypeVar("M", bound=Member)


@dataclass(frozen=True, slots=True)
class Verdict(Generic[M]):
    """The primary, and why nothing may be written there now, or "". `split`: because more than one server takes writes."""

    primary: M
    fault: str = ""
    split: bool = False


def decide(members: Sequence[M], current: M, acknowledged: Position, *, settled: bool = True) -> Verdict[M]:
    """The primary now, where it was `current` so far and clients have been told of the writes in `acknowledged`.

    `settled` is whether `current` has been found to be the primary before: one that is to become it must also have all that the replicas
    have, since a process that has just started knows of no writes that others acknowledged.
    """
    writable = [member for member in members if member.writable and not member.ousted]
    if len(writable) > 1:
        names = ", ".join(member.name for member in writable)
        return Verdict(current, f"{names} all take writes; make all but one read-only", split=True)
    if not writable:
        return Verdict(current, f"{current.name} {current.trouble}")
    [found] = writable
    if found is not current and not found.logged.holds(acknowledged):
        return Verdict(current, f"{found.name} takes writes but lacks some that were acknowledged; {current.name} {current.trouble}")
    if found is not current or not settled:
        # A replica of this very server that has more has it from elsewhere, and says nothing against it.
        others = [member for member in members if member is not found and member.follows and not member.runs_from(found)]
        ahead = [member.name for member in others if not found.logged.holds(member.logged)]
        if ahead:
            return Verdict(current, f"{found.name} takes writes but lacks some that {', '.join(ahead)} has")
    return Verdict(found)
