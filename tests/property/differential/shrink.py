"""Makes a wrongly answered SELECT small: fewer rows first, then less of the statement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from tests.property.differential.clients import Row
from tests.property.differential.columns import Column, quote
from tests.property.differential.judge import Judge, Kind, Verdict
from tests.property.differential.lab import Lab
from tests.property.differential.queries import Query
from tests.property.differential.schemas import Schema, Table

_MOST_TESTS = 250


def literal(column: Column, cell: bytes | None) -> str:
    """A value read from a table as it is written in an INSERT."""
    if cell is None:
        return "NULL"
    if column.kind in ("int", "dec", "float", "year"):
        return cell.decode()
    if column.kind == "bit":
        return str(int.from_bytes(cell, "big"))
    if column.kind == "bin" and not all(32 <= byte < 127 for byte in cell):
        return f"x'{cell.hex()}'"
    if column.kind == "str":
        return quote(cell.decode())
    return f"'{cell.decode()}'"


class Shrinker:
    """Throws the tables' rows away for good: nothing can be compared in this round afterwards."""

    def __init__(self, lab: Lab, schema: Schema, judge: Judge) -> None:
        self._lab = lab
        self._schema = schema
        self._judge = judge
        self._tests = 0
        self._like = (0, 0)

    def shrink(self, query: Query, verdict: Verdict) -> tuple[Verdict, list[str]]:
        """The verdict on what is left, and a script that gives it."""
        self._like = (verdict.got.errno, verdict.expected.errno)
        tables = [table for table in self._schema.tables if re.search(rf"\b{table.name}\b", query.body)]
        data = {table.name: self._lab.oracle.rows(f"SELECT * FROM {table.name}") for table in tables}
        for table in tables:
            data[table.name] = self._fewer_rows(table, data[table.name], query)
        query = self._less(query)
        last = self._judge.query(query)
        script = [table.ddl for table in tables]
        script += [self._insert(table, data[table.name]) for table in tables if data[table.name]]
        return last if last.kind is Kind.WRONG else verdict, [*script, query.sql]

    def _fails(self, query: Query) -> bool:
        self._tests += 1
        if self._tests >= _MOST_TESTS:
            return False
        verdict = self._judge.query(query)
        return verdict.kind is Kind.WRONG and (verdict.got.errno, verdict.expected.errno) == self._like

    def _fewer_rows(self, table: Table, rows: list[Row], query: Query) -> list[Row]:
        """Leave out halves, quarters and so on, as long as the answer stays wrong."""
        size = max(1, len(rows) // 2)
        while size:
            at = 0
            while at < len(rows):
                fewer = rows[:at] + rows[at + size :]
                if self._fill(table, fewer) and self._fails(query):
                    rows = fewer
                else:
                    at += size
            size //= 2
        self._fill(table, rows)
        return rows

    def _fill(self, table: Table, rows: list[Row]) -> bool:
        """Give the table these rows on both sides; whether both took them."""
        taken = True
        for client in (self._lab.proxy, self._lab.oracle):
            client.run(f"DELETE FROM {table.name}")
            if rows:
                taken &= not client.run(self._insert(table, rows)).errno
        return taken

    @staticmethod
    def _insert(table: Table, rows: list[Row]) -> str:
        values = (", ".join(literal(c, cell) for c, cell in zip(table.columns, row, strict=True)) for row in rows)
        return f"INSERT INTO {table.name} VALUES {', '.join(f'({row})' for row in values)}"

    def _less(self, query: Query) -> Query:
        """Take parts of the statement away, one after the other."""
        smaller = True
        while smaller:
            smaller = False
            for candidate in _smaller(query):
                if self._fails(candidate):
                    query, smaller = candidate, True
                    break
        return query


def _smaller(query: Query) -> Iterator[Query]:
    if query.limit is not None:
        yield replace(query, limit=None, offset=0, limit_sql="")
    if " WHERE " in query.body:
        yield replace(query, body=query.body.split(" WHERE ")[0])
    if query.having:
        yield replace(query, having="", having_meant="")
    if query.distinct:
        yield replace(query, distinct=False)
    for n in range(len(query.order)):
        yield replace(query, order=query.order[:n] + query.order[n + 1 :])
    if any(written.isdigit() for written, _ in query.group) or any(order.written.isdigit() for order in query.order):
        return
    for n, (_, gone) in enumerate(query.group):
        items = [item for item in query.items if item.expr != gone]
        if items and not any(order.expr == gone for order in query.order):
            yield replace(query, group=query.group[:n] + query.group[n + 1 :], items=items)
    named = {written for written, _ in query.group} | {order.written for order in query.order}
    for n, item in enumerate(query.items):
        if len(query.items) > 1 and item.alias not in named and not (item.alias and item.alias in query.having):
            yield replace(query, items=query.items[:n] + query.items[n + 1 :])
