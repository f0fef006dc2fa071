"""The schema's name in questions to information_schema: clients know the logical one, servers their own.

Where a column that holds a schema's name is compared to a plain string, the string is exchanged (`routing.render`), so that the server
can use it to look up tables; and what comes back is exchanged again (`executor.system`). Everywhere else the column itself is: a
pattern, a function or an order sees the logical name.
"""

from __future__ import annotations

from shardproxy.planner.template import Edit, SessionValue
from shardproxy.sql.lexer import Kind, Token, is_name, unquote_name

SCHEMA_COLUMNS = frozenset(
    (
        "table_schema", "schema_name", "index_schema", "constraint_schema", "unique_constraint_schema", "referenced_table_schema",
        "trigger_schema", "event_object_schema", "event_schema", "routine_schema", "specific_schema",
    )
)  # fmt: skip
_COMPARES = frozenset(("=", "<>", "!=", "<=>"))
_CURRENT = frozenset(("DATABASE", "SCHEMA"))
_NO_CALLS = frozenset(("IN", "USING", "AND", "OR", "NOT", "WHERE", "ON", "AS", "FROM", "EXISTS", "SELECT", "JOIN", "HAVING", "BY"))
_BEFORE_LISTED = frozenset(("SELECT", "DISTINCT", "ALL", ",", "BY"))
_BEHIND_LISTED = frozenset(("", ",", "FROM", "AS", "ASC", "DESC", "LIMIT", "ORDER", "HAVING", ")", "WITH"))


def compared_names(tokens: list[Token]) -> set[int]:
    """Where the strings and parameters begin that such a column is plainly compared to: these are exchanged, and no others."""
    found: set[int] = set()
    for i, token in enumerate(tokens):
        if not is_name(token) or unquote_name(token.text).lower() not in SCHEMA_COLUMNS:
            continue
        first = i
        while first >= 2 and tokens[first - 1].text == ".":
            first -= 2
        behind = i + 2 if _text(tokens, i + 1) == "NOT" else i + 1
        if _text(tokens, behind) in _COMPARES and _is_value(tokens, behind + 1):
            found.add(tokens[behind + 1].start)
        elif _text(tokens, behind) == "IN" and _text(tokens, behind + 1) == "(":
            at = behind + 1
            while at < len(tokens) and tokens[at].text != ")":
                found.add(tokens[at].start)
                at += 1
        if _text(tokens, first - 1) in _COMPARES and _is_value(tokens, first - 2):
            found.add(tokens[first - 2].start)
    return found


def _is_value(tokens: list[Token], at: int) -> bool:
    """Whether a string or a parameter stands there."""
    return 0 <= at < len(tokens) and (tokens[at].kind is Kind.STRING or tokens[at].text == "?")


def schema_name_edits(tokens: list[Token]) -> list[Edit]:
    """What to replace so that each column which is not plainly compared or listed holds the logical name."""
    edits = []
    calls = _inside_calls(tokens)
    for i, token in enumerate(tokens):
        if not is_name(token) or unquote_name(token.text).lower() not in SCHEMA_COLUMNS or _text(tokens, i + 1) in (".", "("):
            continue
        first = i
        while first >= 2 and tokens[first - 1].text == "." and is_name(tokens[first - 2]):
            first -= 2
        if _text(tokens, first - 1) == "AS" or _plain(tokens, first, i, inside_call=calls[i]):
            continue
        start, end = tokens[first].start, token.end
        name = "".join(part.text for part in tokens[first : i + 1]).encode("latin-1")
        edits.append(Edit(start, start, b"IF(" + name + b" = "))
        edits.append(Edit(start, start, SessionValue.PHYSICAL_NAME))
        edits.append(Edit(start, start, b", "))
        edits.append(Edit(start, start, SessionValue.LOGICAL_NAME))
        edits.append(Edit(start, end, b", " + name + b")"))
    return edits


def is_plainly_compared(tokens: list[Token], at: int) -> bool:
    """Whether the `DATABASE()` that begins at this token is compared to a column as it is: then the server's own answer is meant."""
    if _text(tokens, at - 1) in _COMPARES or _text(tokens, at - 1) == "LIKE":
        return _is_schema_column(tokens, at - 2)
    return _text(tokens, at + 3) in _COMPARES and _is_schema_column(tokens, at + 4)


def _is_schema_column(tokens: list[Token], at: int) -> bool:
    """Whether a name of a column stands there, or begins there."""
    while at + 1 < len(tokens) and _text(tokens, at + 1) == ".":
        at += 2
    return 0 <= at < len(tokens) and is_name(tokens[at]) and unquote_name(tokens[at].text).lower() in SCHEMA_COLUMNS


def _plain(tokens: list[Token], first: int, last: int, *, inside_call: bool) -> bool:
    before, behind = _text(tokens, first - 1), _text(tokens, last + 1)
    if behind in _COMPARES or (behind == "LIKE" and _text(tokens, last + 2) in _CURRENT):
        return _simple(tokens, last + 2)
    if before in _COMPARES:
        return first >= 2 and (_is_value(tokens, first - 2) or _text(tokens, first - 4) in _CURRENT)
    if behind == "IS" or behind == "IN" or (behind == "NOT" and _text(tokens, last + 2) == "IN"):
        return True
    if before == "(" and _text(tokens, first - 2) == "USING":
        return True
    return not inside_call and before in _BEFORE_LISTED and behind in _BEHIND_LISTED


def _simple(tokens: list[Token], at: int) -> bool:
    """Whether a string, a column or DATABASE() stands there, by itself."""
    if at >= len(tokens):
        return False
    token = tokens[at]
    if _is_value(tokens, at):
        return True
    if token.upper in _CURRENT and _text(tokens, at + 1) == "(":
        return True
    return is_name(token) and _text(tokens, at + 1) != "("


def _inside_calls(tokens: list[Token]) -> list[bool]:
    """For each token, whether the innermost parenthesis around it is that of a function's arguments."""
    found, stack = [], [False]
    for i, token in enumerate(tokens):
        if token.text == "(":
            before = tokens[i - 1] if i else None
            stack.append(before is not None and is_name(before) and before.upper not in _NO_CALLS)
        found.append(stack[-1])
        if token.text == ")" and len(stack) > 1:
            stack.pop()
    return found


def _text(tokens: list[Token], at: int) -> str:
    return tokens[at].upper if 0 <= at < len(tokens) else ""
