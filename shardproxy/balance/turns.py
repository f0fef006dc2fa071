"""Balancing by turns: everyone in order, with or without weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from shardproxy.balance.target import T, Target

# Servers that are remembered at most, unless more are offered at once. Those that are absent are remembered up to there, because
# a server that lags is offered for some statements and not for others, and must not count as new each time.
_REMEMBERED: Final = 1024

# Credits nearer to each other than this are equal: sums of the same fractions in another order differ in their last bits.
_EQUAL: Final = 1e-9


def _forget_absent(memory: dict[str, Any], servers: Sequence[Target]) -> None:
    """Drop all that is not about these servers, which is how the memory stays bounded when servers come and go."""
    for name in memory.keys() - {server.name for server in servers}:
        del memory[name]


class RoundRobin:
    """Whoever has waited longest; where the same servers are offered each time, this is one after the other in their order.

    A running number modulo the count of servers would do for a fixed set only: with c left out of every second choice, the
    number is odd whenever [a, b] is offered, and a never gets one of those.
    """

    uses_key: bool = False

    def __init__(self) -> None:
        self._turn = 0
        self._last: dict[str, int] = {}

    def choose(self, servers: Sequence[T], key: bytes = b"") -> T:
        """The server whose last turn is longest ago, the first of those that had none."""
        last = self._last
        chosen, oldest = servers[0], math.inf
        for server in servers:
            turn = last.get(server.name, 0)
            if turn < oldest:
                chosen, oldest = server, turn
        self._turn += 1
        last[chosen.name] = self._turn
        if len(last) > _REMEMBERED:
            _forget_absent(last, servers)
        return chosen


class WeightedRoundRobin:
    """Smooth weighted round robin, as nginx has it (ngx_http_upstream_round_robin.c): 5:1:1 gives a a b a c a a.

    At each choice every server earns its share of one turn, the one with the highest credit gets the turn and pays for it.
    Credits are in turns where nginx's are in weights; so one that was earned with other weights, or with other servers beside
    it, is still worth the same, and a server whose weight falls from 100 to 1 does not wait 100 rounds to pay its debt.
    """

    uses_key: bool = False

    def __init__(self) -> None:
        self._credits: dict[str, float] = {}

    def choose(self, servers: Sequence[T], key: bytes = b"") -> T:
        """The server with the highest credit, the first of equals."""
        earned = self._credits
        weights = [server.weight for server in servers]
        turn = 1.0 / sum(weights)
        chosen, highest = servers[0], -math.inf
        for server, weight in zip(servers, weights, strict=True):
            name = server.name
            credit = earned[name] = earned.get(name, 0.0) + weight * turn
            if credit > highest + _EQUAL:
                chosen, highest = server, credit
        earned[chosen.name] -= 1.0
        if len(earned) > _REMEMBERED:
            _forget_absent(earned, servers)
        return chosen
