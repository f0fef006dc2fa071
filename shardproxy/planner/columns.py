"""Hidden columns and sort keys: what a shard must add to its rows so that they can be compared with those of another shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot import exp

from shardproxy.errors import CROSS_SHARD_CLAUSE, CROSS_SHARD_ORDER, ProxyError
from shardproxy.merge.spec import SortKey
from shardproxy.planner.clauses import Item, SelectClauses
from shardproxy.planner.ownership import own_rows_of_select
from shardproxy.planner.scopes import Scopes
from shardproxy.planner.template import Edit, Piece, pieces, quoted_name
from shardproxy.sql.statement import Statement
from shardproxy.topology.catalog import Column

_TEXT = frozenset(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"))
_BY_NUMBER = frozenset(("enum", "set"))
_UNORDERED = frozenset(("json", "geometry", "point", "linestring", "polygon", "uuid", "inet4", "inet6", "vector"))
_NUMERIC_NODES = (exp.Count, exp.Sum, exp.Avg)
# Columns up to this many characters are padded by the server, so that their sort keys are plain bytes.
_PADDED_CHARS = 120


class ShardColumns:
    """The columns that each shard is asked for: the client's own, and hidden ones behind them.

    Hidden columns are numbered from the end: the first one added is -1. `fixed` collects the literals whose value the plan
    depends on.
    """

    def __init__(self, statement: Statement, scopes: Scopes, clauses: SelectClauses, select: exp.Select, edits: Sequence[Edit]) -> None:
        self.statement = statement
        self.scopes = scopes
        self.clauses = clauses
        self.select = select
        self.edits = edits
        self.fixed: set[int] = set()
        self.hidden: list[list[Piece]] = []
        self.nodes: list[exp.Expression] = [node.unalias() for node in select.expressions]
        self.aliases: list[str] = [item.alias for item in clauses.items]
        self.texts: list[list[Piece]] = [self.text(item) for item in clauses.items]
        self.starred = any(isinstance(n, exp.Star) or (isinstance(n, exp.Column) and isinstance(n.this, exp.Star)) for n in self.nodes)

    def text(self, item: Item) -> list[Piece]:
        """An expression as the client wrote it."""
        return pieces(self.statement, item.start, item.end, self.edits)

    def body(self) -> list[Piece]:
        """FROM and WHERE, with what keeps to the rows that a shard owns."""
        return own_rows_of_select(self.statement, self.scopes, self.clauses.body, self.clauses.where, self.edits)

    def hide(self, parts: list[Piece]) -> int:
        """Add a hidden column; gives its number. The same text is added once."""
        if parts in self.hidden:
            return -1 - self.hidden.index(parts)
        self.hidden.append(parts)
        return -len(self.hidden)

    def hidden_pieces(self) -> list[Piece]:
        """The hidden columns, each behind a comma."""
        result: list[Piece] = []
        for number, parts in reversed(list(enumerate(self.hidden))):
            result += [b", ", *parts, f" AS `_sp{number}`".encode()]
        return result

    def column_of(self, node: exp.Expression) -> Column | None:
        """The table's column that an expression is, or None for anything else."""
        if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
            return None
        instance = self.scopes.instance_of(node, self.scopes.top)
        return instance.table.schema.column(node.name) if instance and instance.table.schema else None

    def sort_key(
        self,
        node: exp.Expression,
        text: list[Piece],
        visible: int | None,
        *,
        descending: bool = False,
        exact: bool = False,
    ) -> SortKey:
        """What rows are compared by for one expression. `visible` is its number among the client's columns, if it is one.

        `exact`: equal values must come side by side, as DISTINCT and GROUP BY need it.
        """
        column = self.column_of(node)
        if isinstance(node, (exp.Min, exp.Max)):
            picked = self.column_of(node.this)
            if picked is not None and picked.data_type in ("enum", "set", "bit"):
                # A server picks MIN(enum) as a string and sorts it as a number, which its text does not tell.
                raise ProxyError(
                    CROSS_SHARD_ORDER, f"{node.sql_name()} of {picked.data_type.upper()} column '{picked.name}' cannot be ordered by"
                )
        if column is None:
            value = self.hide(text) if visible is None else visible
            if isinstance(node, _NUMERIC_NODES):
                return SortKey(value, descending)
            weight = self.hide([b"WEIGHT_STRING(", *text, b")"])
            return SortKey(value, descending, weight, self.hide([b"COLLATION(", *text, b")"]), whole=exact)
        if column.data_type in _UNORDERED:
            raise ProxyError(CROSS_SHARD_ORDER, f"values of type {column.data_type} cannot be ordered over several shards")
        if exact and column.data_type == "bit":
            # A server that groups or sorts BIT through a temporary table sends it as a number.
            raise ProxyError(CROSS_SHARD_ORDER, f"BIT column '{column.name}' cannot be grouped or made distinct over several shards")
        if column.data_type in _TEXT:
            return self._text_key(column, text, descending=descending, exact=exact)
        if column.data_type in _BY_NUMBER:
            return SortKey(self.hide([b"(", *text, b" + 0)"]), descending)
        if column.data_type == "float":
            return SortKey(self.hide([b"(", *text, b" + 0e0)"]), descending)
        return SortKey(self.hide(text) if visible is None else visible, descending)

    def _text_key(self, column: Column, text: list[Piece], *, descending: bool, exact: bool) -> SortKey:
        """Strings are compared by the server's own sort key. A short column's can be padded there, whatever its collation is."""
        collation = (column.collation or "").lower()
        pads = self.scopes.context.catalog.collations.get(collation, b"") != b""
        if pads and column.max_chars <= _PADDED_CHARS:
            weight = self.hide([b"WEIGHT_STRING(", *text, b" AS CHAR(%d))" % column.max_chars])
            return SortKey(weight, descending, collation="binary", whole=exact)
        return SortKey(self.hide([b"WEIGHT_STRING(", *text, b")"]), descending, collation=collation, whole=exact)

    def same(self, a: exp.Expression, b: exp.Expression) -> bool:
        """Whether two expressions are the same. Where literals are part of that, the plan depends on their values."""
        if isinstance(a, exp.Column) and isinstance(b, exp.Column) and a.name.lower() == b.name.lower():
            left = self.scopes.instance_of(a, self.scopes.top)
            return a == b or (left is not None and left is self.scopes.instance_of(b, self.scopes.top))
        if a != b:
            return False
        self.fix(a)
        self.fix(b)
        return True

    def fix(self, node: exp.Expression) -> None:
        """Let the plan depend on the literals of an expression."""
        for literal in node.find_all(exp.Literal):
            slot = self.statement.slot_of(literal)
            if slot is not None:
                self.fixed.add(slot)

    def visible_of(self, node: exp.Expression) -> int | None:
        """The number of the client's column that an ORDER BY or GROUP BY expression means: by ordinal, alias or equality."""
        if isinstance(node, exp.Literal) and not node.is_string:
            self.fix(node)
            position = int(node.this) - 1 if node.this.isdigit() else -1
            if not self.starred and not 0 <= position < len(self.nodes):
                raise ProxyError(CROSS_SHARD_ORDER, f"Unknown column '{node.this}' in the list of columns to order by")
            return position
        if isinstance(node, exp.Column) and not node.table:
            named = [i for i, alias in enumerate(self.aliases) if alias.lower() == node.name.lower()]
            if len(named) > 1:
                raise ProxyError(CROSS_SHARD_ORDER, f"Column '{node.name}' is ambiguous")
            if named:
                return None if self.starred else named[0]
        if self.starred:
            return None
        return next((i for i, own in enumerate(self.nodes) if self.same(own, node)), None)

    def check_aliases(self, node: exp.Expression) -> None:
        """Refuse an expression that uses an alias inside: as a hidden column it would mean something else."""
        aliases = {alias.lower(): own for alias, own in zip(self.aliases, self.nodes, strict=True) if alias}
        for column in node.find_all(exp.Column):
            own = aliases.get(column.name.lower()) if not column.table else None
            if own is not None and own != column:
                raise ProxyError(CROSS_SHARD_ORDER, f"alias '{column.name}' inside an expression cannot be used over several shards")

    def spell_out(self) -> None:
        """Replace a lone `*` by the columns it stands for, so that each has a number."""
        scope = self.scopes.top
        lone = len(self.nodes) == 1 and isinstance(self.nodes[0], exp.Star)
        if scope is None or scope.opaque or not lone or any(join.args.get("using") for join in self.select.args.get("joins") or ()):
            raise ProxyError(CROSS_SHARD_CLAUSE, "this * cannot be spelled out for several shards")
        nodes: list[exp.Expression] = []
        texts: list[list[Piece]] = []
        for instance in scope.instances:
            if instance.table.schema is None:
                raise ProxyError(CROSS_SHARD_CLAUSE, f"the columns of '{instance.table.name}' are not known")
            for column in instance.table.schema.columns:
                nodes.append(exp.column(column.name, instance.visible, quoted=True))
                texts.append([quoted_name(instance.visible) + b"." + quoted_name(column.name)])
        self.nodes, self.texts, self.aliases, self.starred = nodes, texts, [""] * len(nodes), False


def join_pieces(parts: Sequence[list[Piece]]) -> list[Piece]:
    """Pieces with commas between them."""
    result: list[Piece] = []
    for part in parts:
        result += [b", ", *part] if result else part
    return result


def order_nodes(select: exp.Select) -> Iterator[exp.Expression]:
    """The expressions of ORDER BY, without their directions."""
    order = select.args.get("order")
    for node in order.expressions if order is not None else ():
        yield node.this if isinstance(node, exp.Ordered) else node
