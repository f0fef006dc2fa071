"""A node's connections for asyncio: the counterpart of `shardproxy.cache.nodes`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from shardproxy.cache.core import Answers, Ask, Lost
from shardproxy.cache.nodes import FRESH_S, LOST


class Node:
    """One server, for one event loop. `client` is redis-py's, for what it does by itself."""

    def __init__(self, name: str, client: redis.Redis) -> None:
        self.name = name
        self.client = client
        self.pool = client.connection_pool
        self._free: list[tuple[Any, float]] = []

    async def take(self) -> Any:
        """A connection that is ready; raises one of `LOST`."""
        try:
            connection, at = self._free.pop()
        except IndexError:
            made: Any = self.pool.connection_class(**self.pool.connection_kwargs)
            await made.connect()
            return made
        if monotonic() - at > FRESH_S or connection.should_reconnect():
            await self._refresh(connection)
        return connection

    async def _refresh(self, connection: Any) -> None:
        try:
            closed = connection.should_reconnect() or await connection.can_read()
        except LOST:
            closed = True
        if closed:
            await connection.disconnect()
            await connection.connect()

    def give(self, connection: Any) -> None:
        """Give back a connection all of whose answers have been read."""
        self._free.append((connection, monotonic()))

    async def ask(self, ask: Ask) -> Answers:
        """Send commands in one write; an answer to each."""
        try:
            connection = await self.take()
        except LOST as error:
            return [Lost(error, sent=False)] * len(ask.commands)
        try:
            try:
                packed = connection.pack_commands([args for args, _ in ask.commands])
                await connection.send_packed_command(packed, check_health=False)
            except LOST as error:
                # What is cut short was not carried out, but those before it may have been.
                return [Lost(error, sent=len(ask.commands) > 1)] * len(ask.commands)
            answers, lost = await self._answers(connection, ask)
        except BaseException:
            # The rest would be read as answers to other commands.
            await connection.disconnect(nowait=True)
            raise
        if lost:
            await connection.disconnect(nowait=True)
        else:
            self.give(connection)
        return answers

    async def _answers(self, connection: Any, ask: Ask) -> tuple[Answers, Lost | None]:
        answers: Answers = []
        lost: Lost | None = None
        parse: Any = self.client.parse_response
        for args, options in ask.commands:
            if lost is not None:
                answers.append(lost)
                continue
            try:
                answers.append(await parse(connection, args[0], **options))
            except LOST as error:
                lost = Lost(error, sent=True)
                answers.append(lost)
            except RedisError as error:
                answers.append(error)
        return answers, lost

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._free:
            await self._free.pop()[0].disconnect()
        await self.client.aclose()


async def exchange(nodes: Mapping[str, Node], asks: Sequence[Ask]) -> list[Answers]:
    """Ask all nodes at the same time."""
    if len(asks) == 1:
        return [await nodes[asks[0].node].ask(asks[0])]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(nodes[ask.node].ask(ask)) for ask in asks]
    return [task.result() for task in tasks]
