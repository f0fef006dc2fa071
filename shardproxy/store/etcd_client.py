"""etcd v3 by the JSON form of its interface: one POST per call, keys and values in base64, a watch as an answer that does not end.

Every call has an end in time, and may be sent more than once: to another member where one does not answer, and again where a
connection breaks. What is asked must therefore do nothing the second time; transactions see to that by what they compare.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from shardproxy.store.etcd_address import EtcdAddress
from shardproxy.store.etcd_http import Endpoint, EtcdError, Refused, Unreached

# After a round in which a member said that it cannot answer just now, as between two leaders, or has cut the connection.
_PAUSE_S = 0.1


class Away(EtcdError):
    """No member has answered in time. `lost`: one may have got the question all the same."""

    def __init__(self, message: str, *, lost: bool = False) -> None:
        super().__init__(message)
        self.lost = lost


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and what it holds. `revision`: the store's when it was last written; `lease`: 0 where it is bound to none."""

    key: str
    value: str
    revision: int
    lease: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a transaction: whether the comparisons held, the store's revision, and what each operation of the branch taken has found."""

    succeeded: bool
    revision: int
    found: tuple[tuple[Entry, ...], ...]

    def first(self, operation: int) -> Entry | None:
        """The entry that an operation has found, of at most one."""
        entries = self.found[operation]
        return entries[0] if entries else None


