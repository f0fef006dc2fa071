"""`shardctl shard add|drain|remove` and `shardctl table shard`: what belongs to the topology, changed in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from migrate.cluster import Cluster, opened
from migrate.errors import MoveRefused
from migrate.sharding import check_sharding, make_everywhere
from migrate.throttle import KNOBS
from shardproxy.cli.main import EXIT_DONE
from shardproxy.cli.printing import print_json
from shardproxy.config.loader import LoadedConfig
from shardproxy.config.model import NAME, ServerUrl
from shardproxy.errors import ProxyError, ServerError
from shardproxy.store.records import ShardedTable, ShardRecord, StoredTopology
from shardproxy.topology.hashing import BUCKETS
from shardproxy.topology.topology import Scheme

Change = Callable[[StoredTopology], StoredTopology]


async def add_shard(
    loaded: LoadedConfig, name: str, primary: str | None, replicas: list[str], weight: float | None, *, execute: bool
) -> int:
    """Describe a shard that owns nothing yet; `rebalance` then makes it a member and gives it its part."""
    async with opened(loaded) as cluster:
        stored = cluster.open()
        if not NAME.fullmatch(name):
            raise MoveRefused([f"{name!r} is no name for a shard: it is a letter, then letters, digits, _ or -"])
        if name in stored.shards and not stored.shards[name].draining:
            raise MoveRefused([f"there is a shard {name} already"])
        in_file = name in loaded.config.shards
        if primary is None and not in_file:
            raise MoveRefused([f"where is shard {name}? Give --primary URL, or write it into the file and restart the proxies"])
        for url in [*([primary] if primary else []), *replicas]:
            _check_url(url)
        again = name in stored.shards
        record = ShardRecord(primary or "", tuple(replicas), weight, member=False)
        record = replace(stored.shards[name], draining=False) if again else record
        trial = replace(stored, shards={**stored.shards, name: record})
        node = cluster.node(name, trial)
        try:
            async with node.session() as session:
                await session.query(b"SELECT 1")
        except (ProxyError, ServerError) as error:
            raise MoveRefused([str(error)]) from error
        _check_new_place(cluster, trial, name)
        if not execute:
            print(f"would add shard {name} ({node.engine.label}); it owns nothing until `shardctl rebalance --execute`")
            print("add --execute to do it")
            return EXIT_DONE
        await _write(cluster, lambda doc: replace(doc, shards={**doc.shards, name: record}))
        print(f"shard {name} is added; `shardctl rebalance` shows what would move to it")
        return EXIT_DONE


def _check_url(text: str) -> None:
    if text.startswith("env:"):
        return
    try:
        ServerUrl.parse(text)
    except ValueError as error:
        raise MoveRefused([str(error)]) from error


def _check_new_place(cluster: Cluster, stored: StoredTopology, name: str) -> None:
    """Two shards in one schema would be each other's rows."""
    engine = cluster.node(name, stored).engine
    for other in stored.shards:
        if other == name:
            continue
        try:
            theirs = cluster.node(other, stored).engine
        except MoveRefused:
            continue
        if (theirs.address, theirs.schema) == (engine.address, engine.schema):
            raise MoveRefused([f"shard {other} is in that schema already"])


async def drain_shard(loaded: LoadedConfig, name: str, *, execute: bool) -> int:
    """A shard is to own nothing; `rebalance` then moves all it has to the others."""
    async with opened(loaded) as cluster:
        stored = cluster.open()
        record = stored.shards.get(name)
        if record is None:
            raise MoveRefused([f"there is no shard {name}"])
        topology = cluster.topology(stored)
        fixed = [rule.name for rule in topology.rules.values() if rule.scheme is Scheme.UNSHARDED and rule.shard == name]
        if fixed:
            raise MoveRefused([f"unsharded tables live on {name}: {', '.join(fixed)}"])
        if name == topology.default_shard:
            raise MoveRefused([f"{name} is the default shard: tables that no rule names live there"])
        if not [other for other, found in stored.shards.items() if other != name and not found.draining]:
            raise MoveRefused([f"{name} is the only shard"])
        if not execute:
            print(f"would mark shard {name} as draining; `shardctl rebalance --execute` then moves what it owns\nadd --execute to do it")
            return EXIT_DONE
        await _write(cluster, lambda doc: replace(doc, shards={**doc.shards, name: replace(doc.shards[name], draining=True)}))
        print(f"shard {name} drains; `shardctl rebalance` shows what would move")
        return EXIT_DONE


