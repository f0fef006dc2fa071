"""What a sharded cache does, without doing it: each operation is a generator that says what nodes are asked, and is sent the answers.

Two drivers run them, one over sockets (`client`) and one over asyncio (`asyncio`), so that both do the same. A driver asks all nodes at the
same time and gives, for each, a list with an answer per command: a reply, an error of the server's, or `Lost`.
"""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from redis.commands import READ_COMMANDS
from redis.exceptions import ConnectionError  # noqa: A004 - redis-py's name

from shardproxy.cache.commands import Args
from shardproxy.cache.errors import AmbiguousResultError, NodeDownError, NotRoutable
from shardproxy.cache.routing import ALL_NODES, Router

Options = dict[str, Any]
TARGET: Final = "target_nodes"
# A cursor of SCAN holds the node's own one and, in its low bits, which node that is.
_MOST_NODES: Final = 4096

T = TypeVar("T")


@dataclass(slots=True)
class Ask:
    """Commands for one node, in one write."""

    node: str
    commands: list[tuple[Args, Options]]


@dataclass(slots=True)
class _Joined:
    """Where the answers to the parts of a command are, and what makes one reply of them."""

    places: list[tuple[str, int]]
    join: Callable[[Sequence[Any]], Any] | None


class Lost(Exception):
    """No answer came. `sent`: the node may have carried the command out all the same."""

    def __init__(self, error: Exception, *, sent: bool) -> None:
        self.error = error
        self.sent = sent
        super().__init__(str(error))


Answers = list[Any]
Operation = Generator[list[Ask], list[Answers], T]


def is_read(args: Args) -> bool:
    """Whether a command only reads, so that it may be repeated."""
    name = args[0]
    return (name.decode("latin-1") if isinstance(name, bytes) else str(name)).upper() in READ_COMMANDS


