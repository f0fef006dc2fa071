"""The types of a result's columns. SQLite's results have none, and the first rows do not tell: a shard may have only NULLs where
another has numbers, and both must answer alike. So they are told from the statement and the tables' declared types.

A DECIMAL is kept as SQLite keeps numbers, exact to fifteen digits, and shown with its digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

from sqlglot import exp

from shardproxy.protocol.flags import BINARY_CHARSET, DECIMAL_TYPES, FLOAT_TYPES, INTEGER_TYPES, ColumnType
from shardproxy.protocol.resultset import ColumnDefinition

_DECLARED = re.compile(r"\s*([a-z]+)[^(]*(?:\(\s*(\d+)\s*(?:,\s*(\d+))?\s*\))?", re.IGNORECASE)
_TEXT_CHARSET = 45
_BYTES_PER_CHARACTER = 4
# A double of any size, written out, with a DECIMAL's thirty digits behind the point.
_WIDE = Context(prec=350)


@dataclass(frozen=True, slots=True)
class ValueType:
    """What a value is. `size` counts a string's characters; `scale` a decimal's digits behind the point."""

    kind: ColumnType
    size: int = 0
    scale: int = 0
    binary: bool = True


TableTypes = Mapping[str, ValueType]
_INTEGER = ValueType(ColumnType.LONGLONG, 20)
_DOUBLE = ValueType(ColumnType.DOUBLE, 22, 31)
_TEXT = ValueType(ColumnType.VAR_STRING, 255, binary=False)
_BYTES = ValueType(ColumnType.VAR_STRING, 255)
_DATE = ValueType(ColumnType.DATE, 10)
_DATETIME = ValueType(ColumnType.DATETIME, 19)
_KINDS = {
    "tinyint": ValueType(ColumnType.TINY, 4),
    "smallint": ValueType(ColumnType.SHORT, 6),
    "mediumint": ValueType(ColumnType.INT24, 9),
    "int": ValueType(ColumnType.LONG, 11),
    "integer": ValueType(ColumnType.LONG, 11),
    "bigint": _INTEGER,
    "bool": ValueType(ColumnType.TINY, 1),
    "boolean": ValueType(ColumnType.TINY, 1),
    "float": _DOUBLE,
    "double": _DOUBLE,
    "real": _DOUBLE,
    "date": _DATE,
    "datetime": _DATETIME,
    "timestamp": ValueType(ColumnType.TIMESTAMP, 19),
    "time": ValueType(ColumnType.TIME, 10),
    "year": ValueType(ColumnType.YEAR, 4),
    "blob": _BYTES,
    "binary": _BYTES,
    "varbinary": _BYTES,
    "signed": _INTEGER,
    "unsigned": _INTEGER,
}


def declared_type(declared: str) -> ValueType:
    """The type of a column by its declaration."""
    match = _DECLARED.match(declared)
    name, first, second = match.groups() if match else ("text", None, None)
    if name.lower() in ("decimal", "numeric", "dec"):
        return ValueType(ColumnType.NEWDECIMAL, int(first or 10) + 2, int(second or 0))
    known = _KINDS.get(name.lower())
    return known or ValueType(ColumnType.VAR_STRING, int(first or 255), binary=False)


def result_types(query: exp.Query, lookup: Callable[[str], TableTypes | None]) -> list[ValueType | None]:
    """The types of a query's columns, None for one that cannot be told; empty where not even their number can."""
    while isinstance(query, exp.SetOperation):
        query = query.left
    if not isinstance(query, exp.Select):
        return []
    scope = dict(_sources(query, lookup))
    types: list[ValueType | None] = []
    for item in query.expressions:
        if not item.is_star or isinstance(item, exp.Count):
            types.append(_type_of(item, scope, lookup))
            continue
        wanted = [item.table.lower()] if isinstance(item, exp.Column) and item.table else list(scope)
        for name in wanted:
            if not scope.get(name):
                return []
            types += scope[name].values()
    return types


Scope = dict[str, Mapping[str, ValueType | None]]


