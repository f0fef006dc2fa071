"""K-way merge of rows that each shard has already put in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from shardproxy.merge.keys import KeyFunction, RowKey
from shardproxy.protocol.resultset import Row

KeyedRow = tuple[RowKey, Row, bytes]


class OrderedMerge:
    """Rows in from each source, rows out in one order. Nothing can come out while an open source has no row waiting."""

    def __init__(self, sources: int, key: KeyFunction) -> None:
        self._key = key
        self._queues: list[deque[tuple[Row, bytes]]] = [deque() for _ in range(sources)]
        self._open = [True] * sources
        self._heads: list[tuple[RowKey, int]] = []
        self._headless = set(range(sources))

    def feed(self, source: int, rows: Sequence[tuple[Row, bytes]]) -> None:
        """Add rows of one source, in its order."""
        self._queues[source].extend(rows)

    def close(self, source: int) -> None:
        """No more rows will come from this source."""
        self._open[source] = False

    def drain(self) -> list[KeyedRow]:
        """All rows whose place is certain by now."""
        out: list[KeyedRow] = []
        heads, queues = self._heads, self._queues
        for source in list(self._headless):
            if queues[source]:
                heads.append((self._key(queues[source][0][0]), source))
                self._headless.discard(source)
            elif self._open[source]:
                return out
        while heads:
            # With a handful of shards a scan is quicker than a heap.
            best = min(heads) if len(heads) > 1 else heads[0]
            key, source = best
            queue = queues[source]
            row, payload = queue.popleft()
            out.append((key, row, payload))
            heads.remove(best)
            if queue:
                heads.append((self._key(queue[0][0]), source))
                continue
            self._headless.add(source)
            if self._open[source]:
                break
        return out

    @property
    def waiting_for(self) -> list[int]:
        """The open sources without a row, which hold up the others."""
        return [source for source in self._headless if self._open[source] and not self._queues[source]]
