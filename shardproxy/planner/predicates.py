"""What a condition says about a sharding key.

Only forms whose meaning is certain are read; anything else says nothing, and the statement goes to more shards than needed,
never to fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlglot import exp

from shardproxy.planner.plan import AllOf, AnyOf, OneOf, Operand, Predicate, Within
from shardproxy.sql.statement import Statement

IsKey = Callable[[exp.Expression], bool]


def conjuncts(condition: exp.Expression | None) -> Iterator[exp.Expression]:
    """The parts of a condition that must all hold."""
    stack = [condition] if condition is not None else []
    while stack:
        node = stack.pop()
        if isinstance(node, exp.Paren):
            stack.append(node.this)
        elif isinstance(node, exp.And):
            stack += (node.expression, node.this)
        else:
            yield node


def key_predicate(statement: Statement, condition: exp.Expression, is_key: IsKey) -> Predicate | None:
    """What must hold of the key for the condition to be true, or None where nothing is known."""
    node = condition.unnest() if isinstance(condition, exp.Paren) else condition
    if isinstance(node, exp.And):
        parts = [p for p in (key_predicate(statement, c, is_key) for c in conjuncts(node)) if p is not None]
        return AllOf(tuple(parts)) if parts else None
    if isinstance(node, exp.Or):
        left = key_predicate(statement, node.this, is_key)
        right = key_predicate(statement, node.expression, is_key)
        return AnyOf((left, right)) if left is not None and right is not None else None
    if isinstance(node, exp.In):
        return _membership(statement, node, is_key)
    if isinstance(node, exp.Between):
        if not is_key(node.this) or node.args.get("symmetric"):
            return None
        low, high = operand(statement, node.args["low"]), operand(statement, node.args["high"])
        return Within(low, high) if low is not None or high is not None else None
    if isinstance(node, (exp.EQ, exp.NullSafeEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)):
        return _comparison(statement, node, is_key)
    return None


_MIRRORED = {exp.LT: exp.GT, exp.LTE: exp.GTE, exp.GT: exp.LT, exp.GTE: exp.LTE}


def _comparison(statement: Statement, node: exp.Binary, is_key: IsKey) -> Predicate | None:
    kind = type(node)
    if is_key(node.this):
        value = operand(statement, node.expression)
    elif is_key(node.expression):
        value = operand(statement, node.this)
        kind = _MIRRORED.get(kind, kind)
    else:
        return None
    if value is None:
        return None
    if kind in (exp.EQ, exp.NullSafeEQ):
        return OneOf((value,))
    if kind in (exp.LT, exp.LTE):
        return Within(None, value, high_inclusive=kind is exp.LTE)
    return Within(value, None)


def _membership(statement: Statement, node: exp.In, is_key: IsKey) -> Predicate | None:
    if not is_key(node.this) or node.args.get("query") is not None or not node.expressions:
        return None
    operands = [operand(statement, value) for value in node.expressions]
    known = tuple(value for value in operands if value is not None)
    return OneOf(known) if len(known) == len(operands) else None


def operand(statement: Statement, node: exp.Expression) -> Operand | None:
    """The literal that a node is, or None for anything else."""
    if isinstance(node, exp.Paren):
        return operand(statement, node.this)
    if isinstance(node, exp.Neg):
        inner = operand(statement, node.this)
        return Operand(inner.slot, not inner.negative) if inner and isinstance(node.this, exp.Literal) else None
    if isinstance(node, exp.Literal):
        slot = statement.slot_of(node)
        return Operand(slot) if slot is not None else None
    return None
