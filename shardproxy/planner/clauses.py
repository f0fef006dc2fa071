"""The clauses of a SELECT as places in its text, so that what a shard is asked is made of the client's own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from shardproxy.errors import CROSS_SHARD_CLAUSE, ProxyError
from shardproxy.sql.lexer import Kind, Token, skip_parentheses, unquote_name
from shardproxy.sql.statement import Statement

_MODIFIERS = frozenset(
    (
        "ALL", "DISTINCT", "DISTINCTROW", "HIGH_PRIORITY", "STRAIGHT_JOIN", "SQL_SMALL_RESULT", "SQL_BIG_RESULT",
        "SQL_BUFFER_RESULT", "SQL_CACHE", "SQL_NO_CACHE", "SQL_CALC_FOUND_ROWS",
    )
)  # fmt: skip
_STARTS = (
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "WINDOW",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "PROCEDURE",
    "INTO",
    "FOR",
    "LOCK",
)


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a comma-separated list: `[start, end)` is the expression without alias or direction."""

    start: int
    end: int
    alias: str = ""
    descending: bool = False

    def text(self, statement: Statement) -> str:
        """The expression as written."""
        return statement.text[self.start : self.end]


@dataclass(slots=True)
class SelectClauses:
    """A SELECT in pieces. Spans are places in the statement's text; `body` runs from FROM to the end of WHERE, `where` is where its
    condition begins."""

    head: tuple[int, int]
    modifiers: frozenset[str]
    items: list[Item]
    body: tuple[int, int]
    where: int | None = None
    group: list[Item] = field(default_factory=list)
    having: tuple[int, int] | None = None
    order: list[Item] = field(default_factory=list)
    limit: int | None = None
    offset: int | None = None
    tail: tuple[int, int] | None = None

    @property
    def distinct(self) -> bool:
        """Whether duplicates are dropped."""
        return bool(self.modifiers & {"DISTINCT", "DISTINCTROW"})


def split_select(statement: Statement, select: exp.Select) -> SelectClauses:
    """Find the clauses of the outermost SELECT; raises `ProxyError` for one that cannot be run on several shards."""
    tokens = statement.tokens
    if not tokens or tokens[0].upper != "SELECT":
        raise ProxyError(CROSS_SHARD_CLAUSE, "a SELECT in parentheses cannot be run on several shards")
    first = 1
    while first < len(tokens) and tokens[first].upper in _MODIFIERS:
        first += 1
    marks = _clause_starts(tokens, first)
    names = [tokens[i].upper for i in marks]
    if not names or names[0] != "FROM":
        raise ProxyError(CROSS_SHARD_CLAUSE, "a SELECT without FROM cannot be run on several shards")
    spans = dict(zip(names, zip(marks, [*marks[1:], len(tokens)], strict=True), strict=True))
    for name in ("WINDOW", "FETCH", "PROCEDURE", "INTO"):
        if name in spans:
            raise ProxyError(CROSS_SHARD_CLAUSE, f"{name} cannot be applied over several shards")
    where_end = spans.get("WHERE", spans["FROM"])[1]
    result = SelectClauses(
        head=(tokens[0].start, tokens[first - 1].end),
        modifiers=frozenset(t.upper for t in tokens[1:first]),
        items=_select_items(tokens, first, marks[0], select.expressions),
        body=(tokens[marks[0]].start, tokens[where_end - 1].end),
        where=tokens[spans["WHERE"][0] + 1].start if "WHERE" in spans else None,
    )
    if "GROUP" in spans:
        start, end = spans["GROUP"]
        if end - start > 2 and tokens[end - 1].upper == "ROLLUP":
            raise ProxyError(CROSS_SHARD_CLAUSE, "WITH ROLLUP cannot be applied over several shards")
        result.group = _items(tokens, start + 2, end)
    if "HAVING" in spans:
        start, end = spans["HAVING"]
        result.having = (tokens[start + 1].start, tokens[end - 1].end)
    if "ORDER" in spans:
        start, end = spans["ORDER"]
        result.order = _items(tokens, start + 2, end)
    _limits(statement, tokens, spans, result)
    for name in ("FOR", "LOCK"):
        if name in spans:
            start, end = spans[name]
            result.tail = (tokens[start].start, tokens[end - 1].end)
    return result


