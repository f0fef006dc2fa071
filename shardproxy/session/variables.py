"""SET: what the proxy tracks itself, what it keeps for every connection of the session, and what it refuses.

A value that servers must know is given to one of them, which checks and computes it, and is then read back; connections to
other shards get it as a literal when the session first uses them. Session variables are part of the kind of connection that the
session wants, so that it need not keep any; with user variables of its own it keeps its connections (it is pinned).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shardproxy.errors import PRIVILEGE, SYNTAX, UNSUPPORTED_SETTING, UNSUPPORTED_STATEMENT, ProxyError, ServerError
from shardproxy.executor.outcome import Outcome
from shardproxy.executor.relay import fetch_warnings
from shardproxy.executor.state import Warning_
from shardproxy.planner.template import pieces, session_value_edits, template_of
from shardproxy.planner.words import NEVER_SET
from shardproxy.protocol.charsets import OF_NAMES, Charset
from shardproxy.protocol.flags import DECIMAL_TYPES, FLOAT_TYPES, INTEGER_TYPES
from shardproxy.protocol.packets import changed_variable
from shardproxy.protocol.resultset import ColumnDefinition, parse_row
from shardproxy.routing.render import quote, render
from shardproxy.session.assignments import SCOPES, Assignment, assignment_of, boolean_of, charset_of, known_charset, split_assignments
from shardproxy.session.reading import READING, choose_reads
from shardproxy.sql.fingerprint import fingerprint
from shardproxy.sql.lexer import Kind, Token
from shardproxy.sql.statement import Statement

if TYPE_CHECKING:
    from shardproxy.backends.engine import Connection
    from shardproxy.session.session import Session

# They speak of the client's connection, which is the proxy's own.
_CLIENT_SIDE = frozenset((
    "wait_timeout", "interactive_timeout", "net_write_timeout", "net_read_timeout", "net_retry_count",
    # What servers tell is for the proxy, which tells its clients of their sessions itself.
    "session_track_system_variables", "session_track_schema", "session_track_state_change", "session_track_transaction_info",
))  # fmt: skip
# They would change what a merge must compute, or what replication carries.
_REFUSED = NEVER_SET | {
    "sql_select_limit", "div_precision_increment", "sql_buffer_result", "max_sort_length", "old_mode", "low_priority_updates",
}  # fmt: skip
_HARMLESS = {"sql_select_limit": (b"DEFAULT", b"18446744073709551615"), "sql_auto_is_null": (b"0", b"OFF", b"DEFAULT")}
_CHARACTERISTICS = frozenset(("ISOLATION", "LEVEL", "READ", "WRITE", "ONLY", "COMMITTED", "UNCOMMITTED", "REPEATABLE", "SERIALIZABLE", ","))
MAX_ASSIGNMENTS = 256
# What servers tell clients of by default (session_track_system_variables).
_TRACKED = frozenset(("character_set_client", "character_set_connection", "character_set_results", "time_zone"))
# Modes under which the proxy would misread a text even where it only looks for its tokens.
_MISREAD_MODES = ("NO_BACKSLASH_ESCAPES", "ORACLE")
_LEXING_MODES = (
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES",
    "IGNORE_SPACE",
    "HIGH_NOT_PRECEDENCE",
    "ANSI",
    "ORACLE",
    "DB2",
)


@contextlib.asynccontextmanager
async def _borrowed(session: Session, *, begins: bool = True) -> AsyncIterator[Connection]:
    """A connection for a few statements of the proxy's own in the session's place; it is given back however that ends."""
    leases = session.leases
    connection = await leases.take(session.home, begins=begins)
    try:
        yield connection
    except (ServerError, ProxyError):
        if connection.closed or getattr(connection, "busy", False):
            leases.drop(connection)
        else:
            leases.give(connection)
        raise
    except BaseException:
        leases.drop(connection)
        raise
    leases.give(connection)


async def run_set(session: Session, statement: Statement) -> list[Warning_]:
    """Carry out a SET, and give a server's warnings; raises `ProxyError` or `ServerError`, having changed nothing."""
    words = statement.words(4)
    if words[1:2] == ("TRANSACTION",) or words[2:3] == ("TRANSACTION",):
        await _set_transaction(session, statement)
        return []
    if words[1:2] in (("PASSWORD",), ("ROLE",), ("DEFAULT",), ("STATEMENT",), ("RESOURCE",)):
        raise ProxyError(UNSUPPORTED_STATEMENT, f"SET {words[1]} is not supported")
    parts = split_assignments(statement.tokens[1:])
    if len(parts) > MAX_ASSIGNMENTS:
        raise ProxyError(UNSUPPORTED_SETTING, f"one SET may make {MAX_ASSIGNMENTS} assignments")
    if not session.passes_through and any(token.upper in ("FROM", "TABLE") and token.kind is Kind.WORD for token in statement.tokens):
        raise ProxyError(UNSUPPORTED_STATEMENT, "a subquery in SET is not supported")
    wanted = _sort_out(session, statement, parts)
    warnings: list[Warning_] = []
    if wanted.asks:
        warnings = await _keep(session, statement, wanted)
    elif wanted.charset is not None:
        _use_charset(session, wanted.charset)
    if wanted.autocommit is not None:
        await set_autocommit(session, wanted.autocommit)
    if wanted.reads:
        choose_reads(session, wanted.reads)
    if wanted.last_insert_id is not None:
        session.state.last_insert_id = wanted.last_insert_id
    return warnings


