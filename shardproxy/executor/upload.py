"""LOAD DATA LOCAL INFILE: the client's file on its way to the shard that asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shardproxy.backends.engine import Connection
from shardproxy.protocol.framing import encode_packet, packet_count


class Upload:
    """Takes the client's packets up to the empty one that ends the file. They are read to their end even where the shard is lost:
    the client sends them all before it looks at an answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Number of the last packet that came.
        self.sequence = 0

    def packet(self, payload: bytes, sequence: int) -> None:
        """One packet; `sequence` is the number of its last part."""
        self.sequence = sequence
        if not self._connection.closed:
            self._connection.write(encode_packet(payload, sequence - packet_count(len(payload)) + 1))
        if not payload and not self.done.done():
            self.done.set_result(None)

    @property
    def congested(self) -> bool:
        """Whether the shard has much to read before it should get more."""
        return self._connection.congested and not self._connection.closed

    def when_ready(self, call: Callable[[], None]) -> None:
        """Have `call` called once it may get more."""
        self._connection.on_writable = call
