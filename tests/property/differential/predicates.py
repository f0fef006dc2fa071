"""Conditions: on keys in every form that a literal can take, and on any other column."""

from __future__ import annotations

from random import Random

from tests.property.differential.columns import WORDS, Column, quote
from tests.property.differential.schemas import Table

_COMPARISONS = ("=", "=", "=", "<", "<=", ">", ">=", "<>", "<=>")
_PATTERNS = ("%a%", "a%", "%", "_", "%\\_%", "% ")


def key_literal(rng: Random, column: Column, *, odd: float = 0.25) -> str:
    """A value for the key's `=`, now and then in a form that nobody should write."""
    if column.kind == "int":
        number = int(column.pool(rng))
        return _odd_number(rng, number) if rng.random() < odd else str(number)
    plain = column.pool(rng)
    if rng.random() >= odd:
        return plain
    if column.kind == "str":
        body = plain[1:-1]
        return rng.choice(
            (f"'{body} '", f"'{body}  '", f"' {body}'", f"_utf8mb4'{body}'", "0", "1", "x'61'", "NULL", "1.0", f"'{body}' ''", '"a"')
        )
    if column.kind == "bin":
        return rng.choice((plain.replace("'", '"'), "0", "x'61'", "NULL", "'a  '", "'é'", "1"))
    day = plain.strip("'")
    forms = (f"'{day[:10]}'", f"'{day[:10]} 00:00:00'", f"DATE'{day[:10]}'", f"'{day[:10].replace('-', '/')}'", day[:10].replace("-", ""))
    return rng.choice(
        (
            *forms,
            f"TIMESTAMP'{day[:10]} 12:00:00'",
            f"'{day[:10]}T00:00:00'",
            "NULL",
            f"'{day[:10].replace('-', '')}'",
            f"'{day} '",
            f"'{day[:10]} 12:00:00.5'",
        )
    )


def _odd_number(rng: Random, number: int) -> str:
    forms = [
        f"'{number}'", f"{number}.0", f"'{number}.0'", f"' {number}'", f"'{number} '", f"'{number}abc'",
        f"{number}e0", f"'{number}e0'", f"{number}.5", f"-{abs(number)}", f"- {abs(number)}", f"+{abs(number)}",
        f"({number})", "NULL", "TRUE", "FALSE", "18446744073709551615", "9223372036854775807",
        "-9223372036854775808", "9223372036854775808", "99999999999999999999999", "''", "'abc'",
        f"'0{abs(number)}'", f"00{abs(number)}", "0.1e1", "'9007199254740993'", "9007199254740993", f"{number}+0",
        "--1", "'+1'", "128", "-129", "2147483648",
    ]  # fmt: skip
    if number >= 0:
        forms += [hex(number), f"x'{number:04x}'", f"b'{number:b}'", f"CAST({number} AS UNSIGNED)"]
    return rng.choice(forms)


def key_condition(rng: Random, name: str, column: Column, *, odd: float = 0.25) -> str:
    """A condition on a key: equality most of the time, lists and ranges for the rest."""

    def value() -> str:
        return key_literal(rng, column, odd=odd)

    form = rng.random()
    if form < 0.35:
        return f"{name} = {value()}" if rng.random() < 0.85 else f"{value()} = {name}"
    if form < 0.65:
        values = [value() for _ in range(rng.choice((1, 2, 3, 3, 5, 12)))]
        return f"{name} IN ({', '.join(values)})"
    if form < 0.8:
        low, high = value(), value()
        return f"{name} BETWEEN {low} AND {high}"
    if form < 0.93:
        return f"{name} {rng.choice(_COMPARISONS)} {value()}"
    return rng.choice(
        (
            f"{name} IS NOT NULL",
            f"{name} >= {value()} AND {name} < {value()}",
            f"({name} = {value()} OR {name} = {value()})",
            f"{name} NOT IN ({value()}, {value()})",
            f"NOT {name} = {value()}",
            f"{value()} < {name}",
            f"{name} NOT BETWEEN {value()} AND {value()}",
        )
    )


def column_condition(rng: Random, name: str, column: Column) -> str:
    """A condition on any column, with values of its own kind."""

    def value() -> str:
        return column.pool(rng)

    form = rng.random()
    if form < 0.45:
        return f"{name} {rng.choice(_COMPARISONS)} {value()}"
    if form < 0.65:
        values = [value() for _ in range(rng.choice((1, 2, 4)))] + (["NULL"] if rng.random() < 0.1 else [])
        return f"{name} {rng.choice(('IN', 'IN', 'NOT IN'))} ({', '.join(values)})"
    if form < 0.75:
        return f"{name} BETWEEN {value()} AND {value()}"
    if form < 0.9 or column.kind != "str":
        return f"{name} IS {rng.choice(('', 'NOT '))}NULL"
    return f"{name} LIKE {quote(rng.choice((*_PATTERNS, rng.choice(WORDS))))}"


def condition(rng: Random, table: Table, prefix: str = "", *, odd: float = 0.25, keyed: float = 0.5) -> str:
    """A WHERE for one table; "" for none."""
    parts = []
    if rng.random() < keyed:
        parts.append(key_condition(rng, f"{prefix}{table.key.name}", table.key, odd=odd))
    while rng.random() < 0.4:
        column = rng.choice(table.columns)
        parts.append(column_condition(rng, f"{prefix}{column.name}", column))
    rng.shuffle(parts)
    if len(parts) > 1 and rng.random() < 0.3:
        return f"({parts[0]} OR {parts[1]})" + "".join(f" AND {part}" for part in parts[2:])
    return " AND ".join(parts)
