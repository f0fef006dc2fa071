"""Plans of statements on sharded tables, from the analysis of their scopes."""

from __future__ import annotations

from shardproxy.errors import CROSS_SHARD_JOIN, ProxyError
from shardproxy.merge.spec import MergeSpec
from shardproxy.planner.plan import AllOf, KeyRoute, Kind, OneOf, Opcode, Plan, Point, Route
from shardproxy.planner.scopes import Scopes
from shardproxy.planner.template import Template, pieces, template_of
from shardproxy.sql.statement import Statement


def keyed_plan(
    kind: Kind,
    statement: Statement,
    scopes: Scopes,
    template: Template | None,
    *,
    refusal: ProxyError | None,
    scatter: Template | None = None,
    merge: MergeSpec | None = None,
    writes: bool = False,
    locks: bool = False,
    fixed: tuple[int, ...] = (),
    pin: str = "",
    calc_found_rows: bool = False,
) -> Plan:
    """A plan whose shards depend on the sharding keys that the statement names."""
    keys = scopes.key_routes()
    shards = scopes.fixed_shards()
    if len(shards) > 1:
        raise ProxyError(CROSS_SHARD_JOIN, "the tables of this statement live on different shards")
    names = tuple(dict.fromkeys(i.table.name for i in scopes.instances))
    route = Route(
        Opcode.KEYED,
        shards.pop() if shards else "",
        keys,
        _point(statement, keys) if not scopes.fixed_shards() else None,
    )
    split = _list_to_split(statement, keys) if refusal is None and len(scopes.sharded) == 1 else None
    if split is not None and scatter is None:
        scatter = template or template_of(pieces(statement, 0, statement.tokens[-1].end))
    return Plan(
        kind,
        route,
        template,
        scatter,
        merge,
        refusal,
        split,
        writes=writes,
        locks=locks,
        tables=names,
        fixed_slots=fixed,
        offset_slot=offset_slot(statement),
        pin=pin,
        calc_found_rows=calc_found_rows,
    )


def offset_slot(statement: Statement) -> int | None:
    """The literal of the outermost OFFSET, or None."""
    tokens = statement.tokens
    depth = 0
    for i, token in enumerate(tokens):
        depth += (token.text == "(") - (token.text == ")")
        if token.upper == "LIMIT" and not depth and i + 3 < len(tokens):
            second = tokens[i + 2].upper
            number = tokens[i + 1] if second == "," else tokens[i + 3] if second == "OFFSET" else None
            return statement.slots.get(number.start) if number is not None else None
    return None


def _point(statement: Statement, keys: tuple[KeyRoute, ...]) -> Point | None:
    if len(keys) != 1 or not isinstance(keys[0].predicate, OneOf) or len(keys[0].predicate.operands) != 1:
        return None
    operand = keys[0].predicate.operands[0]
    return None if operand.slot in statement.lists else Point(keys[0].placement, operand.slot, operand.negative)


def _list_to_split(statement: Statement, keys: tuple[KeyRoute, ...]) -> int | None:
    """The list behind `key IN (...)` of which each shard needs its own values only, where the key has just that condition."""
    predicate = keys[0].predicate if len(keys) == 1 else None
    parts = predicate.parts if isinstance(predicate, AllOf) else (predicate,)
    lists = [p.operands[0].slot for p in parts if isinstance(p, OneOf) and p.operands[0].slot in statement.lists]
    return lists[0] if len(lists) == 1 else None
