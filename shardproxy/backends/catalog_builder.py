"""From what each shard says of its tables to one catalog, and to what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shardproxy.backends.engine import ShardSchema
from shardproxy.topology.catalog import Catalog, Column, TableSchema, UniqueKey
from shardproxy.topology.keys import key_type_for
from shardproxy.topology.topology import Scheme, TableRule, Topology

_NAME = re.compile(r"[\w$]+")
_LEXING_MODES = ("ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT", "IGNORE_SPACE", "HIGH_NOT_PRECEDENCE")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit. An error keeps the table (or, without one, a shard) from being served."""

    severity: str
    table: str
    text: str
    advice: str = ""


def build_catalog(topology: Topology, schemas: Mapping[str, ShardSchema], version: int) -> tuple[Catalog, list[Finding]]:
    """The catalog of all shards that could be read, and every finding."""
    tables_of = {shard: _tables(schema) for shard, schema in schemas.items()}
    findings: list[Finding] = []
    tables: dict[str, TableSchema] = {}
    homes: dict[str, tuple[str, ...]] = {}
    for name, rule in topology.rules.items():
        found = list(_inspect_rule(rule, topology, tables_of))
        findings += found
        wanted = (rule.shard,) if rule.scheme is Scheme.UNSHARDED else topology.shards
        holders = [shard for shard in wanted if name in tables_of.get(shard, {})]
        if holders:
            tables[name] = tables_of[holders[0]][name]
            homes[name] = tuple(holders)
    default = tables_of.get(topology.default_shard, {})
    spread = {name for name, rule in topology.rules.items() if rule.scheme.sharded}
    for name, table in default.items():
        if name not in topology.rules:
            tables[name] = table
            homes[name] = (topology.default_shard,)
            findings += _inspect_view(table, spread)
    findings += _strays(topology, tables_of)
    findings += _server_findings(schemas)
    problems: dict[str, str] = {}
    for finding in findings:
        if finding.severity == "error" and finding.table:
            problems.setdefault(finding.table, finding.text)
    first = next(iter(schemas.values()), None)
    collations = {name: weight for schema in schemas.values() for name, weight in schema.collations.items()}
    catalog = Catalog(
        version=version,
        tables=MappingProxyType(tables),
        homes=MappingProxyType(homes),
        collations=MappingProxyType(collations),
        routines=frozenset(name.lower() for schema in schemas.values() for name in schema.routines),
        problems=MappingProxyType(problems),
        flavour=first.flavour if first else "mariadb",
        server_version=first.server_version if first else "10.11.0-MariaDB",
        unread_shards=tuple(shard for shard in topology.shards if shard not in schemas),
    )
    return catalog, findings


def _tables(schema: ShardSchema) -> dict[str, TableSchema]:
    columns: dict[str, list[Column]] = {}
    for row in schema.columns:
        columns.setdefault(row[0] or "", []).append(_column(row))
    keys: dict[tuple[str, str], list[str]] = {}
    for table, index, column in schema.unique_keys:
        keys.setdefault((table or "", index or ""), []).append(column or "")
    views = {name: definition or "" for name, definition in schema.views}
    return {
        name: TableSchema(
            name,
            tuple(listed),
            tuple(UniqueKey(index, tuple(members)) for (table, index), members in keys.items() if table == name),
            views.get(name),
        )
        for name, listed in columns.items()
    }


def _column(row: tuple[str | None, ...]) -> Column:
    (
        _,
        name,
        data_type,
        column_type,
        nullable,
        charset,
        collation,
        max_chars,
        scale,
        precision,
        extra,
        default,
        generation,
    ) = row
    return Column(
        name=name or "",
        data_type=(data_type or "").lower(),
        column_type=column_type or "",
        nullable=nullable == "YES",
        charset=charset,
        collation=collation,
        max_chars=int(max_chars or 0),
        decimals=int(scale or precision or 0),
        auto_increment="auto_increment" in (extra or "").lower(),
        generated=bool(generation),
        has_default=default is not None or nullable == "YES",
    )


