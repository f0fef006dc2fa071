"""Executions of prepared statements, as they travel from the session to a connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shardproxy.backends.engine import Connection
from shardproxy.errors import TOO_COMPLEX, WRONG_ARGUMENTS, ProxyError, ServerError
from shardproxy.planner.plan import Plan
from shardproxy.planner.template import LimitSum, OwnershipFilter, SessionValue
from shardproxy.protocol.binary import Values, build_execute, renumbered_execute
from shardproxy.protocol.framing import encode_packet
from shardproxy.routing.render import Answer
from shardproxy.sql.fingerprint import QUOTED_MARK, fingerprint_prepared
from shardproxy.sql.parameters import count_literal, count_marks, literal
from shardproxy.sql.statement import MAX_READ_BYTES

# The server does not know the statement any more, or its tables have changed too much, or (3988, MySQL) it holds on to the character
# sets of the execution before: it has to be prepared anew.
_STALE_ERRNOS = frozenset((1243, 1615, 3988))
# MariaDB answers so, again and again, where triggers that guard a move came or went while the statement was being opened.
_NO_TABLE_ERRNO = 1146
_OF_MOVES = "._sp_"
# Stands in for a parameter where a plan has to be made before there are values.
_SAMPLE = b"1"


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A statement with parameters. `slots` are its literals in order, None for each parameter; `parameters` are the numbers of
    those. `counts` stand behind LIMIT or OFFSET."""

    text: bytes
    shape: bytes
    slots: tuple[bytes | None, ...]
    parameters: tuple[int, ...]
    counts: frozenset[int]
    pieces: tuple[bytes, ...]
    in_order: range
    # Which parameter each slot is.
    number_of: Mapping[int, int]

    @classmethod
    def of(cls, text: bytes) -> PreparedText:
        """Find the parameters of a text."""
        shape, slots = fingerprint_prepared(text)
        if len(shape) > MAX_READ_BYTES:
            raise ProxyError(TOO_COMPLEX, f"the statement is longer than {MAX_READ_BYTES} bytes, not counting its literals")
        parameters = tuple(i for i, slot in enumerate(slots) if slot is None)
        counts = count_marks(shape) if parameters else frozenset()
        pieces, in_order = tuple(part.replace(QUOTED_MARK, b"?") for part in shape.split(b"?")), range(len(parameters))
        numbers = {slot: number for number, slot in enumerate(parameters)}
        return cls(text, shape, tuple(slots), parameters, counts, pieces, in_order, numbers)

    @property
    def sample(self) -> list[bytes]:
        """Literals to plan with before there are values."""
        return [_SAMPLE if slot is None else slot for slot in self.slots]

    @property
    def marked(self) -> list[bytes]:
        """Literals with which a template gives a text to be prepared."""
        return [b"?" if slot is None else slot for slot in self.slots]


@dataclass(slots=True)
class PreparedCall:
    """One execution: a statement with values for its parameters. `payload` is the command as it came, or empty where values came
    ahead of it; `names` are those of the columns as the client knows them."""

    statement: PreparedText
    types: bytes
    values: Values
    payload: bytes = b""
    names: Sequence[bytes] = ()
    _literals: list[bytes] = field(default_factory=list)

    @property
    def long(self) -> bool:
        """Whether values came ahead of it, so that it may take more packets than the client has sent."""
        return bool(self.values) and not self.payload

    def literal(self, slot: int) -> bytes:
        """One literal of the statement, a parameter's value or its own."""
        own = self.statement.slots[slot]
        if own is not None:
            return own
        number = self.statement.number_of[slot]
        return literal(self.types[2 * number], self.types[2 * number + 1], self.values[number])

    @property
    def literals(self) -> list[bytes]:
        """All literals of the statement in order, the parameters' values among them."""
        if not self._literals:
            statement, types, values = self.statement, self.types, self.values
            found = [slot if slot is not None else b"" for slot in statement.slots]
            for number, slot in enumerate(statement.parameters):
                raw = literal(types[2 * number], types[2 * number + 1], values[number])
                found[slot] = _count(raw) if slot in statement.counts else raw
            self._literals = found
        return self._literals

    def text(self) -> bytes:
        """The statement with its values written out."""
        parts: list[bytes] = []
        for piece, value in zip(self.statement.pieces, self.literals, strict=False):
            parts += (piece, value)
        parts.append(self.statement.pieces[-1])
        return b"".join(parts)

    def for_shard(self, plan: Plan, answer: Answer) -> tuple[bytes, Sequence[int]] | None:
        """The text that a shard prepares and the order of its parameters; None where it cannot be prepared there."""
        statement = self.statement
        if plan.template is None:
            return statement.text, statement.in_order
        parts: list[bytes] = []
        order: list[int] = []
        for piece in plan.template:
            if isinstance(piece, bytes):
                parts.append(piece)
            elif isinstance(piece, SessionValue):
                parts.append(answer(piece))
            elif isinstance(piece, LimitSum | OwnershipFilter):
                return None
            elif (own := statement.slots[piece]) is not None:
                parts.append(own)
            else:
                parts.append(b"?")
                order.append(statement.number_of[piece])
        return b"".join(parts), order

    def packet(self, statement_id: int, order: Sequence[int]) -> bytes:
        """The command that executes the statement where it has this number."""
        if self.payload and order is self.statement.in_order:
            return encode_packet(renumbered_execute(self.payload, statement_id, self.types), 0)
        return encode_packet(build_execute(statement_id, 0, self.types, self.values, order), 0)


def _count(raw: bytes) -> bytes:
    """A value behind LIMIT or OFFSET; what is no number is refused, as by servers."""
    value = count_literal(raw)
    if not value.isdigit():
        raise ProxyError(WRONG_ARGUMENTS, "Incorrect arguments to mysqld_stmt_execute", plain=True)
    return value


def is_stale(error: ServerError) -> bool:
    """Whether a server has refused to execute a statement, and would not once it is prepared anew."""
    return error.errno in _STALE_ERRNOS or (error.errno == _NO_TABLE_ERRNO and _OF_MOVES in error.message)


async def prepared_packet(connection: Connection, text: bytes, order: Sequence[int], call: PreparedCall) -> bytes:
    """The command for a connection, on which the statement is prepared first where it is not yet. Raises `ServerError`."""
    statement = await connection.prepare(text)
    return call.packet(statement.id, order)
