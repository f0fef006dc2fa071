"""Redis servers that the tests of the cache share, emptied for each."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from redis.asyncio.lock import Lock
from redis.commands.core import AsyncScript

from shardproxy.cache import ShardedRedis
from shardproxy.cache.asyncio import Pipeline
from shardproxy.cache.asyncio import ShardedRedis as AsyncShardedRedis
from shardproxy.cache.asyncio.pubsub import PubSub
from tests.support.redis_server import RedisServer

NODES = 3


@pytest.fixture(scope="session")
def redis_servers() -> Iterator[list[RedisServer]]:
    """Three nodes and, last, one that stands alone."""
    with ExitStack() as stack:
        found = []
        for number in range(NODES + 1):
            server = RedisServer(f"c{number}")
            stack.callback(server.kill)
            server.start()
            found.append(server)
        yield found


@pytest.fixture
def servers(redis_servers: list[RedisServer]) -> list[RedisServer]:
    """All running and empty."""
    for server in redis_servers:
        if not server.running:
            server.start()
        with server.client() as client:
            client.flushall()
            client.script_flush()
    return redis_servers


@pytest.fixture
def urls(servers: list[RedisServer]) -> dict[str, str]:
    """The nodes of a cache."""
    return {server.name: server.url for server in servers[:NODES]}


class Blocking:
    """An asyncio client, or a pipeline or subscription of one, called as if it were not."""

    def __init__(self, inner: Any, runner: asyncio.Runner) -> None:
        self.inner = inner
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found) or isinstance(found, type):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            async def awaited() -> Any:
                plain = [arg.inner if isinstance(arg, Blocking) else arg for arg in args]
                named = {key: value.inner if isinstance(value, Blocking) else value for key, value in kwargs.items()}
                result = found(*plain, **named)
                return await result if inspect.iscoroutine(result) else result

            result = self._runner.run(awaited())
            return Blocking(result, self._runner) if isinstance(result, (Pipeline, PubSub, AsyncScript, Lock)) else result

        return call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__getattr__("__call__")(*args, **kwargs)


Open = Callable[..., Any]


@pytest.fixture(params=["sync", "asyncio"])
def open_cache(request: pytest.FixtureRequest, urls: dict[str, str]) -> Iterator[Open]:
    """Makes clients of the nodes, of either kind; `nodes` may be others."""
    with ExitStack() as stack:
        if request.param == "sync":
            yield lambda nodes=urls, **options: stack.enter_context(ShardedRedis(nodes, **options))
            return
        runner = stack.enter_context(asyncio.Runner())

        def made(nodes: Any = urls, **options: Any) -> Blocking:
            client = Blocking(AsyncShardedRedis(nodes, **options), runner)
            stack.callback(client.aclose)
            return client

        yield made


@pytest.fixture
def cache(open_cache: Open) -> Any:
    """A client of either kind."""
    return open_cache()
