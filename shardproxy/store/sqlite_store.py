"""The topology in a SQLite file, for any number of processes on one machine.

Leases count by the machine's monotonic clock, which all its processes share and nobody can set; those of an earlier boot are over.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shardproxy.store.records import Acknowledgement, StoredTopology, decode, encode
from shardproxy.store.store import StoreUnavailable

# Between two looks at whether the file has changed: asking costs some microseconds, and a move's pause is made of such waits.
_POLL_S = 0.01
_BUSY_S = 5.0
_TABLES = (
    "CREATE TABLE IF NOT EXISTS topology (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER, maps TEXT)",
    "CREATE TABLE IF NOT EXISTS history (epoch INTEGER PRIMARY KEY, at REAL, maps TEXT)",
    "CREATE TABLE IF NOT EXISTS primaries (shard TEXT PRIMARY KEY, server TEXT, term INTEGER)",
    "CREATE TABLE IF NOT EXISTS tokens (name TEXT PRIMARY KEY, holder TEXT, token INTEGER, boot TEXT, expires REAL)",
    "CREATE TABLE IF NOT EXISTS proxies (proxy TEXT PRIMARY KEY, epoch INTEGER, boot TEXT, expires REAL)",
    "CREATE TABLE IF NOT EXISTS progress (move TEXT PRIMARY KEY, progress TEXT)",
    "CREATE TABLE IF NOT EXISTS journal (move INTEGER, at REAL, event TEXT)",
)
# Epochs kept for whoever wants to know how the topology came about.
_HISTORY = 1000


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class SQLiteStore:
    """The document is one row, replaced by compare-and-set on its epoch; see `store.Store` for the rest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.label = str(path)
        self._boot = _boot()
        self._changes = 0
        # Which file was opened.
        self._file = 0
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._closes = 0

    @contextmanager
    def _open(self, closes: int | None = None) -> Iterator[sqlite3.Connection]:
        """The database, opened if it is not. `closes`: not where it was closed since it had been so often."""
        with self._lock:
            if closes not in (None, self._closes):
                raise StoreUnavailable(self.label, "it was closed meanwhile")
            try:
                self._check_file()
                if self._connection is None:
                    self._connection = self._connect()
                    self._file = self.path.stat().st_ino
                yield self._connection
            except sqlite3.Error as error:
                self._drop()
                raise StoreUnavailable(self.label, error) from error

    def _check_file(self) -> None:
        """A file that was moved away would go on to be written where nobody looks; and a new one in its place would be empty."""
        if self._file == 0:
            return
        try:
            same = self.path.stat().st_ino == self._file
        except OSError as error:
            self._drop()
            raise StoreUnavailable(self.label, "the file is gone") from error
        if not same:
            self._drop()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._begin_log(connection)
            connection.execute("PRAGMA synchronous = FULL")
            for statement in _TABLES:
                connection.execute(statement)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _begin_log(self, connection: sqlite3.Connection) -> None:
        """Changing the mode of a new file needs it alone, and does not wait for that by itself."""
        until = time.monotonic() + _BUSY_S
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(_POLL_S)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Close the file; whoever waits for a change is told so."""
        with self._lock:
            self._closes += 1
            self._drop()

    def load(self) -> StoredTopology | None:
        """The newest document, or None where the store is empty."""
        with self._open() as db:
            row = db.execute("SELECT epoch, maps FROM topology").fetchone()
        return decode(row[0], row[1]) if row else None

    def compare_and_set(self, expected_epoch: int, topology: StoredTopology) -> bool:
        """Replace the document if the store still is at `expected_epoch` (0: empty); gives whether it was."""
        text = encode(topology)
        with self._open() as db, _transaction(db):
            if expected_epoch == 0:
                cursor = db.execute("INSERT OR IGNORE INTO topology (id, epoch, maps) VALUES (1, ?, ?)", (topology.epoch, text))
            else:
                cursor = db.execute("UPDATE topology SET epoch = ?, maps = ? WHERE epoch = ?", (topology.epoch, text, expected_epoch))
            if cursor.rowcount != 1:
                return False
            self._changes += 1
            db.execute("INSERT OR REPLACE INTO history VALUES (?, ?, ?)", (topology.epoch, time.time(), text))
            db.execute("DELETE FROM history WHERE epoch <= ?", (topology.epoch - _HISTORY,))
            return True

    def wait_beyond(self, epoch: int, timeout_s: float) -> bool:
        """Until the document has another epoch than this one; False where the time was over first."""
        until = time.monotonic() + timeout_s
        # The version tells of other connections' commits only.
        seen: tuple[int, int] | None = None
        closes = self._closes
        # To open it again behind `close` would make files anew that may have been removed.
        while True:
            with self._open(closes) as db:
                version = (db.execute("PRAGMA data_version").fetchone()[0], self._changes)
                if version != seen:
                    seen = version
                    row = db.execute("SELECT epoch FROM topology").fetchone()
                    if (row[0] if row else 0) != epoch:
                        return True
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_S)

    def primaries(self) -> dict[str, tuple[str, int]]:
        """The server that is primary, and the term, of each shard whose primary has changed."""
        with self._open() as db:
            return {shard: (server, term) for shard, server, term in db.execute("SELECT shard, server, term FROM primaries")}

    def set_primary(self, shard: str, server: str, expected_term: int) -> bool:
        """Record a shard's primary if its term still is the expected one (0: never recorded); gives whether it was."""
        with self._open() as db:
            if expected_term == 0:
                cursor = db.execute("INSERT OR IGNORE INTO primaries VALUES (?, ?, 1)", (shard, server))
            else:
                cursor = db.execute(
                    "UPDATE primaries SET server = ?, term = term + 1 WHERE shard = ? AND term = ?", (server, shard, expected_term)
                )
            return cursor.rowcount == 1

    def take_lease(self, name: str, holder: str, seconds: float) -> int:
        """Take or renew a lease; gives its token, which rises from holder to holder, or 0 while somebody else holds it."""
        with self._open() as db, _transaction(db):
            now = time.monotonic()
            row = db.execute("SELECT holder, token, boot, expires FROM tokens WHERE name = ?", (name,)).fetchone()
            known, token, boot, expires = row or ("", 0, "", 0.0)
            if known not in ("", holder) and boot == self._boot and expires > now:
                return 0
            if known != holder:
                token += 1
            db.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?)", (name, holder, token, self._boot, now + seconds))
            return int(token)

    def drop_lease(self, name: str, holder: str) -> None:
        """Give a lease up; its token stays known."""
        with self._open() as db:
            db.execute("UPDATE tokens SET holder = '' WHERE name = ? AND holder = ?", (name, holder))

    def acknowledge(self, proxy: str, epoch: int, seconds: float) -> None:
        """A proxy lives, for so many seconds at least, and has carried out everything up to an epoch."""
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO proxies VALUES (?, ?, ?, ?)", (proxy, epoch, self._boot, time.monotonic() + seconds))

    def acknowledgements(self) -> list[Acknowledgement]:
        """Of all proxies that have not taken leave."""
        now = time.monotonic()
        with self._open() as db:
            rows = db.execute("SELECT proxy, epoch, boot, expires FROM proxies ORDER BY proxy").fetchall()
        return [Acknowledgement(proxy, epoch, boot == self._boot and expires > now) for proxy, epoch, boot, expires in rows]

    def leave(self, proxy: str) -> None:
        """A proxy takes leave: nobody waits for it any more."""
        with self._open() as db:
            db.execute("DELETE FROM proxies WHERE proxy = ?", (proxy,))
            db.execute("DELETE FROM progress WHERE move = ?", (f"report/{proxy}",))

    def progress(self, move: int | str) -> dict[str, Any]:
        """What was saved of a move's progress."""
        with self._open() as db:
            row = db.execute("SELECT progress FROM progress WHERE move = ?", (str(move),)).fetchone()
        found = json.loads(row[0]) if row else {}
        return found if isinstance(found, dict) else {}

    def save_progress(self, move: int | str, progress: dict[str, Any]) -> None:
        """Keep a move's progress."""
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (str(move), json.dumps(progress)))

    def note(self, move: int, event: str) -> None:
        """Append to the journal of a move."""
        with self._open() as db:
            db.execute("INSERT INTO journal VALUES (?, ?, ?)", (move, time.time(), event))

    def journal(self, move: int) -> list[tuple[float, str]]:
        """A move's journal: the time, in seconds since 1970, and the event."""
        with self._open() as db:
            return [(at, event) for at, event in db.execute("SELECT at, event FROM journal WHERE move = ? ORDER BY rowid", (move,))]


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
