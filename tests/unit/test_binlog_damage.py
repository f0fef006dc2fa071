"""What stops the reading of a binary log: events that are unknown, not as expected, compressed or damaged."""

import contextlib
import struct
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.binlog.assembler import Assembler
from migrate.binlog.changes import Transaction
from migrate.binlog.errors import BinlogError, EventsLost, LayoutMismatch, MalformedEvent, SchemaChanged, StatementLogged, UnknownEvent
from shardproxy.protocol.wire_types import lenenc_bytes, lenenc_int
from tests.unit.test_binlog_assembler import DELETE, START, TABLES, UPDATE, WRITE, Log, image, inserted, keys

DAMAGE = (0, 1, 0x7F, 0x80, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF)


@pytest.mark.parametrize("code", [0, 1, 6, 7, 8, 12, 20, 21, 22, 43, 120, 172, 255])
def test_unknown_events_stop_the_reading(code: int) -> None:
    """But for those that the server says may be passed over."""
    log = Log()
    log.add(code, b"abc", flags=0x80)
    with pytest.raises(UnknownEvent, match=f"type {code}\\b") as caught:
        log.add(code, b"abc")
    assert caught.value.code == code


@pytest.mark.parametrize("code", [3, 5, 9, 11, 13, 14, 17, 28, 29, 35, 36, 37, 160, 161, 163])
def test_events_that_are_passed_over(code: int) -> None:
    """They change no rows."""
    log = Log()
    log.add(code, b"abc")
    assert log.assembler.safe == log.here


def test_a_gap_of_which_the_server_tells() -> None:
    """Rows were changed and not logged."""
    with pytest.raises(EventsLost):
        Log().add(26, b"\1\0\0")


def test_encryption_is_the_server_s_business() -> None:
    """It sends events decrypted; without checksums nobody would notice if it did not."""
    log = Log()
    log.add(164, bytes(17))
    log.feed(log.event(164, bytes(17), position=0))
    with pytest.raises(UnknownEvent, match="encrypted"):
        Log(checksums=False).add(164, bytes(17))


def test_statements() -> None:
    """On watched tables they stop the reading, wherever they stand."""
    log = Log()
    log.gtid(flags=1)
    log.query("ALTER TABLE other ADD x INT")
    assert log.assembler.safe == log.here
    log.gtid(flags=1)
    with pytest.raises(SchemaChanged):
        log.query("ALTER TABLE t ADD x INT")
    log = Log()
    log.gtid()
    with pytest.raises(StatementLogged):
        log.query("INSERT INTO t VALUES (1)")


def test_statements_that_are_compressed() -> None:
    """MariaDB compresses long ones."""
    text = b"TRUNCATE TABLE t /* " + b"x" * 300 + b" */"
    with pytest.raises(SchemaChanged):
        Log().query(compressed(text), code=165)
    log = Log()
    log.query(compressed(text.replace(b" t ", b" other ")), code=165)
    for bad in (b"", b"\x80", b"\x81", b"\x91\x05" + zlib.compress(b"12345"), b"\x81\x04" + zlib.compress(b"12345"), compressed(text)[:-9]):
        with pytest.raises(MalformedEvent):
            Log().query(bad, code=165)
    with pytest.raises(MalformedEvent, match="too large"):
        Log().query(b"\x84\xff\xff\xff\xff" + zlib.compress(b"12345"), code=165)


def compressed(data: bytes) -> bytes:
    """In MariaDB's form."""
    size = len(data).to_bytes((len(data).bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(size),)) + size + zlib.compress(data)


@pytest.mark.parametrize("code", [166, 169])
def test_rows_that_are_compressed(code: int) -> None:
    """The bitmap of columns in front of them is not."""
    log = Log()
    log.gtid()
    log.table_map()
    extra = b"\2\0" if code == 169 else b""
    log.add(code, b"\7\0\0\0\0\0\1\0" + extra + b"\3\xff" + compressed(image(1) + image(2)))
    log.xid()
    assert keys(log.taken()) == [inserted(1, 2)]


