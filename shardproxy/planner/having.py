"""HAVING on merged groups: comparisons of group keys and aggregates with numbers, joined by AND, OR and NOT."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from shardproxy.errors import CROSS_SHARD_EXPRESSION, ProxyError
from shardproxy.merge.spec import Comparison, Condition, Logic
from shardproxy.planner.predicates import operand
from shardproxy.sql.statement import Statement

_OPERATORS: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}


def build_having(statement: Statement, node: exp.Expression, column_of: Callable[[exp.Expression], int]) -> Condition:
    """The condition as data; `column_of` finds the column of a grouped row. Raises `ProxyError` for anything else."""
    if isinstance(node, exp.Paren):
        return build_having(statement, node.this, column_of)
    if isinstance(node, (exp.And, exp.Or)):
        sides = tuple(build_having(statement, side, column_of) for side in (node.this, node.expression))
        return Logic("and" if isinstance(node, exp.And) else "or", sides)
    if isinstance(node, exp.Not):
        return Logic("not", (build_having(statement, node.this, column_of),))
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
        return Comparison("is null", column_of(node.this))
    if isinstance(node, exp.Between):
        bounds = (_literal(statement, node.args["low"]), _literal(statement, node.args["high"]))
        return Comparison("between", column_of(node.this), bounds)
    if isinstance(node, exp.In) and node.expressions:
        return Comparison("in", column_of(node.this), tuple(_literal(statement, value) for value in node.expressions))
    return _comparison(statement, node, column_of)


def _comparison(statement: Statement, node: exp.Expression, column_of: Callable[[exp.Expression], int]) -> Comparison:
    operator = _OPERATORS.get(type(node))
    if operator is None:
        raise ProxyError(CROSS_SHARD_EXPRESSION, "this HAVING cannot be decided over several shards")
    left, right = node.this, node.expression
    if operand(statement, left) is not None:
        left, right, operator = right, left, _MIRRORED[operator]
    if operand(statement, right) is not None:
        return Comparison(operator, column_of(left), (_literal(statement, right),))
    return Comparison(operator, column_of(left), other=column_of(right))


def _literal(statement: Statement, node: exp.Expression) -> tuple[int, bool]:
    value = operand(statement, node)
    if value is None:
        raise ProxyError(CROSS_SHARD_EXPRESSION, "HAVING over several shards compares with literals only")
    return value.slot, value.negative
