"""Merging what several shards send: order, groups, limits, and values as servers print them."""

import random
from decimal import Decimal

import pytest

from shardproxy.errors import ProxyError
from shardproxy.merge.keys import Padded
from shardproxy.merge.merger import Merger
from shardproxy.merge.spec import Aggregate, Combine, Grouping, MergeSpec, SortKey
from shardproxy.merge.values import average, average_text, decimal_text, double_text, time_microseconds
from shardproxy.protocol.flags import ColumnType
from shardproxy.protocol.resultset import ColumnDefinition, build_row, parse_row

INT = ColumnDefinition(b"n", ColumnType.LONGLONG, charset=63)
TEXT = ColumnDefinition(b"t", ColumnType.VAR_STRING, charset=63)
DECIMAL = ColumnDefinition(b"d", ColumnType.NEWDECIMAL, charset=63, decimals=2)


def _rows(values: list[tuple[object, ...]]) -> list[bytes]:
    return [build_row(None if v is None else str(v).encode() for v in row) for row in values]


def merged(
    spec: MergeSpec, columns: list[ColumnDefinition], sources: list[list[tuple[object, ...]]], batch: int = 2, **limits: int
) -> list[tuple[bytes | None, ...]]:
    """What comes out where each source sends its rows in batches, as the merge asks for them."""
    literals = [b"%d" % limits[name] for name in ("limit", "offset") if name in limits]
    merger = Merger(spec, columns, len(sources), {}, literals, limits.get("rows", 1000), 1 << 20)
    left = {i: _rows(rows) for i, rows in enumerate(sources)}
    out: list[bytes] = []
    while left and not merger.done:
        for source in list(left):
            if not merger.waits_for(source):
                continue
            if left[source]:
                merger.feed(source, left[source][:batch])
                left[source] = left[source][batch:]
            else:
                merger.close(source)
                del left[source]
        out += merger.drain()
    return [parse_row(payload, len(columns) - spec.hidden) for payload in out]


def test_rows_come_in_order_from_sorted_sources() -> None:
    """NULLs first, numbers as numbers, descending turned round, whatever the batches."""
    rng = random.Random(3)
    for descending in (False, True):
        for batch in (1, 3, 100):
            values = [rng.choice([None, *range(-20, 20)]) for _ in range(60)]
            wanted = sorted(values, key=lambda v: (v is not None, v or 0), reverse=descending)
            sources = [[(v,) for v in sorted(values[i::4], key=lambda v: (v is not None, v or 0), reverse=descending)] for i in range(4)]
            spec = MergeSpec(order=(SortKey(0, descending),))
            got = merged(spec, [INT], sources, batch)
            assert [None if v is None else int(v) for (v,) in got] == wanted


def test_limit_and_offset_count_over_all_sources() -> None:
    """And the merge says that it wants no more as soon as it has enough."""
    sources: list[list[tuple[object, ...]]] = [[(1,), (4,)], [(2,), (5,)], [(3,), (6,)]]
    spec = MergeSpec(order=(SortKey(0),), limit=0, offset=1)
    assert merged(spec, [INT], sources, limit=2, offset=3) == [(b"4",), (b"5",)]
    assert merged(spec, [INT], sources, limit=10, offset=5) == [(b"6",)]
    assert merged(spec, [INT], sources, limit=0, offset=0) == []


def test_hidden_columns_are_taken_off() -> None:
    """What the planner added to sort by, the client does not see."""
    sources: list[list[tuple[object, ...]]] = [[("a", 1), ("c", 3)], [("b", 2)]]
    spec = MergeSpec(order=(SortKey(-1),), hidden=1)
    assert merged(spec, [TEXT, INT], sources) == [(b"a",), (b"b",), (b"c",)]


