"""The store in etcd while its servers are killed, paused and cut off, and while answers are lost."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shardproxy.store.records import Acknowledgement
from shardproxy.store.store import StoreUnavailable
from tests.support.etcd import Etcd, Open, at, document, etcd_server, stores, waiting, within
from tests.support.ports import free_port
from tests.support.relay import Relay
from tests.support.waiting import eventually

# A call has four seconds; the rest is for a machine that is busy.
CALL_S = 5.0


@pytest.fixture
def etcd() -> Iterator[Etcd]:
    """A server for one test to hurt."""
    with etcd_server() as server:
        yield server


@pytest.fixture
def open_etcd() -> Iterator[Open]:
    """Opens stores, and closes them after the test."""
    with stores() as opened:
        yield opened


# ---------------------------------------------------------------- away


def test_nobody_listens(open_etcd: Open) -> None:
    """Said at once, by every call, with the address."""
    port = free_port()
    store = open_etcd(at(port))
    calls: list[Callable[[], Any]] = [
        store.load,
        lambda: store.compare_and_set(0, document(1)),
        lambda: store.wait_beyond(0, 10),
        store.primaries,
        lambda: store.set_primary("a", "x", 0),
        lambda: store.take_lease("mover", "x", 3),
        lambda: store.drop_lease("mover", "x"),
        lambda: store.acknowledge("p", 1, 3),
        store.acknowledgements,
        lambda: store.leave("p"),
        lambda: store.progress(1),
        lambda: store.save_progress(1, {}),
        lambda: store.note(1, "event"),
        lambda: store.journal(1),
    ]
    for call in calls:
        with within(1), pytest.raises(StoreUnavailable, match=rf"127.0.0.1:{port}/test: .*127.0.0.1:{port}: Connection refused"):
            call()


def test_something_else_listens(open_etcd: Open) -> None:
    """It is not taken for an etcd."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(StoreUnavailable, match=r"no answer of etcd.s interface v3: status 404, .No."):
            open_etcd(at(server.server_port)).load()
        server.shutdown()


class _Quiet(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"No")

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        pass


def test_killed_server_comes_back_with_everything(etcd: Etcd, open_etcd: Open) -> None:
    """Meanwhile the store is unavailable, and says so within a moment."""
    store = open_etcd(etcd.url())
    assert store.compare_and_set(0, document(1))
    assert store.take_lease("mover", "x", 60) == 1
    store.acknowledge("p", 1, 60)
    store.note(1, "begun")
    with waiting(store, 1) as wait:
        etcd.kill()
        with pytest.raises(StoreUnavailable):
            wait.result(5)
    for _ in range(2):
        with within(1), pytest.raises(StoreUnavailable):
            store.load()
        with within(1), pytest.raises(StoreUnavailable):
            store.acknowledge("p", 2, 60)
    etcd.start()
    assert store.load() == document(1)
    assert store.compare_and_set(1, document(2))
    assert store.take_lease("mover", "x", 60) == 1
    assert open_etcd(etcd.url()).take_lease("mover", "y", 60) == 0
    store.acknowledge("p", 2, 60)
    assert store.acknowledgements() == [Acknowledgement("p", 2, True)]
    assert [event for _, event in store.journal(1)] == ["begun"]


def test_wait_goes_on_through_a_restart_that_it_does_not_notice(etcd: Etcd, open_etcd: Open) -> None:
    """Where a second address leads to a server that is there, a wait does not end with the first."""
    with Relay(etcd.port) as relay:
        store = open_etcd(at(relay.port, etcd.port))
        store.compare_and_set(0, document(1))
        with waiting(store, 1) as wait:
            relay.refuse()
            relay.cut()
            time.sleep(0.2)
            assert not wait.done()
            open_etcd(etcd.url()).compare_and_set(1, document(2))
            with within(0.5):
                assert wait.result(5)


def test_stalled_server(etcd: Etcd, open_etcd: Open) -> None:
    """It takes connections and answers nothing: a call ends in its time, a wait in its own, and then all goes on."""
    store = open_etcd(etcd.url())
    store.compare_and_set(0, document(1))
    etcd.pause()
    try:
        for call in (store.load, lambda: store.compare_and_set(1, document(2)), lambda: store.take_lease("mover", "x", 3)):
            with within(CALL_S), pytest.raises(StoreUnavailable, match="no answer in time"):
                call()
        with within(1.5), pytest.raises(StoreUnavailable):
            store.wait_beyond(1, 0.5)
    finally:
        etcd.resume()
    found = eventually(store.load, retry_on=StoreUnavailable)
    # What was sent meanwhile may be carried out now, as the error says.
    assert found in (document(1), document(2))


