"""The binary protocol of prepared statements under good, cut and hostile bytes; the reference is what tests/support/binary.py builds."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardproxy.errors import ProxyError
from shardproxy.protocol.binary import build_execute, parse_parameters, renumbered_execute, row_encoder, types_with_long_data
from shardproxy.protocol.framing import encode_packet
from shardproxy.protocol.packets import ErrPacket, OkPacket, build_err, build_ok
from shardproxy.protocol.prepare import PrepareReader, build_prepared, parameter_column
from shardproxy.protocol.result_reader import ResultReader
from shardproxy.protocol.resultset import ColumnDefinition, build_row, encode_header, encode_result
from shardproxy.protocol.scanner import DONE, ResponseScanner
from shardproxy.protocol.wire_types import MalformedPacket
from shardproxy.sql.parameters import count_literal, literal
from tests.support import binary
from tests.support.binary import Column, Parameter, binary_row, execute_payload, value_of

CODEC = settings(max_examples=100, deadline=None)
WIDTHS = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 8: 8, 9: 4, 13: 2}
MOMENTS = (binary.DATE, binary.DATETIME, binary.TIMESTAMP)
STRINGS = (0, 15, 16, 245, 246, 247, 248, 249, 250, 251, 252, 253, 254, 255)
MORE = 0x08


@st.composite
def a_parameter(draw: st.DrawFn) -> Parameter:
    """A value of any type that a client may send, NULL now and then."""
    kind = draw(st.sampled_from([*WIDTHS, *MOMENTS, binary.TIME, *STRINGS, binary.NULL]))
    if kind == binary.NULL or draw(st.integers(0, 5)) == 0:
        return Parameter(kind, None, draw(st.booleans()))
    if kind in WIDTHS:
        raw = draw(st.binary(min_size=WIDTHS[kind], max_size=WIDTHS[kind]))
    elif kind in MOMENTS:
        raw = draw(st.sampled_from([0, 4, 7, 11]).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
    elif kind == binary.TIME:
        raw = draw(st.sampled_from([0, 8, 12]).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
    else:
        raw = draw(st.one_of(st.binary(max_size=40), st.sampled_from([b"x" * 250, b"y" * 251, b"z" * 70_000])))
    return Parameter(kind, raw, draw(st.booleans()))


parameters = st.lists(a_parameter(), max_size=20)


def types_of(given_parameters: list[Parameter]) -> bytes:
    """The types as they stand in an execution."""
    return b"".join(bytes((p.type, 0x80 if p.unsigned else 0)) for p in given_parameters)


# ---------------------------------------------------------------- parameters


@CODEC
@given(parameters, st.integers(0, 0xFFFFFFFF))
def test_parameters_come_out_as_they_went_in(wanted: list[Parameter], number: int) -> None:
    """Types and values of every kind, with the types repeated and without."""
    types, values = parse_parameters(execute_payload(number, wanted), len(wanted), b"", {})
    assert values == [p.raw for p in wanted]
    assert types == types_of(wanted)
    again = execute_payload(number, wanted, bound=False)
    assert parse_parameters(again, len(wanted), types, {}) == (types, values)


@CODEC
@given(parameters.filter(bool), st.data())
def test_execution_cut_anywhere_is_malformed(wanted: list[Parameter], data: st.DataObject) -> None:
    """No beginning of an execution is taken for a whole one with other values, and none gives another error."""
    payload = execute_payload(1, wanted)
    cut = payload[: data.draw(st.integers(10, len(payload) - 1))]
    with pytest.raises(MalformedPacket):
        parse_parameters(cut, len(wanted), b"", {})


def test_every_cut_of_one_of_each_type_is_malformed() -> None:
    """The same at every byte, for a value of each type."""
    wanted = [Parameter(kind, b"\x07" * width) for kind, width in WIDTHS.items()]
    wanted += [binary.moment("2024-02-29 12:34:56.789", kind) for kind in MOMENTS] + [binary.duration("-27:01:02.5")]
    wanted += [Parameter(kind, b"abc") for kind in STRINGS] + [binary.text("x" * 300), binary.null()]
    payload = execute_payload(1, wanted)
    assert parse_parameters(payload, len(wanted), b"", {})[1] == [p.raw for p in wanted]
    for cut in range(10, len(payload)):
        with pytest.raises(MalformedPacket):
            parse_parameters(payload[:cut], len(wanted), b"", {})


@CODEC
@given(st.binary(max_size=200), st.integers(0, 30), st.binary(max_size=60), st.dictionaries(st.integers(0, 30), st.binary(max_size=5)))
def test_execution_of_random_bytes_never_crashes(payload: bytes, count: int, known: bytes, long_data: dict[int, bytes]) -> None:
    """It has parameters, as many as the statement, or it is malformed; each value is then a literal or malformed."""
    try:
        types, values = parse_parameters(b"\x17" + payload, count, known, long_data)
    except MalformedPacket:
        return
    assert len(values) == count
    for i, value in enumerate(values):
        if i not in long_data:
            with contextlib.suppress(ProxyError):
                literal(types[2 * i], types[2 * i + 1], value)


@CODEC
@given(parameters.filter(bool), st.data())
def test_long_data_stands_for_a_value(wanted: list[Parameter], data: st.DataObject) -> None:
    """A parameter that was sent ahead has no value in the execution; the others keep theirs, and the server gets them all."""
    sent = data.draw(st.dictionaries(st.integers(0, len(wanted) - 1), st.binary(max_size=20), max_size=4))
    shown = [Parameter(p.type, None if i in sent else p.raw, p.unsigned) for i, p in enumerate(wanted)]
    types, values = parse_parameters(execute_payload(1, shown), len(wanted), b"", sent)
    assert values == [sent.get(i, p.raw) for i, p in enumerate(wanted)]
    rebuilt = build_execute(9, 0, types_with_long_data(types, sent), values, range(len(values)))
    read_types, read_values = parse_parameters(rebuilt, len(wanted), b"", {})
    if not any(wanted[i].type == binary.NULL for i in sent):
        assert read_values == values
        assert all(read_types[2 * i] == wanted[i].type for i in range(len(wanted)) if i not in sent)


def test_long_data_for_a_parameter_of_type_null() -> None:
    """What was sent ahead is the value, whatever type the execution names."""
    wanted = [binary.null(), binary.integer(50)]
    types, values = parse_parameters(execute_payload(1, wanted), 2, b"", {0: b"abc"})
    rebuilt = build_execute(9, 0, types_with_long_data(types, [0]), values, range(2))
    assert parse_parameters(rebuilt, 2, b"", {})[1] == [b"abc", wanted[1].raw]


@CODEC
@given(parameters, st.integers(0, 0xFFFFFFFF), st.booleans())
def test_renumbered_execution_says_the_same(wanted: list[Parameter], number: int, bound: bool) -> None:
    """Another number, no cursor, types repeated; and nothing else is different."""
    types = types_of(wanted)
    payload = execute_payload(3, wanted, flags=1, bound=bound)
    assert renumbered_execute(payload, number, types) == execute_payload(number, wanted)


@CODEC
@given(parameters.filter(bool), st.data())
def test_reordered_execution(wanted: list[Parameter], data: st.DataObject) -> None:
    """A shard's text may have the parameters in another order, some twice and some not at all."""
    order = data.draw(st.lists(st.integers(0, len(wanted) - 1), max_size=20))
    built = build_execute(4, 0, types_of(wanted), [p.raw for p in wanted], order)
    # Where a value is NULL its type does not matter, but it is kept.
    assert built == execute_payload(4, [wanted[i] for i in order])


