"""Comparing rows of different shards: each row gets a key, a tuple whose order is the order that every shard sorted by.

An element is (0, 0) for NULL, which sorts first, or (1, value); descending elements are turned round. Strings are compared by
the server's own sort key (WEIGHT_STRING); under a PAD SPACE collation as if filled up with spaces for ever.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from shardproxy.errors import SHARDS_DISAGREE, UNSUPPORTED_TYPE, ProxyError
from shardproxy.merge.spec import SortKey
from shardproxy.merge.values import time_microseconds
from shardproxy.protocol.flags import (
    DECIMAL_TYPES,
    ENUM_FLAG,
    FLOAT_TYPES,
    INTEGER_TYPES,
    SET_FLAG,
    STRING_TYPES,
    TEMPORAL_TYPES,
    ColumnType,
)
from shardproxy.protocol.resultset import ColumnDefinition, Row

Element = tuple[int, Any]
RowKey = tuple[Element, ...]
KeyFunction = Callable[[Row], RowKey]
# Weights up to this size are filled up to one length, so that plain bytes compare right.
_FILLED_BYTES = 1024
# The servers' default of max_sort_length.
MAX_SORTED_BYTES = 1024


class Padded:
    """A weight string that compares as if its collation's weight of a space followed it for ever."""

    __slots__ = ("pad", "weight")

    def __init__(self, weight: bytes, pad: bytes) -> None:
        while weight.endswith(pad):
            weight = weight[: -len(pad)]
        self.weight = weight
        self.pad = pad

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Padded) and self.weight == other.weight

    def __hash__(self) -> int:
        return hash(self.weight)

    def __lt__(self, other: Padded) -> bool:
        a, b = self.weight, other.weight
        n = min(len(a), len(b))
        if a[:n] != b[:n] or len(a) == len(b):
            return a[:n] < b[:n]
        tail = a[n:] or b[n:]
        spaces = (self.pad * (len(tail) // len(self.pad) + 1))[: len(tail)]
        return tail < spaces if len(a) > n else spaces < tail


class Descending:
    """A value whose order is turned round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __lt__(self, other: Descending) -> bool:
        return bool(other.value < self.value)


def key_function(keys: Sequence[SortKey], columns: Sequence[ColumnDefinition], collations: Mapping[str, bytes | None]) -> KeyFunction:
    """The function that gives a row its key. `collations` tells the weight of a space for those with PAD SPACE."""
    elements = [_element(key, columns, collations) for key in keys]
    if len(elements) == 1:
        only = elements[0]
        return lambda row: (only(row),)
    if len(elements) == 2:
        first, second = elements
        return lambda row: (first(row), second(row))
    return lambda row: tuple([element(row) for element in elements])


def _element(key: SortKey, columns: Sequence[ColumnDefinition], collations: Mapping[str, bytes | None]) -> Callable[[Row], Element]:
    column = columns[key.value]
    index = key.value
    if isinstance(key.collation, str):
        read = _string_reader(columns[key.value], key.collation, collations)
        if key.whole:
            read = _short_only(read)
    elif column.type in STRING_TYPES and not column.is_binary:
        if key.weight is None or not isinstance(key.collation, int):
            raise ProxyError(UNSUPPORTED_TYPE, f"strings in column '{_name(column)}' cannot be compared over several shards")
        return _dynamic_string(key, columns, collations)
    else:
        read = value_reader(column)
    negated = _negated_decimal if column.type in DECIMAL_TYPES else operator.neg
    numeric = column.type in INTEGER_TYPES or column.type in DECIMAL_TYPES or column.type in FLOAT_TYPES
    if not key.descending:
        return lambda row: (0, 0) if (raw := row[index]) is None else (1, read(raw))
    if numeric and not isinstance(key.collation, str):
        return lambda row: (1, 0) if (raw := row[index]) is None else (0, negated(read(raw)))
    return lambda row: (1, 0) if (raw := row[index]) is None else (0, Descending(read(raw)))


def _negated_decimal(value: Decimal) -> Decimal:
    """The minus sign would round to 28 digits."""
    return value.copy_negate()


def value_reader(column: ColumnDefinition) -> Callable[[bytes], Any]:
    """How a value of this column, not a character string, becomes something that compares like it."""
    kind = column.type
    if column.flags & (ENUM_FLAG | SET_FLAG):
        raise ProxyError(UNSUPPORTED_TYPE, f"ENUM or SET column '{_name(column)}' cannot be compared over several shards")
    if kind in INTEGER_TYPES:
        return int
    if kind in DECIMAL_TYPES:
        return lambda raw: Decimal(raw.decode("ascii"))
    if kind in FLOAT_TYPES:
        return float
    if kind in TEMPORAL_TYPES or kind in (ColumnType.BIT, ColumnType.NULL) or kind in STRING_TYPES:
        return bytes
    if kind == ColumnType.TIME:
        return time_microseconds
    raise ProxyError(UNSUPPORTED_TYPE, f"values of column '{_name(column)}' cannot be compared over several shards")


def _short_only(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Refuse a string so long that its server has sorted by a part of it only."""

    def checked(raw: bytes) -> Any:
        if len(raw) >= MAX_SORTED_BYTES:
            raise ProxyError(UNSUPPORTED_TYPE, "strings this long cannot be grouped or made distinct over several shards")
        return read(raw)

    return checked


def _string_reader(column: ColumnDefinition, collation: str, collations: Mapping[str, bytes | None]) -> Callable[[bytes], Any]:
    pad = b"" if collation == "binary" else _pad_of(collation.lower(), collations)
    if not pad:
        return bytes
    size = column.length
    if size > _FILLED_BYTES:
        return lambda raw: Padded(raw, pad)
    if len(pad) == 1:
        return lambda raw: raw.ljust(size, pad)
    width = len(pad)
    return lambda raw: raw + pad * ((size - len(raw)) // width)


def _pad_of(collation: str, collations: Mapping[str, bytes | None]) -> bytes:
    pad = collations.get(collation, b"?")
    if pad == b"?":
        raise ProxyError(UNSUPPORTED_TYPE, f"collation {collation or 'unknown'} is not known")
    if pad is None:
        raise ProxyError(UNSUPPORTED_TYPE, f"strings under collation {collation} can be compared over several shards in short columns only")
    return pad


def _dynamic_string(key: SortKey, columns: Sequence[ColumnDefinition], collations: Mapping[str, bytes | None]) -> Callable[[Row], Element]:
    """A string expression: its collation comes with each row."""
    weight, collation, descending = key.weight, key.collation, key.descending
    assert weight is not None and isinstance(collation, int)
    null: Element = (1, 0) if descending else (0, 0)

    def element(row: Row) -> Element:
        raw = row[weight]
        if raw is None or row[key.value] is None:
            return null
        name = (row[collation] or b"").decode("ascii", "replace")
        if name == "binary":
            value: Any = row[key.value]
        else:
            pad = _pad_of(name, collations)
            value = Padded(raw, pad) if pad else raw
            if key.whole and len(raw) >= MAX_SORTED_BYTES:
                raise ProxyError(UNSUPPORTED_TYPE, "strings this long cannot be grouped or made distinct over several shards")
        return (0, Descending(value)) if descending else (1, value)

    return element


def _kind(column: ColumnDefinition) -> int:
    """The type; all strings are one and all integers are one, because a server tells them apart by how it happened to compute
    them (an impossible WHERE on one shard is enough)."""
    if column.type in STRING_TYPES:
        return ColumnType.STRING
    return ColumnType.LONGLONG if column.type in INTEGER_TYPES and column.type != ColumnType.YEAR else column.type


def check_same_shape(first: Sequence[ColumnDefinition], other: Sequence[ColumnDefinition]) -> None:
    """All shards must answer with the same columns."""
    if len(first) != len(other) or any(_kind(a) != _kind(b) or a.name != b.name for a, b in zip(first, other, strict=True)):
        raise ProxyError(SHARDS_DISAGREE, "the shards gave results with different columns; run `shardproxy check`")


def _name(column: ColumnDefinition) -> str:
    return column.name.decode("utf-8", "replace")
