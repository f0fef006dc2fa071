"""A shard's server that does not keep to the protocol costs its own connection: its client is told, and nobody hangs."""

import asyncio
from typing import Any

import pytest

from shardproxy.backends.engine import ServerSettings
from shardproxy.backends.mysql import MySQLConnection
from shardproxy.backends.mysql_engine import MySQLEngine
from shardproxy.config.model import ServerUrl
from shardproxy.errors import ProxyError
from shardproxy.executor.leases import Leases
from shardproxy.protocol.framing import encode_packet
from shardproxy.protocol.packets import EofPacket, OkPacket, build_eof, build_ok
from shardproxy.protocol.resultset import ColumnDefinition, encode_header
from shardproxy.protocol.scanner import ResponseScanner

HEADER = encode_header([ColumnDefinition(b"a", 253)], 2)[0]
OK = encode_packet(build_ok(OkPacket(status=2)), 1)
MISBEHAVIOUR = {
    "empty packet": encode_packet(b"", 1),
    "asks for a file": encode_packet(b"\xfb/etc/passwd", 1),
    "EOF of one byte": HEADER + encode_packet(b"\xfe", 4),
    "EOF of three bytes": HEADER + encode_packet(b"\xfe\0\0", 4),
    "ERR of one byte": encode_packet(b"\xff", 1),
    "ERR in the rows of one byte": HEADER + encode_packet(b"\xff", 4),
    "OK of one byte": encode_packet(b"\0", 1),
    "OK with a broken length": encode_packet(b"\0\xfe\xff", 1),
    "no columns": encode_packet(b"\xfc\0\0", 1),
    "too many columns": encode_packet(b"\xfd\xff\xff\xff", 1),
    "more than its answer": OK + OK,
    "columns without an end": HEADER[:-9] + encode_packet(b"\x01x", 3),
}


