"""A node's connections, without asyncio: redis-py makes them; the one used next is chosen here, without asking the kernel each time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

import redis
from redis.exceptions import ConnectionError, RedisError, TimeoutError  # noqa: A004 - redis-py's names

from shardproxy.cache.commands import Args
from shardproxy.cache.core import Answers, Ask, Lost, Options

# One that was used so recently is taken as it is: looking whether the server has closed it costs as much as a command.
FRESH_S: Final = 1.0
LOST = (ConnectionError, TimeoutError, OSError)


class Node:
    """One server. `client` is redis-py's, for what it does by itself; threads may share a node."""

    def __init__(self, name: str, client: redis.Redis) -> None:
        self.name = name
        self.client = client
        self.pool = client.connection_pool
        self._free: list[tuple[Any, float]] = []
        self._pid = os.getpid()

    def take(self) -> Any:
        """A connection that is ready; raises one of `LOST`."""
        if self._pid != os.getpid():
            # Sockets of the parent process: both would read them.
            self._free, self._pid = [], os.getpid()
        try:
            connection, at = self._free.pop()
        except IndexError:
            connection = self.pool.connection_class(**self.pool.connection_kwargs)
            connection.connect()
            return connection
        if monotonic() - at > FRESH_S or connection.should_reconnect():
            self._refresh(connection)
        return connection

    def _refresh(self, connection: Any) -> None:
        try:
            closed = connection.should_reconnect() or connection.can_read()
        except LOST:
            closed = True
        if closed:
            connection.disconnect()
            connection.connect()

    def give(self, connection: Any) -> None:
        """Give back a connection all of whose answers have been read."""
        self._free.append((connection, monotonic()))

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._free:
            self._free.pop()[0].disconnect()
        self.client.close()


class Exchange:
    """One write to a node, and the answers to it."""

    def __init__(self, node: Node, commands: Sequence[tuple[Args, Options]]) -> None:
        self._node = node
        self._commands = commands
        self._connection: Any = None
        self._lost: Lost | None = None

    def send(self) -> None:
        """Write all commands."""
        try:
            self._connection = self._node.take()
        except LOST as error:
            self._lost = Lost(error, sent=False)
            return
        try:
            self._connection.send_packed_command(self._connection.pack_commands([args for args, _ in self._commands]), check_health=False)
        except LOST as error:
            # What is cut short was not carried out, but those before it may have been.
            self._lost = Lost(error, sent=len(self._commands) > 1)
            self.drop()

    def receive(self) -> Answers:
        """An answer to each command."""
        answers: Answers = []
        parse: Any = self._node.client.parse_response
        try:
            for args, options in self._commands:
                if self._lost is not None:
                    answers.append(self._lost)
                    continue
                try:
                    answers.append(parse(self._connection, args[0], **options))
                except LOST as error:
                    self._lost = Lost(error, sent=True)
                    answers.append(self._lost)
                except RedisError as error:
                    answers.append(error)
        except BaseException:
            # Somebody has interrupted it: the rest would be read as answers to other commands.
            self.drop()
            raise
        if self._lost is not None:
            self.drop()
        elif self._connection is not None:
            self._node.give(self._connection)
            self._connection = None
        return answers

    def drop(self) -> None:
        """Close the connection, whatever is still to come."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.disconnect()


def exchange(nodes: dict[str, Node], asks: Sequence[Ask]) -> list[Answers]:
    """Ask all nodes, then read all answers."""
    under_way = [Exchange(nodes[ask.node], ask.commands) for ask in asks]
    try:
        for one in under_way:
            one.send()
        return [one.receive() for one in under_way]
    finally:
        # Only where that was interrupted is there still something to be closed.
        for one in under_way:
            one.drop()
