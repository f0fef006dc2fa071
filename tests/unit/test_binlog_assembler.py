"""Events of a binary log into transactions: hand-made events of both flavours, in every order that matters."""

import struct
import zlib
from collections.abc import Callable, Sequence

import pytest

from migrate.binlog import assembler as module
from migrate.binlog.assembler import Assembler
from migrate.binlog.changes import Key, Transaction
from migrate.binlog.errors import (
    MalformedEvent,
    TooManyChanges,
)
from migrate.binlog.layout import ColumnLayout, WatchedTable
from migrate.binlog.position import Position

START = Position("log.000001", 4)
TABLE = WatchedTable(
    "t", (ColumnLayout("id", "int", "int"), ColumnLayout("s", "varchar", "varchar(20)", octets=20), ColumnLayout("k", "int", "int")), (0, 2)
)
TABLES = {"t": TABLE}
FIXED_PARTS = {2: 13, 4: 8, 19: 8, **dict.fromkeys((23, 24, 25, 166, 167, 168), 8), **dict.fromkeys((30, 31, 32, 169, 170, 171), 10)}
WRITE, UPDATE, DELETE = 23, 24, 25


class Log:
    """Makes the packets that a server would send, and feeds them."""

    def __init__(self, *, checksums: bool = True, start: Position = START, part_changes: int = 1000) -> None:
        self.checksums = checksums
        self.placed = True
        self.offset = start.offset
        self.assembler = Assembler("app", TABLES, start, part_changes=part_changes)
        self.packets: list[bytes] = []
        self.rotate_to(start.file, start.offset)
        self.describe()

    def event(self, code: int, body: bytes, *, flags: int = 0, position: int | None = None, checksum: bool | None = None) -> bytes:
        """A packet; its position is behind the last one's."""
        checksum = self.checksums if checksum is None else checksum
        size = 19 + len(body) + 4 * checksum
        if position is None:
            self.offset += size
            position = self.offset & 0xFFFFFFFF if self.placed else 0
        event = struct.pack("<IBIIIH", 1000 + len(self.packets), code, 1, size, position, flags) + body
        return b"\0" + event + (zlib.crc32(event).to_bytes(4, "little") if checksum else b"")

    def feed(self, packet: bytes) -> None:
        """Give a packet to the assembler."""
        self.packets.append(packet)
        self.assembler.feed(packet)
        while self.assembler.packed:
            self.assembler.unpack(2)

    def add(self, code: int, body: bytes = b"", **options: int) -> None:
        """Make an event, and feed it."""
        self.feed(self.event(code, body, **options))  # type: ignore[arg-type]

    def describe(self) -> None:
        """A format description, as at the beginning of a file."""
        lengths = bytearray(171)
        for code, length in FIXED_PARTS.items():
            lengths[code - 1] = length
        body = b"\x04\0" + b"10.11".ljust(50, b"\0") + b"\0\0\0\0\x13" + bytes(lengths) + bytes((self.checksums,))
        self.add(15, body, checksum=True)

    def rotate_to(self, file: str, offset: int = 4, *, real: bool = False) -> None:
        """The server tells which file it reads; `real`: as the last event of the one before."""
        body = struct.pack("<Q", offset) + file.encode()
        if real:
            self.add(4, body)
            self.offset = offset
        else:
            self.feed(self.event(4, body, flags=0x20, position=0))

    def gtid(self, flags: int = 0) -> None:
        """MariaDB's opening of a group."""
        self.add(162, struct.pack("<QIB", 1, 0, flags) + bytes(6))

    def query(self, text: str | bytes, schema: str = "app", code: int = 2) -> None:
        """A statement or a word of a transaction's frame."""
        raw = text.encode() if isinstance(text, str) else text
        self.add(code, struct.pack("<IIBHH", 1, 0, len(schema), 0, 3) + b"xyz" + schema.encode() + b"\0" + raw)

    def table_map(self, name: str = "t", schema: str = "app", table_id: int = 7, columns: bytes = b"\3\x0f\3\2\x14\0\2") -> None:
        """A table map with the columns of `TABLE`."""
        names = bytes((len(schema),)) + schema.encode() + b"\0" + bytes((len(name),)) + name.encode() + b"\0"
        self.add(19, table_id.to_bytes(6, "little") + b"\1\0" + names + b"\3" + columns)

    def rows(self, code: int, *images: bytes, table_id: int = 7, flags: int = 1, present: bytes = b"\xff") -> None:
        """A rows event."""
        head = table_id.to_bytes(6, "little") + flags.to_bytes(2, "little") + (b"\2\0" if code in (30, 31, 32) else b"")
        self.add(code, head + b"\3" + present * (2 if code in (UPDATE, 31) else 1) + b"".join(images))

    def insert(self, *ids: int) -> None:
        """A table map and the insertion of rows."""
        self.table_map()
        self.rows(WRITE, *[image(i) for i in ids])

    def xid(self) -> None:
        """The end of a transaction."""
        self.add(16, bytes(8))

    def xa_prepare(self, name: bytes, *, one_phase: bool = False) -> None:
        """The end of an XA transaction's first half."""
        self.add(38, struct.pack("<?iII", one_phase, 1, len(name), 0) + name)

    def transaction(self, *ids: int) -> None:
        """A whole transaction."""
        self.gtid()
        self.insert(*ids)
        self.xid()

    @property
    def here(self) -> Position:
        """The end of what was fed."""
        return Position(self.assembler._file, self.offset)

    def taken(self) -> list[Transaction]:
        """What is ready."""
        found = list(self.assembler.ready)
        self.assembler.ready.clear()
        return found


