"""`ShardedRedis`: several plain Redis servers as one, with the methods of `redis.Redis`."""

from __future__ import annotations

import time
from collections.abc import Callable
from os import PathLike
from types import TracebackType
from typing import Any, Self, cast

import redis
from redis.commands import CoreCommands, RedisModuleCommands
from redis.commands.core import Script
from redis.exceptions import ResponseError, WatchError
from redis.lock import Lock
from redis.retry import Retry

from shardproxy.cache import settings
from shardproxy.cache.core import TARGET, Core, Lost, Operation, T
from shardproxy.cache.errors import NodeDownError
from shardproxy.cache.nodes import LOST, Node, exchange
from shardproxy.cache.pipeline import Pipeline
from shardproxy.cache.pubsub import PubSub
from shardproxy.cache.routing import Router


class ShardedRedis(RedisModuleCommands, CoreCommands):
    """A drop-in for `redis.Redis` over several servers that know nothing of each other. Threads may share one.

    Each key is in one of 16384 slots, as in Redis Cluster, and each slot on one node. `MGET MSET DEL UNLINK EXISTS TOUCH` are split over
    the nodes and merged; a command, script or transaction whose keys are in several slots raises `CrossSlotError`; what concerns every
    node (`DBSIZE`, `KEYS`, `FLUSHDB`, `SCAN` …) asks all. `target_nodes=` (a name, several, or "all") sends a command elsewhere.

    A write that was sent and not answered raises `AmbiguousResultError` and is not repeated, unless `repeat_writes` is set. A node that
    cannot be reached raises `NodeDownError` for its own keys only; nothing is ever moved to another node because of that.
    """

    # What redis-py's commands ask of whoever has them.
    _event_dispatcher: Any = None

    def __init__(self, nodes: settings.Nodes | settings.CacheSettings, *, repeat_writes: bool = False, **options: Any) -> None:
        """`nodes` maps a name to a URL, or to a table with `url` and `weight`; the names place the keys.

        `options` are those of `redis.Redis`. Raises ValueError.
        """
        found = nodes if isinstance(nodes, settings.CacheSettings) else settings.from_nodes(nodes)
        options = settings.connection_options(options, Retry)
        self._nodes = {name: Node(name, redis.Redis.from_url(node.url, **options)) for name, node in found.nodes.items()}
        some = next(iter(self._nodes.values()))
        self._parser = cast(Any, some.client)
        self._encoder = some.client.get_encoder()
        self.router = Router(found.slot_map(), self._encoder.encode)
        self.core = Core(self.router, repeat_writes=repeat_writes)

    @classmethod
    def from_config(cls, path: str | PathLike[str], name: str, **options: Any) -> Self:
        """The cache `[caches.NAME]` of a config file; raises `ConfigError`."""
        return cls(settings.from_file(path, name), **options)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The cache of `redis://HOST:PORT,HOST:PORT…/DB`, each node named by its address; raises ValueError."""
        return cls(settings.from_url(url), **options)

    # -- commands -----------------------------------------------------------------------------------------------------

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Any command, as in redis-py; `target_nodes` in `options` says where."""
        name = self.router.single(args) if TARGET not in options else None
        if name is None:
            return self.run(self.core.command(args, options))
        node = self._nodes[name]
        try:
            connection = node.take()
        except LOST as error:
            raise NodeDownError(name, error) from error
        try:
            connection.send_packed_command(connection.pack_command(*args), False)
        except LOST as error:
            # A command that is cut short is not carried out.
            connection.disconnect()
            return self.run(self.core.again(args, options, name, Lost(error, sent=False)))
        try:
            reply = self._parser.parse_response(connection, args[0], **options)
        except LOST as error:
            connection.disconnect()
            return self.run(self.core.again(args, options, name, Lost(error, sent=True)))
        except ResponseError:
            node.give(connection)
            raise
        except BaseException:
            connection.disconnect()
            raise
        node.give(connection)
        return reply

    def run(self, operation: Operation[T]) -> T:
        """Carry out an operation of the core."""
        try:
            asks = next(operation)
            while True:
                asks = operation.send(exchange(self._nodes, asks))
        except StopIteration as end:
            result: T = end.value
            return result

    def pipeline(self, transaction: bool | None = None, shard_hint: str | None = None) -> Pipeline:
        """Commands to be sent together, each node's in one write. With `transaction`, one MULTI/EXEC whose keys share a slot."""
        return Pipeline(self, transaction=bool(transaction))

    def transaction(self, func: Callable[[Pipeline], Any], *watches: Any, **options: Any) -> Any:
        """Run `func` with a transaction that watches keys, again as long as they change meanwhile."""
        options.pop("shard_hint", None)
        wants_value = options.pop("value_from_callable", False)
        delay = options.pop("watch_delay", None)
        with self.pipeline(True) as pipe:
            while True:
                try:
                    if watches:
                        pipe.watch(*watches)
                    value = func(pipe)
                    replies = pipe.execute()
                    return value if wants_value else replies
                except WatchError:
                    if delay:
                        time.sleep(delay)

    def lock(self, name: Any, timeout: float | None = None, *args: Any, lock_class: Any = None, **options: Any) -> Any:
        """redis-py's lock, on the node of its key."""
        return (lock_class or Lock)(self, name, timeout, *args, **options)

    def pubsub(self, **options: Any) -> PubSub:
        """Subscriptions: a channel is on the node of its slot, a pattern on all nodes."""
        return PubSub(self._nodes, self.router, options)

    def register_script(self, script: Any) -> Script:
        """A Lua script that is loaded where it is needed; its keys share a slot."""
        return _Script(cast(Any, self), script)

    # -- the client itself --------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> dict[str, redis.Redis]:
        """redis-py's client of each node, by name, for what concerns one server."""
        return {name: node.client for name, node in self._nodes.items()}

    def keyslot(self, key: Any) -> int:
        """The slot of a key."""
        return self.router.one_slot("", [key])

    def node_of(self, key: Any) -> str:
        """The name of the node that owns a key."""
        return self.router.node_of(key)

    def get_encoder(self) -> Any:
        """redis-py's encoder, by which keys and values become bytes."""
        return self._encoder

    def set_response_callback(self, command: str, callback: Callable[..., Any]) -> None:
        """As in redis-py."""
        for node in self._nodes.values():
            node.client.set_response_callback(command, callback)

    def close(self) -> None:
        """Close the connections."""
        for node in self._nodes.values():
            node.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__}({', '.join(self._nodes)})>"


class _Script(Script):
    """As redis-py's, which does not know of this module's pipelines."""

    def __call__(self, keys: Any = None, args: Any = None, client: Any = None) -> Any:
        if isinstance(client, Pipeline):
            client.scripts.add(self)
        return super().__call__(keys, args, client)