@dataclass(slots=True)
class _Wanted:
    """What a SET asks for, by who has to do it: `kept` is what a server is given, if it has to be asked at all (`asks`)."""

    charset: Charset | None = None
    asks: bool = False
    autocommit: bool | None = None
    last_insert_id: int | None = None
    reads: dict[str, bytes] = field(default_factory=dict)
    kept: list[Assignment] = field(default_factory=list)


def _sort_out(session: Session, statement: Statement, parts: list[list[Token]]) -> _Wanted:
    wanted = _Wanted()
    # What a merge would have to know of is no matter where nothing is merged.
    whole = session.passes_through
    refused = NEVER_SET if whole else _REFUSED | _HARMLESS.keys()
    scope = ""
    for part in parts:
        if not part:
            raise ProxyError(SYNTAX, "You have an error in your SQL syntax near SET")
        first = part[0].upper
        if first == "NAMES" or first == "CHARSET" or (first == "CHARACTER" and len(part) > 1):
            wanted.charset = charset = charset_of(part[2:] if first == "CHARACTER" else part[1:])
            if first == "NAMES":
                # Only a server knows whether there is such a collation and whether it fits.
                wanted.asks = wanted.asks or bool(charset.collation)
                wanted.kept.append(Assignment("NAMES", [], text=charset.names.encode()))
            else:
                # The connection's character set and collation become those of the schema.
                wanted.asks = True
                wanted.kept.append(Assignment("CHARACTER SET", [], text=f"CHARACTER SET '{charset.name}'".encode()))
            continue
        scope = first if first in SCOPES else scope
        assignment = assignment_of(part, scope)
        value = _text(statement, assignment.value)
        if assignment.scope:
            if not (whole and session.state.administers):
                raise ProxyError(PRIVILEGE, "SET GLOBAL is not for the proxy: do it on the shards' servers")
            wanted.kept.append(assignment)
        elif assignment.name == "autocommit":
            wanted.autocommit = boolean_of(value)
        elif assignment.name in READING:
            wanted.reads[assignment.name] = value
        elif assignment.name in _CLIENT_SIDE or (not whole and value.upper() in _HARMLESS.get(assignment.name, ())):
            continue
        elif assignment.name in refused:
            raise ProxyError(UNSUPPORTED_SETTING, f"variable '{assignment.name}' cannot be set to {value.decode('latin-1')[:60]}")
        elif assignment.name in ("last_insert_id", "identity"):
            wanted.last_insert_id = int(value) if value.isdigit() else 0
        else:
            wanted.kept.append(assignment)
    wanted.asks = wanted.asks or any(not assignment.text for assignment in wanted.kept)
    return wanted


