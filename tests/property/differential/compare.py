"""Whether two answers are the same for a client: rows that tie in any order, sums of doubles within rounding, the rest exactly."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

from tests.property.differential.clients import Answer, Row
from tests.property.differential.queries import Query

_RELATIVE = 1e-9
_ABSOLUTE = 1e-9
# From a string and its collation to something that is the same for equal strings.
Fold = Callable[[bytes, str], bytes]


# How many warnings an UPDATE gives for a literal depends on how often a server looks at it.
_UPDATE_WARNINGS = re.compile(r"(?<=Changed: )(\d+)  Warnings: \d+")


def same_outcome(got: Answer, expected: Answer) -> str:
    """Compare two writes; "" where they agree, else what differs."""
    if got.affected != expected.affected:
        return f"affected is {got.affected}, not {expected.affected}"
    if got.insert_id != expected.insert_id:
        return f"insert id is {got.insert_id}, not {expected.insert_id}"
    if _UPDATE_WARNINGS.sub(r"\1", got.info) != _UPDATE_WARNINGS.sub(r"\1", expected.info):
        return f"info is {got.info!r}, not {expected.info!r}"
    return ""


def same_heads(got: Answer, expected: Answer) -> str:
    """Compare the columns of two results."""
    a, b = got.heads or [], expected.heads or []
    if len(a) != len(b):
        return f"{len(a)} columns, not {len(b)}"
    if not got.rows and not expected.rows:
        # The types of expressions over nothing depend on whether the server made a temporary table for it.
        a, b = [replace(head, type=0) for head in a], [replace(head, type=0) for head in b]
    for n, (left, right) in enumerate(zip(a, b, strict=True)):
        if left != right:
            return f"column {n} is {left}, not {right}"
    return ""


class RowCheck:
    """Compares the rows of one query with those that the oracle ranks."""

    def __init__(self, query: Query, fold: Fold) -> None:
        self._inexact = query.inexact
        self._folded = query.folded
        self._fold = fold
        self._query = query

    def check(self, got: Sequence[Row], ranked: Sequence[Row]) -> str:
        """Compare `got` with the rows of `Query.ranked_sql`; "" where a server could have given it."""
        query = self._query
        width = -1 - query.hidden
        end = len(ranked) if query.limit is None else min(len(ranked), query.offset + query.limit)
        wanted = max(0, end - query.offset)
        if len(got) != wanted:
            return f"{len(got)} rows, not {wanted}"
        position = 0
        for rank, ties in groupby(ranked, key=lambda row: row[-1]):
            group = [row[:width] for row in ties]
            first, last = max(position, query.offset), min(position + len(group), end)
            if first < last:
                part = got[first - query.offset : last - query.offset]
                if fault := self._among(part, group):
                    return f"rows {first - query.offset}–{last - query.offset - 1} (ties of rank {rank!r}): {fault}"
            position += len(group)
        return ""

    def _among(self, part: Sequence[Row], group: Sequence[Row]) -> str:
        """Whether `part` is `group`, or where it is shorter, could be a part of it."""
        left, right = [self._plain(row) for row in part], [self._plain(row) for row in group]
        if not self._inexact:
            extra = Counter(left) - Counter(right)
            return f"{next(iter(extra))} is not there" if extra else ""
        rest = sorted(right, key=repr)
        for row in sorted(left, key=repr):
            found = next((i for i, other in enumerate(rest) if self._close(row, other)), None)
            if found is None:
                return f"{row} is not there"
            del rest[found]
        return ""

    def _plain(self, row: Row) -> Row:
        if not self._folded:
            return tuple(row)
        return tuple(self._fold(cell, self._folded[n]) if cell is not None and n in self._folded else cell for n, cell in enumerate(row))

    def _close(self, a: Row, b: Row) -> bool:
        return all(_close(x, y) if n in self._inexact else x == y for n, (x, y) in enumerate(zip(a, b, strict=True)))


def _close(a: bytes | None, b: bytes | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(float(a), float(b), rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
