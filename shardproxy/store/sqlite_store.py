"""The topology in a SQLite file, for any number of processes on one machine."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shardproxy.errors import ConfigError
from shardproxy.topology.topology import RangeMap


@dataclass(frozen=True, slots=True)
class StoredMaps:
    """What the store holds: the members and who owns which partition, as of an epoch."""

    epoch: int
    shards: tuple[str, ...]
    hash_maps: dict[str, tuple[str, ...]]
    range_maps: dict[str, RangeMap]


_TABLES = (
    "CREATE TABLE IF NOT EXISTS topology (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER, maps TEXT)",
    "CREATE TABLE IF NOT EXISTS primaries (shard TEXT PRIMARY KEY, server TEXT, term INTEGER)",
    "CREATE TABLE IF NOT EXISTS leases (name TEXT PRIMARY KEY, holder TEXT, expires REAL)",
)


class SQLiteStore:
    """The maps are one row, replaced by compare-and-set on its epoch. Beside it: each shard's primary, where that is not the file's
    any more, with a term that counts the changes; and leases, which end by themselves."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as db:
                for statement in _TABLES:
                    db.execute(statement)
                yield db
        except sqlite3.Error as error:
            raise ConfigError(str(self.path), [f"the store cannot be used: {error}"]) from error

    def load(self) -> StoredMaps | None:
        """The newest maps, or None where the store is empty."""
        with self._open() as db:
            row = db.execute("SELECT epoch, maps FROM topology").fetchone()
        return _decode(row[0], row[1]) if row else None

    def compare_and_set(self, expected_epoch: int, maps: StoredMaps) -> bool:
        """Replace the maps if the store still is at `expected_epoch` (0: empty); gives whether it was."""
        text = _encode(maps)
        with self._open() as db:
            if expected_epoch == 0:
                cursor = db.execute("INSERT OR IGNORE INTO topology (id, epoch, maps) VALUES (1, ?, ?)", (maps.epoch, text))
            else:
                cursor = db.execute("UPDATE topology SET epoch = ?, maps = ? WHERE epoch = ?", (maps.epoch, text, expected_epoch))
            return cursor.rowcount == 1

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

    def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease; gives False while somebody else holds it."""
        now = time.time()
        with self._open() as db:
            cursor = db.execute(
                "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires = excluded.expires"
                " WHERE leases.holder = excluded.holder OR leases.expires < ?",
                (name, holder, now + seconds, now),
            )
            return cursor.rowcount == 1

    def drop_lease(self, name: str, holder: str) -> None:
        """Give a lease up."""
        with self._open() as db:
            db.execute("DELETE FROM leases WHERE name = ? AND holder = ?", (name, holder))


def _encode(maps: StoredMaps) -> str:
    ranges = {
        group: {"bounds": [_tag(b) for b in m.bounds], "owners": m.owners, "start": _tag(m.start), "end": _tag(m.end)}
        for group, m in maps.range_maps.items()
    }
    return json.dumps({"shards": maps.shards, "hash": maps.hash_maps, "range": ranges})


def _decode(epoch: int, text: str) -> StoredMaps:
    raw = json.loads(text)
    ranges = {
        group: RangeMap(tuple(_untag(b) for b in m["bounds"]), tuple(m["owners"]), _untag(m["start"]), _untag(m["end"]))
        for group, m in raw["range"].items()
    }
    return StoredMaps(epoch, tuple(raw["shards"]), {group: tuple(owners) for group, owners in raw["hash"].items()}, ranges)


def _tag(value: object) -> object:
    """TOML's dates have no form in JSON."""
    if isinstance(value, dt.datetime):
        return {"datetime": value.isoformat()}
    return {"date": value.isoformat()} if isinstance(value, dt.date) else value


def _untag(value: object) -> object:
    if isinstance(value, dict):
        return dt.datetime.fromisoformat(value["datetime"]) if "datetime" in value else dt.date.fromisoformat(value["date"])
    return value
