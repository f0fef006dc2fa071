"""The model of the configuration file. Field descriptions become the JSON Schema in `schemas/`."""

from __future__ import annotations

import datetime as dt
import ipaddress
import itertools
import re
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_validator

# Strict, so that the string "1" stays a string: the bounds of a VARCHAR key are strings whatever they look like.
Bound = Annotated[int, Strict()] | Annotated[dt.datetime, Strict()] | Annotated[dt.date, Strict()] | Annotated[str, Strict()]
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]{0,63}")


class Section(BaseModel):
    """A table of the file: unknown keys are faults, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


class Address(Section):
    """An address to listen on."""

    host: str
    port: int = Field(ge=0, le=65535)

    @staticmethod
    def parse(text: str) -> Address:
        """Read `host:port`."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{text!r} is not host:port")
        return Address(host=host.strip("[]") or "0.0.0.0", port=int(port))


# What a read may see, the strictest first: nothing but the primary; all writes of this proxy's clients; its session's own writes; what
# is at most so old; whatever there is.
ReadMode = Literal["primary", "global", "session", "bounded", "eventual"]
MODES: tuple[ReadMode, ...] = ("primary", "global", "session", "bounded", "eventual")


class ServerUrl(Section):
    """Where a database server is: `mysql://user:password@host:port/schema` or `sqlite:///path`."""

    scheme: Literal["mysql", "sqlite"]
    host: str = "127.0.0.1"
    port: int = 3306
    user: str = ""
    password: str = Field(default="", repr=False)
    schema_name: str = ""
    path: str = ""

    @staticmethod
    def parse(text: str) -> ServerUrl:
        """Read a server's URL; the path names the schema on that server (or the file of a SQLite database)."""
        parts = urlsplit(text)
        if parts.scheme == "sqlite":
            if not text.startswith("sqlite:///") or len(parts.path) < 2:
                raise ValueError("a SQLite URL is sqlite:///path/to/file")
            return ServerUrl(scheme="sqlite", path=text[len("sqlite:///") :], schema_name="main")
        if parts.scheme not in ("mysql", "mariadb"):
            raise ValueError(f"scheme {parts.scheme or 'missing'!r} is not known; use mysql:// or sqlite:///")
        schema = unquote(parts.path.lstrip("/"))
        if not parts.hostname or not schema or "/" in schema or not parts.username:
            raise ValueError("a server's URL is mysql://user:password@host:port/schema")
        return ServerUrl(
            scheme="mysql",
            host=parts.hostname,
            port=parts.port or 3306,
            user=unquote(parts.username),
            password=unquote(parts.password or ""),
            schema_name=schema,
        )

    @property
    def label(self) -> str:
        """The server without its secrets, for logs and metrics."""
        return f"sqlite:{self.path}" if self.scheme == "sqlite" else f"{self.host}:{self.port}/{self.schema_name}"


