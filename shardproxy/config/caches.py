"""The `[caches]` of a config file, read by themselves: a program that uses a cache needs nothing else of the file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from shardproxy.config.loader import faults_of, resolve_secret
from shardproxy.config.model import NAME, Cache, CacheNode
from shardproxy.errors import ConfigError

_CACHES = TypeAdapter(dict[str, Cache])


def load_caches(path: Path) -> dict[str, dict[str, CacheNode]]:
    """The nodes of every cache, by name, secrets resolved; raises `ConfigError` with every fault found."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"is not TOML: {error}"]) from error
    try:
        caches = _CACHES.validate_python(raw.get("caches", {}))
    except ValidationError as error:
        raise ConfigError(str(path), [f"caches.{fault}" for fault in faults_of(error)]) from None
    faults: list[str] = []
    found = {name: _nodes(f"caches.{name}", cache, faults) for name, cache in caches.items()}
    if faults:
        raise ConfigError(str(path), faults)
    return found


def _nodes(where: str, cache: Cache, faults: list[str]) -> dict[str, CacheNode]:
    nodes = {}
    for name, item in cache.nodes.items():
        if not NAME.fullmatch(name):
            faults.append(f"{where}.nodes.{name}: a name is a letter, then letters, digits, _ or -")
        node = CacheNode(url=item) if isinstance(item, str) else item
        url = resolve_secret(node.url, f"{where}.nodes.{name}", faults)
        if not url.startswith(("redis://", "rediss://", "unix://")):
            faults.append(f"{where}.nodes.{name}: the URL begins with redis://, rediss:// or unix://")
        nodes[name] = CacheNode(url=url, weight=node.weight)
    return nodes
