"""`ShardedRedis` for asyncio: the same operations as `shardproxy.cache.client`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from os import PathLike
from types import TracebackType
from typing import Any, Self, cast

import redis.asyncio as redis
from redis.asyncio.lock import Lock
from redis.asyncio.retry import Retry
from redis.commands import AsyncCoreCommands, AsyncRedisModuleCommands
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError, ResponseError, WatchError

from shardproxy.cache import settings
from shardproxy.cache.asyncio.nodes import Node, exchange
from shardproxy.cache.asyncio.pubsub import PubSub
from shardproxy.cache.core import TARGET, Core, Lost, Operation, T, first_error
from shardproxy.cache.errors import NodeDownError
from shardproxy.cache.nodes import LOST
from shardproxy.cache.pipeline import Stack, unanswered, watched_no_more
from shardproxy.cache.routing import Router


class ShardedRedis(AsyncRedisModuleCommands, AsyncCoreCommands):  # type: ignore[misc] # as redis-py's own
    """A drop-in for `redis.asyncio.Redis` over several servers. It belongs to one event loop. See `shardproxy.cache.ShardedRedis`."""

    _event_dispatcher: Any = None

    def __init__(self, nodes: settings.Nodes | settings.CacheSettings, *, repeat_writes: bool = False, **options: Any) -> None:
        """See `shardproxy.cache.ShardedRedis`; `options` are those of `redis.asyncio.Redis`."""
        found = nodes if isinstance(nodes, settings.CacheSettings) else settings.from_nodes(nodes)
        options = settings.connection_options(options, Retry)
        self._nodes = {name: Node(name, redis.Redis.from_url(node.url, **options)) for name, node in found.nodes.items()}
        some = next(iter(self._nodes.values()))
        self._parser = cast(Any, some.client)
        self._encoder: Any = self._parser.get_encoder()
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

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Any command, as in redis-py; `target_nodes` in `options` says where."""
        name = self.router.single(args) if TARGET not in options else None
        if name is None:
            return await self.run(self.core.command(args, options))
        node = self._nodes[name]
        try:
            connection = await node.take()
        except LOST as error:
            raise NodeDownError(name, error) from error
        try:
            await connection.send_packed_command(connection.pack_command(*args), False)
        except LOST as error:
            # A command that is cut short is not carried out.
            return await self.run(self.core.again(args, options, name, Lost(error, sent=False)))
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        try:
            reply = await self._parser.parse_response(connection, args[0], **options)
        except LOST as error:
            await connection.disconnect(nowait=True)
            return await self.run(self.core.again(args, options, name, Lost(error, sent=True)))
        except ResponseError:
            node.give(connection)
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        node.give(connection)
        return reply

    async def run(self, operation: Operation[T]) -> T:
        """Carry out an operation of the core."""
        try:
            asks = next(operation)
            while True:
                asks = operation.send(await exchange(self._nodes, asks))
        except StopIteration as end:
            result: T = end.value
            return result

    def pipeline(self, transaction: bool | None = None, shard_hint: str | None = None) -> Pipeline:
        """Commands to be sent together, each node's in one write. With `transaction`, one MULTI/EXEC whose keys share a slot."""
        return Pipeline(self, transaction=bool(transaction))

    async def transaction(self, func: Callable[[Pipeline], Any], *watches: Any, **options: Any) -> Any:
        """Run `func` with a transaction that watches keys, again as long as they change meanwhile."""
        options.pop("shard_hint", None)
        wants_value = options.pop("value_from_callable", False)
        delay = options.pop("watch_delay", None)
        async with self.pipeline(True) as pipe:
            while True:
                try:
                    if watches:
                        await pipe.watch(*watches)
                    value = func(pipe)
                    if isinstance(value, Awaitable):
                        value = await value
                    replies = await pipe.execute()
                    return value if wants_value else replies
                except WatchError:
                    if delay:
                        await asyncio.sleep(delay)

    def lock(self, name: Any, timeout: float | None = None, *args: Any, lock_class: Any = None, **options: Any) -> Any:
        """redis-py's lock, on the node of its key."""
        return (lock_class or Lock)(cast(Any, self), name, timeout, *args, **options)

    def pubsub(self, **options: Any) -> PubSub:
        """Subscriptions: a channel is on the node of its slot, a pattern on all nodes."""
        return PubSub(self._nodes, self.router, options)

    def register_script(self, script: Any) -> Any:
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

    async def aclose(self) -> None:
        """Close the connections."""
        for node in self._nodes.values():
            await node.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__}({', '.join(self._nodes)})>"


