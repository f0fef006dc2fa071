"""SHOW, DESCRIBE, EXPLAIN and information_schema: questions about the schema, answered as one server would."""

from __future__ import annotations

import itertools
from dataclasses import replace

from sqlglot import exp

from shardproxy.errors import CROSS_SHARD_CLAUSE, CROSS_SHARD_JOIN, SYNTAX, UNKNOWN_DATABASE, UNSUPPORTED_STATEMENT, ProxyError
from shardproxy.planner.context import SYSTEM_SCHEMAS, PlanContext
from shardproxy.planner.plan import Kind, Opcode, Plan, Route
from shardproxy.planner.predicates import conjuncts
from shardproxy.planner.schema_names import compared_names, is_plainly_compared, schema_name_edits
from shardproxy.planner.scopes import Scopes
from shardproxy.planner.template import Edit, SessionValue, pieces, template_of
from shardproxy.planner.words import qualifier_edits
from shardproxy.sql.lexer import Token, is_name, unquote_name
from shardproxy.sql.statement import Statement
from shardproxy.topology.topology import Scheme

_WHOLE_RESULT = frozenset(("LIMIT", "GROUP", "DISTINCT", "UNION", "COUNT", "SUM", "MIN", "MAX", "AVG", "GROUP_CONCAT", "OVER"))
_OF_TABLE = frozenset(("COLUMNS", "FIELDS", "INDEX", "INDEXES", "KEYS"))


def plan_show(statement: Statement, context: PlanContext, *, selected: bool) -> Plan:
    """Plan a SHOW that some shard answers; what the session answers itself never comes here."""
    tokens = statement.tokens
    words = [t.upper for t in tokens if t.upper not in ("FULL", "EXTENDED", "GLOBAL", "SESSION", "LOCAL")]
    subject = words[1] if len(words) > 1 else ""
    if subject in _OF_TABLE:
        at = next((i for i, t in enumerate(tokens) if t.upper in ("FROM", "IN")), 0)
        return _of_table(statement, context, at + 1, selected=selected)
    if subject == "CREATE" and words[2:3] and words[2] in ("TABLE", "VIEW"):
        return _of_table(statement, context, next(i for i, t in enumerate(tokens) if t.upper == words[2]) + 1, selected=selected)
    if subject in ("TABLES", "TABLE", "OPEN", "TRIGGERS", "EVENTS"):
        return _of_schema(statement, context, selected=selected)
    if subject in ("MASTER", "SLAVE", "REPLICA", "BINARY", "BINLOG", "RELAYLOG", "ALL"):
        raise ProxyError(UNSUPPORTED_STATEMENT, f"SHOW {subject} is a question to one server: ask the shards")
    edits = _schema_edits(tokens, context)
    if subject == "CREATE":
        # Of a procedure, a trigger and the like.
        edits += qualifier_edits(tokens, context.logical_schema)
    return Plan(Kind.SHOW, Route(Opcode.ANY), template_of(pieces(statement, 0, tokens[-1].end, edits)), system=True)


def plan_describe(statement: Statement, context: PlanContext, *, selected: bool) -> Plan | None:
    """DESCRIBE of a table, or None where the statement is an EXPLAIN of a query."""
    tokens = statement.tokens
    if len(tokens) < 2:
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax")
    if tokens[1].upper in (
        "SELECT",
        "UPDATE",
        "DELETE",
        "INSERT",
        "REPLACE",
        "EXTENDED",
        "FORMAT",
        "PARTITIONS",
        "ANALYZE",
        "WITH",
        "(",
    ):
        return None
    return _of_table(statement, context, 1, selected=selected)


def _of_table(statement: Statement, context: PlanContext, at: int, *, selected: bool) -> Plan:
    """A question about one table goes to a shard that has it."""
    tokens = statement.tokens
    if at >= len(tokens) or not is_name(tokens[at]):
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax")
    edits: list[Edit] = []
    schema, name, behind = "", unquote_name(tokens[at].text), at + 1
    if behind + 1 < len(tokens) and tokens[behind].text == ".":
        schema, name = name, unquote_name(tokens[behind + 1].text)
        if schema == context.logical_schema:
            edits.append(Edit(tokens[at].start, tokens[behind + 1].start, b""))
        behind += 2
    if behind + 1 < len(tokens) and tokens[behind].upper in ("FROM", "IN"):
        schema = unquote_name(tokens[behind + 1].text)
        if schema == context.logical_schema:
            edits.append(Edit(tokens[behind].start, tokens[behind + 1].end, b""))
    if schema.lower() in SYSTEM_SCHEMAS:
        return Plan(Kind.SHOW, Route(Opcode.ANY), template_of(pieces(statement, 0, tokens[-1].end)), system=True)
    rule = context.topology.rule(name)
    if schema or not selected:
        context.resolve("", schema, selected=selected)
    route = Route(Opcode.FIXED, rule.shard if rule.scheme is Scheme.UNSHARDED else context.topology.default_shard)
    return Plan(Kind.SHOW, route, template_of(pieces(statement, 0, tokens[-1].end, edits)), system=True, tables=(name,))


