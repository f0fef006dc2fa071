"""Statements that the session carries out itself."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from shardproxy.errors import EMPTY_QUERY, SYNTAX, UNSUPPORTED_STATEMENT, ProxyError
from shardproxy.executor.state import Warning_
from shardproxy.planner.plan import LocalPlan
from shardproxy.protocol.packets import EofPacket
from shardproxy.protocol.resultset import ColumnDefinition, build_row, integer_column, string_column
from shardproxy.session.channel import Sink
from shardproxy.session.commands import kill_session, use_schema
from shardproxy.session.explain import route_rows
from shardproxy.session.named import deallocate_named, execute_named, prepare_named
from shardproxy.session.variables import run_set
from shardproxy.sql.fingerprint import fingerprint
from shardproxy.sql.lexer import unquote_name
from shardproxy.sql.statement import Statement

if TYPE_CHECKING:
    from shardproxy.session.session import Session

LocalHandler = Callable[["Session", Statement, Sink], Awaitable[None]]
_EXPLAIN_ROUTE = re.compile(rb"\s*EXPLAIN\s+ROUTE\s+", re.IGNORECASE)


async def run_local(session: Session, plan: LocalPlan, text: bytes, literals: list[bytes], sink: Sink) -> None:
    """Carry out one such statement and answer it."""
    if not plan.verb:
        # A comment alone is a statement to servers.
        if not text.strip(b"; \t\r\n"):
            raise ProxyError(EMPTY_QUERY, "Query was empty")
        session.answer_ok(sink)
        return
    if plan.verb == "EXPLAIN":
        _explain_route(session, text, sink)
        return
    await _HANDLERS[plan.verb](session, Statement(*fingerprint(text)), sink)


def _rows(
    session: Session,
    sink: Sink,
    columns: list[ColumnDefinition],
    rows: list[tuple[bytes | None, ...]],
) -> None:
    sink.send_header(columns)
    sink.send_rows([build_row(row) for row in rows])
    sink.send_eof(EofPacket(0, session.state.status))
    session.state.found_rows, session.state.row_count = len(rows), -1


async def _set(session: Session, statement: Statement, sink: Sink) -> None:
    session.answer_ok(sink, await run_set(session, statement))


async def _use(session: Session, statement: Statement, sink: Sink) -> None:
    if len(statement.tokens) != 2:
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax near USE")
    await use_schema(session, unquote_name(statement.tokens[1].text).encode("latin-1").decode("utf-8", "replace"))
    session.answer_ok(sink)


async def _begin(session: Session, statement: Statement, sink: Sink) -> None:
    """BEGIN and START TRANSACTION; both commit an open transaction."""
    words = statement.words(12)
    if words[0] == "START" and words[1:2] != ("TRANSACTION",):
        raise ProxyError(UNSUPPORTED_STATEMENT, f"START {' '.join(words[1:2])} is not supported")
    if "SNAPSHOT" in words and len(session.router.topology.shards) > 1:
        raise ProxyError(UNSUPPORTED_STATEMENT, "WITH CONSISTENT SNAPSHOT would need one snapshot of all shards")
    if session.state.in_transaction:
        await session.executor.transaction.commit()
    session.executor.transaction.begin(read_only="ONLY" in words)
    session.answer_ok(sink)


async def _commit(session: Session, statement: Statement, sink: Sink) -> None:
    await session.executor.transaction.commit()
    _after_end(session, statement, sink)


async def _rollback(session: Session, statement: Statement, sink: Sink) -> None:
    words = statement.words(4)
    if "TO" in words:
        await session.executor.transaction.savepoint(_name(statement), _sql(statement), verb="ROLLBACK")
        session.answer_ok(sink)
        return
    _after_end(session, statement, sink, await session.executor.transaction.rollback())


def _after_end(session: Session, statement: Statement, sink: Sink, warnings: Sequence[Warning_] = ()) -> None:
    """AND CHAIN starts the next transaction; RELEASE ends the connection."""
    words = statement.words(8)
    if "CHAIN" in words and words[words.index("CHAIN") - 1] != "NO":
        session.executor.transaction.begin(read_only=False)
    session.answer_ok(sink, warnings)
    if words[-1] == "RELEASE" and words[-2] != "NO":
        session.close()
        session.channel.close()


async def _savepoint(session: Session, statement: Statement, sink: Sink) -> None:
    await session.executor.transaction.savepoint(_name(statement), _sql(statement), verb=statement.verb)
    session.answer_ok(sink)


def _name(statement: Statement) -> str:
    return unquote_name(statement.tokens[-1].text)


def _sql(statement: Statement) -> bytes:
    return statement.text[: statement.tokens[-1].end].encode("latin-1")


async def _kill(session: Session, statement: Statement, sink: Sink) -> None:
    words = statement.words(7)
    if words[-3:] == ("CONNECTION_ID", "(", ")"):
        words = (*words[:-3], str(session.state.thread_id))
    if not words[-1].isdigit() or set(words[1:-1]) - {"HARD", "SOFT", "CONNECTION", "QUERY"}:
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax near KILL: a connection's number is expected")
    await kill_session(session, int(words[-1]), sink, query="QUERY" in words)


async def _unlock(session: Session, statement: Statement, sink: Sink) -> None:
    """LOCK TABLES is refused, so there is nothing to unlock."""
    session.answer_ok(sink)


async def _show(session: Session, statement: Statement, sink: Sink) -> None:
    words = [word for word in statement.words(8) if word != "FULL"]
    state = session.state
    if words[1] == "COUNT":
        errors = words[-1] == "ERRORS"
        name = "@@session.error_count" if errors else "@@session.warning_count"
        count = state.error_count if errors else len(state.warnings)
        _rows(session, sink, [integer_column(name)], [(b"%d" % count,)])
    elif words[1] in ("WARNINGS", "ERRORS"):
        rows = [row for row in state.warnings if words[1] == "WARNINGS" or row[0] == b"Error"]
        columns = [string_column("Level"), integer_column("Code"), string_column("Message", 2048)]
        start, count = _limit(statement)
        _rows(session, sink, columns, list(rows[start : start + count]))
    elif words[1] in ("DATABASES", "SCHEMAS"):
        if len(statement.tokens) > 2 and statement.tokens[2].upper not in ("LIKE", "WHERE"):
            raise ProxyError(SYNTAX, f"You have an error in your SQL syntax near '{statement.tokens[2].text}'")
        names = sorted({"information_schema", session.router.logical_schema, *await session.router.open_names()})
        like = _like(statement)
        header, pattern = ("Database", None) if like is None else (f"Database ({like})", _like_pattern(like))
        found = [name for name in names if pattern is None or pattern.fullmatch(name)]
        _rows(session, sink, [string_column(header)], [(name.encode(),) for name in found])
        # To a server that is a query of a table.
        state.warnings, state.error_count = [], 0
    elif words[1] == "GRANTS":
        user = f"{state.user}@%"
        grant = f"GRANT ALL PRIVILEGES ON `{session.router.logical_schema}`.* TO `{state.user}`@`%`"
        _rows(session, sink, [string_column(f"Grants for {user}")], [(grant.encode(),)])
    else:
        _process_list(session, sink)


def _process_list(session: Session, sink: Sink) -> None:
    """The user's own connections."""
    columns = [integer_column("Id"), *(string_column(name) for name in ("User", "Host", "db", "Command"))]
    columns += [integer_column("Time"), string_column("State"), string_column("Info", 4096)]
    rows: list[tuple[bytes | None, ...]] = []
    for thread_id, other in sorted(session.router.sessions.items()):
        state = other.state
        if state.user == session.state.user:
            command = b"Query" if other.statement else b"Sleep"
            schema = state.schema.encode() if state.schema else None
            info = other.statement[:100] or None
            rows.append((b"%d" % thread_id, state.user.encode(), state.host.encode(), schema, command, b"0", b"", info))
    _rows(session, sink, columns, rows)


