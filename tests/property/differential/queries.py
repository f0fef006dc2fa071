"""A SELECT as the generator thinks of it, so that the checker can ask the oracle which rows tie."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Expr:
    """An expression. `exact`: its text is the same whichever way it is computed (not so sums of doubles).

    `folds`: equal values may differ in their text (strings of a collation that ignores case, say), and which of them is shown
    for a group is the server's choice.
    """

    sql: str
    kind: str
    collation: str = ""
    exact: bool = True
    aggregate: bool = False

    @property
    def folds(self) -> bool:
        """Whether equal values may look different."""
        return self.kind == "str"


@dataclass(frozen=True)
class Item:
    """An element of the select list."""

    expr: Expr
    alias: str = ""

    @property
    def sql(self) -> str:
        """As written."""
        return f"{self.expr.sql} AS {self.alias}" if self.alias else self.expr.sql


@dataclass(frozen=True)
class Order:
    """An element of ORDER BY: `written` may be an ordinal or an alias for `expr`."""

    written: str
    expr: Expr
    direction: str = ""

    @property
    def sql(self) -> str:
        """As written."""
        return f"{self.written}{self.direction}"


@dataclass
class Query:
    """A SELECT. `star` replaces the items; `group` is (as written, what it means)."""

    items: list[Item]
    body: str
    star: str = ""
    distinct: bool = False
    calc_found: bool = False
    group: list[tuple[str, Expr]] = field(default_factory=list)
    having: str = ""
    having_meant: str = ""
    order: list[Order] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0
    limit_sql: str = ""

    @property
    def grouped(self) -> bool:
        """Whether rows are groups."""
        return bool(self.group) or any(item.expr.aggregate for item in self.items)

    @property
    def sql(self) -> str:
        """As the client sends it."""
        head = "SELECT " + ("DISTINCT " if self.distinct else "") + ("SQL_CALC_FOUND_ROWS " if self.calc_found else "")
        text = head + (self.star or ", ".join(item.sql for item in self.items)) + self.body
        if self.group:
            text += " GROUP BY " + ", ".join(written for written, _ in self.group)
        if self.having:
            text += " HAVING " + self.having
        if self.order:
            text += " ORDER BY " + ", ".join(order.sql for order in self.order)
        return text + self.limit_sql

    @property
    def ranked_sql(self) -> str:
        """All rows, without LIMIT, in order, each with the number of its ties as the last column."""
        columns = [self.star] if self.star else [f"{item.expr.sql} AS _i{n}" for n, item in enumerate(self.items)]
        columns += [f"{order.expr.sql} AS _o{n}" for n, order in enumerate(self.order)]
        inner = "SELECT " + ("DISTINCT " if self.distinct else "") + ", ".join(columns) + self.body
        if self.group:
            inner += " GROUP BY " + ", ".join(meant.sql for _, meant in self.group)
        if self.having:
            inner += " HAVING " + self.having_meant
        keys = ", ".join(f"_o{n}{order.direction}" for n, order in enumerate(self.order))
        rank = f"DENSE_RANK() OVER (ORDER BY {keys})" if keys else "1"
        return f"SELECT _t.*, {rank} AS _r FROM ({inner}) AS _t ORDER BY _r"

    @property
    def counts_rows(self) -> bool:
        """Whether FOUND_ROWS() means anything afterwards: after an aggregate without GROUP BY, a server gives an older number."""
        aggregated = any(item.expr.aggregate for item in self.items) or "COUNT(" in self.star
        return bool(self.group) or not aggregated

    @property
    def hidden(self) -> int:
        """How many columns stand between the visible ones and the rank in `ranked_sql`."""
        return len(self.order)

    @property
    def inexact(self) -> set[int]:
        """The columns that are compared with a tolerance."""
        return {n for n, item in enumerate(self.items) if not item.expr.exact}

    @property
    def folded(self) -> dict[int, str]:
        """The columns of which any of several equal values may be shown, with their collations."""
        shown = self.distinct or self.grouped
        return {n: item.expr.collation for n, item in enumerate(self.items) if shown and item.expr.folds}
