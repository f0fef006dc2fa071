"""The file and the store: the file seeds an empty store; from then on the store is the truth for who owns what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shardproxy.errors import ConfigError
from shardproxy.store.records import ShardRecord, StoredTopology
from shardproxy.store.store import Documents
from shardproxy.topology.topology import Scheme, TableRule, Topology


def reconcile(store: Documents, file: Topology) -> tuple[StoredTopology, Topology, list[str]]:
    """What is stored, the topology to serve, and in what the file differs. Maps of tables that are new in the file are added to the
    store. Raises `ConfigError` where the store names a shard that neither it nor the file describes, or cannot be used.
    """
    while True:
        stored = store.load()
        if stored is None:
            seeded = StoredTopology(1, {name: ShardRecord() for name in file.shards}, dict(file.hash_maps), dict(file.range_maps))
            if store.compare_and_set(0, seeded):
                return seeded, replace(file, epoch=1), []
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
            check_members(store.label, grown, file.shards)
            store.compare_and_set(stored.epoch, grown)
            continue
        check_members(store.label, stored, file.shards)
        return stored, served(stored, file), differences(stored, file)


def served(stored: StoredTopology, file: Topology) -> Topology:
    """The topology to serve: the file's rules over the store's shards and maps."""
    return replace(
        file,
        epoch=stored.epoch,
        shards=stored.members,
        rules=_rules(stored, file.rules),
        hash_maps=stored.hash_maps,
        range_maps=stored.range_maps,
        strays=stored.strays,
        moving=frozenset(move.group for move in stored.moves if move.state.strays_on_target and not move.joins),
    )


def _rules(stored: StoredTopology, rules: Mapping[str, TableRule]) -> Mapping[str, TableRule]:
    """The file's, but for tables that have been sharded since it was written."""
    if not stored.tables:
        return rules
    later = {}
    for name, table in stored.tables.items():
        rule = rules.get(name)
        if rule is None or not rule.scheme.sharded:
            known = rule or TableRule(name, Scheme.UNSHARDED)
            later[name] = replace(known, scheme=Scheme.HASH, key=table.key, group=table.group, shard="")
    return {**rules, **later}


def check_members(label: str, stored: StoredTopology, described: tuple[str, ...]) -> None:
    """Raises `ConfigError` where a shard owns something and nobody says where it is. `described` are the file's shards."""
    owners = {owner for owners in stored.hash_maps.values() for owner in owners}
    owners |= {owner for ranges in stored.range_maps.values() for owner in ranges.owners} | set(stored.shards)
    known = set(described) | {name for name, record in stored.shards.items() if record.primary}
    missing = sorted(owners - known)
    if missing:
        raise ConfigError(label, [f"shard {name} is part of the stored topology, but not in the file's [shards]" for name in missing])
    strangers = sorted(owners - set(stored.shards))
    if strangers:
        raise ConfigError(
            label,
            [f"a new table is placed on shard {name}, which is not yet part of the stored topology" for name in strangers],
        )


def differences(stored: StoredTopology, file: Topology) -> list[str]:
    """In what the file differs from the store, and what is going on that the file does not tell."""
    found = [f"shard {name} is in the file but owns nothing yet" for name in file.shards if name not in stored.shards]
    found += [f"shard {name} was added by shardctl and is not in the file" for name in stored.shards if name not in file.shards]
    found += [f"shard {name} drains: it is to own nothing" for name, record in stored.shards.items() if record.draining]
    found += [
        f"move {move.id} from {move.source} to {move.target} is {move.state.value}" + (f": {move.reason}" if move.reason else "")
        for move in stored.moves
        if not move.state.over
    ]
    for group, ranges in file.range_maps.items():
        if stored.range_maps.get(group, ranges) != ranges:
            found.append(f"the ranges of group {group} in the file are not those that are served")
    for group, owners in file.hash_maps.items():
        if stored.hash_maps.get(group, owners) != owners:
            found.append(f"the buckets of group {group} are spread in another way than the file's shards and weights would give")
    for name, table in stored.tables.items():
        rule = file.rules.get(name)
        if rule is None or not rule.scheme.sharded:
            found.append(f'table {name} has been sharded: write [tables.{name}] by = "hash", key = "{table.key}", group = "{table.group}"')
    return found
