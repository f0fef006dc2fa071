"""The checker of the differential fuzzer sees what it is there to see: each test plants one wrong answer."""

from collections.abc import Iterator

import pytest

from tests.conftest import ORACLE_SCHEMA, Shards
from tests.property.differential.clients import Answer, Client, Row
from tests.property.differential.compare import RowCheck, same_heads, same_outcome
from tests.property.differential.lab import lab_over, twin_lab
from tests.property.differential.queries import Expr, Item, Order, Query
from tests.property.differential.runner import Finding, run

K, V = Item(Expr("k", "int")), Item(Expr("v", "str", "utf8mb4_general_ci"))
BY_V = Order("v", V.expr)
ROWS: list[Row] = [(b"1", b"a"), (b"2", b"A"), (b"3", b"b"), (b"4", None)]


def ranked(*ranks: int) -> list[Row]:
    """ROWS as the oracle ranks them: one hidden ordering column, then the rank."""
    return [(*row, row[1], str(rank).encode()) for row, rank in zip(ROWS, ranks, strict=True)]


def fold(text: bytes, collation: str) -> bytes:
    """Stands for the oracle's WEIGHT_STRING."""
    return text.rstrip(b" ").lower() if collation.endswith("_ci") else text


def check(query: Query, got: list[Row], rows: list[Row]) -> str:
    """What the checker says."""
    return RowCheck(query, fold).check(got, rows)


def ordered(limit: int | None = None, offset: int = 0) -> Query:
    """SELECT k, v FROM t ORDER BY v …"""
    return Query([K, V], " FROM t", order=[BY_V], limit=limit, offset=offset)


def test_ties_may_change_places() -> None:
    """'a' and 'A' are equal to the ordering."""
    rows = ranked(1, 1, 2, 3)
    assert check(ordered(), ROWS, rows) == ""
    assert check(ordered(), [ROWS[1], ROWS[0], *ROWS[2:]], rows) == ""


@pytest.mark.parametrize(
    "got",
    [
        pytest.param(ROWS[:3], id="a row dropped"),
        pytest.param([*ROWS, ROWS[3]], id="a row twice"),
        pytest.param([*ROWS[:3], ROWS[2]], id="a row in another's place"),
        pytest.param([ROWS[0], ROWS[1], ROWS[3], ROWS[2]], id="reordered"),
        pytest.param([*ROWS[:3], (b"4", b"")], id="empty for NULL"),
        pytest.param([(b"1", b"A"), *ROWS[1:]], id="another case"),
    ],
)
def test_wrong_rows_are_seen(got: list[Row]) -> None:
    """Each of these differs from the oracle's answer by one planted fault."""
    assert check(ordered(), got, ranked(1, 1, 2, 3)) != ""


def test_limit_takes_any_of_a_tie_but_nothing_else() -> None:
    """LIMIT 1 may give either of the first two, and never the third; OFFSET counts."""
    rows = ranked(1, 1, 2, 3)
    assert check(ordered(1), [ROWS[0]], rows) == check(ordered(1), [ROWS[1]], rows) == ""
    assert check(ordered(1), [ROWS[2]], rows) != ""
    assert check(ordered(1), [], rows) != ""
    assert check(ordered(2, 2), ROWS[2:], rows) == ""
    assert check(ordered(2, 2), ROWS[1:3], rows) != ""
    assert check(ordered(5, 4), [], rows) == ""


def test_decimals_are_exact_and_sums_of_doubles_are_not() -> None:
    """The last digit of a DECIMAL counts; of a SUM over DOUBLE it does not, but the sixth does."""
    exact = Query([Item(Expr("SUM(d)", "dec", aggregate=True))], " FROM t")
    assert check(exact, [(b"10.10",)], [(b"10.10", b"1")]) == ""
    assert check(exact, [(b"10.11",)], [(b"10.10", b"1")]) != ""
    assert check(exact, [(b"10.1",)], [(b"10.10", b"1")]) != ""
    inexact = Query([Item(Expr("SUM(f)", "float", exact=False, aggregate=True))], " FROM t")
    assert check(inexact, [(b"0.30000000000000004",)], [(b"0.3", b"1")]) == ""
    assert check(inexact, [(b"0.300001",)], [(b"0.3", b"1")]) != ""
    assert check(inexact, [(None,)], [(b"0", b"1")]) != ""


def test_a_group_may_show_any_of_its_equal_strings() -> None:
    """GROUP BY v shows 'a' or 'A' for one group, but not 'b'."""
    query = Query([V], " FROM t", group=[("v", V.expr)])
    assert check(query, [(b"A",)], [(b"a", b"1")]) == ""
    assert check(query, [(b"b",)], [(b"a", b"1")]) != ""


