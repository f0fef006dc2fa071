"""The same statements by the binary protocol: literals become parameters, and answers are read in the binary form."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from random import Random
from typing import Any

import pymysql
from pymysql.protocol import FieldDescriptorPacket, OKPacketWrapper

from tests.property.differential.clients import Answer, Client, Head, Row, head_of
from tests.support.binary import (
    CURSOR_EXISTS,
    DATE,
    DATETIME,
    EXECUTE,
    FETCH,
    FLOAT,
    LAST_ROW_SENT,
    LONG,
    LONGLONG,
    NEWDECIMAL,
    PREPARE,
    SHORT,
    STRING,
    TINY,
    VAR_STRING,
    Column,
    Parameter,
    binary_row,
    double,
    execute_payload,
    integer,
    moment,
    value_of,
)

# What is prepared; the rest goes as text on the same connection.
_PREPARED = re.compile(r"(SELECT|INSERT|REPLACE|UPDATE|DELETE)\b(?!.*\b(FOUND_ROWS|ROW_COUNT|LAST_INSERT_ID)\()", re.DOTALL)
# Literals that stand alone, and the places where a parameter would mean something else: ordinals of GROUP BY and ORDER BY.
_LITERAL = re.compile(
    r"(?P<number>(?<![\w.])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))"
    r"|(?P<skip>\b(?:GROUP|ORDER) BY .*?(?=\bLIMIT\b|\bHAVING\b|\Z)|/\*.*?\*/|`[^`]*`|\b(?:[xbn]|_\w+)'[^']*'|AS \S+|[\w.]+"
    r'|"[^"]*")'
    r"|(?P<text>'(?:[^'\\]|\\.|'')*')",
    re.DOTALL | re.IGNORECASE,
)
_ESCAPES = {"n": "\n", "0": "\0", "t": "\t", "r": "\r", "b": "\b", "Z": "\x1a"}
_KEPT = 100
_READ_ONLY = 1


class BinaryAnswers(Client):
    """Statements as they are, answers in the binary form: what those of `PreparedClient` are ranked by."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._statements: dict[str, tuple[int, bool]] = {}

    def run(self, sql: str) -> Answer:
        """Run one statement."""
        if not _PREPARED.match(sql):
            return super().run(sql)
        prepared, parameters, cursor = self.split(sql)
        connection = self.connection
        try:
            return self._execute(connection, prepared, parameters, cursor=cursor)
        except pymysql.err.MySQLError as error:
            return self.failed(error)

    def split(self, sql: str) -> tuple[str, list[Parameter], bool]:
        """What is prepared, its parameters, and whether a cursor is opened."""
        return sql, [], False

    def close(self) -> None:
        """Hang up."""
        self._statements.clear()
        super().close()

    def _execute(self, connection: Any, sql: str, parameters: list[Parameter], *, cursor: bool) -> Answer:
        number, gives_rows = self._prepare(connection, sql)
        flags = _READ_ONLY if cursor and gives_rows else 0
        connection._execute_command(EXECUTE, execute_payload(number, parameters, flags=flags)[1:])
        packet = connection._read_packet()
        if packet.is_ok_packet():
            ok = OKPacketWrapper(packet)
            info = (ok.message[1:] if ok.message else b"").decode("utf-8", "replace")
            return Answer(affected=ok.affected_rows, insert_id=ok.insert_id or 0, warnings=ok.warning_count, info=info)
        fields = [connection._read_packet(FieldDescriptorPacket) for _ in range(packet.read_length_encoded_integer())]
        columns = [Column(str(field.name), field.type_code, field.flags) for field in fields]
        status = _status(connection._read_packet().get_all_data())
        rows, warnings, status = ([], 0, status) if status & CURSOR_EXISTS else _rows(connection, columns)
        while status & CURSOR_EXISTS and not status & LAST_ROW_SENT:
            connection._execute_command(FETCH, number.to_bytes(4, "little") + (7).to_bytes(4, "little"))
            more, warnings, status = _rows(connection, columns)
            rows += more
        return Answer([_named(head_of(field)) for field in fields], rows, warnings=warnings)

    def _prepare(self, connection: Any, sql: str) -> tuple[int, bool]:
        """Statements are kept, so that the next one of the same text is another execution."""
        if sql not in self._statements:
            if len(self._statements) >= _KEPT:
                gone, _ = self._statements.pop(next(iter(self._statements)))
                connection._execute_command(0x19, gone.to_bytes(4, "little"))
            connection._execute_command(PREPARE, sql.encode())
            head = connection._read_packet().get_all_data()
            number, columns, parameters = struct.unpack_from("<IHH", head, 1)
            for count in (parameters, columns):
                for _ in range(count + bool(count)):
                    connection._read_packet()
            self._statements[sql] = (number, columns > 0)
        return self._statements[sql]


