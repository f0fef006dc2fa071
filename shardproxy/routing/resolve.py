"""The shards of a statement: its route, evaluated for its literals."""

from __future__ import annotations

from shardproxy.planner.context import PlanContext
from shardproxy.planner.plan import AllOf, AnyOf, KeyRoute, OneOf, Opcode, Operand, Predicate, Route, Within
from shardproxy.sql.fingerprint import list_items
from shardproxy.topology.keys import Key, Unprovable, is_string
from shardproxy.topology.placement import Placement

# A longer list goes to all shards as it is: finding out which it concerns would hold up other clients.
MAX_LIST_BYTES = 128 * 1024


def resolve(route: Route, context: PlanContext, literals: list[bytes], codec: str) -> tuple[str, ...]:
    """The shards that a statement must reach, in a fixed order; empty where any one will do."""
    if route.opcode is Opcode.FIXED:
        return (route.shard,)
    if route.opcode is Opcode.ANY:
        return ()
    if route.opcode is Opcode.EVERY:
        return context.topology.shards
    if route.point is not None:
        placement = route.point.placement
        key = key_of(placement, literals[route.point.slot], route.point.negative, codec)
        if not isinstance(key, Unprovable):
            shard = placement.shard_of(key)
            return (shard,) if shard is not None else placement.shards()[:1]
    found = {route.shard} if route.shard else set()
    for key_route in route.keys:
        found |= key_route_shards(key_route, literals, codec)
    return tuple(sorted(found))


def key_route_shards(key_route: KeyRoute, literals: list[bytes], codec: str) -> set[str]:
    """The shards of one class of tables; where no row can match, one of them all the same: someone must give the empty answer."""
    placement = key_route.placement
    shards = None if key_route.predicate is None else _shards(key_route.predicate, placement, literals, codec)
    if shards is None:
        return set(placement.shards())
    return shards or set(placement.shards()[:1])


def key_of(placement: Placement, raw: bytes, negative: bool, codec: str) -> Key | Unprovable:
    """The key that a literal is."""
    return placement.key_type.from_literal(b"-" + raw if negative else raw, codec)


def split_list(raw: bytes, placement: Placement, codec: str) -> dict[str, bytes] | None:
    """For each shard the part of a literal list that it can hold, or None where that cannot be told."""
    if len(raw) > MAX_LIST_BYTES:
        return None
    parts: dict[str, list[bytes]] = {}
    if len({is_string(item) for item in list_items(raw) if item.upper() != b"NULL"}) > 1:
        return None
    for item in list_items(raw):
        if item.upper() == b"NULL":
            continue
        key = placement.key_type.from_literal(item, codec)
        if isinstance(key, Unprovable):
            return None
        shard = placement.shard_of(key)
        if shard is not None:
            parts.setdefault(shard, []).append(item)
    return {shard: b"(" + b", ".join(items) + b")" for shard, items in parts.items()}


def _shards(predicate: Predicate, placement: Placement, literals: list[bytes], codec: str) -> set[str] | None:
    """The shards where the predicate can hold; None: any."""
    if isinstance(predicate, OneOf):
        return _one_of(predicate, placement, literals, codec)
    if isinstance(predicate, Within):
        low = _bound(predicate.low, placement, literals, codec)
        high = _bound(predicate.high, placement, literals, codec)
        return set(placement.shards_between(low, high, predicate.high_inclusive))
    parts = [_shards(part, placement, literals, codec) for part in predicate.parts]
    if isinstance(predicate, AnyOf):
        return None if None in parts else set().union(*(part for part in parts if part is not None))
    assert isinstance(predicate, AllOf)
    known = [part for part in parts if part is not None]
    return set.intersection(*known) if known else None


def _one_of(predicate: OneOf, placement: Placement, literals: list[bytes], codec: str) -> set[str] | None:
    raws: list[bytes] = []
    for operand in predicate.operands:
        raw = literals[operand.slot]
        if len(raw) > MAX_LIST_BYTES:
            return None
        raws += list_items(raw) if raw[:1] == b"(" else [b"-" + raw if operand.negative else raw]
    # Nothing equals NULL.
    raws = [raw for raw in raws if raw.upper() != b"NULL"]
    # A list of strings and numbers together is compared by other rules than each of its elements alone.
    if len({is_string(raw) for raw in raws}) > 1:
        return None
    found = set()
    for raw in raws:
        key = placement.key_type.from_literal(raw, codec)
        if isinstance(key, Unprovable):
            return None
        shard = placement.shard_of(key)
        if shard is not None:
            found.add(shard)
    return found


def _bound(operand: Operand | None, placement: Placement, literals: list[bytes], codec: str) -> Key | None:
    """An end of an interval; one that cannot be told is open."""
    if operand is None:
        return None
    key = key_of(placement, literals[operand.slot], operand.negative, codec)
    return None if isinstance(key, Unprovable) else key
