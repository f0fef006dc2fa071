"""Tables in Markdown: printed as they are ready, and kept in RESULTS.md when asked."""

import datetime
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass(slots=True)
class Table:
    """One table of results. The first column is text, the others are figures."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table with its title above and its remarks below."""
        widths = [max(len(row[column]) for row in [self.columns, *self.rows]) for column in range(len(self.columns))]
        lines = [f"### {self.title}", "", _line(self.columns, widths)]
        lines.append("|" + "|".join([f"{'-' * (widths[0] + 2)}", *(f"{'-' * (w + 1)}:" for w in widths[1:])]) + "|")
        lines.extend(_line(row, widths) for row in self.rows)
        if self.remarks:
            lines.extend(["", *(f"- {remark}" for remark in self.remarks)])
        return "\n".join(lines) + "\n"


def record(tables: Sequence[Table], facts: Sequence[tuple[str, str]]) -> Path:
    """Append a run to RESULTS.md: the day, what it ran on, and its tables."""
    day = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [f"## {day}\n", "\n".join(f"- {name}: {value}" for name, value in facts) + "\n"]
    parts.extend(table.markdown() for table in tables)
    if not _RESULTS.exists():
        parts.insert(0, "# Results\n\nNewest last; README.md says how to read them.\n")
    else:
        parts.insert(0, "")
    with _RESULTS.open("a", encoding="utf-8") as results:
        results.write("\n".join(parts))
    return _RESULTS


def median(values: Sequence[float]) -> float:
    """The median; a machine's hiccup in one round does not move it."""
    return statistics.median(values)


def number(value: float, digits: int = 0) -> str:
    """A figure with thousands set apart."""
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace(",", " ")  # + 0.0: never "-0"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median with the lowest and highest round beside it."""
    if len(values) == 1:
        return number(values[0], digits)
    return f"{number(median(values), digits)} ({number(min(values), digits)}–{number(max(values), digits)})"


def paired_ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of the rounds' own ratios: both sides of a round met the same weather."""
    return median([value / other for value, other in zip(values, base, strict=True) if other] or [float("nan")])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(_padded(cells, widths)) + " |"


def _padded(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        yield cell.rjust(width) if column else cell.ljust(width)
