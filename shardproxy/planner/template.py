"""Texts with holes: literals by number, values that only the session knows, and a LIMIT that covers the OFFSET too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from shardproxy.sql.lexer import Kind, Token
from shardproxy.sql.statement import Statement


class SessionValue(Enum):
    """A function or variable that the proxy answers for the client's own session."""

    DATABASE = "DATABASE()"
    CONNECTION_ID = "CONNECTION_ID()"
    USER = "USER()"
    CURRENT_USER = "CURRENT_USER()"
    LAST_INSERT_ID = "LAST_INSERT_ID()"
    ROW_COUNT = "ROW_COUNT()"
    FOUND_ROWS = "FOUND_ROWS()"
    AUTOCOMMIT = "@@autocommit"
    WARNING_COUNT = "@@warning_count"
    ERROR_COUNT = "@@error_count"
    VERSION = "VERSION()"
    PORT = "@@port"
    SOCKET = "@@socket"
    READS = "@@shardproxy_reads"
    MAX_LAG_MS = "@@shardproxy_max_lag_ms"
    PHYSICAL_SCHEMA = "the schema's name on the shard"
    PHYSICAL_NAME = "the same as a string"
    LOGICAL_NAME = "the logical schema's name, as a string"


@dataclass(frozen=True, slots=True)
class LimitSum:
    """LIMIT for a shard: the statement's offset and limit added up."""

    limit: int
    offset: int | None


@dataclass(frozen=True, slots=True)
class OwnershipFilter:
    """A text for the shards on which rows may lie that belong elsewhere, and nothing on all others; see `ownership`.

    `texts` has it by shard, in parts between which `column` stands.
    """

    texts: Mapping[str, tuple[bytes, ...]]
    column: bytes = b""

    def on(self, shard: str) -> bytes:
        """What the shard gets."""
        parts = self.texts.get(shard)
        return b"" if parts is None else self.column.join(parts)


Piece = bytes | int | SessionValue | LimitSum | OwnershipFilter
Template = tuple[Piece, ...]

_FUNCTIONS = {
    "DATABASE": SessionValue.DATABASE,
    "SCHEMA": SessionValue.DATABASE,
    "CONNECTION_ID": SessionValue.CONNECTION_ID,
    "USER": SessionValue.USER,
    "SESSION_USER": SessionValue.USER,
    "SYSTEM_USER": SessionValue.USER,
    "CURRENT_USER": SessionValue.CURRENT_USER,
    "LAST_INSERT_ID": SessionValue.LAST_INSERT_ID,
    "ROW_COUNT": SessionValue.ROW_COUNT,
    "FOUND_ROWS": SessionValue.FOUND_ROWS,
    "VERSION": SessionValue.VERSION,
}
_VARIABLES = {
    "AUTOCOMMIT": SessionValue.AUTOCOMMIT,
    "VERSION": SessionValue.VERSION,
    # Some clients connect again by what these say.
    "PORT": SessionValue.PORT,
    "SOCKET": SessionValue.SOCKET,
    "WARNING_COUNT": SessionValue.WARNING_COUNT,
    "ERROR_COUNT": SessionValue.ERROR_COUNT,
    "LAST_INSERT_ID": SessionValue.LAST_INSERT_ID,
    "IDENTITY": SessionValue.LAST_INSERT_ID,
    "SHARDPROXY_READS": SessionValue.READS,
    "SHARDPROXY_MAX_LAG_MS": SessionValue.MAX_LAG_MS,
    "PSEUDO_THREAD_ID": SessionValue.CONNECTION_ID,
}


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `[start, end)` of a statement's text by a piece."""

    start: int
    end: int
    piece: Piece


def session_value_edits(tokens: Sequence[Token]) -> list[Edit]:
    """Where a statement asks for something that is the session's own."""
    edits = []
    for i, token in enumerate(tokens):
        if token.kind is Kind.VARIABLE and token.text.startswith("@@"):
            name = token.upper[2:].removeprefix("SESSION.").removeprefix("LOCAL.")
            if name.removeprefix("GLOBAL.") in ("PORT", "SOCKET", "VERSION"):
                name = name.removeprefix("GLOBAL.")
            if name in _VARIABLES:
                edits.append(Edit(token.start, token.end, _VARIABLES[name]))
        elif token.kind is Kind.WORD and token.upper in _FUNCTIONS and (i == 0 or tokens[i - 1].text != "."):
            called = [t.text for t in tokens[i + 1 : i + 3]]
            if called == ["(", ")"]:
                edits.append(Edit(token.start, tokens[i + 2].end, _FUNCTIONS[token.upper]))
            elif token.upper == "CURRENT_USER" and called[:1] != ["("]:
                edits.append(Edit(token.start, token.end, SessionValue.CURRENT_USER))
    return edits


def pieces(statement: Statement, start: int, end: int, edits: Sequence[Edit] = ()) -> list[Piece]:
    """The span `[start, end)` of a statement as template pieces, with its literals as holes and `edits` carried out."""
    inside = sorted((edit for edit in edits if start <= edit.start and edit.end <= end), key=lambda edit: edit.start)
    result: list[Piece] = []
    pos = start
    for edit in inside:
        result += _with_slots(statement, pos, edit.start)
        result.append(edit.piece)
        pos = edit.end
    result += _with_slots(statement, pos, end)
    return result


def quoted_name(name: str) -> bytes:
    """An identifier in backticks."""
    return b"`" + name.replace("`", "``").encode("latin-1") + b"`"


def template_of(parts: Sequence[Piece]) -> Template:
    """Join neighbouring texts."""
    result: list[Piece] = []
    for part in parts:
        if isinstance(part, bytes) and result and isinstance(result[-1], bytes):
            result[-1] += part
        elif part != b"":
            result.append(part)
    return tuple(result)


def _with_slots(statement: Statement, start: int, end: int) -> list[Piece]:
    result: list[Piece] = []
    pos = start
    for at in sorted(statement.slots):
        slot = statement.slots[at]
        if at < pos or at >= end:
            continue
        result.append(statement.text[pos:at].encode("latin-1"))
        result.append(slot)
        pos = statement.ends[slot]
    result.append(statement.text[pos:end].encode("latin-1"))
    return result
