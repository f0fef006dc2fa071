"""One statement on one shard: its answer is forwarded undecoded where the engine allows it, else row by row."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from shardproxy.backends.engine import Connection, ResultStream
from shardproxy.errors import BACKEND_LOST, BACKEND_PROTOCOL, QUERY_TIMEOUT, ProxyError, ServerError
from shardproxy.executor.outcome import Outcome, ResultSink
from shardproxy.executor.state import Warning_
from shardproxy.executor.upload import Upload
from shardproxy.protocol.flags import MORE_RESULTS, SESSION_STATE_CHANGED
from shardproxy.protocol.framing import MAX_PAYLOAD, encode_packet
from shardproxy.protocol.packets import EofPacket, parse_eof, parse_err, parse_ok
from shardproxy.protocol.resultset import parse_row
from shardproxy.protocol.scanner import ERR_HEADER, OK_HEADER, ResponseScanner

# As many as a server keeps by default (max_error_count).
MAX_WARNINGS = 64


class _Relay:
    """A response under way; see `engine.RelayTarget`."""

    def __init__(self, sink: ResultSink) -> None:
        self._sink = sink
        self.upload: Upload | None = None
        self.done: asyncio.Future[ResponseScanner] = asyncio.get_running_loop().create_future()
        self.started = False

    def relay_bytes(self, data: bytes) -> None:
        self.started = True
        self._sink.write(data)

    def relay_file(self, connection: Connection) -> None:
        """The server asks for the client's file; its request has been sent on."""
        self.upload = Upload(connection)
        self._sink.upload(self.upload)

    def relay_end(self, connection: Connection, scanner: ResponseScanner) -> None:
        if scanner.terminal_start:
            self.relay_bytes(scanner.final[: scanner.terminal_start])
        if not self.done.done():
            self.done.set_result(scanner)

    def relay_lost(self, connection: Connection, started: bool) -> None:
        if not self.done.done():
            self.done.set_exception(lost_error(connection))


def lost_error(connection: Connection) -> ProxyError:
    """What a client is told when a connection went away under its statement."""
    if getattr(connection, "timed_out", False):
        return ProxyError(QUERY_TIMEOUT, f"the statement on shard {connection.shard} ran longer than its time limit and was stopped")
    return ProxyError(BACKEND_LOST, f"the connection to shard {connection.shard} was lost during the statement")


async def forward(connection: Connection, sql: bytes, sink: ResultSink) -> Outcome:
    """Run a statement and send its rows on; raises `ServerError` or `ProxyError`, possibly after some rows were sent."""
    if sink.needs_rows or sink.more or not connection.relays:
        # The server does not know that another statement follows, and would say in the header that none does.
        return await _forward_rows(connection, sql, sink)
    return await forward_command(connection, encode_packet(b"\x03" + sql, 0), sink)


async def forward_command(connection: Connection, packet: bytes, sink: ResultSink, *, file: bool = False) -> Outcome:
    """The same for a framed command of any kind, whose answer is sent on as it comes. `file`: the server may ask for one."""
    if connection.killing is not None:
        # A KILL of the part before this one is still to be absorbed.
        await connection.killing
    if sink.sequence != _packets_of(packet):
        # The server numbers its answer from what it got, which is in more or fewer packets than the client sent.
        return await _forward_stream(connection, connection.send_command(packet), sink, encoded=True)
    relay = _Relay(sink)
    sink.read_from(connection)
    connection.relay(packet, relay, file=file)
    try:
        scanner = await relay.done
        if relay.upload is not None and not relay.upload.done.done():
            # The rest of the file must not reach whoever gets this connection next.
            connection.abort()
            raise ProxyError(BACKEND_PROTOCOL, f"shard {connection.shard} answered before the client's file had ended")
    except ProxyError:
        if relay.upload is not None:
            await relay.upload.done
            sink.sequence, sink.raw = relay.upload.sequence + 1, False
        raise
    except asyncio.CancelledError:
        connection.abort()
        raise
    finally:
        sink.read_from(None)
    sink.sequence = scanner.sequence
    return outcome_of(scanner, connection)


