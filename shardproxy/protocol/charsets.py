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
    def names(self) -> str:
        """What SET has to say to give a backend connection the same character set."""
        tail = f" COLLATE '{self.collation}'" if self.collation else ""
        return f"NAMES '{self.name}'{tail}"


_CODECS: Final = {
    "utf8mb4": "utf-8",
    "utf8mb3": "utf-8",
    "utf8": "utf-8",
    "latin1": "cp1252",
    "latin2": "iso8859-2",
    "latin5": "iso8859-9",
    "latin7": "iso8859-13",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1256": "cp1256",
    "cp1257": "cp1257",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp866": "cp866",
    "greek": "iso8859-7",
    "hebrew": "iso8859-8",
    "koi8r": "koi8-r",
    "koi8u": "koi8-u",
    "macce": "mac-latin2",
    "macroman": "mac-roman",
    "tis620": "tis-620",
    # EUC: both bytes of a character have the high bit set.
    "ujis": "euc-jp",
    "euckr": "euc-kr",
    "gb2312": "gb2312",
    "ascii": "ascii",
    "binary": "latin-1",
}
# The variables that SET NAMES sets.
OF_NAMES: Final = frozenset(("character_set_client", "character_set_connection", "character_set_results", "collation_connection"))
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
    # utf8mb4_0900_ai_ci: a server that does not know it takes its own default.
    if known.name == "utf8mb4" and number == 255:
        return UTF8MB4
    # The character set's default collation is not the same on every server, so what the client means is said.
    return charset_by_name(known.name, known.collation)
