"""Balancing by key: the same key goes to the same server, in every proxy and after every restart."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from shardproxy.balance.target import T

_MASK: Final = (1 << 64) - 1

# Names whose seeds are remembered, and tables that are. Either can be computed anew. The tables take 8 kB each and are enough for
# all sets of up to six servers; with more of them, and sets that change from statement to statement, some are built again.
_SEEDS: Final = 1024
_TABLES: Final = 64

# Entries of a table; prime, so that every step through it visits each entry. LVS's mh has the same default. The paper asks for a
# hundred times the number of servers, to be even within 1 %; this does for 40.
_SIZE: Final = 4093

# Significant bits of a weight in a table: whole numbers up to 64 are exact, others off by up to 1.6 %.
_WEIGHT_BITS: Final = 6


def _hash64(data: bytes) -> int:
    """64 uniform bits that are the same everywhere, unlike Python's hash()."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def _mixed(bits: int) -> int:
    """A bijection of 64 bits in which each input bit changes half of the output: splitmix64's (Steele et al., OOPSLA 2014)."""
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & _MASK
    return bits ^ (bits >> 31)


class Hash:
    """Weighted rendezvous hashing: each server draws a number for the key, and the smallest has it.

    Thaler and Ravishankar, IEEE/ACM ToN 1998; weights by the logarithmic method of Schindelhauer and Schomaker, SPAA 2005: with u
    uniform, -ln(u) / weight is exponentially distributed with the weight as its rate, and the smallest of several such numbers is
    each one's with a probability in proportion to its rate. No server's number depends on another server; so one that goes
    loses its keys, one that grows gains some, and no key moves between two others.
    """

    uses_key: bool = True

    def __init__(self) -> None:
        self._seeds: dict[str, int] = {}

    def choose(self, servers: Sequence[T], key: bytes = b"") -> T:
        """The key's server. The cost grows with the number of servers."""
        seeds = self._seeds
        bits = _hash64(key)
        chosen, smallest = servers[0], math.inf
        for server in servers:
            seed = seeds.get(server.name)
            if seed is None:
                seed = self._seed(server.name)
            number = -math.log((_mixed(bits ^ seed) + 1) * 2.0**-64) / server.weight
            if number < smallest:
                chosen, smallest = server, number
        return chosen

    def _seed(self, name: str) -> int:
        if len(self._seeds) >= _SEEDS:
            self._seeds.clear()
        seed = self._seeds[name] = _hash64(name.encode())
        return seed


class ConsistentHash:
    """A Maglev table: the key's hash is an index, the entry is the server. The cost does not grow with the number of servers.

    Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4. Servers take turns to
    claim the next free entry of their own permutation of the table; weights decide how often each has a turn, as in Envoy's
    MaglevLoadBalancer. When a server goes, a few keys move between those that stay: 0.2 % with 3 servers, 1 % with 10. To build a
    table costs 2 ms with 3 servers and 5 ms with 40, and is needed once for each set of servers and rounded weights.
    """

    uses_key: bool = True

    def __init__(self) -> None:
        self._seen: list[tuple[str, float]] = []
        self._table: array[int] = array("H")
        self._tables: dict[tuple[tuple[str, float], ...], array[int]] = {}

    def choose(self, servers: Sequence[T], key: bytes = b"") -> T:
        """The key's server."""
        seen = [(server.name, server.weight) for server in servers]
        if seen != self._seen:
            self._table = self._table_for(seen)
            self._seen = seen
        return servers[self._table[_hash64(key) % _SIZE]]

    def _table_for(self, seen: list[tuple[str, float]]) -> array[int]:
        """The table for these servers, in which rounded weights keep a warm-up from asking for one at every choice.

        Several are kept, because a server that lags is offered for some statements and not for others.
        """
        wanted = tuple([(name, _rounded(weight)) for name, weight in seen])
        table = self._tables.pop(wanted, None)
        if table is None:
            table = _maglev(wanted)
            if len(self._tables) >= _TABLES:
                del self._tables[next(iter(self._tables))]
        self._tables[wanted] = table  # last, for the first is the one that goes
        return table


def _rounded(weight: float) -> float:
    """The weight in few significant bits: a function of the weight alone, so that all proxies have the same table."""
    mantissa, exponent = math.frexp(weight)
    return math.ldexp(round(mantissa * (1 << _WEIGHT_BITS)), exponent - _WEIGHT_BITS)


def _maglev(servers: Sequence[tuple[str, float]]) -> array[int]:
    """For each entry, the position of its server in `servers`. The names' order has no say in who gets what."""
    heaviest = max(weight for _, weight in servers)
    order = sorted(range(len(servers)), key=lambda i: servers[i][0])
    digests = [blake2b(servers[i][0].encode(), digest_size=16).digest() for i in order]
    next_entry = [int.from_bytes(digest[:8], "big") % _SIZE for digest in digests]
    steps = [int.from_bytes(digest[8:], "big") % (_SIZE - 1) + 1 for digest in digests]
    shares = [servers[i][1] / heaviest for i in order]
    claimed = [0.0] * len(order)
    table = [-1] * _SIZE
    free, due = _SIZE, 0
    while True:
        due += 1
        for turn, position in enumerate(order):
            if due * shares[turn] < claimed[turn]:
                continue
            claimed[turn] += 1.0
            entry, step = next_entry[turn], steps[turn]
            while table[entry] >= 0:
                entry = (entry + step) % _SIZE
            table[entry] = position
            next_entry[turn] = entry
            free -= 1
            if not free:
                return array("H", table)
