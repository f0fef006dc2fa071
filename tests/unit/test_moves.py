"""What proxies and movers agree on: the document, who may have whose rows, and the states of a move."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from migrate.states import TRANSITIONS, check_transition
from shardproxy.errors import MOVING, ProxyError, ServerError
from shardproxy.executor.trust import Trust
from shardproxy.store.records import ShardedTable, ShardRecord, StoredTopology, decode, encode
from shardproxy.topology.moves import Hold, Move, MoveState
from shardproxy.topology.share import Share
from shardproxy.topology.topology import RangeMap

SHARE = Share(buckets=frozenset((3, 5)))


def stored(*moves: Move, owner: str = "a") -> StoredTopology:
    """A document with these moves, in which one shard owns everything."""
    shards = {"a": ShardRecord(), "b": ShardRecord("mysql://u:p@h/x", ("mysql://u:p@r/x",), 2.0, member=True, draining=True)}
    ranges = {"days": RangeMap((dt.date(2024, 1, 1), dt.date(2025, 1, 1)), ("a", "b", "a"))}
    return StoredTopology(7, shards, {"g": (owner,) * 4096}, ranges, {"t": ShardedTable("k", "g")}, moves, None, 4, {"rate": 5.0})


def test_document_reads_back() -> None:
    """With everything that it can hold."""
    share = Share(intervals=((None, 5), (7, None)))
    document = replace(stored(Move(1, "g", "a", "b", SHARE), Move(2, "r", "b", "a", share, MoveState.READY, reason="x")), hold=Hold(2, 6))
    assert decode(7, encode(document)) == document


def test_document_of_the_first_version_reads() -> None:
    """Its shards were a list of names, its owners names in full."""
    text = '{"shards": ["a", "b"], "hash": {"g": ["a", "b"]}, "range": {}}'
    assert decode(3, text) == StoredTopology(3, {"a": ShardRecord(), "b": ShardRecord()}, {"g": ("a", "b")})


@pytest.mark.parametrize("state", MoveState)
def test_rows_are_strays_where_they_may_lie_without_being_owned(state: MoveState) -> None:
    """On the target until the decision, on the source from then until the clean-up."""
    document = stored(Move(1, "g", "a", "b", SHARE, state), owner="b" if state.decided else "a")
    shard = next(iter(document.strays.get("g", {})), "")
    target = {MoveState.PREPARING, MoveState.COPYING, MoveState.CATCHUP, MoveState.VERIFYING, MoveState.READY, MoveState.FENCING}
    expected = "b" if state in target | {MoveState.ABORTING} else "a" if state in {MoveState.SWITCHED, MoveState.CLEANUP} else ""
    assert shard == expected


def test_strays_of_several_moves_add_up() -> None:
    """Two moves may bring different shares to one shard."""
    moves = (Move(1, "g", "a", "b", SHARE, MoveState.COPYING), Move(2, "g", "a", "b", Share(frozenset((9,))), MoveState.READY))
    assert stored(*moves).strays == {"g": {"b": Share(frozenset((3, 5, 9)))}}


@pytest.mark.parametrize("state", MoveState)
def test_rows_that_a_shard_owns_are_never_strays_there(state: MoveState) -> None:
    """Whatever moves there have been since."""
    document = stored(Move(1, "g", "a", "b", SHARE, state), owner="a" if state.decided else "b")
    assert not document.strays
    ranges = Move(1, "days", "a", "b", Share(intervals=((dt.date(2024, 3, 1), dt.date(2024, 5, 1)),)), MoveState.COPYING)
    assert not stored(ranges).strays


def test_decision_is_never_taken_back() -> None:
    """Every state before it can still be given up, and none behind it leads back."""
    for before, after in TRANSITIONS.items():
        if before.decided:
            assert all(state.decided for state in after)
        elif not before.over and before is not MoveState.ABORTING:
            assert after & {MoveState.ABORTING, MoveState.ABORTED}
    with pytest.raises(ValueError, match="cannot go from switched to ready"):
        check_transition(MoveState.SWITCHED, MoveState.READY)


class Fence:
    """A connection to a server on which these moves' fences are closed, or which has no such table."""

    relays = True
    shard = "a"

    def __init__(self, *closed: int, missing: bool = False) -> None:
        self.closed = closed
        self.missing = missing

    async def query(self, sql: bytes) -> Any:
        """The rows of `_sp_fence`."""
        if self.missing:
            raise ServerError(1146, "42S02", "Table 'app._sp_fence' doesn't exist")
        texts = [str(number).encode() for number in self.closed]
        return type("Result", (), {"rows": [bytes((len(text),)) + text for text in texts]})


@pytest.mark.parametrize(
    ("fence", "stale"),
    [(Fence(), False), (Fence(missing=True), False), (Fence(5), False), (Fence(2), False), (Fence(6), True), (Fence(5, 9), True)],
)
async def test_closed_fence_that_is_not_known_to_be_decided_makes_a_map_stale(fence: Any, *, stale: bool) -> None:
    """Moves older than all that are known are over; those that are known and not decided are changing hands now."""
    trust = Trust(frozenset((4, 5)), 3, valid_until=0.0)
    if not stale:
        await trust.check(fence, for_tables=True)
        return
    with pytest.raises(ProxyError) as refused:
        await trust.check(fence, for_tables=True)
    assert refused.value.spec is MOVING and refused.value.errno == 1205


async def test_server_is_not_asked_while_movers_wait() -> None:
    """Nor for statements that touch no table."""
    fence: Any = Fence(9)
    await Trust(frozenset(), 0).check(fence, for_tables=True)
    await Trust(frozenset(), 0, valid_until=0.0).check(fence, for_tables=False)