def test_outcomes_of_writes_are_compared() -> None:
    """Counts, insert ids and the message count; how many warnings an UPDATE gave for a literal does not."""
    expected = Answer(affected=2, insert_id=7, info="(Rows matched: 3  Changed: 2  Warnings: 0")
    assert same_outcome(Answer(affected=2, insert_id=7, info="(Rows matched: 3  Changed: 2  Warnings: 4"), expected) == ""
    assert same_outcome(Answer(affected=3, insert_id=7, info=expected.info), expected) != ""
    assert same_outcome(Answer(affected=2, insert_id=0, info=expected.info), expected) != ""
    assert same_outcome(Answer(affected=2, insert_id=7, info=expected.info.replace("3", "2")), expected) != ""


@pytest.fixture
def oracle(empty_shards: Shards) -> Iterator[Client]:
    """A client of a real server, with a small table."""
    client = Client(lambda **options: empty_shards.oracle.connect(ORACLE_SCHEMA, **options))
    client.run("CREATE TABLE t (k INT PRIMARY KEY, v VARCHAR(9) COLLATE utf8mb4_general_ci, d DECIMAL(5,2) NOT NULL)")
    client.run("INSERT INTO t VALUES (1,'b',1), (2,'A',1.5), (3,'a ',-2), (4,NULL,0)")
    yield client
    client.close()


def test_a_servers_own_answers_pass(oracle: Client) -> None:
    """The queries that rank rows are right about the server's order: its own answers pass, planted ones do not."""
    for query in (
        Query([K, V], " FROM t", order=[Order("2", V.expr, " DESC"), Order("k", K.expr)]),
        Query([], " FROM t", star="*", order=[BY_V], limit=3, offset=1, limit_sql=" LIMIT 1, 3"),
        Query([V, Item(Expr("SUM(d)", "dec", aggregate=True), "s")], " FROM t", group=[("v", V.expr)], order=[BY_V]),
    ):
        rows, answer = oracle.rows(query.ranked_sql), oracle.run(query.sql)
        assert RowCheck(query, fold).check(answer.rows, rows) == ""
        assert RowCheck(query, fold).check(answer.rows[::-1], rows) != ""
        assert RowCheck(query, fold).check(answer.rows[1:], rows) != ""


def test_columns_are_compared(oracle: Client) -> None:
    """Names, types and digits behind the point."""
    answer = oracle.run("SELECT d FROM t")
    assert same_heads(answer, oracle.run("SELECT d FROM t")) == ""
    for other in ("SELECT d AS e FROM t", "SELECT d+0.001 AS d FROM t", "SELECT CONCAT(d) AS d FROM t", "SELECT d, d FROM t"):
        assert same_heads(answer, oracle.run(other)) != ""


def test_two_servers_agree(shards: Shards) -> None:
    """With a server in the proxy's place nothing differs: the generator asks nothing that has two right answers."""
    findings: list[Finding] = []
    with twin_lab(shards) as lab:
        counts = run(lab, 7, 600, findings.append, per_round=300)
    assert not findings, findings[0].text
    assert counts.refused_share == 0


class DropsLastRow(Client):
    """Loses a row of every longer result."""

    def run(self, sql: str) -> Answer:
        """As the server, but for that row."""
        answer = super().run(sql)
        if len(answer.rows) > 20:
            answer.rows.pop()
        return answer


class LosesWrites(Client):
    """Says that a DELETE was done, and does not do it."""

    def run(self, sql: str) -> Answer:
        """As the server, but for DELETE."""
        if not sql.startswith("DELETE"):
            return super().run(sql)
        super().run("BEGIN")
        answer = super().run(sql)
        super().run("ROLLBACK")
        return answer


class RoundsDecimals(Client):
    """Takes long decimals for doubles."""

    def run(self, sql: str) -> Answer:
        """As the server, but for the digits from the 17th on."""
        answer = super().run(sql)
        answer.rows = [tuple(_rounded(cell) for cell in row) for row in answer.rows]
        return answer


def _rounded(cell: bytes | None) -> bytes | None:
    digits = cell is not None and cell.replace(b".", b"").replace(b"-", b"").isdigit()
    return f"{float(cell):.5f}".encode() if cell is not None and digits and b"." in cell and len(cell) > 17 else cell


@pytest.mark.parametrize("faulty", [DropsLastRow, LosesWrites, RoundsDecimals])
def test_faulty_servers_are_found_out(shards: Shards, faulty: type[Client]) -> None:
    """Each of these differs from a server in one thing, and a short run finds it."""
    findings: list[Finding] = []
    with twin_lab(shards, faulty) as lab:
        run(lab, 3, 400, findings.append, per_round=200, shrink=False)
    assert findings


def test_rows_that_are_met_twice_are_found_out(shards: Shards) -> None:
    """With a proxy that has not been told of the rows that lie on a second shard."""
    findings: list[Finding] = []
    with lab_over(shards, strays=True, known=False) as lab:
        run(lab, 3, 200, findings.append, per_round=200, shrink=False)
    assert findings
