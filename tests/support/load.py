"""Clients that write and read all the time and remember what came of it: what they notice of a failure."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import count, pairwise
from typing import Any, NamedTuple, Self

import pymysql

from tests.support.proxy import ProxyProcess

# Nothing is unique but what the server counts, so a write that is done twice shows.
TABLE = "numbered"
COLUMNS = "row_id BIGINT AUTO_INCREMENT PRIMARY KEY, writer INT NOT NULL, number INT NOT NULL, KEY (writer, number)"
# What a statement fails with that has not been carried out, and never will be.
REFUSED = ("SP1401", "SP1402", "SP1406", "SP1408", "SP1409", "SP1504", "1290")
_PAUSE_S = 0.004
# Statements of one session: the next one may come to another server.
_SESSION = 40
_LOST_ERRNOS = (0, 2006, 2013)


class Event(NamedTuple):
    """One statement of a client: what it was for, when it began and ended (`time.time`), and its error, "" for none."""

    kind: str
    begun: float
    ended: float
    error: str = ""


class Load:
    """Writers that number their inserts, and readers, each with a connection of its own. Use it as a context manager.

    A writer tries no number twice, and now and then looks for what it has just written ("own read"). A reader looks whether
    time goes backwards. Each logs in anew now and then, and when its connection is lost.
    """

    def __init__(self, proxy: ProxyProcess, *, writers: int = 2, readers: int = 4) -> None:
        self._proxy = proxy
        self.events: list[Event] = []
        # Each write by its writer and its number.
        self.acknowledged: set[tuple[int, int]] = set()
        self.refused: set[tuple[int, int]] = set()
        self.wrong: list[str] = []
        self._stopping = threading.Event()
        clients = [(f"writer-{i}", self._write, (i,)) for i in range(writers)] + [(f"reader-{i}", self._read, ()) for i in range(readers)]
        self._threads = [threading.Thread(target=run, args=args, name=name, daemon=True) for name, run, args in clients]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every client end its statement."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), f"{thread.name} hangs"

    # -- what came of it

    def of(self, *kinds: str, since: float = 0.0) -> list[Event]:
        """The statements of some kinds that began since."""
        return [event for event in list(self.events) if event.kind in kinds and event.begun >= since]

    def errors(self, *kinds: str, since: float = 0.0) -> Counter[str]:
        """Their errors, by what they say."""
        return Counter(event.error for event in self.of(*kinds, since=since) if event.error)

    def slowest_s(self, *kinds: str, since: float = 0.0) -> float:
        """The longest that one of them took."""
        return max((event.ended - event.begun for event in self.of(*kinds, since=since)), default=0.0)

    def written_after(self, moment: float) -> float:
        """When the first write was acknowledged that came after a moment; infinite where none has been."""
        return min((event.ended for event in self.of("write") if not event.error and event.ended > moment), default=float("inf"))

    def gap_ms(self, since: float) -> float:
        """The longest time between two acknowledged writes of which the later one came since."""
        times = sorted(event.ended for event in self.of("write") if not event.error)
        return 1000 * max(later - earlier for earlier, later in pairwise(times) if later >= since)

    def check(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Compare with the (writer, number) that the primary has: nothing acknowledged is missing, nothing is there twice, and
        nothing that clients were told had not been done. And nobody has seen anything that cannot be."""
        found = Counter((writer, number) for writer, number in rows)
        assert not sorted(self.acknowledged - set(found)), "acknowledged writes are lost"
        assert not {key: times for key, times in found.items() if times > 1}, "writes were done twice"
        assert not sorted(self.refused & set(found)), "writes were done that clients were told had not been"
        assert not self.wrong

    # -- the clients

    def _sessions(self, statements: Callable[[Any], bool]) -> None:
        """Call `statements` with a cursor again and again, and with that of a new session where it gives False."""
        while not self._stopping.is_set():
            begun = time.time()
            try:
                with self._proxy.connect() as connection, connection.cursor() as cursor:
                    for _ in range(_SESSION):
                        if self._stopping.is_set() or not statements(cursor):
                            break
                        time.sleep(_PAUSE_S)
            except (pymysql.err.Error, OSError) as error:
                self._note("login", begun, error)
                time.sleep(0.05)

    def _write(self, writer: int) -> None:
        numbers = count(1)

        def statements(cursor: Any) -> bool:
            number = next(numbers)
            begun = time.time()
            try:
                cursor.execute(f"INSERT INTO {TABLE} (writer, number) VALUES ({writer}, {number})")
            except (pymysql.err.Error, OSError) as error:
                if self._note("write", begun, error).startswith(REFUSED):
                    self.refused.add((writer, number))
                return _goes_on(error)
            self.acknowledged.add((writer, number))
            self._note("write", begun)
            mine = f"SELECT COUNT(*) FROM {TABLE} WHERE writer = {writer} AND number = {number}"
            return number % 5 != 0 or self._look(cursor, "own read", mine, 1) >= 0

        self._sessions(statements)

    def _read(self) -> None:
        # The newest row seen, and the session that has seen it.
        newest, owner = 0, None

        def statements(cursor: Any) -> bool:
            nonlocal newest, owner
            if owner is not cursor:
                newest, owner = 0, cursor
            found = self._look(cursor, "read", f"SELECT COALESCE(MAX(row_id), 0) FROM {TABLE}", newest)
            newest = max(newest, found)
            return found >= 0

        self._sessions(statements)

    def _look(self, cursor: Any, kind: str, sql: str, least: int) -> int:
        """The one number that a SELECT gives, which shall not be less than `least`; -1 where the connection was lost."""
        begun = time.time()
        try:
            cursor.execute(sql)
            [(found,)] = cursor.fetchall()
        except (pymysql.err.Error, OSError) as error:
            self._note(kind, begun, error)
            return 0 if _goes_on(error) else -1
        self._note(kind, begun)
        if found < least:
            self.wrong.append(f"{sql} gave {found} and not {least} or more at {time.time():.3f}")
        return int(found)

    def _note(self, kind: str, begun: float, error: BaseException | None = None) -> str:
        said = "" if error is None else _said(error)
        self.events.append(Event(kind, begun, time.time(), said))
        return said


def _said(error: BaseException) -> str:
    """The id that the proxy gave, else all that there is."""
    errno, text = (*error.args, "", "")[:2]
    return str(text).split(":")[0] if str(text).startswith("SP") else f"{errno} {text}"


def _goes_on(error: BaseException) -> bool:
    """Whether the client keeps its connection: drivers and pools give it up on these errors."""
    return isinstance(error, pymysql.err.Error) and error.args[0] not in _LOST_ERRNOS
