"""What the programs' printed output has in common: for people by rich, for programs as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table

# Nothing is wrapped where nobody looks: a line that is cut in two cannot be found by grep.
_PIPE_WIDTH = 10_000


def stdout_console() -> Console:
    """Standard output: as wide as the terminal, or unwrapped into a pipe or file."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def plain_table(*headings: str) -> Table:
    """A table without a frame. Long cells are folded, never cut."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def indented(console: Console, renderable: RenderableType, spaces: int = 3) -> None:
    """Print something with a left margin and no blanks behind it."""
    console.print(Padding(renderable, (0, 0, 0, spaces), expand=False))


def count_of(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_json(objects: Sequence[Mapping[str, Any]]) -> None:
    """A list of objects; their keys are a promise to scripts."""
    print(json.dumps(list(objects), indent=2, ensure_ascii=False))
