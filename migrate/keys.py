"""A sharding key as the binary log has it, as a key of the partition map."""

from __future__ import annotations

from typing import Final

from migrate.binlog.layout import ColumnLayout
from shardproxy.topology.keys import BytesKey, DateKey, DateTimeKey, IntegerKey, Key, KeyType, StringKey

_CODECS: Final = {"utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "ascii": "ascii", "latin1": "cp1252"}


def key_of_value(key_type: KeyType, value: object, column: ColumnLayout) -> Key | None:
    """The key, or None where that is left to the servers."""
    if isinstance(key_type, IntegerKey):
        return value if isinstance(value, int) else None
    if not isinstance(value, bytes):
        return None
    if isinstance(key_type, BytesKey | DateKey | DateTimeKey):
        return value
    codec = _CODECS.get(column.charset.lower())
    if not isinstance(key_type, StringKey) or codec is None:
        return None
    try:
        return value.decode(codec).encode("utf-8")
    except UnicodeError:
        return None
