"""The parts of a SET, as its tokens say them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shardproxy.errors import SYNTAX, UNKNOWN_CHARSET, UNSUPPORTED_SETTING, ProxyError
from shardproxy.protocol.charsets import Charset, charset_by_name
from shardproxy.sql.lexer import Token, skip_parentheses, unquote_name

_OF_SERVER = frozenset(("GLOBAL", "PERSIST", "PERSIST_ONLY"))
SCOPES = _OF_SERVER | {"SESSION", "LOCAL"}


@dataclass(frozen=True, slots=True)
class Assignment:
    """One assignment of a SET: the variable's name (user variables with their @), the tokens of its value, and whether it is the
    server's (`SET GLOBAL`) and not the session's. SET NAMES and SET CHARACTER SET have `text` in place of a value."""

    name: str
    value: list[Token]
    scope: str = ""
    text: bytes = b""


def split_assignments(tokens: Sequence[Token]) -> list[list[Token]]:
    """The assignments of a SET."""
    parts: list[list[Token]] = [[]]
    i = 0
    while i < len(tokens):
        if tokens[i].text == "(":
            end = skip_parentheses(tokens, i)
            parts[-1] += tokens[i:end]
            i = end
            continue
        if tokens[i].text == ",":
            parts.append([])
        else:
            parts[-1].append(tokens[i])
        i += 1
    return parts


def assignment_of(part: list[Token], scope: str) -> Assignment:
    """One of them, where the last word before it that names a scope is `scope`: that holds until another one comes."""
    at = int(part[0].upper in SCOPES)
    cache = ""
    if [token.text for token in part[at + 1 : at + 2]] == ["."]:
        # A key cache's variable.
        cache, at = unquote_name(part[at].text) + ".", at + 2
    if at + 2 > len(part) - 1 or part[at + 1].text not in ("=", ":="):
        raise ProxyError(SYNTAX, "You have an error in your SQL syntax near SET")
    name = part[at].text
    if name.startswith("@@"):
        prefix, dot, rest = name[2:].partition(".")
        scope, name = (prefix.upper(), rest) if dot and prefix.upper() in SCOPES else ("", name[2:])
    if name.startswith("@"):
        scope = ""
    else:
        # The names of key caches are told apart by case.
        named, dot, name = (cache + unquote_name(name)).rpartition(".")
        name = named + dot + name.lower()
        if not name.replace("_", "").replace(".", "").isalnum():
            raise ProxyError(SYNTAX, "You have an error in your SQL syntax near SET")
    return Assignment(name, part[at + 2 :], scope if scope in _OF_SERVER else "")


def charset_of(tokens: Sequence[Token]) -> Charset:
    """What stands behind SET NAMES or SET CHARACTER SET."""
    values = [unquote_name(t.text).strip("'\"") for t in tokens if t.upper not in ("=", "SET")]
    if len(values) == 1:
        # In quotes it is a name, of none.
        return known_charset("utf8mb4" if tokens[-1].upper == "DEFAULT" else values[0])
    if len(values) == 3 and values[1].upper() == "COLLATE":
        if not values[2].replace("_", "").isalnum():
            raise ProxyError(SYNTAX, "You have an error in your SQL syntax near COLLATE")
        return known_charset(values[0], values[2])
    raise ProxyError(SYNTAX, "You have an error in your SQL syntax near NAMES")


def known_charset(name: str, collation: str = "") -> Charset:
    """The character set of that name; raises `ProxyError` for one that the proxy does not take."""
    charset = charset_by_name(name, collation)
    if charset is None:
        raise ProxyError(UNKNOWN_CHARSET, f"character set '{name}' is not supported; use utf8mb4")
    return charset


def boolean_of(value: bytes) -> bool:
    """What autocommit is set to."""
    word = value.upper().strip(b"'\"")
    if word in (b"1", b"ON", b"TRUE", b"DEFAULT"):
        return True
    if word in (b"0", b"OFF", b"FALSE"):
        return False
    raise ProxyError(UNSUPPORTED_SETTING, f"autocommit cannot be set to {value.decode('latin-1')[:40]}")
