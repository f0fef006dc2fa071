"""Positions in the stream of changes: MariaDB's and MySQL's global transaction ids.

MariaDB writes a position as the last transaction of each domain, `0-1-270,7-3-12` (domain, server, sequence number), and compares
domain and number only. MySQL writes the set of all transactions, `uuid:1-90:95,uuid2:tag:1-4`.
https://mariadb.com/kb/en/gtid/, https://dev.mysql.com/doc/refman/9.0/en/replication-gtids-concepts.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from shardproxy.protocol.wire_types import MalformedPacket, read_lenenc_int

# Of each source (a domain, or a UUID with its tag): the intervals of transactions, both ends included, in order.
Intervals = tuple[tuple[int, int], ...]

_SYSTEM_VARIABLES: Final = 0
_GTIDS: Final = 3


class Position:
    """A set of transactions. Immutable; two positions of different servers of one shard can be compared.

    MariaDB numbers the transactions of a domain whichever server writes them, so two servers that went their own ways use the same
    numbers for different transactions. `contains` compares numbers, which is what replication itself does; `holds` also asks whether the
    last transaction is one of the same server, which tells histories apart.
    """

    __slots__ = ("_servers", "_sources")

    def __init__(self, sources: Mapping[str, Intervals], servers: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self._sources = dict(sources)
        # MariaDB: by domain, the last number of each server.
        self._servers = servers or {}

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read either form; raises `ValueError` for anything else. The empty text is the empty set."""
        sources: dict[str, Intervals] = {}
        servers: dict[str, dict[str, int]] = {}
        for part in map(str.strip, text.split(",")):
            if not part:
                continue
            if ":" in part:
                _add_set(sources, part)
            else:
                domain, server, number = part.split("-")
                sources[domain] = _joined([*sources.get(domain, ()), (1, int(number))])
                known = servers.setdefault(domain, {})
                known[server] = max(known.get(server, 0), int(number))
        return cls(sources, servers)

    def contains(self, other: Position) -> bool:
        """Whether every transaction of the other position is in this one."""
        return all(
            any(low <= first and last <= high for low, high in self._sources.get(source, ()))
            for source, intervals in other._sources.items()
            for first, last in intervals
        )

    def holds(self, other: Position) -> bool:
        """Whether it contains the other position, and is a continuation of the same history."""
        if not self.contains(other):
            return False
        for domain, known in other._servers.items():
            last = max(known, key=known.__getitem__)
            if self._servers.get(domain, {}).get(last, 0) < known[last]:
                return False
        return True

    def union(self, other: Position) -> Position:
        """The transactions of both."""
        if not self._sources:
            return other
        sources = dict(self._sources)
        for source, intervals in other._sources.items():
            sources[source] = _joined([*sources.get(source, ()), *intervals])
        if not other._servers:
            return Position(sources, self._servers)
        servers = {domain: dict(known) for domain, known in self._servers.items()}
        for domain, known in other._servers.items():
            mine = servers.setdefault(domain, {})
            for server, number in known.items():
                mine[server] = max(mine.get(server, 0), number)
        return Position(sources, servers)

    def __bool__(self) -> bool:
        return bool(self._sources)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Position) and self._sources == other._sources

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._sources.items())))

    def __str__(self) -> str:
        return ",".join(f"{source}:" + ":".join(f"{low}-{high}" for low, high in spans) for source, spans in sorted(self._sources.items()))


NOWHERE: Final = Position({})


def _add_set(sources: dict[str, Intervals], part: str) -> None:
    """One source of MySQL's form, whose tags (since 8.3) stand between the intervals: `uuid:1-5:tag:1-3`."""
    uuid, *rest = part.split(":")
    source = uuid.strip().lower()
    for item in map(str.strip, rest):
        if item[:1].isdigit():
            low, _, high = item.partition("-")
            sources[source] = _joined([*sources.get(source, ()), (int(low), int(high or low))])
        else:
            source = f"{uuid.strip().lower()}:{item.lower()}"


def _joined(intervals: Iterable[tuple[int, int]]) -> Intervals:
    result: list[tuple[int, int]] = []
    for low, high in sorted(intervals):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], high))
        else:
            result.append((low, high))
    return tuple(result)


def told_position(changes: bytes) -> str:
    """The position that an OK packet's session changes tell of (`last_gtid`, or OWN_GTID), or "".

    Raises `MalformedPacket`. Kinds of changes that are not known are skipped: MySQL sends some that nobody has asked for.
    """
    found, at = "", 0
    while at < len(changes):
        kind = changes[at]
        size, start = read_lenenc_int(changes, at + 1)
        at = start + size
        if at > len(changes):
            raise MalformedPacket("a session change is cut short")
        if kind == _GTIDS:
            value, _ = _string(changes, start + 1, at)
            found = value.decode("ascii", "replace")
        elif kind == _SYSTEM_VARIABLES:
            while start < at:
                name, start = _string(changes, start, at)
                value, start = _string(changes, start, at)
                if name == b"last_gtid":
                    found = value.decode("ascii", "replace")
    return found


def _string(changes: bytes, start: int, end: int) -> tuple[bytes, int]:
    """A string with its length before it, which ends before `end`; and where it ends."""
    length, text = read_lenenc_int(changes, start)
    if text + length > end:
        raise MalformedPacket("a session change is longer than it says")
    return changes[text : text + length], text + length
