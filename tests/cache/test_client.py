"""The client of a cache: what is split, refused, watched, subscribed; nodes that die, stall and come back."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from shardproxy.cache import AmbiguousResultError, CrossSlotError, NodeDownError, NotRoutable, ShardedRedis
from shardproxy.cache.asyncio import ShardedRedis as AsyncShardedRedis
from shardproxy.errors import ConfigError
from tests.support.redis_server import RedisServer

Open = Callable[..., Any]


def keys_of(cache: Any, node: str, count: int = 1) -> list[str]:
    """Keys that a node owns."""
    return [key for key in (f"k{i}" for i in range(1000)) if cache.node_of(key) == node][:count]


# -- splitting and refusing -----------------------------------------------------------------------------------------------


def test_a_hundred_keys_are_asked_for_in_one_command_per_node(cache: Any, servers: list[RedisServer]) -> None:
    cache.mset({f"k{i}": i for i in range(100)})
    for server in servers:
        server.client().config_resetstat()
    assert cache.mget([f"k{i}" for i in range(100)]) == [b"%d" % i for i in range(100)]
    calls = [server.client().info("commandstats").get("cmdstat_mget", {}).get("calls", 0) for server in servers]
    assert calls == [1, 1, 1, 0]


def test_duplicates_and_missing_keys_keep_their_places(cache: Any) -> None:
    cache.set("a", 1)
    assert cache.mget("a", "none", "a", "b", "a") == [b"1", None, b"1", None, b"1"]
    assert cache.exists("a", "a", "none") == 2


def test_a_command_over_slots_is_refused_with_the_remedy(cache: Any) -> None:
    one, other = keys_of(cache, "c0")[0], keys_of(cache, "c1")[0]
    with pytest.raises(CrossSlotError, match=rf"'{one}' in slot \d+ on c0.*'{other}' in slot \d+ on c1.*braces"):
        cache.rename(one, other)
    # Also where they happen to be on one node: with the next node they would not be.
    first, second = keys_of(cache, "c0", 2)
    with pytest.raises(CrossSlotError):
        cache.rename(first, second)
    with pytest.raises(redis.exceptions.ClusterCrossSlotError):
        cache.sinter(one, other)


def test_sorting_by_other_keys_needs_them_in_the_slot(cache: Any, servers: list[RedisServer]) -> None:
    """A server would take those that lie elsewhere as missing, and give a wrong order."""
    for one in (cache, servers[-1].client()):
        one.rpush("{u}ids", "1", "2", "3")
        one.mset({"{u}w1": 3, "{u}w2": 1, "{u}w3": 2, "{u}n1": "a", "{u}n2": "b", "{u}n3": "c"})
        assert one.sort("{u}ids", by="{u}w*", get=["#", "{u}n*"]) == [b"2", b"b", b"3", b"c", b"1", b"a"]
    with pytest.raises(NotRoutable, match="any slot"):
        cache.sort("{u}ids", by="w*")
    with pytest.raises(NotRoutable, match="any slot"):
        cache.sort("{u}ids", get="{n*}")
    with pytest.raises(CrossSlotError):
        cache.sort("{u}ids", by="{v}w*")
    assert cache.sort("{u}ids", by="nosort", get="#") == [b"1", b"2", b"3"]


@pytest.mark.parametrize("words", ["MULTI", "SUBSCRIBE a", "SELECT 1", "SHUTDOWN", "FT.SEARCH a", "NOSUCH a", "GET"])
def test_what_is_for_no_node_is_refused(cache: Any, words: str) -> None:
    with pytest.raises(NotRoutable):
        cache.execute_command(*words.split())


def test_nodes_can_be_named(cache: Any) -> None:
    cache.set("a", 1)
    assert cache.execute_command("DBSIZE", target_nodes=cache.node_of("a")) == 1
    assert cache.dbsize() == 1
    assert set(cache.execute_command("TIME", target_nodes="all")) == {"c0", "c1", "c2"}
    # What all say is said once, the rest by node.
    found = cache.info("server")
    assert found["redis_mode"] == "standalone" and set(found["tcp_port"]) == {"c0", "c1", "c2"}
    assert cache.config_get("maxmemory") == {"maxmemory": "0"}
    with pytest.raises(NotRoutable, match="there is no node c9"):
        cache.execute_command("PING", target_nodes="c9")


def test_scan_sees_every_key_once(cache: Any) -> None:
    names = {f"key:{i}".encode() for i in range(500)}
    cache.mset(dict.fromkeys(names, 1))
    seen = []
    cursor = 0
    while True:
        cursor, keys = cache.scan(cursor, match="key:*", count=50)
        seen += keys
        if not cursor:
            break
    assert sorted(seen) == sorted(names)
    with pytest.raises(NotRoutable, match="not a cursor"):
        cache.scan(4000)


def test_keys_of_others_are_not_scanned(cache: Any, servers: list[RedisServer]) -> None:
    """What lies on a node that does not own it is not part of the cache."""
    key = keys_of(cache, "c0")[0]
    servers[1].client().set(key, "stray")
    assert cache.scan(0)[1] == [] and cache.keys() == [] and cache.pipeline().keys().execute() == [[]]
    assert cache.get(key) is None


# -- pipelines, transactions, scripts, locks --------------------------------------------------------------------------------


def test_a_pipeline_raises_its_first_error_and_says_where(cache: Any) -> None:
    pipe = cache.pipeline()
    pipe.set("a", "x")
    pipe.incr("a")
    pipe.set("b", 1)
    with pytest.raises(redis.ResponseError, match=r"Command # 2 \(INCRBY a 1\) of pipeline caused error: .*not an integer"):
        pipe.execute()
    # The others were carried out, and the pipeline is empty.
    assert cache.get("b") == b"1" and pipe.execute() == []


def test_a_transaction_is_all_or_nothing_and_on_one_slot(cache: Any) -> None:
    pipe = cache.pipeline(transaction=True)
    pipe.set("{t}a", 1)
    pipe.incr("{t}a")
    with pytest.raises(CrossSlotError):
        pipe.set("elsewhere", 1)
    assert pipe.execute() == [True, 2]
    pipe.set("elsewhere", 1)
    assert pipe.execute() == [True]


@pytest.mark.parametrize("words", ["DBSIZE", "FLUSHALL", "KEYS *", "SCAN 0", "SELECT 1"])
def test_what_is_for_all_nodes_is_not_done_on_one_by_a_transaction(cache: Any, words: str) -> None:
    pipe = cache.pipeline(transaction=True)
    pipe.set("a", 1)
    with pytest.raises(NotRoutable, match="transaction"):
        pipe.execute_command(*words.split())


def test_a_pipeline_that_has_watched_is_none_afterwards_but_a_pipeline(cache: Any) -> None:
    pipe = cache.pipeline()
    pipe.watch("a")
    pipe.multi()
    pipe.set("a", 1)
    assert pipe.execute() == [True]
    for node in ("c0", "c1", "c2"):
        pipe.set(keys_of(cache, node)[0], 1)
    assert pipe.execute() == [True] * 3


def test_a_watched_key_that_changes_ends_the_transaction(open_cache: Open) -> None:
    cache, other = open_cache(), open_cache()
    pipe = cache.pipeline()
    pipe.watch("a")
    assert pipe.get("a") is None
    other.set("a", "theirs")
    pipe.multi()
    pipe.set("a", "ours")
    with pytest.raises(redis.WatchError):
        pipe.execute()
    assert cache.get("a") == b"theirs"


def test_transactions_of_many_are_carried_out_once_each(urls: dict[str, str]) -> None:
    cache = ShardedRedis(urls)

    def add(pipe: Any) -> None:
        value = int(pipe.get("n") or 0)
        pipe.multi()
        pipe.set("n", value + 1)

    threads = [threading.Thread(target=lambda: [cache.transaction(add, "n") for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert cache.get("n") == b"100"
    cache.close()


def test_scripts_are_loaded_where_they_are_needed(cache: Any, servers: list[RedisServer]) -> None:
    script = cache.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    keys = [keys_of(cache, node)[0] for node in ("c0", "c1", "c2")]
    assert [script(keys=[key], args=[3]) for key in keys] == [3, 3, 3]
    for server in servers:
        server.client().script_flush()
    pipe = cache.pipeline()
    for key in keys:
        script(keys=[key], args=[4], client=pipe)
    assert pipe.execute() == [7, 7, 7]
    with pytest.raises(CrossSlotError):
        script(keys=keys, args=[1])


def test_a_lock_is_held_by_one(open_cache: Open) -> None:
    first, second = (made.lock("the lock", timeout=10, blocking=False, thread_local=False) for made in (open_cache(), open_cache()))
    assert first.acquire() and not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


def test_messages_come_from_the_nodes_of_their_channels(cache: Any) -> None:
    channels = [f"ch{i}" for i in range(6)]
    listener = cache.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(*channels)
    listener.psubscribe("p*")
    got = set()
    for _ in range(40):
        # Until the subscriptions have arrived, nobody hears.
        if cache.pubsub_numsub(*channels) == [(name.encode(), 1) for name in channels] and cache.pubsub_numpat() == 3:
            break
        listener.get_message(timeout=0.05)
    assert [cache.publish(name, f"to {name}") for name in [*channels, "px", "py"]] == [1] * 8
    for _ in range(40):
        message = listener.get_message(timeout=0.5)
        if message is not None:
            got.add(message["data"])
        if len(got) == 8:
            break
    assert got == {f"to {name}".encode() for name in [*channels, "px", "py"]}
    listener.reset()


# -- nodes that fail --------------------------------------------------------------------------------------------------------


def test_a_node_that_is_down_costs_only_its_own_keys(cache: Any, servers: list[RedisServer]) -> None:
    theirs, ours = keys_of(cache, "c1")[0], keys_of(cache, "c0")[0]
    cache.mset({theirs: "x", ours: "y"})
    servers[1].kill()
    with pytest.raises(NodeDownError, match="node c1"):
        cache.get(theirs)
    with pytest.raises(NodeDownError):
        cache.mget(theirs, ours)
    assert cache.get(ours) == b"y"
    assert cache.set(ours, "z")
    servers[1].start()
    assert cache.get(theirs) is None


def test_a_connection_that_the_server_has_closed_is_no_error_for_reads(cache: Any, servers: list[RedisServer]) -> None:
    cache.set("a", 1)
    for server in servers:
        server.client().client_kill_filter(_type="normal", skipme=True)
    assert cache.get("a") == b"1"


def test_a_write_that_is_not_answered_is_not_repeated(open_cache: Open, servers: list[RedisServer]) -> None:
    cache = open_cache(socket_timeout=0.3)
    key = keys_of(cache, "c0")[0]
    cache.set(key, 1)
    servers[0].pause()
    try:
        with pytest.raises(AmbiguousResultError, match="c0 did not answer INCR"):
            cache.incr(key)
        # The connection was given up, and a new one is not answered either.
        with pytest.raises((redis.TimeoutError, NodeDownError)):
            cache.get(key)
        pipe = cache.pipeline()
        pipe.incr(key)
        pipe.get(keys_of(cache, "c1")[0])
        replies = pipe.execute(raise_on_error=False)
        assert isinstance(replies[0], (AmbiguousResultError, NodeDownError)) and replies[1] is None
        transaction = cache.pipeline(transaction=True)
        transaction.incr(key)
        with pytest.raises((AmbiguousResultError, NodeDownError)):
            transaction.execute()
    finally:
        servers[0].resume()
    # Each was carried out once at most, and no answer is taken for another one's.
    assert 2 <= int(cache.get(key)) <= 4
    assert cache.mget(key, key) == [cache.get(key)] * 2


def test_exec_that_is_not_answered_is_not_taken_for_a_changed_key(open_cache: Open, servers: list[RedisServer]) -> None:
    """redis-py raises WatchError there, after which everybody tries again."""
    cache = open_cache(socket_timeout=0.3)
    key = keys_of(cache, "c0")[0]
    pipe = cache.pipeline()
    pipe.watch(key)
    pipe.multi()
    pipe.incr(key)
    servers[0].pause()
    try:
        with pytest.raises(AmbiguousResultError, match="EXEC"):
            pipe.execute()
    finally:
        servers[0].resume()


async def test_a_task_that_is_cancelled_leaves_no_answer_behind(urls: dict[str, str]) -> None:
    async with AsyncShardedRedis(urls) as cache:
        task = asyncio.create_task(cache.blpop("list", 5))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await cache.set("a", 1)
        assert [await cache.get("a") for _ in range(3)] == [b"1"] * 3


async def test_many_tasks_get_their_own_answers(urls: dict[str, str]) -> None:
    async with AsyncShardedRedis(urls) as cache:

        async def work(number: int) -> None:
            for turn in range(30):
                key = f"{number}:{turn % 7}"
                await cache.set(key, key)
                assert await cache.get(key) == key.encode()
                assert await cache.mget(key, f"{number}:none") == [key.encode(), None]

        await asyncio.gather(*(work(number) for number in range(40)))


def test_many_threads_get_their_own_answers(urls: dict[str, str]) -> None:
    cache = ShardedRedis(urls)
    wrong: list[Any] = []

    def work(number: int) -> None:
        for turn in range(200):
            key = f"{number}:{turn % 7}"
            cache.set(key, key)
            found = (cache.get(key), cache.mget(key, f"{number}:none"))
            if found != (key.encode(), [key.encode(), None]):
                wrong.append((key, found))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong
    cache.close()


def test_a_forked_process_does_not_read_its_parents_answers(urls: dict[str, str]) -> None:
    cache = ShardedRedis(urls)
    cache.set("a", "parent")
    child = os.fork()
    if child == 0:
        good = all(cache.set("b", i) and cache.get("b") == b"%d" % i for i in range(200))
        os._exit(0 if good else 1)
    good = all(cache.get("a") == b"parent" for _ in range(200))
    assert os.waitpid(child, 0)[1] == 0 and good
    cache.close()


# -- where a cache comes from -------------------------------------------------------------------------------------------------


def test_from_a_config_file(urls: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_C2", urls["c2"])
    path = tmp_path / "shardproxy.toml"
    path.write_text(f'[caches.main]\nnodes = {{ c0 = "{urls["c0"]}", c1 = {{ url = "{urls["c1"]}", weight = 2 }}, c2 = "env:CACHE_C2" }}\n')
    with ShardedRedis.from_config(path, "main", decode_responses=True) as cache:
        cache.set("a", "1")
        assert cache.get("a") == "1" and cache.router.slots.owners.count("c1") == 8192
    with pytest.raises(ConfigError, match=r"no \[caches.other\]; there are main"):
        ShardedRedis.from_config(path, "other")
    path.write_text('[caches.main]\nnodes = { "1" = "http://x", b = { weight = 0 } }\n')
    with pytest.raises(ConfigError) as told:
        ShardedRedis.from_config(path, "main")
    assert "url" in str(told.value) and "weight" in str(told.value)


def test_from_a_url(servers: list[RedisServer]) -> None:
    with ShardedRedis.from_url(f"redis://127.0.0.1:{servers[0].port},127.0.0.1:{servers[1].port}/3") as cache:
        cache.set("a", 1)
        assert cache.get("a") == b"1"
        assert set(cache.nodes) == {f"127.0.0.1:{server.port}" for server in servers[:2]}
    with pytest.raises(ValueError, match="redis://HOST:PORT"):
        ShardedRedis.from_url("http://127.0.0.1")
