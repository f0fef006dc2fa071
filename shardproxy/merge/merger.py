"""One merge from end to end: row packets of several shards in, row packets for the client out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shardproxy.merge.grouping import GroupMerge
from shardproxy.merge.keys import RowKey, key_function
from shardproxy.merge.ordered import KeyedRow, OrderedMerge
from shardproxy.merge.spec import MergeSpec
from shardproxy.protocol.resultset import ColumnDefinition, Row, build_row, parse_row, parse_row_until


class Merger:
    """Feed it the rows of each source as they come, close each source at its end, and drain what is ready.

    `max_rows` and `max_bytes` bound the groups that have to be held. `done` says that the limit is reached and no more rows are wanted.
    """

    def __init__(
        self,
        spec: MergeSpec,
        columns: Sequence[ColumnDefinition],
        sources: int,
        collations: Mapping[str, bytes | None],
        literals: Sequence[bytes],
        max_rows: int,
        max_bytes: int,
    ) -> None:
        self._spec = spec
        self._width = len(columns)
        self._hidden = spec.hidden
        self._plain = not spec.order and spec.grouping is None and not spec.hidden
        self._ready: list[bytes] = []
        self._open = set(range(sources))
        self._last: RowKey | None = None
        self._skip = int(literals[spec.offset]) if spec.offset is not None else 0
        self._left = int(literals[spec.limit]) if spec.limit is not None else -1
        self.done = self._left == 0
        self._key = key_function(spec.order, columns, collations)
        self._ordered = OrderedMerge(sources)
        self._groups = GroupMerge(spec.grouping, columns, collations, literals, max_rows, max_bytes) if spec.grouping else None
        self._finished = False
        # What FOUND_ROWS() says: the rows up to the limit, those that OFFSET skips included.
        self.found = 0

    def feed(self, source: int, payloads: Sequence[bytes]) -> None:
        """Rows of one source, in its order."""
        if self._plain:
            self._ready += payloads
            return
        width, key = self._width, self._key
        rows: list[KeyedRow] = []
        if self._groups is not None:
            for payload in payloads:
                row = parse_row(payload, width)
                rows.append((key(row), row))
        else:
            visible = width - self._hidden
            for payload in payloads:
                row, cut = parse_row_until(payload, width, visible)
                rows.append((key(row), payload[:cut]))
        self._ordered.feed(source, rows)

    def close(self, source: int) -> None:
        """The source has sent all its rows."""
        self._open.discard(source)
        self._ordered.close(source)

    def waits_for(self, source: int) -> bool:
        """Whether nothing can come out before this source sends more; the others need not be read further until then."""
        return self._plain or self._ordered.waits_for(source)

    def drain(self) -> list[bytes]:
        """The rows that can go to the client now."""
        if self.done:
            return []
        if self._plain:
            ready, self._ready = self._ready, []
            return self._cut(ready)
        keyed = self._ordered.drain()
        if self._groups is not None:
            groups = self._groups.feed(keyed)
            if not self._open and not self._finished:
                self._finished = True
                groups += self._groups.finish()
            return self._cut([self._visible(row) for row in groups])
        if self._spec.distinct:
            payloads = []
            for key, payload in keyed:
                if key != self._last:
                    self._last = key
                    payloads.append(payload)
            return self._cut(payloads)
        return self._cut([payload for _, payload in keyed])

    def _visible(self, row: Row) -> bytes:
        return build_row(row[: self._width - self._hidden] if self._hidden else row)

    def _cut(self, payloads: list[bytes]) -> list[bytes]:
        """Apply OFFSET and LIMIT."""
        if self._skip:
            skipped = min(self._skip, len(payloads))
            self._skip -= skipped
            self.found += skipped
            payloads = payloads[skipped:]
        if self._left >= 0:
            payloads = payloads[: self._left]
            self._left -= len(payloads)
            self.done = self._left == 0
        self.found += len(payloads)
        return payloads
