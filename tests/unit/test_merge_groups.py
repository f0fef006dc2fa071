"""Groups that several shards have parts of, HAVING over them, and values printed as the servers print them."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from shardproxy.errors import ProxyError
from shardproxy.merge.grouping import GroupMerge
from shardproxy.merge.having import holds
from shardproxy.merge.keys import key_function
from shardproxy.merge.spec import Aggregate, Combine, Comparison, Condition, Grouping, Logic, SortKey
from shardproxy.merge.values import average, average_text, decimal_text, double_text, time_microseconds
from shardproxy.protocol.flags import BINARY_CHARSET, ColumnType
from shardproxy.protocol.resultset import ColumnDefinition, Row, integer_column, string_column


def decimal_column(decimals: int) -> ColumnDefinition:
    """A DECIMAL column."""
    return ColumnDefinition(b"d", ColumnType.NEWDECIMAL, BINARY_CHARSET, decimals=decimals)


DOUBLE = ColumnDefinition(b"f", ColumnType.DOUBLE, BINARY_CHARSET, decimals=31)
INT = integer_column("i")


def grouped(
    spec: Grouping, columns: Sequence[ColumnDefinition], rows: list[Row], max_rows: int = 100, max_bytes: int = 10_000
) -> list[Row]:
    """The groups of partial rows, which come in the order of their keys."""
    key = key_function((*spec.keys, *spec.distinct), columns, {})
    merge = GroupMerge(spec, columns, {}, [], max_rows, max_bytes)
    out = []
    for row in sorted(rows, key=key):
        out += merge.feed([(key(row), row)])
    return out + merge.finish()


def one(combine: Combine, column: ColumnDefinition, values: list[bytes | None]) -> bytes | None:
    """One aggregate over all rows, of partial values."""
    key = SortKey(0) if combine in (Combine.MIN, Combine.MAX) else None
    spec = Grouping((), (Aggregate(0, combine, key),))
    return grouped(spec, [column], [(value,) for value in values])[0][0]


@pytest.mark.parametrize(
    ("combine", "column", "values", "result"),
    [
        (Combine.COUNT, INT, [b"2", b"0", b"40"], b"42"),
        (Combine.SUM, decimal_column(2), [b"0.10", b"0.20", b"-5.00"], b"-4.70"),
        (Combine.SUM, decimal_column(0), [b"9" * 40, b"1"], b"1" + b"0" * 40),
        (Combine.SUM, decimal_column(30), [b"9" * 35 + b"." + b"1" * 30, b"0." + b"0" * 29 + b"1"], b"9" * 35 + b"." + b"1" * 29 + b"2"),
        (Combine.SUM, DOUBLE, [b"0.5", b"1e3"], b"1000.5"),
        (Combine.SUM, decimal_column(0), [None, b"3", None], b"3"),
        (Combine.SUM, decimal_column(0), [None, None], None),
        (Combine.MIN, INT, [b"10", b"9", None], b"9"),
        (Combine.MAX, INT, [None, b"10", b"9"], b"10"),
        (Combine.MAX, INT, [None], None),
        (Combine.BIT_AND, INT, [b"7", b"5"], b"5"),
        (Combine.BIT_OR, INT, [b"1", b"4"], b"5"),
        (Combine.BIT_XOR, INT, [b"7", b"2"], b"5"),
        (Combine.FIRST, INT, [b"8", b"8"], b"8"),
    ],
)
def test_parts_become_one_value(combine: Combine, column: ColumnDefinition, values: list[bytes | None], result: bytes | None) -> None:
    """As if one server had seen all rows; NULL never counts, and no digit is lost."""
    assert one(combine, column, values) == result


@pytest.mark.parametrize(
    ("combine", "result"),
    [
        (Combine.COUNT, b"0"),
        (Combine.SUM, None),
        (Combine.MIN, None),
        (Combine.MAX, None),
        (Combine.BIT_AND, b"18446744073709551615"),
        (Combine.BIT_OR, b"0"),
        (Combine.BIT_XOR, b"0"),
        (Combine.FIRST, None),
    ],
)
def test_aggregate_over_nothing_is_one_row(combine: Combine, result: bytes | None) -> None:
    """Without GROUP BY there is always a row."""
    assert one(combine, INT, []) == result


def test_group_by_over_nothing_has_no_rows() -> None:
    """There is no key that could be told."""
    spec = Grouping((SortKey(0),), (Aggregate(1, Combine.COUNT),))
    assert grouped(spec, [INT, INT], []) == []


def test_groups_are_put_together_by_their_key() -> None:
    """NULL is a group of its own."""
    spec = Grouping((SortKey(0),), (Aggregate(1, Combine.COUNT), Aggregate(2, Combine.MIN, SortKey(2))))
    rows: list[Row] = [(b"1", b"2", b"7"), (None, b"1", b"3"), (b"1", b"3", b"5"), (b"2", b"1", None), (None, b"1", b"4")]
    assert grouped(spec, [INT, INT, INT], rows) == [(None, b"2", b"3"), (b"1", b"5", b"5"), (b"2", b"1", None)]


def test_average_is_of_all_rows_and_not_of_averages() -> None:
    """1 row of 10 on one shard and 3 rows of 2 on another make 4."""
    spec = Grouping((), (Aggregate(0, Combine.AVG, total=1, count=2), Aggregate(1, Combine.SUM), Aggregate(2, Combine.COUNT)))
    columns = [decimal_column(4), decimal_column(0), INT]
    assert grouped(spec, columns, [(b"10.0000", b"10", b"1"), (b"2.0000", b"6", b"3")])[0][0] == b"4.0000"
    assert grouped(spec, columns, [(None, None, b"0")])[0][0] is None
    assert grouped(spec, columns, [])[0][0] is None
    assert grouped(spec, [DOUBLE, DOUBLE, INT], [(b"1", b"1", b"1"), (b"0", b"0", b"1")])[0][0] == b"0.5"


def test_distinct_values_are_counted_once_over_all_shards() -> None:
    """NULL is none of them."""
    spec = Grouping((SortKey(0),), (Aggregate(2, Combine.COUNT_DISTINCT),), distinct=(SortKey(1),))
    rows: list[Row] = [
        (b"1", b"5", b"0"),
        (b"1", b"5", b"0"),
        (b"1", b"6", b"0"),
        (b"1", None, b"0"),
        (b"2", b"5", b"0"),
        (b"3", None, b"0"),
    ]
    assert [(row[0], row[2]) for row in grouped(spec, [INT, INT, INT], rows)] == [(b"1", b"2"), (b"2", b"1"), (b"3", b"0")]


def test_groups_can_be_wanted_in_another_order() -> None:
    """Then they are held, within bounds."""
    spec = Grouping((SortKey(0),), (Aggregate(1, Combine.COUNT),), final_order=(SortKey(1, descending=True),))
    rows: list[Row] = [(b"1", b"2"), (b"2", b"9"), (b"3", b"5"), (b"1", b"5")]
    assert grouped(spec, [INT, INT], rows) == [(b"2", b"9"), (b"1", b"7"), (b"3", b"5")]
    with pytest.raises(ProxyError, match="SP1218"):
        grouped(spec, [INT, INT], rows, max_rows=2)
    with pytest.raises(ProxyError, match="SP1218"):
        grouped(spec, [INT, INT], rows, max_bytes=5)


def test_having_sees_the_merged_group() -> None:
    """No part of it alone would have passed."""
    spec = Grouping((SortKey(0),), (Aggregate(1, Combine.COUNT),), having=Comparison(">", 1, other=0))
    assert grouped(spec, [INT, INT], [(b"3", b"2"), (b"3", b"2"), (b"4", b"4")]) == [(b"3", b"4")]


def test_sum_of_strings_is_refused() -> None:
    """Nobody knows how the server would read them."""
    with pytest.raises(ProxyError, match="SP1219"):
        GroupMerge(Grouping((), (Aggregate(0, Combine.SUM),)), [string_column("s")], {}, [], 1, 1)


# In the rows below column 0 is 5, column 1 is NULL and column 2 is 2.5.
TRUE, FALSE, UNKNOWN = Comparison("=", 0, ((0, False),)), Comparison("<>", 0, ((0, False),)), Comparison("=", 1, ((0, False),))


@pytest.mark.parametrize(
    ("condition", "true"),
    [
        (TRUE, True),
        (FALSE, False),
        (UNKNOWN, False),
        (Logic("not", (FALSE,)), True),
        (Logic("not", (UNKNOWN,)), False),
        (Logic("and", (TRUE, UNKNOWN)), False),
        (Logic("not", (Logic("and", (TRUE, UNKNOWN)),)), False),
        (Logic("not", (Logic("and", (FALSE, UNKNOWN)),)), True),
        (Logic("or", (TRUE, UNKNOWN)), True),
        (Logic("or", (FALSE, UNKNOWN)), False),
        (Logic("not", (Logic("or", (FALSE, UNKNOWN)),)), False),
        (Comparison("is null", 1), True),
        (Comparison("is null", 0), False),
        (Comparison("between", 0, ((1, False), (0, False))), True),
        (Comparison("between", 0, ((0, False), (1, False))), True),
        (Comparison("between", 1, ((0, False), (1, False))), False),
        (Comparison("in", 0, ((2, False),)), True),
        (Comparison("in", 2, ((2, False),)), False),
        (Logic("not", (Comparison("in", 2, ((2, False),)),)), False),
        (Logic("not", (Comparison("in", 1, ((0, False),)),)), False),
        (Logic("not", (Comparison("in", 2, ((0, False),)),)), True),
        (Comparison("=", 0, ((3, False),)), False),
        (Comparison(">", 0, ((0, True),)), True),
        (Comparison(">=", 0, other=2), True),
        (Comparison("<", 2, ((4, False),)), True),
    ],
)  # fmt: skip
def test_having_knows_three_truths(condition: Condition, true: bool) -> None:
    """A group is kept where the condition is true, not where it is unknown."""
    columns = [INT, INT, decimal_column(1)]
    literals = [b"5", b"5.0", b"(1, NULL, 5)", b"NULL", b"3e0"]
    assert holds(condition, (b"5", None, b"2.5"), {}, columns, literals) is true


def test_having_compares_what_is_not_rounded_yet() -> None:
    """An average prints as 0.3333 but is more than that."""
    condition = Comparison(">", 0, ((0, False),))
    assert holds(condition, (b"0.3333",), {0: Decimal("0.333333333")}, [decimal_column(4)], [b"0.3333"])
    assert not holds(condition, (b"0.3333",), {}, [decimal_column(4)], [b"0.3333"])


def test_having_refuses_strings() -> None:
    """They compare by a collation."""
    with pytest.raises(ProxyError, match="SP1219"):
        holds(Comparison("=", 0, ((0, False),)), (b"a",), {}, [string_column("s")], [b"1"])
    with pytest.raises(ProxyError, match="SP1219"):
        holds(Comparison("=", 0, ((0, False),)), (b"1",), {}, [INT], [b"'a'"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, b"0"), (-0.0, b"0"), (1.0, b"1"), (-2.5, b"-2.5"), (0.1, b"0.1"), (0.1 + 0.2, b"0.30000000000000004"),
        (123456789012345.0, b"123456789012345"), (999999999999999.0, b"999999999999999"), (1e15, b"1e15"), (1.5e20, b"1.5e20"),
        (1e-15, b"0.000000000000001"), (1e-16, b"1e-16"), (-1.25e-20, b"-1.25e-20"), (1.7976931348623157e308, b"1.7976931348623157e308"),
        (100.0, b"100"), (5e-324, b"5e-324"),
    ],
)  # fmt: skip
def test_double_prints_as_the_server_prints_it(value: float, text: bytes) -> None:
    """The shortest digits that read back the same."""
    assert double_text(value) == text
    assert float(text) == value


@pytest.mark.parametrize(
    ("total", "count", "decimals", "text"),
    [("10", 4, 0, b"2.5000"), ("1", 3, 0, b"0.3333"), ("2", 3, 0, b"0.6667"), ("-2", 3, 0, b"-0.6667"), ("1", 8, 0, b"0.1250"),
     ("0.01", 3, 2, b"0.003333"), ("0.05", 2, 2, b"0.025000"), ("9" * 40, 2, 0, b"4" + b"9" * 39 + b".5000")],
)  # fmt: skip
def test_average_has_four_more_digits_rounded_half_up(total: str, count: int, decimals: int, text: bytes) -> None:
    """Than the values that it is of."""
    assert average_text(average(Decimal(total), count, decimals), decimals + 4) == text


def test_average_is_cut_to_whole_words_inside() -> None:
    """Nine digits for integers, as the servers compute on with it; more where the values have more."""
    assert average(Decimal(2), 3, 0) == Decimal("0.666666666")
    assert average(Decimal(2), 3, 2) == Decimal("0.666666666")
    assert average(Decimal(2), 3, 6) == Decimal("0.666666666666666666")


def test_decimal_keeps_all_its_digits() -> None:
    """Also those behind the twenty-eighth, and the zeros at the end."""
    assert decimal_text(Decimal("1.5"), 4) == b"1.5000"
    assert decimal_text(Decimal("-" + "1" * 35 + "." + "2" * 30), 30) == b"-" + b"1" * 35 + b"." + b"2" * 30
    assert decimal_text(Decimal(0), 2) == b"0.00"


def test_times_become_numbers() -> None:
    """Beyond a day and below zero as well."""
    assert time_microseconds(b"00:00:01.5") == 1_500_000
    assert time_microseconds(b"-838:59:59") == -(838 * 3600 + 59 * 60 + 59) * 1_000_000
