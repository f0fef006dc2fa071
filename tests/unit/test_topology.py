"""Where rows live: buckets, quotas, minimal movement, ranges."""

import random

import pytest

from shardproxy.errors import ProxyError
from shardproxy.topology.catalog import Column
from shardproxy.topology.distribute import distribute, quotas
from shardproxy.topology.hashing import BUCKETS, bucket_of
from shardproxy.topology.keys import UNPROVABLE, IntegerKey, key_for_insert, key_type_for
from shardproxy.topology.placement import HashPlacement, range_placement, shard_for_row
from shardproxy.topology.topology import RangeMap

INT = IntegerKey(-(1 << 31), (1 << 31) - 1)


@pytest.mark.parametrize(
    ("key", "bucket"),
    # CONV(SUBSTR(SHA2(key, 256), 1, 8), 16, 10) MOD 4096, as MariaDB 10.11 gives it.
    [(b"1", 627), (b"42", 3252), (b"-7", 807), (b"", 1090), (b"abc", 1727), ("é".encode(), 1406), (b"18446744073709551615", 1574)],
)  # fmt: skip
def test_bucket_is_frozen(key: bytes, bucket: int) -> None:
    """Another function would misplace every row that was ever written."""
    assert bucket_of(key) == bucket


def test_buckets_are_spread_evenly() -> None:
    """Of 100 000 consecutive keys every bucket gets about its share."""
    counts = [0] * BUCKETS
    for key in range(100_000):
        counts[bucket_of(b"%d" % key)] += 1
    assert min(counts) > 3
    assert max(counts) < 60


@pytest.mark.parametrize("weights", [{"a": 1}, {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2.5, "c": 0.01}, {"a": 0, "b": 3}])
def test_quotas_add_up_exactly(weights: dict[str, float]) -> None:
    """Each shard gets its share to within one, and nothing is lost in rounding."""
    result = quotas(weights, BUCKETS)
    assert sum(result.values()) == BUCKETS
    for name, weight in weights.items():
        assert abs(result[name] - BUCKETS * weight / sum(weights.values())) < 1


def test_distribution_meets_the_quotas_and_is_deterministic() -> None:
    """Every process computes the same map from the same weights, in whatever order they stand."""
    weights = {"s0": 1.0, "s1": 2.0, "s2": 3.0}
    owners = distribute(weights, BUCKETS)
    assert {name: owners.count(name) for name in weights} == quotas(weights, BUCKETS)
    assert distribute(dict(reversed(weights.items())), BUCKETS) == owners


def test_growth_moves_only_what_the_new_shard_gets() -> None:
    """From 10 to 11 equal shards 1/11 of the buckets move, all of them to the new one."""
    ten = {f"s{i}": 1.0 for i in range(10)}
    before = distribute(ten, BUCKETS)
    after = distribute(ten | {"s10": 1.0}, BUCKETS, before)
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {"s10"}
    assert len(moved) == after.count("s10") == quotas(ten | {"s10": 1.0}, BUCKETS)["s10"]


def test_shrinking_moves_only_what_the_old_shard_had() -> None:
    """What the others have stays where it is."""
    three = {"s0": 1.0, "s1": 1.0, "s2": 1.0}
    before = distribute(three, BUCKETS)
    without = distribute({"s0": 1.0, "s1": 1.0}, BUCKETS, before)
    assert all(old in ("s2", new) for old, new in zip(before, without, strict=True))


def test_changed_weights_move_no_more_than_they_must() -> None:
    """Whatever the weights were and become, what moves is exactly the shards' surplus."""
    rng = random.Random(7)
    for _ in range(20):
        names = [f"s{i}" for i in range(rng.randint(1, 8))]
        old = {name: rng.choice([0.5, 1, 2, 7]) for name in names}
        new = {name: rng.choice([0.5, 1, 2, 7]) for name in [*names[rng.randint(0, len(names) - 1) :], "new"]}
        before = distribute(old, 512)
        after = distribute(new, 512, before)
        wanted = quotas(new, 512)
        assert {name: after.count(name) for name in new} == wanted
        must = sum(max(0, before.count(name) - wanted.get(name, 0)) for name in old)
        assert sum(a != b for a, b in zip(before, after, strict=True)) == must


def test_ranges_are_half_open() -> None:
    """A bound belongs to the range that starts there; keys outside a closed map belong to nobody."""
    placement = range_placement(INT, RangeMap(bounds=(100, 200), owners=("a", "b", "c"), start=0, end=300))
    assert [placement.shard_of(key) for key in (-1, 0, 99, 100, 199, 200, 299, 300)] == [
        None, "a", "a", "b", "b", "c", "c", None,
    ]  # fmt: skip
    assert shard_for_row(placement, "id", 5) == "a"
    with pytest.raises(ProxyError, match="SP1211"):
        shard_for_row(placement, "id", 300)


def test_open_ends_hold_everything() -> None:
    """Without `from` and `to` there is no key without a shard."""
    placement = range_placement(INT, RangeMap(bounds=(0,), owners=("a", "b"), start=None, end=None))
    assert placement.shard_of(INT.low) == "a"
    assert placement.shard_of(INT.high) == "b"


def test_intervals_reach_the_ranges_that_they_touch() -> None:
    """Neither one more nor one less, with both kinds of upper end."""
    placement = range_placement(INT, RangeMap(bounds=(100, 200), owners=("a", "b", "c"), start=None, end=None))
    assert placement.shards_between(None, None) == ("a", "b", "c")
    assert placement.shards_between(100, 150) == ("b",)
    assert placement.shards_between(99, 100) == ("a", "b")
    assert placement.shards_between(99, 100, high_inclusive=False) == ("a",)
    assert placement.shards_between(200, None) == ("c",)
    assert placement.shards_between(None, 99) == ("a",)
    assert placement.shards_between(150, 50) == ()


