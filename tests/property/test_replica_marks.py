"""Sessions that read from replicas, against a shard of numbers: whatever happens in whatever order, no read is older than it may be.

The servers hold a count of transactions. Time passes with every step; what servers are asked is answered later, and by then others
have written. What is chosen is checked against what the mode promises, which a session remembers by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

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


@dataclass(eq=False)
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

    def wait(self, steps: int) -> None:
        """Nothing happens for a while."""
        self.now += STEP_S * steps

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


# What may come next, and how often.
_STEPS = {"commit": 2, "acknowledge": 3, "apply": 2, "ask": 3, "answer": 4, "read": 6, "wait": 1}


def step(world: World, chance: random.Random) -> tuple[Any, ...]:
    """One thing that may happen, as a method of the world with its arguments."""
    [name] = chance.choices(list(_STEPS), list(_STEPS.values()))
    client, server = chance.choice(world.clients), chance.choice(("p", "r1", "r2"))
    arguments: dict[str, tuple[Any, ...]] = {
        "commit": (client, chance.random() < 0.7),
        "acknowledge": (client,),
        "apply": (chance.choice(("r1", "r2")), chance.randint(1, 3)),
        "ask": (server,),
        "answer": (server,),
        "read": (client, chance.choice(MODES)),
        "wait": (chance.randint(1, 30),),
    }
    return name, *arguments[name]


@pytest.fixture
def new_world(monkeypatch: pytest.MonkeyPatch) -> Callable[[], World]:
    """Makes worlds, whose time the proxy sees."""
    place: list[Any] = [SimpleNamespace(now=0.0)]
    for module in (replicas, reads):
        monkeypatch.setattr(module, "perf_counter", lambda: place[-1].now)

    def make() -> World:
        place[:] = [World()]
        for name in ("p", "r1", "r2"):
            place[0].shard.probe(name, 0, place[0].now - 1)
        world = place[0]
        assert isinstance(world, World)
        return world

    return make


@pytest.mark.parametrize("seed", range(10))
def test_no_read_is_older_than_its_mode_allows(new_world: Callable[[], World], seed: int) -> None:
    """Nor than anything that its session has seen before."""
    chance = random.Random(seed)
    for _ in range(120):
        world, past = new_world(), []
        for _ in range(60):
            world.now += STEP_S
            name, *arguments = step(world, chance)
            past.append((name, *(world.clients.index(item) if isinstance(item, Client) else item for item in arguments)))
            try:
                getattr(world, name)(*arguments)
            except AssertionError as error:
                raise AssertionError(f"{error} after {past}") from None


def test_hidden_write(new_world: Callable[[], World]) -> None:
    """One of unknown position, noted before another one that was committed before it."""
    world = new_world()
    one, other = world.clients
    for client, told in ((one, True), (other, False)):
        world.commit(client, told)
    world.acknowledge(other)
    world.acknowledge(one)
    world.apply("r1", 1)
    world.ask("r1")
    world.answer("r1")
    world.read(one, "global")


def test_loose_read_that_leads_a_strict_one(new_world: Callable[[], World]) -> None:
    """To a replica that lacks what was seen on the primary."""
    world = new_world()
    one, other = world.clients
    world.commit(one, True)
    world.acknowledge(one)
    for mode in ("primary", "eventual", "session"):
        world.read(other, mode)
