"""Subscriptions over several nodes, for asyncio: the counterpart of `shardproxy.cache.pubsub`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

from shardproxy.cache.asyncio.nodes import Node
from shardproxy.cache.pubsub import by_node
from shardproxy.cache.routing import Router


class PubSub:
    """As redis-py's asyncio `PubSub`, of which there is one for each node that has something subscribed."""

    def __init__(self, nodes: Mapping[str, Node], router: Router, options: Mapping[str, Any]) -> None:
        self._nodes = nodes
        self._router = router
        self._options = options
        self._parts: dict[str, Any] = {}
        # Reads that have begun and have not brought anything yet: they are not broken off, as that would lose what they have read.
        self._reads: dict[str, asyncio.Task[Any]] = {}

    def _part(self, node: str) -> Any:
        if node not in self._parts:
            self._parts[node] = self._nodes[node].client.pubsub(**self._options)
        return self._parts[node]

    async def subscribe(self, *args: Any, **kwargs: Any) -> None:
        """Subscribe to channels, by name or with handlers."""
        for node, (names, handlers) in by_node(self._router, args, kwargs).items():
            await self._part(node).subscribe(*names, **handlers)

    async def unsubscribe(self, *args: Any) -> None:
        """Leave channels, or all."""
        if not args:
            for part in self._parts.values():
                await part.unsubscribe()
        for node, (names, _) in by_node(self._router, args, {}).items():
            await self._part(node).unsubscribe(*names)

    async def psubscribe(self, *args: Any, **kwargs: Any) -> None:
        """Subscribe to patterns, on every node."""
        for node in self._nodes:
            await self._part(node).psubscribe(*args, **kwargs)

    async def punsubscribe(self, *args: Any) -> None:
        """Leave patterns, or all."""
        for part in self._parts.values():
            await part.punsubscribe(*args)

    @property
    def subscribed(self) -> bool:
        """Whether anything is subscribed."""
        return any(part.subscribed for part in self._parts.values())

    @property
    def channels(self) -> dict[Any, Any]:
        """The channels, with their handlers."""
        return {name: handler for part in self._parts.values() for name, handler in part.channels.items()}

    async def get_message(self, ignore_subscribe_messages: bool = False, timeout: float | None = 0.0) -> Any:  # noqa: ASYNC109 - redis-py's
        """The next message of any node, or None where there is none within `timeout` seconds (None: wait for ever)."""
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        while True:
            for name, part in self._parts.items():
                if part.connection is not None and name not in self._reads:
                    self._reads[name] = loop.create_task(part.get_message(ignore_subscribe_messages, timeout=None))
            if not self._reads:
                raise RuntimeError("nothing is subscribed")
            left = None if until is None else max(0.0, until - loop.time())
            done, _ = await asyncio.wait(self._reads.values(), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for name, task in list(self._reads.items()):
                if task in done:
                    del self._reads[name]
                    message = task.result()
                    if message is not None:
                        return message
            if until is not None and loop.time() >= until:
                return None

    async def listen(self) -> AsyncIterator[Any]:
        """Messages, as long as anything is subscribed."""
        while self.subscribed:
            message = await self.get_message(timeout=None)
            if message is not None:
                yield message

    async def ping(self, message: Any = None) -> None:
        """Ask every node for a sign of life."""
        for part in self._parts.values():
            await part.ping(message)

    async def aclose(self) -> None:
        """Leave everything."""
        reads, self._reads = list(self._reads.values()), {}
        for task in reads:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*reads, return_exceptions=True)
        for part in self._parts.values():
            await part.aclose()
        self._parts = {}

    reset = aclose

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()
