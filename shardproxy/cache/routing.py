"""From a command to the nodes that get it, and from their replies to one reply. Pure: shared by the client with and without asyncio."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shardproxy.cache.commands import FIRST, KEYS, Args, Command, Spread, look_up
from shardproxy.cache.errors import CrossSlotError, NotRoutable
from shardproxy.topology.slots import SlotMap, slot_of

ALL_NODES: Final = "all"
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Part:
    """What one node gets. `places` are those of its keys among the command's keys."""

    node: str
    args: Args
    places: Sequence[int] = ()


@dataclass(slots=True)
class Route:
    """The parts of a command. `join` makes one reply of theirs, in the same order; without it there is one part, whose reply it is."""

    parts: list[Part]
    join: Callable[[Sequence[Any]], Any] | None = None


class Router:
    """Routes by one map. `encode` makes bytes of a key, as it goes over the wire."""

    def __init__(self, slots: SlotMap, encode: Callable[[Any], bytes]) -> None:
        self.slots = slots
        self.encode = encode
        # Most programs have text as keys, and write it in UTF-8.
        self._utf8 = encode("é") == "é".encode()
        self._single: dict[Any, bool] = {}

    def node_of(self, key: Any) -> str:
        """The node that owns a key."""
        return self.slots.owners[slot_of(key.encode() if self._utf8 and type(key) is str else self.encode(key))]

    def single(self, args: Args) -> str | None:
        """The node of a command with one key in the usual place, None where there is more to it. This is what most commands need."""
        name = args[0]
        known = self._single.get(name)
        if known is None:
            command, extra = look_up(args)
            known = command is FIRST and not extra
            if isinstance(name, str) and len(self._single) < 1000:
                self._single[name] = known
        if not known or len(args) < 2:
            return None
        key = args[1]
        return self.slots.owners[slot_of(key.encode() if self._utf8 and type(key) is str else self.encode(key))]

    def route(self, args: Args, target: str | Iterable[str] | None = None) -> Route:
        """Where a command goes. `target` names nodes, or all of them; the keys say it otherwise. Raises `CrossSlotError`, `NotRoutable`."""
        command, extra = look_up(args)
        if target is not None:
            return self._named(command, args, target)
        match command.spread:
            case Spread.KEYS:
                return Route([Part(self.slots.owners[self.slot(command, args, extra)], args)])
            case Spread.SPLIT:
                return self._split(command, args)
            case Spread.CHANNEL:
                return Route([Part(self.node_of(args[1]), args)])
            case Spread.ALL:
                nodes = self.slots.nodes
                join = self._owned(nodes) if command is KEYS else command.merge or _agreed(nodes)
                return Route([Part(node, args) for node in nodes], join)
            case Spread.ANY:
                return Route([Part(random.choice(self.slots.nodes), args)])
        name = " ".join(str(arg) for arg in args[: 1 + extra])
        if command.spread is Spread.REFUSED:
            raise NotRoutable(f"{name} belongs to one connection, which a sharded cache does not have: use pipeline() or pubsub()")
        raise NotRoutable(f"which node is {name} for? Name it: target_nodes='{self.slots.nodes[0]}', or 'all'")

    def _owned(self, nodes: Sequence[str]) -> Callable[[Sequence[Any]], list[Any]]:
        """Of each node's keys those that it owns: what else lies there is not part of the cache."""
        return lambda replies: [key for node, keys in zip(nodes, replies, strict=True) for key in keys if self.node_of(key) == node]

    def slot(self, command: Command, args: Args, extra: int = 0) -> int:
        """The one slot of a command's keys."""
        words = args[extra:]
        places = command.keys(words) if command.keys is not None else ()
        keys = [words[place] for place in places if place < len(words)]
        if not keys:
            raise NotRoutable(f"{args[0]} has no key, so it cannot be said which node it is for; name one with target_nodes")
        return self.one_slot(str(args[0]), keys)

    def one_slot(self, name: str, keys: Sequence[Any]) -> int:
        """The slot that keys share; raises `CrossSlotError` where they do not."""
        slots = {key: slot_of(self.encode(key)) for key in keys}
        found = set(slots.values())
        if len(found) > 1:
            shown = ", ".join(f"{key!r} in slot {slot} on {self.slots.owners[slot]}" for key, slot in list(slots.items())[:_SHOWN])
            more = f" and {len(slots) - _SHOWN} more" if len(slots) > _SHOWN else ""
            raise CrossSlotError(
                f"{name} needs its keys in one slot; here are {shown}{more}."
                " Give them a common part in braces, as in 'user:{42}:name', and they are"
            )
        return found.pop()

    def keys_of(self, args: Args) -> list[Any]:
        """The keys of a command."""
        command, extra = look_up(args)
        words = args[extra:]
        return [words[place] for place in command.keys(words)] if command.keys is not None else []

    def _split(self, command: Command, args: Args) -> Route:
        step, owners, utf8 = command.step, self.slots.owners, self._utf8
        parts: dict[str, tuple[list[Any], list[int]]] = {}
        for place, at in enumerate(range(1, len(args), step)):
            key = args[at]
            node = owners[slot_of(key.encode() if utf8 and type(key) is str else self.encode(key))]
            part = parts.get(node)
            if part is None:
                part = parts[node] = ([args[0]], [])
            words, places = part
            words.append(key)
            if step > 1:
                words += args[at + 1 : at + step]
            places.append(place)
        if not parts:
            # What it then says is left to a server.
            return Route([Part(self.slots.nodes[0], args)])
        found = [Part(node, words, places) for node, (words, places) in parts.items()]
        if len(found) == 1:
            return Route([Part(found[0].node, args)])
        return Route(found, command.merge or _by_places([part.places for part in found]))

    def _named(self, command: Command, args: Args, target: str | Iterable[str]) -> Route:
        wanted = [target] if isinstance(target, str) else list(target)
        names = list(self.slots.nodes) if wanted == [ALL_NODES] else wanted
        unknown = sorted(set(names) - set(self.slots.nodes))
        if unknown or not names:
            raise NotRoutable(f"there is no node {', '.join(unknown)}; there are {', '.join(self.slots.nodes)}")
        parts = [Part(name, args) for name in names]
        if isinstance(target, str) and target != ALL_NODES:
            return Route(parts)
        return Route(parts, command.merge or _by_name(names))


def _by_places(places: Sequence[Sequence[int]]) -> Callable[[Sequence[Any]], Any]:
    def join(replies: Sequence[Any]) -> Any:
        found: list[Any] = [None] * sum(map(len, places))
        for of_part, reply in zip(places, replies, strict=True):
            for place, value in zip(of_part, reply, strict=True):
                found[place] = value
        return found

    return join


def _agreed(names: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    """What all nodes say is said once; where they differ it is told by node, of a mapping key by key."""

    def join(replies: Sequence[Any]) -> Any:
        first = replies[0]
        if all(reply == first for reply in replies):
            return first
        if not all(isinstance(reply, dict) for reply in replies):
            return dict(zip(names, replies, strict=True))
        found = {}
        for key in dict.fromkeys(key for reply in replies for key in reply):
            values = {name: reply[key] for name, reply in zip(names, replies, strict=True) if key in reply}
            same = len(values) == len(names) and all(value == first.get(key) for value in values.values())
            found[key] = first[key] if same else values
        return found

    return join


def _by_name(names: Sequence[str]) -> Callable[[Sequence[Any]], Mapping[str, Any]]:
    return lambda replies: dict(zip(names, replies, strict=True))
