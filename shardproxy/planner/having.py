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

    def build(part: exp.Expression) -> Condition:
        if isinstance(part, exp.Paren):
            return build(part.this)
        if isinstance(part, (exp.And, exp.Or)):
            return Logic("and" if isinstance(part, exp.And) else "or", (build(part.this), build(part.expression)))
        if isinstance(part, exp.Not):
            return Logic("not", (build(part.this),))
        if isinstance(part, exp.Is) and isinstance(part.expression, exp.Null):
            return Comparison("is null", column_of(part.this))
        if isinstance(part, exp.Between):
            return Comparison("between", column_of(part.this), (literal(part.args["low"]), literal(part.args["high"])))
        if isinstance(part, exp.In) and part.expressions:
            return Comparison("in", column_of(part.this), tuple(literal(value) for value in part.expressions))
        operator = _OPERATORS.get(type(part))
        if operator is None:
            raise ProxyError(CROSS_SHARD_EXPRESSION, "this HAVING cannot be decided over several shards")
        left, right = part.this, part.expression
        if operand(statement, left) is not None:
            left, right, operator = right, left, _MIRRORED[operator]
        if operand(statement, right) is not None:
            return Comparison(operator, column_of(left), (literal(right),))
        return Comparison(operator, column_of(left), other=column_of(right))

    def literal(part: exp.Expression) -> tuple[int, bool]:
        value = operand(statement, part)
        if value is None:
            raise ProxyError(CROSS_SHARD_EXPRESSION, "HAVING over several shards compares with literals only")
        return value.slot, value.negative

    return build(node)