async def remove_shard(loaded: LoadedConfig, name: str, *, execute: bool) -> int:
    """Forget a shard that owns nothing."""
    async with opened(loaded) as cluster:
        stored = cluster.open()
        _check_removable(stored, name)
        if not execute:
            print(f"would forget shard {name}; its server and its schema stay as they are\nadd --execute to do it")
            return EXIT_DONE

        def remove(doc: StoredTopology) -> StoredTopology:
            _check_removable(doc, name)
            return replace(doc, shards={other: record for other, record in doc.shards.items() if other != name})

        await _write(cluster, remove)
        print(f"shard {name} is removed" + ("; take it out of the file as well" if name in loaded.config.shards else ""))
        return EXIT_DONE


def _check_removable(stored: StoredTopology, name: str) -> None:
    if name not in stored.shards:
        raise MoveRefused([f"there is no shard {name}"])
    groups = [group for group, owners in stored.hash_maps.items() if name in owners]
    groups += [group for group, ranges in stored.range_maps.items() if name in ranges.owners]
    reasons = [f"shard {name} owns partitions of {', '.join(groups)}: `shardctl shard drain {name}` first"] if groups else []
    # What was switched to elsewhere has left rows behind; nobody would know of them any more.
    reasons += [
        f"move {move.id} is {move.state.value}: `shardctl move cleanup {move.id}` first"
        for move in stored.moves
        if name in (move.source, move.target) and not move.state.over
    ]
    if reasons:
        raise MoveRefused(reasons)


async def shard_table(loaded: LoadedConfig, names: list[str], key: str, group: str | None, *, execute: bool) -> int:
    """Make sharded tables of unsharded ones. Their rows stay where they are, as one shard that owns all buckets, until a rebalance."""
    group = group or names[0]
    added = {name: ShardedTable(key, group) for name in names}
    async with opened(loaded) as cluster:
        while True:
            stored = cluster.open()
            home = _home(cluster, stored, names, group)
            owners = {group: (home,) * BUCKETS}
            sharded = replace(stored, tables={**stored.tables, **added}, hash_maps={**stored.hash_maps, **owners})
            await check_sharding(cluster, sharded, home, names)
            if not execute:
                print(
                    f"would shard {', '.join(names)} by hash of {key} as group {group}: all on {home}, until `shardctl rebalance --execute`"
                )
                print("add --execute to do it")
                return EXIT_DONE
            # First the tables, then the word that they are sharded: proxies send statements to all shards from then on.
            await make_everywhere(cluster, stored, home, names)
            if await asyncio.to_thread(cluster.store.compare_and_set, stored.epoch, replace(sharded, epoch=stored.epoch + 1)):
                break
    print(f"{', '.join(names)}: sharded, all on {home}; `shardctl rebalance` shows what would move")
    return EXIT_DONE


def _home(cluster: Cluster, stored: StoredTopology, names: list[str], group: str) -> str:
    """The shard with the tables; raises `MoveRefused` where they cannot become a group."""
    rules = [cluster.topology(stored).rule(name) for name in names]
    homes = sorted({rule.shard for rule in rules})
    reasons = [f"table {rule.name} is {rule.scheme.value} already" for rule in rules if rule.scheme is not Scheme.UNSHARDED]
    if len(homes) > 1:
        reasons.append("the tables live on different shards")
    if group in stored.hash_maps or group in stored.range_maps:
        reasons.append(f"there is a group {group} already, whose rows lie elsewhere; choose another name with --group")
    # It would get the tables that are sharded now.
    joining = [move for move in stored.moves if move.joins and move.state.strays_on_target]
    reasons += [f"shard {move.target} is joining (move {move.id}): try again when it is a member" for move in joining]
    if reasons:
        raise MoveRefused(reasons)
    return homes[0]


async def set_knobs(loaded: LoadedConfig, knobs: dict[str, float], *, as_json: bool) -> int:
    """Change the mover's settings; one that runs takes them up within seconds. Without any, show them."""
    async with opened(loaded) as cluster:
        if knobs:
            await _write(cluster, lambda doc: replace(doc, knobs={**doc.knobs, **knobs}))
        values = {**KNOBS, **cluster.open().knobs}
        if as_json:
            print_json([values])
        else:
            for name, value in values.items():
                print(f"{name} = {value:g}")
        return EXIT_DONE


async def _write(cluster: Cluster, change: Change) -> None:
    while True:
        stored = cluster.open()
        changed = replace(change(stored), epoch=stored.epoch + 1)
        if await asyncio.to_thread(cluster.store.compare_and_set, stored.epoch, changed):
            return
