"""The file and the store: the file seeds an empty store; from then on the store is the truth for who owns what."""

from __future__ import annotations

from dataclasses import replace

from shardproxy.errors import ConfigError
from shardproxy.store.sqlite_store import SQLiteStore, StoredMaps
from shardproxy.topology.topology import Topology


def reconcile(store: SQLiteStore, file: Topology) -> tuple[Topology, list[str]]:
    """The topology to serve, and in what the file differs from it. Maps of tables that are new in the file are added to the store.

    Raises `ConfigError` where the store names a shard that the file does not have.
    """
    while True:
        stored = store.load()
        if stored is None:
            seeded = StoredMaps(1, file.shards, dict(file.hash_maps), dict(file.range_maps))
            if store.compare_and_set(0, seeded):
                return replace(file, epoch=1), []
            continue
        new_hash = {group: owners for group, owners in file.hash_maps.items() if group not in stored.hash_maps}
        new_ranges = {group: ranges for group, ranges in file.range_maps.items() if group not in stored.range_maps}
        if new_hash or new_ranges:
            grown = replace(
                stored,
                epoch=stored.epoch + 1,
                hash_maps={**stored.hash_maps, **new_hash},
                range_maps={**stored.range_maps, **new_ranges},
            )
            _check_members(store, grown, file)
            store.compare_and_set(stored.epoch, grown)
            continue
        _check_members(store, stored, file)
        served = replace(file, epoch=stored.epoch, shards=stored.shards, hash_maps=stored.hash_maps, range_maps=stored.range_maps)
        return served, _differences(stored, file)


def _check_members(store: SQLiteStore, stored: StoredMaps, file: Topology) -> None:
    owners = {owner for owners in stored.hash_maps.values() for owner in owners}
    owners |= {owner for ranges in stored.range_maps.values() for owner in ranges.owners} | set(stored.shards)
    missing = sorted(owners - set(file.shards))
    if missing:
        raise ConfigError(
            str(store.path),
            [f"shard {name} is part of the stored topology, but not in the file's [shards]" for name in missing],
        )
    strangers = sorted(owners - set(stored.shards))
    if strangers:
        raise ConfigError(
            str(store.path),
            [f"a new table is placed on shard {name}, which is not yet part of the stored topology" for name in strangers],
        )


def _differences(stored: StoredMaps, file: Topology) -> list[str]:
    found = [f"shard {name} is in the file but owns nothing yet" for name in file.shards if name not in stored.shards]
    for group, ranges in file.range_maps.items():
        if stored.range_maps.get(group, ranges) != ranges:
            found.append(f"the ranges of group {group} in the file are not those that are served")
    for group, owners in file.hash_maps.items():
        if stored.hash_maps.get(group, owners) != owners:
            found.append(f"the buckets of group {group} are spread in another way than the file's shards and weights would give")
    return found