def image(id_: int, text: bytes | None = b"x", key: int | None = 5) -> bytes:
    """A row of `TABLE`."""
    nulls = 0xF8 | (text is None) << 1 | (key is None) << 2
    text_part = b"" if text is None else bytes((len(text),)) + text
    return bytes((nulls,)) + struct.pack("<i", id_) + text_part + (b"" if key is None else struct.pack("<i", key))


def keys(transactions: Sequence[Transaction]) -> list[list[tuple[Key | None, Key | None]]]:
    """The changes of each."""
    return [[(change.before, change.after) for change in t.changes] for t in transactions]


def inserted(*ids: int) -> list[tuple[None, Key]]:
    """The changes of `Log.insert`."""
    return [(None, (i, 5)) for i in ids]


# ---------------------------------------------------------------- groups


@pytest.mark.parametrize("checksums", [True, False])
def test_a_transaction_of_mariadb(checksums: bool) -> None:
    """From its GTID to its XID; the position is behind it."""
    log = Log(checksums=checksums)
    log.gtid()
    log.insert(1, 2)
    log.table_map()
    log.rows(UPDATE, image(1), image(9, None, None))
    log.rows(DELETE, image(2))
    assert not log.assembler.ready
    log.xid()
    [found] = log.taken()
    assert keys([found]) == [[*inserted(1, 2), ((1, 5), (9, None)), ((2, 5), None)]]
    assert found.end == log.here == log.assembler.safe and found.at == 1000 + len(log.packets) - 1


def test_a_transaction_of_mysql() -> None:
    """From BEGIN to its XID, with rows of version 2 and extra data."""
    log = Log()
    log.add(33, bytes(42))
    before = log.assembler.safe
    log.query("BEGIN")
    log.table_map()
    head = (7).to_bytes(6, "little") + b"\1\0" + b"\6\0abcd"
    log.add(30, head + b"\3\xff" + image(1))
    log.rows(31, image(1), image(2))
    assert log.assembler.safe == before
    log.xid()
    assert keys(log.taken()) == [[*inserted(1), ((1, 5), (2, 5))]]


@pytest.mark.parametrize("end", ["COMMIT", "commit "])
def test_rows_of_tables_without_transactions(end: str) -> None:
    """They end with a COMMIT in words."""
    log = Log()
    log.gtid()
    log.insert(1)
    log.query(end)
    assert keys(log.taken()) == [inserted(1)]


def test_a_group_without_a_frame_ends_with_its_statement() -> None:
    """The last rows event of a statement says so."""
    log = Log()
    log.gtid(flags=1)
    log.table_map()
    log.rows(WRITE, image(1), flags=0)
    assert not log.assembler.ready
    log.rows(WRITE, image(2), flags=1)
    assert keys(log.taken()) == [inserted(1, 2)]