def _of_schema(statement: Statement, context: PlanContext, *, selected: bool) -> Plan:
    """A question about all tables goes to every shard; the executor keeps of each the tables that it answers for."""
    tokens = statement.tokens
    at = next((i for i, t in enumerate(tokens) if t.upper in ("FROM", "IN")), 0)
    schema = unquote_name(tokens[at + 1].text) if at and at + 1 < len(tokens) else ""
    template = template_of(pieces(statement, 0, tokens[-1].end, _schema_edits(tokens, context)))
    if schema.lower() in SYSTEM_SCHEMAS:
        return Plan(Kind.SHOW, Route(Opcode.ANY), template, system=True)
    if schema and schema != context.logical_schema:
        raise ProxyError(UNKNOWN_DATABASE, f"Unknown database '{schema}'", plain=True)
    if not schema and not selected:
        context.resolve("", "", selected=False)
    return Plan(Kind.SHOW, Route(Opcode.EVERY), template, system=True)


def _schema_edits(tokens: list[Token], context: PlanContext) -> list[Edit]:
    """Replace the logical schema's name behind FROM, IN and DATABASE by that of the shard."""
    edits = []
    for before, token in itertools.pairwise(tokens):
        if before.upper in ("FROM", "IN", "DATABASE", "SCHEMA") and unquote_name(token.text) == context.logical_schema:
            edits.append(Edit(token.start, token.end, SessionValue.PHYSICAL_SCHEMA))
    return edits


def plan_system_select(statement: Statement, tree: exp.Expression, scopes: Scopes, context: PlanContext, edits: list[Edit]) -> Plan:
    """A SELECT on information_schema, in which the schema's name is exchanged where it is plainly compared."""
    plan = _system_select(statement, tree, scopes, context, edits)
    slots = {statement.slots[start] for start in compared_names(statement.tokens) if start in statement.slots}
    return replace(plan, schema_slots=frozenset(slots))


def _system_select(statement: Statement, tree: exp.Expression, scopes: Scopes, context: PlanContext, edits: list[Edit]) -> Plan:
    """A SELECT on information_schema goes to the default shard, which knows every table.

    If unsharded tables live on other shards too, each shard answers for its own; what cuts or counts the rows is then refused.
    """
    if scopes.instances:
        raise ProxyError(CROSS_SHARD_JOIN, "system tables cannot be joined with the schema's own")
    tokens = statement.tokens
    compared = {token.start for i, token in enumerate(tokens) if is_plainly_compared(tokens, i)}
    kept = [edit for edit in edits if edit.piece is not SessionValue.DATABASE or edit.start not in compared]
    kept += schema_name_edits(tokens)
    template = template_of(pieces(statement, 0, statement.tokens[-1].end, kept))
    default = context.topology.default_shard
    if all(rule.shard in ("", default) for rule in context.topology.rules.values()):
        return Plan(Kind.SELECT, Route(Opcode.FIXED, default), template, system=True)
    named = _named_table(tree)
    if named is not None:
        rule = context.topology.rule(named.this)
        shard = rule.shard if rule.scheme is Scheme.UNSHARDED else default
        slot = statement.slot_of(named)
        literals = (slot,) if slot is not None else ()
        return Plan(Kind.SELECT, Route(Opcode.FIXED, shard), template, system=True, fixed_slots=literals)
    refusal = None
    selected = {node.alias_or_name.lower() for node in tree.expressions} if isinstance(tree, exp.Select) else set()
    if not selected & {"table_name", "*"}:
        refusal = ProxyError(
            CROSS_SHARD_CLAUSE, "information_schema must be asked for table_name while unsharded tables live on several shards"
        )
    if {token.upper for token in statement.tokens} & _WHOLE_RESULT:
        refusal = ProxyError(
            CROSS_SHARD_CLAUSE, "information_schema cannot be counted or cut while unsharded tables live on several shards"
        )
    order, fixed = _system_order(statement, tree)
    if order is None:
        refusal = ProxyError(CROSS_SHARD_CLAUSE, "information_schema can be ordered by selected columns only")
    return Plan(Kind.SELECT, Route(Opcode.EVERY), template, refusal=refusal, system=True, system_order=order or (), fixed_slots=fixed)


def _named_table(tree: exp.Expression) -> exp.Literal | None:
    """The table that `table_name = '...'` asks for, if the WHERE says so."""
    where = tree.args.get("where")
    for part in conjuncts(where.this if where is not None else None):
        asks = isinstance(part, exp.EQ) and isinstance(part.this, exp.Column) and part.this.name.lower() == "table_name"
        if asks and isinstance(part.expression, exp.Literal) and part.expression.is_string:
            return part.expression
    return None


def _system_order(statement: Statement, tree: exp.Expression) -> tuple[tuple[tuple[int, bool], ...] | None, tuple[int, ...]]:
    """ORDER BY as columns of the result with their directions, or None where they are not all selected; and its literals."""
    order = tree.args.get("order")
    names = [node.alias_or_name.lower() for node in tree.expressions] if isinstance(tree, exp.Select) else []
    result, fixed = [], []
    for item in order.expressions if order is not None else ():
        node = item.this if isinstance(item, exp.Ordered) else item
        descending = isinstance(item, exp.Ordered) and bool(item.args.get("desc"))
        if isinstance(node, exp.Literal) and node.this.isdigit() and 0 < int(node.this) <= len(names):
            fixed.append(statement.slot_of(node) or 0)
            result.append((int(node.this) - 1, descending))
        elif isinstance(node, exp.Column) and node.name.lower() in names:
            result.append((names.index(node.name.lower()), descending))
        else:
            return None, ()
    return tuple(result), tuple(fixed)
