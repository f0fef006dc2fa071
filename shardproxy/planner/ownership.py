"""The ownership filter: what makes a text for several shards leave out the rows that a shard holds without owning them.

While a move runs, its rows lie on two shards. A statement for one shard cannot meet the second copies: whatever brought it to that
shard alone says of the key that the shard owns it. On several shards each row of the result, and each that is written, has a row
of every sharded instance that an outer join does not make optional, all with equal keys; so the condition on one of these is
enough. Plans are made anew with each topology, so there is no filter in them while nothing moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from shardproxy.errors import STRAY_ROWS, ProxyError
from shardproxy.planner.scopes import Scopes
from shardproxy.planner.strays import StrayTexts
from shardproxy.planner.template import Edit, OwnershipFilter, Piece, Template, pieces, quoted_name, template_of
from shardproxy.sql.statement import Statement


@dataclass(frozen=True, slots=True)
class _Strays:
    """The strays of a statement: by shard the condition that they fulfil, on `column`."""

    texts: StrayTexts
    column: bytes

    def behind(self, prefix: bytes) -> OwnershipFilter:
        """The condition with something before it."""
        return OwnershipFilter({shard: (prefix + first, *others) for shard, (first, *others) in self.texts.items()}, self.column)

    def only(self, text: bytes) -> OwnershipFilter:
        """Something else for the same shards."""
        return OwnershipFilter(dict.fromkeys(self.texts, (text,)))


def own_rows_of_select(
    statement: Statement, scopes: Scopes, body: tuple[int, int], where: int | None, edits: Sequence[Edit]
) -> list[Piece]:
    """FROM and WHERE of a SELECT, `[start, end)` of its text, for several shards. `where` is where the condition begins, if there is one.

    Raises `ProxyError` where rows of other shards cannot be left out.
    """
    strays = _strays(scopes)
    return pieces(statement, *body, edits) if strays is None else _filtered(statement, *body, where, edits, strays)


def own_rows_of_write(statement: Statement, scopes: Scopes, edits: Sequence[Edit]) -> Template | None:
    """An UPDATE or DELETE, which ends with its WHERE, for several shards; None where the text needs no filter."""
    strays = _strays(scopes)
    if strays is None:
        return None
    tokens = statement.tokens
    where, depth = None, 0
    for token, after in pairwise(tokens):
        depth += (token.text == "(") - (token.text == ")")
        if token.upper == "WHERE" and not depth:
            where = after.start
    if (where is None) != (statement.tree.args.get("where") is None):
        raise ProxyError(STRAY_ROWS, "the condition of this statement cannot be told from the rest")
    return template_of(_filtered(statement, 0, tokens[-1].end, where, edits, strays))


def _filtered(statement: Statement, start: int, end: int, where: int | None, edits: Sequence[Edit], strays: _Strays) -> list[Piece]:
    """`[start, end)` ends with the condition that begins at `where`. As that ends with a token, no comment swallows what is put behind."""
    if where is None:
        return [*pieces(statement, start, end, edits), strays.behind(b" WHERE NOT ")]
    condition = pieces(statement, where, end, edits)
    return [*pieces(statement, start, where, edits), strays.only(b"("), *condition, strays.behind(b") AND NOT ")]


def _strays(scopes: Scopes) -> _Strays | None:
    """The strays that a statement may meet on several shards, or None where there are none."""
    sharded = [i for i in scopes.top.instances if i.table.sharded] if scopes.top is not None else []
    if not any(scopes.context.topology.strays.get(i.table.rule.group) for i in sharded):
        return None
    kept = next((i for i in sharded if not i.nullable), None)
    if kept is None or kept.table.placement is None:
        raise ProxyError(STRAY_ROWS, "rows are being moved, and an outer join keeps rows of every shard")
    rule = kept.table.rule
    try:
        texts = scopes.context.strays.of(rule.group, kept.table.placement.key_type)
    except ValueError as error:
        raise ProxyError(STRAY_ROWS, f"rows of '{rule.name}' are being moved, and cannot be told by its key: {error}") from None
    return _Strays(texts, quoted_name(kept.visible) + b"." + quoted_name(rule.key)) if texts else None
