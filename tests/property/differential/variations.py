"""The same statement again: with other literals, so that a cached plan meets values it was not made for, or in other spelling."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

from tests.property.differential.columns import WORDS, quote
from tests.property.differential.queries import Query

# Literals that stand alone: no prefix as in x'00', no part of a name, of 1.5e3 or of a sum, which might not fit its type.
_LITERAL = re.compile(r"(?<![\w'])'(?:[^'\\]|\\.|'')*'(?!')|(?<![\w.'+])\d+(?![\w.'+])")
_KEYWORDS = ("FROM", "WHERE", "AND", "OR", "IN", "BETWEEN", "GROUP BY", "ORDER BY", "LIMIT", "HAVING", "JOIN", "ON", "AS", "IS")


def other_literals(rng: Random, query: Query) -> Query:
    """The same shape with other values in FROM and WHERE, and another LIMIT."""
    body = _LITERAL.sub(lambda match: _other(rng, match.group(0)), query.body)
    varied = replace(query, body=body)
    if query.limit is not None:
        varied.limit = rng.choice((0, 1, 2, 4, 7, 50))
        varied.limit_sql = query.limit_sql.replace(f"LIMIT {query.limit}", f"LIMIT {varied.limit}")
        if "," in query.limit_sql:
            varied.limit_sql = f" LIMIT {query.offset}, {varied.limit}"
    return varied


def _other(rng: Random, literal: str) -> str:
    if rng.random() < 0.4:
        return literal
    if literal[0] != "'":
        return str(rng.choice((rng.randint(0, 20), rng.randint(0, 20), 127, 2147483647, 9223372036854775807, 18446744073709551615)))
    if re.fullmatch(r"'\d{4}-\d\d-\d\d.*'", literal):
        return rng.choice(("2000-01-01", "1999-12-31", "2024-02-15", "2023-06-01")).join((literal[0], literal[11:]))
    if literal[1:-1].isdigit():
        return f"'{rng.randint(0, 20)}'"
    return quote(rng.choice(WORDS))


def respelled(rng: Random, query: Query) -> Query:
    """Other white space and letter case in the keywords; the answer's column names must not change."""
    body = query.body
    for word in _KEYWORDS:
        if rng.random() < 0.5:
            body = body.replace(f" {word} ", rng.choice((f" {word.lower()} ", f"\n{word} ", f" /* {word} */ {word.title()}  ")))
    limit_sql = query.limit_sql.replace(" LIMIT ", rng.choice((" limit ", "\n LIMIT ", " Limit\t")))
    return replace(query, body=body, limit_sql=limit_sql)