class Pipeline(AsyncRedisModuleCommands, AsyncCoreCommands):  # type: ignore[misc] # as redis-py's own
    """As redis-py's asyncio `Pipeline`; made by `ShardedRedis.pipeline`. Not to be shared by tasks."""

    _event_dispatcher: Any = None

    def __init__(self, client: ShardedRedis, *, transaction: bool) -> None:
        self._client = client
        self._stack = Stack(client.router, transaction=transaction)
        self._inner: Any = None
        self.scripts: set[Any] = set()

    # -- queueing -----------------------------------------------------------------------------------------------------

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Queue a command; while keys are watched it is carried out at once, and to be awaited."""
        stack = self._stack
        if stack.transactional or self._inner is not None:
            return self._answer(self._begun(args).execute_command(*args, **options))
        stack.commands.append((args, options))
        return self

    def _begun(self, args: Any) -> Any:
        node = self._stack.place(args)
        if self._inner is None:
            self._inner = self._client.nodes[node].pipeline(transaction=True)
            self._inner.scripts = self.scripts
        return self._inner

    def _answer(self, reply: Any) -> Any:
        return self if reply is self._inner else reply

    async def watch(self, *names: Any) -> Any:  # type: ignore[override] # as in redis-py
        """Watch keys of one slot: commands are carried out at once until `multi`."""
        if not self._stack.transactional and self._stack.commands:
            raise RedisError("Cannot issue a WATCH after commands were queued")
        self._stack.transactional = True
        # Any command with these keys says which node that is.
        return await self._begun(("EXISTS", *names)).watch(*names)

    async def unwatch(self) -> Any:  # type: ignore[override] # as in redis-py
        """Watch nothing any more."""
        return True if self._inner is None else await self._inner.unwatch()

    def multi(self) -> None:
        """From now on commands are queued again."""
        if self._inner is None:
            if self._stack.commands:
                raise RedisError("Commands without an initial WATCH have already been issued")
            self._stack.transactional = True
        else:
            self._inner.multi()

    @property
    def command_stack(self) -> list[Any]:
        """What waits to be sent."""
        return self._inner.command_stack if self._inner is not None else self._stack.commands

    # -- carrying out -------------------------------------------------------------------------------------------------

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send what was queued; the replies in the order of the commands. Without `raise_on_error` errors stand among them."""
        try:
            if self._inner is not None:
                return await self._execute_transaction(raise_on_error)
            commands = self._stack.commands
            if not commands:
                return []
            replies = await self._client.run(self._client.core.pipeline(commands, self.scripts))
            error = first_error(commands, replies) if raise_on_error else None
            if error is not None:
                raise error
            return replies
        finally:
            await self.reset()

    async def _execute_transaction(self, raise_on_error: bool) -> list[Any]:
        node, inner = self._stack.node, self._inner
        if inner.connection is None:
            try:
                inner.connection = await inner.connection_pool.get_connection()
            except LOST as error:
                raise NodeDownError(node, error) from error
        try:
            replies: list[Any] = await inner.execute(raise_on_error)
        except LOST as error:
            raise unanswered(node, error) from error
        except WatchError as error:
            # redis-py says so too where the connection is lost, and then nobody knows whether it was carried out.
            if isinstance(error.__context__, LOST):
                raise unanswered(node, error.__context__) from error
            raise
        return replies

    async def reset(self) -> None:  # type: ignore[override] # as in redis-py, not the command
        """Forget what was queued and watched."""
        inner, self._inner = self._inner, None
        if inner is not None:
            watched_no_more(inner)
            await inner.reset()
        self._stack.clear()
        self.scripts = set()

    async def aclose(self) -> None:
        """As `reset`."""
        await self.reset()

    discard = reset

    def register_script(self, script: Any) -> Any:
        """As that of the client."""
        return self._client.register_script(script)

    def get_encoder(self) -> Any:
        """redis-py's encoder."""
        return self._client.get_encoder()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.reset()

    def __await__(self) -> Generator[Any, None, Self]:
        # `await pipe.set(…)` is allowed in redis-py, and does nothing.
        return self._itself().__await__()

    async def _itself(self) -> Self:
        return self

    def __len__(self) -> int:
        return len(self.command_stack)

    def __bool__(self) -> bool:
        # As in redis-py: an empty one is not nothing.
        return True


class _Script(AsyncScript):
    """As redis-py's, which does not know of this module's pipelines."""

    async def __call__(self, keys: Any = None, args: Any = None, client: Any = None) -> Any:
        if isinstance(client, Pipeline):
            client.scripts.add(self)
        return await super().__call__(keys, args, client)
