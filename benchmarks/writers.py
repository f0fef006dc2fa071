"""Clients that write without pause through a change of primaries, and remember what they were told."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

import pymysql
from pymysql.constants.CR import CR_SERVER_GONE_ERROR, CR_SERVER_LOST

from benchmarks.client import connect
from benchmarks.endpoint import Endpoint

TABLE = "acks"
# The server that takes a row marks it as its own; replicas get the mark with the row.
CREATE = f"CREATE TABLE {TABLE} (run INT, writer INT, seq INT, server INT DEFAULT (@@server_id), PRIMARY KEY (run, writer, seq))"
_WRITERS = 4
_LOST = (CR_SERVER_GONE_ERROR, CR_SERVER_LOST)


@dataclass(slots=True)
class Told:
    """What one client was told: the moment of each acknowledged row, by its key, and the errors."""

    acks: dict[tuple[int, int], float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class Writers:
    """Inserts rows from several clients inside a `with` block, whose `run` is theirs alone."""

    def __init__(self, endpoint: Endpoint, run: int) -> None:
        self._endpoint = endpoint
        self._run = run
        self._ended = threading.Event()
        self._told = [Told() for _ in range(_WRITERS)]
        self._threads = [threading.Thread(target=self._write, args=(writer,), daemon=True) for writer in range(_WRITERS)]

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    @property
    def acks(self) -> dict[tuple[int, int], float]:
        """The moment (`perf_counter`) of each acknowledged row, by writer and number."""
        return {key: moment for told in self._told for key, moment in told.acks.copy().items()}

    @property
    def errors(self) -> Sequence[str]:
        """What clients were told instead."""
        return [error for told in self._told for error in told.errors]

    def acked_since(self, moment: float) -> bool:
        """Whether a row was acknowledged after that moment."""
        return any(acked > moment for told in self._told for acked in list(told.acks.values())[-1:])

    def _write(self, writer: int) -> None:
        told, number = self._told[writer], 0
        connection = connect(self._endpoint)
        while not self._ended.is_set():
            number += 1
            try:
                with connection.cursor() as cursor:
                    cursor.execute(f"INSERT INTO {TABLE} (run, writer, seq) VALUES ({self._run}, {writer}, {number})")
                told.acks[writer, number] = time.perf_counter()
            except pymysql.Error as error:
                told.errors.append(str(error))
                if error.args[0] in _LOST:  # what clients' pools do
                    connection.close()
                    connection = connect(self._endpoint)
        connection.close()