class ProxySettings(Section):
    """`[proxy]`: the endpoint."""

    listen: str = Field("127.0.0.1:6033", description="host:port of the MySQL protocol")
    socket: str | None = Field(None, description="a Unix socket to listen on as well; relative to this file")
    socket_mode: str = Field("0666", description="permissions of the socket's file, octal: who may write to it may connect")
    proxy_protocol_networks: tuple[str, ...] = Field(
        (), description="load balancers that may say by a PROXY header, version 1 or 2, where a client is: networks, as 10.0.0.0/8"
    )
    admin: str = Field("127.0.0.1:6080", description="host:port of HTTP: /healthz /readyz /metrics /api")
    admin_token: str | None = Field(
        None,
        repr=False,
        description="what changes over the admin port need, or env:NAME; default: to come from this machine",
    )
    workers: int = Field(1, ge=0, le=64, description="processes on the one port; 0: one for each core. Limits count for each of them")
    schema_name: str = Field("app", alias="schema", description="the logical schema that clients see")
    default_shard: str | None = Field(None, description="where tables that no rule names live; default: the first shard")
    open_schemas: str | None = Field(
        None, description="a shard whose server's other schemas clients may use, create and drop, each under its own name"
    )
    version: str | None = Field(None, description="what the greeting and VERSION() say; default: what the default shard's server says")
    local_infile: bool = Field(True, description="whether clients may load a file of theirs with LOAD DATA LOCAL INFILE")
    reads: ReadMode = Field("session", description="what reads from replicas may see, unless a user, a table or a session says otherwise")
    max_lag_ms: int = Field(1000, ge=1, description="how old what `bounded` reads see may be")
    store: str = Field(
        "sqlite:///topology.db",
        description="where the topology is kept: sqlite:///path, relative to this file, or etcd://host:2379,host:2379/prefix",
    )
    auth_plugin: Literal["mysql_native_password", "caching_sha2_password"] = Field(
        "mysql_native_password", description="what the greeting offers; a client that uses the other one is served too"
    )
    compression: tuple[Literal["zlib", "zstd"], ...] = Field(
        ("zlib", "zstd"), description="what clients may ask for; zstd only where the package zstandard is installed"
    )
    tls: TlsSettings | None = Field(None, description="certificate for clients; without it the port speaks plain text only")

    @field_validator("listen", "admin")
    @classmethod
    def _address(cls, value: str) -> str:
        Address.parse(value)
        return value

    @field_validator("socket")
    @classmethod
    def _socket(cls, value: str | None) -> str | None:
        if value is not None and (not value or "\0" in value):
            raise ValueError("a socket needs a path")
        return value

    @field_validator("socket_mode")
    @classmethod
    def _socket_mode(cls, value: str) -> str:
        if not re.fullmatch(r"0?[0-7]{3}", value):
            raise ValueError('a mode is three octal digits, as in "0660"')
        return value

    @field_validator("proxy_protocol_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ipaddress.ip_network(text)
        return value

    @field_validator("store")
    @classmethod
    def _store(cls, value: str) -> str:
        if not value.startswith(("sqlite:///", "etcd://", "etcds://")):
            raise ValueError("a store is sqlite:///path or etcd://host:port,host:port/prefix")
        return value


class TlsSettings(Section):
    """`[proxy.tls]`: paths are relative to the file."""

    cert: str = Field(description="certificate chain, PEM")
    key: str = Field(description="private key, PEM")


class Limits(Section):
    """`[limits]`: everything is bounded; these are the bounds."""

    max_connections: int = Field(10_000, ge=1, description="client connections; one more gets error 1040")
    max_packet_bytes: int = Field(64 << 20, ge=1 << 16, le=1 << 30, description="largest statement of a client")
    handshake_timeout_s: float = Field(10, gt=0, description="a client that has not logged in by then is closed")
    idle_timeout_s: float = Field(28_800, gt=0, description="a client that sent nothing for so long is closed")
    query_timeout_s: float = Field(300, gt=0, description="a statement that runs longer is stopped with error 1969")
    pool_size: int = Field(64, ge=1, description="connections to one server")
    pool_wait_s: float = Field(5, gt=0, description="how long a statement waits for a connection of the pool")
    pool_queue: int = Field(10_000, ge=0, description="statements that may wait for one server")
    pool_idle_s: float = Field(300, gt=0, description="a pooled connection unused for so long is closed")
    connect_timeout_s: float = Field(3, gt=0, description="time limit for connecting to a server and logging in")
    health_interval_s: float = Field(0.5, gt=0, description="time between two checks of a server")
    health_fast_interval_s: float = Field(0.1, gt=0, description="the same once one has failed")
    health_timeout_s: float = Field(0.6, gt=0, description="a check that takes longer has failed, unless the server answers others")
    health_rise: int = Field(2, ge=1, description="checks in a row that bring a server back")
    health_fall: int = Field(2, ge=1, description="failed checks in a row that take a server out")
    merge_rows: int = Field(1_000_000, ge=1, description="rows that one merge may hold in memory")
    merge_bytes: int = Field(256 << 20, ge=1 << 16, description="bytes that one merge may hold in memory")
    plan_cache: int = Field(5_000, ge=1, description="statement shapes kept planned")
    connection_statements: int = Field(128, ge=1, description="statements kept prepared on one connection to a server")
    session_statements: int = Field(16_382, ge=1, description="statements that one client may have prepared; one more gets error 1461")
    catalog_refresh_s: float = Field(30, gt=0, description="time between two looks at the shards' tables")
    drain_s: float = Field(30, ge=0, description="how long open statements may go on after SIGTERM")


class User(Section):
    """`[users.NAME]`: who may log in."""

    password: str = Field(
        repr=False,
        description="env:NAME, a password, or a stored verifier: *HEX40, $A$005$..., 0x2441..., sha256:HEX64 or ed25519:BASE64",
    )

    schemas: tuple[str, ...] = Field((), description="the schemas the user may choose; default: the logical one and all open ones")
    reads: ReadMode | None = Field(None, description="what the user's reads from replicas may see; default: the proxy's")
    max_lag_ms: int | None = Field(None, ge=1, description="how old what the user's `bounded` reads see may be")
    administer: bool = Field(
        False,
        description="whether the user may administer the server where a whole schema lives: FLUSH, SET GLOBAL, accounts, its own"
        " schemas and files, as far as the shard's own account may",
    )
    settings: dict[str, int | str] = Field({}, description="session variables that the user's sessions begin with, as sql_mode")

    @field_validator("settings")
    @classmethod
    def _settings(cls, value: dict[str, int | str]) -> dict[str, int | str]:
        for name in value:
            if not re.fullmatch("[a-z][a-z0-9_]*", name):
                raise ValueError(f"{name!r} is no name of a session variable")
        return value


class Replica(Section):
    """A replica of a shard."""

    url: str
    weight: float = Field(1, ge=0, description="its share of the reads; 0: none")


class Shard(Section):
    """`[shards.NAME]`: one primary and its replicas."""

    primary: str = Field(description="mysql://user:password@host:port/schema, sqlite:///path, or env:NAME that holds one")
    replicas: tuple[str | Replica, ...] = Field((), description="servers that replicate it; plain reads go there")
    balance: Literal[
        "round_robin", "weighted_round_robin", "random", "weighted_random", "hash", "consistent_hash",
        "least_connections", "fastest", "reported",
    ] = Field("least_connections", description="how a replica is chosen for a read")  # fmt: skip
    balance_by: Literal["client", "key"] = Field("client", description="hash kinds only: what is hashed, the client's address or the key")
    report: str | None = Field(None, description="a query, or the URL of an agent, that gives a server's weight for `reported`")
    warm_up_s: float = Field(5, ge=0, description="time in which a replica that returns comes back to its full weight")
    max_replica_lag_s: float = Field(10, gt=0, description="a replica further behind is not read, unless all are")
    catch_up_ms: int = Field(20, ge=0, description="how long a read may wait for a replica to have its session's writes")
    write_wait_s: float = Field(5, ge=0, description="how long statements wait while the shard has no primary")
    control: str | None = Field(
        None, repr=False, description="user:password, or env:NAME that holds it, of an account that may promote and fence the servers"
    )
    weight: float = Field(1, gt=0, description="share of the buckets, relative to the other shards")


class Range(Section):
    """One half-open range `[from, to)`. `from` defaults to the end of the range before; the last may leave `to` out."""

    start: Bound | None = Field(None, alias="from")
    to: Bound | None = None
    shard: str


class Table(Section):
    """`[tables.NAME]`: how one table is spread."""

    by: Literal["range", "hash", "reference", "unsharded"]
    key: str | None = Field(None, description="the column that places a row (range, hash)")
    ranges: tuple[Range, ...] = Field((), description="range only: who owns what")
    group: str | None = Field(None, description="tables of one group share one partition map, so equal keys live together")
    shard: str | None = Field(None, description="unsharded only: where the table lives; default: the default shard")
    reads: ReadMode | None = Field(None, description="reads of this table are at least so strict, whoever asks")
    local_unique: tuple[str, ...] = Field(
        (), description="unique keys without the sharding key that you accept as unique within each shard only"
    )

    @model_validator(mode="after")
    def _fits(self) -> Table:
        sharded = self.by in ("range", "hash")
        faults = []
        if sharded != (self.key is not None):
            faults.append("'key' is needed for range and hash, and for them only")
        if self.ranges and self.by != "range":
            faults.append("'ranges' are for range tables only")
        if self.by == "range" and not self.ranges and not self.group:
            faults.append("a range table needs 'ranges', or the 'group' of a table that has them")
        if self.shard and self.by != "unsharded":
            faults.append("'shard' is for unsharded tables only")
        if self.group and not sharded:
            faults.append("'group' is for range and hash tables only")
        faults += _range_faults(self.ranges)
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _range_faults(ranges: tuple[Range, ...]) -> list[str]:
    """Gaps, overlaps and open ends in the middle."""
    faults = []
    for before, after in itertools.pairwise(ranges):
        if before.to is None:
            faults.append("only the last range may leave 'to' out")
        elif after.start is not None and after.start != before.to:
            faults.append(f"there is a gap or an overlap between {before.to!r} and {after.start!r}")
    edges = [edge for edge in (*(r.start for r in ranges[:1]), *(r.to for r in ranges)) if edge is not None]
    kinds = {str if isinstance(edge, str) else type(edge) for edge in edges}
    if len(kinds) > 1:
        faults.append("the bounds are of different types")
    elif any(not a < b for a, b in itertools.pairwise(edges)):  # type: ignore[operator]
        faults.append("the bounds must grow from range to range")
    return faults


class CacheNode(Section):
    """A node of a cache, where more than its URL is to be said."""

    url: str = Field(description="redis://user:password@host:port/db, rediss://, unix://, or env:NAME that holds one")
    weight: float = Field(1, gt=0, description="share of the slots, relative to the other nodes")


class Cache(Section):
    """`[caches.NAME]`: Redis servers that Python programs use as one, through `shardproxy.cache`."""

    nodes: dict[str, str | CacheNode] = Field(
        min_length=1, description="the servers, by names that place the keys: a URL, or a table with url and weight"
    )


class Config(Section):
    """The whole file."""

    proxy: ProxySettings = Field(default_factory=lambda: ProxySettings.model_validate({}))
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({}))
    users: dict[str, User] = Field(default_factory=dict)
    shards: dict[str, Shard] = Field(min_length=1)
    tables: dict[str, Table] = Field(default_factory=dict)
    caches: dict[str, Cache] = Field(default_factory=dict, description="cache tiers; read by the cache client only")

    @property
    def default_shard(self) -> str:
        """The shard of tables that no rule names."""
        return self.proxy.default_shard or next(iter(self.shards))

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        faults = [f"shards.{name}: a name is a letter, then letters, digits, _ or -" for name in self.shards if not NAME.fullmatch(name)]
        if self.default_shard not in self.shards:
            faults.append(f"proxy.default_shard: shard {self.default_shard!r} is not in [shards]")
        if self.proxy.open_schemas is not None and self.proxy.open_schemas not in self.shards:
            faults.append(f"proxy.open_schemas: shard {self.proxy.open_schemas!r} is not in [shards]")
        if not self.users:
            faults.append("users: at least one [users.NAME] is needed, or nobody can log in")
        for name, table in self.tables.items():
            if not (name + (table.key or "")).isascii():
                faults.append(f"tables.{name}: names of tables and sharding keys are ASCII")
            named = [r.shard for r in table.ranges] + ([table.shard] if table.shard else [])
            faults += [f"tables.{name}: shard {shard!r} is not in [shards]" for shard in named if shard not in self.shards]
        faults += self._group_faults()
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _group_faults(self) -> list[str]:
        """Tables of one group must be of one kind, and its range map must be the same wherever it is written."""
        faults = []
        for name, table in self.tables.items():
            for other_name, other in self.tables.items():
                if other_name <= name or not table.key or not other.key or group_of(name, table) != group_of(other_name, other):
                    continue
                if table.by != other.by:
                    faults.append(f"tables.{name} and tables.{other_name} share a group but are sharded in different ways")
                elif table.ranges and other.ranges and table.ranges != other.ranges:
                    faults.append(f"tables.{name} and tables.{other_name} share a group but have different ranges")
        range_groups = {group_of(n, t) for n, t in self.tables.items() if t.ranges}
        for name, table in self.tables.items():
            if table.by == "range" and group_of(name, table) not in range_groups:
                faults.append(f"tables.{name}: no table of group {table.group!r} has 'ranges'")
        return faults


def group_of(name: str, table: Table) -> str:
    """The group of a sharded table: hash tables share "default", a range table stands alone unless it names one."""
    return table.group or ("default" if table.by == "hash" else name)


ProxySettings.model_rebuild()