# ---------------------------------------------------------------- rows

ROW_VALUES: list[tuple[Column, bytes, object]] = [
    (Column("", 1, 0), b"-128", -128),
    (Column("", 1, 0x20), b"255", 255),
    (Column("", 2, 0), b"-32768", -32768),
    (Column("", 13, 0x60), b"2155", 2155),
    (Column("", 3, 0x40), b"00007", 7),
    (Column("", 9, 0), b"-8388608", -8388608),
    (Column("", 8, 0x20), b"18446744073709551615", (1 << 64) - 1),
    (Column("", 8, 0), b"-9223372036854775808", -(1 << 63)),
    (Column("", 5, 0), b"-1.7976931348623157e308", -1.7976931348623157e308),
    (Column("", 5, 0), b"0.1", 0.1),
    (Column("", 4, 0), b"1.5", 1.5),
    (Column("", 246, 0), b"-0.00", b"-0.00"),
    (Column("", 10, 0), b"2024-02-29", "2024-02-29"),
    (Column("", 10, 0), b"0000-00-00", "0000-00-00"),
    (Column("", 12, 0), b"9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"),
    (Column("", 12, 0), b"2024-01-01 00:00:00", "2024-01-01 00:00:00.000000"),
    (Column("", 7, 0), b"1970-01-01 00:00:01.500", "1970-01-01 00:00:01.500000"),
    (Column("", 11, 0), b"-838:59:59", "-838:59:59.000000"),
    (Column("", 11, 0), b"-00:00:00.25", "-00:00:00.250000"),
    (Column("", 11, 0), b"00:00:00", "00:00:00.000000"),
    (Column("", 253, 0), b"", b""),
    (Column("", 252, 0), b"\xfb" * 70_000, b"\xfb" * 70_000),
    (Column("", 16, 0), b"\x01\xff", b"\x01\xff"),
]


