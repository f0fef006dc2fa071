"""The topology in an etcd, for proxies on any number of machines.

Below the prefix of the URL lie `topology` (the document) and `epoch` (the number that decides compare-and-set, and is watched),
`history/`, `primary/`, `proxy/` and `alive/`, `lease/` and `held/`, `progress/` and `journal/`. What ends by itself is bound to a
lease of etcd's; how long that lasts is for etcd to count, so no clock of this machine matters.

An answer may be lost, so that what was asked has happened and is asked again. Each change is one transaction that compares what was
there before. Where the second one then finds its own work, which it knows by a number drawn for it, it has succeeded.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shardproxy.store.etcd_address import EtcdAddress
from shardproxy.store.etcd_client import Away, Entry, EtcdClient
from shardproxy.store.etcd_http import EtcdError, Refused
from shardproxy.store.records import Acknowledgement, StoredTopology, decode, encode
from shardproxy.store.store import StoreUnavailable

# A whole call, whatever it takes; and how much longer than it was asked to a wait may take.
_CALL_S = 4.0
_OVERTIME_S = 0.8
# A watch whose server hangs, or has lost the others, is silent: this often the document is asked for all the same.
_WATCH_S = 3.0
# After a watch that has broken, so that one which always does is no busy loop.
_PAUSE_S = 0.02
# Epochs kept for whoever wants to know how the topology came about.
_HISTORY = 1000
# By which a change knows its own work.
_MARK = "write"


@dataclass(slots=True)
class _Sign:
    """A proxy's sign of life as this process has last written it. `revision` is that of its key; `seconds` what it asked for."""

    lease: int
    seconds: int
    epoch: int
    revision: int