def _clause_starts(tokens: list[Token], first: int) -> list[int]:
    """The tokens that start the clauses of the outermost SELECT, in order."""
    marks: list[int] = []
    i, at = first, 0
    while i < len(tokens):
        token = tokens[i]
        if token.text == "(":
            i = skip_parentheses(tokens, i)
            continue
        if token.kind is Kind.WORD and token.upper in _STARTS[at:] and tokens[i - 1].text != ".":
            following = tokens[i + 1].upper if i + 1 < len(tokens) else ""
            # FOR, ORDER and GROUP also stand in index hints, LOCK and OFFSET may be names; only clause heads count.
            is_head = {
                "GROUP": following == "BY" and tokens[i - 1].upper != "FOR",
                "ORDER": following == "BY" and tokens[i - 1].upper != "FOR",
                "FOR": following in ("UPDATE", "SHARE"),
                "LOCK": following == "IN",
                "OFFSET": bool(marks) and tokens[marks[-1]].upper == "LIMIT",
                "WINDOW": bool(marks),
            }.get(token.upper, True)
            if is_head and token.upper != "OFFSET":
                marks.append(i)
                at = _STARTS.index(token.upper) + 1
        i += 1
    return marks


def _split(tokens: list[Token], start: int, end: int) -> list[list[Token]]:
    """Split a list at its outer commas."""
    parts: list[list[Token]] = [[]]
    i = start
    while i < end:
        if tokens[i].text == "(":
            behind = min(skip_parentheses(tokens, i), end)
            parts[-1] += tokens[i:behind]
            i = behind
            continue
        if tokens[i].text == ",":
            parts.append([])
        else:
            parts[-1].append(tokens[i])
        i += 1
    return parts


def _items(tokens: list[Token], start: int, end: int) -> list[Item]:
    """The elements of GROUP BY or ORDER BY."""
    items = []
    for part in _split(tokens, start, end):
        directed = len(part) > 1 and part[-1].upper in ("ASC", "DESC")
        last = part[-2] if directed else part[-1]
        items.append(Item(part[0].start, last.end, descending=directed and part[-1].upper == "DESC"))
    return items


def _select_items(tokens: list[Token], start: int, end: int, nodes: Sequence[exp.Expression]) -> list[Item]:
    """The elements of the select list; the tree tells which of them end in an alias."""
    items = []
    parts = _split(tokens, start, end)
    if len(parts) != len(nodes) or not all(parts):
        raise ProxyError(CROSS_SHARD_CLAUSE, "this select list cannot be taken apart for several shards")
    for part, node in zip(parts, nodes, strict=True):
        if not isinstance(node, exp.Alias):
            items.append(Item(part[0].start, part[-1].end))
            continue
        last = part[-3] if part[-2].upper == "AS" else part[-2]
        items.append(Item(part[0].start, last.end, _alias(part[-1])))
    return items


def _alias(token: Token) -> str:
    return token.text[1:-1] if token.kind is Kind.STRING else unquote_name(token.text)


def _limits(statement: Statement, tokens: list[Token], spans: dict[str, tuple[int, int]], result: SelectClauses) -> None:
    if "LIMIT" not in spans:
        return
    start, end = spans["LIMIT"]
    values = [statement.slots.get(t.start) for t in tokens[start + 1 : end] if t.kind is Kind.NUMBER]
    shape = [t.upper if t.kind is not Kind.NUMBER else "?" for t in tokens[start + 1 : end]]
    if None in values or shape not in (["?"], ["?", ",", "?"], ["?", "OFFSET", "?"]):
        raise ProxyError(CROSS_SHARD_CLAUSE, "this LIMIT cannot be applied over several shards")
    if len(values) == 1:
        result.limit = values[0]
    elif shape[1] == ",":
        result.offset, result.limit = values
    else:
        result.limit, result.offset = values
