"""The words for moves that proxies and movers share: in which state a move is, and who has its rows then."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from shardproxy.topology.share import Share


class MoveState(Enum):
    """Where a move stands. `docs/rebalancing.md` says of each who owns the rows; `migrate.states` has the transitions."""

    PLANNED = "planned"
    PREPARING = "preparing"
    COPYING = "copying"
    CATCHUP = "catchup"
    VERIFYING = "verifying"
    READY = "ready"
    FENCING = "fencing"
    SWITCHED = "switched"
    CLEANUP = "cleanup"
    DONE = "done"
    ABORTING = "aborting"
    ABORTED = "aborted"

    @property
    def decided(self) -> bool:
        """Whether the target owns the share: from here on a move only goes forward."""
        return self in (MoveState.SWITCHED, MoveState.CLEANUP, MoveState.DONE)

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done."""
        return self in (MoveState.DONE, MoveState.ABORTED)

    @property
    def strays_on_target(self) -> bool:
        """Whether rows of the share may lie on the target, which does not own them yet."""
        return not (self.decided or self.over or self is MoveState.PLANNED)

    @property
    def strays_on_source(self) -> bool:
        """Whether rows of the share may lie on the source, which does not own them any more."""
        return self in (MoveState.SWITCHED, MoveState.CLEANUP)


@dataclass(frozen=True, slots=True)
class Move:
    """One move as the topology has it: the tables of `group` give `share` from `source` to `target`.

    `joins`: the target gets a copy of the reference tables and becomes a member; nobody loses anything. `wanted` is what an operator
    has asked for: "pause", "cancel" or nothing. `reverse_of` is the move that this one takes back, or 0. `reason` says why it
    was given up, or what it waits for.
    """

    id: int
    group: str
    source: str
    target: str
    share: Share
    state: MoveState = MoveState.PLANNED
    joins: bool = False
    wanted: str = ""
    reverse_of: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Statements that touch the share of a move are to wait: its owner is about to change.

    `epoch` is that of the document in which the hold was first asked for; the fence is closed, and the target opened, under the next one.
    """

    move: int
    epoch: int
