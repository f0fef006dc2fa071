"""What must be true before a move begins, and the tables that the target needs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from migrate.binlog.errors import LayoutMismatch
from migrate.binlog.layout import read_layouts
from migrate.binlog.source import preflight as log_faults
from migrate.errors import MoveRefused
from migrate.grants import missing_rights
from migrate.job import Job
from migrate.node import FENCE, NO_TABLE_ERRNO, Node
from migrate.tables import Described, MovedTable, describe, moved_table, name_sql, read_texts
from shardproxy.backends.engine import Connection
from shardproxy.errors import ServerError
from shardproxy.topology.rebalance_apply import owns
from shardproxy.topology.share import Share
from shardproxy.topology.topology import Topology

_AUTO_INCREMENT = re.compile(r" AUTO_INCREMENT=\d+")
_FOREIGN_KEYS = """
SELECT r.TABLE_NAME, r.CONSTRAINT_NAME, r.REFERENCED_TABLE_NAME, r.DELETE_RULE, r.UPDATE_RULE
FROM information_schema.REFERENTIAL_CONSTRAINTS r WHERE r.CONSTRAINT_SCHEMA = DATABASE()"""
_TRIGGERS = """
SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS
WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME NOT LIKE '\\_sp\\_%'"""


def moving_tables(topology: Topology, group: str, *, joins: bool) -> list[str]:
    """The tables that a move of this group carries; with `joins` the reference tables."""
    rules = topology.rules.values()
    return sorted(rule.name for rule in rules if (rule.scheme.copied if joins else rule.scheme.sharded and rule.group == group))


async def tables_on(node: Node, topology: Topology, group: str, share: Share, *, joins: bool) -> list[MovedTable]:
    """The move's tables as a node has them. Raises `MoveRefused` with every reason why one cannot be moved."""
    async with node.session() as session:
        found = await describe(session)
    tables: list[MovedTable] = []
    reasons = []
    for name in moving_tables(topology, group, joins=joins):
        if name not in found:
            reasons.append(f"table {name} is not on shard {node.shard}")
            continue
        table = moved_table(topology.rule(name), found[name], share)
        if isinstance(table, str):
            reasons.append(table)
        else:
            tables.append(table)
    if reasons:
        raise MoveRefused(reasons)
    return tables


async def preflight(job: Job) -> list[str]:
    """Look at both ends; gives what an operator should know. Raises `MoveRefused` with everything that forbids the move."""
    names = [table.name for table in job.tables]
    async with job.source.session() as source, job.target.session() as target:
        # Where the log cannot be read, triggers write down what changes; that costs each write to the share about as much again.
        unread = await log_faults(source)
        job.progress.outbox = bool(unread)
        reasons = await _family(source, target)
        reasons += await _engines(source, names)
        reasons += [] if job.progress.outbox else await _readable(source, job)
        reasons += await foreign_keys(source, names)
        reasons += await triggers(source, names, job.source.shard)
        reasons += await triggers(target, names, job.target.shard)
        reasons += _differences(await describe(source), await describe(target), names, job.target.shard)
        for session, node in ((source, job.source), (target, job.target)):
            reasons += await missing_rights(session, node.engine.schema, node.shard)
    if reasons:
        raise MoveRefused(reasons)
    shard = job.source.shard
    return [f"{shard}: triggers write down what changes, at a cost to writers, as the log cannot be read: {fault}" for fault in unread]


async def _family(source: Connection, target: Connection) -> list[str]:
    versions = [(await read_texts(session, "SELECT VERSION()"))[0][0] for session in (source, target)]
    maria = ["mariadb" in version.lower() for version in versions]
    return [f"rows move between servers of one kind only, not from {versions[0]} to {versions[1]}"] if maria[0] != maria[1] else []


