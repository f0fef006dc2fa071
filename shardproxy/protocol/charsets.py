"""Character sets and collations by number, as far as the proxy must know them.

The SQL lexer works on bytes, so only character sets in which an ASCII byte is always that ASCII character are accepted from
clients; gbk, sjis, big5 and the like can hide a quote or a backslash inside a character.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pymysql.charset


@dataclass(frozen=True, slots=True)
class Charset:
    """What a client speaks: the character set, the Python codec that reads it, and the collation if one was named."""

    name: str
    codec: str
    collation: str = ""

    @property
    def set_names(self) -> bytes:
        """The statement that gives a backend connection the same character set."""
        tail = f" COLLATE '{self.collation}'" if self.collation else ""
        return f"SET NAMES '{self.name}'{tail}".encode()


_CODECS: Final = {
    "utf8mb4": "utf-8",
    "utf8mb3": "utf-8",
    "utf8": "utf-8",
    "latin1": "cp1252",
    "ascii": "ascii",
    "binary": "latin-1",
}
UTF8MB4: Final = Charset("utf8mb4", "utf-8")


def charset_by_name(name: str, collation: str = "") -> Charset | None:
    """The character set of that name, or None where the proxy does not take it."""
    name = name.lower()
    codec = _CODECS.get(name)
    return Charset(name, codec, collation.lower()) if codec else None


def charset_by_id(number: int) -> Charset | None:
    """The character set of a handshake's collation number, or None where the proxy does not take it.

    The numbers are those of MySQL; 0 and numbers that only newer servers know stand for utf8mb4 with the backend's default
    collation, which is what a server does with an unknown number.
    """
    try:
        known: Any = pymysql.charset.charset_by_id(number)
    except KeyError:
        return UTF8MB4
    if known.name == "utf8mb4" and (known.is_default or number in (45, 46, 224, 255)):
        return UTF8MB4
    return charset_by_name(known.name, "" if known.is_default else known.collation)
