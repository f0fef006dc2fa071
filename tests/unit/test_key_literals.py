"""Every form in which a statement can write a sharding key, and what it proves for each type of column."""

import datetime as dt

import pytest

from shardproxy.errors import KEY_NULL, KEY_OUT_OF_RANGE, KEY_UNPROVABLE, ErrorSpec, ProxyError
from shardproxy.topology.keys import (
    UNPROVABLE,
    BytesKey,
    DateKey,
    DateTimeKey,
    IntegerKey,
    Key,
    KeyType,
    StringKey,
    Unprovable,
    is_string,
    key_for_insert,
    unquote,
)

BIGINT = IntegerKey(-(1 << 63), (1 << 63) - 1)
TINY_UNSIGNED = IntegerKey(0, 255)
PLAIN = StringKey(padded=False, max_chars=4, codec="utf-8")
PADDED = StringKey(padded=True, max_chars=4, codec="utf-8")
ASCII = StringKey(padded=False, max_chars=4, codec="ascii")
BINARY = BytesKey(4)
DATE = DateKey()
SECONDS = DateTimeKey(0)
MILLIS = DateTimeKey(3)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"0", 0),
        (b"-0", 0),
        (b"007", 7),
        (b"-7", -7),
        (b"+7", 7),
        (b"7.", 7),
        (b"-7.000", -7),
        (b"'-7'", -7),
        (b'"7"', 7),
        (b"18446744073709551615", (1 << 64) - 1),
        (b"'9007199254740991'", (1 << 53) - 1),
        (b"'9007199254740992'", UNPROVABLE),
        (b"'-9007199254740992'", UNPROVABLE),
        (b"1" * 21, UNPROVABLE),
        (b"7.1", UNPROVABLE),
        (b".7", UNPROVABLE),
        (b"7e1", UNPROVABLE),
        (b"0x7", UNPROVABLE),
        (b"'7.0'", UNPROVABLE),
        (b"' 7'", UNPROVABLE),
        (b"'7 '", UNPROVABLE),
        (b"'7\n'", UNPROVABLE),
        (b"7\n", UNPROVABLE),
        (b"''", UNPROVABLE),
        (b"'7''8'", UNPROVABLE),
        (b"'7' '8'", UNPROVABLE),
        (b"NULL", UNPROVABLE),
        (b"TRUE", UNPROVABLE),
        (b"--7", UNPROVABLE),
        (b"", UNPROVABLE),
    ],
)
def test_integer(raw: bytes, key: Key | Unprovable) -> None:
    """Only what the server compares as that very integer."""
    assert BIGINT.from_literal(raw, "utf-8") == key


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"'ab'", b"ab"),
        (b'"ab"', b"ab"),
        (b"''", b""),
        (b"'ab '", b"ab "),
        (b"'AB'", b"AB"),
        (rb"'\''", b"'"),
        (b"''''", b"'"),
        (b"'\"\"'", b'""'),
        (rb"'\n\0\Z'", b"\n\0\x1a"),
        (rb"'\%\_'", rb"\%\_"),
        (rb"'\x'", b"x"),
        ("'éüö€'".encode(), "éüö€".encode()),
        (b"'abcde'", UNPROVABLE),
        (b"'abcd '", UNPROVABLE),
        (b"'\xff'", UNPROVABLE),
        (b"5", UNPROVABLE),
        (b"x'41'", UNPROVABLE),
        (b"_latin1'a'", UNPROVABLE),
        (b"'a' 'b'", UNPROVABLE),
        (b"'a", UNPROVABLE),
        (b"'a\\'", UNPROVABLE),
        (b"NULL", UNPROVABLE),
    ],
)
def test_string(raw: bytes, key: Key | Unprovable) -> None:
    """One quoted string that the column can hold, without its escapes."""
    assert PLAIN.from_literal(raw, "utf-8") == key


@pytest.mark.parametrize("raw", [b"'ab'", b"'ab  '", b"'ab" + b" " * 50 + b"'"])
def test_padded_string(raw: bytes) -> None:
    """Trailing spaces make no difference, to the key or to the bucket; any other blank does."""
    key = PADDED.from_literal(raw, "utf-8")
    assert key == b"ab".ljust(16)
    assert PADDED.canonical(key) == b"ab"
    assert PADDED.from_literal(b"'ab\t'", "utf-8") != key


