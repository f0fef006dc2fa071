"""The rows that statements over several shards leave out while a move runs, as SQL for each shard that may hold some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shardproxy.topology.keys import KeyType
from shardproxy.topology.share_sql import share_sql
from shardproxy.topology.topology import Topology

# Stands where the column will; it is in no literal, as those are given by their bytes.
_COLUMN: Final = "\0"

StrayTexts = Mapping[str, tuple[bytes, ...]]


class StrayRows:
    """Each text is made when it is first asked for, and kept as long as the topology is."""

    def __init__(self, topology: Topology) -> None:
        self._strays = topology.strays
        self._texts: dict[tuple[str, KeyType], StrayTexts] = {}

    def of(self, group: str, key_type: KeyType) -> StrayTexts:
        """By shard, the condition that its strays fulfil, in parts between which the column of the key stands.

        Raises ValueError where what moves cannot be told by a key of this type.
        """
        shares = self._strays.get(group)
        if not shares:
            return {}
        texts = self._texts.get((group, key_type))
        if texts is None:
            texts = {
                shard: tuple(share_sql(key_type, _COLUMN, share).encode("ascii").split(_COLUMN.encode()))
                for shard, share in shares.items()
                if share
            }
            self._texts[group, key_type] = texts
        return texts
