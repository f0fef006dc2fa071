"""Which replica a read may go to: by what is known of positions, and by nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from shardproxy.backends import replicas
from shardproxy.backends.health import State
from shardproxy.backends.replicas import Mark
from shardproxy.protocol.gtid import Position
from tests.support.fake_servers import FakeShard, at

KEY = b""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time as a `ReplicaSet` sees it, to be set."""
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr(replicas, "perf_counter", lambda: found.now)
    return found


@pytest.fixture
def shard(clock: SimpleNamespace) -> FakeShard:
    """A shard at the moment 100: the primary has 10 transactions, r1 all of them, r2 those that were there at 95."""
    made = FakeShard()
    made.tell("p", 5, 95.0)
    made.tell("p", 10, 99.0)
    made.tell("r1", 10, 99.1)
    made.tell("r2", 5, 99.1)
    made.set.review()
    return made


def chosen(shard: FakeShard, own: Mark, *, times: int = 6, max_lag_s: float | None = None, mark: Mark | None = None) -> set[str]:
    """All that are chosen where one choice follows the other; the primary is `p`."""
    found = [shard.set.choose(mark or own, own, KEY, max_lag_s) for _ in range(times)]
    return {"p" if server is None else server.name for server in found}


# ---------------------------------------------------------------- how fresh a replica is


def test_replica_is_as_fresh_as_the_position_that_it_has(shard: FakeShard) -> None:
    """The latest moment at which the primary was asked and had no more than that; before anything is known, none."""
    assert (shard["r1"].fresh_at, shard["r2"].fresh_at) == (99.0, 95.0)
    shard.tell("r2", 9, 99.5)
    assert shard["r2"].fresh_at == 95.0
    shard.tell("r2", 10, 99.6)
    assert shard["r2"].fresh_at == 99.0
    shard.tell("p", 10, 99.9)
    assert (shard["r1"].fresh_at, shard["r2"].fresh_at) == (99.9, 99.9)


def test_what_a_replica_has_beyond_the_primarys_answer_counts_for_nothing(shard: FakeShard) -> None:
    """It may have heard of transactions after the primary was asked; how fresh it is then is known at the next question only."""
    shard.tell("r1", 12, 99.9)
    assert shard["r1"].fresh_at == 99.0


def test_answers_that_come_late_do_not_turn_time_back(shard: FakeShard) -> None:
    """A check's question may be answered after others that were asked later."""
    shard.tell("p", 9, 98.0)
    assert (shard["r1"].fresh_at, shard["r2"].fresh_at) == (99.0, 95.0)
    shard.tell("r2", 10, 98.0)
    assert shard["r2"].fresh_at == 99.0


def test_replica_whose_position_goes_back_is_not_fresh_any_more(shard: FakeShard) -> None:
    """It was restored from a backup, or has lost what it had not written to disk."""
    shard.tell("r1", 3, 99.9)
    assert shard["r1"].fresh_at < 95.0
    assert chosen(shard, Mark(wrote_at=98.0)) == {"p"}


def test_history_is_thin_and_as_exact_as_it_has_to_be(clock: SimpleNamespace) -> None:
    """Two minutes of questions every 10 ms: it does not grow, and makes a replica a little older than it is at most, never younger."""
    shard = FakeShard(1)
    asked = {}
    for number in range(1, 12_001):
        asked[number] = number / 100
        shard.tell("p", number, number / 100)
    assert len(shard.set._history) <= replicas._HISTORY
    for number in (12_000, 11_999, 11_990, 11_000, 9_001):
        shard["r1"].fresh_at = float("-inf")
        shard.tell("r1", number, 120.0)
        assert asked[number] - 0.07 <= shard["r1"].fresh_at <= asked[number]
    assert shard.set._history[-1][0] == 120.0
    shard["r1"].fresh_at = float("-inf")
    shard.tell("r1", 10, 120.0)  # further behind than is remembered
    assert shard["r1"].fresh_at == float("-inf")


# ---------------------------------------------------------------- writes and reads of the session


def test_session_that_has_done_nothing_reads_anywhere(shard: FakeShard) -> None:
    """However far behind a replica is."""
    assert chosen(shard, Mark()) == {"r1", "r2"}


@pytest.mark.parametrize(("number", "expected"), [(5, {"r1", "r2"}), (6, {"r1"}), (10, {"r1"}), (11, {"p"})])
def test_own_write_is_where_its_position_is(shard: FakeShard, number: int, expected: set[str]) -> None:
    """A replica that has applied it is read, whenever the primary was asked last."""
    assert chosen(shard, Mark(at(number), 99.9)) == expected


