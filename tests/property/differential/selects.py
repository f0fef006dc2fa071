"""Random SELECTs: rows, distinct rows and groups, of one table or of tables joined on their keys."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.property.differential.columns import Column
from tests.property.differential.expressions import aggregate, any_expr
from tests.property.differential.predicates import condition, key_condition
from tests.property.differential.queries import Expr, Item, Order, Query
from tests.property.differential.schemas import PARTNERS, Schema, Table

Source = tuple[str, Table]
Shape = Callable[[list[Source], str], Query]


class Selects:
    """Makes queries over one schema."""

    def __init__(self, rng: Random, schema: Schema) -> None:
        self._rng = rng
        self._schema = schema
        self._names = {table.name for table in schema.tables}

    def query(self) -> Query:
        """Any SELECT of the mix."""
        rng = self._rng
        table = rng.choice(self._schema.sharded if rng.random() < 0.9 else list(self._schema.tables))
        form = rng.random()
        if form < 0.15:
            return self._point(table)
        if form < 0.33:
            return self._joined(table)
        if form < 0.38:
            return self._exists(table)
        shape = self._shape()
        prefix, source = self._named(table)
        where = condition(rng, table, prefix, odd=self._odd(shape))
        return shape([(prefix, table)], f" FROM {source}" + (f" WHERE {where}" if where else ""))

    def _named(self, table: Table) -> tuple[str, str]:
        """A table alone in FROM, with what its columns are qualified by."""
        name = table.name
        plain = ("", name)
        return self._rng.choice(
            (plain, plain, plain, (f"{name}.", name), ("t.", f"{name} AS t"), ("`t`.", f"`{name}` t"), ("", f"app.{name}"))
        )

    def _shape(self) -> Shape:
        form = self._rng.random()
        return self._rows if form < 0.45 else self._distinct if form < 0.6 else self._grouped

    def _odd(self, shape: Shape) -> float:
        """How often keys are written in odd ways: not where the server's own answer depends on its plan.

        Aggregates that are looked up in an index find nothing for `string_key = 0`, and -5 for `integer_key = -4.5`; those that
        read the rows do as the condition says.
        """
        return 0.0 if shape == self._grouped else 0.25

    def _point(self, table: Table) -> Query:
        """By key alone, the bread and butter."""
        rng = self._rng
        where = f"{table.key.name} = {table.key.pool(rng)}" if rng.random() < 0.5 else key_condition(rng, table.key.name, table.key)
        star = "*" if rng.random() < 0.5 else ""
        return Query(self._items([("", table)]) if not star else [], f" FROM {table.name} WHERE {where}", star=star)

    def _joined(self, table: Table) -> Query:
        rng = self._rng
        partner = PARTNERS.get(table.name, "")
        choices = [name for name in (partner, partner, "fa", "fb") if name in self._names]
        if not table.sharded:
            choices = ["fa", "fb"]
        other = self._schema.table(rng.choice(choices))
        kind = rng.choice((" JOIN ", " INNER JOIN ", " LEFT JOIN ", " LEFT JOIN "))
        sources = [("a.", table), ("b.", other)]
        if other.name == partner:
            on = rng.choice(("a.k = b.k", "b.k = a.k", "a.k = b.k AND a.id = b.id", "a.k = b.k AND b.id > 5"))
        else:
            on = self._reference_on(table, other)
        body = f" FROM {table.name} a{kind}{other.name} b ON {on}"
        if rng.random() < 0.15 and other.name == partner:
            body = f" FROM {table.name} AS a{kind}{other.name} AS b USING (k)"
        if rng.random() < 0.2:
            body += f"{rng.choice((' JOIN ', ' LEFT JOIN '))}fb c ON c.id = a.id"
            sources.append(("c.", self._schema.table("fb")))
        shape = self._shape()
        odd = self._odd(shape)
        where = " AND ".join(
            part
            for part in (
                condition(rng, table, "a.", odd=odd),
                condition(rng, other, "b.", odd=odd, keyed=0.2) if rng.random() < 0.3 else "",
            )
            if part
        )
        return shape(sources, body + (f" WHERE {where}" if where else ""))

    def _reference_on(self, table: Table, other: Table) -> str:
        mine = self._rng.choice([*table.of_kind("int"), table.column("id")])
        theirs = self._rng.choice([other.column("id"), other.column("k")])
        return f"a.{mine.name} = b.{theirs.name}"

    def _exists(self, table: Table) -> Query:
        rng = self._rng
        partner = PARTNERS.get(table.name, "")
        inner = self._schema.table(
            rng.choice([name for name in (partner, partner, "fa") if name in self._names] if table.sharded else ["fa", "fb"])
        )
        link = "b.k = a.k" if inner.name == partner else "b.id = a.id"
        more = condition(rng, inner, "b.", odd=0, keyed=0.1)
        where = f"{rng.choice(('', '', 'NOT '))}EXISTS (SELECT 1 FROM {inner.name} b WHERE {link}{f' AND {more}' if more else ''})"
        if inner.name == partner and rng.random() < 0.25:
            where = f"a.k IN (SELECT b.k FROM {inner.name} b{f' WHERE {more}' if more else ''})"
        shape = self._shape()
        own = condition(rng, table, "a.", odd=self._odd(shape), keyed=0.4)
        return shape([("a.", table)], f" FROM {table.name} a WHERE {where}{f' AND {own}' if own else ''}")

    # -- shapes -------------------------------------------------------------------------------------------------------

    def _pick(self, sources: list[Source]) -> tuple[str, Column]:
        prefix, table = self._rng.choice(sources)
        column = self._rng.choice(table.columns)
        if column.kind == "bit" and self._rng.random() < 0.8:  # few sort or group by one
            column = self._rng.choice(table.columns)
        return prefix, column

    def _items(self, sources: list[Source], *, compound: float = 0.25) -> list[Item]:
        rng = self._rng
        items = []
        for n in range(rng.choice((1, 2, 2, 3, 4))):
            prefix, column = self._pick(sources)
            alias = f"x{n}" if rng.random() < 0.25 else ""
            items.append(Item(any_expr(rng, column, prefix, compound=compound), alias))
        return items

    def _rows(self, sources: list[Source], body: str) -> Query:
        rng = self._rng
        query = Query(self._items(sources), body)
        if len(sources) == 1 and rng.random() < 0.3:
            query.items, query.star = [], rng.choice(("*", f"{sources[0][0]}*"))
        if rng.random() < 0.65:
            for _ in range(rng.choice((1, 1, 2, 3))):
                if query.items and rng.random() < 0.4:
                    query.order.append(self._by_item(query))
                else:
                    prefix, column = self._pick(sources)
                    expr = any_expr(rng, column, prefix)
                    query.order.append(Order(expr.sql, expr, self._direction()))
        self._limit(query)
        return query

    def _distinct(self, sources: list[Source], body: str) -> Query:
        query = Query(self._items(sources, compound=0.15), body, distinct=True)
        if self._rng.random() < 0.5:
            query.order = [self._by_item(query) for _ in range(self._rng.choice((1, 1, 2)))]
        self._limit(query)
        return query

    def _grouped(self, sources: list[Source], body: str) -> Query:
        rng = self._rng
        query = Query([], body)
        groups: list[Expr] = []
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            prefix, column = self._pick(sources)
            groups.append(any_expr(rng, column, prefix, compound=0.2))
        for expr in groups:
            written = expr.sql
            if rng.random() < 0.8:
                alias = f"g{len(query.items)}" if rng.random() < 0.3 else ""
                query.items.append(Item(expr, alias))
                form = rng.random()
                if form < 0.2:
                    written = str(len(query.items))
                elif form < 0.5 and alias:
                    written = alias
            query.group.append((written, expr))
        every = [(prefix, table) for prefix, table in sources]
        for n in range(rng.choice((1, 1, 2, 3)) if groups else rng.choice((1, 2, 3))):
            prefix, table = rng.choice(every)
            query.items.append(Item(aggregate(rng, list(table.columns), prefix), f"m{n}" if rng.random() < 0.3 else ""))
        self._one_distinct(query)
        if groups and rng.random() < 0.3:
            self._having(query)
        if groups and rng.random() < 0.6:
            query.order = [self._by_item(query) for _ in range(rng.choice((1, 1, 2)))]
            query.order = [order for order in query.order if order.expr.exact]
        if groups:
            self._limit(query)
        return query

    @staticmethod
    def _one_distinct(query: Query) -> None:
        """At most one COUNT(DISTINCT) of different expressions: a second one is for a later generator."""
        seen = ""
        kept = []
        for item in query.items:
            if "DISTINCT" in item.expr.sql:
                if seen and seen != item.expr.sql:
                    continue
                seen = item.expr.sql
            kept.append(item)
        query.items = kept

    def _having(self, query: Query) -> None:
        rng = self._rng
        # HAVING sees grouped columns, aliases and aggregates; not what an expression in the select list is made of.
        numeric = [item for item in query.items if item.expr.kind in ("int", "dec") and item.expr.exact]
        numeric = [item for item in numeric if item.alias or item.expr.aggregate or item.expr.sql.isidentifier()]
        expr, name = Expr("COUNT(*)", "int", aggregate=True), "COUNT(*)"
        if numeric and rng.random() < 0.7:
            item = rng.choice(numeric)
            expr = item.expr
            plain = expr.aggregate or expr.sql.isidentifier()
            name = item.alias if item.alias and (not plain or rng.random() < 0.5) else expr.sql
        form = rng.choice(
            (">= 1", "> 1", "<= 2", "= 1", "<> 2", "BETWEEN 0 AND 10", "IN (1, 2, 3)", "IS NULL", "IS NOT NULL", "> 1.5", "< -1")
        )
        query.having, query.having_meant = f"{name} {form}", f"{expr.sql} {form}"
        if rng.random() < 0.3:
            joint = rng.choice((" AND ", " OR "))
            query.having += f"{joint}COUNT(*) < 5"
            query.having_meant += f"{joint}COUNT(*) < 5"

    def _by_item(self, query: Query) -> Order:
        rng = self._rng
        n = rng.randrange(len(query.items))
        item = query.items[n]
        form = rng.random()
        written = str(n + 1) if form < 0.3 else item.alias if item.alias and form < 0.7 else item.expr.sql
        return Order(written, item.expr, self._direction())

    def _direction(self) -> str:
        return self._rng.choice(("", "", " ASC", " DESC", " DESC"))

    def _limit(self, query: Query) -> None:
        rng = self._rng
        if rng.random() > 0.35:
            return
        query.limit = rng.choice((0, 1, 1, 2, 3, 5, 10, 100))
        query.offset = rng.choice((0, 0, 0, 1, 2, 5, 50))
        query.limit_sql = f" LIMIT {query.limit}"
        if query.offset:
            query.limit_sql = rng.choice((f" LIMIT {query.limit} OFFSET {query.offset}", f" LIMIT {query.offset}, {query.limit}"))