def test_padded_strings_are_ordered_as_the_server_orders_them() -> None:
    """A tab sorts before the spaces that fill a string up."""
    short, tab = PADDED.from_literal(b"'a'", "utf-8"), PADDED.from_literal(b"'a\t'", "utf-8")
    assert isinstance(short, bytes)
    assert isinstance(tab, bytes)
    assert tab < short


def test_string_is_read_in_the_client_s_character_set() -> None:
    """The key is the text, not the bytes that the client sent; what the column cannot hold proves nothing."""
    assert PLAIN.from_literal(b"'\xe9'", "cp1252") == "é".encode()
    assert ASCII.from_literal(b"'e'", "cp1252") == b"e"
    assert ASCII.from_literal(b"'\xe9'", "cp1252") is UNPROVABLE


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"'ab'", b"ab"),
        (b"'ab '", b"ab "),
        (rb"'\0'", b"\0"),
        (b"'abcde'", UNPROVABLE),
        ("'é'".encode(), UNPROVABLE),
        (b"7", UNPROVABLE),
        (b"0x41", UNPROVABLE),
    ],
)
def test_bytes(raw: bytes, key: Key | Unprovable) -> None:
    """ASCII only, which no conversion can change; nothing is padded."""
    assert BINARY.from_literal(raw, "utf-8") == key


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"'2024-02-29'", b"2024-02-29"),
        (b'"2024-02-29"', b"2024-02-29"),
        (b"'2023-02-29'", UNPROVABLE),
        (b"'2024-13-01'", UNPROVABLE),
        (b"'0000-00-00'", UNPROVABLE),
        (b"'2024-2-9'", UNPROVABLE),
        (b"'24-02-09'", UNPROVABLE),
        (b"'2024/02/09'", UNPROVABLE),
        (b"'2024-02-09 00:00:00'", UNPROVABLE),
        (b"20240209", UNPROVABLE),
        (b"DATE'2024-02-09'", UNPROVABLE),
        ("'２024-02-09'".encode(), UNPROVABLE),
    ],
)
def test_date(raw: bytes, key: Key | Unprovable) -> None:
    """A real day in the one form."""
    assert DATE.from_literal(raw, "utf-8") == key


@pytest.mark.parametrize(
    ("kind", "raw", "key"),
    [
        (SECONDS, b"'2024-02-29'", b"2024-02-29 00:00:00"),
        (SECONDS, b"'2024-02-29 23:59:59'", b"2024-02-29 23:59:59"),
        (SECONDS, b"'2024-02-29T23:59:59'", b"2024-02-29 23:59:59"),
        (SECONDS, b"'2024-02-29 23:59:59.000'", b"2024-02-29 23:59:59"),
        (SECONDS, b"'2024-02-29 23:59:59.5'", UNPROVABLE),
        (MILLIS, b"'2024-02-29'", b"2024-02-29 00:00:00.000"),
        (MILLIS, b"'2024-02-29 01:02:03.5'", b"2024-02-29 01:02:03.500"),
        (MILLIS, b"'2024-02-29 01:02:03.500000'", b"2024-02-29 01:02:03.500"),
        (MILLIS, b"'2024-02-29 01:02:03.0001'", UNPROVABLE),
        (SECONDS, b"'2024-02-29 24:00:00'", UNPROVABLE),
        (SECONDS, b"'2024-02-29 23:60:00'", UNPROVABLE),
        (SECONDS, b"'2024-02-29 23:59:60'", UNPROVABLE),
        (SECONDS, b"'2024-02-30 00:00:00'", UNPROVABLE),
        (SECONDS, b"'2024-02-29 01:02'", UNPROVABLE),
        (SECONDS, b"'2024-02-29 01:02:03+01:00'", UNPROVABLE),
        (SECONDS, b"20240229010203", UNPROVABLE),
    ],
)
def test_datetime(kind: DateTimeKey, raw: bytes, key: Key | Unprovable) -> None:
    """With as many digits of a second as the column keeps, and no more."""
    assert kind.from_literal(raw, "utf-8") == key


