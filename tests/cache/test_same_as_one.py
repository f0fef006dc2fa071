"""Random commands give the same replies over three nodes as on one server."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.support.redis_server import RedisServer

STEPS = 1500
# Few keys, so that commands meet; those with a tag share a slot.
_PLAIN = [f"key{i}" for i in range(14)]
_TAGGED = [f"{{t{i % 3}}}:{i}" for i in range(12)]


class Maker:
    """Makes random commands."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def key(self) -> Any:
        """Text, now and then bytes."""
        key = self.chance.choice(_PLAIN + _TAGGED)
        return key.encode() if self.chance.random() < 0.1 else key

    def keys(self, most: int = 5) -> list[Any]:
        """Several, anywhere."""
        return [self.key() for _ in range(self.chance.randint(1, most))]

    def together(self, count: int) -> list[str]:
        """Several of one slot."""
        tag = self.chance.randrange(3)
        return self.chance.choices([key for key in _TAGGED if key.startswith(f"{{t{tag}}}")], k=count)

    def value(self) -> Any:
        """Of every kind that redis-py takes."""
        return self.chance.choice(["x", "", "ünï", b"\x00\xff\r\n", 7, -3, 2.5, "10", "y" * 2000])

    def number(self) -> int:
        """Small, also below zero."""
        return self.chance.randint(-3, 9)

    def command(self) -> list[Any]:
        """One command with its words."""
        k, v, n = self.key, self.value, self.number
        one, two, three = self.together(1), self.together(2), self.together(3)
        pairs = [word for key in self.keys() for word in (key, v())]
        made: list[Callable[[], list[Any]]] = [
            lambda: ["SET", k(), v()], lambda: ["SET", k(), v(), "NX"], lambda: ["SET", k(), v(), "GET"], lambda: ["GET", k()],
            lambda: ["GET", k()], lambda: ["MGET", *self.keys(12)], lambda: ["MSET", *pairs], lambda: ["DEL", *self.keys(3)],
            lambda: ["UNLINK", *self.keys(2)], lambda: ["EXISTS", *self.keys()], lambda: ["TOUCH", *self.keys()], lambda: ["INCR", k()],
            lambda: ["INCRBYFLOAT", k(), 1.5], lambda: ["APPEND", k(), v()], lambda: ["STRLEN", k()], lambda: ["TYPE", k()],
            lambda: ["HSET", k(), "f", v()], lambda: ["HGETALL", k()], lambda: ["HINCRBY", k(), "n", n()], lambda: ["HMGET", k(), "f", "n"],
            lambda: ["LPUSH", k(), v(), v()], lambda: ["RPOP", k()], lambda: ["LRANGE", k(), 0, -1],
            lambda: ["LMOVE", *two, "LEFT", "RIGHT"],
            lambda: ["SADD", k(), v(), v()], lambda: ["SMEMBERS", k()], lambda: ["SINTER", *two], lambda: ["SUNIONSTORE", *three],
            lambda: ["SMOVE", *two, "x"], lambda: ["ZADD", k(), n(), "m", n(), "o"], lambda: ["ZRANGE", k(), 0, -1, "WITHSCORES"],
            lambda: ["ZUNIONSTORE", one[0], 2, *self.same(one[0], 2)], lambda: ["RENAME", *two], lambda: ["COPY", *two],
            lambda: ["MSETNX", two[0], v(), two[1], v()], lambda: ["EXPIRE", k(), 1000], lambda: ["TTL", k()], lambda: ["PERSIST", k()],
            lambda: ["GETDEL", k()], lambda: ["SETRANGE", k(), 2, "zz"], lambda: ["BITCOUNT", k()], lambda: ["PFADD", k(), v()],
            lambda: ["PFCOUNT", *two], lambda: ["DBSIZE"], lambda: ["XLEN", k()], lambda: ["OBJECT", "REFCOUNT", k()],
            lambda: ["EVAL", "return {KEYS[1], ARGV[1], redis.call('exists', KEYS[1])}", 1, k(), v()], lambda: ["PING"],
            lambda: ["MGET"], lambda: ["GET"], lambda: ["SORT", k(), "ALPHA"], lambda: ["DUMP", "nokey"], lambda: ["GETEX", k()],
        ]  # fmt: skip
        return self.chance.choice(made)()

    def same(self, key: str, count: int) -> list[str]:
        """Several of the slot of a key."""
        return self.chance.choices([other for other in _TAGGED if other[:4] == key[:4]], k=count)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, or the error that it raises."""
    try:
        return call()
    except (redis.ResponseError, redis.DataError) as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("options", [{}, {"decode_responses": True, "encoding_errors": "replace"}, {"protocol": 2}], ids=str)
def test_commands(open_cache: Callable[..., Any], servers: list[RedisServer], options: dict[str, Any], seed: int) -> None:
    maker = Maker(seed)
    cache = open_cache(**options)
    with servers[-1].client(**options) as one:
        for step in range(STEPS):
            args = maker.command()
            ours, theirs = outcome(lambda: cache.execute_command(*args)), outcome(lambda: one.execute_command(*args))  # noqa: B023
            if args[0] == "GET" and len(args) == 1:
                # The only difference: without its key nobody knows which node it is for.
                assert "has no key" in str(ours)
                continue
            assert ours == theirs, f"step {step}: {args}"
        assert sorted(map(str, cache.keys())) == sorted(map(str, one.keys()))


@pytest.mark.parametrize("seed", [3, 4])
def test_pipelines(open_cache: Callable[..., Any], servers: list[RedisServer], seed: int) -> None:
    """Replies in the order of the commands, errors among them."""
    maker = Maker(seed)
    cache = open_cache()
    with servers[-1].client() as one:
        for _ in range(60):
            commands = [args for args in (maker.command() for _ in range(maker.chance.randint(1, 40))) if len(args) > 1 or args[0] != "GET"]
            ours, theirs = cache.pipeline(), one.pipeline(transaction=False)
            for args in commands:
                ours.execute_command(*args)
                theirs.execute_command(*args)
            found, expected = ours.execute(raise_on_error=False), theirs.execute(raise_on_error=False)
            for args, mine, other in zip(commands, found, expected, strict=True):
                assert (str(mine) if isinstance(mine, Exception) else mine) == (str(other) if isinstance(other, Exception) else other), args
