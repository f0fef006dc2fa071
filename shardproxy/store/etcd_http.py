"""One member of an etcd: requests over connections that are kept, with an end in time, and answers that come as a stream."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any

_CONNECT_S = 0.5
_ANSWER_S = 2.0
# A connection that was idle for longer may be dead without anybody having said so.
_IDLE_S = 30.0
_CHUNK_BYTES = 64 * 1024
# Of an answer that is none, as a page of another server, or etcd's own words on who may use its HTTP interface.
_QUOTED_BYTES = 120
# Codes of gRPC.
_DEADLINE_EXCEEDED, _NOT_FOUND, _UNAVAILABLE, _UNAUTHENTICATED = 4, 5, 14, 16


class EtcdError(Exception):
    """etcd did not do what it was asked for."""


class Unreached(EtcdError):
    """There was no connection, so nothing was asked."""


class Refused(EtcdError):
    """etcd has answered, and says why not."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self._code = answer.get("code", answer.get("grpc_code"))
        self._message = str(answer.get("message") or answer.get("error") or "no reason given")
        super().__init__(self._message)

    @property
    def passing(self) -> bool:
        """Another member may answer, or this one soon: there is no leader, it is being changed, or there is too much to do."""
        return self._code in (_DEADLINE_EXCEEDED, _UNAVAILABLE) or "too many requests" in self._message

    @property
    def lease_is_gone(self) -> bool:
        """What was to be bound to a lease came after its end."""
        return self._code == _NOT_FOUND and "lease" in self._message

    @property
    def unknown_caller(self) -> bool:
        """The token is missing, over or older than a change of users or roles."""
        return self._code == _UNAUTHENTICATED or "user name is empty" in self._message or "revision in header is old" in self._message

    @property
    def open_to_all(self) -> bool:
        """A token was asked for where nobody needs one."""
        return "authentication is not enabled" in self._message


class Endpoint:
    """A member. Raises `Unreached`, `Refused`, ValueError for an answer that is none of etcd's, and where the answer was lost
    `OSError` (`TimeoutError` where it may still come) or `HTTPException`."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._lock = threading.Lock()
        self._idle: list[tuple[float, HTTPConnection]] = []
        self._streams: set[HTTPConnection] = set()
        self._closings = 0

    def __str__(self) -> str:
        return f"{self._host}:{self._port}"

    def close(self) -> None:
        """Close the connections that are idle, and end the streams; one in the middle of an answer is closed after it."""
        with self._lock:
            self._closings += 1
            idle, self._idle = self._idle, []
            streams = list(self._streams)
        for _, connection in idle:
            connection.close()
        for connection in streams:
            with suppress(OSError, AttributeError):  # it may be ending by itself just now
                connection.sock.shutdown(socket.SHUT_RDWR)

    def post(self, path: str, body: bytes, headers: Mapping[str, str], until: float) -> dict[str, Any]:
        """One request and its answer."""
        until = min(until, time.monotonic() + _CONNECT_S + _ANSWER_S)
        kept = self._take()
        if kept is not None:
            # The other side may have closed it long ago; that says nothing about whether it is there now.
            with suppress(ConnectionError, HTTPException, ssl.SSLError):
                return self._exchange(kept, path, body, headers, until)
        return self._exchange(self._connect(until), path, body, headers, until)

    def stream(
        self, path: str, request: Mapping[str, Any], headers: Mapping[str, str], until: float
    ) -> Generator[dict[str, Any], None, None]:
        """The lines of an answer that does not end, as they come, up to a time. It is a fault if it ends before."""
        connection = self._connect(until)
        with self._lock:
            self._streams.add(connection)
        try:
            yield from self._lines(connection, path, json.dumps(request).encode(), headers, until)
        except TimeoutError:
            if time.monotonic() < until:
                raise
        finally:
            with self._lock:
                self._streams.discard(connection)
            connection.close()

    def _lines(
        self, connection: HTTPConnection, path: str, body: bytes, headers: Mapping[str, str], until: float
    ) -> Generator[dict[str, Any], None, None]:
        _limit(connection, until)
        connection.request("POST", path, body, {**headers, "Content-Type": "application/json"})
        wire = connection.sock  # http.client lets go of it once it has seen the head of an answer that closes
        response = connection.getresponse()
        while True:
            wire.settimeout(max(0.001, until - time.monotonic()))
            line = response.readline()
            if not line:
                raise ConnectionResetError("the stream has ended")
            yield _object(line, response.status)

    def _exchange(self, connection: HTTPConnection, path: str, body: bytes, headers: Mapping[str, str], until: float) -> dict[str, Any]:
        closings = self._closings
        try:
            _limit(connection, until)
            connection.request("POST", path, body, {**headers, "Content-Type": "application/json"})
            response = connection.getresponse()
            text = _whole(connection, response, until)
        except TimeoutError:
            connection.close()
            raise TimeoutError("no answer in time") from None
        except BaseException:
            connection.close()
            raise
        with self._lock:
            keep = not response.will_close and closings == self._closings
            if keep:
                self._idle.append((time.monotonic(), connection))
        if not keep:
            connection.close()
        answer = _object(text, response.status)
        if response.status != 200 or "error" in answer:
            inner = answer.get("error")
            raise Refused(inner if isinstance(inner, dict) else answer)
        return answer

    def _take(self) -> HTTPConnection | None:
        """The connection that was used last, if there is one that is fresh; those that are not are closed."""
        with self._lock:
            oldest = time.monotonic() - _IDLE_S
            stale = [connection for since, connection in self._idle if since < oldest]
            self._idle = [kept for kept in self._idle if kept[0] >= oldest]
            found = self._idle.pop()[1] if self._idle else None
        for connection in stale:
            connection.close()
        return found

    def _connect(self, until: float) -> HTTPConnection:
        timeout = min(_CONNECT_S, until - time.monotonic())
        if timeout <= 0:
            raise Unreached("the time was over")
        if self._tls is None:
            connection = HTTPConnection(self._host, self._port, timeout=timeout)
        else:
            connection = HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise Unreached(error.strerror or error) from error
        return connection


def _limit(connection: HTTPConnection, until: float) -> None:
    """The next wait for the other side ends at `until`, and after `_ANSWER_S` at the latest."""
    left = min(_ANSWER_S, until - time.monotonic())
    if left <= 0:
        raise TimeoutError("the time was over")
    connection.sock.settimeout(left)


def _whole(connection: HTTPConnection, response: HTTPResponse, until: float) -> bytes:
    parts = []
    while not response.isclosed():
        if connection.sock is not None:
            _limit(connection, until)
        parts.append(response.read1(_CHUNK_BYTES))
        if not parts[-1]:
            break
    if response.length:
        raise ConnectionResetError("the answer has broken off")
    response.read()  # nothing is left; it is what ends the answer for http.client
    return b"".join(parts)


def _object(text: bytes, status: int) -> dict[str, Any]:
    """An answer in several lines is one of a stream that has ended; the first counts."""
    try:
        found = json.loads(text.split(b"\n", 1)[0])
    except ValueError:
        found = None
    if not isinstance(found, dict):
        said = " ".join(text[:_QUOTED_BYTES].decode("ascii", "replace").split())
        raise ValueError(f"this is no answer of etcd's interface v3: status {status}, {said!r}")
    return found
