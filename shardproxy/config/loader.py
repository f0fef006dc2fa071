"""Reading the configuration file: every fault at once, secrets from the environment, paths relative to the file."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from shardproxy.config.model import Config, ProxySettings, Replica, ServerUrl, Shard, group_of
from shardproxy.config.replication import ReplicaUrl, ShardServers
from shardproxy.errors import ConfigError
from shardproxy.protocol.auth import Verifier, verifier_for
from shardproxy.topology.distribute import distribute
from shardproxy.topology.hashing import BUCKETS
from shardproxy.topology.topology import RangeMap, Scheme, TableRule, Topology

# sockaddr_un holds 108 bytes on Linux, a NUL among them.
MAX_SOCKET_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A valid file with its secrets resolved. `path` is where it was read from."""

    config: Config
    path: Path
    verifiers: dict[str, Verifier]
    primaries: dict[str, ServerUrl]
    # Of the shards that have replicas.
    others: dict[str, ShardServers] = field(default_factory=dict)
    admin_token: str = ""

    def resolve(self, relative: str) -> Path:
        """A path of the file, relative to the file."""
        return (self.path.parent / relative).resolve()


def load_config(path: str | Path) -> LoadedConfig:
    """Read and check a file; raises `ConfigError` with every fault found."""
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"is not TOML: {error}"]) from error
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(str(path), faults_of(error)) from None
    faults: list[str] = []
    verifiers = {}
    for name, user in config.users.items():
        password = resolve_secret(user.password, f"users.{name}.password", faults)
        verifiers[name] = verifier_for(password)
    primaries = {}
    others = {}
    for name, shard in config.shards.items():
        url = _server_url(resolve_secret(shard.primary, f"shards.{name}.primary", faults), f"shards.{name}.primary", faults)
        if url is not None:
            primaries[name] = _absolute(url, path)
        if shard.replicas:
            others[name] = _other_servers(name, shard, url, faults)
    token = resolve_secret(config.proxy.admin_token or "", "proxy.admin_token", faults)
    faults += _file_faults(config.proxy, path.parent)
    if faults:
        raise ConfigError(str(path), faults)
    return LoadedConfig(config, path.resolve(), verifiers, primaries, others, token)


def describe_shard(name: str, section: Shard, path: Path) -> tuple[ServerUrl, ShardServers | None]:
    """Where the servers of a shard are that the file at `path` does not have; raises `ConfigError`."""
    faults: list[str] = []
    url = _server_url(resolve_secret(section.primary, f"shard {name}", faults), f"shard {name}", faults)
    others = _other_servers(name, section, url, faults) if section.replicas else None
    if faults or url is None:
        raise ConfigError(str(path), faults or [f"shard {name}: it has no primary"])
    return _absolute(url, path), others


def _other_servers(name: str, shard: Shard, primary: ServerUrl | None, faults: list[str]) -> ShardServers:
    """The replicas of a shard; one that is no MySQL server, is named twice or calls the schema otherwise is a fault."""
    found = []
    known = {(primary.host, primary.port)} if primary is not None else set()
    for number, item in enumerate(shard.replicas):
        where = f"shards.{name}.replicas[{number}]"
        replica = Replica(url=item) if isinstance(item, str) else item
        url = _server_url(resolve_secret(replica.url, where, faults), where, faults)
        if url is None or primary is None:
            continue
        if url.scheme != "mysql" or primary.scheme != "mysql":
            faults.append(f"{where}: only mysql:// servers have replicas")
        elif (url.host, url.port) in known:
            faults.append(f"{where}: {url.host}:{url.port} is named already")
        elif url.schema_name != primary.schema_name:
            faults.append(f"{where}: replicas have the schema under the primary's name, {primary.schema_name}")
        known.add((url.host, url.port))
        found.append(ReplicaUrl(url, replica.weight))
    control = None
    if shard.control is not None:
        user, colon, password = resolve_secret(shard.control, f"shards.{name}.control", faults).partition(":")
        if not (user and colon):
            faults.append(f"shards.{name}.control: it is user:password")
        control = (user, password)
    return ShardServers(tuple(found), control)


def seed_topology(config: Config) -> Topology:
    """The topology that the file describes: what an empty store is seeded with, as epoch 1."""
    weights = {name: shard.weight for name, shard in config.shards.items()}
    rules = {}
    hash_maps: dict[str, tuple[str, ...]] = {}
    range_maps: dict[str, RangeMap] = {}
    for name, table in config.tables.items():
        scheme = Scheme(table.by)
        group = group_of(name, table) if scheme.sharded else ""
        shard = (table.shard or config.default_shard) if scheme is Scheme.UNSHARDED else ""
        rules[name] = TableRule(name, scheme, table.key or "", group, shard, table.local_unique, table.reads)
        if scheme is Scheme.HASH and group not in hash_maps:
            hash_maps[group] = distribute(weights, BUCKETS)
        elif scheme is Scheme.RANGE and table.ranges:
            range_maps[group] = RangeMap(
                bounds=tuple(r.to for r in table.ranges[:-1]),
                owners=tuple(r.shard for r in table.ranges),
                start=table.ranges[0].start,
                end=table.ranges[-1].to,
            )
    return Topology(1, tuple(config.shards), config.default_shard, rules, hash_maps, range_maps)


def faults_of(error: ValidationError) -> list[str]:
    """The faults that pydantic has found, a line each."""
    faults = []
    for item in error.errors(include_input=False, include_url=False):
        where = ".".join(str(part) for part in item["loc"])
        text = item["msg"].removeprefix("Value error, ")
        faults += [f"{where}: {line}" if where else line for line in text.split("\n")]
    return faults


def _file_faults(settings: ProxySettings, folder: Path) -> list[str]:
    """Files that are not where they should be; paths are relative to `folder`."""
    faults = []
    if settings.tls:
        for key in ("cert", "key"):
            file = folder / getattr(settings.tls, key)
            if not file.is_file():
                faults.append(f"proxy.tls.{key}: {file} does not exist")
    if settings.socket:
        socket = (folder / settings.socket).resolve()
        if len(os.fsencode(socket)) > MAX_SOCKET_PATH_BYTES:
            faults.append(f"proxy.socket: {socket} is longer than {MAX_SOCKET_PATH_BYTES} bytes, the most that the system takes")
        elif not socket.parent.is_dir():
            faults.append(f"proxy.socket: the directory {socket.parent} does not exist")
    return faults


def resolve_secret(value: str, where: str, faults: list[str]) -> str:
    """A value, or that of the environment variable that `env:NAME` names; adds to `faults` where there is none."""
    if not value.startswith("env:"):
        return value
    found = os.environ.get(value[4:])
    if found is None:
        faults.append(f"{where}: the environment variable {value[4:]} is not set")
        return ""
    return found


def _server_url(text: str, where: str, faults: list[str]) -> ServerUrl | None:
    if not text:
        return None
    try:
        return ServerUrl.parse(text)
    except ValueError as error:
        faults.append(f"{where}: {error}")
        return None


def _absolute(url: ServerUrl, path: Path) -> ServerUrl:
    if url.scheme != "sqlite":
        return url
    return url.model_copy(update={"path": str((path.parent / url.path).resolve())})
