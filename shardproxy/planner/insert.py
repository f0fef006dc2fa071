"""INSERT and REPLACE: into which shards the rows go."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from shardproxy.errors import (
    AUTO_INCREMENT,
    BAD_FIELD_COUNT,
    CROSS_SHARD_SUBQUERY,
    CROSS_SHARD_WRITE,
    KEY_MISSING,
    KEY_UNPROVABLE,
    KEY_UPDATE,
    NON_DETERMINISTIC,
    SYNTAX,
    UNSUPPORTED_STATEMENT,
    ProxyError,
)
from shardproxy.planner.context import PlanContext, ResolvedTable
from shardproxy.planner.determinism import check_deterministic
from shardproxy.planner.plan import Kind, Opcode, Operand, Plan, Point, Route, RowInsert
from shardproxy.planner.scopes import Scopes
from shardproxy.planner.template import Edit, Template, pieces, template_of
from shardproxy.sql.lexer import Kind as TokenKind
from shardproxy.sql.lexer import Token, is_name, skip_parentheses, unquote_name
from shardproxy.sql.statement import Statement
from shardproxy.topology.topology import Scheme

_MODIFIERS = frozenset(("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"))


@dataclass(slots=True)
class _Parts:
    """An INSERT taken apart: `body` is the token behind the column list, `form` its keyword, `tail` the first behind the rows."""

    name: str
    schema: str
    columns: list[str] | None
    body: int
    form: str
    tail: int = 0
    rows: int = 0


def plan_insert(statement: Statement, context: PlanContext, edits: list[Edit], *, selected: bool) -> Plan:
    """Plan an INSERT or REPLACE; raises `ProxyError` where its rows cannot be placed."""
    tokens = statement.tokens
    parts = _take_apart(tokens)
    table = context.resolve(parts.name, parts.schema, selected=selected)
    template = template_of(pieces(statement, 0, tokens[-1].end, edits)) if edits else None
    scheme = table.rule.scheme
    returning = any(t.upper == "RETURNING" for t in tokens[parts.tail :])
    if returning and (scheme is Scheme.REFERENCE or (scheme.sharded and parts.rows > 1)):
        raise ProxyError(CROSS_SHARD_WRITE, "RETURNING cannot be applied over several shards")
    selects = any(t.upper in ("SELECT", "TABLE", "WITH") and t.kind is TokenKind.WORD for t in tokens[parts.body :])
    if scheme is Scheme.UNSHARDED:
        if selects:
            _check_sources(statement, context, table, selected=selected)
        auto = _auto_slots(statement, parts, table)
        route = Route(Opcode.FIXED, table.rule.shard)
        asks = _asks_id(statement, table)
        return Plan(Kind.INSERT, route, template, writes=True, tables=(table.name,), auto_slots=auto, asks_id=asks)
    if scheme is Scheme.REFERENCE:
        if selects:
            raise ProxyError(CROSS_SHARD_WRITE, "INSERT ... SELECT into a reference table is not supported")
        check_deterministic(tokens)
        route = Route(Opcode.EVERY)
        auto = _auto_slots(statement, parts, table)
        _check_repeatable_ids(statement, table, auto)
        return Plan(Kind.INSERT, route, template, writes=True, reference_write=True, tables=(table.name,), auto_slots=auto)
    if selects:
        spec = CROSS_SHARD_WRITE if parts.form not in ("VALUES", "VALUE", "SET") else CROSS_SHARD_SUBQUERY
        raise ProxyError(spec, "INSERT into a sharded table takes values, not a SELECT")
    _check_duplicate_update(tokens[parts.tail :], table)
    if parts.form == "SET":
        return _plan_set(statement, parts, table, template)
    return _plan_rows(statement, parts, table, template)


def ids_of_insert(statement: Statement, context: PlanContext) -> tuple[tuple[int, ...] | None, bool, bool]:
    """`auto_slots`, `asks_id` and `unknown_ids` of an INSERT that is passed through."""
    try:
        parts = _take_apart(statement.tokens)
        table = context.resolve(parts.name, parts.schema)
    except ProxyError:
        return None, False, True
    if table.schema is None:
        return None, False, True
    return _auto_slots(statement, parts, table), _asks_id(statement, table), False


def _asks_id(statement: Statement, table: ResolvedTable) -> bool:
    """Whether the rows that the answer counts may be left out or updated, in a table that counts."""
    counts = table.schema is not None and any(column.auto_increment for column in table.schema.columns)
    return counts and bool({token.upper for token in statement.tokens} & {"DUPLICATE", "IGNORE", "REPLACE"})


def _take_apart(tokens: list[Token]) -> _Parts:
    i = 1
    while i < len(tokens) and tokens[i].upper in _MODIFIERS:
        i += 1
    if i >= len(tokens) or not is_name(tokens[i]):
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax: INSERT without a table")
    name, schema = unquote_name(tokens[i].text), ""
    i += 1
    if i + 1 < len(tokens) and tokens[i].text == ".":
        schema, name = name, unquote_name(tokens[i + 1].text)
        i += 2
    if i < len(tokens) and tokens[i].upper == "PARTITION":
        raise ProxyError(UNSUPPORTED_STATEMENT, "INSERT with PARTITION is not supported")
    columns: list[str] | None = None
    if i + 1 < len(tokens) and tokens[i].text == "(" and tokens[i + 1].upper not in ("SELECT", "WITH", "("):
        end = skip_parentheses(tokens, i)
        # A column may be qualified; its own name is the last before the comma.
        listed = tokens[i + 1 : end]
        columns = [unquote_name(t.text) for t, after in pairwise(listed) if is_name(t) and after.text in (",", ")")]
        i = end
    form = tokens[i].upper if i < len(tokens) else ""
    parts = _Parts(name, schema, columns, min(i, len(tokens) - 1), form, len(tokens))
    if form in ("VALUES", "VALUE"):
        i += 1
        while i < len(tokens) and tokens[i].text == "(":
            i = skip_parentheses(tokens, i)
            parts.rows += 1
            if i < len(tokens) and tokens[i].text == ",":
                i += 1
        parts.tail = i
    elif form == "SET":
        on = [j for j in range(i, len(tokens) - 1) if tokens[j].upper == "ON" and tokens[j + 1].upper == "DUPLICATE"]
        parts.tail = on[0] if on else len(tokens)
    return parts


def _check_sources(statement: Statement, context: PlanContext, table: ResolvedTable, *, selected: bool) -> None:
    """INSERT ... SELECT within one shard: everything it reads must be there."""
    scopes = Scopes(statement, context, selected=selected)
    query = statement.tree.args.get("expression")
    if query is None or scopes is None:
        raise ProxyError(UNSUPPORTED_STATEMENT, "this INSERT is not supported")
    scopes.visit(query)
    if scopes.sharded or scopes.system or scopes.fixed_shards() - {table.rule.shard}:
        raise ProxyError(CROSS_SHARD_WRITE, "INSERT ... SELECT reads tables of other shards")


def _check_duplicate_update(tail: list[Token], table: ResolvedTable) -> None:
    """ON DUPLICATE KEY UPDATE must leave the sharding key alone."""
    depth = 0
    for before, token, after in zip(tail, tail[1:], tail[2:], strict=False):
        depth += (before.text == "(") - (before.text == ")")
        starts = before.upper == "UPDATE" or before.text in (",", ".")
        if not depth and starts and after.text == "=" and unquote_name(token.text).lower() == table.rule.key.lower():
            if _keeps_key(tail[tail.index(after) + 1 :], table.rule.key.lower()):
                continue
            raise ProxyError(KEY_UPDATE, f"ON DUPLICATE KEY UPDATE must not change the sharding key '{table.rule.key}'")


def _keeps_key(value: list[Token], key: str) -> bool:
    """Whether the key is left as it is, or given the value of the row that was to be inserted: a row in its way is on the same shard."""
    words = [unquote_name(token.text).lower() for token in value[:5]]
    return (words[:1] == [key] and words[1:2] in ([], [","])) or (words[:4] == ["values", "(", key, ")"] and words[4:] in ([], [","]))


def _auto_column(table: ResolvedTable, columns: list[str]) -> tuple[int, str]:
    """Where an AUTO_INCREMENT column stands in each row. Its value must be given: shards would each count by themselves."""
    assert table.schema is not None
    auto = next((c.name for c in table.schema.columns if c.auto_increment), "")
    if not auto:
        return -1, ""
    position = next((i for i, name in enumerate(columns) if name.lower() == auto.lower()), -1)
    if position < 0:
        raise ProxyError(AUTO_INCREMENT, f"the AUTO_INCREMENT column '{auto}' of sharded table '{table.name}' must be given a value")
    return position, auto


def _check_repeatable_ids(statement: Statement, table: ResolvedTable, auto: tuple[int, ...] | None) -> None:
    """Every copy must choose the same AUTO_INCREMENT values, which works only where each row is inserted and none replaced."""
    chooses = auto is None and table.schema is not None and any(column.auto_increment for column in table.schema.columns)
    if chooses and {token.upper for token in statement.tokens} & {"DUPLICATE", "IGNORE", "REPLACE"}:
        raise ProxyError(NON_DETERMINISTIC, "rows that may be left out or replaced need AUTO_INCREMENT values of their own")


def _auto_slots(statement: Statement, parts: _Parts, table: ResolvedTable) -> tuple[int, ...] | None:
    """The literals that the rows give an AUTO_INCREMENT column; None where the server chooses a value, whatever they are."""
    auto = next((c.name for c in table.schema.columns if c.auto_increment), None) if table.schema else None
    if auto is None or table.schema is None or parts.form not in ("VALUES", "VALUE"):
        return None
    columns = parts.columns if parts.columns is not None else [column.name for column in table.schema.columns]
    position = next((i for i, name in enumerate(columns) if name.lower() == auto.lower()), -1)
    slots = []
    at = parts.body + 1
    for _ in range(parts.rows if position >= 0 else 0):
        values = _values(statement.tokens, at)
        value = _operand(statement, values[position]) if position < len(values) else None
        if value is None:
            return None
        slots.append(value.slot)
        at = skip_parentheses(statement.tokens, at) + 1
    return tuple(slots) or None


def _plan_rows(statement: Statement, parts: _Parts, table: ResolvedTable, template: Template | None) -> Plan:
    assert table.schema is not None and table.placement is not None
    if parts.form not in ("VALUES", "VALUE") or not parts.rows:
        raise ProxyError(KEY_MISSING, f"INSERT into sharded table '{table.name}' gives no sharding key '{table.rule.key}'")
    columns = parts.columns if parts.columns is not None else [column.name for column in table.schema.columns]
    position = next((i for i, name in enumerate(columns) if name.lower() == table.rule.key.lower()), -1)
    if position < 0:
        raise ProxyError(KEY_MISSING, f"INSERT into sharded table '{table.name}' gives no sharding key '{table.rule.key}'")
    auto_position, auto_column = _auto_column(table, columns)
    insert = RowInsert(table.placement, table.rule.key, position, len(columns), auto_position, auto_column, parts.rows > 1)
    if parts.rows > 1:
        return Plan(
            Kind.INSERT,
            Route(Opcode.KEYED),
            template,
            insert=insert,
            writes=True,
            tables=(table.name,),
            auto_slots=(),
        )
    tokens = statement.tokens
    values = _values(tokens, parts.body + 1)
    if len(values) != len(columns):
        raise ProxyError(BAD_FIELD_COUNT, "Column count doesn't match value count at row 1", plain=True)
    return _point_plan(statement, table, template, insert, values[position], values[auto_position] if auto_position >= 0 else None)


def _plan_set(statement: Statement, parts: _Parts, table: ResolvedTable, template: Template | None) -> Plan:
    """`INSERT ... SET a = 1, b = 2`."""
    assert table.placement is not None
    columns: list[str] = []
    values: list[list[Token]] = []
    current: list[Token] = []
    depth = 0
    for token in [*statement.tokens[parts.body + 1 : parts.tail], None]:
        depth += 0 if token is None else (token.text == "(") - (token.text == ")")
        if token is None or (token.text == "," and not depth):
            if len(current) > 2 and current[-1].text != "=":
                names = [t for t in current if t.text == "="]
                equals = current.index(names[0]) if names else 1
                columns.append(unquote_name(current[equals - 1].text))
                values.append(current[equals + 1 :])
            current = []
        else:
            current.append(token)
    position = next((i for i, name in enumerate(columns) if name.lower() == table.rule.key.lower()), -1)
    if position < 0:
        raise ProxyError(KEY_MISSING, f"INSERT into sharded table '{table.name}' gives no sharding key '{table.rule.key}'")
    auto_position, auto_column = _auto_column(table, columns)
    insert = RowInsert(table.placement, table.rule.key, position, len(columns), auto_position, auto_column)
    return _point_plan(statement, table, template, insert, values[position], values[auto_position] if auto_position >= 0 else None)


def _point_plan(
    statement: Statement,
    table: ResolvedTable,
    template: Template | None,
    insert: RowInsert,
    key: list[Token],
    auto: list[Token] | None,
) -> Plan:
    value = _operand(statement, key)
    if value is None:
        # The row splitter reads the value at run time, and gives the precise error.
        value_text = statement.text[key[0].start : key[-1].end] if key else ""
        if value_text.upper() not in ("NULL", "DEFAULT", "TRUE", "FALSE"):
            raise ProxyError(KEY_UNPROVABLE, f"sharding key '{insert.key_column}' must be a literal, not {value_text[:40]}")
    if value is None or auto is not None:
        many = RowInsert(
            insert.placement,
            insert.key_column,
            insert.key_position,
            insert.width,
            insert.auto_position,
            insert.auto_column,
            many=True,
        )
        if statement.tokens and any(t.upper == "SET" and t.kind is TokenKind.WORD for t in statement.tokens[:6]):
            raise ProxyError(KEY_UNPROVABLE, f"use INSERT ... VALUES for table '{table.name}'")
        return Plan(
            Kind.INSERT,
            Route(Opcode.KEYED),
            template,
            insert=many,
            writes=True,
            tables=(table.name,),
            auto_slots=(),
        )
    route = Route(Opcode.KEYED, point=Point(insert.placement, value.slot, value.negative))
    return Plan(Kind.INSERT, route, template, insert=insert, writes=True, tables=(table.name,), auto_slots=())


def _values(tokens: list[Token], start: int) -> list[list[Token]]:
    """The values of the row that starts at token `start`."""
    end = skip_parentheses(tokens, start) - 1
    values: list[list[Token]] = [[]]
    depth = 0
    for token in tokens[start + 1 : end]:
        depth += (token.text == "(") - (token.text == ")")
        if token.text == "," and not depth:
            values.append([])
        else:
            values[-1].append(token)
    return values


def _operand(statement: Statement, value: list[Token]) -> Operand | None:
    while len(value) > 2 and value[0].text == "(" and value[-1].text == ")":
        value = value[1:-1]
    negative = len(value) == 2 and value[0].text == "-"
    if len(value) != (2 if value and value[0].text in ("+", "-") else 1):
        return None
    slot = statement.slots.get(value[-1].start)
    return Operand(slot, negative) if slot is not None else None
