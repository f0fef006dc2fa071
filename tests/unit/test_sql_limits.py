"""Reading SQL takes time in proportion to its length, whatever is in it."""

import contextlib
import time
from collections.abc import Callable

import pytest

from shardproxy.errors import ProxyError
from shardproxy.sql.fingerprint import expand_executable_comments, fingerprint
from shardproxy.sql.lexer import tokenize
from shardproxy.sql.rows import first_row_only, has_rows, split_rows

# What regular expressions trip over: openings without an end, ends without an opening, escapes, and all that repeated.
PIECES = [
    "'", '"', "`", "\\", "'\\", '"\\', "''", "'a'", "'a\\'", "/*", "/*!", "/*M!", "/*!50000 ", "/*+", "*/", "--", "-- \n", "#",
    "(", ")", "(/*", "(`", "(-- \n", "((1),", "1", "1e", "1.", "0x", "@", "@@a", "@`", "@'", "a ", "a,", "?", "\0", "\xff",
    " in (1,", " in(", " in ('", " in (1,'", "`a`.", "(1,'a'),", "('a\\'b'),", "('a", "(1,f(2)),", "+-", ".", "1,", " \t", "a(",
]  # fmt: skip
READERS: dict[str, Callable[[bytes], object]] = {
    "fingerprint": fingerprint,
    "executable comments": lambda text: expand_executable_comments(text, "mariadb", 101119),
    "tokens": lambda text: tokenize(text.decode("latin-1")),
    "first row": lambda text: first_row_only(b"INSERT INTO t VALUES (1,2)," + text),
    "rows": lambda text: split_rows(b"INSERT INTO t VALUES " + text, 2, (0,)),
    "has rows": lambda text: has_rows(b"INSERT INTO t " + text),
    "has rows of columns": lambda text: has_rows(b"INSERT INTO t (" + text),
}
SIZE = 100_000
# Linear work on that much text takes a twentieth of this; quadratic work takes ten times as long.
PATIENCE_S = 2.0


@pytest.mark.timeout(20)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("piece", PIECES)
def test_reading_is_linear(reader: str, piece: str) -> None:
    """No repetition of a few characters keeps the proxy busy."""
    text = piece.encode("latin-1") * (SIZE // len(piece))
    begun = time.process_time()
    with contextlib.suppress(ProxyError):
        READERS[reader](text)
    assert time.process_time() - begun < PATIENCE_S


@pytest.mark.parametrize(
    ("sql", "shape", "literals"),
    [
        (b"SELECT 1", b"SELECT ?", [b"1"]),
        (b"SELECT a1, @v2, 1.5e3 FROM t1", b"SELECT a1, @v2, ? FROM t1", [b"1.5e3"]),
        (b"SELECT 'it''s', \"x\\\"y\"", b"SELECT ?, ?", [b"'it''s'", b'"x\\"y"']),
        (b"SELECT `a 1` FROM t -- 5\nWHERE b = 6", None, [b"6"]),
        (b"SELECT a /* 1 */ FROM t WHERE b = 2 # 3", None, [b"2"]),
        (b"SELECT a FROM t WHERE b IN (1, 2, 'x')", b"SELECT a FROM t WHERE b IN ?", [b"(1, 2, 'x')"]),
    ],
)
def test_fingerprint_lifts_literals_out(sql: bytes, shape: bytes | None, literals: list[bytes]) -> None:
    """Names, variables and comments hold none."""
    found_shape, found = fingerprint(sql)
    assert found == literals
    assert shape is None or found_shape == shape


@pytest.mark.parametrize(
    ("text", "flavour", "expanded"),
    [
        (b"SELECT /*! 1 */", "mysql", b"SELECT   1  "),
        (b"SELECT /*!99999 1 */ 2", "mysql", b"SELECT   2"),
        (b"SELECT /*M! 1 */ 2", "mysql", b"SELECT   2"),
        (b"SELECT '/*! 1 */'", "mysql", b"SELECT '/*! 1 */'"),
        (b"SELECT /*!50701 1 */ 2", "mariadb", b"SELECT   2"),
        (b"SELECT /*M!100100 1 */", "mariadb", b"SELECT   1  "),
    ],
)
def test_executable_comments_are_read_as_the_server_reads_them(text: bytes, flavour: str, expanded: bytes) -> None:
    """What the server would run, the proxy sees too; what it would skip, it does not."""
    assert expand_executable_comments(text, flavour, 101119 if flavour == "mariadb" else 90700) == expanded


def test_rows_of_an_insert_are_taken_apart_and_put_together() -> None:
    """Head, rows and tail add up to the statement, whatever stands in the values."""
    text = b"INSERT INTO t (a, b) VALUES (1,'x'), (2, CONCAT('),(', \"\\\"\")),(-3,NULL) ON DUPLICATE KEY UPDATE b = 'y'"
    parts = split_rows(text, 2, (0, 1))
    assert [row.values for row in parts.rows] == [(b"1", b"'x'"), (b"2", b'CONCAT(\'),(\', "\\"")'), (b"-3", b"NULL")]
    assert parts.head == b"INSERT INTO t (a, b) VALUES "
    assert parts.tail == b"ON DUPLICATE KEY UPDATE b = 'y'"
    first = first_row_only(text)
    assert (first.startswith(parts.head + parts.rows[0].text), first.endswith(parts.tail)) == (True, True)
    assert len(split_rows(first, 2, (0,)).rows) == 1
    for wrong in (b"INSERT INTO t VALUES (1)", b"INSERT INTO t VALUES (1,2,3)", b"INSERT INTO t VALUES (1,2"):
        with pytest.raises(ProxyError):
            split_rows(wrong, 2, (0,))
