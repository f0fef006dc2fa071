"""A replicated shard without servers: `ReplicaSet` over members that say what a test lets them say."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from shardproxy.backends.health import Health, State
from shardproxy.backends.probe import Probe
from shardproxy.backends.replicas import ReadRules, ReplicaSet
from shardproxy.backends.server import Server
from shardproxy.balance import balancer
from shardproxy.protocol.gtid import Position


@dataclass
class FakeChecker:
    """Counts what it is asked for."""

    hurries: int = 0
    pokes: int = 0

    def hurry(self) -> None:
        """Somebody wants to know how far the server is."""
        self.hurries += 1

    def poke(self) -> None:
        """Somebody doubts that the server is well."""
        self.pokes += 1


@dataclass
class FakePool:
    """The connections of a server that is not there."""

    health: Health = field(default_factory=Health)
    checker: FakeChecker = field(default_factory=FakeChecker)
    in_use: int = 0
    closed: bool = False
    engine: Any = None
    server: Server | None = None
    settings: Any = field(default_factory=lambda: SimpleNamespace(health_interval_s=0.5, pool_queue=10))

    def observe(self, reason: str) -> None:
        """A check has failed, or a statement in its place."""
        self.health.observe(reason, 0.0)

    def close_all(self) -> None:
        """Nobody may use the connections any more."""
        self.closed = True


def at(number: int) -> Position:
    """MariaDB's position after so many transactions."""
    return Position.parse(f"0-1-{number}" if number else "")


class FakeShard:
    """A primary `p` and replicas `r1`, `r2` …; all have been asked, and have nothing."""

    def __init__(self, replicas: int = 2, *, balance: str = "round_robin", by_key: bool = False, catch_up_s: float = 0.02) -> None:
        rules = ReadRules(balancer(balance), by_key, 10.0, catch_up_s, 0.05)
        names = ["p", *(f"r{number}" for number in range(1, replicas + 1))]
        self.members = [Server(name, FakePool(), 1.0, 0.0) for name in names]  # type: ignore[arg-type]
        self.set = ReplicaSet("s0", self.members, rules)
        for server in self.members:
            server.pool.server = server
        for server in self.members:
            self.probe(server, 0, 0.0)

    def __getitem__(self, name: str) -> Server:
        return next(server for server in self.members if server.name == name)

    def probe(self, server: Server | str, number: int, asked: float, **other: Any) -> None:
        """A whole check: the server has so many transactions. `other` is what else differs in its `Probe`."""
        found = self[server] if isinstance(server, str) else server
        mine = found is self.set.primary
        told = {"read_only": not mine, "applied": at(number), "logged": at(number), "running": not mine} | other
        self.set.on_probe(found, Probe(**told), asked)

    def tell(self, server: Server | str, number: int, asked: float) -> None:
        """Only the position."""
        found = self[server] if isinstance(server, str) else server
        self.set.on_positions(found, at(number), at(number), asked)

    def put(self, server: str, state: State) -> None:
        """Change a server's health."""
        self[server].pool.health.state = state
        self.set.on_state(self[server], 0.0)

    @property
    def eligible(self) -> list[str]:
        """The names of the replicas that may be read."""
        return [server.name for server in self.set.eligible]
