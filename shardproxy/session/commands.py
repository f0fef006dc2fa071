"""The commands other than COM_QUERY, one function each, in one table."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any

from shardproxy.errors import PRIVILEGE, UNKNOWN_COMMAND, ProxyError
from shardproxy.protocol.flags import Command
from shardproxy.protocol.framing import encode_packet
from shardproxy.protocol.packets import EofPacket, build_eof, changed_schema
from shardproxy.protocol.resultset import build_column
from shardproxy.protocol.wire_types import read_int
from shardproxy.session.channel import Sink
from shardproxy.session.lifecycle import reset
from shardproxy.session.router import victim_of
from shardproxy.topology.topology import Scheme

if TYPE_CHECKING:
    from shardproxy.session.session import Session

Handler = Callable[["Session", bytes], Coroutine[Any, Any, None]]
_STARTED_AT = monotonic()


async def quit_session(session: Session, payload: bytes) -> None:
    """COM_QUIT: no answer, the connection is closed."""
    session.close()
    session.channel.close()


async def ping(session: Session, payload: bytes) -> None:
    """COM_PING: answered here; carries the session's status."""
    session.send_ok()


async def init_db(session: Session, payload: bytes) -> None:
    """COM_INIT_DB."""
    await use_schema(session, payload[1:].decode("utf-8", "replace"))
    session.send_ok()


async def statistics(session: Session, payload: bytes) -> None:
    """COM_STATISTICS: a bare string in a packet."""
    router = session.router
    questions = router.statements
    uptime = int(monotonic() - _STARTED_AT)
    text = f"Uptime: {uptime}  Threads: {len(router.sessions)}  Questions: {questions}  Slow queries: 0  Opens: 0  Open tables: 0"
    session.channel.write(encode_packet(f"{text}  Queries per second avg: {questions / max(1, uptime):.3f}".encode(), 1))


async def reset_connection(session: Session, payload: bytes) -> None:
    """COM_RESET_CONNECTION."""
    reset(session)
    session.send_ok()


async def set_option(session: Session, payload: bytes) -> None:
    """COM_SET_OPTION: several statements in one command are allowed (0) or not (1)."""
    option, _ = read_int(payload, 1, 2)
    if option > 1:
        raise ProxyError(UNKNOWN_COMMAND, "Unknown command")
    session.multi_statements = option == 0
    Sink(session.channel, session.state.status, session.first_sequence).send_eof(EofPacket(0, session.state.status))


async def field_list(session: Session, payload: bytes) -> None:
    """COM_FIELD_LIST: the columns of a table, with their defaults, from a shard that has it."""
    table, _, _ = payload[1:].partition(b"\0")
    router = session.router
    rule = router.topology.rule(table.decode("utf-8", "replace"))
    unsharded = rule.scheme is Scheme.UNSHARDED and not router.is_other(session.state.schema)
    shard = rule.shard if unsharded else session.home
    connection = await session.leases.take(shard)
    try:
        columns = await connection.field_list(payload[1:])
    except BaseException:
        if getattr(connection, "busy", False):
            session.leases.drop(connection)
        else:
            session.leases.give(connection)
        raise
    session.leases.give(connection)
    packets = []
    for sequence, column in enumerate(columns, 1):
        packets.append(encode_packet(build_column(router.in_logical_schema(shard, column)), sequence))
    packets.append(encode_packet(build_eof(EofPacket(0, session.state.status)), len(columns) + 1))
    session.channel.write(b"".join(packets))


async def process_kill(session: Session, payload: bytes) -> None:
    """COM_PROCESS_KILL: end another connection of the same user."""
    thread_id, _ = read_int(payload, 1, 4)
    await kill_session(session, thread_id)


async def prepare_statement(session: Session, payload: bytes) -> None:
    """COM_STMT_PREPARE. Executing, closing and sending data ahead need no task: `Session.command`."""
    await session.prepared.prepare(payload)


async def reset_statement(session: Session, payload: bytes) -> None:
    """COM_STMT_RESET."""
    await session.prepared.reset(payload)


async def fetch_rows(session: Session, payload: bytes) -> None:
    """COM_STMT_FETCH."""
    await session.prepared.fetch(payload)


async def kill_session(session: Session, thread_id: int, sink: Sink | None = None, *, query: bool = False) -> None:
    """End a connection, or only stop its statement; raises `ProxyError` for one that does not exist or is another user's."""
    router, user = session.router, session.state.user
    if router.others is not None and thread_id not in router.sessions:
        await router.others.kill(thread_id, user, query=query)
        session.answer_ok(sink or Sink(session.channel, session.state.status, session.first_sequence))
        return
    victim = victim_of(router, thread_id, user)
    if query or victim is not session:
        victim.stop(query=query)
        session.answer_ok(sink or Sink(session.channel, session.state.status, session.first_sequence))
    else:
        session.kill()


async def refuse_command(session: Session, payload: bytes) -> None:
    """Everything that is not served."""
    code = payload[0] if payload else -1
    if code in (Command.SHUTDOWN, Command.REFRESH, Command.DEBUG, Command.PROCESS_INFO):
        raise ProxyError(PRIVILEGE, "this command is not for the proxy's clients")
    raise ProxyError(UNKNOWN_COMMAND, "Unknown command")


async def use_schema(session: Session, name: str) -> None:
    """Choose the schema; raises `ProxyError` where there is none of that name for this user."""
    state, router = session.state, session.router
    await router.check_schema(state.user, name)
    state.schema = name
    session.tell(changed_schema(name))
    state.kind = (*state.kind[:3], "" if name == router.logical_schema else name, state.kind[4])


COMMANDS: dict[int, Handler] = {
    Command.QUIT: quit_session,
    Command.INIT_DB: init_db,
    Command.FIELD_LIST: field_list,
    Command.STATISTICS: statistics,
    Command.PROCESS_KILL: process_kill,
    Command.PING: ping,
    Command.SET_OPTION: set_option,
    Command.RESET_CONNECTION: reset_connection,
    Command.STMT_PREPARE: prepare_statement,
    Command.STMT_RESET: reset_statement,
    Command.STMT_FETCH: fetch_rows,
}
