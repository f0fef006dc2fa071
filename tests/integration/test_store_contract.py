"""What every store of the topology promises, held by the SQLite file and by etcd."""

import datetime as dt
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random
from secrets import token_hex

import pytest

from shardproxy.store.records import Acknowledgement, ShardedTable, ShardRecord, StoredTopology
from shardproxy.store.store import Store, open_store
from shardproxy.topology.topology import RangeMap
from tests.support.etcd import Etcd
from tests.support.proxy import REPO
from tests.support.waiting import eventually

# By then a lease of one second is over: etcd rounds it up, and looks twice a second for those that are.
OVER_S = {"sqlite": 1.3, "etcd": 3.0}
GONE_S = 5.0


@pytest.fixture(scope="module")
def etcd() -> Iterator[Etcd]:
    """One etcd for all tests of this file."""
    server = Etcd()
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", "etcd"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/topology.db"
    server: Etcd = request.getfixturevalue("etcd")
    return server.url(f"/{token_hex(6)}")


@pytest.fixture
def another(url: str) -> Iterator[Callable[[], Store]]:
    """Opens the store once more, as another process would."""
    opened: list[Store] = []

    def again() -> Store:
        opened.append(open_store(url, Path()))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


@pytest.fixture
def over_s(url: str) -> float:
    """Seconds after which a lease of one second is over."""
    return OVER_S[url.partition(":")[0]]


@pytest.fixture
def store(another: Callable[[], Store]) -> Store:
    """An empty store."""
    return another()


def document(epoch: int, **knobs: float) -> StoredTopology:
    """A document without anything that matters here."""
    return StoredTopology(epoch, {"a": ShardRecord(), "b": ShardRecord()}, {"default": ("a", "b")}, knobs=knobs)


def counted(store: Store, times: int) -> None:
    """Add one to a number in the document so many times, each time by compare-and-set until it holds."""
    for _ in range(times):
        while True:
            found = store.load()
            assert found is not None
            grown = replace(found, epoch=found.epoch + 1, knobs={"n": found.knobs["n"] + 1})
            if store.compare_and_set(found.epoch, grown):
                break


# ---------------------------------------------------------------- the document


def test_empty_store_holds_nothing(store: Store) -> None:
    """It is usable all the same."""
    assert store.load() is None
    assert store.primaries() == {}
    assert store.acknowledgements() == []
    assert store.progress(1) == {}
    assert store.journal(1) == []


def test_document_reads_back(store: Store, another: Callable[[], Store]) -> None:
    """All of it, also what JSON has no form for, and from elsewhere."""
    kept = StoredTopology(
        1,
        {"a": ShardRecord("mysql://sp:sp@127.0.0.1/ä", ("mysql://sp:sp@127.0.0.2/x",), 0.5, True, True), "b": ShardRecord()},
        {"default": ("a", "b") * 2048},
        {"r": RangeMap((dt.date(2024, 2, 29), dt.date(2025, 1, 1)), ("a", "b", "a"), None, None)},
        {"t": ShardedTable("id", "default")},
        mover=7,
        knobs={"rate": 1.5},
    )
    assert store.compare_and_set(0, kept)
    assert another().load() == kept


def test_compare_and_set_holds_at_the_expected_epoch_only(store: Store) -> None:
    """Neither before nor after it; what fails changes nothing."""
    assert not store.compare_and_set(1, document(2))
    assert store.compare_and_set(0, document(1))
    assert not store.compare_and_set(0, document(1))
    assert not store.compare_and_set(2, document(3))
    assert store.compare_and_set(1, document(2, won=1))
    assert not store.compare_and_set(1, document(2))
    assert store.load() == document(2, won=1)


def test_only_one_of_many_seeds_an_empty_store(another: Callable[[], Store]) -> None:
    """Even if all of them write the same."""
    stores = [another() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda store: store.compare_and_set(0, document(1)), stores)) == 1


@pytest.mark.parametrize("shared", [False, True], ids=["a store each", "one store"])
def test_no_change_is_lost_between_threads(store: Store, another: Callable[[], Store], *, shared: bool) -> None:
    """Each counts up by compare-and-set."""
    assert store.compare_and_set(0, document(1, n=0))
    stores = [store if shared else another() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: counted(one, 15), stores))
    assert store.load() == document(91, n=90)


