"""One statement on one connection: everything a client can see of the answer, in bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pymysql

Row = tuple[bytes | None, ...]
_REFUSAL = re.compile(r"^SP\d{4}(?=: )")
_UNSIGNED = 32
_SHOWN = 12
# Strings have no digits behind a point; what servers say of them there varies with the execution plan.
_STRINGS = (249, 250, 251, 252, 253, 254)
# So does the size of what an expression gives: a server widens it where it makes a temporary table, and not elsewhere.
_WIDEST = {249: 252, 250: 252, 251: 252, 254: 253, 1: 8, 2: 8, 3: 8, 9: 8}


@dataclass(frozen=True)
class Head:
    """A column of a result as clients see it."""

    name: str
    type: int
    charset: int
    decimals: int
    unsigned: bool
    table: str


@dataclass
class Answer:
    """A result set, the outcome of a write, or an error."""

    heads: list[Head] | None = None
    rows: list[Row] = field(default_factory=list)
    affected: int = 0
    insert_id: int = 0
    warnings: int = 0
    info: str = ""
    errno: int = 0
    message: str = ""

    @property
    def refusal(self) -> str:
        """The proxy's own error id, if it gave one."""
        match = _REFUSAL.match(self.message)
        return match.group(0) if match else ""

    @property
    def shown(self) -> str:
        """In short, for a report."""
        if self.errno:
            return f"error {self.errno}: {self.message}"
        if self.heads is None:
            return f"affected {self.affected}, insert id {self.insert_id}, warnings {self.warnings}, info {self.info!r}"
        lines = [", ".join(f"{h.name}:{h.type}" for h in self.heads)]
        lines += [str(tuple(None if c is None else c.decode("utf-8", "backslashreplace") for c in row)) for row in self.rows[:_SHOWN]]
        return "\n".join([*lines, f"({len(self.rows)} rows, {self.warnings} warnings)"])


class Client:
    """A connection that is opened again when it breaks. `connect` takes PyMySQL's options."""

    def __init__(self, connect: Callable[..., pymysql.Connection[Any]]) -> None:
        self._connect = connect
        self._connection: pymysql.Connection[Any] | None = None

    @property
    def connection(self) -> pymysql.Connection[Any]:
        """The connection, opened if it is not."""
        if self._connection is None:
            self._connection = self._connect(use_unicode=False, charset="utf8mb4", conv={})
        return self._connection

    def run(self, sql: str) -> Answer:
        """Run one statement."""
        connection = self.connection
        try:
            connection.query(sql.encode("utf-8"))
        except pymysql.err.MySQLError as error:
            return self.failed(error)
        return self._read(vars(connection)["_result"])

    def failed(self, error: pymysql.err.MySQLError) -> Answer:
        """The error as an answer; a connection that has broken is closed."""
        code, text = (*error.args, "")[:2]
        if code in (0, 2006, 2013) or not self.connection.open:
            self.close()
        return Answer(errno=int(code), message=str(text))

    @staticmethod
    def _read(result: Any) -> Answer:
        if not result.has_next and result.field_count == 0:
            info = result.message.decode("utf-8", "replace") if isinstance(result.message, bytes) else str(result.message or "")
            return Answer(affected=result.affected_rows, insert_id=result.insert_id or 0, warnings=result.warning_count, info=info)
        return Answer([head_of(field) for field in result.fields], list(result.rows), warnings=result.warning_count)

    def rows(self, sql: str) -> list[Row]:
        """The rows of a statement that must succeed."""
        answer = self.run(sql)
        assert not answer.errno, f"{answer.message} for {sql}"
        return answer.rows

    def close(self) -> None:
        """Hang up; the next statement connects anew."""
        if self._connection is not None:
            if self._connection.open:
                self._connection.close()
            self._connection = None


def head_of(field: Any) -> Head:
    """A column as PyMySQL has read it."""
    table = _text(field.table_name)
    code = field.type_code if table and field.type_code < 249 else _WIDEST.get(field.type_code, field.type_code)
    decimals = 0 if field.type_code in _STRINGS else field.scale
    return Head(_text(field.name), code, field.charsetnr, decimals, bool(field.flags & _UNSIGNED), table)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
