"""UPDATE and DELETE: on one, some or all shards."""

from __future__ import annotations

from sqlglot import exp

from shardproxy.errors import CROSS_SHARD_WRITE, KEY_UPDATE, UNSUPPORTED_STATEMENT, ProxyError
from shardproxy.planner.context import PlanContext
from shardproxy.planner.determinism import check_deterministic
from shardproxy.planner.ownership import own_rows_of_write
from shardproxy.planner.plan import Kind, Opcode, Plan, Route
from shardproxy.planner.routes import keyed_plan
from shardproxy.planner.scopes import Instance, Scopes
from shardproxy.planner.template import Edit, Template, pieces, template_of
from shardproxy.sql.statement import Statement
from shardproxy.topology.topology import Scheme


def plan_write(statement: Statement, context: PlanContext, edits: list[Edit], *, selected: bool) -> Plan:
    """Plan an UPDATE or DELETE; raises `ProxyError` where it cannot be carried out as one server would."""
    tree = statement.tree
    if not isinstance(tree, (exp.Update, exp.Delete)):
        raise ProxyError(UNSUPPORTED_STATEMENT, f"this {statement.verb} is not supported")
    if tree.args.get("using"):
        raise ProxyError(UNSUPPORTED_STATEMENT, "DELETE ... USING is not supported; write DELETE t FROM t JOIN ...")
    kind = Kind.UPDATE if isinstance(tree, exp.Update) else Kind.DELETE
    scopes = Scopes(statement, context, selected=selected)
    scopes.visit(tree)
    if scopes.top is None or not scopes.top.instances or scopes.system:
        raise ProxyError(UNSUPPORTED_STATEMENT, f"this {statement.verb} is not supported")
    template = template_of(pieces(statement, 0, statement.tokens[-1].end, edits)) if edits else None
    names = tuple(dict.fromkeys(i.table.name for i in scopes.instances))
    targets = _targets(tree, scopes)
    if any(target.table.rule.scheme is Scheme.REFERENCE for target in targets):
        if any(i.table.rule.scheme is not Scheme.REFERENCE for i in scopes.instances):
            raise ProxyError(CROSS_SHARD_WRITE, "a reference table cannot be written together with other tables")
        check_deterministic(statement.tokens)
        if any(token.upper == "RETURNING" for token in statement.tokens):
            raise ProxyError(CROSS_SHARD_WRITE, "RETURNING cannot be applied over several shards")
        return Plan(kind, Route(Opcode.EVERY), template, writes=True, reference_write=True, tables=names)
    if not scopes.sharded:
        shards = scopes.fixed_shards()
        if len(shards) != 1:
            raise ProxyError(CROSS_SHARD_WRITE, "the tables of this statement live on different shards")
        return Plan(kind, Route(Opcode.FIXED, shards.pop()), template, writes=True, tables=names)
    if isinstance(tree, exp.Update):
        _check_key_unchanged(tree, scopes)
    scatter, refusal = None, scopes.scatter_blocker()
    if refusal is None:
        try:
            scatter = _for_several_shards(statement, scopes, edits)
        except ProxyError as error:
            refusal = error
    return keyed_plan(kind, statement, scopes, template, refusal=refusal, scatter=scatter, writes=True)


def _for_several_shards(statement: Statement, scopes: Scopes, edits: list[Edit]) -> Template | None:
    """The text for each of several shards, None where it is the statement's own; raises `ProxyError` where it must have one shard."""
    if statement.tree.args.get("limit") is not None or statement.tree.args.get("order") is not None:
        raise ProxyError(CROSS_SHARD_WRITE, f"{statement.verb} with ORDER BY or LIMIT cannot be applied over several shards")
    if any(token.upper == "RETURNING" for token in statement.tokens):
        raise ProxyError(CROSS_SHARD_WRITE, "RETURNING cannot be applied over several shards")
    return own_rows_of_write(statement, scopes, edits)


def _targets(tree: exp.Expression, scopes: Scopes) -> list[Instance]:
    """The tables that are written: those assigned to, those named before FROM, or the only one."""
    assert scopes.top is not None
    instances = scopes.top.instances
    if isinstance(tree, exp.Delete):
        named = {table.name for table in tree.args.get("tables") or ()}
        return [i for i in instances if i.visible in named] or instances[:1]
    written = []
    for assignment in tree.expressions:
        column = assignment.this
        instance = scopes.instance_of(column, scopes.top) if isinstance(column, exp.Column) else None
        if instance is None and len(instances) > 1:
            return instances
        written.append(instance or instances[0])
    return written or instances[:1]


def _check_key_unchanged(tree: exp.Update, scopes: Scopes) -> None:
    assert scopes.top is not None
    keys = {i.table.rule.key.lower() for i in scopes.top.instances if i.table.sharded}
    for assignment in tree.expressions:
        if isinstance(assignment.this, exp.Column) and assignment.this.name.lower() in keys:
            instance = scopes.instance_of(assignment.this, scopes.top)
            if instance is None or assignment.this.name.lower() == instance.table.rule.key.lower():
                raise ProxyError(
                    KEY_UPDATE,
                    f"the sharding key '{assignment.this.name}' of a row cannot be changed; delete and insert it",
                )
