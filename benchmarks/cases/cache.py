"""What the cache client costs, beside redis-py on one server, its cluster client on three, and twemproxy before three."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from types import FrameType
from typing import Any

import redis
import redis.asyncio
from redis.cluster import RedisCluster

from benchmarks.lab import Lab
from benchmarks.redis_lab import RedisLab
from benchmarks.report import Table, number, paired_ratio, spread
from shardproxy.cache import ShardedRedis
from shardproxy.cache.asyncio import ShardedRedis as AsyncShardedRedis

_VALUE = b"v" * 64
_KEYS = [f"key:{number}" for number in range(100)]
_ONE, _OURS, _CLUSTER, _TWEMPROXY = "redis.Redis, one server", "ShardedRedis", "RedisCluster", "through twemproxy"
Operation = Callable[[], Any]


def measure(lab: Lab) -> list[Table]:
    """Sync operations by client, asyncio ones, and Python calls."""
    servers = RedisLab(lab.folder, lab.running)
    urls = {f"c{number}": f"redis://127.0.0.1:{port}" for number, port in enumerate(servers.plain)}
    clients: dict[str, Any] = {
        _ONE: redis.Redis(port=servers.plain[0], db=1),
        _OURS: ShardedRedis(urls),
        _CLUSTER: RedisCluster(host="127.0.0.1", port=servers.cluster[0]),
        _TWEMPROXY: redis.Redis(port=servers.twemproxy, protocol=2, driver_info=None),
    }
    for client in clients.values():
        for key in _KEYS:
            client.set(key, _VALUE)
    rounds = 3 * lab.options.rounds
    count = max(100, lab.options.statements)
    tables = [_sync(clients, rounds, count), asyncio.run(_asyncio(servers, urls, rounds, count))]
    for client in clients.values():
        client.close()
    return tables


def _sync(clients: Mapping[str, Any], rounds: int, count: int) -> Table:
    table = Table(
        "Cache operations, without asyncio: microseconds of one thread",
        ("operation", *clients, "rate ÷ one server", "rate ÷ RedisCluster", "Python calls", "of redis.Redis", "of RedisCluster"),
    )
    for name, (operations, share) in _operations(clients).items():
        took: dict[str, list[float]] = {client: [] for client in clients}
        for _ in range(rounds):
            for client, operation in operations.items():
                took[client].append(_timed(operation, max(20, count // share)))
        calls = {client: _calls(operations[client]) for client in (_OURS, _ONE, _CLUSTER)}
        table.rows.append(
            [
                name,
                *(spread(took[client]) for client in clients),
                number(paired_ratio(took[_ONE], took[_OURS]), 2),
                number(paired_ratio(took[_CLUSTER], took[_OURS]), 2),
                *(number(calls[client]) for client in (_OURS, _ONE, _CLUSTER)),
            ]
        )
    table.remarks.append(
        f"{rounds} rounds, the clients in turn in each; ratios are medians of the rounds' own. Values of {len(_VALUE)} bytes."
    )
    table.remarks.append(
        "MGET and MSET are `mget_nonatomic` and `mset_nonatomic` with RedisCluster. Python calls: what `sys.setprofile` counts."
    )
    return table


def _operations(clients: Mapping[str, Any]) -> dict[str, tuple[dict[str, Operation], int]]:
    """By name: what each client does, and how much less often than the first."""

    def each(make: Callable[[Any], Operation]) -> dict[str, Operation]:
        return {name: make(client) for name, client in clients.items()}

    values = dict.fromkeys(_KEYS, _VALUE)

    def pipelined(client: Any) -> Operation:
        def run() -> Any:
            pipe = client.pipeline(transaction=False) if not isinstance(client, RedisCluster) else client.pipeline()
            for key in _KEYS[:50]:
                pipe.set(key, _VALUE)
                pipe.get(key)
            return pipe.execute()

        return run

    return {
        "GET": (each(lambda client: lambda: client.get("key:7")), 1),
        "SET": (each(lambda client: lambda: client.set("key:7", _VALUE)), 1),
        "MGET of 100": (each(lambda client: lambda: getattr(client, "mget_nonatomic", client.mget)(_KEYS)), 8),
        "MSET of 100": (each(lambda client: lambda: getattr(client, "mset_nonatomic", client.mset)(values)), 8),
        "pipeline of 100": (each(pipelined), 20),
    }


async def _asyncio(servers: RedisLab, urls: dict[str, str], rounds: int, count: int) -> Table:
    one = redis.asyncio.Redis(port=servers.plain[0], db=1)
    cluster = redis.asyncio.RedisCluster(host="127.0.0.1", port=servers.cluster[0])
    ours = AsyncShardedRedis(urls)
    clients: dict[str, Any] = {_ONE: one, _OURS: ours, _CLUSTER: cluster}
    table = Table(
        "Cache operations, with asyncio: microseconds of one event loop",
        ("operation", *clients, "rate ÷ one server", "rate ÷ RedisCluster"),
    )
    for tasks in (1, 64):
        took: dict[str, list[float]] = {client: [] for client in clients}
        for _ in range(rounds):
            for name, client in clients.items():
                took[name].append(await _timed_tasks(lambda client=client: client.get("key:7"), tasks, count))  # type: ignore[misc]
        table.rows.append(
            [
                f"GET, {tasks} task{'s' * (tasks > 1)}",
                *(spread(took[name]) for name in clients),
                number(paired_ratio(took[_ONE], took[_OURS]), 2),
                number(paired_ratio(took[_CLUSTER], took[_OURS]), 2),
            ]
        )
    for client in clients.values():
        await client.aclose()
    return table


def _timed(operation: Operation, count: int) -> float:
    operation()
    began = time.perf_counter()
    for _ in range(count):
        operation()
    return (time.perf_counter() - began) / count * 1e6


async def _timed_tasks(operation: Callable[[], Awaitable[Any]], tasks: int, count: int) -> float:
    async def work() -> None:
        for _ in range(count // tasks):
            await operation()

    await asyncio.gather(*(operation() for _ in range(tasks)))
    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(tasks)))
    return (time.perf_counter() - began) / (count // tasks * tasks) * 1e6


def _calls(operation: Operation) -> int:
    """How many Python and C functions one operation calls."""
    found = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    operation()
    sys.setprofile(count)
    try:
        operation()
    finally:
        sys.setprofile(None)
    return found
