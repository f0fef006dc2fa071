"""The bucket of a row, and whether a row is in a share, as SQL that a shard's server works out for itself.

Both must say of every row what `hashing` and `placement` say of its key, whatever character set, collation and SQL mode the
connection, the trigger or the table has. So nothing here rests on the connection's character set: numbers and times become
ASCII, strings UTF-8, and literals are given by their bytes. (MariaDB's ORACLE mode is left out, which makes '' NULL.)
"""

from __future__ import annotations

from typing import Final

from shardproxy.topology.hashing import BUCKETS
from shardproxy.topology.keys import BytesKey, DateKey, DateTimeKey, IntegerKey, Key, KeyType, StringKey
from shardproxy.topology.share import Interval, Share

# Buckets that are listed one by one.
_LISTED: Final = 64
NOTHING: Final = "FALSE"
EVERYTHING: Final = "TRUE"


def bucket_sql(key_type: KeyType, column: str) -> str:
    """An integer, 0 to 4095: the bucket of the row whose key is in `column`, which is quoted and qualified as it has to be."""
    # The last three of the first eight digits are the remainder. UNHEX puts a zero before them, and the two bytes are the code of
    # one UTF-16 character. CONV would be quicker, but MySQL misreads what it gives where the connection's character set is UTF-16.
    digits = f"CONVERT(SUBSTR(SHA2({_hashed_text(key_type, column)}, 256), 6, 3) USING ascii)"
    return f"ORD(CONVERT(UNHEX({digits}) USING utf16))"


def share_sql(key_type: KeyType, column: str, share: Share) -> str:
    """A condition in parentheses, or one word, that is true for the rows whose key is in the share and false for all others.

    Raises ValueError where a bound of the share does not fit the key.
    """
    if share.everything:
        return EVERYTHING
    parts = [_interval_sql(key_type, column, interval) for interval in share.intervals]
    if EVERYTHING in parts:
        return EVERYTHING
    if share.buckets:
        parts.append(_buckets_sql(bucket_sql(key_type, column), share.buckets))
    return f"({' OR '.join(parts)})" if parts else NOTHING


def _buckets_sql(bucket: str, buckets: frozenset[int]) -> str:
    """Beyond some dozens a map, with a byte for each bucket: a list would be read number by number, and sorted, for each statement."""
    if len(buckets) <= _LISTED:
        return f"{bucket} IN ({', '.join(map(str, sorted(buckets)))})"
    marks = bytes(number in buckets for number in range(BUCKETS))
    return f"SUBSTR(X'{marks.hex()}', 1 + {bucket}, 1) = X'01'"


def _hashed_text(key_type: KeyType, column: str) -> str:
    """The key's canonical form as the server makes it."""
    if isinstance(key_type, BytesKey):
        return column
    if isinstance(key_type, StringKey):
        text = f"CONVERT({column} USING utf8mb4)"
        return f"RTRIM({text})" if key_type.padded else text
    # Adding zero takes off the zeros that ZEROFILL shows.
    value = f"{column} + 0" if isinstance(key_type, IntegerKey) else column
    return f"CAST({value} AS CHAR CHARACTER SET ascii)"


def _interval_sql(key_type: KeyType, column: str, interval: Interval) -> str:
    low, high = interval
    operand = _ordered(key_type, column)
    conditions = []
    if low is not None:
        conditions.append(f"{operand} >= {_literal(key_type, key_type.from_config(low))}")
    if high is not None:
        conditions.append(f"{operand} < {_literal(key_type, key_type.from_config(high))}")
    return f"({' AND '.join(conditions)})" if conditions else EVERYTHING


def _ordered(key_type: KeyType, column: str) -> str:
    """The column as it compares in the order of its keys, which for strings need not be the order of its collation."""
    if not isinstance(key_type, StringKey):
        return column
    text = f"CONVERT({column} USING utf8mb4)"
    return f"{text} COLLATE utf8mb4_bin" if key_type.padded else f"CAST({text} AS BINARY)"


def _literal(key_type: KeyType, key: Key) -> str:
    if isinstance(key_type, IntegerKey):
        return str(int(key))
    canonical = key_type.canonical(key)
    if isinstance(key_type, DateKey):
        return f"DATE'{canonical.decode('ascii')}'"
    if isinstance(key_type, DateTimeKey):
        return f"TIMESTAMP'{canonical.decode('ascii')}'"
    introducer = "_utf8mb4 " if isinstance(key_type, StringKey) and key_type.padded else ""
    return f"{introducer}X'{canonical.hex()}'"
