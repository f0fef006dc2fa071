"""A proxy in front of a replicated shard that tells who has answered.

Every node has a row of its own in the table `who`, written past replication, so that a statement shows by its rows where it ran.
The table `t` is the same everywhere, and so are all others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest

from tests.support.proxy import ProxyProcess
from tests.support.replication import SCHEMA, Node, ReplicatedShard
from tests.support.waiting import eventually

PRIMARY = "primary"
REPLICAS = {"replica-1", "replica-2"}
MODES = ("primary", "global", "session", "bounded", "eventual")
# One user for each mode, and `app`, who has not chosen.
_USERS = {"app": {"password": "app"}} | {mode: {"password": mode, "reads": mode} for mode in MODES}
_TABLES = (
    "CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL); INSERT INTO t VALUES (1, 0);"
    "CREATE TABLE who (id INT PRIMARY KEY, node VARCHAR(20) NOT NULL)"
)


class Client:
    """One session."""

    def __init__(self, connection: pymysql.Connection) -> None:
        self.connection = connection

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """One statement; its rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def one(self, sql: str) -> Any:
        """The first column of the first row."""
        return self.run(sql)[0][0]

    def who(self) -> str:
        """Who answers a plain read."""
        return str(self.one("SELECT node FROM who WHERE id = 1"))

    def outcome(self, sql: str) -> Any:
        """The rows of a statement, or the number and the text of its error."""
        try:
            return self.run(sql)
        except pymysql.err.MySQLError as error:
            return error.args

    def fails(self, sql: str) -> tuple[Any, ...]:
        """The error of a statement."""
        found = self.outcome(sql)
        assert isinstance(found, tuple), f"{sql} gave {found}"
        return found


class ReplicaProxy:
    """The shard and one proxy. Tests leave the replicas as they have found them: up to date, and read by the proxy.

    `tables` is TOML. `prepare` is run on the primary before the proxy starts, one statement at a time. `schemas` are the schemas of
    further shards on the same servers, by the shards' names; `rules` stands in the config of each shard.
    """

    def __init__(
        self,
        shard: ReplicatedShard,
        tables: str = "",
        prepare: tuple[str, ...] = (),
        schemas: dict[str, str] | None = None,
        rules: dict[str, Any] | None = None,
    ) -> None:
        self.shard = shard
        shard.reset()
        shard.execute(_TABLES)
        for schema in (schemas or {}).values():
            shard.primary.create_schema(schema)
        with shard.primary.connect(SCHEMA, client_flag=0) as connection, connection.cursor() as cursor:
            for statement in prepare:
                cursor.execute(statement)
        shard.wait_caught_up()
        self.sign()
        shards = {name: shard.config(schema) | (rules or {}) for name, schema in {"s0": SCHEMA, **(schemas or {})}.items()}
        self.proxy = ProxyProcess(shards, tables, users=_USERS)
        self.proxy.start()
        self.settle()

    @property
    def slow(self) -> Node:
        """The replica that is late where only one is."""
        return self.shard.replicas[0]

    def sign(self, table: str = f"{SCHEMA}.who", column: str = "id", key: int = 1) -> None:
        """Give each node a row of its own in a table."""
        for number, node in enumerate(self.shard.nodes):
            name = f"replica-{number}" if number else PRIMARY
            node.execute_alone(f"INSERT INTO {table} ({column}, node) VALUES ({key}, '{name}')")

    def settle(self, *, caught_up: bool = True) -> None:
        """Until the proxy reads from both replicas, and they have everything."""
        if caught_up:
            self.shard.wait_caught_up()

        def both() -> bool:
            servers = self.servers()
            return [server["read"] for server in servers] == [False, True, True] and (not caught_up or servers[1]["lag_ms"] < 2000)

        eventually(both)

    def servers(self) -> list[dict[str, Any]]:
        """What the proxy says of the servers, the primary first."""
        return list(json.loads(self.proxy.http("/api/status")[1])["shards"][0]["servers"])

    @contextmanager
    def delayed(self, seconds: int = 600, *, both: bool = True) -> Iterator[None]:
        """The replicas, or one of them, apply nothing that is newer."""
        nodes = self.shard.replicas if both else [self.slow]
        for node in nodes:
            node.delay_by(seconds)
        try:
            self.settle()
            yield
        finally:
            for node in nodes:
                node.delay_by(0)
            self.settle()

    @contextmanager
    def client(self, user: str = "app", **options: Any) -> Iterator[Client]:
        """A new session of a user, who is named for the mode in which it reads."""
        with self.proxy.connect(user=user, password=user, ssl_disabled=True, **options) as connection:
            yield Client(connection)


def shard_of(request: pytest.FixtureRequest, flavour: str) -> ReplicatedShard:
    """The servers of a flavour; skips where there are none."""
    found = request.getfixturevalue(f"{flavour}_replication")
    assert isinstance(found, ReplicatedShard)
    return found
