"""What is known of the commands, against what a real server says of them."""

import random
from collections.abc import Iterator

import pytest
import redis

from shardproxy.cache.commands import COMMANDS, Spread, look_up
from shardproxy.topology.slots import slot_of
from tests.support.redis_server import RedisServer

# Where our table knowingly says something else than the server's.
_OTHERWISE = {
    "PUBLISH": "its channel says which node",
    "SSUBSCRIBE": "through pubsub() only",
    "SUNSUBSCRIBE": "through pubsub() only",
    "WATCH": "in a pipeline only",
    "PFDEBUG": "not for clients",
    "RESTORE-ASKING": "not for clients",
    "MIGRATE": "moves a key away behind the client's back",
}


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Redis]:
    """One in cluster mode, which tells slots."""
    process = RedisServer("cluster", options=("--cluster-enabled", "yes"))
    process.start()
    with process.client(protocol=2) as client:
        yield client
    process.kill()


def test_slots_are_those_of_the_server(server: redis.Redis) -> None:
    """100 000 random binary keys, many with braces."""
    chance = random.Random(6)
    keys = [bytes(chance.choices(b"{}ab\x00\xff\r\n", k=chance.randrange(12))) for _ in range(50_000)]
    keys += [chance.randbytes(chance.randrange(40)) for _ in range(50_000)]
    keys += [b"", b"{}", b"{}{a}", b"a{b", b"}{a}", b"{a}{b}", b"{{a}}", b"{a"]
    pipeline = server.pipeline(transaction=False)
    for key in keys:
        pipeline.execute_command("CLUSTER KEYSLOT", key)
    wrong = [(key, slot_of(key), theirs) for key, theirs in zip(keys, pipeline.execute(), strict=True) if slot_of(key) != theirs]
    assert not wrong


def test_keys_stand_where_the_server_says(server: redis.Redis) -> None:
    """Every command that the server has."""
    wrong = []
    for name, told in server.execute_command("COMMAND").items():
        upper = name.upper()
        first, last, step = told["first_key_pos"], told["last_key_pos"], told["step_count"]
        if upper in _OTHERWISE or "movablekeys" in told["flags"] or first == 0:
            continue
        args = [upper, *(f"w{i}" for i in range(1, 8))]
        end = last if last >= 0 else len(args) + last
        expected = list(range(first, end + 1, step))
        command = COMMANDS.get(upper)
        found = list(command.keys(args)) if command is not None and command.keys is not None else None
        if found != expected:
            wrong.append((upper, found, expected))
    assert not wrong


@pytest.mark.parametrize(
    "words",
    [
        "EVAL s 2 a b c", "EVALSHA s 1 a x", "FCALL f 1 a b", "ZUNION 2 a b WITHSCORES", "ZUNIONSTORE d 2 a b", "ZDIFFSTORE d 1 a",
        "ZINTERCARD 2 a b LIMIT 1", "SINTERCARD 2 a b", "LMPOP 2 a b LEFT", "BLMPOP 0 2 a b LEFT", "BZMPOP 0 1 a MIN", "ZMPOP 1 a MIN",
        "XREAD COUNT 2 STREAMS a b 0 0", "XREADGROUP GROUP g c STREAMS a >", "SORT a", "SORT a STORE d", "SORT a BY nosort GET # STORE d",
        "SORT_RO a", "GEORADIUS a 1 2 3 km STORE d", "GEORADIUSBYMEMBER a m 3 km STOREDIST d", "OBJECT ENCODING a", "MEMORY USAGE a",
        "XGROUP CREATE a g $", "XINFO STREAM a", "BITOP AND d a b", "MSET a 1 b 2", "LCS a b", "COPY a b", "BLPOP a b 0",
        "GEOSEARCHSTORE d a FROMLONLAT 1 2 BYRADIUS 1 km", "DEL a b", "PFMERGE d a b", "MSETNX a 1 b 2",
    ],
)  # fmt: skip
def test_keys_that_move_about_are_found(server: redis.Redis, words: str) -> None:
    """As COMMAND GETKEYS finds them."""
    args = words.split()
    command, extra = look_up(args)
    assert command.keys is not None
    rest = args[extra:]
    found = [rest[place] for place in command.keys(rest)]
    assert found == list(map(str, server.execute_command("COMMAND GETKEYS", *args)))


def test_what_no_command_is_known_of_is_not_guessed() -> None:
    assert look_up(["NOSUCH", "a"])[0].spread is Spread.NAMED
    assert look_up(["FT.SEARCH", "a"])[0].spread is Spread.NAMED
    assert look_up(["json.get", "a"])[0].spread is Spread.KEYS
