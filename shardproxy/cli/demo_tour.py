"""The demo's tour: real statements through a real client, and for each the shards that it went to."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any

import aiomysql
import pymysql.err
from rich.console import Console
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from shardproxy.cli.demo_shop import SHARDS
from shardproxy.cli.printing import count_of, indented, plain_table

_ROWS_SHOWN = 6
_SHOWN_CHARS = 180


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop of the tour: a headline and its statements."""

    title: str
    statements: tuple[str, ...]


@dataclass(slots=True)
class Visit:
    """What came of one statement. `texts` is what each shard was sent; `refusal` is set where the proxy said no."""

    sql: str
    route: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    merge: str = ""
    elapsed_ms: float = 0.0
    columns: list[str] = field(default_factory=list)
    rows: Sequence[Sequence[Any]] = ()
    affected: int = 0
    refusal: str = ""


STOPS = (
    Stop("One user, by the sharding key", ("SELECT uid, name, country, joined_on FROM users WHERE uid = 1234",)),
    Stop("Two users on two shards: each is asked for its own", ("SELECT uid, name FROM users WHERE uid IN (42, 2718)",)),
    Stop(
        "A range of keys: a shard that has none of them is left alone",
        ("SELECT uid, name, country FROM users\nWHERE uid BETWEEN 980 AND 1020 ORDER BY uid",),
    ),
    Stop(
        "Users by country: every shard has the reference table at hand",
        (
            dedent("""\
                SELECT c.name AS country, COUNT(*) AS users, AVG(u.credit_cents) AS credit
                FROM users u JOIN countries c ON c.code = u.country
                GROUP BY c.name ORDER BY users DESC, country LIMIT 5"""),
        ),
    ),
    Stop(
        "One user's orders with their items: equal keys live together",
        (
            dedent("""\
                SELECT o.order_id, o.placed_on, i.product, i.quantity, i.price_cents
                FROM orders o
                JOIN order_items i ON i.uid = o.uid AND i.order_id = o.order_id
                WHERE o.uid = 1234 ORDER BY o.order_id, i.line LIMIT 4"""),
        ),
    ),
    Stop(
        "The same join over everybody: what sells best",
        (
            dedent("""\
                SELECT i.product, SUM(i.quantity) AS sold,
                       SUM(i.quantity * i.price_cents) AS cents
                FROM orders o
                JOIN order_items i ON i.uid = o.uid AND i.order_id = o.order_id
                WHERE o.status <> 'cancelled'
                GROUP BY i.product ORDER BY cents DESC LIMIT 5"""),
        ),
    ),
    Stop(
        "The largest orders of all shards, merged in order",
        ("SELECT order_id, uid, placed_on, total_cents FROM orders\nORDER BY total_cents DESC, order_id LIMIT 5",),
    ),
    Stop("An update goes where its row is", ("UPDATE users SET credit_cents = credit_cents + 500 WHERE uid = 42",)),
    Stop(
        "A transaction keeps to one shard",
        (
            "BEGIN",
            "INSERT INTO orders VALUES (1234, 9001, '2026-01-15', 'open', 4050)",
            "INSERT INTO order_items VALUES\n  (1234, 9001, 1, 'teapot', 1, 3400), (1234, 9001, 2, 'green tea', 1, 650)",
            "COMMIT",
        ),
    ),
    Stop(
        "One INSERT with rows for every shard is split",
        (
            dedent("""\
                INSERT INTO users (uid, name, country, joined_on, credit_cents) VALUES
                  (500, 'Nia Kimani', 'ke', '2026-01-15', 0),
                  (1500, 'Leo Weber', 'at', '2026-01-15', 0),
                  (2500, 'Aiko Sato', 'jp', '2026-01-15', 0)"""),
        ),
    ),
    Stop(
        "What cannot be answered rightly is refused, with an id to look up",
        ("SELECT u.name, o.total_cents FROM users u JOIN orders o ON o.uid = u.uid",),
    ),
)


async def visit(client: aiomysql.Connection, sql: str) -> Visit:
    """Ask for the statement's route, then run it. A refusal of the proxy is part of the tour; any other error is not."""
    result = Visit(sql)
    async with client.cursor() as cursor:
        try:
            await cursor.execute(f"EXPLAIN ROUTE {sql}")
            for _, result.route, shard, text, merge in await cursor.fetchall():
                if shard:
                    result.texts[shard], result.merge = text, merge
            started = time.perf_counter()
            await cursor.execute(sql)
            result.rows = await cursor.fetchall()
            result.elapsed_ms = (time.perf_counter() - started) * 1000
        except pymysql.err.NotSupportedError as error:
            result.refusal = str(error.args[1])
            return result
        result.columns = [item[0] for item in cursor.description or ()]
        result.affected = cursor.rowcount
    return result


async def tour(console: Console, client: aiomysql.Connection) -> None:
    """Walk through all stops, printing each."""
    for number, stop in enumerate(STOPS, start=1):
        console.print()
        console.print(Rule(Text(f"{number}  {stop.title}", style="bold"), align="left", style="dim"))
        for sql in stop.statements:
            show(console, await visit(client, sql))


def show(console: Console, result: Visit) -> None:
    """One statement: its text, its shards, and the first of its rows."""
    sql = Syntax(result.sql, "mysql", theme="ansi_dark", background_color="default", word_wrap=True)
    indented(console, sql)
    if result.refusal:
        indented(console, Text(f"✗ {result.refusal}", style="yellow"))
    elif result.texts:
        indented(console, _summary(result))
        _show_texts(console, result)
    if result.columns:
        console.print()
        indented(console, _rows_table(result))


def shard_marks(touched: Mapping[str, object]) -> Text:
    """All shards in a row, those that were asked filled in."""
    marks = Text()
    for shard in SHARDS:
        asked = shard in touched
        marks.append(f"{'●' if asked else '○'} {shard}  ", style="bold green" if asked else "dim")
    return marks


def _summary(result: Visit) -> Text:
    rows, changed = count_of(len(result.rows), "row"), f"{count_of(result.affected, 'row')} changed"
    outcome = rows if result.columns else changed
    return shard_marks(result.texts).append(f"{outcome}  {result.elapsed_ms:.1f} ms", style="cyan")


def _show_texts(console: Console, result: Visit) -> None:
    """What the shards were sent, where that is not the statement itself, and how their answers were merged."""
    texts = {shard: " ".join(result.texts[shard].split()) for shard in SHARDS if shard in result.texts}
    if len(set(texts.values())) > 1:
        for shard, text in texts.items():
            indented(console, Text(f"{shard} ← {_cut(text)}", style="dim"))
    elif texts and next(iter(texts.values())) != " ".join(result.sql.split()):
        indented(console, Text(f"each ← {_cut(next(iter(texts.values())))}", style="dim"))
    if result.merge:
        indented(console, Text(f"merge: {result.merge}", style="dim"))


def _rows_table(result: Visit) -> Table:
    table = plain_table(*result.columns)
    for index, column in enumerate(table.columns):
        if all(not isinstance(row[index], (str, bytes)) for row in result.rows[:_ROWS_SHOWN]):
            column.justify = "right"
    for row in result.rows[:_ROWS_SHOWN]:
        table.add_row(*(Text("NULL" if value is None else str(value)) for value in row))
    if len(result.rows) > _ROWS_SHOWN:
        table.add_row("…", *[""] * (len(result.columns) - 1))
    return table


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