def test_files_that_were_loaded_as_statements() -> None:
    """LOAD DATA in statement format has a form of its own."""
    log = Log()
    head = struct.pack("<IIBHH", 1, 0, 3, 0, 0) + bytes(13) + b"app\0"
    log.gtid()
    with pytest.raises(StatementLogged, match="LOAD"):
        log.add(18, head + b"LOAD DATA INFILE 'x' INTO TABLE t")


@pytest.mark.parametrize("present", [b"\3", b"\xfe", b"\0"])
def test_rows_in_part_stop_the_reading(present: bytes) -> None:
    """Whichever column is left out."""
    log = Log()
    log.gtid()
    log.table_map()
    with pytest.raises(LayoutMismatch, match="binlog_row_image"):
        log.rows(WRITE, image(1), present=present)


def test_partial_json_updates_stop_the_reading_of_watched_tables_only() -> None:
    """MySQL's event for them has rows in part."""
    log = Log()
    log.gtid()
    log.table_map("other", table_id=8)
    log.rows(39, b"whatever", table_id=8)
    log.table_map()
    with pytest.raises(LayoutMismatch, match="binlog_row_value_options"):
        log.rows(39, b"whatever")


@pytest.mark.parametrize(
    "columns", [b"\3\x0f\x08\2\x14\0\2", b"\3\x0f\3\2\x15\0\2", b"\3\xfe\3\2\xfe\x14\2", b"\3\x0f\x0f\4\x14\0\x14\0\2", b"\3\x0f\3\1\x14\2"]
)
def test_columns_that_are_not_those_of_the_layout(columns: bytes) -> None:
    """Types and lengths are compared when a table map is first seen."""
    log = Log()
    log.gtid()
    with pytest.raises((LayoutMismatch, MalformedEvent)):
        log.table_map(columns=columns)


def test_wrong_checksums() -> None:
    """Of events and of format descriptions; the flag of a file that is still written does not count."""
    log = Log()
    log.gtid()
    log.insert(1)
    packet = bytearray(log.event(16, bytes(8)))
    packet[-6] ^= 1
    with pytest.raises(MalformedEvent, match="checksum"):
        log.feed(bytes(packet))
    described = bytearray(log.packets[1])
    described[18] |= 1
    again = Assembler("app", TABLES, START)
    again.feed(log.packets[0])
    again.feed(bytes(described))
    described[60] ^= 1
    with pytest.raises(MalformedEvent, match="checksum"):
        again.feed(bytes(described))


def test_nothing_comes_before_the_format() -> None:
    """Without it nobody knows how to read the rest."""
    log = Log()
    log.gtid()
    other = Assembler("app", TABLES, START)
    with pytest.raises(MalformedEvent, match="format"):
        other.feed(log.packets[-1])


# ---------------------------------------------------------------- compressed transactions


def packed(log: Log, method: int, *events: bytes) -> bytes:
    """A transaction payload of events, which are without checksums."""
    zstandard = pytest.importorskip("zstandard")
    body = b"".join(event[1:] for event in events)
    data = zstandard.ZstdCompressor().compress(body) if method == 0 else body
    fields = ((1, len(data)), (2, method), (3, len(body)))
    return b"".join(lenenc_int(kind) + lenenc_bytes(lenenc_int(value)) for kind, value in fields) + b"\0" + data


def inner(ids: Sequence[int]) -> list[bytes]:
    """The events of a transaction that is packed."""
    log = Log(checksums=False)
    log.query("BEGIN")
    for i in ids:
        log.insert(i)
    log.xid()
    return log.packets[2:]


@pytest.mark.parametrize("method", [0, 255])
def test_packed_transactions(method: int) -> None:
    """MySQL packs whole transactions; the position is behind the pack."""
    log = Log()
    log.add(33, bytes(42))
    log.add(40, packed(log, method, *inner(range(10))))
    [found] = log.taken()
    assert keys([found]) == [inserted(*range(10))] and found.end == log.here


