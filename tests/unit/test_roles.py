"""Who is the primary: every combination of what the servers of a shard may say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest

from shardproxy.backends.roles import Verdict, decide
from shardproxy.protocol.gtid import NOWHERE, Position

# The last one has been replicated up to what was acknowledged, and has written since.
OLD, ALL, MORE = (Position.parse(text) for text in ("0-1-9", "0-1-10", "0-1-10,0-2-11"))
ACKNOWLEDGED = ALL


@dataclass
class Member:
    """What one server says."""

    name: str
    writable: bool = False
    ousted: bool = False
    logged: Position = ALL
    follows: bool = False
    source: str = ""

    def runs_from(self, other: Member) -> bool:
        """Whether the other one is its source."""
        return self.source == other.name

    @property
    def trouble(self) -> str:
        """As a server's, in short."""
        return "was replaced as the primary" if self.ousted else "is read-only"


def verdict(*members: Member, current: int = 0, acknowledged: Position = ACKNOWLEDGED, settled: bool = True) -> Verdict[Member]:
    """The decision where the first one is the primary so far, unless told otherwise."""
    return decide(members, members[current], acknowledged, settled=settled)


def _expected(members: tuple[Member, ...], settled: bool) -> tuple[str, bool, bool]:
    """The rule in other words: the name, whether something is wrong, whether it is a split. The first one is the primary so far."""
    first, order = members[0], (OLD, ALL, MORE)
    taking = [member for member in members if member.writable and not member.ousted]
    if len(taking) != 1:
        return first.name, True, len(taking) > 1
    [found] = taking
    behind = any(member.follows and order.index(member.logged) > order.index(found.logged) for member in members)
    known = found is first and settled
    right = known or (not behind and (found is first or found.logged is not OLD))
    return (found.name, False, False) if right else (first.name, True, False)


# Whether it takes writes or replicates or neither, whether it was replaced, and how much it has.
STATES = [
    (writable, ousted, logged, follows)
    for (writable, follows), ousted, logged in product(((True, False), (False, True), (False, False)), (False, True), (OLD, ALL, MORE))
    if not (ousted and follows)
]


@pytest.mark.parametrize("settled", [True, False])
def test_every_combination_of_three_servers(settled: bool) -> None:
    """All 3375 cases."""
    for states in product(STATES, repeat=3):
        members = tuple(Member(name, *state) for name, state in zip("abc", states, strict=True))
        found = verdict(*members, settled=settled)
        assert (found.primary.name, bool(found.fault), found.split) == _expected(members, settled), members


def test_all_is_well() -> None:
    """The primary takes writes, and nobody else."""
    primary, replica = Member("a", writable=True), Member("b")
    assert verdict(primary, replica) == Verdict(primary)


def test_promoted_replica_is_the_primary() -> None:
    """It has all that was acknowledged, and perhaps more."""
    for logged in (ALL, MORE):
        new = Member("b", writable=True, logged=logged)
        assert verdict(Member("a"), new) == Verdict(new)


def test_promoted_replica_that_lacks_acknowledged_writes_is_not() -> None:
    """They would be lost; the fault names both servers."""
    old = Member("a")
    found = verdict(old, Member("b", writable=True, logged=OLD))
    assert (found.primary, found.split) == (old, False)
    assert "b takes writes but lacks some that were acknowledged" in found.fault
    assert "a is read-only" in found.fault


@pytest.mark.parametrize(("text", "acknowledged"), [("0-1-10", "0-1-9,1-1-1"), ("a:1-4:6-9", "a:5"), ("a:1-9", "a:1-9,b:1"), ("", "0-1-1")])
def test_one_transaction_that_is_missing_anywhere_is_enough(text: str, acknowledged: str) -> None:
    """In a gap, of another source, in another domain."""
    new = Member("b", writable=True, logged=Position.parse(text))
    assert verdict(Member("a"), new, acknowledged=Position.parse(acknowledged)).fault


def test_where_nothing_was_acknowledged_nothing_can_be_missing() -> None:
    """As after the proxy's own start."""
    new = Member("b", writable=True, logged=NOWHERE)
    assert verdict(Member("a"), new, acknowledged=NOWHERE) == Verdict(new)


def test_what_a_replica_has_the_new_primary_must_have() -> None:
    """Another process may have acknowledged it; a replica that does not replicate any more has gone its own way."""
    old, new, ahead = Member("a"), Member("b", writable=True), Member("c", follows=True, logged=MORE)
    found = verdict(old, new, ahead)
    assert (found.primary, found.fault) == (old, "b takes writes but lacks some that c has")
    ahead.follows = False
    assert verdict(old, new, ahead) == Verdict(new)


def test_process_that_has_just_started_compares_the_primary_of_its_config_too() -> None:
    """It knows of no acknowledged write, and the server may have come back from a crash without some."""
    primary, ahead = Member("a", writable=True, logged=OLD), Member("b", follows=True)
    assert verdict(primary, ahead, acknowledged=NOWHERE, settled=False).fault == "a takes writes but lacks some that b has"
    assert verdict(primary, ahead, acknowledged=NOWHERE) == Verdict(primary)


def test_split_brain_leaves_the_primary_and_stops_writes() -> None:
    """Whoever has more, and whether the primary so far is one of them; the fault names those that take writes, and no others."""
    for count in (2, 3):
        members = [Member(name, writable=True, logged=MORE) for name in "bcd"[:count]]
        for current in (Member("a", writable=False), Member("a", writable=True, logged=OLD)):
            found = verdict(current, *members)
            assert found.primary is current
            assert found.split
            named = {word.strip(",") for word in found.fault.split(" all take")[0].split()}
            assert named == {member.name for member in (current, *members) if member.writable}


def test_former_primary_that_takes_writes_is_no_rival() -> None:
    """It came back as it went, and does not follow the new one yet: it is left alone, and writing goes on."""
    old, new = Member("a", writable=True, ousted=True, logged=MORE), Member("b", writable=True)
    assert verdict(old, new, current=1) == Verdict(new)


def test_former_primary_alone_does_not_become_the_primary_again() -> None:
    """What was acknowledged since is on the other one."""
    old, new = Member("a", writable=True, ousted=True, logged=MORE), Member("b")
    found = verdict(old, new, current=1)
    assert found == Verdict(new, "b is read-only")


def test_nobody_takes_writes() -> None:
    """The fault is that of the primary so far."""
    old = Member("a")
    assert verdict(old, Member("b"), Member("c")) == Verdict(old, "a is read-only")


def test_replica_of_the_new_primary_itself_may_have_more() -> None:
    """As an account that was made on a replica of MySQL: everyday, and nothing that the primary lacks. Of another source it counts."""
    own = Member("r", follows=True, logged=MORE, source="p")
    assert not verdict(Member("p", writable=True), own, settled=False).fault
    stray = Member("r", follows=True, logged=MORE, source="somebody else")
    assert verdict(Member("p", writable=True), stray, settled=False).fault
