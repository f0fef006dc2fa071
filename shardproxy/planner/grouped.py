"""GROUP BY and aggregates over several shards.

Each shard groups its own rows, ordered by the group's keys, and sends its select list as the client wrote it, so that names and
types are the server's; hidden columns carry what the merge needs besides. Groups that stand side by side are then put together.
COUNT(DISTINCT x) makes the shards group by x too: within a group the distinct values then come one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from shardproxy.errors import (
    CROSS_SHARD_CLAUSE,
    CROSS_SHARD_EXPRESSION,
    CROSS_SHARD_FUNCTION,
    CROSS_SHARD_ORDER,
    ProxyError,
)
from shardproxy.merge.spec import Aggregate, Combine, Condition, Grouping, MergeSpec, SortKey
from shardproxy.planner.columns import ShardColumns, join_pieces, order_nodes
from shardproxy.planner.having import build_having
from shardproxy.planner.template import LimitSum, Piece, Template, pieces, template_of

_COMBINES: dict[type[exp.Expression], Combine] = {
    exp.Count: Combine.COUNT,
    exp.Sum: Combine.SUM,
    exp.Min: Combine.MIN,
    exp.Max: Combine.MAX,
    exp.Avg: Combine.AVG,
    exp.BitwiseAndAgg: Combine.BIT_AND,
    exp.BitwiseOrAgg: Combine.BIT_OR,
    exp.BitwiseXorAgg: Combine.BIT_XOR,
    exp.AnyValue: Combine.FIRST,
}
# Expressions that can be written out again without changing their meaning.
_REWRITABLE = (
    exp.Mod,
    exp.Div,
    exp.IntDiv,
    exp.Column,
    exp.Identifier,
    exp.Literal,
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.Paren,
    exp.Neg,
    exp.Star,
    exp.Distinct,
    exp.AggFunc,
)


@dataclass
class _Builder:
    columns: ShardColumns
    group_nodes: list[exp.Expression] = field(default_factory=list)
    group_texts: list[list[Piece]] = field(default_factory=list)
    group_visible: list[int | None] = field(default_factory=list)
    aggregates: dict[int, Aggregate] = field(default_factory=dict)
    distinct_nodes: list[exp.Expression] = field(default_factory=list)
    distinct_keys: list[SortKey] = field(default_factory=list)

    def group_by(self) -> None:
        """Resolve the elements of GROUP BY to expressions."""
        columns = self.columns
        group = columns.select.args.get("group")
        nodes = group.expressions if group is not None else []
        for item, node in zip(columns.clauses.group, nodes, strict=True):
            visible = columns.visible_of(node)
            named = isinstance(node, exp.Literal) or (visible is not None and not columns.same(columns.nodes[visible], node))
            if visible is not None and named:
                if isinstance(node, exp.Column) and columns.column_of(node) is not None:
                    raise ProxyError(CROSS_SHARD_CLAUSE, f"'{node.name}' in GROUP BY is both a column and an alias")
                self.group_nodes.append(columns.nodes[visible])
                self.group_texts.append(columns.texts[visible])
            else:
                self.group_nodes.append(node)
                self.group_texts.append(columns.text(item))
            self.group_visible.append(visible)

    def add(self, node: exp.Expression, text: list[Piece], column: int | None) -> int:
        """Merge a selected (or, where `column` is None, a hidden) expression; gives the number of its column."""
        if not isinstance(node, exp.AggFunc):
            if node.find(exp.AggFunc) is not None:
                raise ProxyError(CROSS_SHARD_EXPRESSION, "an expression over aggregates cannot be merged from several shards")
            number = self.columns.hide(text) if column is None else column
            self.aggregates[number] = Aggregate(number, Combine.FIRST)
            return number
        combine = _COMBINES.get(type(node))
        if combine is None:
            raise ProxyError(CROSS_SHARD_FUNCTION, f"{node.sql_name()} cannot be merged from several shards")
        number = self.columns.hide(text) if column is None else column
        self.aggregates[number] = self._aggregate(node, text, number, combine)
        return number

    def _aggregate(self, node: exp.AggFunc, text: list[Piece], number: int, combine: Combine) -> Aggregate:
        if isinstance(node.this, exp.Distinct):
            if combine in (Combine.MIN, Combine.MAX):
                raise ProxyError(CROSS_SHARD_FUNCTION, "DISTINCT in MIN and MAX cannot be merged from several shards; leave it out")
            if combine is not Combine.COUNT:
                raise ProxyError(CROSS_SHARD_FUNCTION, f"{combine.value}(DISTINCT) cannot be merged from several shards")
            if not self._distinct_on_shards(node.this):
                self._distinct(node.this)
                return Aggregate(number, Combine.COUNT_DISTINCT)
            return Aggregate(number, Combine.COUNT)
        if combine in (Combine.MIN, Combine.MAX):
            return Aggregate(number, combine, key=self._extreme_key(node, text, number))
        if combine is Combine.AVG:
            argument = self.written(node.this)
            total = self.columns.hide([b"SUM(" + argument + b")"])
            count = self.columns.hide([b"COUNT(" + argument + b")"])
            self.aggregates[total] = Aggregate(total, Combine.SUM)
            self.aggregates[count] = Aggregate(count, Combine.COUNT)
            return Aggregate(number, combine, total=total, count=count)
        return Aggregate(number, combine)

    def _extreme_key(self, node: exp.AggFunc, text: list[Piece], number: int) -> SortKey:
        column = self.columns.column_of(node.this)
        if column is not None and column.data_type in ("bit", "json", "geometry", "uuid", "inet4", "inet6", "vector"):
            raise ProxyError(
                CROSS_SHARD_FUNCTION,
                f"{node.sql_name()} of type {column.data_type} cannot be merged from several shards",
            )
        if column is not None and column.charset is None and column.data_type not in ("enum", "set"):
            return SortKey(number)
        weight = self.columns.hide([b"WEIGHT_STRING(", *text, b")"])
        return SortKey(number, weight=weight, collation=self.columns.hide([b"COLLATION(", *text, b")"]))

    def _distinct_on_shards(self, distinct: exp.Distinct) -> bool:
        """Whether the sharding key is among what must differ: then no value is counted on two shards."""
        scopes = self.columns.scopes
        for node in distinct.expressions:
            instance = scopes.instance_of(node, scopes.top) if isinstance(node, exp.Column) else None
            if instance and instance.table.sharded and not instance.nullable and node.name.lower() == instance.table.rule.key.lower():
                return True
        return False

    def _distinct(self, distinct: exp.Distinct) -> None:
        if self.distinct_nodes:
            if len(self.distinct_nodes) != len(distinct.expressions) or not all(
                self.columns.same(a, b) for a, b in zip(self.distinct_nodes, distinct.expressions, strict=True)
            ):
                raise ProxyError(
                    CROSS_SHARD_FUNCTION,
                    "COUNT(DISTINCT) of different expressions cannot be merged from several shards",
                )
            return
        for node in distinct.expressions:
            key = self.columns.sort_key(node, [self.written(node)], None, exact=True)
            self.distinct_nodes.append(node)
            self.distinct_keys.append(key)

    def written(self, node: exp.Expression) -> bytes:
        """An expression written out again; the plan then depends on the literals in it."""
        for part in node.walk():
            if not isinstance(part, _REWRITABLE) or (isinstance(part, exp.Literal) and part.is_string):
                raise ProxyError(
                    CROSS_SHARD_EXPRESSION,
                    "the argument of an aggregate is too complex to be merged from several shards",
                )
        self.columns.fix(node)
        return node.sql(dialect="mysql", comments=False).encode("latin-1")

    def merged_column(self, node: exp.Expression, *, ordinals: bool = False) -> int:
        """The column of a grouped row that an expression of HAVING or ORDER BY means, added where it is not selected."""
        if not ordinals and not isinstance(node, (exp.Column, exp.AggFunc)):
            raise ProxyError(CROSS_SHARD_EXPRESSION, "HAVING over several shards takes group keys, aggregates and aliases")
        visible = self.columns.visible_of(node)
        if visible is not None:
            return visible
        for group, at, text in zip(self.group_nodes, self.group_visible, self.group_texts, strict=True):
            if self.columns.same(group, node):
                return at if at is not None else self.add(group, text, None)
        if isinstance(node, exp.AggFunc):
            return self.add(node, [self.written(node)], None)
        raise ProxyError(
            CROSS_SHARD_EXPRESSION,
            "HAVING and ORDER BY of groups on several shards take group keys, aggregates and aliases",
        )


def build_grouped(columns: ShardColumns) -> tuple[Template, MergeSpec]:
    """Plan a grouped SELECT whose groups span shards."""
    clauses = columns.clauses
    if columns.starred:
        raise ProxyError(CROSS_SHARD_CLAUSE, "* cannot be grouped over several shards")
    if clauses.distinct:
        raise ProxyError(CROSS_SHARD_CLAUSE, "DISTINCT of groups cannot be applied over several shards")
    builder = _Builder(columns)
    builder.group_by()
    for position, node in enumerate(columns.nodes):
        builder.add(node, columns.texts[position], position)
    having, pushed = _having(builder)
    group_order, final_order = _orders(builder)
    keys = tuple(
        columns.sort_key(builder.group_nodes[i], builder.group_texts[i], builder.group_visible[i], descending=descending, exact=True)
        for i, descending in group_order
    )
    order_text: list[list[Piece]] = [[*builder.group_texts[i], b" DESC" if descending else b""] for i, descending in group_order]
    distinct_text: list[list[Piece]] = [[builder.written(node)] for node in builder.distinct_nodes]
    group_text: list[list[Piece]] = [*(builder.group_texts[i] for i, _ in group_order), *distinct_text]
    parts: list[Piece] = [*pieces(columns.statement, *clauses.head, columns.edits), b" ", *select_list(columns)]
    parts += [*columns.hidden_pieces(), b" ", *columns.body()]
    if group_text:
        parts += [
            b" GROUP BY ",
            *join_pieces(group_text),
            *pushed,
            b" ORDER BY ",
            *join_pieces([*order_text, *distinct_text]),
        ]
    else:
        parts += pushed
    limited = clauses.limit is not None and bool(keys) and not (having or final_order or builder.distinct_nodes)
    if limited and clauses.limit is not None:
        parts += [b" LIMIT ", LimitSum(clauses.limit, clauses.offset)]
    grouping = Grouping(keys, tuple(builder.aggregates.values()), tuple(builder.distinct_keys), having, final_order)
    order = (*keys, *builder.distinct_keys)
    return template_of(parts), MergeSpec(order, len(columns.hidden), False, grouping, clauses.limit, clauses.offset)


def _having(builder: _Builder) -> tuple[Condition | None, list[Piece]]:
    """HAVING on aggregates is decided in the merge; on the group's keys alone, on the shards."""
    clauses, columns = builder.columns.clauses, builder.columns
    node = columns.select.args.get("having")
    if node is None or clauses.having is None:
        return None, []
    uses_aliases = any(
        column.name.lower() in (alias.lower() for alias in columns.aliases if alias)
        for column in node.find_all(exp.Column)
        if not column.table
    )
    if node.find(exp.AggFunc) is None and not uses_aliases and builder.group_nodes:
        return None, [b" HAVING ", *pieces(columns.statement, *clauses.having, columns.edits)]
    return build_having(columns.statement, node.this, builder.merged_column), []


