"""Spreading partitions over shards by weight, moving as few as possible.

Quotas come from the shares by largest remainder; buckets are taken only from shards over their quota (or from shards that
are gone), and each goes to the receiver for which it scores highest by rendezvous hashing, so the outcome is deterministic.
From 10 to 11 equal shards this moves 0.0908 of 4096 buckets, where 1/11 = 0.0909 is the optimum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256


def quotas(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """How many of `total` partitions each shard should own: proportional to weight, adding up exactly."""
    whole = sum(weights.values())
    if whole <= 0:
        raise ValueError("the weights of the shards add up to nothing")
    exact = {name: total * weight / whole for name, weight in weights.items()}
    result = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (result[name] - exact[name], name))
    for name in by_remainder[: total - sum(result.values())]:
        result[name] += 1
    return result


def distribute(weights: Mapping[str, float], total: int, current: Sequence[str] | None = None) -> tuple[str, ...]:
    """The owner of each partition 0 to `total` - 1, starting from `current` (None: nobody owns anything yet)."""
    quota = quotas(weights, total)
    owners: list[str | None] = list(current) if current is not None else [None] * total
    if len(owners) != total:
        raise ValueError("the current map has another number of partitions")
    owned: dict[str, list[int]] = {name: [] for name in quota}
    homeless: list[int] = []
    for partition, owner in enumerate(owners):
        if owner in owned:
            owned[owner].append(partition)
        else:
            homeless.append(partition)
    for name, partitions in owned.items():
        surplus = len(partitions) - quota[name]
        if surplus > 0:
            # Give away those that score lowest here: the outcome is the same wherever and whenever it is computed.
            homeless.extend(sorted(partitions, key=lambda p: _score(name, p))[:surplus])
    room = {name: quota[name] - len(owned[name]) for name in quota if quota[name] > len(owned[name])}
    for partition in sorted(homeless):
        receiver = max(room, key=lambda name: _score(name, partition))
        owners[partition] = receiver
        room[receiver] -= 1
        if not room[receiver]:
            del room[receiver]
    return tuple(owner for owner in owners if owner is not None)


def _score(name: str, partition: int) -> bytes:
    return sha256(f"{name}/{partition}".encode()).digest()[:8]
