"""What a balancer sees of a server, and what the proxy sees of a balancer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Target(Protocol):
    """A server as a balancer sees it."""

    @property
    def name(self) -> str:
        """What tells it from the others; the hash kinds place it by this, so a renamed server is another one."""

    @property
    def weight(self) -> float:
        """Its share relative to the others', above 0: as configured, times the warm-up."""

    @property
    def in_flight(self) -> int:
        """Statements that it is working on."""

    @property
    def latency(self) -> float:
        """Peak EWMA of its answers in seconds, decayed to now; 0.0 where nothing is known."""

    @property
    def reported(self) -> float | None:
        """The weight that the node itself reports, from 0; None where it reports none."""


T = TypeVar("T", bound=Target)


class Balancer(Protocol):
    """One algorithm with its memory. Nothing in it waits, so that tasks of one event loop may share it."""

    uses_key: bool
    """Whether `key` matters to `choose`; the caller need not make one up where it does not."""

    def choose(self, servers: Sequence[T], key: bytes = b"") -> T:
        """One of `servers`, of which there is at least one. They may be others at every call; their order is the configuration's."""
