"""A replicated shard behind a proxy and under load: what a test of failures hurts, and where it looks for what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from tests.support.load import COLUMNS, TABLE, Load
from tests.support.proxy import ProxyProcess
from tests.support.replication import SCHEMA, Node, ReplicatedShard
from tests.support.waiting import eventually

# Servers and clients share two busy cores with whatever else runs: what has to be soon is soon by this.
SOON_S = 20.0


class Incident:
    """The shard `s0`, its proxy and the clients of that. `begin` is the moment at which `hurt` was called last."""

    def __init__(self, shard: ReplicatedShard, proxy: ProxyProcess, load: Load) -> None:
        self.shard = shard
        self.proxy = proxy
        self.load = load
        self.begin = 0.0

    def hurt(self, what: Callable[[], None]) -> None:
        """Do it; `begin` is now."""
        self.begin = time.time()
        what()

    # -- what the proxy says

    def said(self, event: str, since: float | None = None) -> list[tuple[float, dict[str, Any]]]:
        """What the proxy has logged of an event since `begin`, or another moment, and when."""
        found = []
        for line in self.proxy.log().splitlines():
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("event") == event:
                at = datetime.fromisoformat(entry["timestamp"]).timestamp()
                if at >= (self.begin if since is None else since):
                    found.append((at, entry))
        return found

    def is_said(self, event: str, node: Node | None = None, since: float | None = None, **values: str) -> float:
        """Wait until it is logged, of a node; the seconds from `begin` to then."""

        def first() -> float:
            for at, entry in self.said(event, since):
                if values.items() <= entry.items() and (node is None or f":{node.relay.port}" in entry["server"]):
                    return max(at - self.begin, 0.0001)
            return 0.0

        return eventually(first, SOON_S)

    def server(self, node: Node) -> dict[str, Any]:
        """What the proxy says of a node now."""
        [shard] = json.loads(self.proxy.http("/api/status")[1])["shards"]
        return next(found for found in shard["servers"] if found["server"].endswith(f":{node.relay.port}"))

    def is_out(self, node: Node) -> float:
        """Wait until a replica that answers may be read no more; the seconds since `begin`."""
        eventually(lambda: self.server(node)["state"] == "up" and not self.server(node)["read"], SOON_S)
        return time.time() - self.begin

    def is_used(self, *nodes: Node) -> None:
        """Wait until replicas get reads, from now on."""
        before = {node: self.server(node)["reads"] for node in nodes}
        for node in nodes:
            eventually(lambda node=node: self.server(node)["reads"] >= before[node] + 20, SOON_S)  # type: ignore[misc]

    # -- what clients get

    def writes_go_on(self, since: float) -> float:
        """Wait for a write that was begun and acknowledged later; the seconds from then to its answer."""

        def first() -> float:
            return min((event.ended - since for event in self.load.of("write", since=since) if not event.error), default=0.0)

        return eventually(first, SOON_S)

    def check(self) -> None:
        """End the load: no acknowledged write is lost or there twice, on the primary and on every replica that follows it."""
        self.load.stop()
        self.shard.wait_caught_up()
        for node in self.shard.nodes:
            self.load.check(self.rows(node))

    def rows(self, node: Node) -> list[tuple[Any, ...]]:
        """The writes that a node has."""
        return node.execute(f"SELECT writer, number FROM {TABLE}", SCHEMA)


@contextmanager
def incident(
    shard: ReplicatedShard, start_proxy: Callable[..., ProxyProcess], settings: Mapping[str, Any] | None = None
) -> Iterator[Incident]:
    """Everything up, and all replicas in use. `settings` are keys of the shard in the proxy's config."""
    shard.execute(f"CREATE TABLE {TABLE} ({COLUMNS})")
    shard.wait_caught_up()
    proxy = start_proxy({"s0": shard.config() | {"balance": "random", "warm_up_s": 0} | dict(settings or {})})
    with Load(proxy) as load:
        found = Incident(shard, proxy, load)
        found.is_used(*shard.replicas)
        yield found
