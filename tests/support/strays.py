"""Moves in the store of a running proxy: it then knows of rows on shards that do not own them."""

import time
from collections.abc import Iterable
from dataclasses import replace

from shardproxy.store.records import StoredTopology
from shardproxy.store.sqlite_store import SQLiteStore
from shardproxy.topology.moves import Move
from tests.support.proxy import ProxyProcess

_ADOPTED_WITHIN_S = 20.0


class StoredMoves:
    """The store of a proxy that has started."""

    def __init__(self, process: ProxyProcess) -> None:
        self._store = SQLiteStore(process.dir / "topology.db")

    @property
    def topology(self) -> StoredTopology:
        """What is stored."""
        found = self._store.load()
        assert found is not None
        return found

    def put(self, moves: Iterable[Move]) -> None:
        """Have these moves and no others, once the proxy has nothing under way that was planned before."""
        before = self.topology
        after = replace(before, epoch=before.epoch + 1, moves=tuple(moves))
        assert self._store.compare_and_set(before.epoch, after)
        deadline = time.monotonic() + _ADOPTED_WITHIN_S
        while any(told.epoch < after.epoch for told in self._store.acknowledgements()):
            assert time.monotonic() < deadline, "the proxy has not taken over the new topology"
            time.sleep(0.01)
        self._store.close()
