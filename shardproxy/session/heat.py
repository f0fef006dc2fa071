"""Which partitions are asked for how often: a sample, for levelling shards by requests instead of rows."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, Final

from shardproxy.topology.hashing import bucket_of
from shardproxy.topology.keys import Unprovable
from shardproxy.topology.placement import HashPlacement, Placement

# One of so many statements is looked at: working out its bucket takes about as long as routing it.
EVERY: Final = 16
# Keys of a range group that are remembered, the last ones.
_KEYS: Final = 2048


class Heat:
    """One process' count of statements that name one key. `left` is how many of them go by before the next is looked at."""

    __slots__ = ("buckets", "keys", "left")

    def __init__(self) -> None:
        self.left = EVERY
        self.buckets: dict[str, Counter[int]] = {}
        self.keys: dict[str, deque[int | str]] = {}

    def note(self, group: str, placement: Placement, raw: bytes, codec: str) -> None:
        """Look at a statement whose key is this literal."""
        self.left = EVERY
        key = placement.key_type.from_literal(raw, codec)
        if isinstance(key, Unprovable):
            return
        if isinstance(placement, HashPlacement):
            self.buckets.setdefault(group, Counter())[bucket_of(placement.key_type.canonical(key))] += EVERY
        else:
            text = key if isinstance(key, int) else placement.key_type.canonical(key).decode("utf-8", "replace")
            self.keys.setdefault(group, deque(maxlen=_KEYS)).append(text)

    def take(self) -> dict[str, Any]:
        """What was counted, for the store. Older requests count for half each time, so that the count is of the last minutes."""
        found = {
            "buckets": {group: dict(counts) for group, counts in self.buckets.items()},
            "keys": {group: list(keys) for group, keys in self.keys.items()},
        }
        for group, counts in self.buckets.items():
            self.buckets[group] = Counter({bucket: count // 2 for bucket, count in counts.items() if count > 1})
        return found
