"""EXPLAIN ROUTE: the plan of a statement in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardproxy.merge.spec import MergeSpec
from shardproxy.planner.build import build_plan
from shardproxy.planner.context import PlanContext
from shardproxy.planner.plan import DdlPlan, LocalPlan, Opcode
from shardproxy.routing.render import render
from shardproxy.sql.fingerprint import fingerprint
from shardproxy.sql.statement import Statement

if TYPE_CHECKING:
    from shardproxy.executor.executor import Executor

RouteRow = tuple[str, str, str, str, str]


def route_rows(context: PlanContext, executor: Executor, text: bytes, *, selected: bool = True) -> list[RouteRow]:
    """Kind, route, shard, SQL and merge, one row per shard; raises the refusal of a statement that has one."""
    shape, literals = fingerprint(text)
    plan = build_plan(Statement(shape, literals), context, selected=selected)
    if isinstance(plan, LocalPlan):
        return [("session", "the session itself", "", "", "")]
    if isinstance(plan, DdlPlan):
        return [
            ("ddl", "every shard of the table", shard, _shown(render(step.text, literals, executor.answer)), "")
            for step in plan.steps
            for shard in step.shards
        ]
    texts = executor.texts(plan, text, literals, context)
    merge = ""
    if len(texts) > 1 and plan.merge:
        merge = describe_merge(plan.merge)
    elif len(texts) > 1 and plan.writes:
        merge = "the count of one copy" if plan.reference_write else "counts added up"
    route = plan.route.opcode.value
    if plan.route.opcode is Opcode.KEYED and len(texts) == 1:
        route = "one shard, by its sharding key"
    return [(plan.kind.value, route, shard, _shown(sql), merge) for shard, sql in texts.items()]


def describe_merge(spec: MergeSpec) -> str:
    """What the proxy does with the rows of several shards."""
    steps = []
    if spec.grouping is not None:
        functions = sorted({aggregate.combine.value for aggregate in spec.grouping.aggregates} - {"first"})
        steps.append("group" + (f" ({', '.join(functions)})" if functions else ""))
        if spec.grouping.having is not None:
            steps.append("having")
        if spec.grouping.final_order:
            steps.append("sort")
    elif spec.order:
        steps.append("merge in order")
    if spec.distinct:
        steps.append("distinct")
    if spec.offset is not None:
        steps.append("offset")
    if spec.limit is not None:
        steps.append("limit")
    return ", ".join(steps) or "rows as they come"


def _shown(sql: bytes) -> str:
    return sql.decode("utf-8", "replace")
