"""What the reader delivers: committed transactions, as the keys of the rows that they changed."""

from __future__ import annotations

from dataclasses import dataclass

from migrate.binlog.position import Position

# A key column's value. Integers, YEAR and BIT are ints; strings are bytes in the column's own character set, as stored; BINARY is padded
# to its length; decimals, dates, times, UUIDs and network addresses are their text in ASCII. TIMESTAMP is in UTC.
Value = int | bytes | None
Key = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class RowChange:
    """One changed row by its key columns: None before an insert and after a delete."""

    table: str
    before: Key | None
    after: Key | None


@dataclass(frozen=True, slots=True)
class Transaction:
    """Changes that were committed together, in order, or a part of very many; without any it tells how far the log was read.

    `end` is where to resume so that nothing is missed. It stays before XA transactions that are prepared and not resolved, and before a
    transaction that is delivered in parts, so after a resumption some changes come again. `at` is the server's clock (Unix seconds). `own`:
    a table of ours (`_sp_…`) was changed as well. `idle`: the server had
    nothing more to send.

    An event may arrive before its transaction can be seen by others: rows must be read again with a locking read.
    """

    changes: tuple[RowChange, ...]
    end: Position
    at: int
    own: bool = False
    idle: bool = False
