"""Putting together groups that several shards have parts of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from shardproxy.errors import MERGE_LIMIT, UNSUPPORTED_TYPE, ProxyError
from shardproxy.merge.having import holds
from shardproxy.merge.keys import KeyFunction, RowKey, key_function
from shardproxy.merge.ordered import KeyedRow
from shardproxy.merge.spec import Aggregate, Combine, Grouping
from shardproxy.merge.values import EXACT, average, average_text, decimal_text, double_text
from shardproxy.protocol.flags import DECIMAL_TYPES, FLOAT_TYPES, INTEGER_TYPES, ColumnType
from shardproxy.protocol.resultset import ColumnDefinition, Row

_ALL_ONES = (1 << 64) - 1


class GroupMerge:
    """Ordered partial rows in, finished groups out."""

    def __init__(
        self,
        spec: Grouping,
        columns: Sequence[ColumnDefinition],
        collations: Mapping[str, bytes | None],
        literals: Sequence[bytes],
        max_rows: int,
        max_bytes: int,
    ) -> None:
        self._spec = spec
        self._columns = columns
        self._literals = literals
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._group_size = len(spec.keys)
        self._extremes: dict[int, KeyFunction] = {
            a.column: key_function((a.key,), columns, collations) for a in spec.aggregates if a.key is not None
        }
        self._final_key = key_function(spec.final_order, columns, collations) if spec.final_order else None
        self._readers = {a.column: _reader(a, columns) for a in spec.aggregates}
        self._buffer: list[tuple[RowKey, Row]] = []
        self._group: RowKey | None = None
        self._distinct: RowKey | None = None
        self._row: list[bytes | None] = []
        self._states: dict[int, Any] = {}

    def feed(self, rows: Iterable[KeyedRow]) -> list[Row]:
        """Take ordered rows; gives the groups that are finished."""
        out: list[Row] = []
        for key, row in rows:
            group = key[: self._group_size]
            if self._group is None or group != self._group:
                if self._group is not None:
                    self._finish(out)
                self._start(group, row)
            else:
                self._add(row)
            self._count_distinct(key[self._group_size :])
        return out

    def finish(self) -> list[Row]:
        """No more rows: the last group, or the one group that an aggregate without GROUP BY always has."""
        out: list[Row] = []
        if self._group is not None:
            self._finish(out)
        elif not self._spec.keys:
            self._row = [None] * len(self._columns)
            self._states = {a.column: _empty(a) for a in self._spec.aggregates}
            self._finish(out)
        if self._final_key is not None:
            self._buffer.sort(key=lambda pair: pair[0])
            return [row for _, row in self._buffer]
        return out

    def _start(self, group: RowKey, row: Row) -> None:
        self._group = group
        self._distinct = None
        self._row = list(row)
        self._states = {}
        for aggregate in self._spec.aggregates:
            column = aggregate.column
            if aggregate.combine is Combine.COUNT_DISTINCT:
                self._states[column] = 0
            elif aggregate.key is not None:
                self._states[column] = self._extremes[column](row)
            elif aggregate.combine not in (Combine.FIRST, Combine.AVG):
                raw = row[column]
                self._states[column] = None if raw is None else self._readers[column](raw)

    def _add(self, row: Row) -> None:
        states = self._states
        for aggregate in self._spec.aggregates:
            column, combine = aggregate.column, aggregate.combine
            if aggregate.key is not None:
                self._extreme(aggregate, row)
            elif combine not in (Combine.FIRST, Combine.AVG, Combine.COUNT_DISTINCT):
                raw = row[column]
                if raw is not None:
                    value, before = self._readers[column](raw), states[column]
                    states[column] = value if before is None else _COMBINE[combine](before, value)

    def _extreme(self, aggregate: Aggregate, row: Row) -> None:
        """Keep the smaller or larger value, and its weight and collation with it. NULL never counts."""
        column, key = aggregate.column, aggregate.key
        assert key is not None
        if row[column] is None:
            return
        candidate, best = self._extremes[column](row), self._states[column]
        better = candidate < best if aggregate.combine is Combine.MIN else best < candidate
        if self._row[column] is None or better:
            self._states[column] = candidate
            for index in (column, key.weight, key.collation):
                if isinstance(index, int):
                    self._row[index] = row[index]

    def _count_distinct(self, distinct: RowKey) -> None:
        if not distinct or distinct == self._distinct:
            return
        self._distinct = distinct
        if all(element[0] for element in distinct):
            for aggregate in self._spec.aggregates:
                if aggregate.combine is Combine.COUNT_DISTINCT:
                    self._states[aggregate.column] += 1

    def _finish(self, out: list[Row]) -> None:
        row, states, columns = self._row, self._states, self._columns
        exact: dict[int, Any] = {}
        for aggregate in self._spec.aggregates:
            column, combine = aggregate.column, aggregate.combine
            if combine is Combine.AVG:
                exact[column], row[column] = self._average(aggregate)
            elif combine is not Combine.FIRST and aggregate.key is None:
                exact[column] = states[column]
                row[column] = _text(states[column], columns[column])
            elif columns[column].type == ColumnType.YEAR and (raw := row[column]) is not None:
                # A server that groups through a temporary table sends the year 0 as a number.
                row[column] = raw.rjust(4, b"0")
        if self._spec.having is not None and not holds(self._spec.having, row, exact, columns, self._literals):
            return
        finished = tuple(row)
        if self._final_key is None:
            out.append(finished)
            return
        self._held_bytes += sum(len(value) for value in finished if value is not None)
        if len(self._buffer) >= self._max_rows:
            raise ProxyError(MERGE_LIMIT, f"the groups to be ordered are more than {self._max_rows} (limits.merge_rows)")
        if self._held_bytes > self._max_bytes:
            raise ProxyError(MERGE_LIMIT, f"the groups to be ordered take more than {self._max_bytes} bytes (limits.merge_bytes)")
        self._buffer.append((self._final_key(finished), finished))

    def _average(self, aggregate: Aggregate) -> tuple[Any, bytes | None]:
        total, count = self._states[aggregate.total], self._states[aggregate.count]
        if total is None or not count:
            return None, None
        if isinstance(total, float):
            return total / count, double_text(total / count)
        column = self._columns[aggregate.column]
        value = average(total, count, self._columns[aggregate.total].decimals)
        return value, average_text(value, column.decimals)


def _reader(aggregate: Aggregate, columns: Sequence[ColumnDefinition]) -> Callable[[bytes], Any]:
    kind = columns[aggregate.column].type
    if aggregate.combine in (Combine.SUM, Combine.AVG):
        if kind in FLOAT_TYPES:
            return float
        if kind not in DECIMAL_TYPES and kind not in INTEGER_TYPES:
            name = columns[aggregate.column].name.decode("utf-8", "replace")
            raise ProxyError(UNSUPPORTED_TYPE, f"the sum in column '{name}' cannot be merged from several shards")
        return lambda raw: Decimal(raw.decode("ascii"))
    return int


def _empty(aggregate: Aggregate) -> Any:
    """What an aggregate over no rows is."""
    if aggregate.combine in (Combine.COUNT, Combine.COUNT_DISTINCT, Combine.BIT_OR, Combine.BIT_XOR):
        return 0
    return _ALL_ONES if aggregate.combine is Combine.BIT_AND else None


def _text(value: Any, column: ColumnDefinition) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return decimal_text(value, column.decimals)
    return double_text(value) if isinstance(value, float) else b"%d" % value


def _sum(a: Any, b: Any) -> Any:
    """Decimals are added exactly; Python's own sum would round to 28 digits."""
    return EXACT.add(a, b) if isinstance(a, Decimal) else a + b


_COMBINE: dict[Combine, Callable[[Any, Any], Any]] = {
    Combine.COUNT: lambda a, b: a + b,
    Combine.SUM: _sum,
    Combine.BIT_AND: lambda a, b: a & b,
    Combine.BIT_OR: lambda a, b: a | b,
    Combine.BIT_XOR: lambda a, b: a ^ b,
}