class EtcdStore:
    """See `store.Store`. Nothing is sent before the first call. Raises `ConfigError` for a URL that is none."""

    def __init__(self, url: str, directory: Path = Path()) -> None:
        """Paths of certificates are relative to `directory`."""
        address = EtcdAddress.parse(url, directory)
        self.label = address.label
        self._etcd = EtcdClient(address)
        self._signs: dict[str, _Sign] = {}
        self._noted_ns = 0
        self._noting = threading.Lock()
        self._telling = threading.Lock()

    def close(self) -> None:
        """Close the connections, which ends waits; leases go on until their time is over."""
        self._etcd.close()

    @contextmanager
    def _call(self, until: float = math.inf) -> Iterator[float]:
        """Gives the time by which a call is over."""
        try:
            yield min(until, time.monotonic() + _CALL_S)
        except EtcdError as error:
            raise StoreUnavailable(self.label, error) from error
        except (KeyError, TypeError, ValueError) as error:
            raise StoreUnavailable(self.label, f"somebody else has written there: {error!r}") from error

    # -- the document

    def load(self) -> StoredTopology | None:
        """The newest document, or None where the store is empty."""
        with self._call() as until:
            entry = self._etcd.read(until, self._etcd.get("topology")).first(0)
            if entry is None:
                return None
            raw = json.loads(entry.value)
            return decode(raw["epoch"], json.dumps(raw["document"]))

    def compare_and_set(self, expected_epoch: int, topology: StoredTopology) -> bool:
        """Replace the document if the store still is at `expected_epoch` (0: empty); gives whether it was."""
        etcd, mark, kept = self._etcd, secrets.token_hex(8), _history(topology.epoch)
        head = f'"epoch": {topology.epoch}, "at": {time.time():.3f}, "{_MARK}": "{mark}"'
        value = f'{{{head}, "document": {encode(topology)}}}'
        changes = [etcd.put("epoch", str(topology.epoch)), etcd.put("topology", value), etcd.put(kept, value)]
        if topology.epoch > _HISTORY:
            changes.append(etcd.delete(_history(0), _history(topology.epoch - _HISTORY + 1)))
        before = etcd.equals("epoch", str(expected_epoch)) if expected_epoch else etcd.unchanged("epoch", None)
        with self._call() as until:
            try:
                outcome = etcd.transact(until, [before], changes, [etcd.get(kept)])
            except Away as error:
                if not error.lost:
                    raise
                # It may have been carried out, or be under way still; only one of the two can find the epoch that it expects.
                outcome = etcd.transact(until, [before], changes, [etcd.get(kept)])
            # Where others have gone on from it already, the document is not ours any more, but the history tells.
            return outcome.succeeded or _mark(outcome.first(0)) == mark

    def wait_beyond(self, epoch: int, timeout_s: float) -> bool:
        """Until the document has another epoch than this one; False where the time was over first, or the store was closed."""
        end = time.monotonic() + timeout_s
        closings = self._etcd.closings
        while True:
            with self._call(end + _OVERTIME_S) as until:
                outcome = self._etcd.read(until, self._etcd.get("epoch"))
            if _number(outcome.first(0)) != epoch:
                return True
            revision = outcome.revision
            until = min(end, time.monotonic() + _WATCH_S)
            try:
                while (entry := self._etcd.changed(until, "epoch", revision + 1)) is not None:
                    if _number(entry) != epoch:
                        return True
                    revision = entry.revision
            except EtcdError:
                time.sleep(_PAUSE_S)
            if time.monotonic() >= end or closings != self._etcd.closings:
                return False

    # -- primaries

    def primaries(self) -> dict[str, tuple[str, int]]:
        """The server that is primary, and the term, of each shard whose primary has changed."""
        with self._call() as until:
            entries = self._etcd.read(until, self._etcd.get_all("primary/")).found[0]
            records = {entry.key.removeprefix("primary/"): json.loads(entry.value) for entry in entries}
            return {shard: (record["server"], record["term"]) for shard, record in records.items()}

    def set_primary(self, shard: str, server: str, expected_term: int) -> bool:
        """Record a shard's primary if its term still is the expected one (0: never recorded); gives whether it was."""

        def next_term(known: Mapping[str, Any]) -> dict[str, Any] | None:
            return {"server": server, "term": expected_term + 1} if known.get("term", 0) == expected_term else None

        return self._change(f"primary/{shard}", next_term)

    def _change(self, key: str, change: Callable[[Mapping[str, Any]], dict[str, Any] | None]) -> bool:
        """Replace a record by what becomes of it; gives whether anything did. A change that is overtaken on its way is not carried
        out: what it was made from is there no more."""
        mark = secrets.token_hex(8)
        with self._call() as until:
            entry = self._etcd.read(until, self._etcd.get(key)).first(0)
            while True:
                known = json.loads(entry.value) if entry else {}
                if known.get(_MARK) == mark:
                    return True
                record = change(known)
                if record is None:
                    return False
                put = self._etcd.put(key, json.dumps({**record, _MARK: mark}))
                outcome = self._etcd.transact(until, [self._etcd.unchanged(key, entry)], [put], [self._etcd.get(key)])
                if outcome.succeeded:
                    return True
                entry = outcome.first(0)

    # -- leases

    def take_lease(self, name: str, holder: str, seconds: float) -> int:
        """Take or renew a lease; gives its token, which rises from holder to holder, or 0 while somebody else holds it."""
        etcd, whole = self._etcd, _whole_seconds(seconds)
        record_key, held_key = f"lease/{name}", f"held/{name}"
        with self._call() as until:
            while True:
                found = etcd.read(until, etcd.get(record_key), etcd.get(held_key))
                record, held = found.first(0), found.first(1)
                known: dict[str, Any] = json.loads(record.value) if record else {"holder": "", "token": 0}
                mine = known["holder"] == holder
                if held and known["holder"] and not mine:
                    return 0
                # etcd renews a lease by the time that it was granted for, so another time needs another lease.
                if held and mine and held.value == str(whole) and self._prolong(until, held):
                    return int(known["token"])
                token = int(known["token"]) + (not mine)
                changes = [] if mine else [etcd.put(record_key, json.dumps({"holder": holder, "token": token}))]
                same = [etcd.unchanged(record_key, record), etcd.unchanged(held_key, held)]
                if self._bind(until, whole, same, changes, held_key, str(whole)):
                    return token

    def _prolong(self, until: float, held: Entry) -> bool:
        """Renew the lease that a key is bound to, if the key is there still. That is asked afterwards, and of most members: one that only
        takes itself for their leader would renew what has ended."""
        if not self._etcd.keep_alive(until, held.lease):
            return False
        return self._etcd.transact(until, [self._etcd.bound(held.key, held.lease)], [self._etcd.get(held.key)]).succeeded

    def _bind(
        self, until: float, seconds: int, same: list[dict[str, Any]], changes: list[dict[str, Any]], key: str, value: str
    ) -> tuple[int, int] | None:
        """Make changes, and bind a key to a new lease, where nothing else has changed; gives the lease and the revision."""
        lease = self._etcd.grant(until, seconds)
        try:
            outcome = self._etcd.transact(until, same, [*changes, self._etcd.put(key, value, lease)])
        except Refused as error:
            if not error.lease_is_gone:
                raise
            return None
        return (lease, outcome.revision) if outcome.succeeded else None

    def drop_lease(self, name: str, holder: str) -> None:
        """Give a lease up; its token stays known."""
        etcd, key = self._etcd, f"lease/{name}"
        with self._call() as until:
            record = etcd.read(until, etcd.get(key)).first(0)
            while record is not None:
                known = json.loads(record.value)
                if known["holder"] != holder:
                    return
                changes = [etcd.put(key, json.dumps({**known, "holder": ""})), etcd.delete(f"held/{name}")]
                outcome = etcd.transact(until, [etcd.unchanged(key, record)], changes, [etcd.get(key)])
                if outcome.succeeded:
                    return
                record = outcome.first(0)

    # -- proxies

    def acknowledge(self, proxy: str, epoch: int, seconds: float) -> None:
        """A proxy lives, for so many seconds at least, and has carried out everything up to an epoch."""
        whole = _whole_seconds(seconds)
        # One after the other: two at once would each take the other's for somebody else's, and one under way would outlive `leave`.
        with self._telling, self._call() as until:
            sign = self._signs.get(proxy)
            if sign is None or sign.seconds != whole or not self._renew(until, proxy, epoch, sign):
                self._signs[proxy] = self._appear(until, proxy, epoch, whole)

    def _renew(self, until: float, proxy: str, epoch: int, sign: _Sign) -> bool:
        """Two short questions, and something to write only where the epoch is new; False where the sign is not as it was left."""
        if not self._etcd.keep_alive(until, sign.lease):
            return False
        key = f"proxy/{proxy}"
        entry = Entry(key, "", sign.revision, 0)
        as_left = [self._etcd.unchanged(key, entry), self._etcd.bound(f"alive/{proxy}", sign.lease)]
        # Without any operation, a member that lags would answer from what it has.
        action = self._etcd.get(key) if epoch == sign.epoch else self._etcd.put(key, str(epoch))
        outcome = self._etcd.transact(until, as_left, [action])
        if outcome.succeeded and epoch != sign.epoch:
            sign.epoch, sign.revision = epoch, outcome.revision
        return outcome.succeeded

    def _appear(self, until: float, proxy: str, epoch: int, seconds: int) -> _Sign:
        etcd, key, alive = self._etcd, f"proxy/{proxy}", f"alive/{proxy}"
        while True:
            found = etcd.read(until, etcd.get(key), etcd.get(alive))
            same = [etcd.unchanged(key, found.first(0)), etcd.unchanged(alive, found.first(1))]
            bound = self._bind(until, seconds, same, [etcd.put(key, str(epoch))], alive, "")
            if bound is not None:
                return _Sign(bound[0], seconds, epoch, bound[1])

    def acknowledgements(self) -> list[Acknowledgement]:
        """Of all proxies that have not taken leave."""
        with self._call() as until:
            found = self._etcd.read(until, self._etcd.get_all("proxy/"), self._etcd.get_all("alive/"))
            proxies, signs = found.found
            alive = {entry.key.removeprefix("alive/") for entry in signs}
            named = [(entry.key.removeprefix("proxy/"), entry) for entry in proxies]
            return [Acknowledgement(name, _number(entry), name in alive) for name, entry in named]

    def leave(self, proxy: str) -> None:
        """A proxy takes leave: nobody waits for it any more."""
        etcd, key = self._etcd, f"proxy/{proxy}"
        with self._telling, self._call() as until:
            self._signs.pop(proxy, None)
            changes = [etcd.delete(key), etcd.delete(f"alive/{proxy}"), etcd.delete(f"progress/report/{proxy}")]
            while True:
                entry = etcd.read(until, etcd.get(key)).first(0)
                if etcd.transact(until, [etcd.unchanged(key, entry)], changes).succeeded:
                    return

    # -- moves

    def progress(self, move: int | str) -> dict[str, Any]:
        """What was saved of a move's progress."""
        with self._call() as until:
            entry = self._etcd.read(until, self._etcd.get(f"progress/{move}")).first(0)
            found = json.loads(entry.value)["progress"] if entry else {}
            return found if isinstance(found, dict) else {}

    def save_progress(self, move: int | str, progress: dict[str, Any]) -> None:
        """Keep a move's progress."""
        plain = json.loads(json.dumps(progress))  # what JSON cannot hold is the caller's fault, and shall look like it
        self._change(f"progress/{move}", lambda _: {"progress": plain})

    def note(self, move: int, event: str) -> None:
        """Append to the journal of a move."""
        etcd = self._etcd
        with self._call() as until:
            while True:
                with self._noting:
                    self._noted_ns = max(time.time_ns(), self._noted_ns + 1)
                    key = f"journal/{move}/{self._noted_ns:020}"
                outcome = etcd.transact(until, [etcd.unchanged(key, None)], [etcd.put(key, event)], [etcd.get(key)])
                entry = None if outcome.succeeded else outcome.first(0)
                if entry is None or entry.value == event:
                    return

    def journal(self, move: int) -> list[tuple[float, str]]:
        """A move's journal: the time, in seconds since 1970, and the event."""
        with self._call() as until:
            # By the order in which they were written, as the clocks of two machines differ.
            entries = self._etcd.by_creation(until, f"journal/{move}/")
            return [(int(entry.key.rpartition("/")[2]) / 1e9, entry.value) for entry in entries]


def _history(epoch: int) -> str:
    return f"history/{epoch:020}"


def _whole_seconds(seconds: float) -> int:
    return max(1, math.ceil(seconds))


def _number(entry: Entry | None) -> int:
    return int(entry.value or 0) if entry else 0


def _mark(entry: Entry | None) -> str:
    return str(json.loads(entry.value).get(_MARK)) if entry else ""
