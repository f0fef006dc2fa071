"""Schema changes: each on all the shards that hold its table."""

from __future__ import annotations

import itertools

from shardproxy.errors import CROSS_SHARD_DDL, PRIVILEGE, SYNTAX, UNSUPPORTED_STATEMENT, ProxyError
from shardproxy.planner.context import PlanContext
from shardproxy.planner.plan import DdlPlan, DdlStep
from shardproxy.planner.scopes import Scopes
from shardproxy.planner.template import Edit, Template, pieces, template_of
from shardproxy.sql.lexer import Token, is_name, unquote_name
from shardproxy.sql.statement import Statement
from shardproxy.topology.topology import Scheme

_SKIPPED = frozenset(
    (
        "OR",
        "REPLACE",
        "TEMPORARY",
        "ONLINE",
        "OFFLINE",
        "IGNORE",
        "UNIQUE",
        "FULLTEXT",
        "SPATIAL",
        "IF",
        "NOT",
        "EXISTS",
        "WAIT",
        "NOWAIT",
    )
)


def plan_ddl(statement: Statement, context: PlanContext, edits: list[Edit], *, selected: bool) -> DdlPlan:
    """Plan a DDL statement; raises `ProxyError` for what the proxy does not carry out."""
    tokens = statement.tokens
    verb = tokens[0].upper
    subject = subject_of(tokens)
    if verb == "TRUNCATE":
        return _whole(statement, context, edits, 2 if subject == "TABLE" else 1, selected=selected)
    if verb == "RENAME":
        return _rename(statement, context, edits, selected=selected)
    if subject in ("DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "TABLESPACE"):
        raise ProxyError(PRIVILEGE, f"{verb} {subject} is not for the proxy: do it on the shards' servers")
    if verb == "DROP" and subject == "TABLE":
        return _drop(statement, context, selected=selected)
    if subject == "TABLE":
        return _table(statement, context, edits, selected=selected)
    if subject == "INDEX":
        at = next((i for i, t in enumerate(tokens) if t.upper == "ON"), 0)
        return _whole(statement, context, edits, at + 1, selected=selected)
    if subject == "VIEW" and verb == "DROP":
        return _whole(statement, context, edits, _subject_at(tokens, "VIEW"), selected=selected)
    raise ProxyError(UNSUPPORTED_STATEMENT, f"{verb} {subject} is not supported")


def _subject_at(tokens: list[Token], subject: str) -> int:
    """The token of the object's name: the first behind `subject` that is neither IF, NOT nor EXISTS."""
    at = next((i for i, t in enumerate(tokens) if t.upper == subject), 0) + 1
    while at < len(tokens) and tokens[at].upper in ("IF", "NOT", "EXISTS"):
        at += 1
    return at


def subject_of(tokens: list[Token]) -> str:
    """What a DDL statement is about: TABLE, INDEX, DATABASE, …"""
    return next((t.upper for t in tokens[1:8] if t.upper not in _SKIPPED), "")


def name_at(tokens: list[Token], at: int) -> tuple[str, str, int]:
    """A possibly qualified name: schema, name and the token behind it."""
    if at >= len(tokens) or not is_name(tokens[at]):
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax: a table's name is missing")
    name = unquote_name(tokens[at].text)
    if at + 2 < len(tokens) and tokens[at + 1].text == ".":
        return name, unquote_name(tokens[at + 2].text), at + 3
    return "", name, at + 1


def _homes(context: PlanContext, name: str, schema: str, *, selected: bool) -> tuple[str, ...]:
    """The shards that hold, or will hold, a table. Unlike for queries, the table need not be in order."""
    if schema or not selected:
        context.resolve("", schema, selected=selected)
    context.check_case(name)
    rule = context.topology.rule(name)
    return (rule.shard,) if rule.scheme is Scheme.UNSHARDED else context.topology.shards


def _text(statement: Statement, edits: list[Edit]) -> Template:
    return template_of(pieces(statement, 0, statement.tokens[-1].end, edits))


def _whole(statement: Statement, context: PlanContext, edits: list[Edit], at: int, *, selected: bool) -> DdlPlan:
    schema, name, _ = name_at(statement.tokens, at)
    return DdlPlan((DdlStep(_text(statement, edits), _homes(context, name, schema, selected=selected), name),))


def _table(statement: Statement, context: PlanContext, edits: list[Edit], *, selected: bool) -> DdlPlan:
    """CREATE TABLE and ALTER TABLE."""
    tokens = statement.tokens
    schema, name, behind = name_at(tokens, _subject_at(tokens, "TABLE"))
    shards = _homes(context, name, schema, selected=selected)
    words = [t.upper for t in tokens[behind:]]
    rule = context.topology.rule(name)
    temporary = tokens[0].upper == "CREATE" and "TEMPORARY" in (t.upper for t in tokens[1:5])
    if temporary and rule.scheme is not Scheme.UNSHARDED:
        raise ProxyError(CROSS_SHARD_DDL, f"a temporary table may not hide '{name}', which is spread over shards")
    if tokens[0].upper == "ALTER":
        _check_new_name(tokens[behind:], context)
    if tokens[0].upper == "ALTER" and name in context.topology.rules:
        _check_alter(tokens[behind:], rule.key, name)
    if tokens[0].upper == "CREATE" and "LIKE" in words[:2]:
        like_schema, like, _ = name_at(tokens, behind + words.index("LIKE") + 1)
        if _homes(context, like, like_schema, selected=selected) != shards:
            raise ProxyError(CROSS_SHARD_DDL, f"'{like}' and '{name}' live on different shards")
    elif tokens[0].upper == "CREATE" and "SELECT" in words:
        _check_source(statement, context, name, shards, selected=selected)
    return DdlPlan((DdlStep(_text(statement, edits), shards, name),), temporary=temporary)


def _check_alter(tokens: list[Token], key: str, name: str) -> None:
    """Keep the sharding key and the name of a table that the config speaks of."""
    named = [token for token in tokens if token.upper not in ("IF", "NOT", "EXISTS")]
    for before, token in itertools.pairwise(named):
        word = before.upper
        if word in ("DROP", "MODIFY", "CHANGE", "COLUMN") and unquote_name(token.text).lower() == key.lower() and key:
            raise ProxyError(CROSS_SHARD_DDL, f"the sharding key '{key}' of '{name}' cannot be altered")
        if word == "RENAME" and token.upper not in ("COLUMN", "INDEX", "KEY"):
            raise ProxyError(CROSS_SHARD_DDL, f"'{name}' is named in the config and cannot be renamed")


def _check_new_name(tokens: list[Token], context: PlanContext) -> None:
    """ALTER TABLE ... RENAME must not make a table of the config appear on one shard."""
    for i, token in enumerate(tokens):
        if token.upper == "RENAME":
            at = i + 2 if tokens[i + 1 : i + 2] and tokens[i + 1].upper in ("TO", "AS") else i + 1
            if at < len(tokens) and unquote_name(tokens[-1].text) in context.topology.rules:
                raise ProxyError(CROSS_SHARD_DDL, f"'{unquote_name(tokens[-1].text)}' is named in the config")


def _check_source(statement: Statement, context: PlanContext, name: str, shards: tuple[str, ...], *, selected: bool) -> None:
    """CREATE TABLE ... SELECT, within one shard only."""
    query = statement.tree.args.get("expression")
    scopes = Scopes(statement, context, selected=selected)
    if query is None or len(shards) != 1:
        raise ProxyError(CROSS_SHARD_DDL, f"'{name}' cannot be created from a SELECT: it is spread over shards")
    scopes.visit(query)
    if scopes.sharded or scopes.fixed_shards() - set(shards):
        raise ProxyError(CROSS_SHARD_DDL, "CREATE TABLE ... SELECT reads tables of other shards")


def _drop(statement: Statement, context: PlanContext, *, selected: bool) -> DdlPlan:
    """DROP TABLE of any number of tables, each on its shards."""
    tokens = statement.tokens
    at = _subject_at(tokens, "TABLE")
    head = statement.text[: tokens[at].start].encode("latin-1")
    steps = []
    while at < len(tokens):
        schema, name, at = name_at(tokens, at)
        quoted = b"`" + name.replace("`", "``").encode("latin-1") + b"`"
        steps.append(DdlStep((head + quoted,), _homes(context, name, schema, selected=selected), name))
        if at < len(tokens) and tokens[at].text == ",":
            at += 1
        else:
            break
    return DdlPlan(tuple(steps), temporary=any(token.upper == "TEMPORARY" for token in tokens[1:3]))


def _rename(statement: Statement, context: PlanContext, edits: list[Edit], *, selected: bool) -> DdlPlan:
    tokens = statement.tokens
    at, homes = _subject_at(tokens, "TABLE"), set()
    while at < len(tokens):
        schema, old, at = name_at(tokens, at)
        if at >= len(tokens) or tokens[at].upper != "TO":
            raise ProxyError(SYNTAX, "You have an error in your SQL syntax: RENAME TABLE a TO b")
        new_schema, new, at = name_at(tokens, at + 1)
        for name in (old, new):
            if name in context.topology.rules:
                raise ProxyError(CROSS_SHARD_DDL, f"'{name}' is named in the config and cannot be renamed")
        homes |= {_homes(context, old, schema, selected=selected), _homes(context, new, new_schema, selected=selected)}
        at += 1
    if len(homes) != 1:
        raise ProxyError(CROSS_SHARD_DDL, "the renamed tables live on different shards")
    return DdlPlan((DdlStep(_text(statement, edits), homes.pop(), ""),))