class PreparedClient(BinaryAnswers):
    """Turns literals into parameters of fitting types. The same statement always gets the same ones."""

    def split(self, sql: str) -> tuple[str, list[Parameter], bool]:
        rng = Random(sql)
        parameters: list[Parameter] = []
        share = rng.choice((0.3, 1.0, 1.0))

        def parameter(match: re.Match[str]) -> str:
            if match.group("skip") is not None or rng.random() > share:
                return match.group()
            count = sql[: match.start()].rstrip().endswith(("LIMIT", "OFFSET")) or bool(re.search(r"LIMIT \d+, $", sql[: match.start()]))
            text = match.group("text")
            parameters.append(_string(rng, _unquoted(text)) if text else _number(rng, match.group(), count=count))
            return "?"

        prepared = _LITERAL.sub(parameter, sql)
        return prepared, parameters, rng.random() < 0.1


def _unquoted(literal: str) -> str:
    return re.sub(r"\\(.)|''", lambda m: _ESCAPES.get(m[1], m[1]) if m[1] else "'", literal[1:-1], flags=re.DOTALL)


def _string(rng: Random, value: str) -> Parameter:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", value) and rng.random() < 0.5:
        return moment(value, DATE)
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", value) and rng.random() < 0.5:
        return moment(value, DATETIME)
    return Parameter(rng.choice((VAR_STRING, STRING)), value.encode())


def _number(rng: Random, written: str, *, count: bool) -> Parameter:
    if "e" in written or "E" in written:
        return double(float(written))
    if "." in written:
        return Parameter(NEWDECIMAL, written.encode())
    value = int(written)
    if value >= 1 << 64:
        return Parameter(NEWDECIMAL, written.encode())
    if value >= 1 << 63:
        return integer(value, unsigned=True)
    kinds = [kind for kind, bits in ((TINY, 7), (SHORT, 15), (LONG, 31)) if value < 1 << bits]
    return integer(value, LONGLONG if count else rng.choice((*kinds, LONGLONG, LONGLONG)))


def _status(end: bytes) -> int:
    assert end[:1] == b"\xfe"
    return int.from_bytes(end[3:5], "little")


def _rows(connection: Any, columns: list[Column]) -> tuple[list[Row], int, int]:
    """Rows in a form that does not depend on how a server prints numbers."""
    rows: list[Row] = []
    while True:
        packet = connection._read_packet()
        if packet.is_eof_packet():
            data = packet.get_all_data()
            return rows, int.from_bytes(data[1:3], "little"), _status(data)
        raw = binary_row(packet.get_all_data(), columns)
        rows.append(tuple(_plain(value_of(one, value), one.type) for one, value in zip(columns, raw, strict=True)))


def _plain(value: object, kind: int) -> bytes | None:
    if kind == FLOAT:
        # A row that is merged came as text, in which servers write six digits of a FLOAT.
        return f"{value:.6g}".encode() if value is not None else None
    return value if value is None or isinstance(value, bytes) else str(value).encode()


def _named(head: Head) -> Head:
    """An expression is named by its text, in which a parameter may stand for itself or for its value."""
    return replace(head, name=_LITERAL.sub(lambda match: "?" if match.group("skip") is None else match.group(), head.name))
