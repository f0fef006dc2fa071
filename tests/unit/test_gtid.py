"""Positions in the stream of changes: what is read from servers' answers, and how two of them compare."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardproxy.protocol.gtid import NOWHERE, Position, told_position
from shardproxy.protocol.wire_types import MalformedPacket, lenenc_bytes

A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
B = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
SYSTEM_VARIABLES, SCHEMA, STATE_CHANGE, GTIDS = range(4)


def at(text: str) -> Position:
    """The position that a text tells."""
    return Position.parse(text)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("text", ["", "   ", ",", "\n"])
def test_nothing_is_nowhere(text: str) -> None:
    """A server without history says an empty text."""
    assert at(text) == NOWHERE
    assert not at(text)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("0-1-270,7-3-12", "7-9-12, 0-2-270"),
        (f"{A}:1-5", f"{A.upper()}:1-2:3-5"),
        (f"{A}:5:1-4", f"{A}:1-5"),
        (f"{A}:1-3,\n{B}:7", f"{B}:7 , {A}:1-3"),
        (f"{A}:1-3,{A}:4", f"{A}:1-4"),
        (f"{A}:1-5:2-3", f"{A}:1-5"),
        (f"{A}:1:dml:4-6:ddl:2", f"{A}:1,{A}:DDL:2,{A}:dml:4:5:6"),
    ],
)
def test_one_position_has_many_texts(text: str, same: str) -> None:
    """Order, case, line ends, the server of a MariaDB transaction, and how intervals are cut make no difference."""
    assert at(text) == at(same)
    assert hash(at(text)) == hash(at(same))
    assert at(text).contains(at(same)) and at(same).contains(at(text))


@pytest.mark.parametrize("text", ["0-1", "0-1-2-3", "0-1-x", "here", "0", f"{A}:1-x", f"{A}:1-2-3"])
def test_what_is_no_position_is_refused(text: str) -> None:
    """And not taken for something less, which every replica would have."""
    with pytest.raises(ValueError, match=r"."):
        at(text)


# ---------------------------------------------------------------- comparing


@pytest.mark.parametrize(
    ("more", "less", "expected"),
    [
        # MariaDB: everything up to the number, in each domain by itself.
        ("0-1-10", "0-1-9", True),
        ("0-1-10", "0-2-10", True),
        ("0-1-9", "0-1-10", False),
        ("0-1-10", "0-1-9,1-1-1", False),
        ("0-1-10,1-1-1", "1-1-1", True),
        ("1-1-10", "0-1-1", False),
        # MySQL: what is in the set, and gaps are not.
        (f"{A}:1-10", f"{A}:10", True),
        (f"{A}:1-10", f"{A}:11", False),
        (f"{A}:1-4:6-10", f"{A}:5", False),
        (f"{A}:1-4:6-10", f"{A}:4-6", False),
        (f"{A}:1-4:6-10", f"{A}:1-2:7-8", True),
        (f"{A}:2-10", f"{A}:1-10", False),
        (f"{A}:1-10", f"{B}:1", False),
        (f"{A}:1-10,{B}:1", f"{B}:1", True),
        # Tags are sources of their own.
        (f"{A}:1-10", f"{A}:tag:1", False),
        (f"{A}:tag:1-10", f"{A}:1", False),
        (f"{A}:1-3:tag:1-10", f"{A}:tag:4:5", True),
        (f"{A}:tag:1-10", f"{A}:other:1", False),
        ("", "0-1-1", False),
        ("0-1-1", "", True),
        ("", "", True),
    ],
)
def test_contains(more: str, less: str, expected: bool) -> None:
    """Whether all transactions of one are in the other."""
    assert at(more).contains(at(less)) is expected


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("0-1-10", "0-2-7", "0-1-10"),
        ("0-1-10", "1-1-3", "0-1-10,1-1-3"),
        (f"{A}:1-4", f"{A}:6", f"{A}:1-4:6"),
        (f"{A}:1-4:6", f"{A}:5", f"{A}:1-6"),
        (f"{A}:1-4", f"{B}:1,{A}:tag:2", f"{A}:1-4:tag:2,{B}:1"),
        ("", "0-1-1", "0-1-1"),
        ("0-1-1", "", "0-1-1"),
    ],
)
def test_union(one: str, other: str, both: str) -> None:
    """Neither operand is changed by it."""
    first, second = at(one), at(other)
    assert first.union(second) == second.union(first) == at(both)
    assert (first, second) == (at(one), at(other))


numbers = st.sets(st.integers(1, 30), max_size=12)
sets = st.dictionaries(st.sampled_from([A, B, f"{A}:tag"]), numbers, max_size=3)


def _position(members: dict[str, set[int]]) -> Position:
    return at(",".join(f"{source}:{number}" for source, own in members.items() for number in own))


def _pairs(members: dict[str, set[int]]) -> set[tuple[str, int]]:
    return {(source, number) for source, own in members.items() for number in own}


@given(sets, sets)
def test_positions_are_sets(one: dict[str, set[int]], other: dict[str, set[int]]) -> None:
    """Containing, union and equality are those of the sets of transactions; what is printed can be read again."""
    first, second = _position(one), _position(other)
    assert first.contains(second) is (_pairs(one) >= _pairs(other))
    assert (first == second) is (_pairs(one) == _pairs(other))
    both = first.union(second)
    assert both == _position({source: one.get(source, set()) | other.get(source, set()) for source in one | other})
    assert both.contains(first) and both.contains(second)
    assert at(str(both)) == both


# ---------------------------------------------------------------- what an OK tells


def item(kind: int, content: bytes) -> bytes:
    """One change of a session."""
    return bytes([kind]) + lenenc_bytes(content)


def variables(*pairs: tuple[bytes, bytes]) -> bytes:
    """Changes of variables, all in one item."""
    return item(SYSTEM_VARIABLES, b"".join(lenenc_bytes(text) for pair in pairs for text in pair))


GTID = item(GTIDS, b"\0" + lenenc_bytes(f"{A}:23".encode()))
LAST = variables((b"last_gtid", b"0-1-270"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (b"", ""),
        (LAST, "0-1-270"),
        (GTID, f"{A}:23"),
        (variables((b"autocommit", b"OFF"), (b"last_gtid", b"0-1-3"), (b"time_zone", b"UTC")), "0-1-3"),
        (variables((b"autocommit", b"OFF")) + LAST, "0-1-270"),
        (item(SCHEMA, lenenc_bytes(b"app")) + GTID + item(STATE_CHANGE, lenenc_bytes(b"1")), f"{A}:23"),
        (item(4, b"characteristics") + item(5, b"\x08T_______") + item(200, b"") + LAST, "0-1-270"),
        (GTID + item(5, b"x" * 300), f"{A}:23"),
        (variables((b"character_set_client", b"last_gtid"), (b"x", b"0-1-2")), ""),
        (variables((b"last_gtid", b"")), ""),
        (variables((b"last_gtid", b"0-1-" + b"9" * 300)), "0-1-" + "9" * 300),
    ],
)
def test_position_among_the_changes_of_a_session(changes: bytes, told: str) -> None:
    """It is found wherever it stands, and other kinds of changes, known or not, are passed over."""
    assert told_position(changes) == told


@pytest.mark.parametrize("changes", [GTID, LAST, variables((b"autocommit", b"ON"), (b"last_gtid", b"0-1-3"))])
def test_changes_cut_short_are_refused(changes: bytes) -> None:
    """A position that is not whole would be one that replicas have sooner."""
    for end in range(1, len(changes)):
        with pytest.raises(MalformedPacket):
            told_position(changes[:end])


@pytest.mark.parametrize(
    "changes",
    [
        item(GTIDS, b"\0" + b"\x0a0-1-2"),
        item(GTIDS, b"\0" + b"\x0a0-1-2") + item(SCHEMA, b"\x05other"),
        item(GTIDS, b""),
        item(GTIDS, b"\0"),
        item(SYSTEM_VARIABLES, b"\x09last_gtid\x0a0-1-2"),
        item(SYSTEM_VARIABLES, b"\x09last_gtid"),
        item(SYSTEM_VARIABLES, b"\x30last_gtid"),
        item(SYSTEM_VARIABLES, b"\x09last_gtid\x0a0-1-2") + item(SCHEMA, b"\x05other"),
    ],
)
def test_lengths_that_lie_are_refused(changes: bytes) -> None:
    """What is said to be longer than the item that it is in is malformed, and not filled up from the next one."""
    with pytest.raises(MalformedPacket):
        told_position(changes)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(changes: bytes) -> None:
    """Nothing else comes of them."""
    with contextlib.suppress(MalformedPacket):
        assert isinstance(told_position(changes), str)


# ---------------------------------------------------------------- histories


@pytest.mark.parametrize(
    ("more", "less", "expected"),
    [
        ("0-1-10", "0-1-9", True),
        ("0-1-10", "0-1-11", False),
        ("0-1-10", "0-2-10", False),
        ("0-1-10,0-2-12", "0-1-10", True),
        ("0-1-10,0-2-12", "0-2-11", True),
        ("0-2-12", "0-1-10,0-2-11", True),
        ("0-1-11", "0-1-10,0-2-11", False),
        ("0-1-10,1-7-3", "1-7-3", True),
        ("0-1-10,1-7-3", "1-8-3", False),
        (f"{A}:1-4:6", f"{A}:6", True),
        (f"{A}:1-4:6", f"{A}:5", False),
        ("0-1-1", "", True),
        ("", "0-1-1", False),
    ],
)
def test_holds_tells_histories_of_mariadb_apart(more: str, less: str, expected: bool) -> None:
    """The same number of another server is another transaction: the two have gone their own ways."""
    assert at(more).holds(at(less)) is expected
    assert at("5-1-1").union(at(more)).holds(at(less)) is expected
