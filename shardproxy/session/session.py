"""One client's session: commands in, packets out.

A statement that needs nothing but connections which are at hand takes the short way: no task, no waiting (`short`). Everything
else runs as a task (`run`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any

from shardproxy.errors import INTERNAL, KILLED, MOVING, PRIVILEGE, ProxyError, ServerError, ShardproxyError, internal_error
from shardproxy.executor.executor import Executor
from shardproxy.executor.leases import Leases
from shardproxy.executor.outcome import Outcome
from shardproxy.executor.prepared import PreparedCall, PreparedText
from shardproxy.executor.state import ClientState, Warning_
from shardproxy.planner.cache import PlanCache
from shardproxy.planner.plan import AnyPlan, DdlPlan, LocalPlan, Plan
from shardproxy.protocol.flags import SESSION_STATUS_MASK, Capability, Command
from shardproxy.protocol.framing import encode_packet
from shardproxy.protocol.packets import EofPacket, ErrPacket, OkPacket
from shardproxy.session.answers import session_answer
from shardproxy.session.channel import BinarySink, Channel, Sink
from shardproxy.session.commands import COMMANDS, refuse_command
from shardproxy.session.hints import read_hint
from shardproxy.session.holding import Holding
from shardproxy.session.local import run_local
from shardproxy.session.prepared import PreparedStatements
from shardproxy.session.router import Router
from shardproxy.session.short import ShortWay
from shardproxy.session.texts import LONG_BYTES, LONG_SHAPE_BYTES, expanded, plan_beside, run_several, run_text
from shardproxy.session.variables import remember_user_variables
from shardproxy.sql.fingerprint import fingerprint
from shardproxy.sql.split import split_statements

log = logging.getLogger(__name__)

# "Unhandled user-defined exception condition": what a trigger signals.
_SIGNAL_ERRNO = 1644
_AT_ONCE = frozenset((Command.STMT_EXECUTE, Command.STMT_CLOSE, Command.STMT_SEND_LONG_DATA))


class Session:
    """See the module. `kill` and `close` may be called at any time."""

    def __init__(self, router: Router, channel: Channel) -> None:
        self.router = router
        self.channel = channel
        self.state = ClientState(router.register(self))
        self.leases = Leases(router.backends.pools, router.backends.sets, self.state, router.metrics, router.trust)
        self.executor = Executor(self.leases, self.state, router.metrics, self.answer, router.limits)
        self.statement = b""
        # The plan of the statement under way, once it is carried out; and whether it waits for rows that change their shard.
        self.running: AnyPlan | None = None
        self.held_back = False
        # The shards that have replicas.
        self.sets = router.backends.sets
        # Number of the first packet of an answer: 1, unless the command itself took several packets.
        self.first_sequence = 1
        self.started_at = 0.0
        self.closed = False
        # What the client's login said of its character set; a reset goes back to it.
        self.login_kind, self.login_codec = self.state.kind, self.state.codec
        # Whether the client may send several statements at once, and whether the last one failed.
        self.multi_statements = False
        self.failed = False
        self._changes = b""
        self._task: asyncio.Task[None] | None = None
        self.short = ShortWay(self)
        self.prepared = PreparedStatements(self)
        # Statements prepared in SQL, by name.
        self.named: dict[str, PreparedText] = {}

    # -- commands -----------------------------------------------------------------------------------------------------

    def command(self, payload: bytes) -> None:
        """Carry out one command packet; `channel.finished` is called when its answer has been sent."""
        self.started_at = perf_counter()
        code = payload[0] if payload else -1
        if code == Command.QUERY:
            self.query(payload[1:], encode_packet(payload, 0))
        elif code in _AT_ONCE:
            self._at_once(code, payload)
        else:
            self.start(COMMANDS.get(code, refuse_command)(self, payload))

    def _at_once(self, code: int, payload: bytes) -> None:
        """The commands of prepared statements that need no task, or see to one themselves."""
        try:
            if code == Command.STMT_EXECUTE:
                self.prepared.execute(payload)
                return
            # These two have no answer, not even an error.
            if code == Command.STMT_CLOSE:
                self.prepared.close(payload)
            else:
                self.prepared.send_long_data(payload)
        except ShardproxyError as error:
            self.send_error(error)
        except Exception:
            log.exception("internal error", extra={"client": self.state.thread_id})
            self.send_error(internal_error())
        self.finished()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the rest of a command as a task."""
        self._task = asyncio.get_running_loop().create_task(self._guard(work))

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ShardproxyError as error:
            self.send_error(error)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("internal error", extra={"client": self.state.thread_id})
            self.send_error(internal_error())
        self._task = None
        self.finished()

    def finished(self) -> None:
        """The answer has been sent."""
        self.statement = b""
        self.running = None
        self.state.hint = None
        self.router.metrics.latency.observe(perf_counter() - self.started_at)
        if not self.closed:
            self.channel.finished()

    # -- statements ---------------------------------------------------------------------------------------------------

    def query(self, text: bytes, packet: bytes) -> None:
        """Carry out one statement; `packet` is the whole command as it came, framed."""
        self.statement = text
        try:
            if b"/*" in text:
                if self.sets:
                    self.state.hint = read_hint(text)
                if b"/*!" in text or b"/*M!" in text:
                    self.statement = text = expanded(self.router, text)
                    packet = encode_packet(b"\x03" + text, 0)
            if len(text) > LONG_BYTES:
                self.start(run_text(self, text))
                return
            if self.multi_statements and b";" in text:
                parts = split_statements(text)
                if len(parts) > 1:
                    self.start(run_several(self, parts))
                    return
            shape, literals = fingerprint(text)
            plans = self.plans
            if len(shape) > LONG_SHAPE_BYTES and shape not in plans:
                self.start(plan_beside(self, plans, shape, text, literals))
                return
            plan = plans.get(shape, literals)
            if type(plan) is Plan and plan.short and self.may_start(plan, literals) and self.short.try_send(plan, packet, text, literals):
                return
        except ShardproxyError as error:
            self.send_error(error)
            self.finished()
            return
        except Exception:
            log.exception("internal error", extra={"client": self.state.thread_id})
            self.send_error(internal_error())
            self.finished()
            return
        self.start(self.run(plan, text, literals))

    def may_start(self, plan: Plan, literals: Sequence[bytes]) -> bool:
        """Whether a statement may go to its shards at once: no share that it touches changes its owner, and the topology is the newest."""
        holding = self.router.holding
        if self.started_at > self.router.trust.valid_until:
            return False
        return holding is None or not holding.concerns(self, plan, literals)

    @property
    def plans(self) -> PlanCache:
        """The plans of sessions that have chosen the same schema."""
        state = self.state
        if state.kind[4] and state.joins_by_pipes:
            return self.router.plans_with_pipes(state.schema)
        plans = self.router.plans.get(state.schema)
        return plans if plans is not None else self.router.plans_of(self.state.schema)

    @property
    def passes_through(self) -> bool:
        """Whether statements go to one server as they are."""
        return self.router.context.whole is not None or self.router.is_other(self.state.schema)

    @property
    def home(self) -> str:
        """The shard that knows the session's schema, whichever it has chosen."""
        router = self.router
        opened = router.context.open
        return opened.shard if opened is not None and router.is_other(self.state.schema) else router.topology.default_shard

    async def run_prepared(self, plan: AnyPlan, call: PreparedCall) -> None:
        """Carry out an execution of a prepared statement and answer it."""
        await self.run(plan, call.text(), call.literals, BinarySink(self.channel, self.state.status, self.first_sequence, call.names), call)

    async def run(
        self,
        plan: AnyPlan,
        text: bytes,
        literals: list[bytes],
        sink: Sink | None = None,
        call: PreparedCall | None = None,
    ) -> None:
        """Carry out a planned statement and answer it, into `sink` if it is to be in another form than text."""
        router = self.router
        holding = router.holding
        if holding is not None and not router.trust.over and holding.concerns(self, plan, literals):
            await self._hold_back(holding)
            if call is None:
                await run_text(self, text, sink)
            else:
                plan = self.plans.get(call.statement.shape, call.literals)
                await self.run(plan, text, literals, sink, call)
            return
        self.running = plan
        if sink is None:
            sink = Sink(self.channel, self.state.status, self.first_sequence)
        if isinstance(plan, LocalPlan):
            await run_local(self, plan, text, literals, sink)
        elif plan.right and not self.state.administers:
            raise ProxyError(PRIVILEGE, plan.right)
        elif isinstance(plan, DdlPlan):
            await self.answer_with(plan, literals, self._run_ddl(plan, literals), sink)
        else:
            work = self.executor.run(plan, text, literals, self.router.context, sink, call)
            await self.answer_with(plan, literals, self._remembering(plan, text, work), sink)

    async def _hold_back(self, holding: Holding) -> None:
        """Wait until the rows have their shard again; the statement is then planned anew."""
        self.held_back = True
        try:
            await holding.wait()
        finally:
            self.held_back = False

    async def _run_ddl(self, plan: DdlPlan, literals: list[bytes]) -> Outcome:
        if plan.temporary:
            # Nobody else sees such a table, so nothing has to be read anew.
            return await self.executor.run_ddl(plan, literals)
        topology = self.router.topology
        for step in plan.steps:
            if topology.rule(step.table).group in topology.moving:
                raise ProxyError(MOVING, f"rows of table '{step.table}' are being moved to another shard: change it when that is done")
        if any(step.table or len(step.shards) > 1 for step in plan.steps):
            async with self.router.ddl_lock:
                try:
                    return await self.executor.run_ddl(plan, literals)
                finally:
                    await self.router.tables_changed()
        # Its server keeps such changes apart: one that waits there for somebody's transaction must not stop all others. What is read
        # behind it has been changed by then, and the last one to read finds all changes.
        try:
            return await self.executor.run_ddl(plan, literals)
        finally:
            async with self.router.ddl_lock:
                await self.router.tables_changed()

    async def _remembering(self, plan: Plan, text: bytes, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        outcome = await work
        if plan.pin in ("user variable", "procedure call"):
            await remember_user_variables(self, text)
        return outcome

    async def answer_with(self, plan: AnyPlan, literals: list[bytes], work: Coroutine[Any, Any, Outcome], sink: Sink) -> None:
        """End the answer whose rows `work` sends to `sink`."""
        try:
            outcome = await work
        except ShardproxyError as error:
            self._fail(error, sink)
            return
        sink.sequence = outcome.sequence or sink.sequence
        self.end(plan, literals, outcome, sink)

    def answer_now(self, plan: AnyPlan, literals: list[bytes], work: Callable[[], Outcome], sink: Sink) -> None:
        """The same where nothing has to be waited for."""
        try:
            outcome = work()
        except ShardproxyError as error:
            self._fail(error, sink)
        except Exception:
            log.exception("internal error", extra={"client": self.state.thread_id})
            self.send_error(internal_error())
        else:
            sink.sequence = outcome.sequence or sink.sequence
            self.end(plan, literals, outcome, sink)
        self.finished()

    def _fail(self, error: ShardproxyError, sink: Sink) -> None:
        if sink.raw and not isinstance(error, ServerError):
            # The server was cut off in the middle of a packet: nothing that follows could be understood.
            self.hang_up(error)
            return
        self.send_error(error, sequence=sink.sequence)

    def end(self, plan: AnyPlan, literals: list[bytes], outcome: Outcome, sink: Sink) -> None:
        """Send the packet that ends a response and remember what the session must know of it."""
        state = self.state
        if outcome.warnings or not (isinstance(plan, Plan) and plan.keeps_warnings):
            self._note_warnings(outcome.warning_list)
        if outcome.rows >= 0:
            state.found_rows, state.row_count = outcome.rows, -1
            if isinstance(plan, Plan) and plan.offset_slot is not None and outcome.rows and not outcome.merged:
                state.found_rows += int(literals[plan.offset_slot])
            if outcome.found >= 0:
                state.found_rows = outcome.found
            sink.send_eof(EofPacket(outcome.warnings, self._status(outcome)))
            return
        state.row_count = outcome.affected
        if outcome.last_id >= 0:
            state.last_insert_id = outcome.last_id
        elif outcome.insert_id and not (isinstance(plan, Plan) and plan.chose_ids(literals)):
            state.last_insert_id = outcome.insert_id
        sink.send_ok(OkPacket(outcome.affected, outcome.insert_id, self._status(outcome), outcome.warnings, outcome.info))

    def _note_warnings(self, warnings: Sequence[Warning_]) -> None:
        state = self.state
        state.warnings = [(level, code, self.router.renamed(message)) for level, code, message in warnings]
        state.error_count = sum(level == b"Error" for level, _, _ in warnings)

    def _status(self, outcome: Outcome) -> int:
        return (outcome.status & ~SESSION_STATUS_MASK) | self.state.status

    def send_ok(self) -> None:
        """An OK without news."""
        Sink(self.channel, self.state.status, self.first_sequence).send_ok(OkPacket(status=self.state.status, changes=self._take_changes()))

    def tell(self, change: bytes) -> None:
        """Something of the session has changed that a client with SESSION_TRACK is to hear of, with the next OK."""
        if self.channel.capabilities & Capability.SESSION_TRACK:
            self._changes += change

    def _take_changes(self) -> bytes:
        changes, self._changes = self._changes, b""
        return changes

    def answer_ok(self, sink: Sink, warnings: Sequence[Warning_] = ()) -> None:
        """The answer to a statement that the session itself has carried out. It uses no table, so the warnings of the one before stay,
        unless it has its own."""
        state = self.state
        if warnings:
            self._note_warnings(warnings)
        state.row_count = 0
        sink.send_ok(OkPacket(status=state.status, warnings=len(warnings), changes=self._take_changes()))

    # -- errors and the end -------------------------------------------------------------------------------------------

    def send_error(self, error: ShardproxyError, *, sequence: int | None = None, fatal: bool = False) -> None:
        """Send an ERR packet; a fatal error also closes the connection."""
        if not isinstance(error, (ProxyError, ServerError)):
            error = ProxyError(INTERNAL, str(error))
        if isinstance(error, ServerError) and error.errno == _SIGNAL_ERRNO and error.message.startswith(MOVING.id):
            # A fence has refused the statement, which may be tried again: drivers know that of 1205.
            error = ProxyError(MOVING)
        state = self.state
        message, raw = error.message, b""
        if isinstance(error, ServerError):
            message, raw = self.router.in_logical_names(message), self.router.renamed(error.raw)
            self.router.metrics.errors["server"] += 1
        else:
            self.router.metrics.errors[error.spec.id] += 1
            fatal = fatal or error.fatal
        packet = ErrPacket(error.errno, error.sqlstate, message, raw)
        self.failed = True
        state.row_count = -1
        state.warnings = [(b"Error", b"%d" % error.errno, raw or message.encode("utf-8", "replace"))]
        state.error_count = 1
        if not self.closed:
            Sink(self.channel, state.status, self.first_sequence if sequence is None else sequence).send_error(packet)
            if fatal:
                self.close()
                self.channel.close()

    def hang_up(self, error: ShardproxyError) -> None:
        """Close without an answer, in the middle of one."""
        if isinstance(error, ProxyError):
            self.router.metrics.errors[error.spec.id] += 1
        self.close()
        self.channel.close()

    def answer(self, value: Any) -> bytes:
        """The session's own value as an SQL literal."""
        return session_answer(self, value)

    def cancel(self) -> None:
        """Another session stops what this one is doing, not the session itself."""
        self.leases.cancel()

    def kill(self) -> None:
        """Another session ends this one. A client that waits for an answer gets an error; one that does not would take it for the
        answer to its next command, so it only sees the connection close, as on a server."""
        if not self.closed and not self.statement:
            self.close()
            self.channel.close()
        elif not self.closed:
            self.send_error(ProxyError(KILLED, "Connection was killed"), fatal=True)

    def stop(self, *, query: bool) -> None:
        """Another session ends this one, or only its statement."""
        if query:
            self.cancel()
        else:
            self.kill()

    def close(self) -> None:
        """The client is gone, or is sent away: free everything it holds. An open transaction is rolled back."""
        if self.closed:
            return
        self.closed = True
        self.router.sessions.pop(self.state.thread_id, None)
        self.channel.source = None
        task, self._task = self._task, None
        if task is not None and task is not _current_task():
            # Its connections are dropped where it stands; what the session holds is released behind it.
            task.cancel()
            task.add_done_callback(lambda _: self.leases.release_all())
        else:
            self.leases.release_all()


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
