"""Schemas that live on one server as a whole: whatever a statement is, it goes there as it is.

Nothing is parsed. What must be known is told from the tokens: what belongs to the session (transactions, settings, its ids and
names), what changes tables, what leaves something behind on the connection, and what clients may not do.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from shardproxy.config.model import MODES
from shardproxy.errors import CROSS_SHARD_JOIN, PRIVILEGE, UNSUPPORTED_STATEMENT, ProxyError
from shardproxy.planner.context import WholeSchema
from shardproxy.planner.ddl import name_at, subject_of
from shardproxy.planner.plan import AnyPlan, DdlPlan, DdlStep, Kind, LocalPlan, Opcode, Plan, Route
from shardproxy.planner.routes import offset_slot
from shardproxy.planner.template import Template, pieces, session_value_edits, template_of
from shardproxy.planner.words import (
    ADMINISTRATION,
    NEVER_SET,
    NOT_FOR_CLIENTS,
    SERVERS_OWN,
    SESSION_VERBS,
    creates_from_query,
    gives_last_insert_id,
    is_local_question,
    leaves_behind,
    moves_sequence,
    named,
    needs_primary,
    qualifier_edits,
    writes_file,
)
from shardproxy.sql.lexer import Kind as TokenKind
from shardproxy.sql.lexer import Token, is_name, skip_parentheses, unquote_name
from shardproxy.sql.statement import Statement

_READS = frozenset(("SELECT", "WITH", "VALUES", "TABLE", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "HELP", "CHECKSUM", "DO"))
_WRITES = {"INSERT": Kind.INSERT, "REPLACE": Kind.INSERT, "UPDATE": Kind.UPDATE, "DELETE": Kind.DELETE}
_UPKEEP = frozenset(("ANALYZE", "OPTIMIZE", "REPAIR", "CHECK"))
_SCHEMA_CHANGES = _UPKEEP | {"CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME"}
_ACCOUNTS = frozenset(("USER", "ROLE", "SERVER", "TABLESPACE", "LOGFILE", "RESOURCE", "UNDO", "INSTANCE"))
_SYSTEM = frozenset(("INFORMATION_SCHEMA", "PERFORMANCE_SCHEMA"))
_LASTING = {
    "CALL": "procedure call",
    "HANDLER": "handler",
    "LOCK": "table lock",
    **dict.fromkeys(("BEGIN", "FOR", "LOOP", "WHILE", "REPEAT", "CASE", "IF"), "compound statement"),
    "XA": "distributed transaction",
}


def plan_whole(statement: Statement, schema: WholeSchema) -> AnyPlan:
    """Plan one statement. Raises `ProxyError` for what no client may do."""
    tokens = behind_settings(statement.tokens)
    verb = next((token.upper for token in tokens if token.text != "("), "")
    if tokens is not statement.tokens:
        _check_settings(statement.tokens[: -len(tokens) or None], tokens, verb)
    elif statement.words(3) != ("BEGIN", "NOT", "ATOMIC") and (verb in SESSION_VERBS or is_local_question(tokens)):
        return LocalPlan(verb)
    words = [token.upper for token in tokens]
    if verb in NOT_FOR_CLIENTS - ADMINISTRATION and words[:2] != ["RESET", "QUERY"]:
        raise ProxyError(PRIVILEGE, f"{verb} is not for the proxy: do it on the shards' servers")
    if verb == "GET":
        # The last statement's connection may be another session's by now, with what that has left there.
        raise ProxyError(UNSUPPORTED_STATEMENT, "GET DIAGNOSTICS is supported in routines only: SHOW WARNINGS tells the same")
    right = _right(verb, tokens, words, schema) or _qualified(statement.tokens, schema)
    if gives_last_insert_id(words) and verb not in _WRITES:
        raise ProxyError(UNSUPPORTED_STATEMENT, "LAST_INSERT_ID(expression) is supported in INSERT and UPDATE only")
    template = _template(statement, schema)
    # ANALYZE of a query or a write carries that out.
    if verb in _SCHEMA_CHANGES and (verb != "ANALYZE" or "TABLE" in words[1:3]):
        return replace(_change(statement, tokens, schema, _change_template(statement, tokens, schema)), right=right)
    if verb == "SHOW" and [word for word in words[1:3] if word not in ("GLOBAL", "SESSION", "LOCAL")][:1] == ["STATUS"]:
        # Some of it is of the client's connection to the proxy, not of the proxy's to the server.
        return Plan(Kind.SHOW, Route(Opcode.FIXED, schema.shard), system=True)
    reads = verb in _READS and not schema.may_write(statement.tokens) and not moves_sequence(statement.tokens)
    asks = verb in ("SELECT", "WITH", "(")
    return Plan(
        Kind.SHOW if verb in ("SHOW", "DESCRIBE", "DESC", "EXPLAIN") else _WRITES.get(verb, Kind.SELECT),
        Route(Opcode.FIXED, schema.shard),
        template,
        writes=not reads,
        locks=(locks := reads and asks and bool({"UPDATE", "LOCK", "SHARE"} & set(words))),
        pin=(pin := _LASTING.get(verb, "") or ("table lock" if verb == "FLUSH" and "TABLES" in words else leaves_behind(statement, verb))),
        offset_slot=offset_slot(statement) if asks else None,
        calc_found_rows="SQL_CALC_FOUND_ROWS" in words,
        local_file=verb == "LOAD" and "LOCAL" in words[:5],
        right=right,
        taints=schema.leaky and not reads,
        sees=reads and (verb in ("TABLE", "CHECKSUM") or bool({"FROM", "TABLE"} & set(words))),
        reads=min((schema.reads[name] for name in _names(statement.tokens) if name in schema.reads), key=MODES.index, default=None),
        replica=reads and asks and not (locks or pin) and "FROM" in words and not needs_primary(statement),
        whole=True,
    )


def _names(tokens: list[Token]) -> set[str]:
    """All names, of whatever."""
    return {unquote_name(token.text) for token in tokens if is_name(token)}


def behind_settings(tokens: list[Token]) -> list[Token]:
    """The statement behind SET STATEMENT ... FOR, which may come several times; else the tokens as they are."""
    while len(tokens) > 1 and tokens[0].upper == "SET" and tokens[1].upper == "STATEMENT":
        at = 2
        while at < len(tokens) and tokens[at].upper != "FOR":
            # Functions and subqueries have a FOR of their own.
            at = skip_parentheses(tokens, at) if tokens[at].text == "(" else at + 1
        tokens = tokens[at + 1 :]
    return tokens


def _check_settings(settings: list[Token], tokens: list[Token], verb: str) -> None:
    """SET STATEMENT `settings` FOR `tokens`: raises `ProxyError` for a variable or a statement that is refused by itself too, or that
    the session carries out."""
    for token, after in pairwise(settings):
        name = unquote_name(token.text).lower()
        # What tells the proxy of positions is not theirs either; and in quotes, as some modes have them, a name may be any.
        if after.text in ("=", ":=") and (not is_name(token) or name in NEVER_SET or name.startswith("session_track_")):
            raise ProxyError(PRIVILEGE, f"SET STATEMENT {name} is not for the proxy's clients")
    if verb not in _READS | _WRITES.keys() | _SCHEMA_CHANGES | {"EXECUTE"} or is_local_question(tokens):
        raise ProxyError(PRIVILEGE, f"SET STATEMENT FOR {verb} is not for the proxy's clients")


def needs_names(statement: Statement, schema: WholeSchema) -> bool:
    """Whether a question is about the schema's name, which the server does not know: then it is not passed through."""
    if schema.verbatim:
        return False
    tokens = behind_settings(statement.tokens)
    verb = tokens[0].upper if tokens else ""
    if verb in ("CREATE", "DROP", "ALTER") and subject_of(tokens) in ("DATABASE", "SCHEMA"):
        return True
    return verb in ("SHOW", "DESCRIBE", "DESC") or any(token.upper.strip("`") in _SYSTEM for token in statement.tokens)


