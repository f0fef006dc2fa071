"""The shape of a statement: which text is a literal, which is a name, and which is nothing at all."""

import pytest

from shardproxy.sql.fingerprint import expand_executable_comments, fingerprint, list_items


@pytest.mark.parametrize(
    ("text", "shape", "literals"),
    [
        (b"SELECT 1", b"SELECT ?", [b"1"]),
        (b"SELECT 1.5, .5, 2e10, 0x1F, 3.", b"SELECT ?, .5, ?, ?, ?", [b"1.5", b"2e10", b"0x1F", b"3."]),
        (b"a = 'x' AND b = \"y\"", b"a = ? AND b = ?", [b"'x'", b'"y"']),
        (rb"a = 'it\'s' AND b = 'it''s'", b"a = ? AND b = ?", [rb"'it\'s'", b"'it''s'"]),
        (rb"a = '\\' AND b = 1", b"a = ? AND b = ?", [rb"'\\'", b"1"]),
        (b'a = \'say "1"\' AND b = "it\'s"', b"a = ? AND b = ?", [b"'say \"1\"'", b'"it\'s"']),
        (b"a = '' AND b = \"\"", b"a = ? AND b = ?", [b"''", b'""']),
        ("a = 'é1'".encode(), b"a = ?", ["'é1'".encode()]),
        (b"a=-1", b"a=-?", [b"1"]),
    ],
    ids=["integer", "numbers", "quotes", "escapes", "escaped backslash", "quotes in quotes", "empty", "not ascii", "sign"],
)
def test_literals_are_lifted_out(text: bytes, shape: bytes, literals: list[bytes]) -> None:
    """As they were written, in their order."""
    assert fingerprint(text) == (shape, literals)


@pytest.mark.parametrize("text", [b"SELECT t1.c2 FROM t1", b"SELECT @v2, $1x", b"SELECT a_1", b"SELECT 1a FROM x", "SELECT é1".encode()])
def test_number_inside_a_name_is_no_literal(text: bytes) -> None:
    """Another table must never share a plan."""
    assert fingerprint(text) == (text, [])


@pytest.mark.parametrize(
    ("raw", "items"),
    [
        (b"(1)", [b"1"]),
        (b"(1, 2,3)", [b"1", b"2", b"3"]),
        (b"(-1, +2, NULL, null)", [b"-1", b"+2", b"NULL", b"null"]),
        (b"( 'a,b' , 'c)' )", [b"'a,b'", b"'c)'"]),
        (rb"('it\'s', 'it''s')", [rb"'it\'s'", b"'it''s'"]),
        (b"(1.5, 2e-3, 0x1f)", [b"1.5", b"2e-3", b"0x1f"]),
    ],
)
def test_list_is_one_literal_and_can_be_taken_apart(raw: bytes, items: list[bytes]) -> None:
    """Lists of any length share a plan, and none of their items is lost."""
    shape, literals = fingerprint(b"SELECT a FROM t WHERE id IN " + raw + b" AND b = 5")
    assert shape == b"SELECT a FROM t WHERE id IN ? AND b = ?"
    assert literals == [raw, b"5"]
    assert list_items(raw) == items


@pytest.mark.parametrize("behind", [b"(1, a)", b"(SELECT 1)", b"(1, (2))", b"(1 + 2)", b"()"])
def test_list_with_anything_else_in_it_is_not_one_literal(behind: bytes) -> None:
    """What is not a literal decides the plan."""
    shape, literals = fingerprint(b"WHERE id IN " + behind)
    assert b"(" in shape
    assert all(literal[:1] != b"(" for literal in literals)


