"""Putting rows of several shards in order: keys that compare as the servers do, and a merge that equals one sort."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from shardproxy.errors import ProxyError
from shardproxy.merge.keys import Padded, RowKey, check_same_shape, key_function
from shardproxy.merge.merger import Merger
from shardproxy.merge.ordered import OrderedMerge
from shardproxy.merge.spec import MergeSpec, SortKey
from shardproxy.protocol.flags import BINARY_CHARSET, ENUM_FLAG, ColumnType
from shardproxy.protocol.resultset import ColumnDefinition, build_row, integer_column, parse_row, string_column

COLLATIONS = {"utf8mb4_bin": b" ", "utf8mb4_0900_bin": b"", "wide": b"\0\x20", "levels": None}


def of_type(kind: ColumnType, decimals: int = 0) -> ColumnDefinition:
    """A column of that type that is not a character string."""
    return ColumnDefinition(b"c", kind, BINARY_CHARSET, decimals=decimals)


def key_of(column: ColumnDefinition, key: SortKey | None = None) -> Callable[[bytes | None], RowKey]:
    """The key of a row with one value."""
    function = key_function((key or SortKey(0),), [column], COLLATIONS)
    return lambda raw: function((raw,))


@pytest.mark.parametrize("seed", range(10))
def test_merge_equals_one_sort(seed: int) -> None:
    """Whatever the runs are and in whatever chunks they come, nothing is lost, doubled or out of place."""
    rng = random.Random(seed)
    runs = [sorted(((1, rng.randint(0, 40)),) for _ in range(rng.randint(0, 60))) for _ in range(rng.randint(1, 6))]
    merge = OrderedMerge(len(runs))
    left = {source: [(key, (source, i)) for i, key in enumerate(run)] for source, run in enumerate(runs)}
    out = []
    while left:
        source = rng.choice(list(left))
        n = rng.randint(0, 12)
        merge.feed(source, left[source][:n])
        left[source] = left[source][n:]
        if not left[source]:
            merge.close(source)
            del left[source]
        out += merge.drain()
    assert [key for key, _ in out] == sorted(key for run in runs for key in run)
    assert len({row for _, row in out}) == len(out)
    for source in range(len(runs)):
        numbers = [i for _, (owner, i) in out if owner == source]
        assert numbers == sorted(numbers)


def test_nothing_comes_out_while_a_source_is_silent() -> None:
    """Its first row might be the smallest."""
    merge = OrderedMerge(2)
    merge.feed(0, [(((1, 1),), "a")])
    assert merge.drain() == []
    assert merge.waits_for(1)
    assert not merge.waits_for(0)
    merge.close(1)
    assert not merge.waits_for(1)
    assert [row for _, row in merge.drain()] == ["a"]


@pytest.mark.parametrize(
    ("column", "ascending"),
    [
        (integer_column("i"), [None, b"-10", b"-9", b"0", b"9", b"10", b"18446744073709551615"]),
        (of_type(ColumnType.NEWDECIMAL, 2), [None, b"-1.50", b"-1.49", b"0.00", b"9.00", b"10.00", b"9" * 40 + b".01", b"9" * 40 + b".02"]),
        (of_type(ColumnType.DOUBLE), [None, b"-1e20", b"-2", b"1e-9", b"0.5", b"1e15"]),
        (of_type(ColumnType.DATE), [None, b"0000-00-00", b"1999-12-31", b"2024-02-29"]),
        (of_type(ColumnType.TIME), [None, b"-838:59:59", b"-00:00:00.5", b"00:00:00", b"00:00:00.25", b"09:00:00", b"100:00:00"]),
        (of_type(ColumnType.STRING), [None, b"", b"A", b"a", b"a ", b"ab", b"\xff"]),
    ],
    ids=["integer", "decimal", "double", "date", "time", "binary"],
)
def test_key_orders_as_the_server_does(column: ColumnDefinition, ascending: list[bytes | None]) -> None:
    """NULL first, and turned round where it is descending."""
    up, down = key_of(column), key_of(column, SortKey(0, descending=True))
    for smaller, larger in pairwise(ascending):
        assert up(smaller) < up(larger)
        assert down(larger) < down(smaller)


def test_equal_numbers_have_equal_keys() -> None:
    """However a server wrote them."""
    decimal = key_of(of_type(ColumnType.NEWDECIMAL))
    assert decimal(b"1.50") == decimal(b"1.5")
    assert key_of(of_type(ColumnType.DOUBLE))(b"1e1") == key_of(of_type(ColumnType.DOUBLE))(b"10")


@pytest.mark.parametrize("length", [16, 5000], ids=["filled up", "too long to be filled up"])
@pytest.mark.parametrize("descending", [False, True])
def test_padded_strings_compare_as_if_spaces_followed(length: int, descending: bool) -> None:
    """A tab sorts before the end of a string, and trailing spaces make no difference."""
    key = key_of(string_column("s", length), SortKey(0, descending, collation="utf8mb4_bin"))
    assert key(b"a") == key(b"a  ")
    assert key(b"") == key(b" ")
    assert key(b"a\tb") != key(b"a")
    assert (key(b"a\tb") < key(b"a")) is not descending
    assert (key(b"a") < key(b"a!")) is not descending
    assert (key(b"a  ") < key(b"a  b")) is not descending


def test_unpadded_strings_compare_byte_by_byte() -> None:
    """There a trailing space is a difference."""
    key = key_of(string_column("s"), SortKey(0, collation="utf8mb4_0900_bin"))
    assert key(b"a") < key(b"a\t") < key(b"a ")


def test_weight_of_a_space_may_be_several_bytes() -> None:
    """As UCA collations have it."""
    assert Padded(b"\0\x41\0\x20", b"\0\x20") == Padded(b"\0\x41", b"\0\x20")
    assert hash(Padded(b"\0\x41\0\x20", b"\0\x20")) == hash(Padded(b"\0\x41", b"\0\x20"))
    assert Padded(b"\0\x41\0\x09", b"\0\x20") < Padded(b"\0\x41", b"\0\x20") < Padded(b"\0\x41\0\x21", b"\0\x20")


def test_string_of_any_collation_compares_by_its_weight() -> None:
    """The collation comes with each row; binary compares the value itself."""
    columns = [string_column("v"), string_column("weight"), string_column("collation")]
    key = key_function((SortKey(0, weight=1, collation=2),), columns, COLLATIONS)
    assert key((b"b", b"A", b"utf8mb4_bin")) < key((b"a", b"B", b"utf8mb4_bin"))
    assert key((b"a", b"B", b"binary")) < key((b"b", b"A", b"binary"))
    assert key((None, None, b"utf8mb4_bin")) < key((b"", b"", b"utf8mb4_bin"))


@pytest.mark.parametrize(
    ("column", "key"),
    [
        (string_column("s"), SortKey(0)),
        (string_column("s"), SortKey(0, collation="unheard_of")),
        (string_column("s"), SortKey(0, collation="levels")),
        (ColumnDefinition(b"e", ColumnType.STRING, BINARY_CHARSET, flags=ENUM_FLAG), SortKey(0)),
        (of_type(ColumnType.JSON), SortKey(0)),
        (of_type(ColumnType.GEOMETRY), SortKey(0)),
    ],
    ids=["no weight", "unknown collation", "several levels", "enum", "json", "geometry"],
)
def test_values_that_cannot_be_compared_are_refused(column: ColumnDefinition, key: SortKey) -> None:
    """A wrong order is worse than none."""
    with pytest.raises(ProxyError, match="SP1219"):
        key_of(column, key)


def test_long_string_that_must_be_compared_whole_is_refused() -> None:
    """The server has sorted by its first 1024 bytes only."""
    key = key_of(string_column("s", 4000), SortKey(0, collation="utf8mb4_bin", whole=True))
    key(b"x" * 1023)
    with pytest.raises(ProxyError, match="SP1219"):
        key(b"x" * 1024)


def test_shards_must_answer_alike() -> None:
    """In number, name and kind; how wide an integer is told to be makes no difference."""
    one = [integer_column("a"), string_column("b")]
    check_same_shape(one, [ColumnDefinition(b"a", ColumnType.LONG), ColumnDefinition(b"b", ColumnType.BLOB)])
    for other in ([one[0]], [one[0], integer_column("b")], [one[0], string_column("c")]):
        with pytest.raises(ProxyError, match="SP1407"):
            check_same_shape(one, other)


def merged(
    spec: MergeSpec, sources: list[list[tuple[bytes, ...]]], width: int, literals: list[bytes] | None = None
) -> list[tuple[bytes | None, ...]]:
    """The rows that the client gets of integer columns."""
    columns = [integer_column(f"c{i}") for i in range(width)]
    merger = Merger(spec, columns, len(sources), {}, literals or [], 1000, 1 << 20)
    out = merger.drain()
    for source, rows in enumerate(sources):
        merger.feed(source, [build_row(row) for row in rows])
        merger.close(source)
        out += merger.drain()
    return [parse_row(payload, width - spec.hidden) for payload in out]


def test_hidden_columns_order_and_are_cut_off() -> None:
    """The client sees what it asked for."""
    spec = MergeSpec(order=(SortKey(-1),), hidden=1)
    assert merged(spec, [[(b"a", b"1"), (b"c", b"3")], [(b"b", b"2")]], 2) == [(b"a",), (b"b",), (b"c",)]


def test_limit_and_offset_apply_to_the_whole() -> None:
    """Not to each shard."""
    spec = MergeSpec(order=(SortKey(0),), limit=0, offset=1)
    sources = [[(b"1",), (b"4",)], [(b"2",), (b"3",)]]
    assert merged(spec, sources, 1, [b"2", b"1"]) == [(b"2",), (b"3",)]
    assert merged(spec, sources, 1, [b"0", b"0"]) == []
    assert merged(spec, sources, 1, [b"9", b"4"]) == []


def test_rows_of_no_order_pass_through() -> None:
    """With a limit over all of them."""
    assert merged(MergeSpec(limit=0), [[(b"5",), (b"6",)], [(b"1",), (b"2",)]], 1, [b"3"]) == [(b"5",), (b"6",), (b"1",)]


def test_distinct_drops_what_is_equal_across_shards() -> None:
    """Once each."""
    spec = MergeSpec(order=(SortKey(0),), distinct=True)
    assert merged(spec, [[(b"1",), (b"2",)], [(b"1",), (b"3",)], [(b"2",)]], 1) == [(b"1",), (b"2",), (b"3",)]
