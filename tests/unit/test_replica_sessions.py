"""What a session remembers of its reads and writes, and how long it waits for a replica that is nearly as far."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import perf_counter
from types import SimpleNamespace

import pytest

from shardproxy.backends.replicas import Mark
from shardproxy.executor.reads import Reads, Use
from shardproxy.executor.state import ClientState
from shardproxy.planner.plan import Kind, Opcode, Plan, Route
from tests.support.fake_servers import FakeShard, at

READ = Plan(Kind.SELECT, Route(Opcode.FIXED, "s0"), tables=("t",), replica=True)
KEY = b""


# ---------------------------------------------------------------- waiting for one


async def caught_up(shard: FakeShard, own: Mark) -> tuple[str, float]:
    """Who is found, and after how many seconds."""
    begun = perf_counter()
    found = await shard.set.catch_up(own, own, KEY)
    return "p" if found is None else found.name, perf_counter() - begun


@pytest.fixture
def live() -> FakeShard:
    """A shard in real time, known to have been up to date a second ago; a read may wait for half a second."""
    made = FakeShard(catch_up_s=0.5)
    made.tell("p", 10, perf_counter() - 1)
    for name in ("r1", "r2"):
        made.tell(name, 10, perf_counter())
    made.set.review()
    return made


async def test_nobody_waits_right_after_a_write_of_its_own(live: FakeShard) -> None:
    """The primary answers at once, and nobody is asked for it: a session that goes on writing would ask for ever."""
    name, took = await caught_up(live, Mark(at(11), perf_counter()))
    assert (name, took < 0.4) == ("p", True)
    assert not any(server.pool.checker.hurries for server in live.members)


async def test_a_read_waits_a_moment_for_a_replica_that_is_nearly_there(live: FakeShard) -> None:
    """It goes on as soon as one has come so far."""
    own = Mark(at(11), perf_counter() - 0.6)
    waiting = asyncio.create_task(caught_up(live, own))
    await asyncio.sleep(0)
    live.tell("r1", 10, perf_counter())
    await asyncio.sleep(0)
    assert not waiting.done()
    live.tell("r2", 11, perf_counter())
    name, took = await waiting
    assert name == "r2"
    assert took < 0.45


async def test_patience_ends() -> None:
    """Then the primary answers."""
    shard = FakeShard(catch_up_s=0.05)
    shard.tell("p", 10, perf_counter() - 0.3)
    shard.tell("r1", 10, perf_counter())
    name, took = await caught_up(shard, Mark(at(11), perf_counter() - 0.2))
    assert name == "p"
    assert took >= 0.05


async def test_replicas_far_behind_are_not_waited_for(live: FakeShard) -> None:
    """None has been near for longer than it takes to find out."""
    for name in ("r1", "r2"):
        live[name].fresh_at = perf_counter() - 5
    name, took = await caught_up(live, Mark(at(11), perf_counter() - 4))
    assert (name, took < 0.4) == ("p", True)


# ---------------------------------------------------------------- what a session's statements leave in its mark


def note(reads: Reads, shard: FakeShard, server: str, use: Use, position: str = "") -> None:
    """A statement of the session has been answered."""
    reads.note(SimpleNamespace(pool=shard[server].pool, shard="s0", position=position, use=use, started_at=perf_counter()))  # type: ignore[arg-type]


def who(reads: Reads, shard: FakeShard, key: bytes = b"") -> str:
    """Who answers the session's next read."""
    found = reads.choose(shard.set, READ, key)
    return "p" if found is None else found.name


def test_commit_without_a_position_is_a_write(live: FakeShard) -> None:
    """Whatever the last statement before it was."""
    reads = Reads({"s0": live.set}, ClientState(1))
    note(reads, live, "p", Use.WRITE)
    assert who(reads, live) == "p"
    live.tell("p", 11, perf_counter())
    live.tell("r1", 11, perf_counter())
    assert who(reads, live) == "r1"


def test_stricter_reads_do_not_follow_loose_ones_into_the_past(live: FakeShard) -> None:
    """What was seen on the primary or on one replica stays seen after an eventual read from another replica."""
    state = ClientState(1)
    reads = Reads({"s0": live.set}, state)
    note(reads, live, "p", Use.READ)
    state.reads = "eventual"
    note(reads, live, "r2", reads.use_on(live["r2"], READ))
    state.reads = "session"
    assert who(reads, live) == "p"


@pytest.mark.parametrize("balance", ["hash", "consistent_hash"])
@pytest.mark.parametrize(("by_key", "servers"), [(False, 1), (True, 3)])
def test_hashing_goes_by_the_client_unless_told_otherwise(balance: str, by_key: bool, servers: int) -> None:
    """All reads of one address go to one server, whatever rows they are for; or reads of one row do."""
    shard = FakeShard(3, balance=balance, by_key=by_key)
    for name in ("p", "r1", "r2", "r3"):
        shard.probe(name, 1, perf_counter())
    assert shard.eligible == ["r1", "r2", "r3"]
    found = Counter(who(Reads({"s0": shard.set}, ClientState(1, host="10.0.0.1")), shard, b"%d" % key) for key in range(50))
    assert len(found) == servers
