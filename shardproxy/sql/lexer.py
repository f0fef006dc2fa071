"""Tokens of a statement, for the work that needs exact places in its text. Runs once per shape, and over long INSERTs.

Text is `str` in a latin-1 view of the client's bytes: every byte is one character, so offsets in text, tokens, literals and
the parser's positions are the same numbers.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """What a token is."""

    WORD = "word"
    QUOTED = "quoted"
    STRING = "string"
    NUMBER = "number"
    VARIABLE = "variable"
    PUNCTUATION = "punctuation"


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its place `[start, end)`. `upper` is its text in upper case, for comparing with keywords."""

    kind: Kind
    start: int
    end: int
    text: str
    upper: str


_TOKEN: Final = re.compile(
    r"(?P<skip>\s+|--(?=\s|\Z)[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|(?P<variable>@@?(?:[\w.$\x80-\xff]+|`[^`]*`|'[^']*')|@)"
    r"|(?P<string>'(?:[^'\\]++|\\.?+|'')*+(?:'|\Z)|\"(?:[^\"\\]++|\\.?+|\"\")*+(?:\"|\Z))"
    r"|(?P<number>0[xX][0-9a-fA-F]+(?![\w$])|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w$]))"
    r"|(?P<quoted>`(?:[^`]|``)*+(?:`|\Z))"
    r"|(?P<word>[\w$\x80-\xff]+)"
    r"|(?P<punctuation>:=|<=>|<>|!=|<=|>=|\|\||&&|<<|>>|->>|->|.)",
    re.DOTALL | re.ASCII,
)
_KINDS: Final = {kind.value: kind for kind in Kind}


def tokenize(text: str) -> list[Token]:
    """All tokens but white space and comments."""
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind is None or kind == "skip":
            continue
        raw = match.group()
        tokens.append(Token(_KINDS[kind], match.start(), match.end(), raw, raw.upper()))
    return tokens


def unquote_name(raw: str) -> str:
    """An identifier without its backticks."""
    return raw[1:-1].replace("``", "`") if raw[:1] == "`" else raw


def is_name(token: Token) -> bool:
    """Whether a token can be an identifier."""
    return token.kind in (Kind.WORD, Kind.QUOTED)


def skip_parentheses(tokens: Sequence[Token], i: int) -> int:
    """The index behind the parenthesis that closes the one at `i`, or the number of tokens where none does."""
    depth = 0
    for j in range(i, len(tokens)):
        text = tokens[j].text
        if text == "(":
            depth += 1
        elif text == ")":
            depth -= 1
            if not depth:
                return j + 1
    return len(tokens)


def function_names(tokens: Sequence[Token]) -> set[str]:
    """Names, in upper case, that stand right before an opening parenthesis: functions, and some keywords."""
    return {a.upper for a, b in itertools.pairwise(tokens) if b.text == "(" and a.kind is Kind.WORD}