def test_damaged_packs() -> None:
    """Cut short, compressed in an unknown way, or holding what cannot be."""
    log = Log()
    whole = packed(log, 0, *inner([1, 2]))
    for bad in (b"", whole[:3], whole[:-5], whole[:30] + b"garbage", b"\x01\xff", b"\1\1\5"):
        with pytest.raises(MalformedEvent):
            Log().add(40, bad)
    with pytest.raises(UnknownEvent):
        Log().add(40, packed(log, 3, *inner([1])))
    with pytest.raises(MalformedEvent, match="holds another"):
        Log().add(40, packed(log, 0, log.event(40, whole, checksum=False)))


def test_packs_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading stops rather than missing them."""
    log = Log()
    body = packed(log, 0, *inner([1]))
    monkeypatch.setattr("migrate.binlog.events.zstandard", None)
    with pytest.raises(UnknownEvent, match="zstandard is not installed"):
        log.add(40, body)


# ---------------------------------------------------------------- damage


def sample() -> list[bytes]:
    """Packets with one of everything, without checksums so that damage is not found at once."""
    log = Log(checksums=False)
    log.gtid()
    log.insert(1, 2, 3)
    log.table_map()
    log.rows(UPDATE, image(1, None), image(2, b"abc", None))
    log.add(166, b"\7\0\0\0\0\0\1\0\3\xff" + compressed(image(1) + image(2)))
    log.xid()
    log.gtid(flags=64)
    log.rows(DELETE, image(1))
    log.xa_prepare(b"abc")
    log.query("XA COMMIT X'616263',X'',1")
    log.query("BEGIN")
    log.query("SAVEPOINT a")
    log.query("COMMIT")
    log.add(40, packed(log, 0, *inner([4, 5])))
    log.query(compressed(b"CREATE TABLE x (id INT)"), code=165)
    log.rotate_to("log.000002", real=True)
    log.describe()
    log.transaction(9)
    return log.packets


SAMPLE = sample()


@settings(max_examples=400)
@given(st.data())
def test_damaged_events_raise_clean_errors(data: st.DataObject) -> None:
    """Whatever bytes are changed, cut off or added: a transaction or an error of ours, and no other."""
    packets = list(SAMPLE)
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(packets) - 1))
        packet = bytearray(packets[index])
        for _ in range(data.draw(st.integers(0, 3))):
            packet[data.draw(st.integers(1, len(packet) - 1))] = data.draw(st.sampled_from(DAMAGE))
        cut = data.draw(st.integers(0, 12))
        packet = packet[: len(packet) - cut] + bytes(data.draw(st.integers(0, 3)))
        if len(packet) > 20 and data.draw(st.booleans()):
            packet[10:14] = (len(packet) - 1).to_bytes(4, "little")
        packets[index] = bytes(packet)
    assembler = Assembler("app", TABLES, START)
    with contextlib.suppress(BinlogError):
        for packet in packets:
            assembler.feed(packet)
            while assembler.packed:
                assembler.unpack(3)
    assert all(isinstance(t, Transaction) for t in assembler.ready)


def test_the_sample_is_read() -> None:
    """Undamaged, it gives its transactions."""
    assembler = Assembler("app", TABLES, START)
    for packet in SAMPLE:
        assembler.feed(packet)
        while assembler.packed:
            assembler.unpack(3)
    assert [len(t.changes) for t in assembler.ready] == [6, 1, 2, 1]


def test_every_event_may_be_cut_short() -> None:
    """At each length, with a size that agrees."""
    for index, packet in enumerate(SAMPLE):
        for length in range(1, len(packet)):
            assembler = Assembler("app", TABLES, START)
            short = bytearray(packet[:length])
            if length > 20:
                short[10:14] = (length - 1).to_bytes(4, "little")
            with contextlib.suppress(BinlogError):
                for each in [*SAMPLE[:index], bytes(short)]:
                    assembler.feed(each)
                    while assembler.packed:
                        assembler.unpack(3)
