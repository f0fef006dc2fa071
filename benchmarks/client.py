"""The client of the cases that sysbench cannot play: PyMySQL, and a reader that throws rows away as bytes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.connections import Connection

from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError

_COM_QUERY = b"\x03"
_ERR = 0xFF
_READ_BYTES = 1 << 20
_READ_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Streamed:
    """A result set that was read and thrown away. Seconds are without the reader's own pause."""

    rows: int
    read_bytes: int
    seconds: float


def connect(endpoint: Endpoint) -> "Connection[Any]":
    """Log in with `mysql_native_password`; autocommit is on."""
    return pymysql.connect(
        host="127.0.0.1",
        port=endpoint.port,
        user=endpoint.user,
        password=endpoint.password,
        database=endpoint.schema,
        autocommit=True,
        ssl_disabled=True,  # the peers speak plain, and a TLS context per login would cost more than the login
        connect_timeout=20,
        read_timeout=_READ_TIMEOUT_S,
    )


def fetch(connection: "Connection[Any]", sql: str) -> Sequence[tuple[Any, ...]]:
    """Run a query and read its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
        return rows


def check_same_rows(endpoints: Sequence[Endpoint]) -> None:
    """A comparison means nothing if the sides hold different rows."""
    told = {endpoint.name: _fingerprint(endpoint) for endpoint in endpoints}
    if len(set(told.values())) > 1:
        raise BenchmarkError(f"the endpoints hold different rows: {told}")


def _fingerprint(endpoint: Endpoint) -> str:
    with connect(endpoint) as connection:
        rows = fetch(connection, "SELECT COUNT(*), MIN(id), MAX(id), SUM(id) FROM sbtest1")
    return " ".join(str(value) for value in rows[0])


def stream(connection: "Connection[Any]", sql: str, row_mark: bytes, pause_s: float = 0.0) -> Streamed:
    """Read a result set as fast as the socket gives it, decoding nothing, and count the rows by their mark.

    Every row must end in the mark, which is one byte twice, and have that byte nowhere else, its packet's length
    included (the sequence number takes every value, but never stands beside the mark). With a pause the reader stops
    once, for that long, after its first two megabytes: what the servers have by then must wait on their side.
    """
    socket: Any = connection._sock  # type: ignore[attr-defined]  # the login is PyMySQL's, the reading is ours
    socket.settimeout(_READ_TIMEOUT_S)
    query = _COM_QUERY + sql.encode()
    # The first byte is the last one of the chunk before: a mark that was cut in two is found in the second.
    chunk = bytearray(1 + _READ_BYTES)
    unread = memoryview(chunk)[1:]
    rows = read_bytes = 0
    paused = pause_s == 0.0
    started = time.perf_counter()
    socket.sendall(len(query).to_bytes(3, "little") + b"\x00" + query)
    tail = b""
    while not _is_eof(tail):
        count = socket.recv_into(unread)
        if not count:
            raise BenchmarkError(f"the connection was closed after {rows} rows")
        if not read_bytes and count > 4 and unread[4] == _ERR:
            raise BenchmarkError(f"the query was refused: {bytes(unread[13:count]).decode(errors='replace')}")
        rows += chunk.count(row_mark, 0, 1 + count)
        chunk[0] = chunk[count]
        read_bytes += count
        # The answer's columns end in an EOF packet too, but rows follow it in the same breath or in the next chunk.
        tail = (tail + bytes(unread[max(0, count - 9) : count]))[-9:] if rows else b""
        if not paused and read_bytes > 2 * _READ_BYTES:
            paused = True
            time.sleep(pause_s)
    seconds = time.perf_counter() - started - (pause_s if paused else 0.0)
    return Streamed(rows, read_bytes, seconds)


def _is_eof(tail: bytes) -> bool:
    """Whether the stream ends in an EOF packet. Rows of printable text longer than 9 bytes cannot look like one."""
    return len(tail) == 9 and tail.startswith(b"\x05\x00\x00") and tail[4] == 0xFE
