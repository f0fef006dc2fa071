"""Key values of a binary log: layouts, widths, decoding and literals, on bytes as servers log them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.binlog import column_types as types
from migrate.binlog.changes import Value
from migrate.binlog.errors import LayoutMismatch, MalformedEvent
from migrate.binlog.layout import ColumnLayout, WatchedTable
from migrate.binlog.position import Position
from migrate.binlog.rows import DELETE, INSERT, UPDATE, read_rows
from migrate.binlog.tables import TablePlan, map_names, plan_table
from migrate.binlog.values import decoder, literal


def column(column_type: str, **options: int | str) -> ColumnLayout:
    """A column `c` of a declared type."""
    return ColumnLayout("c", column_type.split("(")[0].split(" ")[0], column_type, **options)  # type: ignore[arg-type]


def read(layout: ColumnLayout, code: int, metadata: bytes, raw: bytes) -> Value:
    """The value in some bytes."""
    logged = types.LoggedColumn(code, metadata, layout.fraction)
    return decoder(layout, logged)(raw, 0, len(raw))


# ---------------------------------------------------------------- positions


@pytest.mark.parametrize("text", ["log.000001:4", "a:b:4294967295", "bin-log.1:0"])
def test_positions_as_texts(text: str) -> None:
    """A file's name may have a colon."""
    assert Position.decode(text).encode() == str(Position.decode(text)) == text


@pytest.mark.parametrize("text", ["", "log", ":4", "log:", "log:x", "log:-1", "log: 4", "log:٤"])
def test_texts_that_are_no_positions(text: str) -> None:
    """They are refused."""
    with pytest.raises(ValueError, match="not a position"):
        Position.decode(text)


# ---------------------------------------------------------------- widths


@pytest.mark.parametrize(
    ("code", "metadata", "fixed", "prefix"),
    [
        (types.VARCHAR, b"\xff\0", 0, 1),
        (types.VARCHAR, b"\0\1", 0, 2),
        (types.VARCHAR_COMPRESSED, b"\xff\0", 0, 1),
        (types.BLOB_COMPRESSED, b"\3", 0, 3),
        (types.STRING, b"\xfe\xff", 0, 1),
        (types.STRING, b"\xee\0", 0, 2),
        (types.STRING, b"\xce\xff", 0, 2),
        (types.STRING, b"\xf7\1", 1, 0),
        (types.STRING, b"\xf7\2", 2, 0),
        (types.STRING, b"\xf8\x08", 8, 0),
        (types.BIT, b"\0\1", 1, 0),
        (types.BIT, b"\5\1", 2, 0),
        (types.BIT, b"\0\x08", 8, 0),
        (types.TIMESTAMP2, b"\0", 4, 0),
        (types.DATETIME2, b"\5", 8, 0),
        (types.TIME2, b"\3", 5, 0),
        (types.NEWDECIMAL, b"\x41\x1e", 30, 0),
        (types.NEWDECIMAL, b"\x0c\2", 6, 0),
        (types.VECTOR, b"\4", 0, 4),
        (types.GEOMETRY, b"\4", 0, 4),
    ],
)
def test_widths(code: int, metadata: bytes, fixed: int, prefix: int) -> None:
    """Of values that have one, and else of their lengths."""
    logged = types.LoggedColumn(code, metadata, 0)
    assert (logged.fixed, logged.prefix) == (fixed, prefix)
    assert types.metadata_bytes(code) == len(metadata)


@pytest.mark.parametrize(
    ("code", "metadata"),
    [(types.BLOB, b"\0"), (types.BLOB, b"\5"), (types.TIME2, b"\7"), (types.NEWDECIMAL, b"\x42\0"), (types.NEWDECIMAL, b"\5\6")],
)
def test_metadata_that_cannot_be(code: int, metadata: bytes) -> None:
    """It is refused rather than guessed at."""
    with pytest.raises(MalformedEvent):
        types.LoggedColumn(code, metadata, 0)


def test_unknown_types() -> None:
    """A row with one could not be passed over."""
    with pytest.raises(LayoutMismatch, match="type 20"):
        types.LoggedColumn(20, b"", 0)


# ---------------------------------------------------------------- values and literals


