"""The shape of a statement: its text with the literals lifted out. This is what plans are cached by.

It runs for every statement, so it is one regular expression over bytes and nothing more. A literal list behind IN counts as
one literal, so that lists of any length share a plan. Comments are dropped, but for optimizer hints; identifiers in backticks
stay. Text where only ASCII bytes mean ASCII characters is assumed (see `protocol.charsets`).

Text is hostile: whatever is not terminated reaches to the end of the text, so that no pattern looks at a byte more than a few
times.
"""

from __future__ import annotations

import re
from typing import Final

MARK: Final = b"?"
# What stands for a `?` inside of a quoted name, so that a mark is always a literal's: bytes that no name has.
QUOTED_MARK: Final = b"\x1a\x01\x1a"

_STRING: Final = rb"""'(?:[^'\\]++|\\.?+|'')*+'"""
_NUMBER: Final = rb"(?:0[xX][0-9a-fA-F]++|[0-9]++(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?)"
_ITEM: Final = rb"(?:[+-]?" + _NUMBER + rb"|" + _STRING + rb"|[nN][uU][lL][lL])"
_LIST: Final = rb"\s*+" + _ITEM + rb"(?:\s*+,\s*+" + _ITEM + rb")*+\s*+\)"

# Every alternative starts with one of the characters of the leading set, which lets the engine skip all others quickly; the
# lookbehinds then tell which it was. A digit inside a name (t1, @v2, 1.5's tail) starts no literal.
_LITERAL: Final = (
    rb"(?:(?<=')(?:[^'\\]++|\\.?+|'')*+(?:'|\Z)"
    rb'|(?<=")(?:[^"\\]++|\\.?+|"")*+(?:"|\Z)'
    rb"|(?<=[0-9])(?<![0-9A-Za-z_$.@\x80-\xff][0-9])"
    rb"(?:(?<=0)[xX][0-9a-fA-F]++|[0-9]*+(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?)(?![A-Za-z_$\x80-\xff])"
    rb"|(?<=\()(?:(?<=[\s`)][iI][nN]\()|(?<=[\s`)][iI][nN] \())" + _LIST + rb")"
)
_PLAIN: Final = re.compile(rb"""(['"0-9(]""" + _LITERAL + rb")", re.DOTALL)
_COMMENTED: Final = re.compile(
    rb"(?:(`(?:[^`]|``)*+(?:`|\Z)|--(?=\s|\Z)[^\n]*+|#[^\n]*+|/\*.*?(?:\*/|\Z))|(['\"0-9(]" + _LITERAL + rb"))", re.DOTALL
)


_LIST_ITEM: Final = re.compile(rb"""\s*([+-]?[0-9][^,)\s]*|'(?:[^'\\]++|\\.?+|'')*+'|[nN][uU][lL][lL])\s*[,)]""", re.DOTALL)


def list_items(raw: bytes) -> list[bytes]:
    """The elements of a literal list `(a, b, ...)`, as written."""
    return _LIST_ITEM.findall(raw, 1)


def fingerprint(text: bytes) -> tuple[bytes, list[bytes]]:
    """The shape of a statement and its literals as they were written, in order."""
    if b"`" in text or b"--" in text or b"#" in text or b"/*" in text:
        return _with_comments(text)
    parts = _PLAIN.split(text)
    return MARK.join(parts[::2]), parts[1::2]


def fingerprint_prepared(text: bytes) -> tuple[bytes, list[bytes | None]]:
    """The same for a statement to be prepared: each `?` of the text is a parameter, whose literal is None for now."""
    slots: list[bytes | None] = []
    if not (b"`" in text or b"--" in text or b"#" in text or b"/*" in text):
        parts = _PLAIN.split(text)
        for i in range(0, len(parts), 2):
            slots += [None] * parts[i].count(MARK)
            slots += parts[i + 1 : i + 2]
        return MARK.join(parts[::2]), slots
    parts = _COMMENTED.split(text)
    for i in range(0, len(parts), 3):
        slots += [None] * parts[i].count(MARK)
        if parts[i + 2 : i + 3] and parts[i + 2] is not None:
            slots.append(parts[i + 2])
    return fingerprint(text)[0], slots


def shape_within(text: bytes, max_bytes: int) -> bool:
    """Whether the shape of a very long statement stays within `max_bytes`; gives up as soon as it does not.

    Meant for a thread: unlike `fingerprint` it comes up for air between literals.
    """
    size = pos = 0
    for match in _COMMENTED.finditer(text):
        size += match.start() - pos + 1
        pos = match.end()
        if size > max_bytes:
            return False
    return size + len(text) - pos <= max_bytes


def _with_comments(text: bytes) -> tuple[bytes, list[bytes]]:
    parts = _COMMENTED.split(text)
    literals: list[bytes] = []
    shape: list[bytes] = [parts[0]]
    for i in range(1, len(parts), 3):
        kept, literal = parts[i], parts[i + 1]
        if literal is not None:
            literals.append(literal)
            shape.append(MARK)
        elif kept[:1] == b"`" or kept[:3] == b"/*+":
            shape.append(kept.replace(MARK, QUOTED_MARK) if MARK in kept else kept)
        else:
            shape.append(b" ")
        shape.append(parts[i + 2])
    return b"".join(shape), literals


_EXECUTABLE: Final = re.compile(
    rb"""('(?:[^'\\]++|\\.?+|'')*+(?:'|\Z)|"(?:[^"\\]++|\\.?+|"")*+(?:"|\Z)|`[^`]*+(?:`|\Z))|/\*(M?)!(\d{5,6})?(.*?)(?:\*/|\Z)""", re.DOTALL
)


def expand_executable_comments(text: bytes, flavour: str, server_version: int) -> bytes:
    """Replace `/*! ... */` and `/*M! ... */` by what the server would execute of them.

    `server_version` is like 101119. A MySQL server ignores `/*M!`; MariaDB ignores MySQL's versions 50700 to 99999.
    """

    def expand(match: re.Match[bytes]) -> bytes:
        if match.group(1) is not None:
            return match.group(1)
        version = int(match.group(3) or 0)
        if match.group(2) and flavour != "mariadb":
            return b" "
        if flavour == "mariadb" and not match.group(2) and 50700 <= version <= 99999:
            return b" "
        return b" " + match.group(4) + b" " if version <= server_version else b" "

    return _EXECUTABLE.sub(expand, text)
