"""The rows of an INSERT ... VALUES, found in its text without parsing it: a statement of megabytes is common here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from shardproxy.errors import BAD_FIELD_COUNT, SYNTAX, ProxyError

_VERB: Final = re.compile(rb"\s*+(?:INSERT|REPLACE)\b", re.IGNORECASE)
_VALUES: Final = re.compile(rb"\bVALUES?\s*+(?=\()", re.IGNORECASE)
# The names of a table and of its columns fit in there.
_MAX_HEAD_BYTES: Final = 256 * 1024
_SIMPLE: Final = (
    rb"(?:'(?:[^'\\]++|\\.?+|'')*+'|\"(?:[^\"\\]++|\\.?+|\"\")*+\"|(?:[+-]\s*)?[0-9][0-9.]*+(?:[eE][+-]?[0-9]+)?|[A-Za-z]++)(?=\s*[,)])"
)
_PIECE: Final = re.compile(
    rb"'(?:[^'\\]++|\\.?+|'')*+(?:'|\Z)|\"(?:[^\"\\]++|\\.?+|\"\")*+(?:\"|\Z)|`[^`]*+(?:`|\Z)|/\*.*?(?:\*/|\Z)|--\s[^\n]*|#[^\n]*|[(),]|[^'\"`(),/#-]++|.",
    re.DOTALL,
)


_COMMENT: Final = re.compile(
    rb"""('(?:[^'\\]++|\\.?+|'')*+(?:'|\Z)|"(?:[^"\\]++|\\.?+|"")*+(?:"|\Z)|`[^`]*+(?:`|\Z))"""
    rb"""|/\*.*?(?:\*/|\Z)|--(?=\s|\Z)[^\n]*+|#[^\n]*+""",
    re.DOTALL,
)
_TAIL: Final = re.compile(rb"(?:ON|AS|RETURNING)\b|\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InsertRow:
    """One row: its text with parentheses, and the text of the values that were asked for."""

    text: bytes
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class InsertText:
    """An INSERT taken apart: everything before the rows, the rows, and everything behind them."""

    head: bytes
    rows: list[InsertRow]
    tail: bytes


@lru_cache(maxsize=256)
def _row_pattern(width: int, positions: tuple[int, ...]) -> re.Pattern[bytes]:
    """Matches a row of `width` plain literals, with a group for each position in ascending order."""
    fields = [b"(" + _SIMPLE + b")" if i in positions else _SIMPLE for i in range(width)]
    return re.compile(rb"\(\s*" + rb"\s*,\s*".join(fields) + rb"\s*\)\s*", re.DOTALL)


def without_comments(text: bytes) -> bytes:
    """The statement with each comment replaced by a space; what stands in quotes is no comment."""
    if b"/*" not in text and b"--" not in text and b"#" not in text:
        return text
    return _COMMENT.sub(lambda match: match.group(1) or b" ", text)


def has_rows(text: bytes) -> bool:
    """Whether a statement starts like an INSERT or REPLACE with rows of values."""
    return _head_end(without_comments(text[:_MAX_HEAD_BYTES])) > 0


def _head_end(text: bytes) -> int:
    """Where the first row starts, or 0 where the statement is not of this kind."""
    if _VERB.match(text) is None:
        return 0
    found = _VALUES.search(text, 0, _MAX_HEAD_BYTES)
    if found is None or b"'" in text[: found.start()] or b'"' in text[: found.start()]:
        return 0
    return found.end()


def split_rows(text: bytes, width: int, positions: tuple[int, ...]) -> InsertText:
    """Take an INSERT apart. `positions` (ascending) are the values wanted of each row, which must have `width` of them."""
    text = without_comments(text)
    head_end = _head_end(text)
    if not head_end:
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax: the rows of this INSERT cannot be found")
    pattern = _row_pattern(width, positions)
    rows: list[InsertRow] = []
    pos = head_end
    while True:
        match = pattern.match(text, pos)
        if match is not None:
            rows.append(InsertRow(match.group().rstrip(), match.groups()))
            pos = match.end()
        else:
            row, pos = _walk_row(text, pos, width, positions, len(rows) + 1)
            rows.append(row)
        if text[pos : pos + 1] != b",":
            break
        pos += 1
        while text[pos : pos + 1].isspace():
            pos += 1
    tail = text[pos:].rstrip(b"; \t\r\n")
    if _TAIL.match(tail) is None:
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax behind the rows of this INSERT")
    return InsertText(text[:head_end], rows, tail)


def first_row_only(text: bytes) -> bytes:
    """The same INSERT with its first row alone: what the plan of a long one is made from."""
    text = without_comments(text)
    head_end = _head_end(text)
    if not head_end:
        return text
    end = _row_end(text, head_end)
    tail = end
    while text[tail : tail + 1] == b"," or text[tail : tail + 1].isspace():
        start = tail
        while text[start : start + 1] == b"," or text[start : start + 1].isspace():
            start += 1
        if text[start : start + 1] != b"(":
            break
        tail = _row_end(text, start)
    return text[:end] + b" " + text[tail:]


def _row_end(text: bytes, pos: int) -> int:
    depth = 0
    for match in _PIECE.finditer(text, pos):
        piece = match.group()
        if piece == b"(":
            depth += 1
        elif piece == b")":
            depth -= 1
            if not depth:
                return match.end()
    raise ProxyError(SYNTAX, "You have an error in your SQL syntax: a row of this INSERT has no end")


def _walk_row(text: bytes, pos: int, width: int, positions: tuple[int, ...], number: int) -> tuple[InsertRow, int]:
    """A row with expressions in it."""
    if text[pos : pos + 1] != b"(":
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax: the rows of this INSERT cannot be found")
    depth, start, values = 0, pos + 1, []
    for match in _PIECE.finditer(text, pos):
        piece = match.group()
        if piece == b"(":
            depth += 1
        elif piece == b"," and depth == 1:
            values.append(text[start : match.start()].strip())
            start = match.end()
        elif piece == b")":
            depth -= 1
            if not depth:
                values.append(text[start : match.start()].strip())
                if len(values) != width:
                    raise ProxyError(BAD_FIELD_COUNT, f"Column count doesn't match value count at row {number}", plain=True)
                end = match.end()
                while text[end : end + 1].isspace():
                    end += 1
                return InsertRow(text[pos : match.end()], tuple(values[i] for i in positions)), end
    raise ProxyError(SYNTAX, "You have an error in your SQL syntax: a row of this INSERT has no end")