@pytest.mark.parametrize(("wrote_at", "expected"), [(95.0, {"r1", "r2"}), (95.1, {"r1"}), (99.0, {"r1"}), (99.01, {"p"})])
def test_write_of_unknown_position_is_where_its_moment_has_passed(shard: FakeShard, wrote_at: float, expected: set[str]) -> None:
    """The primary was asked after the write was acknowledged, and the replica has all that it had then."""
    assert chosen(shard, Mark(None, wrote_at)) == expected


def test_all_writes_count_and_not_the_last_one_alone() -> None:
    """One whose position is not known stays unknown when another one with a position follows; gaps in a MySQL set matter."""
    source = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    shard = FakeShard(1)
    shard.set.on_positions(shard["r1"], Position.parse(f"{source}:1-4:7"), Position.parse(f"{source}:1-4:7"), 0.0)
    known, unknown = Mark(), Mark()
    known.wrote(Position.parse(f"{source}:5"), 1.0)
    known.wrote(Position.parse(f"{source}:7"), 2.0)
    assert chosen(shard, known) == {"p"}
    unknown.wrote(None, 1.0)
    unknown.wrote(Position.parse(f"{source}:7"), 2.0)
    assert chosen(shard, unknown) == {"p"}
    forgotten = Mark()
    forgotten.wrote(Position.parse(f"{source}:5"), 1.0)
    forgotten.wrote(None, 1.5)
    forgotten.wrote(Position.parse(f"{source}:7"), 2.0)
    assert chosen(shard, forgotten) == {"p"}


def test_write_of_unknown_position_is_not_covered_by_one_that_was_noted_later() -> None:
    """Two clients' answers come in any order: what was acknowledged first may have been committed last."""
    shard = FakeShard(1)
    shard.set.acknowledge(None, 1.0)  # transaction 6
    shard.set.acknowledge(at(5), 1.1)
    shard.tell("r1", 5, 1.2)
    assert chosen(shard, Mark(), mark=shard.set.acknowledged) == {"p"}
    shard.tell("p", 6, 1.3)
    shard.tell("r1", 6, 1.4)
    assert chosen(shard, Mark(), mark=shard.set.acknowledged) == {"r1"}


@pytest.mark.parametrize(("read_at", "expected"), [(94.0, {"r1", "r2"}), (95.0, {"r1", "r2"}), (95.1, {"r1"}), (99.1, {"p"})])
def test_what_was_read_on_the_primary_is_where_that_moment_has_passed(shard: FakeShard, read_at: float, expected: set[str]) -> None:
    """It may have shown anybody's writes."""
    assert chosen(shard, Mark(server=None, read_at=read_at)) == expected


def test_session_stays_with_its_replica(shard: FakeShard) -> None:
    """Which cannot go back, however old it is; another one is taken when that has gone, if it is known to be as far."""
    own = Mark(server=shard["r2"], read_at=99.5)
    assert chosen(shard, own) == {"r2"}
    shard.put("r2", State.DOWN)
    assert chosen(shard, own) == {"p"}
    shard.tell("p", 10, 99.6)
    assert chosen(shard, own) == {"r1"}


def test_session_leaves_a_replica_that_lacks_its_write(shard: FakeShard) -> None:
    """For one that has it and is as fresh as what was read, or for the primary."""
    own = Mark(at(6), 99.5, server=shard["r2"], read_at=98.0)
    assert chosen(shard, own) == {"r1"}
    own.read_at = 99.5
    assert chosen(shard, own) == {"p"}


# ---------------------------------------------------------------- the other modes


def test_global_mark_is_that_of_all_clients(shard: FakeShard) -> None:
    """And what the session has seen counts besides."""
    own = Mark()
    shard.set.acknowledge(at(7), 98.0)
    assert chosen(shard, own, mark=shard.set.acknowledged) == {"r1"}
    shard.set.acknowledge(at(11), 99.5)
    assert chosen(shard, own, mark=shard.set.acknowledged) == {"p"}
    shard.tell("r2", 11, 99.9)
    assert chosen(shard, own, mark=shard.set.acknowledged) == {"r2"}
    own.read_at = 99.8
    assert chosen(shard, own, mark=shard.set.acknowledged) == {"p"}


@pytest.mark.parametrize(("lag_s", "expected"), [(0.9, {"p"}), (1.0, {"r1"}), (4.9, {"r1"}), (5.0, {"r1", "r2"})])
def test_bound_is_on_the_age_of_what_is_read(shard: FakeShard, lag_s: float, expected: set[str]) -> None:
    """Now is 100: r1 is known to be as of 99, r2 as of 95."""
    assert chosen(shard, Mark(), max_lag_s=lag_s) == expected


