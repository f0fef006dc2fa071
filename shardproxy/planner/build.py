"""From a statement to its plan: the one place that knows every kind of statement that is routed."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from shardproxy.config.model import MODES
from shardproxy.errors import (
    CROSS_SHARD_FUNCTION,
    CROSS_SHARD_JOIN,
    PRIVILEGE,
    SYNTAX,
    UNSUPPORTED_STATEMENT,
    ProxyError,
)
from shardproxy.planner.context import PlanContext
from shardproxy.planner.ddl import plan_ddl, subject_of
from shardproxy.planner.insert import ids_of_insert, plan_insert
from shardproxy.planner.load import plan_load
from shardproxy.planner.plan import AnyPlan, Kind, LocalPlan, Opcode, Plan, Route
from shardproxy.planner.routes import keyed_plan, offset_slot
from shardproxy.planner.scopes import Scopes
from shardproxy.planner.select import build_scatter
from shardproxy.planner.show import plan_describe, plan_show, plan_system_select
from shardproxy.planner.template import Edit, pieces, session_value_edits, template_of
from shardproxy.planner.whole import needs_names, plan_whole
from shardproxy.planner.words import (
    LOCAL_VERBS,
    LOCK_FUNCTIONS,
    NOT_FOR_CLIENTS,
    SEQUENCE_FUNCTIONS,
    creates_from_query,
    gives_last_insert_id,
    is_local_question,
    leaves_behind,
    named,
    needs_primary,
    qualifier_edits,
    writes_file,
)
from shardproxy.planner.write import plan_write
from shardproxy.sql.lexer import function_names
from shardproxy.sql.statement import Statement
from shardproxy.topology.topology import Scheme

# Statements that servers carry out and the proxy does not; any other first word is an error in the syntax.
_KNOWN_TO_SERVERS = frozenset(
    (
        "ANALYZE", "BINLOG", "CACHE", "CALL", "CHECK", "CHECKSUM", "GET", "HANDLER", "HELP", "IMPORT", "LOCK", "OPTIMIZE", "REPAIR",
        "RESIGNAL", "SIGNAL", "XA",
    )
)  # fmt: skip
_SELECTS = frozenset(("SELECT", "WITH", "VALUES", "TABLE"))


def build_plan(statement: Statement, context: PlanContext, *, selected: bool = True) -> AnyPlan:
    """Plan one statement. `selected` is whether the session has chosen the schema. Raises `ProxyError` for a refusal."""
    if not statement.tokens:
        return LocalPlan("")
    verb = statement.verb
    if context.whole is not None and selected and not needs_names(statement, context.whole):
        plan = plan_whole(statement, context.whole)
        if isinstance(plan, Plan) and plan.kind is Kind.INSERT and not plan.local_file:
            slots, asks, unknown = ids_of_insert(statement, context)
            plan = replace(plan, auto_slots=slots, asks_id=asks, unknown_ids=unknown)
        return plan
    if any(token.text == ";" for token in statement.tokens):
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax near ';': one statement at a time")
    if context.open is not None and verb in ("CREATE", "ALTER", "DROP") and subject_of(statement.tokens) in ("DATABASE", "SCHEMA"):
        return plan_whole(statement, context.open)
    edits = [*session_value_edits(statement.tokens), *qualifier_edits(statement.tokens, context.logical_schema)]
    if verb in LOCAL_VERBS or is_local_question(statement.tokens):
        return LocalPlan(verb)
    if verb in ("INSERT", "REPLACE"):
        return _checked_write(statement, context, plan_insert(statement, context, edits, selected=selected))
    if verb in ("UPDATE", "DELETE"):
        return _checked_write(statement, context, plan_write(statement, context, edits, selected=selected))
    if verb == "LOAD":
        return plan_load(statement, context, edits, selected=selected)
    if verb in ("CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME"):
        if not creates_from_query(statement.tokens):
            # What is created keeps the words: a function of the session would be frozen into a default.
            edits = qualifier_edits(statement.tokens, context.logical_schema)
        return plan_ddl(statement, context, edits, selected=selected)
    return _for_replicas(statement, context, _plan_question(statement, context, edits, selected=selected))


def _for_replicas(statement: Statement, context: PlanContext, plan: Plan) -> Plan:
    """Whether replicas may answer a question, and how strict its tables are about it."""
    if plan.kind is not Kind.SELECT or not plan.tables:
        return plan
    if {name.lower() for name in function_names(statement.tokens)} & context.catalog.routines:
        # It may write.
        return replace(plan, writes=True)
    if not plan.plain_read or needs_primary(statement):
        return plan
    asked = [mode for mode in (context.topology.rule(name).reads for name in plan.tables) if mode]
    return replace(plan, replica=True, reads=min(asked, key=MODES.index, default=None))


def _plan_question(statement: Statement, context: PlanContext, edits: list[Edit], *, selected: bool) -> Plan:
    """Everything that only asks."""
    verb = statement.verb
    if verb in _SELECTS:
        return _plan_select(statement, context, edits, selected=selected)
    if verb == "SHOW":
        return plan_show(statement, context, selected=selected)
    if verb in ("DESCRIBE", "DESC", "EXPLAIN"):
        described = plan_describe(statement, context, selected=selected)
        return described if described is not None else _plan_explain(statement, context, selected=selected)
    if verb == "DO":
        return _plan_tableless(statement, context, edits)
    if verb in NOT_FOR_CLIENTS:
        raise ProxyError(PRIVILEGE, f"{verb} is not for the proxy: do it on the shards' servers")
    if verb not in _KNOWN_TO_SERVERS:
        raise ProxyError(SYNTAX, f"You have an error in your SQL syntax near '{statement.text[:40]}'")
    raise ProxyError(UNSUPPORTED_STATEMENT, f"{verb} is not supported")


def _plan_explain(statement: Statement, context: PlanContext, *, selected: bool) -> Plan:
    """EXPLAIN of a query: what the first of its shards makes of it. EXPLAIN ROUTE shows where it goes."""
    tokens = statement.tokens
    first = next((i for i, t in enumerate(tokens[1:], 1) if t.upper in ("SELECT", "UPDATE", "DELETE", "WITH")), None)
    if first is None or {t.upper for t in tokens[1:first]} - {"EXTENDED", "PARTITIONS", "FORMAT", "=", "JSON", "TRADITIONAL", "TREE"}:
        raise ProxyError(UNSUPPORTED_STATEMENT, "this EXPLAIN is not supported; EXPLAIN ROUTE shows where a statement goes")
    prefix = statement.text[: tokens[first].start]
    inner_statement = statement.without_prefix(len(prefix))
    inner = build_plan(inner_statement, context, selected=selected)
    if not isinstance(inner, Plan):
        raise ProxyError(UNSUPPORTED_STATEMENT, "this EXPLAIN is not supported")
    text = inner.template or template_of(pieces(inner_statement, 0, inner_statement.tokens[-1].end))
    template = template_of([prefix.encode("latin-1"), *text])
    return Plan(Kind.SHOW, inner.route, template, first_only=True, tables=inner.tables, fixed_slots=inner.fixed_slots)


def _plan_select(statement: Statement, context: PlanContext, edits: list[Edit], *, selected: bool) -> Plan:
    functions = function_names(statement.tokens)
    words = [t.upper for t in statement.tokens]
    _check_words(words)
    if statement.verb != "WITH" and not set(words) & {"FROM", "TABLE"}:
        return _plan_tableless(statement, context, edits)
    tree = statement.tree
    if not isinstance(tree, (exp.Select, exp.SetOperation, exp.Subquery)):
        raise ProxyError(UNSUPPORTED_STATEMENT, "WITH is supported in front of a SELECT only")
    scopes = Scopes(statement, context, selected=selected)
    scopes.visit(tree)
    if scopes.system:
        return plan_system_select(statement, tree, scopes, context, edits)
    _check_everywhere(statement, scopes, functions, context)
    pin = leaves_behind(statement, statement.verb)
    locks = tree.find(exp.Lock) is not None
    names = tuple(dict.fromkeys(i.table.name for i in scopes.instances))
    template = template_of(pieces(statement, 0, statement.tokens[-1].end, named(statement, edits))) if edits else None
    if not scopes.sharded:
        shards = scopes.fixed_shards()
        if len(shards) > 1:
            raise ProxyError(CROSS_SHARD_JOIN, "the tables of this statement live on different shards")
        route = Route(Opcode.FIXED, shards.pop()) if shards else Route(Opcode.ANY)
        return Plan(
            Kind.SELECT,
            route,
            template,
            locks=locks,
            pin=pin,
            tables=names,
            offset_slot=offset_slot(statement),
            calc_found_rows="SQL_CALC_FOUND_ROWS" in words,
        )
    refusal = scopes.scatter_blocker()
    scatter = merge = None
    fixed: tuple[int, ...] = ()
    if pin:
        refusal = refusal or ProxyError(CROSS_SHARD_FUNCTION, f"a statement that leaves a {pin} behind must run on one shard")
    if refusal is None:
        try:
            if not isinstance(tree, exp.Select):
                raise ProxyError(UNSUPPORTED_STATEMENT, "this SELECT cannot be run on several shards")
            built = build_scatter(statement, scopes, tree, named(statement, edits))
            scatter, merge, fixed = built.template, built.merge, built.fixed
        except ProxyError as error:
            refusal = error
            fixed = _all_slots(statement)
    return keyed_plan(
        Kind.SELECT,
        statement,
        scopes,
        template,
        refusal=refusal,
        scatter=scatter,
        merge=merge,
        locks=locks,
        fixed=fixed,
        pin=pin,
        calc_found_rows="SQL_CALC_FOUND_ROWS" in words,
    )


def _check_words(words: list[str]) -> None:
    """What no SELECT may hold, whatever its tables; seen in its words, because the parser does not read all of it."""
    if writes_file(words):
        raise ProxyError(PRIVILEGE, "INTO OUTFILE would write a file on a shard's server")
    if gives_last_insert_id(words):
        raise ProxyError(UNSUPPORTED_STATEMENT, "LAST_INSERT_ID(expression) is supported in INSERT and UPDATE only")


def _checked_write(statement: Statement, context: PlanContext, plan: Plan) -> Plan:
    """What may not stand in a write that is more than a matter of one shard."""
    spread = any(context.topology.rule(name).scheme is not Scheme.UNSHARDED for name in plan.tables)
    stored = {name.lower() for name in function_names(statement.tokens)} & context.catalog.routines
    if spread and stored:
        raise ProxyError(CROSS_SHARD_FUNCTION, f"stored function '{min(stored)}' may read other rows than those of one shard")
    pin = leaves_behind(statement, statement.verb)
    if not pin:
        return plan
    refusal = ProxyError(CROSS_SHARD_FUNCTION, f"a statement that leaves a {pin} behind must run on one shard")
    if plan.reference_write or (plan.insert is not None and plan.insert.many):
        raise refusal
    return replace(plan, pin=pin, refusal=plan.refusal or refusal)


def _all_slots(statement: Statement) -> tuple[int, ...]:
    """A refusal may rest on the value of a literal in the ordering or grouping: let it count for these literals only."""
    tokens = statement.tokens
    first = next((t.start for t in tokens if t.upper in ("ORDER", "GROUP", "HAVING")), None)
    if first is None:
        return ()
    return tuple(slot for at, slot in statement.slots.items() if at > first and slot not in statement.lists)


def _plan_tableless(statement: Statement, context: PlanContext, edits: list[Edit]) -> Plan:
    """A SELECT without tables is the same on every shard; named locks live on the default shard."""
    functions = function_names(statement.tokens)
    if functions & SEQUENCE_FUNCTIONS:
        raise ProxyError(UNSUPPORTED_STATEMENT, "sequences are not supported yet")
    if statement.verb == "DO" and any(token.upper == "SELECT" for token in statement.tokens):
        raise ProxyError(UNSUPPORTED_STATEMENT, f"a subquery in {statement.verb} is not supported")
    pin = leaves_behind(statement, statement.verb)
    template = template_of(pieces(statement, 0, statement.tokens[-1].end, named(statement, edits)))
    stored = {name.lower() for name in functions} & context.catalog.routines
    route = Route(Opcode.FIXED, context.topology.default_shard) if pin or stored else Route(Opcode.ANY)
    return Plan(Kind.SELECT, route, template, writes=bool(stored), pin=pin)


def _check_everywhere(statement: Statement, scopes: Scopes, functions: set[str], context: PlanContext) -> None:
    """What is wrong even where the statement comes to one shard."""
    if functions & SEQUENCE_FUNCTIONS:
        raise ProxyError(UNSUPPORTED_STATEMENT, "sequences are not supported yet")
    spread = any(i.table.rule.scheme.sharded for i in scopes.instances)
    stored = {name.lower() for name in functions} & context.catalog.routines
    if spread and stored:
        raise ProxyError(CROSS_SHARD_FUNCTION, f"stored function '{min(stored)}' may read other rows than those of one shard")
    if spread and functions & LOCK_FUNCTIONS:
        raise ProxyError(CROSS_SHARD_FUNCTION, "named locks live on the default shard: take them in a statement of their own")