def _orders(builder: _Builder) -> tuple[list[tuple[int, bool]], tuple[SortKey, ...]]:
    """The order of the group's keys on the shards, and the final order of the groups where that is another one."""
    columns = builder.columns
    wanted = list(zip(columns.clauses.order, order_nodes(columns.select), strict=True))
    group_order: list[tuple[int, bool]] = []
    for item, node in wanted:
        position = _group_position(builder, node)
        if position is None:
            break
        if position not in (p for p, _ in group_order):
            group_order.append((position, item.descending))
    else:
        taken = {p for p, _ in group_order}
        return group_order + [(p, False) for p in range(len(builder.group_nodes)) if p not in taken], ()
    final = []
    for item, node in wanted:
        number = builder.merged_column(node, ordinals=True)
        aggregate = builder.aggregates[number]
        if aggregate.combine is Combine.FIRST:
            source = columns.nodes[number] if number >= 0 else node
            text = columns.texts[number] if number >= 0 else columns.text(item)
            key = columns.sort_key(source, text, number, descending=item.descending)
            for extra in (key.value, key.weight, key.collation):
                if isinstance(extra, int) and extra not in builder.aggregates:
                    builder.aggregates[extra] = Aggregate(extra, Combine.FIRST)
        elif aggregate.key is not None:
            source = columns.nodes[number] if number >= 0 else node
            columns.sort_key(source, columns.texts[number] if number >= 0 else columns.text(item), number)
            key = SortKey(number, item.descending, aggregate.key.weight, aggregate.key.collation)
        else:
            key = SortKey(number, item.descending)
        final.append(key)
    return [(p, False) for p in range(len(builder.group_nodes))], tuple(final)


def _group_position(builder: _Builder, node: exp.Expression) -> int | None:
    """Which of the group's keys an ORDER BY expression is, or None."""
    columns = builder.columns
    visible = columns.visible_of(node)
    for position, (group, at) in enumerate(zip(builder.group_nodes, builder.group_visible, strict=True)):
        if (visible is not None and at == visible) or (visible is None and columns.same(group, node)):
            return position
    if visible is not None:
        selected = columns.nodes[visible]
        return next((i for i, group in enumerate(builder.group_nodes) if columns.same(group, selected)), None)
    if not isinstance(node, exp.AggFunc) and not isinstance(node, exp.Column):
        columns.check_aliases(node)
    if isinstance(node, exp.Null):
        raise ProxyError(CROSS_SHARD_ORDER, "ORDER BY NULL cannot be used over several shards")
    return None


def select_list(columns: ShardColumns) -> list[Piece]:
    """The select list as the client wrote it, aliases included."""
    statement, clauses = columns.statement, columns.clauses
    end = max(token.end for token in statement.tokens if token.end <= clauses.body[0])
    return pieces(statement, clauses.items[0].start, end, columns.edits)
