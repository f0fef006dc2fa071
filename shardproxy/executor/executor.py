"""Carrying out a plan for one session: which connections, what is sent, what is done when it fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial

from shardproxy.backends.engine import ANY_SCHEMA, Connection
from shardproxy.backends.statements import BackendStatement
from shardproxy.config.model import Limits
from shardproxy.errors import BACKEND_LOST, NO_LOCAL_FILE, ProxyError, ServerError
from shardproxy.executor.ddl import run_ddl
from shardproxy.executor.leases import Leases
from shardproxy.executor.outcome import Outcome, ResultSink
from shardproxy.executor.prepared import PreparedCall, PreparedText, is_stale, prepared_packet
from shardproxy.executor.reads import Use
from shardproxy.executor.relay import fetch_found_rows, fetch_last_id, fetch_position, fetch_warnings, forward, forward_command
from shardproxy.executor.scatter import ScatterRead
from shardproxy.executor.state import ClientState
from shardproxy.executor.system import system_read
from shardproxy.executor.transaction import Transaction
from shardproxy.executor.writes import reference_write, scatter_write
from shardproxy.merge.spec import MergeSpec
from shardproxy.planner.context import PlanContext
from shardproxy.planner.plan import DdlPlan, Kind, Opcode, Plan
from shardproxy.planner.template import SessionValue
from shardproxy.protocol.framing import encode_packet
from shardproxy.routing.render import Answer, quote, render, with_physical_schema
from shardproxy.routing.resolve import resolve, split_list
from shardproxy.routing.split_insert import shard_of_value, split_insert
from shardproxy.telemetry.counters import Metrics

# What a replica may say because it is one, because it has not come as far as the primary's schema has, or because it is being shut down.
NOT_ON_REPLICAS = frozenset((1049, 1053, 1054, 1146, 1176, 1290, 1305, 1836))
LONG_TEXT_BYTES = 64 * 1024
_CONCATENATED = MergeSpec()


class Executor:
    """The executor of one session. `answer` gives the session's own values as SQL literals."""

    def __init__(self, leases: Leases, state: ClientState, metrics: Metrics, answer: Answer, limits: Limits) -> None:
        self.leases = leases
        self.transaction = Transaction(leases, state)
        self._state = state
        self._metrics = metrics
        self.answer = answer
        self.limits = limits
        # Where the last statement of one shard ran: what it left behind is there.
        self.last_connection: Connection | None = None

    async def run(
        self,
        plan: Plan,
        text: bytes,
        literals: list[bytes],
        context: PlanContext,
        sink: ResultSink,
        call: PreparedCall | None = None,
    ) -> Outcome:
        """Carry out one statement; rows go to `sink`. `call` is what the text was written out from, if it was prepared: a single
        shard gets that instead. Raises `ServerError` or `ProxyError`."""
        if plan.kind is not Kind.DDL:
            return await self._run(plan, text, literals, context, sink, call)
        async with self._outside_of_transactions():
            return await self._run(plan, text, literals, context, sink, call)

    async def _run(
        self, plan: Plan, text: bytes, literals: list[bytes], context: PlanContext, sink: ResultSink, call: PreparedCall | None
    ) -> Outcome:
        if plan.insert is not None and len(text) > LONG_TEXT_BYTES:
            # Splitting megabytes of rows takes long enough for other clients to notice.
            loop = asyncio.get_running_loop()
            texts = await loop.run_in_executor(None, self.texts, plan, text, literals, context)
        else:
            texts = self.texts(plan, text, literals, context)
        state, leases = self._state, self.leases
        shards = tuple(texts)
        if state.wants_transaction and (plan.writes or plan.locks):
            self.transaction.check_write(shards)
        for shard in shards:
            leases.pools[shard].statements[plan.kind.value] += 1
        if plan.pin:
            leases.pin(plan.pin)
        try:
            if plan.system:
                limit = self.limits.merge_rows
                return await system_read(
                    leases, texts, plan.system_order, context.topology, context.logical_schema, limit, sink, state.transport
                )
            if len(texts) == 1:
                outcome = await self._single(plan, *next(iter(texts.items())), sink, call)
            elif plan.reference_write:
                clock, chosen = state.variable("timestamp") is not None, plan.auto_slots is None
                outcome = await self._write_all(partial(reference_write, leases, texts, clock_is_set=clock, chooses_ids=chosen))
            elif plan.writes:
                outcome = await self._write_all(partial(scatter_write, leases, texts, in_turn=plan.kind is not Kind.INSERT))
            else:
                outcome = await self._scatter(self.scatter(plan, literals, context), texts, sink, plan)
        except ServerError as error:
            await self._after_error(plan, shards[0], error)
            raise
        if state.wants_transaction and (plan.writes or plan.locks):
            self.transaction.wrote(shards[0])
        if plan.whole and plan.pin and plan.writes:
            self.transaction.follow(shards[0], outcome.status)
        return outcome

    async def _after_error(self, plan: Plan, shard: str, error: ServerError) -> None:
        held = self.leases.held.get(shard)
        if plan.whole and plan.pin and plan.writes and held is not None:
            await self.transaction.follow_failed(held)
        await self.transaction.after_error(error)

    async def _scatter(self, read: ScatterRead, texts: Mapping[str, bytes], sink: ResultSink, plan: Plan) -> Outcome:
        primary = False
        for attempt in (1, 2, 3):
            try:
                return await read.run(texts, sink, plan, primary=primary)
            except ServerError as error:
                primary = self.asks_primaries(plan, error)
                if attempt == 3 or not primary or sink.started:
                    raise
            except ProxyError as error:
                # As for one shard: a plain read of which nothing was sent is tried again on other connections.
                again = plan.plain_read and error.spec is BACKEND_LOST and self.leases.free and attempt < 3
                if not again or sink.started:
                    raise
                self._metrics.retries += 1
        raise AssertionError("not reached")

    async def _write_all(self, write: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """A write on several shards, each in a transaction. Where a primary turns out to be none any more before the first commit, all
        are rolled back by then, and the next primary is waited for."""
        for attempt in (1, 2, 3):
            try:
                return await write()
            except ServerError as error:
                if attempt == 3 or not (self.leases.free and self.leases.members.refused_on(error.shard, error)):
                    raise
            except ProxyError as error:
                # A connection that was closed by a change of primaries: nothing has been committed.
                if attempt == 3 or not (self.leases.free and self.leases.members.sets and error.spec is BACKEND_LOST):
                    raise
        raise AssertionError("not reached")

    def asks_primaries(self, plan: Plan, error: ServerError) -> bool:
        """Whether an error is one that replicas give where the primaries may not."""
        leases = self.leases
        return error.errno in NOT_ON_REPLICAS and leases.free and bool(leases.members.sets) and leases.reads.from_replica(plan)

    def scatter(self, plan: Plan, literals: list[bytes], context: PlanContext) -> ScatterRead:
        """The read of several shards that a plan asks for."""
        return ScatterRead(self.leases, plan.merge or _CONCATENATED, literals, self.limits, context)

    def texts(self, plan: Plan, text: bytes, literals: list[bytes], context: PlanContext) -> dict[str, bytes]:
        """What each shard is sent, in the order of the shards; raises the plan's refusal where they are too many."""
        codec = self._state.codec
        if plan.insert is not None and (plan.insert.many or plan.route.point is None):
            return split_insert(self._rendered(plan, text, literals), plan.insert, codec)
        shards = resolve(plan.route, context, literals, codec) or (self._any_shard(context),)
        if plan.insert is not None:
            shards = (self._insert_shard(plan, literals, codec),)
        if plan.system and plan.refusal is not None and len(shards) > 1:
            raise ProxyError(plan.refusal.spec, plan.refusal.detail)
        if plan.system:
            return {shard: self._system_text(plan, text, literals, context, shard) for shard in shards}
        if len(shards) == 1 or plan.first_only:
            return {shards[0]: self._rendered(plan, text, literals)}
        if plan.refusal is not None:
            raise ProxyError(plan.refusal.spec, plan.refusal.detail, plain=plan.refusal.plain)
        lists = self._lists(plan, literals, codec)
        template = plan.scatter if plan.scatter is not None else plan.template
        result = {}
        for shard in shards:
            if template is None:
                result[shard] = text
            elif lists is not None and shard in lists and plan.split_list is not None:
                own = [*literals]
                own[plan.split_list] = lists[shard]
                # It owns every key that the list still has, so no row has to be left out.
                result[shard] = render(template, own, self.answer)
            else:
                result[shard] = render(template, literals, self.answer, shard)
        return result

    def _any_shard(self, context: PlanContext) -> str:
        """One the session has a connection to already, else the next one that is up."""
        held = self.leases.held
        if held:
            return context.topology.default_shard if context.topology.default_shard in held else next(iter(held))
        if self.leases.reasons:
            return context.topology.default_shard
        return self.leases.next_shard(context.topology.shards)

    def _insert_shard(self, plan: Plan, literals: list[bytes], codec: str) -> str:
        assert plan.insert is not None and plan.route.point is not None
        raw = literals[plan.route.point.slot]
        return shard_of_value(plan.insert, b"-" + raw if plan.route.point.negative else raw, codec)

    def _rendered(self, plan: Plan, text: bytes, literals: list[bytes]) -> bytes:
        return text if plan.template is None else render(plan.template, literals, self.answer)

    def _lists(self, plan: Plan, literals: list[bytes], codec: str) -> Mapping[str, bytes] | None:
        if plan.split_list is None:
            return None
        return split_list(literals[plan.split_list], plan.route.keys[0].placement, codec)

    def _system_text(self, plan: Plan, text: bytes, literals: list[bytes], context: PlanContext, shard: str) -> bytes:
        physical = self.leases.pools[shard].engine.schema

        def answer(value: SessionValue) -> bytes:
            if value is SessionValue.PHYSICAL_SCHEMA:
                return b"`" + physical.encode() + b"`"
            if value is SessionValue.PHYSICAL_NAME:
                return quote(physical)
            if value is SessionValue.LOGICAL_NAME:
                return quote(context.logical_schema)
            return self.answer(value)

        own = with_physical_schema(literals, context.logical_schema, physical, plan.schema_slots)
        return text if plan.template is None else render(plan.template, own, answer)

    def only_shard(self, plan: Plan, literals: list[bytes], context: PlanContext) -> str | None:
        """The one shard that a statement goes to as it is, or None."""
        if plan.insert is not None:
            return None
        shards = resolve(plan.route, context, literals, self._state.codec) or (self._any_shard(context),)
        return shards[0] if len(shards) == 1 or plan.first_only else None

    async def describe(self, plan: Plan, text: PreparedText, context: PlanContext) -> BackendStatement | None:
        """What a shard says of a statement's parameters and columns; None where shards are not asked."""
        route = plan.route
        if plan.insert is not None:
            shard = plan.insert.placement.shards()[0]
        elif route.opcode is Opcode.FIXED:
            shard = route.shard
        elif route.keys:
            shard = route.keys[0].placement.shards()[0]
        else:
            shard = self._any_shard(context)
        if plan.system:
            asked = self._system_text(plan, text.text, text.marked, context, shard)
        else:
            asked = self._rendered(plan, text.text, text.marked)
        return await self.leases.describe(shard, asked)

    async def _single(self, plan: Plan, shard: str, text: bytes, sink: ResultSink, call: PreparedCall | None) -> Outcome:
        """One shard. What provably did not run is tried again elsewhere: a plain read whose connection was lost before anything was
        sent, one that a replica cannot answer, a write that met a primary which is none any more."""
        leases = self.leases
        primary = False
        for attempt in (1, 2, 3):
            for_tables = plan.whole or plan.writes or plan.locks or bool(plan.tables)
            self.last_connection = connection = await leases.take(shard, plan, for_tables=for_tables, primary=primary)
            try:
                outcome = await self._once(plan, connection, text, sink, call)
            except ServerError as error:
                unknown = leases.members.on_replica(connection) and error.errno in NOT_ON_REPLICAS and not sink.started
                left = unknown and leases.leave_replica(connection)
                if not left:
                    leases.give(connection)
                primary = unknown and (left or leases.free)
                again = primary or self._helps_again(plan, connection, error, call)
                if sink.started or attempt == 3 or not again:
                    raise
            except ProxyError as error:
                if error.spec is NO_LOCAL_FILE:
                    leases.give(connection)
                    raise
                leases.drop(connection)
                leases.members.failed(connection, error.detail)
                retry = plan.plain_read and attempt < 3 and error.spec is BACKEND_LOST and leases.free
                if not retry or sink.started:
                    raise
                self._metrics.retries += 1
            except BaseException:
                leases.drop(connection)
                raise
            else:
                leases.give(connection)
                return outcome
        raise AssertionError("not reached")

    async def _once(self, plan: Plan, connection: Connection, text: bytes, sink: ResultSink, call: PreparedCall | None) -> Outcome:
        """Run a statement on a connection, and ask behind it for what its answer does not tell."""
        connection.dirty = connection.dirty or plan.taints
        prepared = None if call is None or not connection.relays else call.for_shard(plan, self.answer)
        if plan.asks_id and connection.relays:
            await connection.query(b"SET last_insert_id = %d" % self._state.last_insert_id)
        if prepared is not None and call is not None:
            outcome = await forward_command(connection, await prepared_packet(connection, *prepared, call), sink)
        elif plan.local_file:
            outcome = await self._load(connection, text, sink)
        else:
            outcome = await forward(connection, text, sink)
        if connection.relays:
            await self._ask_behind(plan, connection, outcome)
        return outcome

    def _helps_again(self, plan: Plan, connection: Connection, error: ServerError, call: PreparedCall | None) -> bool:
        """Whether a statement that a server has refused may do better when it is sent again."""
        prepared = None if call is None or not connection.relays else call.for_shard(plan, self.answer)
        if prepared is not None and is_stale(error):
            connection.forget(prepared[0])
            return True
        return self.leases.free and self.leases.members.refused_as_read_only(connection, error)

    async def _load(self, connection: Connection, text: bytes, sink: ResultSink) -> Outcome:
        if not (sink.takes_files and connection.relays and not sink.needs_rows):
            raise ProxyError(NO_LOCAL_FILE, "the client has not offered LOCAL INFILE, or it comes behind other statements")
        return await forward_command(connection, encode_packet(b"\x03" + text, 0), sink, file=True)

    async def _ask_behind(self, plan: Plan, connection: Connection, outcome: Outcome) -> None:
        """What the answer does not tell, asked before the connection serves anyone else."""
        if plan.calc_found_rows or (plan.offset_slot is not None and outcome.rows == 0):
            outcome.found = await fetch_found_rows(connection)
        # Any other question would make the server forget the warnings.
        await fetch_warnings(connection, outcome)
        if plan.writes and outcome.rows >= 0 and connection.pool.server is not None:
            connection.use = Use.WRITE_SHOWN
            await fetch_position(connection)
        if plan.asks_id:
            await fetch_last_id(connection, outcome)
        elif plan.unknown_ids and outcome.insert_id:
            await self.check_id(connection, outcome)

    async def check_id(self, connection: Connection, outcome: Outcome) -> None:
        """An id that the statement gave itself is in the answer, but is none that LAST_INSERT_ID() would say."""
        named = outcome.insert_id
        await fetch_last_id(connection, outcome)
        if outcome.last_id != named:
            outcome.last_id = self._state.last_insert_id

    async def run_ddl(self, plan: DdlPlan, literals: list[bytes]) -> Outcome:
        """Carry out a schema change."""
        if plan.temporary:
            # As on a server this neither commits nor begins anything.
            self.leases.pin("temporary table")
            return await self._run_ddl(plan, literals)
        async with self._outside_of_transactions():
            return await self._run_ddl(plan, literals)

    @contextlib.asynccontextmanager
    async def _outside_of_transactions(self) -> AsyncIterator[None]:
        """As on any server, a schema change and the upkeep of tables commit an open transaction first, and begin none."""
        if self._state.in_transaction:
            await self.transaction.commit()
        autocommit, self._state.autocommit = self._state.autocommit, True
        try:
            yield
        finally:
            self._state.autocommit = autocommit

    async def _run_ddl(self, plan: DdlPlan, literals: list[bytes]) -> Outcome:
        steps = []
        for step in plan.steps:
            rendered = render(step.text, literals, self.answer)
            steps.append((step.table, dict.fromkeys(step.shards, rendered)))
        for _, texts in steps:
            for shard in texts:
                self.leases.pools[shard].statements[plan.kind.value] += 1
        outcome = await run_ddl(self.leases, steps)
        if plan.dropped_schema:
            self._forget_schema(plan.dropped_schema)
        return outcome

    def _forget_schema(self, name: str) -> None:
        state = self._state
        for pool in self.leases.pools.values():
            pool.forget_schema(name)
        if state.schema == name:
            state.schema = None
            state.kind = (*state.kind[:3], ANY_SCHEMA, state.kind[4])
