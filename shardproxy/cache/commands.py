"""What is known of each command: where its keys are, and what is done with one that concerns several nodes.

Where keys stand follows the key specifications that `COMMAND` gives (checked against a real server by the tests). A command that is
not known here is refused: it would have to be guessed which of its words is a key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from shardproxy.cache.errors import NotRoutable

Args = Sequence[Any]
# The places of the keys among the words of a command.
Finder = Callable[[Args], Sequence[int]]


class Spread(Enum):
    """Which nodes a command goes to."""

    KEYS = "the node of its keys, which must share a slot"
    SPLIT = "each node gets its part of the keys"
    ALL = "every node"
    ANY = "some node; they all give the same"
    CHANNEL = "the node of its channel's slot"
    NAMED = "the nodes that the caller names"
    REFUSED = "none: it belongs to one connection"


@dataclass(frozen=True, slots=True)
class Command:
    """`keys` finds the keys; `step` is that of a command that can be split: words per key, the key included. `merge` makes one reply."""

    spread: Spread
    keys: Finder | None = None
    step: int = 1
    merge: Callable[[Sequence[Any]], Any] | None = None


def _span(first: int, last: int, step: int) -> Finder:
    """Keys from a place to another one, from behind where that is below 0."""

    def find(args: Args) -> Sequence[int]:
        end = last if last >= 0 else len(args) + last
        return range(first, end + 1, step)

    return find


def _counted(at: int, before: Sequence[int] = ()) -> Finder:
    """A word says how many keys follow it; others may stand before."""

    def find(args: Args) -> Sequence[int]:
        try:
            count = int(args[at])
        except (IndexError, TypeError, ValueError):
            count = 0
        return [*before, *range(at + 1, min(at + 1 + count, len(args)))]

    return find


def _streams(args: Args) -> Sequence[int]:
    """XREAD and XREADGROUP: behind STREAMS first all keys, then as many ids."""
    words = [_word(arg) for arg in args]
    start = words.index("STREAMS") + 1 if "STREAMS" in words else len(args)
    return range(start, start + (len(args) - start) // 2)


def _stored(*options: str) -> Finder:
    """The first word, and what stands behind one of these options."""

    def find(args: Args) -> Sequence[int]:
        return [1, *(at + 1 for at in range(2, len(args) - 1) if _word(args[at]) in options)]

    return find


def _sorted(args: Args) -> Sequence[int]:
    """SORT: also the patterns behind BY and GET are keys, which must be in the slot of the others; without a tag they may be in any."""
    places = [1]
    for at in range(2, len(args) - 1):
        word = _word(args[at])
        if word == "STORE":
            places.append(at + 1)
        elif word in ("BY", "GET") and "*" in (pattern := _text(args[at + 1])):
            tag = pattern.partition("{")[2].partition("}")[0]
            if "}" not in pattern or not tag or "*" in tag:
                raise NotRoutable(f"{word} {pattern} may name keys of any slot: give it, and the key that is sorted, one tag in braces")
            places.append(at + 1)
    return places


def _text(arg: object) -> str:
    return arg.decode("latin-1") if isinstance(arg, bytes) else str(arg)


def _word(arg: object) -> str:
    if isinstance(arg, bytes):
        return arg.decode("latin-1").upper()
    return arg.upper() if isinstance(arg, str) else ""


def _joined(replies: Sequence[Any]) -> Any:
    """Lists and sets of several nodes."""
    if isinstance(replies[0], (set, frozenset)):
        return set().union(*replies)
    return [item for reply in replies for item in reply]


def _same(replies: Sequence[Any]) -> Any:
    """What all nodes say; where they differ the first that is not plainly good."""
    return next((reply for reply in replies if reply not in (True, b"OK", "OK")), replies[0])


def _counts(replies: Sequence[Any]) -> Any:
    """Channels with numbers, added up."""
    found: dict[Any, int] = {}
    for reply in replies:
        for name, count in reply:
            found[name] = found.get(name, 0) + count
    return list(found.items())


def _by_place(replies: Sequence[Any]) -> Any:
    """Yes where all nodes say so."""
    return [all(answers) for answers in zip(*replies, strict=True)]


_FIRST: Final = """
APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS DECR DECRBY DELEX DIGEST DUMP EXPIRE EXPIREAT EXPIRETIME GEOADD GEODIST GEOHASH GEOPOS
GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HEXISTS HEXPIRE HEXPIREAT HEXPIRETIME HGET
HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HRANDFIELD HSCAN
HSET HSETEX HSETNX HSTRLEN HTTL HVALS INCR INCRBY INCRBYFLOAT LINDEX LINSERT LLEN LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MOVE
PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PFADD PSETEX PTTL RESTORE RPOP RPUSH RPUSHX SADD SCARD SET SETBIT SETEX SETNX SETRANGE SISMEMBER
SMEMBERS SMISMEMBER SPOP SPUBLISH SRANDMEMBER SREM SSCAN STRLEN SUBSTR TTL TYPE VADD VCARD VDIM VEMB VGETATTR VINFO VLINKS VRANDMEMBER
VREM VSETATTR VSIM XACK XACKDEL XADD XAUTOCLAIM XCLAIM XDEL XDELEX XLEN XPENDING XRANGE XREVRANGE XSETID XTRIM ZADD ZCARD ZCOUNT ZINCRBY
ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK
ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE
"""
# Words of redis-py that hold a command and its part.
_PARTS: Final = {
    "MEMORY": ("USAGE",),
    "OBJECT": ("ENCODING", "FREQ", "IDLETIME", "REFCOUNT"),
    "XGROUP": ("CREATE", "CREATECONSUMER", "DELCONSUMER", "DESTROY", "SETID"),
    "XINFO": ("CONSUMERS", "GROUPS", "STREAM"),
    "DEBUG": ("OBJECT",),
}
_SPANS: Final[Mapping[tuple[int, int, int], str]] = {
    (1, 2, 1): "BLMOVE BRPOPLPUSH COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE",
    (1, -2, 1): "BLPOP BRPOP BZPOPMAX BZPOPMIN",
    (1, -1, 1): "PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SUNION SUNIONSTORE",
    (1, -1, 2): "MSETNX",
    (2, -1, 1): "BITOP",
}
_FINDERS: Final[Mapping[str, Finder]] = {
    **{name: _counted(2) for name in ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", "BLMPOP", "BZMPOP")},
    **{name: _counted(1) for name in ("LMPOP", "ZMPOP", "SINTERCARD", "ZDIFF", "ZINTER", "ZINTERCARD", "ZUNION")},
    **{name: _counted(2, (1,)) for name in ("ZDIFFSTORE", "ZINTERSTORE", "ZUNIONSTORE")},
    "XREAD": _streams,
    "XREADGROUP": _streams,
    "SORT": _sorted,
    "SORT_RO": _sorted,
    "GEORADIUS": _stored("STORE", "STOREDIST"),
    "GEORADIUSBYMEMBER": _stored("STORE", "STOREDIST"),
}
_SPLIT: Final[Mapping[str, Command]] = {
    "MGET": Command(Spread.SPLIT, _span(1, -1, 1)),
    "MSET": Command(Spread.SPLIT, _span(1, -1, 2), 2, _same),
    **{name: Command(Spread.SPLIT, _span(1, -1, 1), 1, sum) for name in ("DEL", "EXISTS", "TOUCH", "UNLINK")},
}
_ALL: Final[Mapping[str, Callable[[Sequence[Any]], Any] | None]] = {
    "DBSIZE": sum,
    "PUBSUB CHANNELS": _joined,
    "PUBSUB NUMPAT": sum,
    "PUBSUB NUMSUB": _counts,
    "CLIENT LIST": _joined,
    "SCRIPT EXISTS": _by_place,
    "SLOWLOG GET": _joined,
    "SLOWLOG LEN": sum,
    "WAIT": min,
    **dict.fromkeys(
        ("PING", "FLUSHDB", "FLUSHALL", "SWAPDB", "SCRIPT LOAD", "SCRIPT FLUSH", "SCRIPT KILL", "FUNCTION LOAD", "FUNCTION DELETE",
         "FUNCTION FLUSH", "FUNCTION RESTORE", "CONFIG SET", "CONFIG RESETSTAT", "CONFIG REWRITE", "SLOWLOG RESET", "LATENCY RESET",
         "MEMORY PURGE", "ACL SETUSER", "ACL DELUSER", "ACL SAVE", "ACL LOAD", "SAVE", "BGSAVE", "BGREWRITEAOF"), _same),
    # What all say once, the rest by node.
    **dict.fromkeys(
        ("INFO", "CONFIG GET", "LASTSAVE", "MEMORY STATS", "MEMORY DOCTOR", "MEMORY MALLOC-STATS",
         "LATENCY HISTORY", "LATENCY LATEST", "LATENCY DOCTOR", "ROLE"), None),
}  # fmt: skip
_ANY: Final = (
    "TIME", "ECHO", "LOLWUT", "COMMAND", "COMMAND COUNT", "COMMAND DOCS", "COMMAND INFO", "COMMAND LIST", "COMMAND GETKEYS",
    "COMMAND GETKEYSANDFLAGS", "FUNCTION LIST", "FUNCTION DUMP", "FUNCTION STATS", "ACL CAT", "ACL LIST", "ACL USERS", "ACL GETUSER",
    "ACL GENPASS", "ACL HELP", "ACL WHOAMI", "ACL DRYRUN", "MODULE LIST",
)  # fmt: skip
_REFUSED: Final = """
AUTH DISCARD EXEC HELLO MONITOR MULTI PSUBSCRIBE PUNSUBSCRIBE QUIT RESET SELECT SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE UNSUBSCRIBE UNWATCH WATCH
"""
# Of modules: their keys stand first; those that have none, or several, are left out.
_MODULES: Final = ("BF.", "CF.", "CMS.", "JSON.", "TDIGEST.", "TOPK.", "TS.")
_NOT_FIRST: Final = frozenset(("CMS.MERGE", "JSON.MGET", "JSON.MSET", "JSON.DEBUG", "TDIGEST.MERGE", "TS.MADD", "TS.MGET", "TS.MRANGE",
                               "TS.MREVRANGE", "TS.QUERYINDEX", "TS.CREATERULE", "TS.DELETERULE"))  # fmt: skip

NAMED: Final = Command(Spread.NAMED)
KEYS: Final = Command(Spread.ALL)
FIRST: Final = Command(Spread.KEYS, _span(1, 1, 1))


def _table() -> dict[str, Command]:
    table = dict.fromkeys(_FIRST.split(), FIRST)
    for name, parts in _PARTS.items():
        table |= {f"{name} {part}": FIRST for part in parts}
    for span, names in _SPANS.items():
        table |= dict.fromkeys(names.split(), Command(Spread.KEYS, _span(*span)))
    table |= {name: Command(Spread.KEYS, finder) for name, finder in _FINDERS.items()}
    table |= _SPLIT
    table |= {name: Command(Spread.ALL, merge=merge) for name, merge in _ALL.items()}
    table |= dict.fromkeys(_ANY, Command(Spread.ANY))
    table |= dict.fromkeys(_REFUSED.split(), Command(Spread.REFUSED))
    table["KEYS"] = KEYS
    table["PUBLISH"] = Command(Spread.CHANNEL, _span(1, 1, 1))
    return table


COMMANDS: Final[Mapping[str, Command]] = _table()


def look_up(args: Args) -> tuple[Command, int]:
    """A command, and how many words it has more than the table expects: 1 where its second word belongs to its name."""
    name = _word(args[0])
    command = COMMANDS.get(name)
    if len(args) > 1 and " " not in name:
        longer = COMMANDS.get(f"{name} {_word(args[1])}")
        if longer is not None:
            return longer, 1
    if command is None and name.startswith(_MODULES) and name not in _NOT_FIRST:
        command = FIRST
    return command or NAMED, 0
