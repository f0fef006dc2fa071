"""The short way: a statement that needs nothing but connections which are at hand goes to them at once, without a task.

That is most statements: those of one shard are relayed, and small reads of several shards are gathered whole. Whatever is not
so simple (a connection must be opened, waited for or prepared; an answer is long; a server is lost) is left to the session's
long way, which does the same with all the time it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardproxy.backends.engine import Connection
from shardproxy.errors import ServerError
from shardproxy.executor.executor import NOT_ON_REPLICAS
from shardproxy.executor.gather import Gather
from shardproxy.executor.outcome import Outcome
from shardproxy.executor.prepared import PreparedCall, is_stale
from shardproxy.executor.reads import Use
from shardproxy.executor.relay import fetch_position, fetch_warnings, lost_error, outcome_of
from shardproxy.executor.scatter import ScatterRead
from shardproxy.executor.transaction import ROLLED_BACK_ERRNOS
from shardproxy.planner.plan import Plan, Point
from shardproxy.protocol.framing import encode_packet
from shardproxy.protocol.scanner import ResponseScanner
from shardproxy.session.channel import BinarySink, Sink

if TYPE_CHECKING:
    from shardproxy.session.session import Session

# What of a status word belongs to the session: IN_TRANS, AUTOCOMMIT, and what is told once (state changed, read-only).
_SESSION_BITS = 0x6003
_NO_LITERALS: list[bytes] = []


class ShortWay:
    """One session's statement under way; see `engine.RelayTarget`."""

    __slots__ = ("_call", "_channel", "_heat", "_leases", "_literals", "_plan", "_session", "_state")

    def __init__(self, session: Session) -> None:
        self._session = session
        # At hand, because every statement needs them.
        self._channel = session.channel
        self._leases = session.leases
        self._state = session.state
        self._heat = session.router.heat
        self._plan: Plan
        self._literals: list[bytes]
        # The execution, if it is one of a prepared statement.
        self._call: PreparedCall | None = None

    def try_send(self, plan: Plan, packet: bytes, text: bytes, literals: list[bytes]) -> bool:
        """Send a statement on its way; False where the long way has to. `packet` is the whole command, framed.

        Raises `ProxyError` for what cannot be carried out at all.
        """
        session = self._session
        state = self._state
        point = plan.point
        if point is not None:
            raw = literals[point.slot]
            shard = point.placement.shard_of_literal(b"-" + raw if point.negative else raw, state.codec)
            if shard is None:
                return False
            self._heat.left -= 1
            if not self._heat.left:
                self._note_heat(plan, point, raw)
        else:
            texts = session.executor.texts(plan, text, literals, session.router.context)
            if len(texts) > 1:
                return plan.plain_read and self._try_gather(plan, texts, literals, None)
            if plan.offset_slot is not None:
                return False
            shard, rendered = next(iter(texts.items()))
            if rendered is not text:
                packet = encode_packet(b"\x03" + rendered, 0)
        if (plan.writes or plan.locks) and state.wants_transaction:
            session.executor.transaction.check_write((shard,))
        connection = self._leases.try_take(shard, plan, literals[point.slot] if point is not None else b"")
        if connection is None:
            return False
        self._call = None
        self._literals = literals
        self._send(plan, connection, packet)
        return True

    def try_execute(self, plan: Plan, call: PreparedCall) -> bool:
        """The same for an execution of a prepared statement; also False where no connection at hand has it prepared."""
        session = self._session
        state = self._state
        executor = session.executor
        point = plan.point
        if point is not None:
            raw = call.literal(point.slot)
            shard = point.placement.shard_of_literal(b"-" + raw if point.negative else raw, state.codec)
            self._heat.left -= 1
            if not self._heat.left:
                self._note_heat(plan, point, raw)
        elif plan.offset_slot is None:
            shard = executor.only_shard(plan, call.literals, session.router.context)
        else:
            return False
        prepared = None if shard is None else call.for_shard(plan, executor.answer)
        if shard is None and plan.plain_read:
            # Several shards get it as text, and the rows are put into the binary form.
            texts = executor.texts(plan, call.text(), call.literals, session.router.context)
            return len(texts) > 1 and self._try_gather(plan, texts, call.literals, call)
        if shard is None or prepared is None:
            return False
        if (plan.writes or plan.locks) and state.wants_transaction:
            executor.transaction.check_write((shard,))
        if session.first_sequence != 1 or call.long:
            # The answer has to be numbered anew.
            return False
        connection = self._leases.try_take(shard, plan, call.literal(point.slot) if point is not None else b"")
        if connection is None:
            return False
        statement = connection.prepared(prepared[0])
        if statement is None:
            self._leases.give_back(connection, plan)
            return False
        self._call = call
        self._literals = call.literals if plan.auto_slots is not None else _NO_LITERALS
        self._send(plan, connection, call.packet(statement.id, prepared[1]))
        return True

    def _note_heat(self, plan: Plan, point: Point, raw: bytes) -> None:
        group = self._session.router.topology.rule(plan.tables[0]).group if plan.tables else ""
        self._heat.note(group, point.placement, b"-" + raw if point.negative else raw, self._state.codec)

    def _send(self, plan: Plan, connection: Connection, packet: bytes) -> None:
        self._plan = self._session.running = plan
        self._leases.pools[connection.shard].statements[plan.label] += 1
        channel = self._channel
        channel.source = connection
        connection.relay(packet, self)
        if channel.slow:
            # Still busy with the answer before.
            connection.pause()

    # -- one shard ----------------------------------------------------------------------------------------------------

    def relay_bytes(self, data: bytes) -> None:
        """A part of the response."""
        self._channel.write(data)

    def relay_file(self, connection: Connection) -> None:
        """LOAD DATA does not go this way."""
        raise NotImplementedError

    def relay_end(self, connection: Connection, scanner: ResponseScanner) -> None:
        """The response is over: pass its end on, with this session's status."""
        session = self._session
        channel = self._channel
        channel.source = None
        final = scanner.final
        state = self._state
        plan = self._plan
        tells = not plan.writes or connection.pool.server is None
        if tells and scanner.end_status >= 0 and scanner.end_status & _SESSION_BITS == state.status:
            # Rows without warnings, from a connection in the same state as the session: the end fits as it is.
            self._leases.give(connection)
            if plan.locks and state.wants_transaction:
                session.executor.transaction.wrote(connection.shard)
            channel.write(final)
            state.found_rows = scanner.rows
            state.row_count = -1
            if state.warnings and not plan.keeps_warnings:
                state.warnings = []
                state.error_count = 0
            session.finished()
            return
        if scanner.terminal_start:
            channel.write(final[: scanner.terminal_start])
        try:
            outcome = outcome_of(scanner, connection)
        except ServerError as error:
            self._leases.give(connection)
            if not scanner.terminal_start and self._again_helps(connection, error):
                session.start(self._again())
                return
            self._fail(error, scanner.sequence)
            return
        if (plan.writes or plan.locks) and state.wants_transaction:
            session.executor.transaction.wrote(connection.shard)
        if outcome.warnings or (plan.unknown_ids and outcome.insert_id) or (not tells and outcome.rows >= 0):
            session.start(self._end_asking(connection, outcome))
            return
        self._leases.give(connection)
        session.end(plan, self._literals, outcome, Sink(channel, state.status, outcome.sequence))
        session.finished()

    def relay_lost(self, connection: Connection, started: bool) -> None:
        """The server went away during the statement. A plain read of which nothing was sent yet is tried once more."""
        session = self._session
        self._channel.source = None
        if session.closed:
            return
        plan = self._plan
        held = connection in self._leases.held.values()
        self._leases.drop(connection)
        self._leases.members.failed(connection, "the connection was lost during a statement")
        if plan.plain_read and not started and not held and not getattr(connection, "timed_out", False):
            session.router.metrics.retries += 1
            session.start(self._again())
            return
        if started:
            session.hang_up(lost_error(connection))
            return
        session.send_error(lost_error(connection))
        session.finished()

    def _again_helps(self, connection: Connection, error: ServerError) -> bool:
        """Whether the long way may do better: it prepares anew, goes from a replica to the primary, and waits for one."""
        if self._call is not None and is_stale(error):
            return True
        if connection.pool.server is None or not self._leases.free:
            return False
        members = self._leases.members
        unknown = members.on_replica(connection) and error.errno in NOT_ON_REPLICAS
        return unknown or members.refused_as_read_only(connection, error)

    async def _again(self) -> None:
        """The same statement, the long way."""
        if self._call is not None:
            await self._session.run_prepared(self._plan, self._call)
        else:
            await self._session.run(self._plan, self._session.statement, self._literals)

    def _fail(self, error: ServerError, sequence: int) -> None:
        session = self._session
        if error.errno in ROLLED_BACK_ERRNOS and self._leases.began:
            session.start(self._rolled_back(error, sequence))
            return
        session.send_error(error, sequence=sequence)
        session.finished()

    async def _rolled_back(self, error: ServerError, sequence: int) -> None:
        """The server has ended the transaction: it ends everywhere."""
        await self._session.executor.transaction.after_error(error)
        self._session.send_error(error, sequence=sequence)

    async def _end_asking(self, connection: Connection, outcome: Outcome) -> None:
        session = self._session
        try:
            await fetch_warnings(connection, outcome)
            if self._plan.writes and outcome.rows >= 0:
                connection.use = Use.WRITE_SHOWN
                await fetch_position(connection)
            if self._plan.unknown_ids and outcome.insert_id:
                await session.executor.check_id(connection, outcome)
        except BaseException:
            self._leases.drop(connection)
            raise
        self._leases.give(connection)
        session.end(self._plan, self._literals, outcome, Sink(self._channel, self._state.status, outcome.sequence))

    # -- several shards -----------------------------------------------------------------------------------------------

    def _try_gather(self, plan: Plan, texts: dict[str, bytes], literals: list[bytes], call: PreparedCall | None) -> bool:
        session = self._session
        connections = session.leases.try_take_all(texts, plan)
        if connections is None:
            return False
        pools = session.leases.pools
        for shard in texts:
            pools[shard].statements[plan.label] += 1
        self._plan = session.running = plan
        self._call = call
        self._literals = literals
        Gather(connections, texts, self._gathered)
        return True

    async def _merged(self, read: ScatterRead, gather: Gather, sink: Sink) -> Outcome:
        session = self._session
        plan, call = self._plan, self._call
        try:
            return await read.merge(gather.connections, gather.streams, sink)
        except ServerError as error:
            executor = session.executor
            if sink.started or not executor.asks_primaries(plan, error):
                raise
            text = session.statement if call is None else call.text()
            return await read.run(executor.texts(plan, text, self._literals, session.router.context), sink, plan, primary=True)

    def _gathered(self, gather: Gather) -> None:
        """Every answer is there, or one turns out to be long, or to be lost: then the long way goes on from here."""
        session = self._session
        if session.closed:
            return
        read = session.executor.scatter(self._plan, self._literals, session.router.context)
        call, status = self._call, session.state.status
        sink = Sink(session.channel, status, 1) if call is None else BinarySink(session.channel, status, 1, call.names)
        if gather.lost and session.leases.free:
            # As with a single shard: a plain read of which nothing was sent yet is tried once more.
            session.router.metrics.retries += 1
            for connection in gather.connections:
                session.leases.drop(connection)
            session.start(self._again())
        elif not gather.whole:
            session.start(session.answer_with(self._plan, self._literals, self._merged(read, gather, sink), sink))
        else:
            session.answer_now(self._plan, self._literals, lambda: read.merge_whole(gather.connections, gather.streams, sink), sink)