def outcome_of(scanner: ResponseScanner, connection: Connection) -> Outcome:
    """The outcome that a relayed response ended with; raises `ServerError` where that is an error."""
    terminal = scanner.terminal
    if terminal[0] == OK_HEADER:
        ok = parse_ok(terminal)
        if ok.changes:
            connection.note(ok.changes)
        return Outcome(-1, ok.affected_rows, ok.last_insert_id, ok.warnings, ok.info, scanner.sequence, status=ok.status)
    if terminal[0] == ERR_HEADER:
        error = parse_err(terminal)
        raise ServerError(error.errno, error.sqlstate, error.message, connection.shard, error.raw)
    eof = parse_eof(terminal)
    return Outcome(scanner.rows, warnings=eof.warnings, sequence=scanner.sequence, status=eof.status)


async def _forward_rows(connection: Connection, sql: bytes, sink: ResultSink) -> Outcome:
    if connection.killing is not None:
        await connection.killing
    return await _forward_stream(connection, connection.send(sql), sink)


def _packets_of(framed: bytes) -> int:
    """The number of packets of a framed command."""
    return len(framed) // (MAX_PAYLOAD + 4) + 1


async def _forward_stream(connection: Connection, stream: ResultStream, sink: ResultSink, *, encoded: bool = False) -> Outcome:
    """Send the results of an answer on; the packet that ends the last of them is left to the session. `encoded`: the rows are in the
    form that the client wants already."""
    while True:
        await stream.wait_ready()
        ok, count = stream.ok, -1
        if ok is None:
            sink.send_header(stream.columns, more=stream.more)
            count = 0
            while (rows := await stream.next_rows()) is not None:
                count += len(rows)
                if encoded:
                    sink.send_encoded(rows)
                else:
                    sink.send_rows(rows)
                await sink.drain()
        eof = stream.eof
        if not stream.next_result():
            break
        if ok is not None:
            sink.send_ok(replace(ok, status=ok.status & ~SESSION_STATE_CHANGED, changes=b""))
        else:
            sink.send_eof(EofPacket(eof.warnings if eof else 0, connection.status | MORE_RESULTS))
    if ok is not None:
        return Outcome(-1, ok.affected_rows, ok.last_insert_id, ok.warnings, ok.info, sink.sequence, status=ok.status)
    return Outcome(count, warnings=eof.warnings if eof else 0, sequence=sink.sequence, status=connection.status)


async def fetch_warnings(connection: Connection, outcome: Outcome) -> None:
    """Read the warnings of the statement that has just run, before the connection serves anyone else."""
    if outcome.warnings and connection.relays and not connection.closed:
        result = await connection.query(b"SHOW WARNINGS LIMIT %d" % MAX_WARNINGS)
        outcome.warning_list = [_warning(row) for row in result.rows]


async def fetch_last_id(connection: Connection, outcome: Outcome) -> None:
    """Ask for LAST_INSERT_ID(), where the answer does not tell."""
    result = await connection.query(b"SELECT LAST_INSERT_ID()")
    outcome.last_id = int(parse_row(result.rows[0], 1)[0] or 0)


async def fetch_position(connection: Connection) -> None:
    """Ask for the position of a write that was answered by rows, whose end does not tell it. MySQL has no such writes but in routines,
    whose answers end with an OK."""
    if connection.tracks_variables and not connection.position:
        result = await connection.query(b"SELECT @@SESSION.last_gtid")
        connection.position = (parse_row(result.rows[0], 1)[0] or b"").decode("ascii", "replace")


async def fetch_found_rows(connection: Connection) -> int:
    """What SQL_CALC_FOUND_ROWS counted."""
    result = await connection.query(b"SELECT FOUND_ROWS()")
    return int(parse_row(result.rows[0], 1)[0] or 0)


def _warning(payload: bytes) -> Warning_:
    level, code, message = parse_row(payload, 3)
    return (level or b"", code or b"", message or b"")