def test_groups_are_put_together_from_their_parts() -> None:
    """Sums and counts add up exactly, extremes compare as numbers, and a group of NULLs stays NULL."""
    grouping = Grouping(
        keys=(SortKey(0),),
        aggregates=(
            Aggregate(0, Combine.FIRST),
            Aggregate(1, Combine.COUNT),
            Aggregate(2, Combine.SUM),
            Aggregate(3, Combine.MIN, SortKey(3)),
            Aggregate(4, Combine.MAX, SortKey(4)),
        ),
    )
    spec = MergeSpec(order=(SortKey(0),), grouping=grouping)
    columns = [INT, INT, DECIMAL, INT, INT]
    sources: list[list[tuple[object, ...]]] = [
        [(1, 2, "0.10", 9, 9), (2, 1, None, None, None)],
        [(1, 3, "0.20", 10, 10), (3, 1, "99999999999999999999.99", 1, 1)],
        [(2, 0, None, None, None), (3, 1, "0.01", -5, -5)],
    ]
    for batch in (1, 10):
        assert merged(spec, columns, sources, batch) == [
            (b"1", b"5", b"0.30", b"9", b"10"),
            (b"2", b"1", None, None, None),
            (b"3", b"2", b"100000000000000000000.00", b"-5", b"1"),
        ]


def test_distinct_drops_equal_neighbours_of_any_source() -> None:
    """Also NULLs, which are equal to each other here."""
    spec = MergeSpec(order=(SortKey(0),), distinct=True)
    assert merged(spec, [INT], [[(None,), (1,), (2,)], [(None,), (2,), (3,)], [(1,)]]) == [(None,), (b"1",), (b"2",), (b"3",)]


def test_padded_strings_compare_as_if_filled_up() -> None:
    """`a` equals `a  ` and comes after a tab, which is less than a space."""
    space = b"\x20"
    a, spaces, tab, longer = (Padded(text, space) for text in (b"a", b"a  ", b"a\t", b"a!"))
    assert a == spaces
    assert hash(a) == hash(spaces)
    assert tab < a < longer
    assert not a < spaces


def test_groups_are_bounded() -> None:
    """SP1218 instead of a buffer without end."""
    grouping = Grouping(keys=(SortKey(0),), aggregates=(Aggregate(0, Combine.FIRST),), final_order=(SortKey(0, True),))
    spec = MergeSpec(order=(SortKey(0),), grouping=grouping)
    with pytest.raises(ProxyError, match="SP1218"):
        merged(spec, [INT], [[(i,) for i in range(100)]], rows=10)


@pytest.mark.parametrize(
    ("value", "text"),
    # As MariaDB 10.11 prints CAST(... AS DOUBLE).
    [
        (0.0, b"0"), (-0.0, b"0"), (1.0, b"1"), (0.1, b"0.1"), (-2.5, b"-2.5"), (1e14, b"100000000000000"), (1e15, b"1e15"),
        (123456789012345.6, b"123456789012345.6"), (1e-15, b"0.000000000000001"), (1e-16, b"1e-16"), (1.5e300, b"1.5e300"),
        (5e-324, b"5e-324"), (1 / 3, b"0.3333333333333333"), (2.0**53, b"9.007199254740992e15"),
    ],
)  # fmt: skip
def test_double_text(value: float, text: bytes) -> None:
    """The shortest digits that read back the same, an exponent where servers write one."""
    assert double_text(value) == text
    assert float(double_text(value)) == value


@pytest.mark.parametrize(
    ("total", "count", "decimals", "shown"),
    [("10", 3, 0, b"3.3333"), ("20", 3, 0, b"6.6667"), ("-20", 3, 0, b"-6.6667"), ("0.10", 3, 2, b"0.033333"), ("1", 1, 0, b"1.0000")],
)
def test_average(total: str, count: int, decimals: int, shown: bytes) -> None:
    """Four digits more than the summed values, rounded half up."""
    assert average_text(average(Decimal(total), count, decimals), decimals + 4) == shown


def test_decimal_and_time_text() -> None:
    """Digits behind the point are the column's; times order as signed microseconds."""
    assert decimal_text(Decimal("1E+3"), 2) == b"1000.00"
    assert decimal_text(Decimal("9" * 64), 1) == b"9" * 64 + b".0"
    times = [b"-838:59:59", b"-00:00:00.000001", b"00:00:00", b"00:00:00.5", b"00:01:00", b"100:00:00"]
    assert sorted([*times[3:], *times[:3]], key=time_microseconds) == times
