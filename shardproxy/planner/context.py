"""What planning may look at: one topology snapshot and one catalog, bound together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shardproxy.config.model import ReadMode
from shardproxy.errors import (
    CATALOG_MISSING,
    NO_DATABASE,
    TABLE_UNUSABLE,
    UNKNOWN_DATABASE,
    UNKNOWN_TABLE,
    ProxyError,
)
from shardproxy.planner.strays import StrayRows
from shardproxy.planner.words import HARMLESS_FUNCTIONS
from shardproxy.sql.lexer import Token, function_names
from shardproxy.topology.catalog import Catalog, TableSchema
from shardproxy.topology.keys import key_type_for
from shardproxy.topology.placement import HashPlacement, Placement, range_placement
from shardproxy.topology.topology import Scheme, TableRule, Topology

SYSTEM_SCHEMAS = frozenset(("information_schema", "performance_schema", "mysql", "sys"))


@dataclass(frozen=True, slots=True)
class ResolvedTable:
    """A table of a statement: its rule, its schema where it is known, and its placement where it is sharded."""

    name: str
    rule: TableRule
    schema: TableSchema | None
    placement: Placement | None

    @property
    def sharded(self) -> bool:
        """Whether each row lives on the one shard that its key names."""
        return self.rule.scheme.sharded


@dataclass(frozen=True, slots=True)
class WholeSchema:
    """Such a schema, by the name that clients know it by, and its shard. `verbatim`: its server knows it by the same name.

    `leaky`: it has triggers or functions that set user variables or take locks, which a write may leave on its connection.
    `foreign` are, in lower case, the schemas of that server that hold a part of sharded tables: naming them would give a part of
    the rows. `may_create` says that clients may create and drop schemas on that server. `reads` has the tables that ask for a mode of
    reading.
    """

    name: str
    shard: str
    foreign: frozenset[str] = frozenset()
    routines: frozenset[str] | None = None
    may_create: bool = False
    verbatim: bool = True
    leaky: bool = False
    reads: Mapping[str, ReadMode] = field(default_factory=dict)

    def may_write(self, tokens: list[Token]) -> bool:
        """Whether a query calls a stored function, as far as they are known."""
        called = {name.lower() for name in function_names(tokens)}
        return bool(called & self.routines) if self.routines is not None else bool(called - HARMLESS_FUNCTIONS)


@dataclass(frozen=True, slots=True)
class Servers:
    """What planning must know of the shards' servers: by shard the schema there (MySQL and MariaDB only) and the server's address.
    `open_shard` is the one whose server's other schemas clients may use; `leaky` are the schemas with triggers or functions that set
    user variables or take locks."""

    schemas: Mapping[str, str]
    addresses: Mapping[str, str]
    open_shard: str = ""
    leaky: frozenset[str] = frozenset()

    def on(self, shard: str) -> frozenset[str]:
        """The shards' schemas that are on this shard's server, in lower case."""
        address = self.addresses.get(shard)
        return frozenset(self.schemas[name].lower() for name, other in self.addresses.items() if other == address and name in self.schemas)


NO_SERVERS = Servers({}, {})


@dataclass(frozen=True, slots=True)
class PlanContext:
    """Everything a plan depends on besides its statement. `logical_schema` is the one schema that clients see."""

    topology: Topology
    catalog: Catalog
    placements: Mapping[str, Placement]
    problems: Mapping[str, str]
    logical_schema: str
    # Set where the logical schema lives on one server as a whole, under the same name.
    whole: WholeSchema | None = None
    # Set where clients may use the other schemas of one server.
    open: WholeSchema | None = None
    strays: StrayRows = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "strays", StrayRows(self.topology))

    def resolve(self, name: str, schema: str = "", *, selected: bool = True) -> ResolvedTable:
        """The table that a statement names; raises `ProxyError` where it does not exist or cannot be served."""
        if schema and schema != self.logical_schema:
            raise ProxyError(UNKNOWN_DATABASE, f"Unknown database '{schema}'", plain=True)
        if not schema and not selected:
            raise ProxyError(NO_DATABASE, "No database selected", plain=True)
        rule = self.topology.rule(name)
        table = self.catalog.tables.get(name)
        if table is None:
            self.check_case(name)
        if rule.scheme.sharded or rule.scheme is Scheme.REFERENCE:
            problem = self.problems.get(name)
            if problem:
                raise ProxyError(TABLE_UNUSABLE, f"table '{name}' cannot be served: {problem}; see `shardproxy check`")
            if table is None:
                if self.catalog.unread_shards:
                    raise ProxyError(CATALOG_MISSING, f"the schema of table '{name}' has not been read yet: a shard is away")
                raise ProxyError(UNKNOWN_TABLE, f"Table '{self.logical_schema}.{name}' doesn't exist", plain=True)
        elif table is not None and table.definition is not None:
            problem = self.problems.get(name)
            if problem:
                raise ProxyError(TABLE_UNUSABLE, f"view '{name}' cannot be served: {problem}")
        return ResolvedTable(name, rule, table, self.placements.get(name))

    def check_case(self, name: str) -> None:
        """Refuse a name that differs from a table of the config in case only.

        On a server that ignores case it would be that table, and one shard would answer for all.
        """
        rules = self.topology.rules
        if name not in rules and name.lower() in (rule.lower() for rule in rules):
            raise ProxyError(UNKNOWN_TABLE, f"Table '{self.logical_schema}.{name}' doesn't exist", plain=True)


def build_context(topology: Topology, catalog: Catalog, logical_schema: str, servers: Servers = NO_SERVERS) -> PlanContext:
    """Bind every sharded table to its partition map; what does not fit becomes a problem of that table."""
    placements: dict[str, Placement] = {}
    problems = dict(catalog.problems)
    for name, rule in topology.rules.items():
        table = catalog.tables.get(name)
        if not rule.scheme.sharded or table is None or name in problems:
            continue
        column = table.column(rule.key)
        if column is None:
            problems[name] = f"the sharding key '{rule.key}' is not a column of it"
            continue
        key_type = key_type_for(column)
        if isinstance(key_type, str):
            problems[name] = f"sharding key '{rule.key}': {key_type}"
            continue
        if column.nullable:
            problems[name] = f"sharding key '{rule.key}' can be NULL; declare it NOT NULL"
            continue
        if rule.scheme is Scheme.HASH:
            placements[name] = HashPlacement(key_type, topology.hash_maps[rule.group])
            continue
        try:
            placements[name] = range_placement(key_type, topology.range_maps[rule.group])
        except ValueError as error:
            problems[name] = f"the ranges do not fit sharding key '{rule.key}': {error}"
    whole = _whole(topology, catalog, logical_schema, servers)
    opened = None
    if servers.open_shard:
        foreign = frozenset() if whole else servers.on(servers.open_shard)
        opened = WholeSchema("", servers.open_shard, foreign, may_create=True)
    return PlanContext(topology, catalog, placements, problems, logical_schema, whole, opened)


def _whole(topology: Topology, catalog: Catalog, logical_schema: str, servers: Servers) -> WholeSchema | None:
    """The logical schema, if nothing of it is spread and its one server knows it by the same name."""
    default = topology.default_shard
    spread = any(rule.scheme is not Scheme.UNSHARDED or rule.shard not in ("", default) for rule in topology.rules.values())
    physical = servers.schemas.get(default)
    if spread or physical is None or catalog.unread_shards:
        return None
    return WholeSchema(
        logical_schema,
        default,
        routines=catalog.routines,
        may_create=servers.open_shard == default,
        verbatim=physical == logical_schema,
        leaky=physical in servers.leaky,
        reads={name: rule.reads for name, rule in topology.rules.items() if rule.reads is not None},
    )
