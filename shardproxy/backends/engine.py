"""What the rest of the program may expect of a database engine, whichever it is.

A *relaying* engine speaks MySQL's protocol itself, so its answers can be forwarded undecoded. A *row* engine takes translated
SQL and gives rows, which are encoded here. Both give the same `ResultStream` where rows have to be looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shardproxy.backends.statements import BackendStatement
from shardproxy.protocol.packets import EofPacket, OkPacket
from shardproxy.protocol.resultset import ColumnDefinition
from shardproxy.protocol.scanner import ResponseScanner

if TYPE_CHECKING:
    from shardproxy.backends.pool import Pool

# Session variables by name, with the literals they are set to; sorted, so that equal settings are equal.
Settings = tuple[tuple[str, bytes], ...]
# Connections of one kind are interchangeable: CLIENT_FOUND_ROWS, then character set and collation, the schema where it is not the
# shard's own, and session variables.
ConnectionKind = tuple[bool, str, str, str, Settings]
# In place of a schema's name: whichever the connection happens to have.
ANY_SCHEMA = "*"
DEFAULT_KIND: ConnectionKind = (False, "utf8mb4", "", "", ())


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Limits of one server's connections, in seconds where nothing else is said. `statements` are those kept prepared on each."""

    pool_size: int
    pool_wait_s: float
    pool_queue: int
    pool_idle_s: float
    connect_timeout_s: float
    query_timeout_s: float
    health_interval_s: float
    health_fast_interval_s: float
    health_timeout_s: float
    health_rise: int
    health_fall: int
    statements: int


class RelayTarget(Protocol):
    """Where a relayed response goes. `relay_end` or `relay_lost` is called exactly once, with nothing of the response to come."""

    def relay_bytes(self, data: bytes) -> None:
        """A part of the response, whole or not."""

    def relay_file(self, connection: Connection) -> None:
        """The server asks for a file, as it may in answer to LOAD DATA LOCAL only; the request was forwarded."""

    def relay_end(self, connection: Connection, scanner: ResponseScanner) -> None:
        """The response is over; `scanner.final` is its last part, which was not forwarded yet."""

    def relay_lost(self, connection: Connection, started: bool) -> None:
        """The connection was lost; `started` says whether anything had been forwarded."""


class ResultStream(Protocol):
    """One answer, row by row. Read it to its end, or `abandon` it, before the connection is used again."""

    @property
    def columns(self) -> list[ColumnDefinition]:
        """The result's columns; none for a statement that gives no rows."""

    @property
    def ok(self) -> OkPacket | None:
        """The OK of a statement that gives no rows."""

    @property
    def eof(self) -> EofPacket | None:
        """The end of the rows, once they have all been read."""

    @property
    def more(self) -> bool:
        """Whether the result's header has announced another one."""

    async def wait_ready(self) -> None:
        """Until the columns are known or the statement has succeeded; raises `ServerError` where it failed."""

    def next_result(self) -> bool:
        """Go on to the result that follows this one, which has ended; False where there is none."""

    async def next_rows(self) -> list[bytes] | None:
        """The next text-row payloads (at least one), or None at the end; raises `ServerError` or `ProxyError`."""


class RelayedStream(ResultStream, Protocol):
    """What a relaying engine gives: such an answer can be looked at without waiting for it."""

    @property
    def done(self) -> bool:
        """Whether the whole answer has come."""

    @property
    def waits(self) -> bool:
        """Whether so many rows have come that the server is made to wait."""

    @property
    def clean(self) -> bool:
        """Whether the answer has ended with rows, without error or warnings."""

    def take_rows(self) -> list[bytes]:
        """The rows that have come so far."""


@dataclass(slots=True)
class BufferedResult:
    """A small answer, whole."""

    columns: list[ColumnDefinition]
    rows: list[bytes]
    ok: OkPacket | None
    warnings: int = 0


