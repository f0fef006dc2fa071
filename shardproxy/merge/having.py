"""Deciding HAVING for a merged group, in SQL's three-valued logic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from shardproxy.errors import UNSUPPORTED_TYPE, ProxyError
from shardproxy.merge.spec import Comparison, Condition, Logic
from shardproxy.protocol.flags import DECIMAL_TYPES, FLOAT_TYPES, INTEGER_TYPES
from shardproxy.protocol.resultset import ColumnDefinition
from shardproxy.sql.fingerprint import list_items


def holds(
    condition: Condition,
    row: Sequence[bytes | None],
    exact: Mapping[int, Any],
    columns: Sequence[ColumnDefinition],
    literals: Sequence[bytes],
) -> bool:
    """Whether the condition is true (neither false nor unknown). `exact` has aggregates before they were rounded for display."""

    def number(column: int) -> Decimal | float | None:
        if column in exact:
            value = exact[column]
            return Decimal(value) if isinstance(value, int) else value
        kind = columns[column].type
        raw = row[column]
        if kind not in INTEGER_TYPES and kind not in DECIMAL_TYPES and kind not in FLOAT_TYPES:
            raise ProxyError(UNSUPPORTED_TYPE, "HAVING over several shards compares numbers only")
        if raw is None:
            return None
        return float(raw) if kind in FLOAT_TYPES else Decimal(raw.decode("ascii"))

    def decide(part: Condition) -> bool | None:
        if isinstance(part, Logic):
            return _logic(part.op, [decide(inner) for inner in part.parts])
        if part.op == "is null":
            return row[part.column] is None
        left = number(part.column)
        right: list[Any] = [number(part.other)] if part.other is not None else []
        for slot, negative in part.slots:
            raw = literals[slot]
            right += [_literal(item, negative) for item in (list_items(raw) if raw[:1] == b"(" else [raw])]
        if part.op == "in":
            # x IN (1, NULL) is true for 1 and unknown for anything else.
            known = [value for value in right if value is not None]
            found = left is not None and _compare(part, left, known)
            return True if found else None if left is None or len(known) < len(right) else False
        if left is None or None in right:
            return None
        return _compare(part, left, right)

    return decide(condition) is True


def _compare(part: Comparison, left: Decimal | float, right: list[Any]) -> bool:
    if isinstance(left, float) or any(isinstance(value, float) for value in right):
        left, right = float(left), [float(value) for value in right]
    if part.op == "between":
        return bool(right[0] <= left <= right[1])
    if part.op == "in":
        return left in right
    value = right[0]
    return bool(
        {
            "=": left == value,
            "<>": left != value,
            "<": left < value,
            "<=": left <= value,
            ">": left > value,
            ">=": left >= value,
        }[part.op]
    )


def _logic(op: str, values: list[bool | None]) -> bool | None:
    if op == "not":
        return None if values[0] is None else not values[0]
    deciding = op == "or"
    if deciding in values:
        return deciding
    return None if None in values else not deciding


def _literal(raw: bytes, negative: bool) -> Decimal | float | None:
    if raw.upper() == b"NULL":
        return None
    text = raw.decode("ascii", "replace")
    try:
        value: Decimal | float = float(text) if "e" in text.lower() and not text.lower().startswith("0x") else Decimal(text)
    except (InvalidOperation, ValueError):
        raise ProxyError(UNSUPPORTED_TYPE, "HAVING over several shards compares numbers only") from None
    return -value if negative else value
