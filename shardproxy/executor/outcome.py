"""What came of a statement, apart from the rows that have already been sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shardproxy.backends.engine import Connection
from shardproxy.executor.state import Warning_
from shardproxy.executor.upload import Upload
from shardproxy.protocol.packets import EofPacket, OkPacket
from shardproxy.protocol.resultset import ColumnDefinition

_NUMBER = re.compile(rb"\d+")


@dataclass(slots=True)
class Outcome:
    """`rows` is the number of rows sent, or -1 for a statement without a result set. `sequence` is the number of the packet that
    ends the response, which the session builds, or 0 where its sink has counted. `merged` says that `rows` counts those that OFFSET
    skipped already; `found` is what SQL_CALC_FOUND_ROWS counted, or -1; `last_id` is
    what LAST_INSERT_ID() says now, where it had to be asked for."""

    rows: int = -1
    affected: int = 0
    insert_id: int = 0
    warnings: int = 0
    info: bytes = b""
    sequence: int = 0
    warning_list: list[Warning_] = field(default_factory=list)
    status: int = 0
    merged: bool = False
    found: int = -1
    last_id: int = -1


class ResultSink(Protocol):
    """Where rows go: a client's connection, with back-pressure."""

    sequence: int
    started: bool
    needs_rows: bool
    more: bool
    raw: bool

    def write(self, data: bytes) -> None:
        """Send packets as they are."""

    def read_from(self, source: Connection | None) -> None:
        """What is written comes from this connection, which is made to wait while the client is slow."""

    @property
    def takes_files(self) -> bool:
        """Whether the client has said that it would send a file."""

    def upload(self, target: Upload) -> None:
        """The client sends a file now, which goes there."""

    def send_header(self, columns: Sequence[ColumnDefinition], *, more: bool = False) -> None:
        """Send the column definitions. `more`: another result of the same statement follows."""

    def send_rows(self, payloads: Iterable[bytes]) -> None:
        """Send rows."""

    def send_ok(self, ok: OkPacket) -> None:
        """End a result without rows."""

    def send_eof(self, eof: EofPacket) -> None:
        """End the rows of a result."""

    def send_encoded(self, payloads: Iterable[bytes]) -> None:
        """Send rows that are in the client's form already."""

    async def drain(self) -> None:
        """Wait while the client is slow to read."""


def insert_info(outcome: Outcome, text: bytes) -> bytes:
    """What a server would have said of one row, had it been one of several: it says nothing of a single one."""
    ignores = b"IGNORE" in text[:40].upper()
    duplicate = outcome.affected == 0 if ignores else outcome.affected == 2
    return b"Records: 1  Duplicates: %d  Warnings: %d" % (duplicate, outcome.warnings)


def add_up(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of a write that several shards did a part of."""
    total = Outcome()
    for outcome in outcomes:
        total.affected += outcome.affected
        total.warnings += outcome.warnings
        total.warning_list += outcome.warning_list
        total.insert_id = total.insert_id or outcome.insert_id
    total.info = add_infos([outcome.info for outcome in outcomes if outcome.info])
    return total


def add_infos(infos: Sequence[bytes]) -> bytes:
    """`Rows matched: 3  Changed: 2  Warnings: 0` of several shards, number by number."""
    if not infos:
        return b""
    numbers = [[int(n) for n in _NUMBER.findall(info)] for info in infos]
    sums = iter([sum(column) for column in zip(*numbers, strict=False)])
    return _NUMBER.sub(lambda match: b"%d" % next(sums, 0), infos[0])
