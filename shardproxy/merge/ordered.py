"""K-way merge of rows that each shard has already put in order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from shardproxy.merge.keys import RowKey

# A row's key, and whatever stands for the row.
KeyedRow = tuple[RowKey, Any]
_KEY = itemgetter(0)


class OrderedMerge:
    """Rows in from each source, rows out in one order. Nothing can come out while an open source has no row waiting.

    Rows move in runs: everything up to the smallest of the open sources' last keys has its place for certain, and sorting a few
    sorted runs costs one comparison per row, in C.
    """

    def __init__(self, sources: int) -> None:
        self._runs: list[list[KeyedRow]] = [[] for _ in range(sources)]
        self._open = [True] * sources

    def feed(self, source: int, rows: Sequence[KeyedRow]) -> None:
        """Add rows of one source, in its order."""
        self._runs[source].extend(rows)

    def close(self, source: int) -> None:
        """No more rows will come from this source."""
        self._open[source] = False

    def drain(self) -> list[KeyedRow]:
        """All rows whose place is certain by now."""
        runs = self._runs
        last_keys = []
        for source, run in enumerate(runs):
            if self._open[source]:
                if not run:
                    return []
                last_keys.append(run[-1][0])
        ready: list[KeyedRow] = []
        if not last_keys:
            for source, run in enumerate(runs):
                ready += run
                runs[source] = []
        else:
            bound = min(last_keys)
            for source, run in enumerate(runs):
                cut = bisect_right(run, bound, key=_KEY)
                ready += run[:cut]
                runs[source] = run[cut:]
        ready.sort(key=_KEY)
        return ready

    def waits_for(self, source: int) -> bool:
        """Whether this open source has no row, and so holds up the others."""
        return self._open[source] and not self._runs[source]
