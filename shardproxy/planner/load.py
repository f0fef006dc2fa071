"""LOAD DATA LOCAL INFILE into a table that lives on one shard."""

from __future__ import annotations

from shardproxy.errors import PRIVILEGE, SYNTAX, UNSUPPORTED_STATEMENT, ProxyError
from shardproxy.planner.context import PlanContext
from shardproxy.planner.ddl import name_at
from shardproxy.planner.plan import Kind, Opcode, Plan, Route
from shardproxy.planner.template import Edit, pieces, template_of
from shardproxy.sql.statement import Statement
from shardproxy.topology.topology import Scheme


def plan_load(statement: Statement, context: PlanContext, edits: list[Edit], *, selected: bool) -> Plan:
    """Plan a LOAD DATA LOCAL; raises `ProxyError` where its rows would have to be split, or a shard's own file read."""
    words = [token.upper for token in statement.tokens]
    if "LOCAL" not in words[:5]:
        raise ProxyError(PRIVILEGE, "LOAD DATA without LOCAL would read a file of a shard's server")
    at = next((i for i, word in enumerate(words) if word == "TABLE" and words[i - 1] == "INTO"), 0)
    if not at:
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax near LOAD")
    schema, name, _ = name_at(statement.tokens, at + 1)
    table = context.resolve(name, schema, selected=selected)
    if table.rule.scheme is not Scheme.UNSHARDED:
        raise ProxyError(UNSUPPORTED_STATEMENT, f"LOAD DATA into '{name}' is not supported: its rows belong on several shards")
    template = template_of(pieces(statement, 0, statement.tokens[-1].end, edits)) if edits else None
    return Plan(Kind.INSERT, Route(Opcode.FIXED, table.rule.shard), template, writes=True, tables=(name,), local_file=True)
