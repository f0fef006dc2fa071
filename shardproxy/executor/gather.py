"""Small answers of several shards, waited for without a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from shardproxy.backends.engine import Connection, RelayedStream


class Gather:
    """Sends each shard its text and calls `done(self)` once: when all answers are there, or when it would be too simple to wait.

    `whole` then says that every answer came to its end without error or warning, `lost` that a server went away. Otherwise what has
    come so far waits in the streams for whoever goes on.
    """

    __slots__ = ("_done", "_over", "connections", "lost", "streams", "whole")

    def __init__(self, connections: Sequence[Connection], texts: Mapping[str, bytes], done: Callable[[Gather], None]) -> None:
        self.connections = connections
        # Only relaying connections are given to the short way.
        self.streams = [cast(RelayedStream, connection.send(texts[connection.shard])) for connection in connections]
        self.whole = False
        self.lost = False
        self._done = done
        self._over = False
        for connection in connections:
            connection.on_progress = self._progress
        self._progress()

    def _progress(self) -> None:
        """Something has come on one of the connections, or one is lost."""
        if self._over:
            return
        done = True
        for connection, stream in zip(self.connections, self.streams, strict=True):
            if not stream.done:
                done = False
                if connection.closed or stream.waits:
                    break
        else:
            if not done:
                return
        self._over = True
        self.lost = any(connection.closed and not getattr(connection, "timed_out", False) for connection in self.connections)
        for connection in self.connections:
            connection.on_progress = None
        self.whole = done and all(stream.clean for stream in self.streams)
        self._done(self)
