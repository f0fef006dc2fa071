"""All that a mover works with: the file, the store, and the shards' servers."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from migrate.board import Board
from migrate.errors import MoveRefused
from migrate.job import Job, Progress
from migrate.node import Node
from migrate.preflight import tables_on
from migrate.throttle import Throttle
from shardproxy.backends.mysql_engine import MySQLEngine
from shardproxy.backends.registry import server_settings
from shardproxy.config.loader import LoadedConfig, describe_shard, seed_topology
from shardproxy.config.model import ServerUrl, Shard
from shardproxy.config.replication import ShardServers
from shardproxy.store.reconcile import check_members, served
from shardproxy.store.records import StoredTopology
from shardproxy.store.store import StoreUnavailable, open_store
from shardproxy.topology.moves import Move
from shardproxy.topology.topology import Topology


class Cluster:
    """See the module. `board.token` is 0 as long as this process only looks."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self.loaded = loaded
        self.file = seed_topology(loaded.config)
        self.store = open_store(loaded.config.proxy.store, loaded.path.parent, create=False)
        self.board = Board(self.store, f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}")
        self._settings = server_settings(loaded.config.limits)
        self._primaries = self.store.primaries()

    def open(self) -> StoredTopology:
        """The stored topology. It is the proxies that seed a store: one without a topology is the wrong one. Raises `ConfigError`."""
        stored = self.store.load()
        if stored is None:
            raise StoreUnavailable(self.store.label, "it is empty; is this the proxies' store? They fill it when they start")
        check_members(self.store.label, stored, self.file.shards)
        return stored

    def topology(self, stored: StoredTopology) -> Topology:
        """The topology as proxies serve it."""
        return served(stored, self.file)

    def weights(self, stored: StoredTopology) -> dict[str, float]:
        """The weight of every shard that is to own something."""
        configured = {name: shard.weight for name, shard in self.loaded.config.shards.items()}
        return {
            name: record.weight if record.weight is not None else configured.get(name, 1.0)
            for name, record in stored.shards.items()
            if not record.draining
        }

    def node(self, shard: str, stored: StoredTopology) -> Node:
        """The shard's primary; raises `MoveRefused` where its rows cannot be moved by this program."""
        url, others = self._described(shard, stored)
        if url.scheme != "mysql":
            raise MoveRefused([f"shard {shard} is a {url.scheme} database: rows move between MySQL or MariaDB servers only"])
        recorded = self._primaries.get(shard)
        if recorded is not None:
            host, _, port = recorded[0].rpartition(":")
            url = url.model_copy(update={"host": host, "port": int(port)})
        if others is not None and others.control is not None:
            url = url.model_copy(update={"user": others.control[0], "password": others.control[1]})
        return Node(shard, MySQLEngine(shard, url, self._settings), self.board.token)

    def replicas(self, shard: str, stored: StoredTopology) -> list[Node]:
        """The shard's other servers."""
        _, others = self._described(shard, stored)
        urls = [replica.url for replica in others.replicas] if others is not None else []
        return [Node(shard, MySQLEngine(shard, url, self._settings), self.board.token) for url in urls]

    def _described(self, shard: str, stored: StoredTopology) -> tuple[ServerUrl, ShardServers | None]:
        record = stored.shards.get(shard)
        if record is not None and record.primary:
            section = Shard.model_validate({"primary": record.primary, "replicas": list(record.replicas)})
            return describe_shard(shard, section, self.loaded.path)
        if shard not in self.loaded.primaries:
            raise MoveRefused([f"nobody says where shard {shard} is"])
        return self.loaded.primaries[shard], self.loaded.others.get(shard)

    async def job(self, move: Move, stored: StoredTopology) -> Job:
        """A move with its nodes and tables, and as far as it has come."""
        topology = self.topology(stored)
        source, target = self.node(move.source, stored), self.node(move.target, stored)
        tables = await tables_on(source, topology, move.group, move.share, joins=move.joins)
        replicas = [*self.replicas(move.source, stored), *self.replicas(move.target, stored)]
        throttle = Throttle([source, target], replicas, self.board.knobs, lambda: self.board.p99_ms)
        return Job(self.board, topology, move, source, target, tables, throttle, Progress.load(await self.board.progress(move.id)))


@asynccontextmanager
async def opened(loaded: LoadedConfig) -> AsyncIterator[Cluster]:
    """A cluster, closed at the end."""
    cluster = Cluster(loaded)
    try:
        yield cluster
    finally:
        await cluster.board.leave()
        cluster.store.close()
