"""Shares as SQL: what the text is. That servers read it as it is meant, the integration test of the same name sees to."""

import datetime as dt

import pytest

from shardproxy.topology.keys import BytesKey, DateKey, DateTimeKey, IntegerKey, KeyType, StringKey
from shardproxy.topology.share import Share
from shardproxy.topology.share_sql import bucket_sql, share_sql

INT = IntegerKey(-(1 << 31), (1 << 31) - 1)
PADDED = StringKey(padded=True, max_chars=4, codec="utf-8")
PLAIN = StringKey(padded=False, max_chars=4, codec="utf-8")
TEXT = "CONVERT(`k` USING utf8mb4)"


@pytest.mark.parametrize(
    ("key_type", "hashed"),
    [
        (INT, "CAST(`k` + 0 AS CHAR CHARACTER SET ascii)"),
        (PADDED, f"RTRIM({TEXT})"),
        (PLAIN, TEXT),
        (BytesKey(4), "`k`"),
        (DateKey(), "CAST(`k` AS CHAR CHARACTER SET ascii)"),
        (DateTimeKey(3), "CAST(`k` AS CHAR CHARACTER SET ascii)"),
    ],
)
def test_each_type_of_key_is_hashed_as_text(key_type: KeyType, hashed: str) -> None:
    """The text that is hashed is the canonical form, in a character set of its own."""
    assert bucket_sql(key_type, "`k`") == f"ORD(CONVERT(UNHEX(CONVERT(SUBSTR(SHA2({hashed}, 256), 6, 3) USING ascii)) USING utf16))"


def test_buckets_are_listed_in_order() -> None:
    """The same share gives the same text, whatever order its buckets come in."""
    assert share_sql(INT, "`k`", Share(frozenset((7, 4095, 0)))) == f"({bucket_sql(INT, '`k`')} IN (0, 7, 4095))"


def test_a_column_may_be_qualified() -> None:
    """As in a trigger."""
    assert "NEW.`uid` + 0" in share_sql(INT, "NEW.`uid`", Share(frozenset((1,))))
    assert share_sql(INT, "NEW.`uid`", Share(intervals=((1, 2),))) == "((NEW.`uid` >= 1 AND NEW.`uid` < 2))"


@pytest.mark.parametrize(
    ("key_type", "interval", "condition"),
    [
        (INT, (10, 20), "`k` >= 10 AND `k` < 20"),
        (INT, (None, -5), "`k` < -5"),
        (INT, (10, None), "`k` >= 10"),
        (DateKey(), (dt.date(2024, 2, 29), None), "`k` >= DATE'2024-02-29'"),
        (DateKey(), ("2024-02-29", None), "`k` >= DATE'2024-02-29'"),
        (DateTimeKey(0), (dt.date(2024, 1, 1), None), "`k` >= TIMESTAMP'2024-01-01 00:00:00'"),
        (DateTimeKey(3), (None, "2024-01-01 10:00:00.5"), "`k` < TIMESTAMP'2024-01-01 10:00:00.500'"),
        (BytesKey(4), ("a'\\", "b"), "`k` >= X'61275c' AND `k` < X'62'"),
        (PADDED, ("é  ", None), f"{TEXT} COLLATE utf8mb4_bin >= _utf8mb4 X'c3a9'"),
        (PLAIN, ("é ", None), f"CAST({TEXT} AS BINARY) >= X'c3a920'"),
    ],
)
def test_intervals_are_half_open(key_type: KeyType, interval: tuple[object, object], condition: str) -> None:
    """Bounds are literals that no character set or SQL mode changes."""
    assert share_sql(key_type, "`k`", Share(intervals=(interval,))) == f"(({condition}))"


def test_intervals_are_alternatives() -> None:
    """A share may have several."""
    assert share_sql(INT, "`k`", Share(intervals=((None, 1), (5, 9)))) == "((`k` < 1) OR (`k` >= 5 AND `k` < 9))"


def test_all_or_nothing() -> None:
    """A table that is not sharded yet, an interval without ends, and a share of nothing."""
    assert share_sql(INT, "`k`", Share(everything=True)) == "TRUE"
    assert share_sql(INT, "`k`", Share(intervals=((None, None),))) == "TRUE"
    assert share_sql(INT, "`k`", Share()) == "FALSE"


def test_a_bound_must_fit_the_key() -> None:
    """As in the config."""
    with pytest.raises(ValueError, match="not an integer"):
        share_sql(INT, "`k`", Share(intervals=(("a", None),)))