class FakeTransport:
    """A transport that remembers that it was closed, and says so to its protocol."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    close = abort


class Target:
    """Who a relayed answer goes to."""

    def __init__(self) -> None:
        self.ended = 0
        self.lost = 0
        self.scanner: ResponseScanner | None = None

    def relay_bytes(self, data: bytes) -> None:
        pass

    def relay_end(self, connection: object, scanner: ResponseScanner) -> None:
        self.ended += 1
        self.scanner = scanner

    def relay_lost(self, connection: object, started: bool) -> None:
        self.lost += 1


@pytest.fixture
async def connection() -> MySQLConnection:
    """A connection that has just logged in."""
    transport = FakeTransport()
    made = MySQLConnection("s0", "app_0", (False, "utf8mb4", "", "", ()), transport, 7, lambda thread_id: None)  # type: ignore[arg-type]
    transport.protocol = made
    return made


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("case", MISBEHAVIOUR)
@pytest.mark.parametrize("bytewise", [False, True])
async def test_relayed_nonsense_ends_the_connection(connection: MySQLConnection, case: str, bytewise: bool) -> None:
    """Whoever waits for the answer hears of it exactly once, in whatever pieces it comes."""
    target = Target()
    connection.relay(encode_packet(b"\x03SELECT 1", 0), target)
    data = MISBEHAVIOUR[case]
    for piece in [data[i : i + 1] for i in range(len(data))] if bytewise else [data]:
        if not connection.closed:
            connection.data_received(piece)
    await settle()
    assert (target.ended, target.lost) in ((0, 1), (1, 0))
    if bytewise and case == "more than its answer":
        assert connection.closed
        return
    assert target.lost == 1
    assert connection.closed


@pytest.mark.parametrize("case", MISBEHAVIOUR)
async def test_nonsense_that_is_read_ends_the_connection(connection: MySQLConnection, case: str) -> None:
    """The same for answers that the proxy takes apart itself: an error of the catalogue, and never a wait for ever."""
    if case == "more than its answer":
        pytest.skip("the second answer comes when nobody waits any more")
    query = asyncio.create_task(connection.query(b"SELECT 1"))
    await settle()
    connection.data_received(MISBEHAVIOUR[case])
    with pytest.raises(ProxyError):
        await asyncio.wait_for(query, 1)
    await settle()
    assert connection.closed


async def test_word_unasked_ends_the_connection(connection: MySQLConnection) -> None:
    """What a server says on an idle connection would be taken for the answer to the next statement."""
    connection.data_received(OK)
    assert connection.closed


async def test_lost_connection_wakes_who_waits(connection: MySQLConnection) -> None:
    """A read in progress fails at once."""
    query = asyncio.create_task(connection.query(b"SELECT 1"))
    await settle()
    connection.data_received(HEADER + encode_packet(b"\x01x", 4))
    connection.connection_lost(None)
    with pytest.raises(ProxyError, match="SP1403"):
        await asyncio.wait_for(query, 1)


async def test_good_answer_leaves_the_connection_usable(connection: MySQLConnection) -> None:
    """The cases above fail for what is wrong in them, and not because nothing works here."""
    target = Target()
    connection.relay(encode_packet(b"\x03SELECT 1", 0), target)
    connection.data_received(HEADER + encode_packet(b"\x01x", 4) + encode_packet(build_eof(EofPacket(0, 2)), 5))
    assert (target.ended, target.lost) == (1, 0)
    assert target.scanner is not None
    assert target.scanner.rows == 1
    assert not connection.closed


async def test_statement_behind_another_is_woken_by_its_own_answer(connection: MySQLConnection) -> None:
    """It may be sent when an answer has come and before whoever waited for that has run."""
    gate = asyncio.Event()

    async def later() -> None:
        await gate.wait()
        await connection.query(b"COMMIT")

    both = asyncio.gather(connection.query(b"DO 0"), later())
    await settle()
    gate.set()
    connection.data_received(OK)
    await settle()
    connection.data_received(OK)
    await asyncio.wait_for(both, 1)
    assert not connection.busy


async def test_busy_connection_takes_no_other_statement(connection: MySQLConnection) -> None:
    """Whatever is asked of it: the next answer belongs to the statement that was sent."""
    reading = asyncio.create_task(connection.query(b"DO 0"))
    await settle()
    target = Target()
    with pytest.raises(ProxyError):
        connection.relay(encode_packet(b"\x03SELECT 1", 0), target)
    with pytest.raises(ProxyError):
        connection.send(b"SELECT 1")
    connection.data_received(OK)
    await asyncio.wait_for(reading, 1)
    assert (target.ended, target.lost) == (0, 0)


class SideDoor(MySQLEngine):
    """An engine whose second connection confirms a KILL when it is told to."""

    def __init__(self) -> None:
        settings = ServerSettings(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
        super().__init__("s0", ServerUrl.parse("mysql://u:p@127.0.0.1:1/app_0"), settings)
        self.confirmed = asyncio.Event()

    async def connect(self, kind: object) -> Any:
        return self

    async def query(self, sql: bytes) -> None:
        """The KILL."""
        await self.confirmed.wait()

    def abort(self) -> None:
        """Nothing to close."""


async def test_kill_does_not_come_between_the_parts_of_a_statement(connection: MySQLConnection) -> None:
    """A statement may need several answers (START TRANSACTION, its text): who kills the first one waits for the others."""
    engine = SideDoor()
    connection.on_cancel = engine._cancel_later
    target = Target()

    async def statement() -> None:
        await connection.query(b"START TRANSACTION")
        await Leases.settled(None, connection)  # type: ignore[arg-type]
        connection.relay(encode_packet(b"\x03SELECT 1", 0), target)

    running = asyncio.create_task(statement())
    await settle()
    connection.cancel()
    await settle()
    engine.confirmed.set()
    connection.data_received(OK)
    await settle()
    # What absorbs the KILL, and only then the next part.
    connection.data_received(OK)
    await asyncio.wait_for(running, 1)
    connection.data_received(OK)
    assert (target.ended, target.lost) == (1, 0)