def test_only_a_list_behind_in_is_one_literal() -> None:
    """The arguments of a function or the row of an INSERT stay apart."""
    assert fingerprint(b"SELECT min(1, 2)") == (b"SELECT min(?, ?)", [b"1", b"2"])
    assert fingerprint(b"VALUES (1, 2)") == (b"VALUES (?, ?)", [b"1", b"2"])


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT /* 7 'x */ 1",
        b"SELECT # 7 ' x\n1",
        b'SELECT -- 7 " x\n1',
        b"SELECT --\t7\n1",
        b"SELECT 1 /* 7",
        b"SELECT 1 # '",
        b"SELECT 1 --",
    ],
)
def test_comments_leave_nothing_behind(text: bytes) -> None:
    """Neither a literal nor a quote that would swallow the rest."""
    shape, literals = fingerprint(text)
    assert literals == [b"1"]
    assert shape.split() == [b"SELECT", b"?"]


def test_hints_are_part_of_the_shape() -> None:
    """They change what the server does."""
    assert fingerprint(b"SELECT /*+ MAX_EXECUTION_TIME(9) */ 1") == (b"SELECT /*+ MAX_EXECUTION_TIME(9) */ ?", [b"1"])


def test_two_minus_signs_without_a_space_are_no_comment() -> None:
    """As the servers read them."""
    assert fingerprint(b"SELECT 5--1") == (b"SELECT ?--?", [b"5", b"1"])


def test_what_looks_like_a_comment_in_a_string_is_text() -> None:
    """And a quote in backticks opens no string."""
    assert fingerprint(b"SELECT '/* x' , '-- y' , '#'") == (b"SELECT ? , ? , ?", [b"'/* x'", b"'-- y'", b"'#'"])
    assert fingerprint(b"SELECT `it's 1`, `a``2` + 3") == (b"SELECT `it's 1`, `a``2` + ?", [b"3"])


@pytest.mark.parametrize("text", [b"SELECT 'abc", b'SELECT "abc', rb"SELECT 'abc\'", b"SELECT 'abc -- x", b"SELECT 'abc /* 1"])
def test_string_without_an_end_reaches_to_the_end(text: bytes) -> None:
    """It is one literal, and nothing of it is in the shape."""
    assert fingerprint(text) == (b"SELECT ?", [text[7:]])


def test_name_without_an_end_reaches_to_the_end() -> None:
    """Nothing in it is a literal."""
    assert fingerprint(b"SELECT `a 1 'x'") == (b"SELECT `a 1 'x'", [])


@pytest.mark.parametrize(
    "text", [b"'" * 200_001, b"/*" * 100_000, b"`" * 200_001, b"\\'" * 100_000, b" IN (" * 50_000, b"IN (1,1" * 20_000]
)
@pytest.mark.timeout(10)
def test_hostile_text_takes_no_more_than_linear_time(text: bytes) -> None:
    """Nobody can hold up the loop with what he sends."""
    assert fingerprint(b"SELECT " + text)[0][:7] == b"SELECT "


@pytest.mark.parametrize(
    ("text", "mysql", "mariadb"),
    [
        (b"SELECT /*! 1 */", b"SELECT 1", b"SELECT 1"),
        (b"SELECT /*!40101 1 */", b"SELECT 1", b"SELECT 1"),
        (b"SELECT /*!80000 1 */", b"SELECT 1", b"SELECT"),
        (b"SELECT /*M! 1 */", b"SELECT", b"SELECT 1"),
        (b"SELECT /*M!100100 1 */", b"SELECT", b"SELECT 1"),
        (b"SELECT /*!999999 1 */", b"SELECT", b"SELECT"),
        (b"SELECT '/*! 1 */'", b"SELECT '/*! 1 */'", b"SELECT '/*! 1 */'"),
    ],
)
def test_executable_comment_is_what_the_server_makes_of_it(text: bytes, mysql: bytes, mariadb: bytes) -> None:
    """A statement must not look harmless here and be another one there."""
    assert b" ".join(expand_executable_comments(text, "mysql", 80036).split()) == mysql
    assert b" ".join(expand_executable_comments(text, "mariadb", 101119).split()) == mariadb
