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

    @property
    def trouble(self) -> str:
        """As a server's, in short."""
        return "was replaced as the primary" if self.ousted else "is read-only"


def verdict(*members: Member, current: int = 0, acknowledged: Position = ACKNOWLEDGED) -> Verdict[Member]:
    """The decision where the first one is the primary so far, unless told otherwise."""
    return decide(members, members[current], acknowledged)


def _expected(members: tuple[Member, ...]) -> tuple[str, bool, bool]:
    """The rule in other words: the name, whether something is wrong, whether it is a split. The first one is the primary so far."""
    taking = [member for member in members if member.writable and not member.ousted]
    if len(taking) == 1 and (taking[0] is members[0] or taking[0].logged in (ALL, MORE)):
        return taking[0].name, False, False
    return members[0].name, True, len(taking) > 1


STATES = tuple(product((False, True), (False, True), (OLD, ALL, MORE)))


def test_every_combination_of_three_servers() -> None:
    """A server takes writes or not, was replaced or not, and lacks, has or exceeds what was acknowledged; all 1728 cases."""
    for states in product(STATES, repeat=3):
        members = tuple(Member(name, *state) for name, state in zip("abc", states, strict=True))
        found = verdict(*members)
        assert (found.primary.name, bool(found.fault), found.split) == _expected(members), members


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