def _template(statement: Statement, schema: WholeSchema) -> Template | None:
    edits = session_value_edits(statement.tokens)
    if not schema.verbatim:
        edits += qualifier_edits(statement.tokens, schema.name)
    if not edits:
        return None
    return template_of(pieces(statement, 0, statement.tokens[-1].end, named(statement, edits)))


def _change_template(statement: Statement, tokens: list[Token], schema: WholeSchema) -> Template | None:
    """What is created keeps the words: a function of the session would be frozen into a default, a view or a procedure."""
    edits = [] if schema.verbatim else qualifier_edits(statement.tokens, schema.name)
    if creates_from_query(tokens):
        edits += session_value_edits(statement.tokens)
    return template_of(pieces(statement, 0, statement.tokens[-1].end, edits)) if edits else None


def _right(verb: str, tokens: list[Token], words: list[str], schema: WholeSchema) -> str:
    """Why a statement needs the right to administer, or ""."""
    subject = subject_of(tokens) if verb in _SCHEMA_CHANGES else ""
    if verb in NOT_FOR_CLIENTS or subject in _ACCOUNTS:
        return f"{verb} {subject} is not for the proxy: do it on the shards' servers".replace("  ", " ")
    if writes_file(words):
        return "INTO OUTFILE would write a file on a shard's server"
    if verb == "LOAD" and "LOCAL" not in words[:5]:
        return "LOAD DATA without LOCAL would read a file of a shard's server"
    return ""


