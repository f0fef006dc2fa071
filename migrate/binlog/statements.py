"""What a statement in the log means for the tables that are watched.

Only its first words are understood. Beyond them a table counts as named where its name stands as a word, be it in a comment: stopping
for nothing is better than missing a change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

from migrate.binlog.errors import MalformedEvent, SchemaChanged, StatementLogged
from migrate.binlog.events import Query

# Names of our own tables and triggers begin so.
OWN_PREFIX: Final = "_sp_"

_XA_END: Final = re.compile(rb"XA\s+(COMMIT|ROLLBACK)\s+(X'[0-9a-f]*',X'[0-9a-f]*',-?\d+)\s*", re.IGNORECASE)
# The opening of a versioned comment is a blank: what is in it is carried out.
_TOKEN: Final = re.compile(
    rb"""(?:\s+|/\*M?!\d*|\*/|/\*(?!M?!).*?\*/|--(?=[\s]|$)[^\n]*|\#[^\n]*)
       | (?P<word>[0-9A-Za-z_$\x80-\xff]+)
       | `(?P<quoted>(?:[^`]|``)*)` | "(?P<double>(?:[^"]|"")*)" | (?P<text>'(?:[^'\\]|''|\\.)*')
       | .""",
    re.VERBOSE | re.DOTALL,
)
_HEAD_TOKENS: Final = 24
_WHOLE_DELETE: Final = re.compile(rb"\s*DELETE\s+FROM\s+`(?:[^`]|``)+`\.`(?:[^`]|``)+`\s*", re.IGNORECASE)

_DML: Final = frozenset(("INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "DO", "SELECT", "WITH", "VALUES", "TABLE", "HANDLER"))
# Statements that change neither the rows nor the columns of a table.
_HARMLESS: Final = frozenset(("GRANT", "REVOKE", "FLUSH", "ANALYZE", "OPTIMIZE", "CHECK", "INSTALL", "UNINSTALL", "SAVEPOINT", "RELEASE"))
_DEFINITIONS: Final = frozenset(("CREATE", "ALTER", "DROP", "RENAME"))
# What CREATE and its like may concern besides tables, indexes, triggers and schemas.
_HARMLESS_OBJECTS: Final = frozenset(("VIEW", "PROCEDURE", "FUNCTION", "EVENT", "USER", "ROLE", "SERVER", "PACKAGE", "LOGFILE", "RESOURCE"))
_OBJECTS: Final = _HARMLESS_OBJECTS | {"TABLE", "TABLES", "INDEX", "TRIGGER", "DATABASE", "SCHEMA", "SEQUENCE", "TABLESPACE"}


class Frame(Enum):
    """Words of a transaction's frame."""

    BEGIN = auto()
    XA_START = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    XA_COMMIT = auto()
    XA_ROLLBACK = auto()


# How servers write them.
_FRAMES: Final = {b"BEGIN": Frame.BEGIN, b"START TRANSACTION": Frame.BEGIN, b"COMMIT": Frame.COMMIT, b"ROLLBACK": Frame.ROLLBACK}


def frame_of(text: bytes) -> tuple[Frame | None, bytes]:
    """Which word of a transaction's frame a statement is, and the id of the XA transaction that it resolves."""
    frame = _FRAMES.get(text)
    if frame is not None or len(text) > 1000:
        return frame, b""
    if text[:3].upper() == b"XA ":
        if text[3:9].upper() == b"START " or text[3:9].upper() == b"BEGIN ":
            return Frame.XA_START, b""
        if text[3:].lstrip()[:1].upper() in (b"C", b"R"):
            match = _XA_END.fullmatch(text)
            if match is None:
                raise MalformedEvent("the end of an XA transaction has an unknown form")
            return (Frame.XA_COMMIT if match[1].upper() == b"COMMIT" else Frame.XA_ROLLBACK), match[2].lower().replace(b"x'", b"X'")
        return None, b""
    return _FRAMES.get(text.strip().upper()), b""


class Statements:
    """Judges statements for the watched tables of one schema."""

    def __init__(self, schema: str, tables: Iterable[str]) -> None:
        self.schema = schema
        self._schema = schema.encode().lower()
        self._names_schema = _word(schema)
        # Our own tables are made and dropped at any time; their rows are checked against the layout like all others.
        self._tables = {name: _word(name) for name in tables if not name.startswith(OWN_PREFIX)}
        self._odd = next((name for name in (schema, *self._tables) if not name.isascii()), "")

    def check(self, query: Query) -> None:
        """Raises `SchemaChanged` or `StatementLogged` where the statement concerns a watched table."""
        head = _head(query.text)
        if head[:2] == ["SET", "STATEMENT"] and "FOR" in head:
            # MariaDB: variables for one statement.
            head = head[head.index("FOR") + 1 :]
        if not head or head[0] in _HARMLESS:
            return
        statement = query.text.decode("utf-8", "replace")
        here = query.schema.lower() == self._schema or self._finds(self._names_schema, query.text)
        if head[0] in _DML or head[:2] == ["SET", "STATEMENT"]:
            # What triggers and functions did besides is not in the text, so the whole schema counts. But for one form: a server says so
            # that a table in memory is empty after a restart.
            table = self._named(query.text)
            if here and (table or not _WHOLE_DELETE.fullmatch(query.text)):
                raise StatementLogged(statement, head[0], table or f"a table of schema {self.schema}")
            return
        if head[0] in ("SET", "XA", "ROLLBACK") or not here:
            return
        what = head[0]
        if what in _DEFINITIONS:
            kind, name = _object(head)
            what = f"{what} {kind}".strip()
            if kind in _HARMLESS_OBJECTS or "TEMPORARY" in head[:4]:
                return
            if kind in ("DATABASE", "SCHEMA"):
                if (head[0] == "DROP" or "REPLACE" in head[:4]) and self._finds(self._names_schema, query.text):
                    raise SchemaChanged(statement, what, f"schema {self.schema}")
                return
            if name.lower().startswith(OWN_PREFIX) and (kind == "TRIGGER" or (kind == "TABLE" and head[0] == "CREATE")):
                return
        table = self._named(query.text)
        if table:
            raise SchemaChanged(statement, what, f"table {table}")

    def _named(self, text: bytes) -> str:
        return next((name for name, word in self._tables.items() if self._finds(word, text)), "") or self._maybe_odd(text)

    def _finds(self, word: re.Pattern[bytes], text: bytes) -> bool:
        return word.search(text) is not None or bool(self._maybe_odd(text))

    def _maybe_odd(self, text: bytes) -> str:
        """A name beyond ASCII may be written in any client's character set."""
        return self._odd if self._odd and not text.isascii() else ""


def _word(name: str) -> re.Pattern[bytes]:
    """Finds a name that stands by itself, quoted or not."""
    forms = {name, name.replace("`", "``"), name.replace('"', '""')}
    either = b"|".join(re.escape(form.encode()) for form in sorted(forms))
    return re.compile(rb"(?<![0-9A-Za-z_$\x80-\xff])(?:%s)(?![0-9A-Za-z_$\x80-\xff])" % either, re.IGNORECASE)