async def set_autocommit(session: Session, value: bool) -> None:
    """Switching it on commits an open transaction."""
    state = session.state
    if value and not state.autocommit and state.in_transaction:
        await session.executor.transaction.commit()
    state.autocommit = value
    session.tell(changed_variable("autocommit", b"ON" if value else b"OFF"))


def _use_charset(session: Session, charset: Charset) -> None:
    """SET NAMES has been done, or need not be before a statement is sent. It takes back what was set of it by single variables."""
    state = session.state
    settings = tuple(pair for pair in state.kind[4] if pair[0] not in OF_NAMES)
    state.kind = (state.kind[0], charset.name, charset.collation, state.kind[3], settings)
    state.codec = charset.codec
    for variable in ("character_set_client", "character_set_connection", "character_set_results"):
        session.tell(changed_variable(variable, charset.name.encode()))


def _text(statement: Statement, tokens: Sequence[Token]) -> bytes:
    return statement.text[tokens[0].start : tokens[-1].end].encode("latin-1")


async def _keep(session: Session, statement: Statement, wanted: _Wanted) -> list[Warning_]:
    """Let a server check and compute the values, then remember them for all connections of the session. Gives its warnings."""
    parts: list[bytes] = []
    names: list[str] = []
    for assignment in wanted.kept:
        value = assignment.value
        if assignment.text:
            # It takes back what was set of it before, in the same SET too.
            names = [name for name in names if name not in OF_NAMES]
            names += ["collation_connection"] if assignment.name == "CHARACTER SET" else []
            parts.append(assignment.text)
            continue
        if not assignment.scope:
            names.append(assignment.name)
        template = template_of(pieces(statement, value[0].start, value[-1].end, session_value_edits(value)))
        name = assignment.name if assignment.name.startswith("@") else f"{assignment.scope or 'SESSION'} {assignment.name}"
        parts.append(name.encode("latin-1") + b" = " + render(template, statement.literals, session.answer))
    if any(name.startswith("@") for name in names):
        session.leases.pin("user variable")
    async with _borrowed(session) as connection:
        outcome = Outcome(warnings=(await connection.query(b"SET " + b", ".join(parts))).warnings)
        await fetch_warnings(connection, outcome)
        await _read_back(session, connection, names, wanted.charset)
    return outcome.warning_list


async def _read_back(session: Session, connection: Connection, names: list[str], charset: Charset | None = None) -> None:
    """Remember what was set on a connection: variables by their names, and the character set by SET NAMES."""
    if not names and charset is None:
        return
    state = session.state
    if "character_set_connection" in names:
        names = [*names, "collation_connection"]
    values = await _values(connection, names)
    try:
        await _check(session, connection, values)
    except ProxyError:
        # What else this SET has changed is not what the session has; the connection gets that back before its next statement.
        touched = dict(connection.kind[4]) | {name: b"?" for name in names if not name.startswith("@")}
        connection.kind = (*connection.kind[:4], tuple(sorted(touched.items())))
        raise
    if charset is not None:
        _use_charset(session, charset)
    variables = dict(state.kind[4])
    for name, (value, column) in values.items():
        if name.startswith("@"):
            state.settings[variable_key(name)] = _literal(value, column)
            continue
        if name == "character_set_client":
            state.codec = _charset_of(value).codec
        variables[name] = _literal(value, column)
        if name in _TRACKED:
            session.tell(changed_variable(name, value or b""))
    if "collation_connection" in variables:
        # Each of the two sets the other; this one tells both.
        variables.pop("character_set_connection", None)
    state.kind = (*state.kind[:4], tuple(sorted(variables.items())))
    connection.kind = (connection.kind[0], *state.kind[1:])
    state.settings_version += 1
    connection.primed = state.settings_version