def _qualified(tokens: list[Token], schema: WholeSchema) -> str:
    """The same of the schemas that names are qualified by. Raises `ProxyError` for one whose tables are spread over shards."""
    for before, token in pairwise(tokens):
        if token.text != "." or not is_name(before):
            continue
        name = unquote_name(before.text)
        if name.lower() in schema.foreign:
            raise ProxyError(CROSS_SHARD_JOIN, f"schema '{name}' is sharded: choose it, and name its tables there")
        if name.lower() in SERVERS_OWN and name.lower() != schema.name.lower():
            return f"schema '{name}' is the server's own: only users that name it may choose it"
    return ""


def _change(statement: Statement, tokens: list[Token], schema: WholeSchema, template: Template | None) -> Plan | DdlPlan:
    """A schema change, or the upkeep of tables. `tokens` are those behind SET STATEMENT ... FOR; the text goes whole."""
    verb, subject = tokens[0].upper, subject_of(tokens)
    if subject in ("DATABASE", "SCHEMA"):
        if not schema.may_create:
            raise ProxyError(PRIVILEGE, f"{verb} {subject} is not for the proxy: do it on the shards' servers")
        at = next(i for i, token in enumerate(tokens) if token.upper == subject) + 1
        while at < len(tokens) - 1 and tokens[at].upper in ("IF", "NOT", "EXISTS"):
            at += 1
        name = name_at(tokens, at)[1] if at < len(tokens) and is_name(tokens[at]) else schema.name
        if name.lower() in schema.foreign:
            raise ProxyError(PRIVILEGE, f"schema '{name}' is one of the proxy's own")
    text = template or template_of(pieces(statement, 0, tokens[-1].end))
    if verb in _UPKEEP or (verb == "ALTER" and any(a.upper in _UPKEEP and b.upper == "PARTITION" for a, b in pairwise(tokens))):
        # They answer with rows.
        return Plan(Kind.DDL, Route(Opcode.FIXED, schema.shard), template, writes=True, whole=True)
    temporary = any(token.upper == "TEMPORARY" and token.kind is TokenKind.WORD for token in tokens[1:5])
    dropped = name if verb == "DROP" and subject in ("DATABASE", "SCHEMA") else ""
    return DdlPlan((DdlStep(text, (schema.shard,), ""),), temporary=temporary, dropped_schema=dropped)