def _head(text: bytes) -> list[str]:
    """The first tokens: words in upper case, quoted names behind a backtick, texts as an apostrophe, signs as they are."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        word, quoted, double = match["word"], match["quoted"], match["double"]
        if word is not None:
            tokens.append(word.decode("utf-8", "replace").upper())
        elif quoted is not None or double is not None:
            tokens.append("`" + (quoted if quoted is not None else double).decode("utf-8", "replace"))
        elif match["text"] is not None:
            tokens.append("'")
        elif len(match[0]) == 1 and not match[0].isspace():
            tokens.append(match[0].decode("latin-1"))
        if len(tokens) >= _HEAD_TOKENS:
            break
    return tokens


def _object(head: list[str]) -> tuple[str, str]:
    """What kind of object a definition concerns, and its name without the schema; empty where that is not clear."""
    at = 1
    while at < len(head) and head[at] not in _OBJECTS:
        if head[at : at + 2] == ["DEFINER", "="]:
            # A user's name may be any word.
            at += 2
            at += 3 if head[at + 1 : at + 2] == ["@"] else 1
        else:
            at += 1
    if at >= len(head):
        return "", ""
    kind = head[at]
    rest = head[at + 1 :]
    while rest and rest[0] in ("IF", "NOT", "EXISTS"):
        rest.pop(0)
    if rest[1:2] == ["."]:
        rest = rest[2:]
    return kind, rest[0].removeprefix("`") if rest else ""