def test_what_was_rolled_back_is_not_delivered() -> None:
    """The position moves on all the same."""
    log = Log()
    log.gtid()
    log.insert(1)
    log.query("ROLLBACK")
    assert not log.assembler.ready and log.assembler.safe == log.here
    log.transaction(2)
    assert keys(log.taken()) == [inserted(2)]


def test_other_tables_are_passed_over() -> None:
    """Of other schemas, of the same name there, and of types that are not known."""
    log = Log()
    log.gtid()
    log.table_map(schema="app2")
    log.rows(WRITE, image(1))
    log.table_map("other", columns=b"\xdd\xdd\xdd\0\0")
    log.rows(WRITE, b"whatever")
    log.xid()
    assert not log.assembler.ready and log.assembler.safe == log.here


def test_rows_that_came_to_nothing() -> None:
    """They have a table id that no table has."""
    log = Log()
    log.gtid()
    log.insert(1)
    log.add(WRITE, b"\xff\xff\xff\0\0\0\1\0\1\xff")
    log.xid()
    assert keys(log.taken()) == [inserted(1)]


def test_a_transaction_without_an_end_is_not_passed_over() -> None:
    """It may have been committed in a way that is not known here."""
    log = Log()
    log.gtid()
    log.insert(1)
    with pytest.raises(MalformedEvent, match="no end"):
        log.gtid()


@pytest.mark.parametrize(
    "end", [Log.xid, lambda log: log.query("COMMIT"), lambda log: log.xa_prepare(b"a"), lambda log: log.insert(1)], ids=range(4)
)
def test_reading_that_begins_in_the_middle(end: Callable[[Log], None]) -> None:
    """An end without a beginning may be of rows that were not seen."""
    with pytest.raises(MalformedEvent, match="middle"):
        end(Log())


def test_wide_transactions_come_in_parts() -> None:
    """With the position from before them; the last part has the one behind."""
    log = Log(part_changes=3)
    before = log.assembler.safe
    log.gtid()
    for i in range(4):
        log.insert(2 * i, 2 * i + 1)
    log.xid()
    found = log.taken()
    assert keys(found) == [inserted(0, 1, 2, 3), inserted(4, 5, 6, 7)] or keys(found) == [inserted(0, 1, 2, 3), inserted(4, 5, 6, 7), []]
    assert found[0].end == before
    assert log.assembler.safe == log.here


def test_the_server_s_idleness_is_told() -> None:
    """Also how far the log was read."""
    log = Log()
    log.transaction(1)
    log.taken()
    log.feed(log.event(27, b"log.000001", position=log.offset))
    assert log.taken() == [Transaction((), log.here, log.assembler.at, idle=True)]


# ---------------------------------------------------------------- XA


def test_prepared_transactions_wait() -> None:
    """The end stays before the oldest that waits, and goes to the next one when that is resolved."""
    log = Log()
    ends = []
    for name in (b"a", b"b", b"c"):
        ends.append(log.assembler.boundary)
        log.gtid(flags=64 | 4)
        log.insert(name[0])
        log.query(f"XA END X'{name.hex()}',X'',1")
        log.xa_prepare(name)
    log.transaction(1)
    log.query("XA COMMIT X'62',X'',1")
    log.transaction(2)
    log.query("XA ROLLBACK X'61',X'',1")
    log.transaction(3)
    log.gtid(flags=128 | 8 | 4 | 1)
    log.query("XA COMMIT X'63',X'',1")
    found = log.taken()
    assert keys(found) == [inserted(n) for n in (1, ord("b"), 2, 3, ord("c"))]
    assert [t.end for t in found] == [ends[0], ends[0], ends[0], ends[2], log.here]
    assert log.assembler.unseen_xa == 0


def test_xa_in_one_phase_is_a_commit() -> None:
    """MySQL ends such a transaction as a prepared one."""
    log = Log()
    log.add(33, bytes(42))
    log.query("XA START X'61',X'',1")
    log.insert(1)
    log.query("XA END X'61',X'',1")
    log.xa_prepare(b"a", one_phase=True)
    assert keys(log.taken()) == [inserted(1)] and log.assembler.safe == log.here