def _sources(query: exp.Select, lookup: Callable[[str], TableTypes | None]) -> Iterator[tuple[str, Mapping[str, ValueType | None]]]:
    """The columns that each source of a SELECT offers."""
    source = query.args.get("from_")
    found = ([source.this] if source is not None else []) + [join.this for join in query.args.get("joins") or []]
    for part in found:
        if isinstance(part, exp.Table):
            yield part.alias_or_name.lower(), lookup(part.name) or {}
        elif isinstance(part, exp.Subquery):
            types = result_types(part.this, lookup)
            names = part.this.named_selects
            fits = len(types) == len(names)
            yield part.alias_or_name.lower(), dict(zip(map(str.lower, names), types, strict=True)) if fits else {}


def _type_of(node: exp.Expr, scope: Scope, lookup: Callable[[str], TableTypes | None]) -> ValueType | None:
    """The type of one expression, or None where it cannot be told."""
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
        inner = result_types(node.this, lookup)
        return inner[0] if len(inner) == 1 else None
    if isinstance(node, (exp.Alias, exp.Paren, exp.Neg, exp.Distinct)):
        return _type_of(node.expressions[0] if isinstance(node, exp.Distinct) else node.this, scope, lookup)
    if isinstance(node, exp.Column):
        places = [scope.get(node.table.lower(), {})] if node.table else list(scope.values())
        return next((place[node.name.lower()] for place in places if node.name.lower() in place), None)
    if isinstance(node, exp.Literal):
        return _literal_type(node)
    fixed = _fixed_type(node)
    if fixed is not None:
        return fixed
    rule = _RULES.get(type(node))
    if rule is None:
        return None
    operands = [_type_of(part, scope, lookup) for part in _operands(node)]
    known = [operand for operand in operands if operand is not None]
    return rule(known) if known and len(known) == len(operands) else None


def _operands(node: exp.Expr) -> list[exp.Expr]:
    """The values that an expression chooses from or computes with; NULL has every type, so it is left out."""
    if isinstance(node, exp.If):
        parts = [node.args["true"], node.args.get("false")]
    elif isinstance(node, exp.Case):
        parts = [*(choice.args["true"] for choice in node.args["ifs"]), node.args.get("default")]
    elif isinstance(node, (exp.Sum, exp.Avg, exp.Abs, exp.Round)):
        parts = [node.this]
    else:
        parts = [node.this, node.args.get("expression"), *node.expressions]
    return [part for part in parts if part is not None and not isinstance(part, exp.Null)]


def _literal_type(node: exp.Literal) -> ValueType:
    if node.is_string:
        return _TEXT
    _, _, digits = node.name.partition(".")
    return ValueType(ColumnType.NEWDECIMAL, len(node.name), len(digits)) if digits else _INTEGER


def _fixed_type(node: exp.Expr) -> ValueType | None:
    """The type of an expression that has the same one whatever its operands are."""
    if isinstance(node, exp.Cast):
        return declared_type(node.to.sql("mysql"))
    if isinstance(node, exp.Anonymous):
        return _FUNCTION_TYPES.get(node.name.upper())
    for kinds, fixed in _FIXED:
        if isinstance(node, kinds):
            return fixed
    return None


_FUNCTION_TYPES = {
    "WEIGHT_STRING": _BYTES,
    **dict.fromkeys(("FIELD", "FIND_IN_SET", "LOCATE", "CHAR_LENGTH", "SLEEP"), _INTEGER),
    **dict.fromkeys(("COLLATION", "REVERSE", "UUID"), _TEXT),
}
_FIXED: tuple[tuple[tuple[type[exp.Expr], ...], ValueType], ...] = (
    ((exp.Count, exp.Predicate, exp.Connector, exp.Not, exp.IntDiv, exp.Floor, exp.Ceil, exp.Length), _INTEGER),
    ((exp.Year, exp.Month, exp.Day, exp.DayOfMonth, exp.DateDiff, exp.Hour, exp.Minute, exp.Second), _INTEGER),
    ((exp.Boolean, exp.UnixToTime, exp.TimeToUnix), _INTEGER),
    ((exp.Concat, exp.ConcatWs, exp.Upper, exp.Lower, exp.Substring, exp.Trim, exp.TimeToStr, exp.GroupConcat), _TEXT),
    ((exp.Left, exp.Right, exp.Replace, exp.Repeat, exp.Pad, exp.MD5, exp.SHA, exp.SHA2), _TEXT),
    ((exp.CurrentDate, exp.TsOrDsToDate), _DATE),
    ((exp.CurrentTimestamp,), _DATETIME),
    ((exp.Rand, exp.Pow, exp.Sqrt, exp.Exp, exp.Ln), _DOUBLE),
)


