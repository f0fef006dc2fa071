"""Sessions that read from replicas, against a shard of numbers: whatever happens in whatever order, no read is older than it may be.

The servers hold a count of transactions. Time passes with every step; what servers are asked is answered later, and by then others
have written. What is chosen is checked against what the mode promises, which a session remembers by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shardproxy.backends import replicas
from shardproxy.config.model import ReadMode
from shardproxy.executor import reads
from shardproxy.executor.reads import Reads, Use
from shardproxy.executor.state import ClientState
from shardproxy.planner.plan import Kind, Opcode, Plan, Route
from tests.support.fake_servers import FakeShard

READ = Plan(Kind.SELECT, Route(Opcode.FIXED, "s0"), tables=("t",), replica=True)
MODES: tuple[ReadMode, ...] = ("primary", "global", "session", "bounded", "eventual")
SESSIONS, REPLICAS = 2, 2
STEP_S, MAX_LAG_S = 0.02, 0.3


@dataclass
class Client:
    """One session: what it has been told of its writes, what it has seen, and a write that it waits for."""

    reads: Reads
    state: ClientState
    own: int = 0
    seen: int = 0
    committed: tuple[int, bool] | None = None


@dataclass
class World:
    """The shard, its clients, and the truth about both."""

    shard: FakeShard = field(default_factory=lambda: FakeShard(REPLICAS, balance="random"))
    now: float = 1000.0
    count: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("p", "r1", "r2"), 0))
    # When the primary had how many transactions.
    past: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    acknowledged: int = 0
    # What was asked and not answered yet: when, and how many the server had when it looked.
    questions: dict[str, tuple[float, int]] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number in range(SESSIONS):
            state = ClientState(number)
            self.clients.append(Client(Reads({"s0": self.shard.set}, state), state))

    def answered(self, client: Client, server: str, use: Use, position: str = "") -> None:
        """A statement of a session has come to its end."""
        connection: Any = SimpleNamespace(pool=self.shard[server].pool, shard="s0", position=position, use=use, started_at=self.now)
        client.reads.note(connection)

    def commit(self, client: Client, told: bool) -> None:
        """The primary has done a write; its answer is on its way."""
        if client.committed is None:
            self.count["p"] += 1
            self.past.append((self.now, self.count["p"]))
            client.committed = (self.count["p"], told)

    def acknowledge(self, client: Client) -> None:
        """The answer has come, with its position or without."""
        if client.committed is not None:
            number, told = client.committed
            client.committed, client.own = None, number
            self.acknowledged = max(self.acknowledged, number)
            self.answered(client, "p", Use.WRITE, f"0-1-{number}" if told else "")

    def apply(self, server: str, count: int) -> None:
        """A replica comes nearer."""
        self.count[server] = min(self.count["p"], self.count[server] + count)

    def ask(self, server: str) -> None:
        """A question arrives at a server, which looks at once."""
        self.questions.setdefault(server, (self.now - STEP_S / 2, self.count[server]))

    def answer(self, server: str) -> None:
        """Its answer arrives."""
        if server in self.questions:
            asked, number = self.questions.pop(server)
            self.shard.tell(server, number, asked)

    def read(self, client: Client, mode: ReadMode) -> None:
        """A session reads, unless it waits for an answer; what it sees is as the mode promises."""
        if client.committed is not None:
            return
        client.state.reads, client.state.max_lag_s = mode, MAX_LAG_S
        found = client.reads.choose(self.shard.set, READ, b"") if client.reads.from_replica(READ) else None
        name = "p" if found is None else found.name
        value = self.count[name]
        least = 0 if mode == "eventual" else client.seen
        if mode == "session":
            least = max(least, client.own)
        elif mode == "global":
            least = max(least, self.acknowledged)
        elif mode == "bounded":
            least = max(least, *(number for moment, number in self.past if moment <= self.now - MAX_LAG_S))
        elif mode == "primary":
            assert name == "p"
        assert value >= least, (mode, name, value, least)
        client.seen = max(client.seen, value)
        self.answered(client, name, Use.READ if found is None else client.reads.use_on(found, READ))


steps = st.one_of(
    st.tuples(st.just("commit"), st.integers(0, SESSIONS - 1), st.booleans()),
    st.tuples(st.just("acknowledge"), st.integers(0, SESSIONS - 1)),
    st.tuples(st.just("apply"), st.sampled_from(["r1", "r2"]), st.integers(1, 3)),
    st.tuples(st.just("ask"), st.sampled_from(["p", "r1", "r2"])),
    st.tuples(st.just("answer"), st.sampled_from(["p", "r1", "r2"])),
    st.tuples(st.just("read"), st.integers(0, SESSIONS - 1), st.sampled_from(MODES)),
    st.tuples(st.just("pass"), st.integers(1, 30)),
)


# What was wrong once: a write of unknown position hidden by the one noted after it; a loose read that led a strict one into the past.
HIDDEN = [
    ("commit", 0, True),
    ("commit", 1, False),
    ("acknowledge", 1),
    ("acknowledge", 0),
    ("apply", "r1", 1),
    ("ask", "r1"),
    ("answer", "r1"),
]
LED_BACK = [("commit", 0, True), ("acknowledge", 0), ("read", 1, "primary"), ("read", 1, "eventual")]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> list[World]:
    """A place for the world under test, whose time the proxy sees."""
    place = [World()]
    for module in (replicas, reads):
        monkeypatch.setattr(module, "perf_counter", lambda: place[-1].now)
    return place


@example([*HIDDEN, ("read", 0, "global")])
@example([*LED_BACK, ("read", 1, "session")])
@given(st.lists(steps, max_size=60))
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_read_is_older_than_its_mode_allows(world: list[World], plan: list[tuple[Any, ...]]) -> None:
    """Nor than anything that its session has seen before."""
    world[:] = [now := World()]
    for name in ("p", "r1", "r2"):
        now.shard.probe(name, 0, now.now - 1)
    for step, *arguments in plan:
        now.now += STEP_S
        if step == "pass":
            now.now += STEP_S * arguments[0]
            continue
        if step in ("commit", "acknowledge", "read"):
            arguments[0] = now.clients[arguments[0]]
        getattr(now, step)(*arguments)