class Connection(Protocol):
    """One connection to a server. It serves one statement at a time.

    `kind` is what its session has been set to. `primed` counts the session settings that were applied to it (see `executor`).
    `status` are the status bits of its last answer. `on_progress`, where the connection relays, is called when more of a `send`'s
    answer has come and when the connection is lost; `on_writable` when it is no longer `congested`. `killing` is there while a
    `cancel` is under way: until it is done nobody else may use the connection. `dirty`: it must be reset before anyone else gets it.
    `position` is what the server has told of its last write (see `protocol.gtid`), until somebody takes note of it;
    `tracks_variables`: it does so as MariaDB does. `use` is for whom has the connection. `pool` is the one it belongs to.
    """

    shard: str
    kind: ConnectionKind
    relays: bool
    closed: bool
    primed: int
    status: int
    started_at: float
    schema: str
    on_progress: Callable[[], None] | None
    on_writable: Callable[[], None] | None
    killing: asyncio.Future[None] | None
    dirty: bool
    position: str
    tracks_variables: bool
    use: int
    pool: Pool

    def send(self, sql: bytes) -> ResultStream:
        """Send a statement; its answer is awaited with `wait_ready`. Several connections can thus work at the same time."""

    def send_command(self, packet: bytes) -> ResultStream:
        """The same for a framed command (relaying engines only); rows come in the form that the command gives."""

    async def query(self, sql: bytes) -> BufferedResult:
        """Run a statement with a small answer."""

    def prepared(self, text: bytes) -> BackendStatement | None:
        """The statement that is prepared from this text already (relaying engines only)."""

    async def prepare(self, text: bytes) -> BackendStatement:
        """Prepare a statement, or find it prepared (relaying engines only). Raises `ServerError`."""

    def forget(self, text: bytes) -> None:
        """What was prepared from this text cannot be used any more."""

    def relay(self, packet: bytes, target: RelayTarget, *, file: bool = False) -> None:
        """Send a framed command and forward its response (relaying engines only). `file`: the server may ask for the client's file."""

    @property
    def congested(self) -> bool:
        """Whether much is still to be sent."""

    def write(self, data: bytes) -> None:
        """Send more of a command that is under way (relaying engines only)."""

    def cancel(self) -> None:
        """Stop the statement that is running, and nothing that comes after it."""

    async def field_list(self, body: bytes) -> list[ColumnDefinition]:
        """The columns that COM_FIELD_LIST asks for."""

    async def set_kind(self, kind: ConnectionKind) -> None:
        """Change the character set; FOUND_ROWS cannot change."""

    async def reset(self) -> None:
        """Bring the session back to how it was after connecting."""

    def note(self, changes: bytes) -> None:
        """The server has told of changes of its session: keep its position."""

    def pause(self) -> None:
        """Stop reading: whoever gets the rows is slow."""

    def resume(self) -> None:
        """Read on."""

    def abort(self, kill: bool = True) -> None:
        """Close at once; `kill` also stops what the server is still doing for it."""


class Engine(Protocol):
    """How connections to one server are made and what is asked of it about its schema."""

    label: str
    # Where the server is, for telling whether two shards share one.
    address: str
    schema: str
    relays: bool
    settings: ServerSettings

    async def connect(self, kind: ConnectionKind) -> Connection:
        """A new connection, logged in; raises `ProxyError` (SP1401) where there is none to be had in time."""

    async def load_schema(self, connection: Connection) -> ShardSchema:
        """What the shard's schema holds."""

    async def close(self) -> None:
        """Give up what the engine itself holds."""


@dataclass(frozen=True, slots=True)
class ShardSchema:
    """Raw answers of one shard, for the catalog: rows of text values."""

    columns: list[tuple[str | None, ...]]
    unique_keys: list[tuple[str | None, ...]]
    views: list[tuple[str | None, ...]]
    routines: list[str]
    collations: dict[str, bytes | None]
    server_version: str
    flavour: str
    sql_mode: str