def test_no_change_is_lost_between_processes(store: Store, url: str) -> None:
    """The same with processes."""
    assert store.compare_and_set(0, document(1, n=0))
    program = (
        "from pathlib import Path; from shardproxy.store.store import open_store\n"
        "from tests.integration.test_store_contract import counted\n"
        f"counted(open_store({url!r}, Path()), 15)"
    )
    environment = dict(os.environ) | {"PYTHONPATH": str(REPO)}
    running = [subprocess.Popen([sys.executable, "-c", program], cwd=REPO, env=environment) for _ in range(3)]
    assert [process.wait(40) for process in running] == [0, 0, 0]
    assert store.load() == document(46, n=45)


def test_closed_store_may_be_used_again(store: Store) -> None:
    """Closing gives up connections, and nothing else."""
    assert store.compare_and_set(0, document(1))
    store.close()
    assert store.load() == document(1)


# ---------------------------------------------------------------- waiting


def wakes_after(waiter: Store, writer: Store, epoch: int) -> float:
    """Seconds from the return of a compare-and-set to that of a wait for it; below zero where the wait was first."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: (waiter.wait_beyond(epoch, 10), time.monotonic()))
        time.sleep(0.05)  # the change shall come while it waits; if it comes before, that is as good
        assert writer.compare_and_set(epoch, document(epoch + 1))
        written_at = time.monotonic()
        changed, at = waiting.result(15)
    assert changed
    return at - written_at


def test_wait_ends_promptly_after_a_change(store: Store, another: Callable[[], Store]) -> None:
    """A pause of a move is made of such waits."""
    store.compare_and_set(0, document(1))
    waiter = another()
    delays = [wakes_after(waiter, store, epoch) for epoch in range(1, 10)]
    assert statistics.median(delays) < 0.02
    assert max(delays) < 1


def test_wait_sees_a_change_of_its_own_store(store: Store) -> None:
    """One object is shared by a thread that waits and by others that write."""
    store.compare_and_set(0, document(1))
    assert wakes_after(store, store, 1) < 1


def test_everybody_who_waits_is_woken(store: Store, another: Callable[[], Store]) -> None:
    """By the one change."""
    store.compare_and_set(0, document(1))
    stores = [another() for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        waiting = [pool.submit(one.wait_beyond, 1, 20) for one in stores]
        store.compare_and_set(1, document(2))
        started = time.monotonic()
        assert all(wait.result(20) for wait in waiting)
    assert time.monotonic() - started < 2


def test_change_between_load_and_wait_is_not_missed(store: Store, another: Callable[[], Store]) -> None:
    """Whenever it comes: a follower that loads and waits gets to the last epoch without a wait that runs out."""
    store.compare_and_set(0, document(1))
    last = 80
    follower, random = another(), Random(1)

    def write() -> None:
        for epoch in range(1, last):
            assert store.compare_and_set(epoch, document(epoch + 1))
            time.sleep(random.choice((0, 0, 0.001, 0.003, 0.01)))

    writer = threading.Thread(target=write)
    writer.start()
    epoch = 0
    while epoch < last:
        assert follower.wait_beyond(epoch, 5), epoch
        found = follower.load()
        assert found is not None
        assert found.epoch > epoch
        epoch = found.epoch
    writer.join()


def test_wait_returns_at_once_where_the_epoch_is_another_already(store: Store) -> None:
    """Higher or lower: whoever has another one has to look."""
    assert store.wait_beyond(1, 10)
    store.compare_and_set(0, document(1))
    assert store.wait_beyond(0, 10)
    assert store.wait_beyond(2, 10)


@pytest.mark.parametrize("timeout_s", [0, 0.3, 1.2])
def test_wait_ends_when_its_time_is_over(store: Store, timeout_s: float) -> None:
    """Within a second; also where the store is empty."""
    for epoch in (0, 1):
        started = time.monotonic()
        assert not store.wait_beyond(epoch, timeout_s)
        assert timeout_s - 0.01 <= time.monotonic() - started < timeout_s + 1
        store.compare_and_set(0, document(1))


# ---------------------------------------------------------------- leases


def test_lease_has_one_holder(store: Store, another: Callable[[], Store]) -> None:
    """Who renews it keeps the token; nobody else gets it before it is given up, and then with a higher one."""
    other = another()
    assert store.take_lease("mover", "x", 30) == 1
    assert other.take_lease("mover", "y", 30) == 0
    assert store.take_lease("mover", "x", 30) == 1
    assert other.take_lease("promote a/b", "y", 30) == 1
    other.drop_lease("mover", "y")
    assert other.take_lease("mover", "y", 30) == 0
    store.drop_lease("mover", "x")
    assert other.take_lease("mover", "y", 30) == 2
    assert store.take_lease("mover", "x", 30) == 0


def test_lease_that_was_given_up_has_a_new_token_for_its_old_holder_too(store: Store) -> None:
    """What it did under the old one is over."""
    assert store.take_lease("mover", "x", 30) == 1
    store.drop_lease("mover", "x")
    store.drop_lease("mover", "x")
    assert store.take_lease("mover", "x", 30) == 2


def test_lease_runs_out(store: Store, another: Callable[[], Store]) -> None:
    """Somebody else gets it, and the old holder must see that by its token when it comes back."""
    other = another()
    assert store.take_lease("mover", "x", 1) == 1
    assert other.take_lease("mover", "y", 1) == 0
    assert eventually(lambda: other.take_lease("mover", "y", 1), GONE_S) == 2
    assert store.take_lease("mover", "x", 1) == 0
    assert eventually(lambda: store.take_lease("mover", "x", 1), GONE_S) == 3


def test_renewed_lease_does_not_run_out(store: Store, another: Callable[[], Store], over_s: float) -> None:
    """For as long as it is renewed in time."""
    other = another()
    until = time.monotonic() + over_s
    while time.monotonic() < until:
        assert store.take_lease("mover", "x", 1) == 1
        assert other.take_lease("mover", "y", 1) == 0
        time.sleep(0.2)


def test_lease_of_a_holder_that_was_late_keeps_its_token_where_nobody_held_it_since(store: Store, over_s: float) -> None:
    """Nothing has been done by anybody else."""
    assert store.take_lease("mover", "x", 1) == 1
    time.sleep(over_s)
    assert store.take_lease("mover", "x", 1) == 1


def test_lease_may_be_renewed_for_another_time(store: Store, another: Callable[[], Store], over_s: float) -> None:
    """The last one counts, be it longer or shorter."""
    assert store.take_lease("mover", "x", 1) == 1
    assert store.take_lease("mover", "x", 30) == 1
    time.sleep(over_s)
    assert another().take_lease("mover", "y", 1) == 0
    assert store.take_lease("mover", "x", 1) == 1
    assert eventually(lambda: another().take_lease("mover", "y", 1), GONE_S) == 2


def test_one_of_many_gets_a_lease(another: Callable[[], Store]) -> None:
    """Round after round, and tokens rise by one."""
    stores = {f"holder {i}": another() for i in range(6)}
    with ThreadPoolExecutor(6) as pool:
        for turn in range(1, 11):
            tokens = dict(zip(stores, pool.map(lambda name: stores[name].take_lease("mover", name, 30), stores), strict=True))
            assert sorted(tokens.values()) == [0, 0, 0, 0, 0, turn]
            holder = max(tokens, key=tokens.__getitem__)
            stores[holder].drop_lease("mover", holder)


# ---------------------------------------------------------------- proxies


def test_acknowledgements_are_listed(store: Store, another: Callable[[], Store]) -> None:
    """By name, with the newest epoch of each, until it takes leave."""
    other = another()
    other.acknowledge("q/2", 4, 30)
    for epoch in (1, 1, 2, 3):
        store.acknowledge("p", epoch, 30)
    assert another().acknowledgements() == [Acknowledgement("p", 3, True), Acknowledgement("q/2", 4, True)]
    store.save_progress("report/p", {"p99_ms": 1.5})
    assert other.progress("report/p") == {"p99_ms": 1.5}
    store.leave("p")
    store.leave("p")
    assert other.progress("report/p") == {}
    assert other.acknowledgements() == [Acknowledgement("q/2", 4, True)]


def test_epoch_of_an_acknowledgement_may_fall(store: Store) -> None:
    """The proxy knows; a backup of the document may have been brought back."""
    store.acknowledge("p", 5, 30)
    store.acknowledge("p", 3, 30)
    assert store.acknowledgements() == [Acknowledgement("p", 3, True)]


def test_proxy_that_dies_stays_listed(store: Store, another: Callable[[], Store]) -> None:
    """As dead, with its last epoch, until it comes back."""
    other = another()
    store.acknowledge("p", 3, 1)
    store.acknowledge("q", 3, 30)
    eventually(lambda: other.acknowledgements() == [Acknowledgement("p", 3, False), Acknowledgement("q", 3, True)], GONE_S)
    store.acknowledge("p", 3, 1)
    assert other.acknowledgements()[0] == Acknowledgement("p", 3, True)
    other.acknowledge("p", 4, 30)
    assert store.acknowledgements()[0] == Acknowledgement("p", 4, True)


def test_proxy_that_goes_on_stays_alive(store: Store, another: Callable[[], Store], over_s: float) -> None:
    """By a sign of life in time."""
    other = another()
    until = time.monotonic() + over_s
    while time.monotonic() < until:
        store.acknowledge("p", 1, 1)
        assert other.acknowledgements() == [Acknowledgement("p", 1, True)]
        time.sleep(0.2)


def test_proxy_that_was_taken_for_dead_and_removed_is_back_with_its_next_sign(store: Store, another: Callable[[], Store]) -> None:
    """An operator may remove it, and it does not know."""
    store.acknowledge("p", 7, 30)
    another().leave("p")
    assert store.acknowledgements() == []
    store.acknowledge("p", 7, 30)
    assert store.acknowledgements() == [Acknowledgement("p", 7, True)]


def test_sign_of_life_of_two_processes_by_one_name(store: Store, another: Callable[[], Store]) -> None:
    """The last one counts."""
    other = another()
    for epoch in range(1, 4):
        store.acknowledge("p", epoch, 30)
        assert other.acknowledgements() == [Acknowledgement("p", epoch, True)]
        other.acknowledge("p", epoch + 10, 30)
        assert other.acknowledgements() == [Acknowledgement("p", epoch + 10, True)]


def test_signs_of_life_at_the_same_time(store: Store) -> None:
    """A heartbeat and the news of an epoch come from two threads; the news is not undone, and nothing is left after the leave."""
    for turn in range(10):
        with ThreadPoolExecutor(4) as pool:
            told = [pool.submit(store.acknowledge, "p", turn, 30) for _ in range(8)]
        assert [one.result() for one in told] == [None] * 8
        assert store.acknowledgements() == [Acknowledgement("p", turn, True)]
    store.leave("p")
    assert store.acknowledgements() == []


# ---------------------------------------------------------------- moves and primaries


def test_progress_is_kept_by_move(store: Store, another: Callable[[], Store]) -> None:
    """The last that was saved."""
    store.save_progress(1, {"rows": 1, "tables": {"ä": [None, 2.5]}})
    store.save_progress(2, {"rows": 2})
    another().save_progress(2, {"rows": 3})
    assert another().progress(1) == {"rows": 1, "tables": {"ä": [None, 2.5]}}
    assert store.progress(2) == {"rows": 3}
    assert store.progress(12) == {}


def test_journal_is_read_in_the_order_of_writing(store: Store, another: Callable[[], Store]) -> None:
    """Also where several write, one after the other; each move has its own."""
    before = time.time()
    stores = [store, another(), another()]
    for i in range(30):
        stores[i % 3].note(1, f"step {i}")
    store.note(11, "another move")
    store.note(1, "step 29")
    found = another().journal(1)
    assert [event for _, event in found] == [*(f"step {i}" for i in range(30)), "step 29"]
    assert before - 0.001 <= found[0][0] <= found[-1][0] <= time.time() + 0.001


def test_nothing_is_lost_of_a_journal_that_several_write(store: Store, another: Callable[[], Store]) -> None:
    """At the same time, and by one store too."""
    stores = [store, store, another()]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda number: [stores[number].note(5, f"{number} {i}") for i in range(20)], range(3)))
    events = [event for _, event in store.journal(5)]
    assert sorted(events) == sorted(f"{number} {i}" for number in range(3) for i in range(20))
    for number in range(3):
        assert [event for event in events if event.startswith(f"{number} ")] == [f"{number} {i}" for i in range(20)]


def test_primary_is_recorded_at_the_expected_term_only(store: Store, another: Callable[[], Store]) -> None:
    """Two proxies that see different primaries cannot both have it."""
    assert not store.set_primary("a", "x", 1)
    assert store.set_primary("a", "x", 0)
    assert not another().set_primary("a", "y", 0)
    assert another().set_primary("a", "y", 1)
    assert not store.set_primary("a", "x", 1)
    assert store.set_primary("b", "z", 0)
    assert store.primaries() == {"a": ("y", 2), "b": ("z", 1)}


def test_one_of_many_records_a_primary(another: Callable[[], Store]) -> None:
    """Of each term."""
    stores = {f"server {i}": another() for i in range(6)}
    with ThreadPoolExecutor(6) as pool:
        for term in range(8):
            done = dict(zip(stores, pool.map(lambda name: stores[name].set_primary("a", name, term), stores), strict=True))  # noqa: B023
            assert sum(done.values()) == 1
            winner = max(done, key=done.__getitem__)
            assert stores["server 0"].primaries() == {"a": (winner, term + 1)}
