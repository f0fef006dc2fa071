"""The states of a move and the one table of transitions between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shardproxy.topology.moves import MoveState as S

# From each state the next one, those to which it falls back, and whether it may still be given up.
TRANSITIONS: Final[Mapping[S, frozenset[S]]] = {
    S.PLANNED: frozenset((S.PREPARING, S.ABORTED)),
    S.PREPARING: frozenset((S.COPYING, S.ABORTING)),
    S.COPYING: frozenset((S.CATCHUP, S.ABORTING)),
    # The log was gone, or a table was changed: copy again.
    S.CATCHUP: frozenset((S.VERIFYING, S.COPYING, S.ABORTING)),
    S.VERIFYING: frozenset((S.READY, S.COPYING, S.CATCHUP, S.ABORTING)),
    S.READY: frozenset((S.FENCING, S.COPYING, S.CATCHUP, S.ABORTING)),
    # The decision is FENCING -> SWITCHED. Before it there is only a way back, behind it only forward.
    S.FENCING: frozenset((S.SWITCHED, S.READY, S.CATCHUP, S.ABORTING)),
    S.SWITCHED: frozenset((S.CLEANUP, S.DONE)),
    S.CLEANUP: frozenset((S.DONE,)),
    S.ABORTING: frozenset((S.ABORTED,)),
    S.DONE: frozenset(),
    S.ABORTED: frozenset(),
}


def check_transition(before: S, after: S) -> None:
    """Raises ValueError for a step that no move takes."""
    if after not in TRANSITIONS[before]:
        raise ValueError(f"a move cannot go from {before.value} to {after.value}")