class EtcdClient:
    """Keys are given without the prefix. `until` is the end of a call by time.monotonic(). Raises `EtcdError`; for all threads."""

    def __init__(self, address: EtcdAddress) -> None:
        self._prefix = address.prefix + "/"
        self._user = {"name": address.user, "password": address.password} if address.user else None
        self._endpoints = [Endpoint(host, port, address.tls) for host, port in address.endpoints]
        self._preferred = 0
        self._token = ""
        self._login = threading.Lock()
        self.closings = 0

    def close(self) -> None:
        """Close all connections; waits that are under way end. It may be used again."""
        self.closings += 1
        for endpoint in self._endpoints:
            endpoint.close()

    # -- operations, and what they depend on

    def get(self, key: str) -> dict[str, Any]:
        """Find one key."""
        return {"request_range": {"key": self._coded(key)}}

    def get_all(self, folder: str) -> dict[str, Any]:
        """Find all keys of a folder (`name/`), by name."""
        return {"request_range": {"key": self._coded(folder), "range_end": self._coded(_after(folder))}}

    def put(self, key: str, value: str, lease: int = 0) -> dict[str, Any]:
        """Write a key; bound to a lease, it goes when the lease does."""
        return {"request_put": {"key": self._coded(key), "value": _base64(value), "lease": str(lease)}}

    def delete(self, key: str, end: str = "") -> dict[str, Any]:
        """Remove one key, or all from it up to `end`, which stays."""
        return {"request_delete_range": {"key": self._coded(key), **({"range_end": self._coded(end)} if end else {})}}

    def unchanged(self, key: str, entry: Entry | None) -> dict[str, Any]:
        """The key is as it was read, or is still missing."""
        revision = str(entry.revision) if entry else "0"
        return {"key": self._coded(key), "target": "MOD", "result": "EQUAL", "mod_revision": revision}

    def equals(self, key: str, value: str) -> dict[str, Any]:
        """The key holds this."""
        return {"key": self._coded(key), "target": "VALUE", "result": "EQUAL", "value": _base64(value)}

    def bound(self, key: str, lease: int) -> dict[str, Any]:
        """The key is there, and bound to this lease."""
        return {"key": self._coded(key), "target": "LEASE", "result": "EQUAL", "lease": str(lease)}

    # -- calls

    def transact(
        self, until: float, compare: Sequence[dict[str, Any]], then: Sequence[dict[str, Any]], otherwise: Sequence[dict[str, Any]] = ()
    ) -> Outcome:
        """Carry out one branch or the other, all at once."""
        answer = self._ask("/v3/kv/txn", {"compare": compare, "success": then, "failure": otherwise}, until)
        found = tuple(
            tuple(self._entry(kv) for kv in response.get("response_range", {}).get("kvs", ())) for response in answer.get("responses", ())
        )
        return Outcome(answer.get("succeeded", False), _revision(answer), found)

    def read(self, until: float, *operations: dict[str, Any]) -> Outcome:
        """What several `get` and `get_all` find, all as of one moment, and not of one before the call."""
        return self.transact(until, (), operations)

    def by_creation(self, until: float, folder: str) -> list[Entry]:
        """The keys of a folder in the order in which they came into being."""
        order = {"sort_target": "CREATE", "sort_order": "ASCEND"}
        answer = self._ask("/v3/kv/range", {**self.get_all(folder)["request_range"], **order}, until)
        return [self._entry(kv) for kv in answer.get("kvs", ())]

    def grant(self, until: float, seconds: int) -> int:
        """A new lease; etcd makes it last longer if this is less than its least."""
        return int(self._ask("/v3/lease/grant", {"TTL": str(seconds)}, until)["ID"])

    def keep_alive(self, until: float, lease: int) -> bool:
        """Make a lease last its time again from now on; gives whether there still was one."""
        return int(self._ask("/v3/lease/keepalive", {"ID": str(lease)}, until).get("result", {}).get("TTL", 0)) > 0

    def changed(self, until: float, key: str, revision: int) -> Entry | None:
        """Wait for a key to be written or removed at this revision or later; a removed one comes without a value. None where there was
        none in time. Raises `EtcdError` where that cannot be told, as the stream has ended or etcd has forgotten that revision."""
        request = {"key": self._coded(key), "start_revision": str(revision)}
        headers = {**self._authorization(self._token), "Grpc-Metadata-Hasleader": "true"}
        endpoint = self._endpoints[self._preferred]
        try:
            with closing(endpoint.stream("/v3/watch", {"create_request": request}, headers, until)) as lines:
                for line in lines:
                    result = line.get("result", {})
                    if "error" in line or result.get("canceled"):
                        raise Away(f"{endpoint}: the watch has ended: {line.get('error') or result.get('cancel_reason') or 'compacted'}")
                    for event in result.get("events", ()):
                        return self._entry(event["kv"])
        except (Unreached, OSError, HTTPException, ValueError) as error:
            raise Away(f"{endpoint}: {error}") from error
        return None

    def _ask(self, path: str, request: Mapping[str, Any], until: float) -> dict[str, Any]:
        """Ask the members in turn, beginning with the one that answered last."""
        body = json.dumps(request).encode()
        lost = False
        while True:
            faults = []
            soon = False
            for number in range(len(self._endpoints)):
                which = (self._preferred + number) % len(self._endpoints)
                endpoint = self._endpoints[which]
                left = until - time.monotonic()
                if left <= 0:
                    break
                try:
                    # Of a short call, a member that hangs may take its share only.
                    answer = self._with_token(endpoint, path, body, time.monotonic() + left / (len(self._endpoints) - number))
                except Refused as error:
                    if not error.passing:
                        raise
                    soon = lost = True
                    faults.append(f"{endpoint}: {error}")
                except (Unreached, ValueError) as error:
                    faults.append(f"{endpoint}: {error}")
                except (OSError, HTTPException) as error:
                    lost = True
                    # One that was cut off may be back at once; one that hangs is not.
                    soon = soon or not isinstance(error, TimeoutError)
                    faults.append(f"{endpoint}: {error or type(error).__name__}")
                else:
                    self._preferred = which
                    return answer
            if not soon or time.monotonic() + _PAUSE_S >= until:
                raise Away("; ".join(faults) or "the time was over", lost=lost)
            time.sleep(_PAUSE_S)

    # -- who is asking

    def _with_token(self, endpoint: Endpoint, path: str, body: bytes, until: float) -> dict[str, Any]:
        token = self._token or self._authenticate(endpoint, "", until)
        try:
            return endpoint.post(path, body, self._authorization(token), until)
        except Refused as error:
            if not self._user or not error.unknown_caller:
                raise
        return endpoint.post(path, body, self._authorization(self._authenticate(endpoint, token, until)), until)

    def _authenticate(self, endpoint: Endpoint, refused: str, until: float) -> str:
        """A token in place of the one that was refused; none where there is no user or etcd asks for none."""
        if self._user is None:
            return ""
        with self._login:
            if self._token == refused:
                try:
                    answer = endpoint.post("/v3/auth/authenticate", json.dumps(self._user).encode(), {}, until)
                except Refused as error:
                    if not error.open_to_all:
                        raise
                    return ""
                self._token = str(answer.get("token", ""))
            return self._token

    @staticmethod
    def _authorization(token: str) -> dict[str, str]:
        return {"Authorization": token} if token else {}

    # -- forms

    def _coded(self, key: str) -> str:
        return _base64(self._prefix + key)

    def _entry(self, kv: Mapping[str, str]) -> Entry:
        key = base64.b64decode(kv["key"]).decode()
        value = base64.b64decode(kv.get("value", "")).decode()
        return Entry(key.removeprefix(self._prefix), value, int(kv.get("mod_revision", 0)), int(kv.get("lease", 0)))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _after(folder: str) -> str:
    """The first text after all that begin with this one, which ends with a slash."""
    return folder[:-1] + chr(ord("/") + 1)


def _revision(answer: Mapping[str, Any]) -> int:
    return int(answer["header"]["revision"])
