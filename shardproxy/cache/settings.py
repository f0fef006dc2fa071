"""What a cache consists of, from a config file, a URL or a mapping; and what both clients make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from redis.backoff import NoBackoff

from shardproxy.config.caches import load_caches
from shardproxy.errors import ConfigError
from shardproxy.topology.slots import SlotMap, fixed_map

Nodes = Mapping[str, str | Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """A node: its redis-py URL, and its share of the slots relative to the others'."""

    url: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The nodes of a cache, by name. The names place the keys, not the addresses: a node may move to another address."""

    nodes: Mapping[str, NodeSettings]

    def slot_map(self) -> SlotMap:
        """Who owns which slot."""
        return fixed_map({name: node.weight for name, node in self.nodes.items()})


def from_nodes(nodes: Nodes) -> CacheSettings:
    """From `{"c0": "redis://…", "c1": {"url": "redis://…", "weight": 2}}`. Raises ValueError."""
    found = {}
    for name, node in nodes.items():
        found[name] = NodeSettings(node) if isinstance(node, str) else NodeSettings(node["url"], float(node.get("weight", 1.0)))
    if not found or any(node.weight <= 0 for node in found.values()):
        raise ValueError("a cache has at least one node, and every weight is above 0")
    return CacheSettings(found)


def from_file(path: str | PathLike[str], name: str) -> CacheSettings:
    """`[caches.NAME]` of a config file; raises `ConfigError`."""
    caches = load_caches(Path(path))
    if name not in caches:
        raise ConfigError(str(path), [f"there is no [caches.{name}]; there are {', '.join(caches) or 'none'}"])
    return CacheSettings({node: NodeSettings(section.url, section.weight) for node, section in caches[name].items()})


def from_url(url: str) -> CacheSettings:
    """From `redis://[user:password@]host[:port],host[:port]…[/db][?option=value]`; a node is named by its host and port.

    Raises ValueError.
    """
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    if parts.scheme not in ("redis", "rediss") or not hosts:
        raise ValueError(f"a cache's URL is redis://HOST:PORT,HOST:PORT/DB, not {parts.scheme}://…")
    nodes = {}
    for host in hosts.split(","):
        name = host if ":" in host.rpartition("]")[2] else f"{host}:6379"
        nodes[name] = NodeSettings(urlunsplit((parts.scheme, login + at + host, parts.path, parts.query, "")))
    return CacheSettings(nodes)


def connection_options(options: Mapping[str, Any], retry: type[Any]) -> dict[str, Any]:
    """What redis-py is to make connections with. It repeats nothing by itself: whether a command may be repeated is known here only."""
    return {"health_check_interval": 0, **options, "retry": retry(NoBackoff(), 0), "retry_on_error": [], "retry_on_timeout": False}
