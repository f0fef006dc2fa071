"""What is etcd's own of the store in etcd: compaction, bounds, costs, users, TLS."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardproxy.store import etcd_store
from shardproxy.store.etcd_client import Away
from shardproxy.store.etcd_store import EtcdStore
from shardproxy.store.records import ShardRecord, StoredTopology
from shardproxy.store.store import StoreUnavailable
from tests.support.certificate import write_certificate
from tests.support.etcd import Etcd, Open, document, etcd_server, stores, waiting, within


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


# ---------------------------------------------------------------- compaction, bounds and costs


def test_compaction_between_reading_and_watching(etcd: Etcd, open_etcd: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The revision to watch from is forgotten: it is read again, and the change is seen."""
    store, other = open_etcd(etcd.url()), open_etcd(etcd.url())
    store.compare_and_set(0, document(1))
    watch, watched = store._etcd.changed, []

    def late(until: float, key: str, revision: int) -> object:
        if not watched:
            for _ in range(3):
                other.save_progress(1, {})
            other.compare_and_set(1, document(2))
            etcd.compact()
        watched.append(revision)
        return watch(until, key, revision)

    monkeypatch.setattr(store._etcd, "changed", late)
    with within(1):
        assert store.wait_beyond(1, 10)
    assert len(watched) == 1
    with pytest.raises(Away, match="compacted"):
        watch(time.monotonic() + 5, "epoch", watched[0])


def test_compaction_during_a_watch(etcd: Etcd, open_etcd: Open) -> None:
    """Nothing happens to it."""
    store = open_etcd(etcd.url())
    store.compare_and_set(0, document(1))
    with waiting(store, 1) as wait:
        for i in range(5):
            store.save_progress(1, {"i": i})
            etcd.compact()
        store.compare_and_set(1, document(2))
        with within(0.5):
            assert wait.result(5)


def test_history_is_bounded(etcd: Etcd, open_etcd: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest epochs are kept, with their documents."""
    monkeypatch.setattr(etcd_store, "_HISTORY", 5)
    store = open_etcd(etcd.url())
    for epoch in range(12):
        assert store.compare_and_set(epoch, document(epoch + 1, n=epoch))
    kept = {key: json.loads(value) for key, value in etcd.keys().items() if key.startswith("history/")}
    assert [int(key.removeprefix("history/")) for key in kept] == [8, 9, 10, 11, 12]
    assert [found["document"]["knobs"]["n"] for found in kept.values()] == [7, 8, 9, 10, 11]


def test_sign_of_life_writes_nothing_while_nothing_is_new(etcd: Etcd, open_etcd: Open) -> None:
    """It comes every second from every proxy."""
    store = open_etcd(etcd.url())

    def revision() -> int:
        return int(etcd.ask("/v3/kv/range", key="eA==")["header"]["revision"])

    store.acknowledge("p", 1, 3)
    before = revision()
    for _ in range(5):
        store.acknowledge("p", 1, 3)
    assert revision() == before
    store.acknowledge("p", 2, 3)
    assert revision() == before + 1


def test_large_documents_and_long_journals(etcd: Etcd, open_etcd: Open) -> None:
    """As far as etcd goes, which is 1.5 MB for a change; beyond, it says why not."""
    store = open_etcd(etcd.url())
    groups = {f"group {i}": tuple(f"shard {i % 32}" for i in range(4096)) for i in range(30)}
    large = StoredTopology(1, {"a": ShardRecord()}, groups)
    assert store.compare_and_set(0, large)
    assert store.load() == large
    store.note(1, "ä" * 300_000)
    store.note(1, "ö" * 300_000)
    assert [len(event) for _, event in store.journal(1)] == [300_000, 300_000]
    with pytest.raises(StoreUnavailable, match="too large"):
        store.save_progress(1, {"text": "x" * 2_000_000})


def test_what_somebody_else_has_written_is_no_document(etcd: Etcd, open_etcd: Open) -> None:
    """It is said, and not guessed at."""
    etcd.ask("/v3/kv/put", key="L3Rlc3QvdG9wb2xvZ3k=", value="e30=")  # /test/topology, {}
    with pytest.raises(StoreUnavailable, match="somebody else"):
        open_etcd(etcd.url()).load()


# ---------------------------------------------------------------- who may


def test_user_with_a_password(etcd: Etcd, open_etcd: Open) -> None:
    """Also where the token is not taken any more; the password is never told."""
    address = f"127.0.0.1:{etcd.port}"
    store = open_etcd(f"etcd://sp:s%40cret@{address}/test")
    assert store.compare_and_set(0, document(1))  # nobody needs a password yet
    etcd.protect("sp", "s@cret")
    assert store.compare_and_set(1, document(2))
    store._etcd._token = "nonsense"
    assert store.load() == document(2)
    with waiting(store, 2) as wait:
        open_etcd(f"etcd://root:root@{address}/test").compare_and_set(2, document(3))
        assert wait.result(5)
    assert store.take_lease("mover", "x", 3) == 1
    store.acknowledge("p", 1, 3)
    etcd.restart()
    store.acknowledge("p", 1, 3)
    faults = []
    for url in (f"etcd://{address}/test", f"etcd://sp:wr0ng@{address}/test", f"etcd://sp:s%40cret@{address}/other"):
        with pytest.raises(StoreUnavailable) as caught:
            open_etcd(url).load()
        faults.append(str(caught.value))
    assert "user name is empty" in faults[0]
    assert "invalid user ID or password" in faults[1]
    assert "permission denied" in faults[2]
    assert not [fault for fault in faults if "cret" in fault or "wr0ng" in fault]


def test_tls(open_etcd: Open, tmp_path: Path) -> None:
    """The server is verified by the authority that is named; one of another authority is refused."""
    (other := tmp_path / "other").mkdir()
    write_certificate(other)
    with etcd_server(certificate=write_certificate(tmp_path)) as server:
        _speak_tls(server, open_etcd, tmp_path, other)


def _speak_tls(server: Etcd, open_etcd: Open, tmp_path: Path, other: Path) -> None:
    store = EtcdStore(f"{server.url()}?ca=ca.crt&cert=server.crt&key=server.key", tmp_path)
    assert store.compare_and_set(0, document(1))
    with waiting(store, 1) as wait:
        assert store.compare_and_set(1, document(2))
        assert wait.result(5)
    store.close()
    for url in (f"{server.url()}?ca={other}/ca.crt", server.url().replace("etcd:", "etcds:")):
        with pytest.raises(StoreUnavailable, match=r"(?i)certificate"):
            open_etcd(url).load()
    with pytest.raises(StoreUnavailable):
        open_etcd(server.url()).load()


# ---------------------------------------------------------------- the fixture


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without etcd fails these tests, and says what to install."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(FileNotFoundError, match="etcd-server"):
        Etcd.binary()
