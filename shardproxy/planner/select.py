"""A SELECT on several shards: what each is asked, and how the rows become one result."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlglot import exp

from shardproxy.errors import CROSS_SHARD_CLAUSE, CROSS_SHARD_FUNCTION, CROSS_SHARD_ORDER, ProxyError
from shardproxy.merge.spec import MergeSpec, SortKey
from shardproxy.planner.clauses import Item, split_select
from shardproxy.planner.columns import ShardColumns, join_pieces, order_nodes
from shardproxy.planner.grouped import build_grouped, select_list
from shardproxy.planner.scopes import Scopes
from shardproxy.planner.template import Edit, LimitSum, Piece, Template, pieces, template_of
from shardproxy.sql.lexer import Kind, function_names
from shardproxy.sql.statement import Statement

# Aggregates whose partial results do not add up, whether the parser knows them as such or not.
_UNMERGED = frozenset(
    (
        "GROUP_CONCAT", "JSON_ARRAYAGG", "JSON_OBJECTAGG", "ST_COLLECT", "STD", "STDDEV", "STDDEV_POP", "STDDEV_SAMP", "VARIANCE",
        "VAR_POP", "VAR_SAMP", "MEDIAN", "PERCENTILE_CONT", "PERCENTILE_DISC",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ScatterSelect:
    """The outcome: the text for a shard, the merge, and the literals that both depend on."""

    template: Template
    merge: MergeSpec
    fixed: tuple[int, ...]


def build_scatter(statement: Statement, scopes: Scopes, select: exp.Select, edits: list[Edit]) -> ScatterSelect:
    """Plan a SELECT for several shards; raises `ProxyError` where its answer could not be put together exactly."""
    _check_functions(statement, scopes, select)
    clauses = split_select(statement, select)
    if "SQL_CALC_FOUND_ROWS" in clauses.modifiers:
        raise ProxyError(CROSS_SHARD_CLAUSE, "SQL_CALC_FOUND_ROWS cannot be applied over several shards")
    columns = ShardColumns(statement, scopes, clauses, select, edits)
    unmerged = function_names(statement.tokens) & _UNMERGED
    if (_has_aggregates(select) or clauses.group or unmerged) and not _groups_stay_on_shards(columns, scopes):
        if unmerged:
            raise ProxyError(CROSS_SHARD_FUNCTION, f"{min(unmerged)} cannot be merged from several shards")
        template, merge = build_grouped(columns)
        return ScatterSelect(template, merge, tuple(sorted(columns.fixed)))
    template, merge = _build_rows(columns)
    return ScatterSelect(template, merge, tuple(sorted(columns.fixed)))


def _build_rows(columns: ShardColumns) -> tuple[Template, MergeSpec]:
    """Rows that each shard can finish by itself: the merge only orders, drops duplicates and cuts."""
    clauses, statement, edits = columns.clauses, columns.statement, columns.edits
    items = _item_pieces(columns)
    keys: list[SortKey] = []
    order_text: list[list[Piece]] = []
    for item, node in zip(clauses.order, order_nodes(columns.select), strict=True):
        visible = columns.visible_of(node)
        if visible is None and clauses.distinct:
            raise ProxyError(CROSS_SHARD_ORDER, "DISTINCT is ordered by something that is not selected")
        source, text = _source(columns, item, node, visible)
        if visible is None:
            columns.check_aliases(node)
        keys.append(columns.sort_key(source, text, visible, descending=item.descending, exact=clauses.distinct))
        order_text.append([*columns.text(item), b" DESC" if item.descending else b""])
    if clauses.distinct:
        for position, node in enumerate(columns.nodes):
            key = columns.sort_key(node, columns.texts[position], position, exact=True)
            if not any(replace(known, descending=False) == key for known in keys):
                keys.append(key)
                order_text.append([str(position + 1).encode()])
    parts: list[Piece] = [*pieces(statement, *clauses.head, edits), b" ", *items, *columns.hidden_pieces(), b" "]
    parts += columns.body()
    if clauses.group:
        parts += [b" GROUP BY ", *join_pieces([columns.text(item) for item in clauses.group])]
    if clauses.having:
        parts += [b" HAVING ", *pieces(statement, *clauses.having, edits)]
    if order_text:
        parts += [b" ORDER BY ", *join_pieces(order_text)]
    if clauses.limit is not None:
        parts += [b" LIMIT ", LimitSum(clauses.limit, clauses.offset)]
    if clauses.tail:
        parts += [b" ", *pieces(statement, *clauses.tail, edits)]
    merge = MergeSpec(tuple(keys), len(columns.hidden), clauses.distinct, None, clauses.limit, clauses.offset)
    return template_of(parts), merge


def _source(columns: ShardColumns, item: Item, node: exp.Expression, visible: int | None) -> tuple[exp.Expression, list[Piece]]:
    """The expression that an ORDER BY element stands for: the selected one where it names it by ordinal or alias."""
    if visible is None:
        return node, columns.text(item)
    if columns.starred:
        raise ProxyError(CROSS_SHARD_ORDER, "an ordinal beside * cannot be used over several shards")
    return columns.nodes[visible], columns.texts[visible]


def _item_pieces(columns: ShardColumns) -> list[Piece]:
    """The select list as written; for DISTINCT with `*`, spelled out, so that every column has a number."""
    if columns.clauses.distinct and columns.starred:
        columns.spell_out()
        return join_pieces(columns.texts)
    return select_list(columns)


def _has_aggregates(select: exp.Select) -> bool:
    parts = [*select.expressions, select.args.get("having"), select.args.get("order")]
    return any(_own_aggregate(part) for part in parts if part is not None)


def _own_aggregate(node: exp.Expression) -> bool:
    """Whether an expression holds an aggregate that is not inside a subquery."""
    return any(found.find_ancestor(exp.Select) is node.find_ancestor(exp.Select) for found in node.find_all(exp.AggFunc))


def _groups_stay_on_shards(columns: ShardColumns, scopes: Scopes) -> bool:
    """Whether the sharding key is among what is grouped by, so that no group has rows on two shards."""
    group = columns.select.args.get("group")
    for written in group.expressions if group is not None else ():
        visible = columns.visible_of(written) if isinstance(written, exp.Literal) and not columns.starred else None
        node = columns.nodes[visible] if visible is not None else written
        if isinstance(node, exp.Column):
            instance = scopes.instance_of(node, scopes.top)
            if instance and instance.table.sharded and not instance.nullable and node.name.lower() == instance.table.rule.key.lower():
                return True
    return False


def _check_functions(statement: Statement, scopes: Scopes, select: exp.Select) -> None:
    """Refuse what one shard cannot compute for its part alone."""
    if next(select.find_all(exp.Window), None) is not None:
        raise ProxyError(CROSS_SHARD_FUNCTION, "window functions need all rows of their partition on one shard")
    if any(a.kind is Kind.VARIABLE and b.text == ":=" for a, b in zip(statement.tokens, statement.tokens[1:], strict=False)):
        raise ProxyError(CROSS_SHARD_FUNCTION, "user variables cannot be assigned over several shards")
    for call in select.find_all(exp.Anonymous):
        if call.name.lower() in scopes.context.catalog.routines:
            raise ProxyError(CROSS_SHARD_FUNCTION, f"stored function '{call.name}' may read other rows than those of one shard")