async def _engines(session: Connection, names: list[str]) -> list[str]:
    """Fences and comparisons rest on transactions, and the order of commits on the log's."""
    sql = "SELECT TABLE_NAME, ENGINE, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
    found = [row for row in await read_texts(session, sql) if row[0] in names]
    reasons = [f"table {name} is of engine {engine}; only InnoDB tables are moved" for name, engine, _ in found if engine != "InnoDB"]
    reasons += [f"table {name} is system-versioned: its history would stay behind" for name, _, kind in found if kind == "SYSTEM VERSIONED"]
    try:
        ordered = (await read_texts(session, "SELECT @@binlog_order_commits"))[0][0]
    except ServerError:
        # MariaDB knows no other way.
        return reasons
    return reasons if ordered in ("1", "ON") else [*reasons, "binlog_order_commits is OFF: what the log says may not be visible yet"]


async def _readable(session: Connection, job: Job) -> list[str]:
    """Whether the log tells the keys of the tables' rows."""
    keys = {table.name: [*table.key, *([table.sharding_key] if table.sharding_key else [])] for table in job.tables}
    try:
        await read_layouts(session, job.source.engine.schema, list(keys), keys)
    except LayoutMismatch as error:
        return [str(error)]
    return []


async def foreign_keys(session: Connection, names: list[str]) -> list[str]:
    """Why tables cannot be moved with their foreign keys: rows that a key changes are not in every server's log."""
    reasons = []
    for table, key, referenced, on_delete, on_update in await read_texts(session, _FOREIGN_KEYS):
        if table not in names and referenced not in names:
            continue
        if {on_delete, on_update} & {"CASCADE", "SET NULL", "SET DEFAULT"}:
            reasons.append(f"foreign key {key} of table {table} changes rows by itself, which the binary log does not tell")
        elif (table in names) != (referenced in names):
            reasons.append(f"foreign key {key} ties table {table} to {referenced}, which does not move with it")
    return reasons


async def triggers(session: Connection, names: list[str], shard: str) -> list[str]:
    """Why tables cannot be moved with their triggers."""
    found = await read_texts(session, _TRIGGERS)
    return [f"table {table} on {shard} has a trigger, {name}, which would act twice" for table, name in found if table in names]


def _differences(source: dict[str, Described], target: dict[str, Described], names: list[str], shard: str) -> list[str]:
    return [
        f"table {name} is not declared on {shard} as it is on the source"
        for name in names
        if name in target and target[name].columns != source[name].columns
    ]


async def make_tables(job: Job, topology: Topology) -> None:
    """Make on the target what is missing there: the moved tables, and for a shard that joins all that shards have."""
    wanted = [rule.name for rule in topology.rules.values() if rule.scheme.sharded or rule.scheme.copied]
    names = sorted(wanted) if job.move.joins else [table.name for table in job.tables]
    async with job.source.session() as source, job.target.session() as target:
        await make_missing(source, target, names)


async def make_missing(source: Connection, target: Connection, names: Sequence[str]) -> None:
    """Make tables of the source on the target, empty, where it has them not."""
    there = await describe(target)
    here = await describe(source)
    for name in names:
        if name not in there and name in here:
            created = (await read_texts(source, f"SHOW CREATE TABLE {name_sql(name)}"))[0][1]
            await target.query(_AUTO_INCREMENT.sub("", created).encode())


async def check_place(job: Job) -> None:
    """The source must own the share, and the target have nothing of it: rows that somebody has put there would be taken away.

    Raises `MoveRefused`.
    """
    move = job.move
    stored = await job.board.load()
    if not move.joins and not owns(stored.hash_maps, stored.range_maps, move.group, move.source, move.share):
        raise MoveRefused([f"{move.source} does not own the whole share"])
    reasons = []
    async with job.target.session() as session:
        for table in job.tables:
            try:
                found = await read_texts(session, f"SELECT 1 FROM {table.sql} WHERE {table.condition} LIMIT 1")
            except ServerError as error:
                if error.errno != NO_TABLE_ERRNO:
                    raise
                continue
            if found:
                what = "it is not empty" if move.joins else "rows lie there that it does not own (`shardctl verify` counts them)"
                reasons.append(f"table {table.name} on {move.target}: {what}; move them out of the way by hand")
    for node in (job.source, job.target):
        if await node.has_fence(move.id):
            text = f"shard {node.shard} has a fence of a move {move.id} that this store does not know: drop its table `{FENCE}`"
            reasons.append(f"{text} if the store of that move is gone")
    if reasons:
        raise MoveRefused(reasons)
    job.empty = True
