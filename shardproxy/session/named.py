"""PREPARE, EXECUTE and DEALLOCATE PREPARE in SQL, where tables are sharded: a name for a text, and user variables for its values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardproxy.errors import SYNTAX, TOO_MANY_STATEMENTS, UNKNOWN_STATEMENT, WRONG_ARGUMENTS, ProxyError
from shardproxy.session.channel import Sink
from shardproxy.session.prepared import prepared_text
from shardproxy.session.variables import variable_key
from shardproxy.sql.lexer import Kind, Token, unquote_name
from shardproxy.sql.statement import Statement
from shardproxy.topology.keys import unquote

if TYPE_CHECKING:
    from shardproxy.session.session import Session


async def prepare_named(session: Session, statement: Statement, sink: Sink) -> None:
    """PREPARE name FROM 'text' or @variable."""
    tokens = statement.tokens
    if len(tokens) != 4 or tokens[2].upper != "FROM":
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax near PREPARE")
    if len(session.named) >= session.router.limits.session_statements:
        raise ProxyError(TOO_MANY_STATEMENTS, "a client may have no more statements prepared (limits.session_statements)")
    text = await prepared_text(session, _text_of(session, statement, tokens[3]))
    session.plans.get(text.shape, text.sample)
    session.named[unquote_name(tokens[1].text).lower()] = text
    session.answer_ok(sink)


async def execute_named(session: Session, statement: Statement, sink: Sink) -> None:
    """EXECUTE name USING @a, @b, and EXECUTE IMMEDIATE."""
    tokens = statement.tokens
    words = statement.words(3)
    if words[1:2] == ("IMMEDIATE",) and len(tokens) > 2:
        text, rest = await prepared_text(session, _text_of(session, statement, tokens[2])), tokens[3:]
    else:
        name = unquote_name(tokens[1].text).lower() if len(tokens) > 1 else ""
        if name not in session.named:
            raise ProxyError(UNKNOWN_STATEMENT, f"Unknown prepared statement handler ({name}) given to EXECUTE", plain=True)
        text, rest = session.named[name], tokens[2:]
    values = [session.state.settings.get(variable_key(token.text), b"NULL") for token in rest if token.kind is Kind.VARIABLE]
    if len(values) != len(text.parameters):
        raise ProxyError(WRONG_ARGUMENTS, "Incorrect arguments to EXECUTE", plain=True)
    filled = iter(values)
    literals = [next(filled) if slot is None else slot for slot in text.slots]
    written = b"".join([part for pair in zip(text.pieces, literals, strict=False) for part in pair]) + text.pieces[-1]
    await session.run(session.plans.get(text.shape, literals), written, literals, sink)


async def deallocate_named(session: Session, statement: Statement, sink: Sink) -> None:
    """DEALLOCATE PREPARE name, and DROP PREPARE name."""
    name = unquote_name(statement.tokens[-1].text).lower()
    if session.named.pop(name, None) is None:
        raise ProxyError(UNKNOWN_STATEMENT, f"Unknown prepared statement handler ({name}) given to DEALLOCATE PREPARE", plain=True)
    session.answer_ok(sink)


def _text_of(session: Session, statement: Statement, token: Token) -> bytes:
    if token.kind is Kind.VARIABLE:
        value = session.state.settings.get(variable_key(token.text), b"''")
        return bytes.fromhex(value[10:].split(b" ")[0].decode()) if value.startswith(b"CONVERT(0x") else unquote(value)
    slot = statement.slots.get(token.start)
    if token.kind is not Kind.STRING or slot is None:
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax near PREPARE: a string is expected")
    return unquote(statement.literals[slot])
