"""Slots: tags, the fixed map, and what a new node changes."""

from binascii import crc_hqx

import pytest

from shardproxy.topology.slots import SLOTS, fixed_map, moved, slot_of


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        (b"{user1000}.following", b"user1000"),
        (b"a{b}c", b"b"),
        (b"foo{{bar}}zap", b"{bar"),
        (b"foo{bar}{zap}", b"bar"),
        (b"}{a}", b"a"),
    ],
)
def test_what_is_in_the_first_braces_counts(key: bytes, tag: bytes) -> None:
    """The examples of Redis Cluster's specification."""
    assert slot_of(key) == crc_hqx(tag, 0) % SLOTS


@pytest.mark.parametrize("key", [b"foo{}{bar}", b"a}b{c", b"{}", b"{", b"plain"])
def test_without_anything_in_the_first_braces_the_whole_key_counts(key: bytes) -> None:
    assert slot_of(key) == crc_hqx(key, 0) % SLOTS


def test_known_slots() -> None:
    """CRC16 of "123456789" is 0x31C3."""
    assert slot_of(b"123456789") == 0x31C3 & 0x3FFF
    assert slot_of(b"") == 0


@pytest.mark.parametrize("weights", [{"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": 3.0}])
def test_each_node_has_its_share_exactly(weights: dict[str, float]) -> None:
    slots = fixed_map(weights)
    for name, weight in weights.items():
        assert abs(slots.owners.count(name) - SLOTS * weight / sum(weights.values())) < 1
    assert sum(last - first + 1 for first, last, _ in slots.ranges()) == SLOTS


def test_the_order_of_the_nodes_does_not_matter() -> None:
    assert fixed_map({"a": 1, "b": 2, "c": 1}) == fixed_map({"c": 1, "b": 2, "a": 1})


def test_a_new_node_takes_little_more_than_its_share() -> None:
    """A fixed list is worked out anew, so that it cannot be the least."""
    before, after = (fixed_map({f"c{i}": 1 for i in range(count)}) for count in (3, 4))
    assert moved(before.owners, after.owners) <= 1.02 * SLOTS / 4


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}, {"a": 1.0, "b": -1.0}])
def test_there_is_a_node_and_it_has_a_weight(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least one node"):
        fixed_map(weights)