@pytest.mark.parametrize("bounds", [(200, 100), (100, 100), ("x",), (1.5,)])
def test_bounds_must_grow_and_fit_their_column(bounds: tuple[object, ...]) -> None:
    """A map that cannot be right is refused when it is bound to the column."""
    owners = tuple("abc"[: len(bounds) + 1])
    with pytest.raises(ValueError, match=r"."):
        range_placement(INT, RangeMap(bounds=bounds, owners=owners, start=None, end=None))  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", [b"5", b"+5", b"'5'", b'"5"', b"5.0", b"5.", b"05", b"'+5'", b"'05'", b"5e0", b"5.0E+0"])
def test_integer_is_the_same_key_in_every_form(raw: bytes) -> None:
    """The server finds the row by each of them, so each leads to its shard."""
    assert INT.from_literal(raw, "utf-8") == 5


@pytest.mark.parametrize(
    "raw",
    [
        b"NULL",
        b"5.5",
        b"'5.0'",
        b"'5 '",
        b"' 5'",
        b"'5x'",
        b"''",
        b"0x35",
        b"5e1",
        b"5.5e0",
        b"9007199254740993e0",
        b"b'101'",
        b"'9007199254740993'",
    ],
)
def test_what_cannot_be_proven_is_not_guessed(raw: bytes) -> None:
    """Such a read goes to all shards."""
    assert INT.from_literal(raw, "utf-8") is UNPROVABLE


@pytest.mark.parametrize(
    ("column", "equal", "different"),
    [
        (Column("k", "bigint", "bigint(20) unsigned"), [b"18446744073709551615", b"18446744073709551615.0"], b"0"),
        (Column("k", "varchar", "varchar(9)", charset="utf8mb4", collation="utf8mb4_bin", max_chars=9),
         [b"'a'", b'"a"', b"'a  '", rb"'\a'"], b"'A'"),
        (Column("k", "varchar", "varchar(9)", charset="utf8mb4", collation="utf8mb4_nopad_bin", max_chars=9),
         [b"'a '", b'"a "'], b"'a'"),
        (Column("k", "varchar", "varchar(9)", charset="utf8mb4", collation="utf8mb4_bin", max_chars=9),
         [rb"'it\'s'", b"'it''s'", b'"it\'s"'], b"'its'"),
        (Column("k", "date", "date"), [b"'2024-02-29'", b'"2024-02-29"'], b"'2024-03-01'"),
        (Column("k", "datetime", "datetime"), [b"'2024-01-01'", b"'2024-01-01 00:00:00'", b"'2024-01-01T00:00:00.000'"],
         b"'2024-01-01 00:00:01'"),
    ],
    ids=["unsigned", "padded", "not padded", "quoting", "date", "datetime"],
)  # fmt: skip
def test_key_follows_the_column_s_equality(column: Column, equal: list[bytes], different: bytes) -> None:
    """What the server calls equal has one bucket, and only that."""
    kind = key_type_for(column)
    assert not isinstance(kind, str), kind
    keys = [kind.from_literal(raw, "utf-8") for raw in equal]
    assert UNPROVABLE not in keys
    assert len({kind.canonical(key) for key in keys}) == 1  # type: ignore[arg-type]
    other = kind.from_literal(different, "utf-8")
    assert other is UNPROVABLE or kind.canonical(other) != kind.canonical(keys[0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "column",
    [
        Column("k", "varchar", "varchar(9)", charset="utf8mb4", collation="utf8mb4_general_ci", max_chars=9),
        Column("k", "varchar", "varchar(9)", charset="gbk", collation="gbk_bin", max_chars=9),
        Column("k", "double", "double"),
        Column("k", "decimal", "decimal(10,2)"),
        Column("k", "enum", "enum('a')", charset="utf8mb4", collation="utf8mb4_bin"),
        Column("k", "json", "json"),
    ],
    ids=lambda column: column.column_type,
)
def test_column_whose_equality_is_not_the_proxy_s_cannot_be_a_key(column: Column) -> None:
    """The reason says what to do."""
    assert isinstance(key_type_for(column), str)


@pytest.mark.parametrize(
    ("raw", "sp"), [(b"NULL", "SP1212"), (b"2147483648", "SP1213"), (b"RAND()", "SP1210"), (b"'x'", "SP1210"), (b"1.5", "SP1210")]
)
def test_row_whose_place_is_not_certain_is_refused(raw: bytes, sp: str) -> None:
    """A row in the wrong place would never be found again."""
    with pytest.raises(ProxyError, match=sp):
        key_for_insert(INT, "k", raw, "utf-8")


def test_remembered_literals_change_nothing() -> None:
    """The memory of literals answers as the first look did, and its size is bounded."""
    placement = HashPlacement(INT, distribute({"a": 1.0, "b": 1.0}, BUCKETS))
    for _ in range(2):
        for key in range(-50, 50):
            raw = b"%d" % key
            assert placement.shard_of_literal(raw, "utf-8") == placement.shard_of(key)
    assert placement.shard_of_literal(b"99999999999", "utf-8") is None
    for key in range(200_000):
        placement.shard_of_literal(b"%d" % key, "utf-8")
    assert len(placement.remembered) <= 65_536
