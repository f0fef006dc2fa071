"""Splitting a text into its statements, by the server's own lexing rules."""

from __future__ import annotations

import re
from typing import Final

# Whatever is not terminated reaches to the end of the text.
_PART: Final = re.compile(
    rb"""'(?:[^'\\]++|\\.?+|'')*+(?:'|\Z)|"(?:[^"\\]++|\\.?+|"")*+(?:"|\Z)|`(?:[^`]|``)*+(?:`|\Z)"""
    rb"""|--(?=\s|\Z)[^\n]*+|\#[^\n]*+|/\*.*?(?:\*/|\Z)|(;)""",
    re.DOTALL,
)
# Statements whose bodies hold semicolons: with one of these the rest of the text is left whole.
_BODY: Final = re.compile(
    rb"(?:\s|--\s[^\n]*\n|\#[^\n]*\n|/\*.*?\*/)*+(?:SET\s+STATEMENT\s[^;]*?\sFOR\s+)?"
    rb"CREATE\s+(?:OR\s+REPLACE\s+)?(?:DEFINER\s*=\s*\S+\s+)?(?:AGGREGATE\s+)?"
    rb"(?:PROCEDURE|FUNCTION|TRIGGER|EVENT|PACKAGE)\b|(?:\s|/\*.*?\*/)*+BEGIN\s+NOT\s+ATOMIC\b"
    rb"|(?:\s|/\*.*?\*/)*+(?:\w+\s*+:\s*+(?:BEGIN|FOR|LOOP|WHILE|REPEAT)|FOR|LOOP|WHILE|REPEAT|CASE|IF)\b",
    re.IGNORECASE | re.DOTALL,
)
_EMPTY: Final = re.compile(rb"(?:\s|--(?=\s|\Z)[^\n]*+|\#[^\n]*+|/\*(?!M?!).*?\*/)*+", re.DOTALL)


def split_statements(text: bytes) -> list[bytes]:
    """The statements of a text, without their semicolons; empty ones between them are left out.

    The body of a stored routine is not split: such a statement and all that follows it are one.
    """
    parts: list[bytes] = []
    start = 0
    for match in _PART.finditer(text):
        if match.group(1) is None:
            continue
        if _BODY.match(text, start):
            break
        parts.append(text[start : match.start()])
        start = match.end()
    parts.append(text[start:])
    return [part for part in parts if _EMPTY.fullmatch(part) is None]
