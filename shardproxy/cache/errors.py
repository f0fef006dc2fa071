"""What a sharded cache raises besides redis-py's own exceptions; every one is also an exception that code for redis-py knows."""

from __future__ import annotations

from redis.exceptions import ClusterCrossSlotError, ConnectionError, DataError, TimeoutError  # noqa: A004 - redis-py's names


class CrossSlotError(ClusterCrossSlotError):
    """Keys of one command, or of one transaction, are in several slots."""


class AmbiguousResultError(TimeoutError):
    """A write was sent and not answered: nobody knows whether it was carried out. It is not repeated."""


class NodeDownError(ConnectionError):
    """A node cannot be reached; `node` is its name. Nothing was sent."""

    def __init__(self, node: str, reason: object) -> None:
        self.node = node
        super().__init__(f"node {node} cannot be reached: {reason}")


class NotRoutable(DataError):
    """It cannot be said which node a command is for."""
