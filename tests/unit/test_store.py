"""The store of the topology: compare-and-set, and what becomes of a file that says something else."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from shardproxy.errors import ConfigError
from shardproxy.store.reconcile import reconcile
from shardproxy.store.records import ShardRecord, StoredTopology
from shardproxy.store.sqlite_store import SQLiteStore
from shardproxy.topology.topology import RangeMap, Topology

MEMBERS = {"a": ShardRecord(), "b": ShardRecord()}
RANGES = RangeMap((10, 20), ("a", "b", "a"), start=0)
FILE = Topology(1, ("a", "b"), "a", {}, {"default": ("a", "b", "a", "b")}, {"orders": RANGES})


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """An empty store."""
    return SQLiteStore(tmp_path / "topology.db")


def maps(epoch: int, *owners: str) -> StoredTopology:
    """Maps of one hash group."""
    return StoredTopology(epoch, MEMBERS, {"default": owners}, {})


def test_empty_store_holds_nothing(store: SQLiteStore) -> None:
    """It is made where it is missing."""
    assert store.load() is None


@pytest.mark.parametrize("bound", [5, "m", dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 1, 2, 3)])  # noqa: DTZ001 - a column has no zone
def test_maps_read_back(store: SQLiteStore, bound: object) -> None:
    """With bounds of every type, which JSON does not know."""
    kept = StoredTopology(1, MEMBERS, {"default": ("a", "b")}, {"r": RangeMap((bound,), ("a", "b"), None, None)})
    assert store.compare_and_set(0, kept)
    assert store.load() == kept


def test_only_one_of_two_writers_wins(store: SQLiteStore) -> None:
    """The other one sees that the epoch has gone on."""
    assert store.compare_and_set(0, maps(1, "a"))
    assert not store.compare_and_set(0, maps(1, "b"))
    assert store.compare_and_set(1, maps(2, "b"))
    assert not store.compare_and_set(1, maps(2, "a"))
    assert store.load() == maps(2, "b")


def test_store_that_cannot_be_used_is_a_fault_of_the_config(tmp_path: Path) -> None:
    """With the path of the file."""
    with pytest.raises(ConfigError, match="cannot be used"):
        SQLiteStore(tmp_path / "missing" / "topology.db").load()


def test_file_seeds_an_empty_store(store: SQLiteStore) -> None:
    """As epoch 1; a second start changes nothing."""
    assert reconcile(store, FILE)[1:] == (FILE, [])
    assert reconcile(store, FILE)[1:] == (FILE, [])
    stored = store.load()
    assert stored is not None
    assert stored.epoch == 1


def test_new_group_is_added(store: SQLiteStore) -> None:
    """The others stay, and the epoch goes on."""
    reconcile(store, FILE)
    grown = replace(FILE, hash_maps=dict(FILE.hash_maps, more=("b", "b")), range_maps=dict(FILE.range_maps, r2=RangeMap((1,), ("b", "a"))))
    _, served, differences = reconcile(store, grown)
    assert served == replace(grown, epoch=2)
    assert differences == []
    assert reconcile(store, grown)[1].epoch == 2


def test_shard_missing_from_the_file_is_refused(store: SQLiteStore) -> None:
    """Its rows would be out of reach."""
    reconcile(store, FILE)
    with pytest.raises(ConfigError, match="shard b is part of the stored topology"):
        reconcile(store, replace(FILE, shards=("a",), hash_maps={"default": ("a",) * 4}))
    assert reconcile(store, FILE)[1:] == (FILE, [])


def test_change_of_the_file_moves_no_bucket(store: SQLiteStore) -> None:
    """Rows do not follow a file; the difference is told."""
    reconcile(store, FILE)
    _, served, differences = reconcile(store, replace(FILE, hash_maps={"default": ("b",) * 4}))
    assert served.hash_maps == FILE.hash_maps
    assert [text for text in differences if "buckets of group default" in text]


def test_change_of_the_file_moves_no_range(store: SQLiteStore) -> None:
    """Nor a bound."""
    reconcile(store, FILE)
    _, served, differences = reconcile(store, replace(FILE, range_maps={"orders": RangeMap((11, 20), ("a", "b", "a"), start=0)}))
    assert served.range_maps == FILE.range_maps
    assert [text for text in differences if "ranges of group orders" in text]


def test_new_shard_owns_nothing_yet(store: SQLiteStore) -> None:
    """It is no member until something is moved there."""
    reconcile(store, FILE)
    _, served, differences = reconcile(store, replace(FILE, shards=("a", "b", "c")))
    assert served.shards == ("a", "b")
    assert differences == ["shard c is in the file but owns nothing yet"]


def test_new_table_on_a_shard_that_is_no_member_is_refused(store: SQLiteStore) -> None:
    """And nothing is written."""
    reconcile(store, FILE)
    with pytest.raises(ConfigError, match="not yet part"):
        reconcile(store, replace(FILE, shards=("a", "b", "c"), hash_maps=dict(FILE.hash_maps, more=("c",))))
    assert reconcile(store, FILE)[1].epoch == 1


def test_group_that_left_the_file_is_kept(store: SQLiteStore) -> None:
    """A table that comes back finds its rows where they were."""
    reconcile(store, FILE)
    _, served, differences = reconcile(store, replace(FILE, range_maps={}))
    assert served.range_maps == FILE.range_maps
    assert differences == []