async def _values(connection: Connection, names: list[str]) -> dict[str, tuple[bytes | None, ColumnDefinition]]:
    """What variables have been set to."""
    if not names:
        return {}
    questions = [name if name.startswith("@") else f"@@SESSION.{name}" for name in names]
    result = await connection.query(("SELECT " + ", ".join(questions)).encode("latin-1"))
    row = parse_row(result.rows[0], len(names)) if result.rows else (None,) * len(names)
    return dict(zip(names, zip(row, result.columns, strict=False), strict=False))


async def _check(session: Session, connection: Connection, values: Mapping[str, tuple[bytes | None, ColumnDefinition]]) -> None:
    """The proxy reads SQL as servers do by default; modes and character sets in which it would misread a statement are refused."""
    if "character_set_client" in values:
        _charset_of(values["character_set_client"][0])
    mode = values["sql_mode"][0] if "sql_mode" in values else None
    refused = _MISREAD_MODES if session.passes_through else _LEXING_MODES
    changed = [name for name in (mode or b"").decode("latin-1").upper().split(",") if name in refused]
    if changed:
        before = session.state.variable("sql_mode") or b"DEFAULT"
        await connection.query(b"SET SESSION sql_mode = " + before)
        raise ProxyError(UNSUPPORTED_SETTING, f"sql_mode {changed[0]} is not supported")


def _charset_of(value: bytes | None) -> Charset:
    return known_charset((value or b"").decode("latin-1"))


def _literal(value: bytes | None, column: ColumnDefinition) -> bytes:
    if value is None:
        return b"NULL"
    if column.type in INTEGER_TYPES or column.type in DECIMAL_TYPES or column.type in FLOAT_TYPES:
        return value
    if not value.isascii():
        return b"CONVERT(0x" + value.hex().encode() + b" USING utf8mb4)"
    return quote(value.decode("ascii"))


def variable_key(name: str) -> str:
    """A user variable's name, `@name`, `` @`name` `` or `@'name'`, as servers compare it: in any case."""
    bare = name[1:]
    if bare[:1] in "`'\"" and bare[-1:] == bare[:1]:
        bare = bare[1:-1]
    return f"@`{bare.lower()}`"


async def remember_user_variables(session: Session, text: bytes) -> None:
    """A statement has assigned user variables on one connection: the session's other connections get them too."""
    tokens = Statement(*fingerprint(text)).tokens
    names = []
    for i, token in enumerate(tokens):
        follows = i + 1 < len(tokens) and tokens[i + 1].text == ":="
        into = any(t.upper == "INTO" for t in tokens[max(0, i - 8) : i])
        if token.kind is Kind.VARIABLE and not token.text.startswith("@@") and (follows or into or tokens[0].upper == "CALL"):
            names.append(token.text)
    held = session.executor.last_connection
    if names and held is not None:
        await _read_back(session, held, list(dict.fromkeys(names)))


async def _set_transaction(session: Session, statement: Statement) -> None:
    """SET [SESSION] TRANSACTION: without SESSION it is for the next transaction only."""
    tokens = statement.tokens
    words = [t.upper for t in tokens]
    at = words.index("TRANSACTION")
    characteristics = statement.text[tokens[at + 1].start : tokens[-1].end] if len(tokens) > at + 1 else ""
    if not characteristics or set(words[at + 1 :]) - _CHARACTERISTICS:
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax near TRANSACTION")
    if words[1] == "GLOBAL":
        raise ProxyError(PRIVILEGE, "SET GLOBAL is not for the proxy: do it on the shards' servers")
    if words[1] == "TRANSACTION" and session.state.in_transaction:
        raise ServerError(1568, "25001", "Transaction characteristics can't be changed while a transaction is in progress")
    if words[1] == "TRANSACTION":
        session.state.next_characteristics.append(characteristics)
        return
    names = ["transaction_isolation", "transaction_read_only"]
    if session.router.catalog.flavour == "mariadb":
        names = ["tx_isolation", "tx_read_only"]
    # Without autocommit it begins no transaction; one that has been asked for is not to get the new characteristics.
    async with _borrowed(session, begins=session.state.in_transaction) as connection:
        await connection.query(f"SET SESSION TRANSACTION {characteristics}".encode())
        await _read_back(session, connection, names)