@pytest.mark.parametrize("nulls", [(), (0,), (6, 7), tuple(range(len(ROW_VALUES)))])
def test_text_row_as_a_binary_row(nulls: tuple[int, ...]) -> None:
    """Every type, with NULLs around the edges of a bitmap's byte."""
    columns = [ColumnDefinition(b"", column.type, flags=column.flags) for column, _, _ in ROW_VALUES]
    text = build_row([None if i in nulls else raw for i, (_, raw, _) in enumerate(ROW_VALUES)])
    found = binary_row(row_encoder(columns)(text), [column for column, _, _ in ROW_VALUES])
    values = [value_of(column, raw) for (column, _, _), raw in zip(ROW_VALUES, found, strict=True)]
    assert values == [None if i in nulls else value for i, (_, _, value) in enumerate(ROW_VALUES)]


@pytest.mark.parametrize("raw", [b"", b"x", b"\xff", b"1-2", b"1:2", b"99999-99-99 9:9:9", b"1-999-1", b"1:999:1"])
@pytest.mark.parametrize("kind", [1, 4, 5, 8, 10, 11, 12])
def test_text_that_is_no_value_of_its_type(kind: int, raw: bytes) -> None:
    """A server's text that does not fit its column's type is an error of the catalogue, and not one from within."""
    with pytest.raises(ProxyError):
        row_encoder([ColumnDefinition(b"", kind)])(build_row([raw]))


# ---------------------------------------------------------------- answers


@st.composite
def prepared_answers(draw: st.DrawFn) -> tuple[bytes, int, int, int]:
    """The answer to a PREPARE: its bytes, the statement's number, and how many parameters and columns it has."""
    number, count, columns = draw(st.integers(0, 0xFFFFFFFF)), draw(st.integers(0, 5)), draw(st.integers(0, 300))
    definitions = [ColumnDefinition(b"c%d" % i, 253, table=b"t") for i in range(columns)]
    return build_prepared(number, [parameter_column()] * count, definitions, 2), number, count, columns


@CODEC
@given(prepared_answers(), st.data())
def test_prepare_answer_in_any_pieces(answer: tuple[bytes, int, int, int], data: st.DataObject) -> None:
    """It is over with its last byte and not before, and tells what was said."""
    stream, number, count, columns = answer
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream) - 1), max_size=20)))
    reader = PrepareReader()
    for a, b in itertools.pairwise([0, *cuts, len(stream)]):
        assert not reader.done
        reader.feed(stream[a:b])
    assert reader.done
    assert (reader.statement_id, len(reader.parameters), len(reader.columns)) == (number, count, columns)
    with pytest.raises(MalformedPacket):
        reader.feed(encode_packet(b"\0", 1))


def test_prepare_answer_byte_by_byte() -> None:
    """The same for the smallest pieces there are."""
    stream = build_prepared(7, [parameter_column()] * 2, [ColumnDefinition(b"a", 3)], 2)
    reader = PrepareReader()
    for i in range(len(stream)):
        assert not reader.done
        reader.feed(stream[i : i + 1])
    assert reader.done


@CODEC
@given(prepared_answers(), st.data())
def test_damaged_prepare_answer(answer: tuple[bytes, int, int, int], data: st.DataObject) -> None:
    """One byte of a good answer is changed: it is read, waited for, or malformed."""
    stream = bytearray(answer[0])
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    reader = PrepareReader()
    try:
        reader.feed(bytes(stream))
    except MalformedPacket:
        return
    assert len(reader.columns) <= 0xFFFF