def test_server_stalls_during_a_wait(etcd: Etcd, open_etcd: Open) -> None:
    """A stream that is silent is not trusted for long."""
    store = open_etcd(etcd.url())
    store.compare_and_set(0, document(1))
    with waiting(store, 1, 6) as wait:
        etcd.pause()
        try:
            with within(8), pytest.raises(StoreUnavailable):
                wait.result(10)
        finally:
            etcd.resume()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the dead one first", "the dead one last"])
def test_one_of_two_members_is_dead(etcd: Etcd, open_etcd: Open, order: tuple[int, int]) -> None:
    """Nobody notices."""
    ports = (free_port(), etcd.port)
    store = open_etcd(at(*(ports[i] for i in order)))
    with within(1):
        assert store.compare_and_set(0, document(1))
        assert store.load() == document(1)
        assert not store.wait_beyond(1, 0.1)
        assert store.take_lease("mover", "x", 3) == 1


def test_one_of_two_members_hangs(etcd: Etcd, open_etcd: Open) -> None:
    """The first call takes longer; then the other one is asked first."""
    with Relay(etcd.port) as relay:
        store = open_etcd(at(relay.port, etcd.port))
        assert store.compare_and_set(0, document(1))
        relay.stall()
        with within(3):
            assert store.load() == document(1)
        with within(0.5):
            assert store.compare_and_set(1, document(2))


def test_cut_connections(etcd: Etcd, open_etcd: Open) -> None:
    """They are opened anew; a wait starts again and misses nothing."""
    with Relay(etcd.port) as relay:
        store = open_etcd(at(relay.port))
        store.compare_and_set(0, document(1))
        with waiting(store, 1) as wait:
            for _ in range(3):
                relay.cut()
                assert store.load() == document(1)
            open_etcd(etcd.url()).compare_and_set(1, document(2))
            with within(0.5):
                assert wait.result(5)


def test_many_kept_connections_are_cut(etcd: Etcd, open_etcd: Open) -> None:
    """The next call does not try one after the other."""
    with Relay(etcd.port) as relay:
        store = open_etcd(at(relay.port))
        relay.delay(30)  # so that calls overlap, and need a connection each
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: store.load(), range(40)))
        relay.delay(0)
        assert relay.connections > 10
        relay.cut()
        with within(1):
            assert store.load() is None


def test_close_ends_a_wait(etcd: Etcd, open_etcd: Open) -> None:
    """A proxy that stops does not sit through it."""
    store = open_etcd(etcd.url())
    with waiting(store, 0) as wait:
        store.close()
        with within(0.5):
            assert not wait.result(5)


# ---------------------------------------------------------------- three members


def test_three_members_lose_one_and_two(open_etcd: Open) -> None:
    """With one gone all goes on, whichever it is; with two gone nothing is written, and nothing is read that may be old."""
    members = Etcd.cluster(3)
    try:
        store = open_etcd(at(*(member.port for member in members)))
        follower = open_etcd(at(*(member.port for member in reversed(members))))
        assert store.compare_and_set(0, document(1))
        assert store.take_lease("mover", "x", 60) == 1
        with waiting(follower, 1) as wait:
            _leader(members).kill()
            with within(CALL_S):
                assert store.compare_and_set(1, document(2))
            assert wait.result(5)
        assert follower.load() == document(2)
        assert follower.take_lease("mover", "y", 60) == 0
        next(member for member in members if member.running).kill()
        with within(CALL_S), pytest.raises(StoreUnavailable):
            store.compare_and_set(2, document(3))
        with within(CALL_S), pytest.raises(StoreUnavailable):
            follower.load()
        next(member for member in members if not member.running).start()
        assert eventually(follower.load, retry_on=StoreUnavailable) in (document(2), document(3))
    finally:
        for member in members:
            member.kill()


def _leader(members: list[Etcd]) -> Etcd:
    statuses = {member: member.ask("/v3/maintenance/status") for member in members}
    return next(member for member, status in statuses.items() if status["leader"] == status["header"]["member_id"])


# ---------------------------------------------------------------- answers that are lost