class Core:
    """The operations over one map. `repeat_writes`: the caller would rather have a write carried out twice than not know."""

    def __init__(self, router: Router, *, repeat_writes: bool = False) -> None:
        self.router = router
        self._repeat_writes = repeat_writes

    # -- one command --------------------------------------------------------------------------------------------------

    def command(self, args: Args, options: Options) -> Operation[Any]:
        """Any command; gives its reply. Raises what redis-py raises, and what `errors` has."""
        target = options.pop(TARGET, None)
        name = str(args[0]).upper()
        if target is None and name == "SCAN":
            return (yield from self._scan(args, options))
        if target is None and name == "RANDOMKEY":
            return (yield from self._random_key(args, options))
        route = self.router.route(args, target)
        answers = yield from self._asked([Ask(part.node, [(part.args, dict(options))]) for part in route.parts])
        replies = [self.reply(ask.node, args, answer[0]) for ask, answer in zip(route.parts, answers, strict=True)]
        return route.join(replies) if route.join is not None else replies[0]

    def again(self, args: Args, options: Options, node: str, lost: Lost) -> Operation[Any]:
        """A command with one key that was lost on its way: repeated where it may be."""
        ask = Ask(node, [(args, options)])
        answers = (yield [ask]) if self._may_repeat(args, lost) else [[lost]]
        return self.reply(node, args, answers[0][0])

    def _asked(self, asks: list[Ask]) -> Operation[list[Answers]]:
        """Answers; what was lost is asked for once more where that does no harm."""
        answers = yield asks
        again = [
            at
            for at, (ask, found) in enumerate(zip(asks, answers, strict=True))
            if len(found) == 1 and isinstance(found[0], Lost) and self._may_repeat(ask.commands[0][0], found[0])
        ]
        if again:
            for at, found in zip(again, (yield [asks[at] for at in again]), strict=True):
                answers[at] = found
        return answers

    def _may_repeat(self, args: Args, lost: Lost) -> bool:
        # One that did not come in time is not asked for again: the caller has waited long enough.
        return isinstance(lost.error, ConnectionError) and (not lost.sent or self._repeat_writes or is_read(args))

    def reply(self, node: str, args: Args, answer: Any) -> Any:
        """The answer of a node as what the caller gets: raises it where it is an error."""
        found = self._settled(node, args, answer)
        if isinstance(found, Exception):
            raise found
        return found

    def _settled(self, node: str, args: Args, answer: Any) -> Any:
        if not isinstance(answer, Lost):
            return answer
        if not answer.sent:
            found: Exception = NodeDownError(node, answer.error)
        elif is_read(args):
            found = type(answer.error)(f"node {node}: {answer.error}")
        else:
            found = AmbiguousResultError(f"node {node} did not answer {args[0]}, which it may have carried out: {answer.error}")
        found.__cause__ = answer.error
        return found

    # -- over all keys ------------------------------------------------------------------------------------------------

    def _scan(self, args: Args, options: Options) -> Operation[Any]:
        """One cursor over all nodes. Keys of slots that the node does not own are left out."""
        nodes = self.router.slots.nodes
        cursor, at = divmod(int(args[1]) if len(args) > 1 else 0, _MOST_NODES)
        if at >= len(nodes):
            raise NotRoutable(f"{args[1]} is not a cursor of this cache")
        node = nodes[at]
        words = ["SCAN", cursor, *args[2:]]
        answers = yield from self._asked([Ask(node, [(words, dict(options))])])
        cursor, keys = self.reply(node, words, answers[0][0])
        following = (at + 1) % len(nodes)
        if int(cursor):
            following = int(cursor) * _MOST_NODES + at
        return following, [key for key in keys if self.router.node_of(key) == node]

    def _random_key(self, args: Args, options: Options) -> Operation[Any]:
        nodes = list(self.router.slots.nodes)
        random.shuffle(nodes)
        for node in nodes:
            answers = yield from self._asked([Ask(node, [(args, dict(options))])])
            found = self.reply(node, args, answers[0][0])
            if found is not None:
                return found
        return None

    # -- pipelines ----------------------------------------------------------------------------------------------------

    def pipeline(self, stack: Sequence[tuple[Args, Options]], scripts: Iterable[Any] = ()) -> Operation[list[Any]]:
        """Many commands, each node's in one write and in their order; gives a reply or an exception for each."""
        scripts = list(scripts)
        if scripts:
            yield from self._load_scripts(scripts)
        single = self.router.single
        asks: dict[str, list[tuple[Args, Options]]] = {name: [] for name in self.router.slots.nodes}
        # For each command: the place of its only answer, or of all that are to be joined.
        places: list[tuple[str, int] | _Joined] = []
        for args, options in stack:
            node = single(args) if TARGET not in options else None
            if node is not None:
                commands = asks[node]
                places.append((node, len(commands)))
                commands.append((args, options))
            else:
                places.append(self._spread(args, dict(options), asks))
        wanted = [Ask(node, commands) for node, commands in asks.items() if commands]
        answers = yield wanted
        by_node = {ask.node: found for ask, found in zip(wanted, answers, strict=True)}
        replies = []
        for (args, _), place in zip(stack, places, strict=True):
            if isinstance(place, _Joined):
                replies.append(self._joined(args, place, by_node))
            else:
                answer = by_node[place[0]][place[1]]
                replies.append(self._settled(place[0], args, answer) if isinstance(answer, Lost) else answer)
        return replies

    def _spread(self, args: Args, options: Options, asks: dict[str, list[tuple[Args, Options]]]) -> _Joined:
        route = self.router.route(args, options.pop(TARGET, None))
        places = []
        for part in route.parts:
            places.append((part.node, len(asks[part.node])))
            asks[part.node].append((part.args, dict(options)))
        return _Joined(places, route.join)

    def _joined(self, args: Args, joined: _Joined, by_node: dict[str, Answers]) -> Any:
        replies = [self._settled(node, args, by_node[node][at]) for node, at in joined.places]
        error = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if error is not None:
            return error
        return joined.join(replies) if joined.join is not None else replies[0]

    def _load_scripts(self, scripts: Sequence[Any]) -> Operation[None]:
        found = yield from self.command(["SCRIPT EXISTS", *(script.sha for script in scripts)], {TARGET: ALL_NODES})
        for script, known in zip(scripts, found, strict=True):
            if not known:
                script.sha = yield from self.command(["SCRIPT LOAD", script.script], {TARGET: ALL_NODES})


def first_error(stack: Sequence[tuple[Args, Options]], replies: Sequence[Any]) -> Exception | None:
    """The first error of a pipeline, which says which command it belongs to."""
    for number, ((args, _), reply) in enumerate(zip(stack, replies, strict=True), 1):
        if isinstance(reply, Exception):
            # As redis-py shortens it.
            text = textwrap.shorten(" ".join(map(str, args)), 100, placeholder="...", break_long_words=True)
            reply.args = (f"Command # {number} ({text}) of pipeline caused error: {reply}", *reply.args[1:])
            return reply
    return None