def _limit(statement: Statement) -> tuple[int, int]:
    numbers = [int(t.text) for t in statement.tokens if t.text.isdigit()]
    if "LIMIT" not in statement.words(8) or not numbers:
        return 0, 1 << 16
    return (numbers[0], numbers[1]) if len(numbers) > 1 else (0, numbers[0])


def _like(statement: Statement) -> str | None:
    tokens = statement.tokens
    return tokens[-1].text[1:-1] if len(tokens) > 2 and tokens[-2].upper == "LIKE" else None


def _like_pattern(like: str) -> re.Pattern[str]:
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(char, re.escape(char)) for char in like), re.IGNORECASE)


def _explain_route(session: Session, text: bytes, sink: Sink) -> None:
    """EXPLAIN ROUTE <statement>: where it would go, and what each shard would get."""
    inner = _EXPLAIN_ROUTE.sub(b"", text, count=1)
    rows = route_rows(session.router.context, session.executor, inner, selected=session.state.schema is not None)
    columns = [string_column(name, 4096) for name in ("kind", "route", "shard", "sql", "merge")]
    encoded = [tuple(value.encode("utf-8", "replace") for value in row) for row in rows]
    _rows(session, sink, columns, list(encoded))


_HANDLERS: dict[str, LocalHandler] = {
    "SET": _set,
    "USE": _use,
    "BEGIN": _begin,
    "START": _begin,
    "COMMIT": _commit,
    "ROLLBACK": _rollback,
    "SAVEPOINT": _savepoint,
    "RELEASE": _savepoint,
    "KILL": _kill,
    "UNLOCK": _unlock,
    "PREPARE": prepare_named,
    "EXECUTE": execute_named,
    "DEALLOCATE": deallocate_named,
    "SHOW": _show,
}