def _chosen(types: Sequence[ValueType]) -> ValueType:
    """The type that holds any of these values."""
    if all(t == types[0] for t in types):
        return types[0]
    if all(_is_number(t) for t in types):
        return _computed(types)
    return ValueType(ColumnType.VAR_STRING, max(t.size for t in types), binary=False)


def _computed(types: Sequence[ValueType]) -> ValueType:
    """Sums and differences: the larger scale."""
    if not all(_is_number(t) or t.kind in FLOAT_TYPES for t in types) or any(t.kind in FLOAT_TYPES for t in types):
        return _DOUBLE
    scale = max(t.scale for t in types)
    return ValueType(ColumnType.NEWDECIMAL, 32, scale) if any(t.kind in DECIMAL_TYPES for t in types) else _INTEGER


def _product(types: Sequence[ValueType]) -> ValueType:
    found = _computed(types)
    return found if found.kind != ColumnType.NEWDECIMAL else ValueType(found.kind, 32, sum(t.scale for t in types))


def _quotient(types: Sequence[ValueType]) -> ValueType:
    if not all(_is_number(t) for t in types) or _computed(types) == _DOUBLE:
        return _DOUBLE
    return ValueType(ColumnType.NEWDECIMAL, 32, types[0].scale + 4)


def _sum(types: Sequence[ValueType]) -> ValueType:
    one = types[0]
    return ValueType(ColumnType.NEWDECIMAL, 42, one.scale) if _is_number(one) and one.kind not in FLOAT_TYPES else _DOUBLE


def _is_number(one: ValueType) -> bool:
    return one.kind in INTEGER_TYPES or one.kind in DECIMAL_TYPES or one.kind in FLOAT_TYPES


_RULES: dict[type[exp.Expr], Callable[[Sequence[ValueType]], ValueType]] = {
    **dict.fromkeys((exp.Min, exp.Max, exp.Coalesce, exp.If, exp.Case, exp.Greatest, exp.Least), _chosen),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mod, exp.Abs), _computed),
    exp.Mul: _product,
    exp.Div: _quotient,
    exp.Sum: _sum,
    exp.Avg: _quotient,
}


# -- what goes to the client ------------------------------------------------------------------------------------------


def column_of(name: str, known: ValueType | None, values: Sequence[object]) -> ColumnDefinition:
    """The definition of a column; without a type, what its first rows hold decides."""
    found = known or _type_of_values([value for value in values if value is not None])
    charset, size = (BINARY_CHARSET, found.size) if found.binary else (_TEXT_CHARSET, found.size * _BYTES_PER_CHARACTER)
    return ColumnDefinition(name.encode(), found.kind, charset, size, decimals=found.scale)


def _type_of_values(values: Sequence[object]) -> ValueType:
    if values and all(isinstance(value, int) for value in values):
        return _INTEGER
    if values and all(isinstance(value, (int, float)) for value in values):
        return _DOUBLE
    return _BYTES if values and all(isinstance(value, bytes) for value in values) else _TEXT


def encoder_of(column: ColumnDefinition) -> Callable[[object], bytes | None]:
    """How the column's values are written into a text row."""
    if column.type != ColumnType.NEWDECIMAL:
        return _plain
    unit = Decimal(1).scaleb(-column.decimals)

    def decimal(value: object) -> bytes | None:
        if not isinstance(value, (int, float)):
            return _plain(value)
        return format(Decimal(repr(value)).quantize(unit, ROUND_HALF_UP, _WIDE), "f").encode()

    return decimal


def _plain(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    text = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
    return text.encode("utf-8", "surrogateescape")
