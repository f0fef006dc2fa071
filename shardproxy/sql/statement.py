"""A statement on its way into a plan: text, tokens, the places of its literals, and its syntax tree."""

from __future__ import annotations

import logging
import re
from functools import cached_property
from typing import Any, ClassVar, Final

import sqlglot
from sqlglot import exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from shardproxy.errors import SYNTAX, TOO_COMPLEX, ProxyError
from shardproxy.sql.fingerprint import MARK, QUOTED_MARK
from shardproxy.sql.lexer import Token, tokenize

# Beyond this the parser would hold up every other client for too long. Lists behind IN and rows of INSERT do not count.
MAX_PARSED_BYTES: Final = 48 * 1024
# The same where nothing is parsed, but only looked through for its tokens.
MAX_READ_BYTES: Final = 1024 * 1024
_SHOWN_BYTES: Final = 64
POSITION: Final = "start"

# sqlglot warns where it keeps a statement as an opaque command; such statements never reach its tree here.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


def _positioned(parse: Any) -> Any:
    def with_position(parser: Any, token: Any) -> Any:
        node = parse(parser, token)
        if isinstance(node, exp.Expression):
            node.meta[POSITION] = token.start
        return node

    return with_position


_Parser: Any = MySQL.Parser


class _PositionedParser(_Parser):  # type: ignore[misc]
    """sqlglot's MySQL parser, with the place of each literal kept on its node."""

    PRIMARY_PARSERS: ClassVar[dict[Any, Any]] = {
        **_Parser.PRIMARY_PARSERS,
        **{kind: _positioned(_Parser.PRIMARY_PARSERS[kind]) for kind in (TokenType.STRING, TokenType.NUMBER)},
    }


class Statement:
    """One statement, seen as latin-1 text in which each literal list behind IN is shortened to its first element.

    `slots` maps the start of each literal in `text` to its number; `ends` gives where literal i ends; `lists` are the numbers
    of those that stand for a list.
    """

    def __init__(self, shape: bytes, literals: list[bytes], max_bytes: int = MAX_PARSED_BYTES) -> None:
        if len(shape) > max_bytes:
            raise ProxyError(TOO_COMPLEX, f"the statement is longer than {max_bytes} bytes, not counting its literals")
        texts = shape.decode("latin-1").split(MARK.decode())
        if QUOTED_MARK in shape:
            texts = [text.replace(QUOTED_MARK.decode(), MARK.decode()) for text in texts]
        if len(texts) != len(literals) + 1:
            raise ProxyError(SYNTAX, "You have an error in your SQL syntax near '?'")
        self._shape = shape
        self.literals = literals
        self.slots: dict[int, int] = {}
        self.ends: list[int] = []
        self.lists: set[int] = set()
        parts = [texts[0]]
        size = len(texts[0])
        for number, (raw, text) in enumerate(zip(literals, texts[1:], strict=True)):
            shown = _shown(raw)
            if raw[:1] == b"(":
                self.lists.add(number)
                shown = "(" + _first_item(raw.decode("latin-1")) + ")"
                self.slots[size + 1] = number
            self.slots[size] = number
            parts += (shown, text)
            self.ends.append(size + len(shown))
            size += len(shown) + len(text)
        self.text = "".join(parts)

    @cached_property
    def tokens(self) -> list[Token]:
        """The tokens, without a closing semicolon."""
        tokens = tokenize(self.text)
        while tokens and tokens[-1].text == ";":
            tokens.pop()
        return tokens

    @property
    def verb(self) -> str:
        """The first keyword in upper case; an opening parenthesis counts as what it holds."""
        return next((token.upper for token in self.tokens if token.text != "("), "")

    def words(self, count: int) -> tuple[str, ...]:
        """The first tokens in upper case."""
        return tuple(token.upper for token in self.tokens[:count])

    @cached_property
    def tree(self) -> exp.Expression:
        """The syntax tree; raises `ProxyError` where there is none."""
        try:
            text = self._without_modifiers()
            trees = _PositionedParser(dialect="mysql").parse(sqlglot.tokenize(text, dialect="mysql"), text)
        except RecursionError:
            raise ProxyError(TOO_COMPLEX, "the statement is nested too deeply") from None
        except SqlglotError as error:
            detail = str(error).split("\n", 1)[0][:200]
            raise ProxyError(SYNTAX, f"You have an error in your SQL syntax, or shardproxy cannot read it: {detail}") from None
        found: list[exp.Expression] = [tree for tree in trees if tree is not None]
        if len(found) != 1:
            raise ProxyError(SYNTAX, "You have an error in your SQL syntax; one statement at a time")
        return found[0]

    def _without_modifiers(self) -> str:
        """The text with words that sqlglot does not know blanked out; nothing else moves."""
        text = self.text
        if self.verb in ("UPDATE", "DELETE"):
            for token in self.tokens[1:4]:
                if token.upper not in ("LOW_PRIORITY", "IGNORE", "QUICK"):
                    break
                text = text[: token.start] + " " * len(token.text) + text[token.end :]
        return text

    def without_prefix(self, size: int) -> Statement:
        """The statement behind the first `size` characters of the text, which hold no literal."""
        if any(at < size for at in self.slots):
            raise ProxyError(SYNTAX, "You have an error in your SQL syntax")
        return Statement(self._shape[size:], self.literals)

    def slot_of(self, node: exp.Expression) -> int | None:
        """The number of the literal that a node of the tree was read from."""
        return self.slots.get(node.meta.get(POSITION, -1))


def _shown(raw: bytes) -> str:
    """A literal as it stands in the text that is parsed: a long one is only a stand-in, whose value nobody looks at there."""
    if len(raw) <= _SHOWN_BYTES:
        return raw.decode("latin-1")
    return "'...'" if raw[:1] in b"'\"" else "0"


def _first_item(listed: str) -> str:
    """The first element of a literal list `(a, b, ...)`, without a sign."""
    for match in _LISTED.finditer(listed):
        if match.group(1).upper() != "NULL":
            return _shown(match.group(1).encode("latin-1"))
    return "0"


_LISTED: Final = re.compile(r"""[(,]\s*[+-]?('(?:[^'\\]++|\\.?+|'')*+'|[^\s,)]+)""", re.DOTALL)