@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        (BIGINT, 5, 5),
        (PLAIN, "ab", b"ab"),
        (PADDED, "ab ", b"ab".ljust(16)),
        (BINARY, "ab", b"ab"),
        (DATE, dt.date(2024, 2, 29), b"2024-02-29"),
        (DATE, "2024-02-29", b"2024-02-29"),
        (SECONDS, dt.datetime(2024, 2, 29, 1, 2, 3), b"2024-02-29 01:02:03"),  # noqa: DTZ001 - a column has no zone either
        (SECONDS, dt.date(2024, 2, 29), b"2024-02-29 00:00:00"),
        (MILLIS, "2024-02-29 01:02:03.5", b"2024-02-29 01:02:03.500"),
    ],
)
def test_bound_of_the_config_is_a_key(kind: KeyType, value: object, key: Key) -> None:
    """The same one that a statement's literal becomes."""
    assert kind.from_config(value) == key


@pytest.mark.parametrize(
    ("kind", "value"),
    [(BIGINT, "5"), (BIGINT, True), (BIGINT, 5.0), (PLAIN, 5), (PLAIN, "abcde"), (BINARY, "é"), (DATE, "2024-2-9"), (DATE, 5),
     (DATE, dt.datetime(2024, 2, 29)), (SECONDS, "soon"), (SECONDS, dt.datetime(2024, 1, 1, 0, 0, 0, 5))],  # noqa: DTZ001
)  # fmt: skip
def test_bound_that_does_not_fit_the_column_is_refused(kind: KeyType, value: object) -> None:
    """Rather than read as something else."""
    with pytest.raises(ValueError, match=r"is not"):
        kind.from_config(value)


@pytest.mark.parametrize(
    ("kind", "raw", "key"),
    [
        (TINY_UNSIGNED, b"255", 255),
        (BIGINT, b"'9007199254740993'", 9007199254740993),
        (PLAIN, b"5", b"5"),
        (PLAIN, b"-05", b"-5"),
        (PADDED, b"5", b"5".ljust(16)),
    ],
)
def test_storing_proves_more_than_comparing(kind: KeyType, raw: bytes, key: Key) -> None:
    """An INSERT converts exactly, where a comparison may go through doubles."""
    assert key_for_insert(kind, "k", raw, "utf-8") == key


@pytest.mark.parametrize(
    ("kind", "raw", "spec"),
    [
        (BIGINT, b"NULL", KEY_NULL),
        (PLAIN, b"null", KEY_NULL),
        (TINY_UNSIGNED, b"256", KEY_OUT_OF_RANGE),
        (TINY_UNSIGNED, b"-1", KEY_OUT_OF_RANGE),
        (TINY_UNSIGNED, b"'300'", KEY_OUT_OF_RANGE),
        (BIGINT, b"9223372036854775808", KEY_OUT_OF_RANGE),
        (BIGINT, b"1.5", KEY_UNPROVABLE),
        (BIGINT, b"f()", KEY_UNPROVABLE),
        (PLAIN, b"'abcde'", KEY_UNPROVABLE),
        (PLAIN, b"1.5", KEY_UNPROVABLE),
        (DATE, b"'soon'", KEY_UNPROVABLE),
        (SECONDS, b"NOW()", KEY_UNPROVABLE),
    ],
)
def test_row_without_a_certain_place_is_refused(kind: KeyType, raw: bytes, spec: ErrorSpec) -> None:
    """Each fault with its own error."""
    with pytest.raises(ProxyError) as refused:
        key_for_insert(kind, "k", raw, "utf-8")
    assert refused.value.spec is spec
    assert "'k'" in refused.value.message


def test_canonical_forms_are_what_sql_casts_to_a_string() -> None:
    """The servers' own SHA2() over the column then gives the same bucket."""
    assert BIGINT.canonical(-7) == b"-7"
    assert PLAIN.canonical(b"ab ") == b"ab "
    assert BINARY.canonical(b"ab") == b"ab"
    assert DATE.canonical(b"2024-02-29") == b"2024-02-29"
    assert MILLIS.canonical(b"2024-02-29 01:02:03.500") == b"2024-02-29 01:02:03.500"


@pytest.mark.parametrize(
    ("raw", "one"), [(b"'a'", True), (b"'a''b'", True), (b"'a' 'b'", False), (b"'a'+'b'", False), (b"'", False), (b"", False)]
)
def test_one_string_is_told_from_several(raw: bytes, one: bool) -> None:
    """An expression between quotes is no literal."""
    assert is_string(raw) is one


def test_other_quote_is_left_alone() -> None:
    """Only the quote that encloses a string is doubled in it."""
    assert unquote(b"'a\"\"b'") == b'a""b'
    assert unquote(b"\"a''b\"") == b"a''b"
    assert unquote(b'"a""b"') == b'a"b'
