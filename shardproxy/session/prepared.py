"""Prepared statements of one session, by the binary protocol.

A statement is planned when it is prepared, by the same shape as its text would be: a parameter is a literal whose value comes
later. An execution that one shard can answer goes there as an execution, on a connection where the statement is prepared, or is
prepared now, and its rows come back undecoded. Any other is carried out as text with its parameters as literals, and its rows are
put into the binary form here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shardproxy.errors import (
    NO_CURSOR,
    NOT_PREPARABLE,
    PACKET_TOO_LARGE,
    TOO_MANY_STATEMENTS,
    UNKNOWN_STATEMENT,
    ProxyError,
)
from shardproxy.executor.prepared import PreparedCall, PreparedText
from shardproxy.planner.cache import PlanCache
from shardproxy.planner.plan import AnyPlan, LocalPlan, Plan
from shardproxy.protocol.binary import HEAD_BYTES, parse_parameters, types_with_long_data
from shardproxy.protocol.flags import CURSOR_EXISTS, LAST_ROW_SENT
from shardproxy.protocol.packets import EofPacket
from shardproxy.protocol.prepare import build_prepared, parameter_column
from shardproxy.protocol.resultset import ColumnDefinition
from shardproxy.protocol.wire_types import MalformedPacket, read_int
from shardproxy.session.channel import CursorSink, Sink
from shardproxy.session.hints import ReadHint, read_hint
from shardproxy.session.texts import expanded

if TYPE_CHECKING:
    from shardproxy.session.session import Session

_READ_ONLY_CURSOR = 1
_NEWEST = 0xFFFFFFFF
# Longer texts are looked through in a thread.
_LONG_BYTES = 16 * 1024
_NESTED = re.compile(rb"\s*(?:PREPARE|EXECUTE|DEALLOCATE|DROP\s+PREPARE)\b", re.IGNORECASE)
# Longer statements are planned in a thread.
_LONG_SHAPE_BYTES = 2 * 1024


@dataclass(slots=True)
class PreparedStatement:
    """One of them. `types` are those of the last execution; `long_data` holds what was sent ahead of the next one."""

    id: int
    text: PreparedText
    # The schema that was chosen when it was prepared: there it is executed.
    schema: str | None
    names: tuple[bytes, ...] = ()
    types: bytes = b""
    long_data: dict[int, bytearray] = field(default_factory=dict)
    long_data_bytes: int = 0
    spoiled: bool = False
    plan: AnyPlan | None = None
    plans: PlanCache | None = None
    cursor: CursorSink | None = None
    hint: ReadHint | None = None


class PreparedStatements:
    """The statements of one session, and the commands that concern them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._statements: dict[int, PreparedStatement] = {}
        self._last_id = 0
        # The number of the last one, 0 where it could not be prepared.
        self._newest = 0
        self._long_data_bytes = 0

    def __len__(self) -> int:
        return len(self._statements)

    def clear(self) -> None:
        """The session is reset: all are closed."""
        self._statements.clear()
        self._long_data_bytes = 0

    def _by_number(self, number: int) -> PreparedStatement | None:
        """By its number, or the one that was prepared last: clients of MariaDB name it so before they know its number."""
        return self._statements.get(self._newest if number == _NEWEST else number)

    def _find(self, payload: bytes, where: str) -> PreparedStatement:
        number, _ = read_int(payload, 1, 4)
        found = self._by_number(number)
        if found is None:
            raise ProxyError(UNKNOWN_STATEMENT, f"Unknown prepared statement handler ({number}) given to {where}", plain=True)
        return found

    # -- COM_STMT_PREPARE ---------------------------------------------------------------------------------------------

    async def prepare(self, payload: bytes) -> None:
        """COM_STMT_PREPARE: plan the statement and tell its columns."""
        session = self._session
        self._newest = 0
        if len(self._statements) >= session.router.limits.session_statements:
            limit = session.router.limits.session_statements
            raise ProxyError(TOO_MANY_STATEMENTS, f"a client may have {limit} statements prepared (limits.session_statements)")
        text = await prepared_text(session, payload[1:])
        hint = read_hint(payload[1:]) if session.sets else None
        plan = await self._plan(text)
        parameters, columns = await self._describe(text, plan)
        self._last_id = self._last_id % 0xFFFFFFFE + 1
        while self._last_id in self._statements:
            self._last_id = self._last_id % 0xFFFFFFFE + 1
        self._newest = self._last_id
        self._statements[self._last_id] = PreparedStatement(
            self._last_id, text, session.state.schema, tuple(column.name for column in columns), hint=hint
        )
        session.channel.write(build_prepared(self._last_id, parameters, columns, session.state.status))

    async def _plan(self, text: PreparedText) -> AnyPlan:
        plans, literals = self._session.plans, text.sample
        if len(text.shape) > _LONG_SHAPE_BYTES and text.shape not in plans:
            built = await asyncio.get_running_loop().run_in_executor(None, plans.build, text.shape, literals)
            return plans.add(text.shape, literals, built)
        return plans.get(text.shape, literals)

    async def _describe(self, text: PreparedText, plan: AnyPlan) -> tuple[list[ColumnDefinition], list[ColumnDefinition]]:
        """The parameters and columns, as one of the shards tells them; known ones need no shard."""
        session = self._session
        count = len(text.parameters)
        unknown = [parameter_column()] * count
        if isinstance(plan, LocalPlan) and plan.verb == "SHOW":
            shown = await session.leases.describe(session.home, text.text)
            return unknown, list(shown.columns) if shown is not None else []
        if not isinstance(plan, Plan):
            return unknown, []
        known = session.router.descriptions
        # A pinned session may have tables of its own.
        key = None if session.leases.reasons else (text.text, session.state.schema, session.state.kind)
        if key is not None and (found := known.get(key)) is not None:
            return found
        described = await session.executor.describe(plan, text, session.router.context)
        if described is None:
            return unknown, []
        columns = [session.router.in_logical_schema("", column) for column in described.columns]
        parameters = list(described.parameters) if len(described.parameters) == count else unknown
        if key is not None:
            session.router.remember_description(key, (parameters, columns))
        return parameters, columns

    # -- COM_STMT_EXECUTE ---------------------------------------------------------------------------------------------

    def execute(self, payload: bytes) -> None:
        """COM_STMT_EXECUTE; raises `ProxyError`, or sees to it that an answer comes."""
        session = self._session
        statement = self._find(payload, "mysqld_stmt_execute")
        if len(payload) < HEAD_BYTES:
            raise MalformedPacket("the execution is cut short")
        text = statement.text
        statement.cursor = None
        long_data: Mapping[int, bytes] = {}
        if statement.long_data:
            long_data = {number: bytes(data) for number, data in statement.long_data.items()}
            self._drop_long_data(statement)
        if statement.spoiled:
            statement.spoiled = False
            raise ProxyError(PACKET_TOO_LARGE, "a parameter's data is longer than limits.max_packet_bytes", plain=False)
        statement.types, values = parse_parameters(payload, len(text.parameters), statement.types, long_data)
        types = types_with_long_data(statement.types, long_data) if long_data else statement.types
        call = PreparedCall(text, types, values, b"" if long_data else payload, statement.names)
        session.statement, session.state.hint = text.text, statement.hint
        if statement.schema != session.state.schema:
            session.start(self._execute_elsewhere(statement, call))
            return
        plans = session.plans
        if statement.plans is plans and statement.plan is not None:
            plan = statement.plan
        else:
            plan = plans.get(text.shape, call.literals)
            # A plan that depends on values is looked up each time.
            statement.plan, statement.plans = (None, None) if plan.fixed_slots else (plan, plans)
        if payload[5] & _READ_ONLY_CURSOR and not (isinstance(plan, Plan) and plan.whole and plan.pin):
            statement.cursor = cursor = _cursor_sink(session)
            session.start(self._open_cursor(statement, plan, call, cursor))
            return
        if type(plan) is Plan and plan.short and session.may_start(plan, call.literals) and session.short.try_execute(plan, call):
            return
        session.start(session.run_prepared(plan, call))

    async def _execute_elsewhere(self, statement: PreparedStatement, call: PreparedCall) -> None:
        """The session has chosen another schema since."""
        session = self._session
        state = session.state
        schema, kind = state.schema, state.kind
        other = statement.schema if statement.schema != session.router.logical_schema else ""
        state.schema, state.kind = statement.schema, (*kind[:3], other or "", kind[4])
        try:
            await session.run_prepared(session.plans.get(call.statement.shape, call.literals), call)
        finally:
            state.schema, state.kind = schema, (*state.kind[:3], kind[3], state.kind[4])

    async def _open_cursor(self, statement: PreparedStatement, plan: AnyPlan, call: PreparedCall, cursor: CursorSink) -> None:
        """Rows are kept here and fetched from here; a server may answer with all rows or none where there is nothing to fetch."""
        session = self._session
        try:
            await session.run(plan, call.text(), call.literals, cursor)
        finally:
            if not cursor.opened:
                statement.cursor = None

    # -- the others ---------------------------------------------------------------------------------------------------

    async def fetch(self, payload: bytes) -> None:
        """COM_STMT_FETCH: the next rows of a cursor."""
        session = self._session
        statement = self._find(payload, "mysqld_stmt_fetch")
        cursor = statement.cursor
        if cursor is None:
            raise ProxyError(NO_CURSOR, f"The statement ({statement.id}) has no open cursor", plain=True)
        count, _ = read_int(payload, 5, 4)
        status = session.state.status
        sink = Sink(session.channel, status, session.first_sequence)
        rows, at_end = cursor.take(count)
        sink.send_rows(rows)
        await sink.drain()
        sink.send_eof(EofPacket(0, status | (LAST_ROW_SENT if at_end else CURSOR_EXISTS)))
        if at_end:
            statement.cursor = None

    def send_long_data(self, payload: bytes) -> None:
        """COM_STMT_SEND_LONG_DATA: no answer; what is wrong is told at the next execution."""
        if len(payload) < 7:
            return
        statement = self._by_number(int.from_bytes(payload[1:5], "little"))
        number = int.from_bytes(payload[5:7], "little")
        if statement is None or number >= len(statement.text.parameters):
            return
        statement.long_data_bytes += len(payload) - 7
        self._long_data_bytes += len(payload) - 7
        if self._long_data_bytes > self._session.router.limits.max_packet_bytes:
            self._drop_long_data(statement)
            statement.spoiled = True
        if not statement.spoiled:
            statement.long_data.setdefault(number, bytearray()).extend(payload[7:])

    async def reset(self, payload: bytes) -> None:
        """COM_STMT_RESET: the cursor is closed, long data forgotten."""
        session = self._session
        statement = self._find(payload, "mysqld_stmt_reset")
        statement.cursor = None
        statement.spoiled = False
        self._drop_long_data(statement)
        session.send_ok()

    def close(self, payload: bytes) -> None:
        """COM_STMT_CLOSE: no answer. Connections keep what they have prepared, for others."""
        if len(payload) >= 5:
            statement = self._by_number(int.from_bytes(payload[1:5], "little"))
            if statement is not None:
                self._drop_long_data(statement)
                del self._statements[statement.id]

    @property
    def held_bytes(self) -> int:
        """What open cursors keep for the client."""
        return sum(statement.cursor.held_bytes for statement in self._statements.values() if statement.cursor is not None)

    def _drop_long_data(self, statement: PreparedStatement) -> None:
        self._long_data_bytes -= statement.long_data_bytes
        statement.long_data.clear()
        statement.long_data_bytes = 0


def _cursor_sink(session: Session) -> CursorSink:
    limits = session.router.limits
    left = max(0, limits.merge_bytes - session.prepared.held_bytes)
    return CursorSink(session.channel, session.state.status, limits.merge_rows, left)


async def prepared_text(session: Session, text: bytes) -> PreparedText:
    """A text with its parameters found. Raises `ProxyError` for what is too long, or cannot be prepared."""
    text = expanded(session.router, text)
    if len(text) > _LONG_BYTES:
        found = await asyncio.get_running_loop().run_in_executor(None, PreparedText.of, text)
    else:
        found = PreparedText.of(text)
    if _NESTED.match(text):
        raise ProxyError(NOT_PREPARABLE, "This command is not supported in the prepared statement protocol yet", plain=True)
    return found
