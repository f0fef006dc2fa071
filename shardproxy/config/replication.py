"""The part of the configuration that is about replicas: which servers a shard has besides its primary, and what reads may see."""

from __future__ import annotations

from dataclasses import dataclass

from shardproxy.config.model import MODES, Config, ReadMode, ServerUrl


@dataclass(frozen=True, slots=True)
class ReplicaUrl:
    """A replica with its weight; 0: it takes no reads."""

    url: ServerUrl
    weight: float


@dataclass(frozen=True, slots=True)
class ShardServers:
    """A shard's other servers. `control` is the account (user and password) that may change roles, where it is not the shard's own."""

    replicas: tuple[ReplicaUrl, ...] = ()
    control: tuple[str, str] | None = None


def read_mode_of(config: Config, user: str) -> tuple[ReadMode, float]:
    """How a user's sessions begin to read: the mode, and the oldest state in seconds that `bounded` allows."""
    found = config.users.get(user)
    mode = (found.reads if found is not None else None) or config.proxy.reads
    lag_ms = (found.max_lag_ms if found is not None else None) or config.proxy.max_lag_ms
    return mode, lag_ms / 1000


def stricter(mode: ReadMode, other: ReadMode | None) -> ReadMode:
    """The stricter of two modes."""
    return mode if other is None or MODES.index(mode) <= MODES.index(other) else other