@pytest.mark.parametrize(
    ("layout", "code", "metadata", "raw", "value", "sql"),
    [
        (column("tinyint(4)"), types.TINY, b"", b"\x80", -128, b"-128"),
        (column("tinyint(3) unsigned"), types.TINY, b"", b"\xc8", 200, b"200"),
        (column("mediumint"), types.INT24, b"", b"\xff\xff\xff", -1, b"-1"),
        (column("bigint unsigned zerofill"), types.LONGLONG, b"", b"\xff" * 8, 2**64 - 1, b"18446744073709551615"),
        (column("varchar(5)", charset="latin1"), types.VARCHAR, b"\5\0", b"\xe9'", b"\xe9'", b"_latin1 x'e927'"),
        (column("char(5)", charset="utf8mb4"), types.STRING, b"\xfe\x14", b"", b"", b"_utf8mb4 x''"),
        (column("binary(4)", octets=4), types.STRING, b"\xfe\4", b"\1", b"\1\0\0\0", b"x'01000000'"),
        (column("varbinary(4)", octets=4), types.VARCHAR, b"\4\0", b"\1", b"\1", b"x'01'"),
        (column("bit(13)"), types.BIT, b"\5\1", b"\x01\x02", 258, b"258"),
        (column("year(4)"), types.YEAR, b"", b"\0", 0, b"'0000'"),
        (column("year(4)"), types.YEAR, b"", b"\xff", 2155, b"'2155'"),
        (column("date"), types.DATE, b"", (2026 << 9 | 2 << 5 | 28).to_bytes(3, "little"), b"2026-02-28", b"'2026-02-28'"),
        (column("date"), types.DATE, b"", b"\0\0\0", b"0000-00-00", b"'0000-00-00'"),
        (column("time(6)", fraction=6), types.TIME2, b"\6", b"\x7f\xff\xff\xff\xff\xff", b"-00:00:00.000001", b"'-00:00:00.000001'"),
        (column("time"), types.TIME2, b"\0", b"\x4b\x91\x05", b"-838:59:59", b"'-838:59:59'"),
        (
            column("timestamp(2)", fraction=2),
            types.TIMESTAMP2,
            b"\2",
            b"\0\0\0\0\0",
            b"0000-00-00 00:00:00.00",
            b"'0000-00-00 00:00:00.00'",
        ),
        (column("timestamp"), types.TIMESTAMP2, b"\0", b"\xff\xff\xff\xff", b"2106-02-07 06:28:15", b"'2106-02-07 06:28:15'"),
        (column("datetime"), types.DATETIME2, b"\0", b"\x80\0\0\0\0", b"0000-00-00 00:00:00", b"'0000-00-00 00:00:00'"),
        (column("time"), types.TIME, b"", (-123456).to_bytes(3, "little", signed=True), b"-12:34:56", b"'-12:34:56'"),
        (column("datetime"), types.DATETIME, b"", (20260228010203).to_bytes(8, "little"), b"2026-02-28 01:02:03", b"'2026-02-28 01:02:03'"),
        (column("timestamp"), types.TIMESTAMP, b"", (1).to_bytes(4, "little"), b"1970-01-01 00:00:01", b"'1970-01-01 00:00:01'"),
        (column("inet6"), types.STRING, b"\xfe\x10", b"\xfe\x80", b"fe80::", b"'fe80::'"),
        (column("inet4"), types.STRING, b"\xfe\4", b"\x0a", b"10.0.0.0", b"'10.0.0.0'"),
    ],
)
def test_values_and_literals(layout: ColumnLayout, code: int, metadata: bytes, raw: bytes, value: Value, sql: bytes) -> None:
    """What is in the log, what is delivered, and how it is written."""
    found = read(layout, code, metadata, raw)
    assert found == value
    assert literal(found, layout) == sql


@pytest.mark.parametrize(
    ("precision", "scale", "raw", "value"),
    [
        (14, 4, "810dfb38d204d2", b"1234567890.1234"),
        (14, 4, "7ef204c72dfb2d", b"-1234567890.1234"),
        (5, 2, "800000", b"0.00"),
        (5, 0, "80000c", b"12"),
        (9, 9, "80000001", b"0.000000001"),
        (9, 9, "7ffffffe", b"-0.000000001"),
    ],
)
def test_decimals(precision: int, scale: int, raw: str, value: bytes) -> None:
    """Digits by nines; the first two are the manual's example."""
    layout = column("decimal", precision=precision, scale=scale)
    found = read(layout, types.NEWDECIMAL, bytes((precision, scale)), bytes.fromhex(raw))
    assert found == value == literal(found, layout)


def test_null_and_other_types() -> None:
    """NULL has a literal of its own; what cannot be a key has none."""
    assert literal(None, column("int")) == b"NULL"
    with pytest.raises(LayoutMismatch):
        literal(b"1.5", column("double"))


@given(st.binary(max_size=300), st.sampled_from(["char(9)", "varchar(90)", "text"]), st.sampled_from(["latin1", "utf8mb4", "sjis"]))
def test_strings_are_written_as_their_bytes(data: bytes, type_: str, charset: str) -> None:
    """No quoting rule of any server matters."""
    assert literal(data, column(type_, charset=charset)) == b"_%s x'%s'" % (charset.encode(), data.hex().encode())