@CODEC
@given(st.lists(st.binary(max_size=100), max_size=20))
def test_prepare_answer_of_random_bytes(chunks: list[bytes]) -> None:
    """A server that is out of its mind costs its own connection."""
    reader = PrepareReader()
    try:
        for chunk in chunks:
            reader.feed(chunk)
    except MalformedPacket:
        pass


@st.composite
def several_results(draw: st.DrawFn) -> tuple[bytes, int, bool]:
    """One to four results, each but the last announcing the next; with a request for a file in front of one of them."""
    count = draw(st.integers(1, 4))
    parts = []
    file_at = draw(st.integers(0, 6))
    for number in range(count):
        status = 2 | (MORE if number < count - 1 else 0)
        sequence = draw(st.integers(0, 255))
        if number == file_at:
            parts.append(encode_packet(b"\xfb" + draw(st.binary(max_size=20)), sequence))
        kind = draw(st.sampled_from(["ok", "rows", "error"] if number == count - 1 else ["ok", "rows"]))
        if kind == "error":
            parts.append(encode_packet(build_err(ErrPacket(1064, "42000", "no")), sequence))
        elif kind == "ok":
            parts.append(
                encode_packet(build_ok(OkPacket(draw(st.integers(0, 1 << 40)), 0, status, 0, draw(st.binary(max_size=9)))), sequence)
            )
        else:
            columns = [ColumnDefinition(b"c", 253)] * draw(st.integers(1, 3))
            rows = draw(st.lists(st.just([b"\xfe"] * len(columns)), max_size=4))
            parts.append(encode_result(columns, rows, status, sequence))
    return b"".join(parts), count, file_at < count


@CODEC
@given(several_results(), st.data())
def test_scanner_follows_several_results_in_any_pieces(answer: tuple[bytes, int, bool], data: st.DataObject) -> None:
    """All that came is forwarded, a file is asked for once where it may be, and the end is that of the last result."""
    stream, _, asks = answer
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream) - 1), max_size=20)))
    scanner = ResponseScanner()
    scanner.may_ask = True
    forwarded = b""
    for a, b in itertools.pairwise([0, *cuts, len(stream)]):
        assert scanner.state != DONE
        forwarded += scanner.feed(stream[a:b])
    assert scanner.state == DONE
    assert forwarded + scanner.final == stream
    assert scanner.asks == asks


@CODEC
@given(several_results(), st.data())
def test_scanner_refuses_a_file_that_was_not_offered(answer: tuple[bytes, int, bool], data: st.DataObject) -> None:
    """Not in the first result and not in a later one; and never twice."""
    stream, _, asks = answer
    scanner = ResponseScanner()
    if asks:
        with pytest.raises(MalformedPacket):
            scanner.feed(stream)
        second = ResponseScanner()
        second.may_ask = True
        request = encode_packet(b"\xfbx", 1)
        with pytest.raises(MalformedPacket):
            second.feed(request + request)
    else:
        scanner.feed(stream)
        assert scanner.state == DONE


def test_reader_is_not_done_before_the_last_result() -> None:
    """What is left of an answer would be taken for the answer to the next statement."""
    reader = ResultReader()
    reader.feed(encode_result([ColumnDefinition(b"a", 3)], [[b"1"]], 2 | MORE))
    assert not reader.done


def test_header_of_binary_rows_is_that_of_text_rows() -> None:
    """So the scanner needs not know which it follows."""
    columns = [ColumnDefinition(b"a", 8), ColumnDefinition(b"b", 253)]
    header, sequence = encode_header(columns, 2)
    row = row_encoder(columns)(build_row([b"-1", b"x"]))
    scanner = ResponseScanner()
    stream = header + encode_packet(row, sequence) + encode_packet(b"\xfe\0\0\2\0", sequence + 1)
    scanner.feed(stream)
    assert (scanner.state, scanner.rows) == (DONE, 1)


def test_count_that_is_no_number_stays_as_it_is() -> None:
    """What stands behind LIMIT is the server's to judge; it must not break the proxy."""
    for value in (b"'1e999'", b"1e999", b"'x'", b"NULL", b"", b"-1", b"'1' "):
        count_literal(value)
