"""Slots: the 16384 parts of a cache's keys, and which node owns each. For the cache only; tables have buckets and ranges.

A key's slot is that of Redis Cluster (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/, "Key distribution
model"), so that its tools and `CLUSTER KEYSLOT` agree, and a cache can become a cluster later.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shardproxy.topology.distribute import distribute

SLOTS: Final = 16384


def slot_of(key: bytes) -> int:
    """The slot, 0 to 16383: CRC16 (XMODEM) of the key, or of what is between its first `{` and the next `}` if that is not empty."""
    # The first question is the quickest way to learn that there is no tag, as nearly always.
    if b"{" in key:
        opening = key.find(b"{")
        closing = key.find(b"}", opening + 1)
        if closing > opening + 1:
            key = key[opening + 1 : closing]
    return crc_hqx(key, 0) & 0x3FFF


@dataclass(frozen=True, slots=True)
class SlotMap:
    """Which node owns each slot. `owners` has as many names as there are slots; `nodes` those that take part, in their order."""

    nodes: tuple[str, ...]
    owners: tuple[str, ...]
    epoch: int = 0

    def ranges(self) -> list[tuple[int, int, str]]:
        """Runs of slots with one owner: first, last, owner."""
        found: list[tuple[int, int, str]] = []
        for slot, owner in enumerate(self.owners):
            if found and found[-1][2] == owner:
                found[-1] = (found[-1][0], slot, owner)
            else:
                found.append((slot, slot, owner))
        return found


def fixed_map(weights: Mapping[str, float]) -> SlotMap:
    """The map of a fixed list of nodes: the same wherever it is worked out, whatever their order.

    `weights` are above 0. Every node gets its share of the slots exactly. Raises ValueError where there is no node.
    """
    if not weights or min(weights.values()) <= 0:
        raise ValueError("a cache has at least one node, and every weight is above 0")
    nodes = tuple(sorted(weights))
    return SlotMap(nodes, distribute({name: weights[name] for name in nodes}, SLOTS))


def moved(before: Sequence[str], after: Sequence[str]) -> int:
    """How many slots have another owner."""
    return sum(a != b for a, b in zip(before, after, strict=True))