# ---------------------------------------------------------------- rows


def plan() -> TablePlan:
    """Of a table (a INT, b BLOB, c VARCHAR(300), d BIGINT UNSIGNED, e DOUBLE … eleven columns in all) by (d, a)."""
    layouts = [
        ColumnLayout("a", "int", "int"),
        ColumnLayout("b", "blob", "blob"),
        ColumnLayout("c", "varchar", "varchar(300)", octets=300),
        ColumnLayout("d", "bigint", "bigint unsigned"),
        *[ColumnLayout(f"e{i}", "double", "double") for i in range(7)],
    ]
    table = WatchedTable("t", tuple(layouts), (3, 0))
    return plan_table(table, b"\x0b\x03\xfc\x0f\x08" + b"\x05" * 7 + b"\x0a\2\x2c\1" + b"\x08" * 7 + b"\xff\xff")


def row(a: int, b: bytes | None, d: int, *, doubles: bool = True) -> bytes:
    """An image of such a row; `c` is NULL."""
    nulls = 1 << 2 | (b is None) << 1 | (0 if doubles else 0x7F << 4) | 0xF800
    blob = b"" if b is None else len(b).to_bytes(2, "little") + b
    return nulls.to_bytes(2, "little") + a.to_bytes(4, "little", signed=True) + blob + d.to_bytes(8, "little") + bytes(56 if doubles else 0)


def test_rows_are_walked_by_their_nulls() -> None:
    """Each pattern of NULLs has a plan, and the order of the key is the one asked for."""
    images = [row(1, b"x" * 70, 2**64 - 1), row(-1, None, 0), row(7, b"", 9, doubles=False)]
    data = b"\x0b\xff\xff" + b"".join(images)
    found = read_rows(plan(), INSERT, data, 0, len(data))
    assert [change.after for change in found] == [(2**64 - 1, 1), (0, -1), (9, 7)]
    assert [change.before for change in read_rows(plan(), DELETE, data, 0, len(data))] == [(2**64 - 1, 1), (0, -1), (9, 7)]


def test_what_stands_behind_an_event_is_not_read() -> None:
    """Neither its checksum nor anything else."""
    data = b"\x0b\xff\xff" + row(1, b"abc", 2)
    for behind in (b"\0" * 100, b"\xff" * 100):
        assert len(read_rows(plan(), INSERT, data + behind, 0, len(data))) == 1


@pytest.mark.parametrize("kind", [INSERT, UPDATE, DELETE])
def test_every_cut_is_found(kind: int) -> None:
    """However much is missing of a row, and whatever stands there instead."""
    image = row(1, b"abc", 2)
    head = b"\x0b" + b"\xff\xff" * (2 if kind == UPDATE else 1)
    whole = head + image + (image if kind == UPDATE else b"")
    assert len(read_rows(plan(), kind, whole, 0, len(whole))) == 1
    for end in range(len(whole)):
        if end == len(head):
            continue
        for behind in (b"", b"\0" * 80, b"\xff" * 80):
            with pytest.raises((MalformedEvent, LayoutMismatch)):
                read_rows(plan(), kind, whole[:end] + behind, 0, end)


@pytest.mark.parametrize("length", [5, 0x1000, 0xFFFF])
def test_lengths_that_lie(length: int) -> None:
    """A value never reaches behind its event, and nothing is allocated for it."""
    image = bytearray(row(1, b"abc", 2))
    image[6:8] = length.to_bytes(2, "little")
    data = b"\x0b\xff\xff" + bytes(image)
    with pytest.raises(MalformedEvent):
        read_rows(plan(), INSERT, data, 0, len(data))


@given(st.binary(max_size=200))
def test_random_rows(data: bytes) -> None:
    """Any bytes are rows or an error of ours."""
    try:
        found = read_rows(plan(), INSERT, b"\x0b\xff\xff" + data, 0, len(data) + 3)
    except MalformedEvent:
        return
    assert all(change.after is not None and len(change.after) == 2 for change in found)


@given(st.binary(max_size=60))
def test_random_table_maps(data: bytes) -> None:
    """Any bytes are a table map or an error of ours."""
    table = WatchedTable("t", (ColumnLayout("a", "int", "int"), ColumnLayout("b", "text", "text")), (0,))
    for raw in (data, b"\2\3\xfc\1\2\xff" + data):
        try:
            plan_table(table, raw)
            map_names(raw, 0, len(raw))
        except (MalformedEvent, LayoutMismatch):
            continue