def _inspect_rule(rule: TableRule, topology: Topology, tables_of: Mapping[str, Mapping[str, TableSchema]]) -> Iterator[Finding]:
    """A table of the config against what the shards have."""
    wanted = (rule.shard,) if rule.scheme is Scheme.UNSHARDED else topology.shards
    read = [shard for shard in wanted if shard in tables_of]
    missing = [shard for shard in read if rule.name not in tables_of[shard]]
    if missing:
        yield Finding(
            "error",
            rule.name,
            f"it does not exist on shard {', '.join(missing)}",
            "create it there, or run CREATE TABLE through the proxy, which creates it on every shard",
        )
    present = [shard for shard in read if rule.name in tables_of[shard]]
    if not present:
        return
    first = tables_of[present[0]][rule.name]
    for shard in present[1:]:
        difference = _difference(first, tables_of[shard][rule.name])
        if difference:
            yield Finding(
                "error",
                rule.name,
                f"its columns differ between {present[0]} and {shard}: {difference}",
                "bring them in line with ALTER TABLE",
            )
    if rule.scheme.sharded:
        yield from _inspect_key(rule, first)


def _inspect_key(rule: TableRule, table: TableSchema) -> Iterator[Finding]:
    column = table.column(rule.key)
    if column is None:
        yield Finding("error", rule.name, f"the sharding key '{rule.key}' is not a column of it", "correct 'key' in the config")
        return
    key_type = key_type_for(column)
    if isinstance(key_type, str):
        reason, _, advice = key_type.partition("; use ")
        yield Finding(
            "error", rule.name, f"sharding key '{rule.key}': {reason}", f"use {advice}".replace("TABLE ...", f"TABLE {rule.name}")
        )
    elif getattr(key_type, "padded", False):
        yield Finding(
            "note",
            rule.name,
            f"sharding key '{rule.key}' ignores trailing spaces (collation {column.collation}); so does the placement of its rows",
        )
    if column.nullable:
        yield Finding(
            "error",
            rule.name,
            f"sharding key '{rule.key}' can be NULL",
            f"ALTER TABLE {rule.name} MODIFY {column.name} {column.column_type} NOT NULL",
        )
    for key in table.unique_keys:
        inside = rule.key.lower() in (name.lower() for name in key.columns)
        if not inside and key.name not in rule.local_unique:
            yield Finding(
                "error",
                rule.name,
                f"unique key '{key.name}' ({', '.join(key.columns)}) does not contain the sharding key '{rule.key}', "
                "so it would be unique within each shard only",
                f"add '{rule.key}' to it, or accept that with local_unique = [\"{key.name}\"] in [tables.{rule.name}]",
            )


def _difference(a: TableSchema, b: TableSchema) -> str:
    """The first difference between the columns of two tables, in words."""
    if [c.name for c in a.columns] != [c.name for c in b.columns]:
        only = {c.name for c in a.columns} ^ {c.name for c in b.columns}
        return f"column {', '.join(sorted(only))} is on one side only" if only else "their order is different"
    for left, right in zip(a.columns, b.columns, strict=True):
        if left != right:
            return f"'{left.name}' is {_described(left)} and {_described(right)}"
    if {key.columns for key in a.unique_keys} != {key.columns for key in b.unique_keys}:
        return "their unique keys are different"
    return ""


def _described(column: Column) -> str:
    nullable = "" if column.nullable else " NOT NULL"
    collation = f" COLLATE {column.collation}" if column.collation else ""
    return f"{column.column_type}{collation}{nullable}"


def _inspect_view(table: TableSchema, spread: set[str]) -> Iterator[Finding]:
    if table.definition is not None:
        used = spread & set(_NAME.findall(table.definition))
        if used:
            yield Finding("error", table.name, f"view '{table.name}' reads sharded table '{min(used)}' of one shard only")


def _strays(topology: Topology, tables_of: Mapping[str, Mapping[str, TableSchema]]) -> Iterator[Finding]:
    """Tables that no client can reach."""
    for shard, tables in tables_of.items():
        for name in tables:
            rule = topology.rule(name)
            if rule.scheme is Scheme.UNSHARDED and rule.shard != shard:
                yield Finding(
                    "warning",
                    name,
                    f"it also exists on shard {shard}, where clients do not see it",
                    "name it in [tables] or drop it",
                )


def _server_findings(schemas: Mapping[str, ShardSchema]) -> Iterator[Finding]:
    for shard, schema in schemas.items():
        modes = [mode for mode in _LEXING_MODES if mode in schema.sql_mode.upper().split(",")]
        if modes:
            yield Finding(
                "error",
                "",
                f"shard {shard}: sql_mode {modes[0]} changes what SQL means",
                "take it out of the server's sql_mode",
            )
    flavours = {schema.flavour for schema in schemas.values()}
    if len(flavours) > 1:
        yield Finding("warning", "", "some shards run MySQL and some MariaDB: collations and types may differ")