class LosingRelay(Relay):
    """Passes every question on, and the answers that are not to be lost: `lose` of them, with their connections or silently."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.lose = 0
        self.silently = False
        self.meanwhile: Callable[[], object] = lambda: None

    async def _pump_requests(self, source: Any, sink: Any, back: Any) -> None:
        await super()._pump(source, sink)

    async def _pump(self, source: Any, sink: Any) -> None:
        while data := await source.read(65536):
            if self.lose:
                self.lose -= 1
                self.meanwhile()
                if self.silently:
                    continue
                raise ConnectionResetError
            sink.write(data)


@pytest.fixture
def losing(etcd: Etcd) -> Iterator[LosingRelay]:
    """In front of `etcd`."""
    with LosingRelay(etcd.port) as relay:
        yield relay


@pytest.mark.parametrize("times", [1, 2, 3])
def test_lost_answer_to_a_change_that_was_made(etcd: Etcd, losing: LosingRelay, open_etcd: Open, times: int) -> None:
    """It is found to have been made, and is not made twice."""
    store = open_etcd(at(losing.port))
    assert store.compare_and_set(0, document(1))
    losing.lose = times
    assert store.compare_and_set(1, document(2))
    assert losing.lose == 0
    assert store.load() == document(2)
    assert etcd.keys()["epoch"] == "2"


def test_answer_to_a_change_does_not_come(etcd: Etcd, losing: LosingRelay, open_etcd: Open) -> None:
    """Nor is the connection cut: it is asked again in time."""
    store = open_etcd(at(losing.port))
    assert store.compare_and_set(0, document(1))
    losing.silently = True
    losing.lose = 1
    with within(CALL_S):
        assert store.compare_and_set(1, document(2))
    assert etcd.keys()["epoch"] == "2"


def test_lost_answer_to_a_change_that_came_too_late(etcd: Etcd, losing: LosingRelay, open_etcd: Open) -> None:
    """Not even if the other one wrote the same."""
    store = open_etcd(at(losing.port))
    assert open_etcd(etcd.url()).compare_and_set(0, document(1))
    losing.lose = 1
    assert not store.compare_and_set(0, document(1))
    assert losing.lose == 0


def test_lost_answer_to_a_change_from_which_others_have_gone_on(etcd: Etcd, losing: LosingRelay, open_etcd: Open) -> None:
    """It was made all the same."""
    store, other = open_etcd(at(losing.port)), open_etcd(etcd.url())
    assert store.compare_and_set(0, document(1))
    gone_on: list[bool] = []
    losing.meanwhile = lambda: gone_on.append(other.compare_and_set(2, document(3)))
    losing.lose = 1
    assert store.compare_and_set(1, document(2))
    assert gone_on == [True]
    assert store.load() == document(3)


def test_every_answer_is_lost(etcd: Etcd, losing: LosingRelay, open_etcd: Open) -> None:
    """Then it cannot be known, and that is what is said."""
    store = open_etcd(at(losing.port))
    assert store.compare_and_set(0, document(1))
    losing.lose = 10**9
    with within(CALL_S), pytest.raises(StoreUnavailable):
        store.compare_and_set(1, document(2))
    losing.lose = 0
    assert store.load() == document(2)


def test_lost_answers_to_everything_else(etcd: Etcd, losing: LosingRelay, open_etcd: Open) -> None:
    """Whatever is asked twice happens once."""
    store = open_etcd(at(losing.port))

    def lossy(call: Callable[[], Any]) -> Any:
        losing.lose = 1
        found = call()
        assert losing.lose == 0
        return found

    assert lossy(lambda: store.set_primary("a", "x", 0))
    assert store.primaries() == {"a": ("x", 1)}
    assert lossy(lambda: store.take_lease("mover", "x", 30)) == 1
    lossy(lambda: store.note(1, "event"))
    assert [event for _, event in lossy(lambda: store.journal(1))] == ["event"]
    lossy(lambda: store.save_progress(1, {"a": 1}))
    assert lossy(lambda: store.progress(1)) == {"a": 1}
    for epoch in (1, 1, 2):
        lossy(lambda: store.acknowledge("p", epoch, 30))  # noqa: B023 - it is called at once
    assert lossy(store.acknowledgements) == [Acknowledgement("p", 2, True)]
    lossy(lambda: store.leave("p"))
    assert store.acknowledgements() == []
    lossy(lambda: store.drop_lease("mover", "x"))
    assert store.take_lease("mover", "y", 30) == 2
