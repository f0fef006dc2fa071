"""Expressions over a table's columns, and aggregates of them."""

from __future__ import annotations

from random import Random

from tests.property.differential.columns import Column
from tests.property.differential.queries import Expr

_NUMBERS = ("int", "dec")


def plain(column: Column, prefix: str = "") -> Expr:
    """The column itself."""
    return Expr(f"{prefix}{column.name}", column.kind, column.collation)


def scalar(rng: Random, column: Column, prefix: str = "") -> Expr:
    """A deterministic expression of one column."""
    name = f"{prefix}{column.name}"
    kind = column.kind
    if kind in _NUMBERS:
        small = "" if column.ddl.startswith("BIGINT") or kind == "dec" else rng.choice(("*2", "-3"))
        text = rng.choice(
            (
                f"{name}{small or '+0'}",
                f"{name} % 7",
                f"COALESCE({name}, 0)",
                f"{name} IS NULL",
                f"{name} > 3",
                f"{name} DIV 3" if kind == "int" else f"ROUND({name})",
            )
        )
        return Expr(text, kind if "IS" not in text else "int")
    if kind == "float":
        return Expr(f"COALESCE({name}, 1.5)", "float")
    if kind == "str":
        text = rng.choice(
            (
                f"UPPER({name})",
                f"LOWER({name})",
                f"CONCAT({name}, 'x')",
                f"LEFT({name}, 2)",
                f"TRIM({name})",
                f"REVERSE({name})",
                f"COALESCE({name}, 'zz')",
            )
        )
        if rng.random() < 0.3:
            return Expr(rng.choice((f"LENGTH({name})", f"CHAR_LENGTH({name})")), "int")
        return Expr(text, "str", column.collation)
    if kind in ("date", "datetime"):
        text, of = rng.choice(
            (
                (f"YEAR({name})", "int"),
                (f"MONTH({name})", "int"),
                (f"DATE({name})", "date"),
                (f"DAYOFWEEK({name})", "int"),
                (f"COALESCE({name}, '2024-01-01')", "other"),
            )
        )
        return Expr(text, of) if of != "other" else Expr(f"LAST_DAY({name})", "date")
    if kind == "time":
        return Expr(rng.choice((f"HOUR({name})", f"MINUTE({name})")), "int")
    if kind == "bin":
        return Expr(f"LENGTH({name})", "int")
    if kind in ("enum", "set", "bit", "year"):
        return Expr(f"{name}+0", "int")
    return plain(column, prefix)


def any_expr(rng: Random, column: Column, prefix: str = "", *, compound: float = 0.25) -> Expr:
    """The column, or an expression of it."""
    return scalar(rng, column, prefix) if rng.random() < compound else plain(column, prefix)


def aggregate(rng: Random, columns: list[Column], prefix: str = "") -> Expr:
    """One aggregate over one of the columns (or all rows)."""
    column = rng.choice(columns)
    name = f"{prefix}{column.name}"
    form = rng.random()
    if form < 0.2:
        return Expr(rng.choice(("COUNT(*)", f"COUNT({name})", "COUNT(1)")), "int", aggregate=True)
    if form < 0.45 or column.kind in ("date", "datetime", "time", "enum", "set", "bin", "year"):
        inner = any_expr(rng, column, prefix, compound=0.1)
        if inner.kind in ("bin", "bit") and form > 0.25:
            return Expr("COUNT(*)", "int", aggregate=True)
        return Expr(f"{rng.choice(('MIN', 'MAX'))}({inner.sql})", inner.kind, inner.collation, aggregate=True)
    if form < 0.6:
        return Expr(f"COUNT(DISTINCT {name})", "int", aggregate=True)
    function = rng.choice(("SUM", "SUM", "AVG"))
    if column.kind == "dec" or column.kind == "int":
        text = name if rng.random() < 0.8 else rng.choice((f"{name}+1", f"-{name}", f"{name}*2", f"{name} % 3"))
        if column.ddl.startswith("BIGINT") and text != name:
            text = name
        return Expr(f"{function}({text})", "dec", aggregate=True)
    if column.kind == "float":
        return Expr(f"{function}({name})", "float", exact=column.exact and function == "SUM", aggregate=True)
    if column.kind == "bit":
        return Expr(f"{function}({name}+0)", "dec", aggregate=True)
    return Expr(f"{function}({name})", "float", exact=False, aggregate=True)