def test_prepared_transactions_that_changed_nothing_hold_nothing() -> None:
    """Others may leave theirs for days; only those with watched rows matter."""
    log = Log()
    log.gtid(flags=64)
    log.table_map("other")
    log.rows(WRITE, image(1))
    log.xa_prepare(b"a")
    assert log.assembler.safe == log.here
    log.query("XA COMMIT X'61',X'',1")
    assert log.assembler.unseen_xa == 1 and not log.assembler.ready


def test_prepared_transactions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """They cannot be delivered in parts, so there is an end to what is kept."""
    monkeypatch.setattr(module, "MAX_PREPARED_CHANGES", 10)
    log = Log(part_changes=4)
    log.gtid(flags=64)
    log.insert(*range(6))
    log.xa_prepare(b"a")
    log.gtid(flags=64)
    log.insert(1, 2, 3, 4)
    with pytest.raises(TooManyChanges):
        log.insert(5)


# ---------------------------------------------------------------- files and positions


def test_the_next_file() -> None:
    """The server names it at the end of the one before, and again out of place."""
    log = Log()
    log.transaction(1)
    log.rotate_to("log.000002", real=True)
    assert log.assembler.safe == Position("log.000002", 4)
    log.rotate_to("log.000002")
    log.describe()
    log.transaction(2)
    assert [t.end.file for t in log.taken()] == ["log.000001", "log.000002"]
    assert log.assembler.safe == log.here


def test_a_file_that_was_cut_off() -> None:
    """A server that died ends no file; what was open then has been rolled back."""
    log = Log()
    log.transaction(1)
    log.gtid()
    log.insert(2)
    log.offset = 4
    log.rotate_to("log.000002")
    log.describe()
    log.transaction(3)
    assert keys(log.taken()) == [inserted(1), inserted(3)]


def test_reading_from_the_middle_of_a_file() -> None:
    """The description of the format comes out of place; its position is 0."""
    log = Log(start=Position("log.000001", 5000))
    assert log.assembler.safe.offset >= 5000
    log.transaction(1)
    assert log.taken()[0].end == log.here


def test_files_longer_than_four_gigabytes() -> None:
    """Only the low half of a position is in the log, and only that much can be asked for, so the end waits for the next file."""
    start = Position("log.000001", 2**32 - 400)
    log = Log(start=start)
    for i in range(6):
        log.transaction(i)
    found = log.taken()
    assert log.offset > 2**32
    assert [t.end.offset for t in found] == sorted(t.end.offset for t in found) and found[-1].end.offset < 2**32
    log.rotate_to("log.000002", real=True)
    assert log.assembler.safe == Position("log.000002", 4)


@pytest.mark.parametrize("by", [-200, -1, 2**31 + 5])
def test_positions_that_lie(by: int) -> None:
    """A position only grows, by no less than the event."""
    log = Log()
    log.transaction(1)
    log.offset += by
    with pytest.raises(MalformedEvent):
        log.transaction(2)


def test_gaps_are_events_that_are_not_sent() -> None:
    """Comments for replicas are left out by the server."""
    log = Log()
    log.transaction(1)
    log.offset += 123
    log.transaction(2)
    assert log.taken()[1].end == log.here


def test_events_without_positions() -> None:
    """Newer servers may leave them out within a transaction; the end is then told by the next event that has one."""
    log = Log()
    log.transaction(1)
    before = log.here
    log.gtid()
    log.placed = False
    log.insert(2)
    log.xid()
    assert [t.end for t in log.taken()][1] == before == log.assembler.safe
    log.placed = True
    log.transaction(3)
    assert [t.end for t in log.taken()] == [log.here]


def test_a_server_that_begins_elsewhere() -> None:
    """The position asked for is the one that is read."""
    log = Log(start=Position("log.000001", 500))
    with pytest.raises(MalformedEvent, match="begins at"):
        Assembler("app", TABLES, Position("log.000001", 600)).feed(log.packets[0])
