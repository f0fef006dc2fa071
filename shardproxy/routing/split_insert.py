"""An INSERT of many rows, split so that every shard gets its own."""

from __future__ import annotations

import re

from shardproxy.errors import AUTO_INCREMENT, KEY_UNPROVABLE, ProxyError
from shardproxy.planner.plan import RowInsert
from shardproxy.sql.rows import split_rows
from shardproxy.topology.keys import key_for_insert
from shardproxy.topology.placement import shard_for_row

# Anything else might make the shard choose a value (NULL, DEFAULT, zero in every spelling), or cannot be told here.
_GIVEN = re.compile(rb"'?[+-]?0*[1-9][0-9]*'?")


def check_row(insert: RowInsert, values: tuple[bytes, ...]) -> None:
    """Refuse a row that leaves the value of an AUTO_INCREMENT column to the shard."""
    auto = values[-1] if insert.auto_position >= insert.key_position else values[0]
    if insert.auto_position >= 0 and _GIVEN.fullmatch(auto) is None:
        raise ProxyError(AUTO_INCREMENT, f"the AUTO_INCREMENT column '{insert.auto_column}' must be given a number other than zero")


def shard_of_value(insert: RowInsert, raw: bytes, codec: str) -> str:
    """The shard of a row with that sharding key; raises `ProxyError` where it cannot be told."""
    while raw[:1] == b"(" and raw[-1:] == b")":
        raw = raw[1:-1].strip()
    if raw[:1] in (b"-", b"+"):
        raw = raw[:1].strip(b"+") + raw[1:].lstrip()
    if raw.upper() in (b"TRUE", b"FALSE"):
        raw = b"1" if raw.upper() == b"TRUE" else b"0"
    elif not raw or (raw[:1].isalpha() and raw.upper() != b"NULL"):
        shown = raw[:40].decode("utf-8", "replace")
        raise ProxyError(KEY_UNPROVABLE, f"sharding key '{insert.key_column}' must be a literal, not {shown}")
    return shard_for_row(insert.placement, insert.key_column, key_for_insert(insert.placement.key_type, insert.key_column, raw, codec))


def split_insert(text: bytes, insert: RowInsert, codec: str) -> dict[str, bytes]:
    """The statement of each shard, by shard; rows keep their order."""
    positions = sorted({insert.key_position, insert.auto_position} - {-1})
    at = positions.index(insert.key_position)
    parts = split_rows(text, insert.width, tuple(positions))
    rows: dict[str, list[bytes]] = {}
    for row in parts.rows:
        check_row(insert, row.values)
        rows.setdefault(shard_of_value(insert, row.values[at], codec), []).append(row.text)
    tail = b" " + parts.tail if parts.tail else b""
    return {shard: parts.head + b", ".join(texts) + tail for shard, texts in rows.items()}
