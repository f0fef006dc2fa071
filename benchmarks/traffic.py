"""Clients that read and write rows of the table that moves, at a given pace, and remember when each statement was due and answered."""

import bisect
import contextlib
import itertools
import math
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pymysql
from pymysql.connections import Connection

from benchmarks.client import connect, fetch
from benchmarks.endpoint import Endpoint
from benchmarks.move_lab import TABLE

READ, WRITE, TRANSACTION = "read", "write", "transaction"
AGAIN = (1205, 1213)  # what clients of any MySQL server have to try again


@dataclass(slots=True)
class Client:
    """One client and what it was told. Times are in seconds since 1970; what had to be tried again is answered when it has succeeded."""

    kind: str
    endpoint: Endpoint
    keys: Iterator[int]
    due: "array[float]" = field(default_factory=lambda: array("d"))
    answered: "array[float]" = field(default_factory=lambda: array("d"))
    errors: list[tuple[float, int, str]] = field(default_factory=list)

    def longest_gap(self, first: float, last: float) -> float:
        """The longest time without an answer, out of those that reach into the given time."""
        begin = max(0, bisect.bisect_left(self.answered, first) - 1)
        end = bisect.bisect_right(self.answered, last) + 1
        told = self.answered[begin:end]
        return max((after - before for before, after in itertools.pairwise(told)), default=0.0)

    def waits(self, first: float, last: float) -> list[float]:
        """From when a statement was due until it was answered, for those that were due in the given time."""
        begin, end = bisect.bisect_left(self.due, first), bisect.bisect_right(self.due, last)
        return [answered - due for due, answered in zip(self.due[begin:end], self.answered[begin:end], strict=False)]


class Traffic:
    """The clients at work inside a `with` block; `pace` says how much each client of a kind does per second.

    A client that had to wait sends what was due meanwhile at once, as if others had come: waits count from when something was due. With
    no pace they send without pause.
    """

    def __init__(self, clients: Sequence[Client], pace: Mapping[str, float] | None = None) -> None:
        self.clients = clients
        self._due = sum(pace[client.kind] for client in clients) if pace else 0.0
        self._ended = threading.Event()
        intervals = [1 / pace[client.kind] if pace else 0.0 for client in clients]
        self._threads = [
            threading.Thread(target=self._work, args=(client, interval_s, number / len(clients)), daemon=True)
            for number, (client, interval_s) in enumerate(zip(clients, intervals, strict=True))
        ]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def of(self, *kinds: str) -> list[Client]:
        """The clients of some kinds."""
        return [client for client in self.clients if client.kind in kinds]

    def waits(self, first: float, last: float, *kinds: str) -> list[float]:
        """See `Client.waits`."""
        return [wait for client in self.of(*kinds) for wait in client.waits(first, last)]

    def done_of_due(self, first: float, last: float) -> float:
        """What part of what was due in the given time was done in it; only with a pace."""
        done = sum(first <= moment <= last for client in self.clients for moment in client.answered)
        return done / self._due / (last - first)

    @property
    def errors(self) -> list[tuple[float, int, str]]:
        """Moment, number and text of each error."""
        return sorted(error for client in self.clients for error in client.errors)

    def _work(self, client: Client, interval_s: float, phase: float) -> None:
        connection = connect(client.endpoint)
        act = _ACTS[client.kind]
        due = time.time() + phase * interval_s
        while not self._ended.is_set():
            time.sleep(max(0.0, due - time.time()))
            key = next(client.keys)
            while not _done(client, connection, act, key):
                if self._ended.is_set():
                    return
                if not connection.open:
                    connection = connect(client.endpoint)
            client.due.append(due)
            client.answered.append(time.time())
            due = due + interval_s if interval_s else time.time()
        connection.close()


def pace_of(clients: Sequence[Client], load: float, seconds: float) -> dict[str, float]:
    """That part of what a client of each kind gets done per second while none pauses."""
    with Traffic(clients) as traffic:
        time.sleep(seconds)
    kinds = {client.kind: traffic.of(client.kind) for client in clients}
    return {kind: load * sum(len(client.answered) for client in found) / len(found) / seconds for kind, found in kinds.items()}


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many per cent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan


def _done(client: Client, connection: "Connection[Any]", act: Callable[["Connection[Any]", int], None], key: int) -> bool:
    try:
        act(connection, key)
    except pymysql.Error as error:
        client.errors.append((time.time(), int(error.args[0]), str(error.args[-1])))
        if connection.open:
            with contextlib.suppress(pymysql.Error):
                fetch(connection, "ROLLBACK")
        if error.args[0] not in AGAIN:
            connection.close()
        return False
    return True


def _read(connection: "Connection[Any]", key: int) -> None:
    fetch(connection, f"SELECT k, note FROM {TABLE} WHERE id = {key}")


def _write(connection: "Connection[Any]", key: int) -> None:
    fetch(connection, f"UPDATE {TABLE} SET k = k + 1 WHERE id = {key}")


def _transact(connection: "Connection[Any]", key: int) -> None:
    fetch(connection, "BEGIN")
    _write(connection, key)
    _read(connection, key)
    fetch(connection, "COMMIT")


_ACTS = {READ: _read, WRITE: _write, TRANSACTION: _transact}
