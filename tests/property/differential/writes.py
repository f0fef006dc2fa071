"""Random writes: single rows and many, on one, some and all shards, some of which fail half-way."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.property.differential.columns import Column
from tests.property.differential.predicates import column_condition, condition, key_literal
from tests.property.differential.schemas import Schema, Table


@dataclass(frozen=True)
class Write:
    """A statement that changes one table."""

    sql: str
    table: Table


def insert(rng: Random, table: Table, rows: int, *, verb: str = "", key: str = "") -> Write:
    """INSERT or REPLACE. `key` is the one value that all rows get."""
    verb = verb or rng.choice(("INSERT", "INSERT", "INSERT", "INSERT IGNORE", "REPLACE", "INSERT+"))
    columns = [c for c in table.columns if not c.nullable or rng.random() < 0.9]
    # A reference table takes generated values where every row is certain to get one.
    given = not table.auto or (table.name != "un" and verb != "INSERT")
    if not given and rng.random() < 0.5:
        columns = [c for c in columns if c is not table.key]
    names = f" ({', '.join(c.name for c in columns)})" if len(columns) < len(table.columns) or rng.random() < 0.6 else ""
    values = ", ".join(f"({', '.join(_value(rng, table, c, key, given=given) for c in columns)})" for _ in range(rows))
    sql = f"{verb.rstrip('+')} INTO {table.name}{names} VALUES {values}"
    if verb == "INSERT+":
        sql += " ON DUPLICATE KEY UPDATE " + ", ".join(_merging(rng, c) for c in _changed(rng, table))
    return Write(sql, table)


def _value(rng: Random, table: Table, column: Column, key: str, *, given: bool) -> str:
    if column is not table.key:
        return column.literal(rng)
    if key:
        return key
    if not given and rng.random() < 0.5:
        return rng.choice(("NULL", "0", "DEFAULT"))
    if not table.sharded:
        return column.pool(rng)
    return _insert_key(rng, column)


def _insert_key(rng: Random, column: Column) -> str:
    """A key for a new row: in some other form now and then, in an impossible one hardly ever."""
    plain = column.pool(rng)
    form = rng.random()
    if form > 0.06:
        return plain
    if form < 0.002:
        return key_literal(rng, column, odd=1.0)
    if column.kind == "int":
        return rng.choice((f"'{plain}'", f"{plain}.0", f"'{plain}'", f"({plain})", f"+{plain}".replace("+-", "-")))
    if column.kind == "str":
        return rng.choice((f"{plain[:-1]} '", "7", f"{plain[:-1]}\\%'", plain))
    return plain.replace("'", '"')


def _changed(rng: Random, table: Table) -> list[Column]:
    others = [c for c in table.columns if c is not table.key and c.name != "id"]
    return rng.sample(others, rng.choice((1, 1, 2)))


def _merging(rng: Random, column: Column) -> str:
    if column.kind in ("int", "dec") and rng.random() < 0.4:
        return f"{column.name} = {column.name} + 1"
    if rng.random() < 0.5:
        return f"{column.name} = VALUES({column.name})"
    return f"{column.name} = {column.literal(rng)}"


def update(rng: Random, table: Table, where: str | None = None) -> Write:
    """UPDATE; with the number of the row among what is changed, so that keys collide at times."""
    columns = _changed(rng, table)
    sets = []
    for column in columns:
        if column.kind in ("int", "dec") and rng.random() < 0.4:
            sets.append(f"{column.name} = {column.name} {rng.choice(('+ 1', '- 1', '* 2'))}")
        elif column.kind == "str" and rng.random() < 0.3:
            sets.append(f"{column.name} = LEFT(CONCAT({column.name}, 'x'), 8)")
        else:
            sets.append(f"{column.name} = {column.literal(rng)}")
    if rng.random() < 0.15:
        sets.append(f"id = {rng.choice(('id + 1', '3', 'id + 100'))}")
    where = condition(rng, table, keyed=0.7, odd=0.15) if where is None else where
    return Write(
        f"UPDATE {'IGNORE ' if rng.random() < 0.03 else ''}{table.name} SET {', '.join(sets)}" + (f" WHERE {where}" if where else ""), table
    )


def delete(rng: Random, table: Table, where: str | None = None) -> Write:
    """DELETE; without a condition hardly ever."""
    if where is None:
        where = condition(rng, table, keyed=0.8, odd=0.15)
        if rng.random() < 0.6:
            where += (" AND " if where else "") + column_condition(rng, "id", table.column("id"))
    if not where and rng.random() < 0.9:
        where = "id = 3"
    return Write(f"DELETE FROM {table.name}" + (f" WHERE {where}" if where else ""), table)


def one_row(rng: Random, table: Table) -> Write:
    """UPDATE or DELETE of the first row of one key, in an order that leaves no choice."""
    where = f"k = {table.key.pool(rng)} ORDER BY id{rng.choice(('', ' DESC'))} LIMIT {rng.choice((1, 1, 2))}"
    return update(rng, table, where) if rng.random() < 0.5 else delete(rng, table, where)


def any_write(rng: Random, schema: Schema) -> Write:
    """Any write of the mix."""
    table = rng.choice(schema.sharded if rng.random() < 0.75 else list(schema.tables))
    form = rng.random()
    if form < 0.5:
        return insert(rng, table, rng.choice((1, 1, 2, 3, 5, 12)))
    if form < 0.57:
        return one_row(rng, table if table.sharded else rng.choice(schema.sharded))
    return update(rng, table) if form < 0.8 else delete(rng, table)


def transaction(rng: Random, schema: Schema) -> list[str | Write]:
    """A transaction on one key, so on one shard: its statements in order, ended or rolled back."""
    table = rng.choice(schema.sharded)
    key = table.key.pool(rng)
    steps: list[str | Write] = [rng.choice(("BEGIN", "START TRANSACTION", "SET autocommit = 0"))]
    ends = ["SET autocommit = 1"] if steps[0] == "SET autocommit = 0" else []
    points = 0
    for _ in range(rng.randint(1, 7)):
        form = rng.random()
        if form < 0.15:
            points += 1
            steps.append(f"SAVEPOINT p{points}")
        elif form < 0.25 and points:
            steps.append(f"ROLLBACK TO {rng.choice(('', 'SAVEPOINT '))}p{rng.randint(1, points)}")
        elif form < 0.3 and points:
            steps.append(f"RELEASE SAVEPOINT p{rng.randint(1, points)}")
        elif form < 0.5:
            steps.append(f"SELECT COUNT(*), MIN(id), MAX(id) FROM {table.name} WHERE k = {key}")
        elif form < 0.55:
            steps.append("SELECT COUNT(*) FROM fa")
        elif form < 0.8:
            steps.append(insert(rng, table, rng.choice((1, 2, 3)), key=key))
        elif form < 0.9:
            steps.append(update(rng, table, f"k = {key}"))
        else:
            steps.append(delete(rng, table, f"k = {key} AND {column_condition(rng, 'id', table.column('id'))}"))
    return [*steps, rng.choice(("COMMIT", "COMMIT", "ROLLBACK")), *ends]
