"""The rows of an INSERT, found in its text."""

import pytest

from shardproxy.errors import BAD_FIELD_COUNT, SYNTAX, ProxyError
from shardproxy.sql.rows import first_row_only, has_rows, split_rows, without_comments

HEAD = b"INSERT INTO t (a, b) VALUES "


def values(rows: bytes, width: int = 2, positions: tuple[int, ...] = (0,)) -> list[tuple[bytes, ...]]:
    """The values at the positions of each row."""
    return [row.values for row in split_rows(HEAD + rows, width, positions).rows]


def test_insert_is_taken_apart() -> None:
    """Head, rows and tail together are the statement."""
    text = split_rows(HEAD + b"(1, 'x'), (2, 'y') ON DUPLICATE KEY UPDATE b = 3;", 2, (0, 1))
    assert text.head == HEAD
    assert [row.text for row in text.rows] == [b"(1, 'x')", b"(2, 'y')"]
    assert [row.values for row in text.rows] == [(b"1", b"'x'"), (b"2", b"'y'")]
    assert text.tail == b"ON DUPLICATE KEY UPDATE b = 3"


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (b"(1,2),(3,4)", [b"1", b"3"]),
        (b"( 1 , 2 ) , ( 3 , 4 ) ;", [b"1", b"3"]),
        (b"(-1, NULL), (+2.5e3, TRUE)", [b"-1", b"+2.5e3"]),
        (b"('a),(', 'x')", [b"'a),('"]),
        (rb"('it\'s', 1), ('it''s', 2)", [rb"'it\'s'", b"'it''s'"]),
        (b'("a,b", 1)', [b'"a,b"']),
        (b"(1 + 2, f(3, (4)))", [b"1 + 2"]),
        (b"(CONCAT('a', ')'), 1), (5, 6)", [b"CONCAT('a', ')')", b"5"]),
        (b"(0x31, b'1'), (_utf8'x', 1)", [b"0x31", b"_utf8'x'"]),
        (b"(DEFAULT, (SELECT 1, 2))", [b"DEFAULT"]),
    ],
    ids=[
        "tight",
        "spaces",
        "signs",
        "parentheses in text",
        "escapes",
        "double quotes",
        "expression",
        "function",
        "other literals",
        "nested",
    ],
)
def test_value_is_found_in_every_row(rows: bytes, found: list[bytes]) -> None:
    """Whatever stands beside it."""
    assert values(rows) == [(value,) for value in found]


@pytest.mark.parametrize(
    "rows",
    [
        b"/* x */ (1, 2), (3, 4)",
        b"(1, /* ) , ( */ 2), (3, 4)",
        b"(1, 2) -- (9, 9),\n, (3, 4)",
        b"(1, 2), # (9, 9),\n (3, 4)",
        b"(1/**/, 2), (3, 4) /* the end",
    ],
)
def test_comments_are_no_rows(rows: bytes) -> None:
    """Nor do they hide one."""
    assert values(rows) == [(b"1",), (b"3",)]


def test_comment_in_quotes_is_text() -> None:
    """Dropping comments leaves strings and names as they are."""
    text = b"SELECT '/* a */', \"-- b\n\", `# c` /* d */"
    assert without_comments(text) == b"SELECT '/* a */', \"-- b\n\", `# c`  "


@pytest.mark.parametrize(
    ("rows", "number"), [(b"(1)", 1), (b"(1, 2, 3)", 1), (b"(1, 2), (3)", 2), (b"(1, 2), (3, 4), (5, f(6), 7)", 3), (b"()", 1)]
)
def test_row_of_another_width_is_refused(rows: bytes, number: int) -> None:
    """With the server's own words and the number of the row."""
    with pytest.raises(ProxyError) as wrong:
        values(rows)
    assert wrong.value.spec is BAD_FIELD_COUNT
    assert wrong.value.message == f"Column count doesn't match value count at row {number}"


@pytest.mark.parametrize(
    "rows", [b"(1, 2", b"(1, 'x), (2, 3)", b"(1, 2), ", b"(1, 2), x", b"(1, 2) (3, 4)", b"(1, 2) + 1", b"(1, (2), (3, 4)"]
)
def test_rows_that_cannot_be_told_apart_are_refused(rows: bytes) -> None:
    """Guessing would lose rows or put them in the wrong place."""
    with pytest.raises(ProxyError) as wrong:
        values(rows)
    assert wrong.value.spec in (SYNTAX, BAD_FIELD_COUNT)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (b"INSERT INTO t VALUES (1)", True),
        (b"replace into t value(1)", True),
        (b"/* x */ INSERT t VALUES\n(1)", True),
        (b"INSERT INTO t SELECT 1", False),
        (b"INSERT INTO t SET a = 1", False),
        (b"SELECT 'INSERT INTO t VALUES (1)'", False),
    ],
)
def test_insert_with_rows_is_told_from_others(text: bytes, is_one: bool) -> None:
    """By its beginning alone."""
    assert has_rows(text) is is_one


def test_first_row_stands_for_all() -> None:
    """The plan of a long INSERT is made from a short one with the same head and tail."""
    short = first_row_only(HEAD + b"(1, f(2)), (3, '),('), (5, 6) ON DUPLICATE KEY UPDATE a = 1")
    assert short.split() == (HEAD + b"(1, f(2)) ON DUPLICATE KEY UPDATE a = 1").split()