def test_bounded_reads_do_not_go_back_in_time(shard: FakeShard) -> None:
    """Nor do they stay with a replica that has become too old."""
    assert chosen(shard, Mark(server=shard["r2"], read_at=98.0), max_lag_s=6) == {"r2"}
    assert chosen(shard, Mark(server=shard["r2"], read_at=98.0), max_lag_s=2) == {"r1"}
    assert chosen(shard, Mark(server=shard["r2"], read_at=99.5), max_lag_s=2) == {"p"}


# ---------------------------------------------------------------- who may be read at all


@pytest.mark.parametrize("state", [State.SUSPECT, State.DOWN, State.PROBING, State.DRAINING, State.MAINTENANCE])
def test_only_replicas_that_are_well_are_read(shard: FakeShard, state: State) -> None:
    """And again once they are."""
    shard.put("r1", state)
    assert shard.eligible == ["r2"]
    shard.put("r2", state)
    assert shard.eligible == []
    assert chosen(shard, Mark()) == {"p"}
    assert shard.set.any_replica(KEY) is None
    shard.put("r1", State.UP)
    assert shard.eligible == ["r1"]


@pytest.mark.parametrize("other", [{"fault": "the applier does not run"}, {"read_only": False}])
def test_only_replicas_that_replicate_are_read(shard: FakeShard, other: dict[str, object]) -> None:
    """One that takes writes is none, and nothing is written while there are two of them."""
    shard.probe("r1", 10, 99.5, **other)
    assert shard.eligible == ["r2"]
    assert shard.set.has_primary is ("fault" in other)
    shard.probe("r1", 10, 99.6)
    assert shard.eligible == ["r1", "r2"]
    assert shard.set.has_primary


def test_replica_of_weight_nothing_is_not_read(shard: FakeShard) -> None:
    """It is there to become the primary."""
    shard["r1"].base_weight = 0
    shard.set.review()
    assert shard.eligible == ["r2"]


def test_replicas_far_behind_are_left_out_but_for_the_nearest(shard: FakeShard, clock: SimpleNamespace) -> None:
    """All of them being far behind is no reason to send everything to the primary."""
    clock.now = 106.0
    shard.set.review()
    assert shard.eligible == ["r1"]  # 7 s and 11 s, of 10 that are allowed
    clock.now = 300.0
    shard.set.review()
    assert shard.eligible == ["r1"]
    shard.tell("p", 20, 299.0)
    shard.tell("r2", 20, 299.5)
    shard.set.review()
    assert shard.eligible == ["r2"]
    shard.tell("r1", 20, 299.6)
    shard.set.review()
    assert shard.eligible == ["r1", "r2"]


def test_failed_statement_takes_a_replica_out_until_a_check_has_passed(shard: FakeShard) -> None:
    """And asks for the check."""
    shard.set.failed(shard["r1"], "the connection was lost")
    assert shard.eligible == ["r2"]
    assert shard["r1"].pool.checker.pokes == 1
    shard["r1"].pool.observe("")
    shard.set.on_state(shard["r1"], 100.0)
    assert shard.eligible == ["r1", "r2"]


def test_after_a_promotion_everything_is_known_anew(shard: FakeShard) -> None:
    """The old primary is not read before it follows; what was fresh before it was so by the old primary's word."""
    shard.probe("p", 10, 99.5, read_only=True)
    shard.probe("r1", 11, 99.6, read_only=False, running=False)
    assert shard.set.primary is shard["r1"]
    assert shard["p"].pool.closed
    assert shard.eligible == ["r2"]
    assert shard["r2"].fresh_at == float("-inf")
    assert chosen(shard, Mark(wrote_at=1.0)) == {"p"}  # none: the primary
    shard.tell("r1", 11, 99.65)
    shard.probe("p", 11, 99.7)
    assert shard.eligible == ["p"]
    shard.probe("r2", 11, 99.8)
    assert shard.eligible == ["p", "r2"]


def test_primary_that_comes_back_without_acknowledged_writes_is_not_written_to(shard: FakeShard) -> None:
    """It has lost its last transactions in a crash, and a replica may have them: that one can be promoted."""
    shard.set.acknowledge(at(10), 99.0)
    shard.put("p", State.DOWN)
    shard.probe("p", 9, 99.5)
    shard.put("p", State.UP)
    assert not shard.set.has_primary
    shard.probe("p", 9, 99.6, read_only=True)
    for _ in range(2):
        shard.probe("r1", 10, 99.7, read_only=False, running=False)
    assert shard.set.has_primary
    assert shard.set.primary is shard["r1"]


def test_former_primary_with_transactions_of_its_own_is_not_read(shard: FakeShard) -> None:
    """They would be seen, and are lost."""
    shard.probe("p", 12, 99.5, read_only=True)
    shard.probe("r1", 11, 99.6, read_only=False, running=False)
    shard.probe("p", 12, 99.7)
    assert shard.eligible == ["r2"]
