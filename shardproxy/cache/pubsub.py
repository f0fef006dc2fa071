"""Subscriptions over several nodes, without asyncio."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

from shardproxy.cache.nodes import Node
from shardproxy.cache.routing import Router

# Sockets whose descriptor is not to be had are looked at so often.
_LOOK_S: Final = 0.01


class PubSub:
    """As redis-py's `PubSub`, of which there is one for each node that has something subscribed. Made by `ShardedRedis.pubsub`.

    A channel is on the node of its slot, where `publish` sends its messages; a pattern is on all nodes.
    """

    def __init__(self, nodes: Mapping[str, Node], router: Router, options: Mapping[str, Any]) -> None:
        self._nodes = nodes
        self._router = router
        self._options = options
        self._parts: dict[str, Any] = {}

    def _part(self, node: str) -> Any:
        if node not in self._parts:
            client: Any = self._nodes[node].client
            self._parts[node] = client.pubsub(**self._options)
        return self._parts[node]

    def subscribe(self, *args: Any, **kwargs: Any) -> None:
        """Subscribe to channels, by name or with handlers."""
        for node, (names, handlers) in by_node(self._router, args, kwargs).items():
            self._part(node).subscribe(*names, **handlers)

    def unsubscribe(self, *args: Any) -> None:
        """Leave channels, or all."""
        if not args:
            for part in self._parts.values():
                part.unsubscribe()
        for node, (names, _) in by_node(self._router, args, {}).items():
            self._part(node).unsubscribe(*names)

    def psubscribe(self, *args: Any, **kwargs: Any) -> None:
        """Subscribe to patterns, on every node."""
        for node in self._nodes:
            self._part(node).psubscribe(*args, **kwargs)

    def punsubscribe(self, *args: Any) -> None:
        """Leave patterns, or all."""
        for part in self._parts.values():
            part.punsubscribe(*args)

    @property
    def subscribed(self) -> bool:
        """Whether anything is subscribed."""
        return any(part.subscribed for part in self._parts.values())

    @property
    def channels(self) -> dict[Any, Any]:
        """The channels, with their handlers."""
        return {name: handler for part in self._parts.values() for name, handler in part.channels.items()}

    def get_message(self, ignore_subscribe_messages: bool = False, timeout: float | None = 0.0) -> Any:
        """The next message of any node, or None where there is none within `timeout` seconds (None: wait for ever)."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            for part in self._parts.values():
                if part.subscribed or part.connection is not None:
                    message = part.get_message(ignore_subscribe_messages, timeout=0)
                    if message is not None:
                        return message
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return None
            self._wait(left)

    def _wait(self, seconds: float | None) -> None:
        """Until something can be read from one of the nodes."""
        sockets = [part.connection._get_socket() for part in self._parts.values() if part.connection is not None]
        known = [found for found in sockets if found is not None]
        if known and len(known) == len(sockets):
            select.select(known, [], [], 1.0 if seconds is None else min(seconds, 1.0))
        else:
            time.sleep(_LOOK_S if seconds is None else min(seconds, _LOOK_S))

    def listen(self) -> Iterator[Any]:
        """Messages, as long as anything is subscribed."""
        while self.subscribed:
            message = self.get_message(timeout=None)
            if message is not None:
                yield message

    def ping(self, message: Any = None) -> None:
        """Ask every node for a sign of life."""
        for part in self._parts.values():
            part.ping(message)

    def close(self) -> None:
        """Leave everything."""
        for part in self._parts.values():
            part.close()
        self._parts = {}

    reset = close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def by_node(router: Router, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, tuple[list[Any], dict[str, Any]]]:
    """Channels, with and without handlers, by the node that has them."""
    found: dict[str, tuple[list[Any], dict[str, Any]]] = {}
    names = [name for arg in args for name in (arg if isinstance(arg, (list, tuple, set)) else [arg])]
    for name in names:
        found.setdefault(router.node_of(name), ([], {}))[0].append(name)
    for name, handler in kwargs.items():
        found.setdefault(router.node_of(name), ([], {}))[1][name] = handler
    return found
