"""Prepared statements, by the binary protocol and in SQL, where sessions share connections to the shards."""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Shards
from tests.support.binary import (
    CLOSE,
    CURSOR_EXISTS,
    LAST,
    LAST_ROW_SENT,
    NEWDECIMAL,
    PREPARE,
    SHORT,
    BinaryClient,
    Parameter,
    Result,
    blob,
    decoded,
    double,
    duration,
    execute_payload,
    integer,
    long_data_payload,
    moment,
    null,
    text,
)
from tests.support.proxy import ProxyProcess
from tests.support.shop import S0, S1, S2, S3, TABLES, Shop
from tests.support.wire import LOGIN_FLAGS, Err, packet

MULTI = LOGIN_FLAGS | 1 << 16 | 1 << 17 | 1 << 18
EACH = (S0, S1, S2, S3)


class Setup(Shop):
    """A shop with one connection to each shard, and two more schemas, `w` and `w2`, on the first one's server."""

    def client(self, database: str = "app", *, flags: int = LOGIN_FLAGS) -> BinaryClient:
        """A raw client; the caller closes it."""
        return BinaryClient(self.proxy.port, 10).login(database=database, flags=flags)


@pytest.fixture(scope="module")
def running_setup(shards: Shards) -> Iterator[Setup]:
    """One proxy for all tests of the file, and one user per shard, whom no test changes."""
    Shop.create_tables(shards)
    proxy = ProxyProcess(shards.urls, TABLES + "\n[limits]\npool_size = 1\npool_wait_s = 20\n", settings={"open_schemas": "s0"})
    for schema in ("w", "w2"):
        shards.servers[0].create_schema(schema)
        shards.servers[0].execute("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))", schema)
    proxy.start()
    made = Setup(shards, proxy)
    made.fill_users()
    yield made
    proxy.kill()
    for schema in ("w", "w2"):
        shards.servers[0].execute(f"DROP DATABASE {schema}")


@pytest.fixture
def setup(running_setup: Setup) -> Setup:
    """The same with one row in each of the other schemas."""
    fill = "; ".join(f"DELETE FROM {name}.t; INSERT INTO {name}.t VALUES (1, '{name}')" for name in ("w", "w2"))
    running_setup.shards.servers[0].execute(fill)
    return running_setup


@pytest.fixture
def client(setup: Setup) -> Iterator[BinaryClient]:
    """A client of the sharded schema."""
    with setup.client() as made:
        yield made


# ---------------------------------------------------------------- whose statement it is


@pytest.mark.parametrize(
    ("sql", "prelude"),
    [("SELECT v FROM t WHERE id = ?", b"DO 0"), ("SELECT v, ? FROM t", b"DO 0"), ("SELECT v FROM w.t WHERE id = ?", b"USE w2")],
)
def test_statement_of_another_schema_is_another_statement(setup: Setup, sql: str, prelude: bytes) -> None:
    """The same text in two schemas, prepared on one connection by two clients: each reads its own tables."""
    with setup.client("w") as one, setup.client("w2") as two:
        for _ in range(3):
            assert one.values(sql, [integer(1)])[0][0] == b"w"
            two.query(prelude)
            assert two.values(sql, [integer(1)])[0][0] == (b"w" if "w.t" in sql else b"w2")


def test_write_of_another_schema(setup: Setup) -> None:
    """Rows are written where the client has chosen to be, whatever was prepared on the connection before."""
    with setup.client("w") as one, setup.client("w2") as two:
        for number, client in enumerate((one, two, one, two), 10):
            assert isinstance(client.run("INSERT INTO t VALUES (?, 'x')", [integer(number)]), Result)
    rows = [[id_ for (id_,) in setup.shards.servers[0].execute("SELECT id FROM t WHERE v = 'x' ORDER BY id", name)] for name in ("w", "w2")]
    assert rows == [[10, 12], [11, 13]]


def test_schema_of_a_statement_is_that_of_its_preparation(setup: Setup) -> None:
    """A later USE does not move what is prepared already, as on a server."""
    with setup.client("w") as client:
        made = client.prepare("SELECT v FROM t WHERE id = ?")
        client.query(b"USE w2")
        assert decoded(client.execute(made.id, [integer(1)])) == [(b"w",)]
        assert client.query(b"SELECT v FROM t") == [(b"w2",)]


def test_character_set_is_part_of_a_statement(setup: Setup) -> None:
    """The bytes of a literal mean another string to a client of another character set."""
    sql = b"SELECT HEX(CONVERT('\xc3\xa9' USING utf8mb4)), uid FROM users WHERE uid = ?"
    with setup.client() as one, setup.client() as two:
        two.query(b"SET NAMES latin1")
        for _ in range(2):
            assert one.values(sql, [integer(S0)]) == [(b"C3A9", S0)]
            assert two.values(sql, [integer(S0)]) == [(b"C383C2A9", S0)]


def test_time_zone_is_not_part_of_a_statement(setup: Setup) -> None:
    """What is prepared once serves sessions of any settings, each with its own."""
    with setup.client() as one, setup.client() as two:
        one.query(b"SET time_zone = '+05:00'")
        two.query(b"SET time_zone = '-03:00'")
        for _ in range(2):
            assert one.values("SELECT FROM_UNIXTIME(?), uid FROM users WHERE uid = 50", [integer(0)])[0][0] == "1970-01-01 05:00:00.000000"
            assert two.values("SELECT FROM_UNIXTIME(?), uid FROM users WHERE uid = 50", [integer(0)])[0][0] == "1969-12-31 21:00:00.000000"


# ---------------------------------------------------------------- numbers


def test_last_statement_by_its_special_number(client: BinaryClient) -> None:
    """-1 is the statement that was prepared last: MariaDB's clients execute it without waiting for the number."""
    client.prepare("SELECT 1")
    client.send_glued(bytes((PREPARE,)) + b"SELECT ?", execute_payload(LAST, [integer(7)]), bytes((CLOSE,)) + LAST.to_bytes(4, "little"))
    made = client.read_prepared()
    assert decoded(client.read_binary()) == [(7,)]
    assert client.execute(made.id, [integer(8)]).errno == 1243


def test_last_statement_after_one_that_was_refused(client: BinaryClient) -> None:
    """Nothing is executed in its place, least of all the statement before."""
    assert isinstance(client.prepare(f"DELETE FROM users WHERE uid = {S0}"), tuple)
    client.send_glued(bytes((PREPARE,)) + b"SELECT nonsense FROM nowhere", execute_payload(LAST, []))
    assert client.read_prepared().errno in (1146, 1054)
    assert client.read_binary().errno == 1243
    assert client.query(f"SELECT uid FROM users WHERE uid = {S0}".encode()) == [(b"%d" % S0,)]


def test_long_data_for_the_last_statement(client: BinaryClient) -> None:
    """Every command knows the special number."""
    client.prepare("SELECT ?")
    client.send(packet(long_data_payload(LAST, 0, b"abc")))
    assert decoded(client.execute(LAST, [text("")], sent=[0])) == [(b"abc",)]


def test_unknown_numbers(client: BinaryClient) -> None:
    """An error as a server gives it, and the client goes on."""
    for number in (0, 5, 0xFFFFFFFE, LAST):
        assert client.execute(number).errno == 1243
        assert client.reset_statement(number).errno == 1243
        client.close_statement(number)
        client.long_data(number, 0, b"x")
    assert decoded(client.run("SELECT ?", [integer(1)])) == [(1,)]


def test_glued_commands_are_answered_in_order(client: BinaryClient) -> None:
    """PREPARE, EXECUTE, CLOSE and a query in one segment, twenty times."""
    for uid in (S0, S1, S2, S3) * 5:
        sql = b"SELECT uid, ? FROM users WHERE uid = ?"
        values = [text("x"), integer(uid)]
        client.send_glued(
            bytes((PREPARE,)) + sql, execute_payload(LAST, values), bytes((CLOSE,)) + LAST.to_bytes(4, "little"), b"\x03SELECT 5"
        )
        client.read_prepared()
        assert decoded(client.read_binary()) == [(uid, b"x")]
        assert client.read_result() == [(b"5",)]


# ---------------------------------------------------------------- parameters


KEYS: dict[str, Callable[[int], Parameter]] = {
    "integer": integer,
    "small": lambda n: integer(n, SHORT, unsigned=True),
    "double": double,
    "string": lambda n: text(str(n)),
    "bytes": lambda n: blob(b"%d" % n),
    "decimal": lambda n: Parameter(NEWDECIMAL, b"%d.0" % n),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("where", ["uid = ?", "uid IN (?, 1)", "? = uid"])
def test_key_of_any_type_finds_its_shard(client: BinaryClient, key: str, where: str) -> None:
    """As a literal of the same value would."""
    for uid in EACH:
        assert client.values(f"SELECT uid FROM users WHERE {where}", [KEYS[key](uid)]) == [(uid,)]


def test_types_may_change_from_one_execution_to_the_next(client: BinaryClient) -> None:
    """They need not be repeated either."""
    made = client.prepare("SELECT uid, ? FROM users WHERE uid = ?")
    assert decoded(client.execute(made.id, [integer(1), integer(S0)])) == [(S0, 1)]
    assert decoded(client.execute(made.id, [text("a"), text(str(S1))])) == [(S1, b"a")]
    assert decoded(client.execute(made.id, [text("b"), text(str(S2))], bound=False)) == [(S2, b"b")]
    assert decoded(client.execute(made.id, [null(), integer(S3)])) == [(S3, None)]


def test_values_of_every_type_on_one_shard_and_on_all(client: BinaryClient) -> None:
    """A value that is written out as a literal is the value that a single shard gets as a parameter."""
    values = [
        integer(-5),
        integer((1 << 64) - 1, unsigned=True),
        double(0.1),
        double(-1e300),
        text("it's \\ \0 é"),
        Parameter(NEWDECIMAL, b"1.50"),
    ]
    values += [moment("2024-02-29 12:34:56.5"), duration("-30:00:01.25"), null(), blob(b"\x00\xff'\\")]
    marks = ", ".join("?" for _ in values)
    [one] = client.values(f"SELECT {marks} FROM users WHERE uid = {S1}", values)
    all_ = client.values(f"SELECT {marks} FROM users", values)

    def plain(row: tuple[object, ...]) -> list[object]:
        return [v if not isinstance(v, str) else v.encode().removesuffix(b"00000").rstrip(b"0") for v in row]

    assert len(all_) == 4
    for row in all_:
        assert [str(a).strip("b'0") for a in plain(row)] == [str(a).strip("b'0") for a in plain(one)]


ODD = {
    "string": text("x"),
    "huge string": text("1e999"),
    "huge decimal": Parameter(NEWDECIMAL, b"1e999"),
    "infinity": double(float("inf")),
    "not a number": double(float("nan")),
    "null": null(),
}
NO_COUNTS = ("string", "huge string", "huge decimal", "null")


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("rest", ["ORDER BY uid LIMIT ?", "WHERE uid = ?", "WHERE uid > ?"])
def test_value_that_is_no_number_breaks_nothing(client: BinaryClient, value: str, rest: str) -> None:
    """Rows or an error, whichever, and the client is served further."""
    answer = client.run(f"SELECT uid FROM users {rest}", [ODD[value]])
    assert not isinstance(answer, Err) or "SP19" not in answer.text
    assert client.query(b"SELECT 1") == [(b"1",)]


def test_mark_inside_a_quoted_name_is_none(client: BinaryClient) -> None:
    """Nor in a string or a comment."""
    sql = "SELECT uid AS `a?b`, '?' /* ? */ FROM users WHERE uid = ? -- ?"
    assert client.values(sql, [integer(S1)]) == [(S1, b"?")]


def test_long_data_in_pieces(client: BinaryClient) -> None:
    """Bytes are put together per parameter, and forgotten by the execution or a reset."""
    made = client.prepare("SELECT ?, ?, uid FROM users WHERE uid = ?")
    for piece in (b"a", b"", b"bc" * 50_000):
        client.long_data(made.id, 1, piece)
    client.long_data(made.id, 9, b"no such parameter")
    assert decoded(client.execute(made.id, [integer(1), text(""), integer(S2)], sent=[1])) == [(1, b"a" + b"bc" * 50_000, S2)]
    assert decoded(client.execute(made.id, [integer(1), text("z"), integer(S2)])) == [(1, b"z", S2)]
    client.long_data(made.id, 1, b"forgotten")
    client.reset_statement(made.id)
    assert decoded(client.execute(made.id, [integer(1), text("y"), integer(S2)])) == [(1, b"y", S2)]


def test_cut_execution_costs_one_client(setup: Setup) -> None:
    """Whatever byte it is cut at: an error or the end of this connection, and no answer."""
    whole = execute_payload(1, [integer(S0), text("abc"), moment("2024-01-01 10:00:00")])
    for cut in range(1, len(whole)):
        with setup.client() as client:
            client.prepare("SELECT ?, ?, ?")
            client.send_packet(whole[:cut])
            answer = client.closed_or_error()
            assert answer is None or answer.errno in (1835, 1210, 1243), (cut, answer)
    assert setup.proxy.execute("SELECT 1") == [(1,)]


# ---------------------------------------------------------------- rows


@pytest.mark.xfail(strict=True, reason="several shards are asked in text, where a FLOAT has six digits")
def test_float_is_as_exact_from_all_shards_as_from_one(setup: Setup) -> None:
    """Twenty-four bits of it, however many shards were asked."""
    with setup.client() as client:
        one = client.values("SELECT CAST(uid + 16777166 AS FLOAT) FROM users WHERE uid = ?", [integer(S0)])
        assert one == [(16777216.0,)]
        assert client.values("SELECT CAST(uid + 16777166 AS FLOAT) FROM users WHERE uid <= ? ORDER BY uid", [integer(S1 - 1)]) == one


def test_names_of_columns_are_those_that_were_announced(client: BinaryClient) -> None:
    """From one shard as from all: a name does not depend on a value."""
    for where, more in (("uid = 50", []), ("uid > 0", []), ("uid > ?", [integer(0)])):
        made = client.prepare(f"SELECT uid + ?, age FROM users WHERE {where}")
        answer = client.execute(made.id, [integer(1), *more])
        assert [column.name for column in answer.columns] == [column.name for column in made.columns] == ["uid + ?", "age"]


@pytest.mark.parametrize(("where", "expected"), [("uid > 0", EACH), ("uid = 50", (S0,)), ("uid < 0", ())])
def test_cursor_gives_rows_in_parts(client: BinaryClient, where: str, expected: tuple[int, ...]) -> None:
    """All rows, in order, and then no more."""
    made = client.prepare(f"SELECT uid FROM users WHERE {where} ORDER BY uid")
    answer = client.execute(made.id, flags=1)
    rows, status = list(decoded(answer)), answer.status
    while status & CURSOR_EXISTS and not status & LAST_ROW_SENT:
        part, status = client.fetch(made, answer.columns, 3)
        rows += decoded(Result(answer.columns, part))
    assert rows == [(uid,) for uid in expected]
    assert client.fetch(made, answer.columns, 1).errno in (1421, 1326)
    assert client.query(b"SELECT 1") == [(b"1",)]


def test_fetch_without_a_cursor(client: BinaryClient) -> None:
    """Never opened, closed by a reset, or by another execution."""
    made = client.prepare("SELECT uid FROM users ORDER BY uid")
    assert client.fetch(made, made.columns, 1).errno == 1421
    for close in (lambda: client.reset_statement(made.id), lambda: client.execute(made.id)):
        client.execute(made.id, flags=1)
        close()
        assert client.fetch(made, made.columns, 1).errno == 1421


# ---------------------------------------------------------------- in SQL


def test_names_of_user_variables_know_no_case(client: BinaryClient) -> None:
    """@A is @a, quoted or not, on every shard."""
    for sql in ("SET @a = 5", "PREPARE s FROM 'SELECT ? + 1'"):
        assert client.query(sql.encode()) == []
    for name in ("@a", "@A", "@`a`", "@'A'"):
        assert client.query(f"EXECUTE s USING {name}".encode()) == [(b"6",)], name
    for sql in (b"SET @A = 2", b"SET @a = 3"):
        client.query(sql)
    for uid in EACH:
        assert client.query(b"SELECT @a, @A FROM users WHERE uid = %d" % uid) == [(b"3", b"3")]


def test_text_of_a_statement_beyond_ascii(client: BinaryClient) -> None:
    """From a variable as from a string."""
    client.query("SET @q = 'SELECT ''é'', ?', @v = 'ß'".encode())
    assert client.query(b"PREPARE s FROM @q") == []
    assert client.query(b"EXECUTE s USING @v") == [("é".encode(), "ß".encode())]


@pytest.mark.parametrize("inner", ["EXECUTE s", "PREPARE s FROM ''SELECT 1''", "DEALLOCATE PREPARE s", "EXECUTE IMMEDIATE ''SELECT 1''"])
def test_statement_about_statements_cannot_be_prepared(client: BinaryClient, inner: str) -> None:
    """As on a server: 1295, and above all no statement that executes itself."""
    answer = client.query(f"PREPARE s FROM '{inner}'".encode())
    answer = answer if isinstance(answer, Err) else client.query(b"EXECUTE s")
    assert isinstance(answer, Err)
    assert answer.errno == 1295
    assert client.query(b"SELECT 1") == [(b"1",)]


def test_number_of_names_is_bounded(shards: Shards) -> None:
    """Statements prepared in SQL count like the others (limits.session_statements)."""
    proxy = ProxyProcess(shards.urls, TABLES + "\n[limits]\nsession_statements = 20\n")
    proxy.start()
    try:
        with BinaryClient(proxy.port, 10).login() as client:
            answers = [client.query(b"PREPARE n%d FROM 'SELECT 1'" % i) for i in range(40)]
            assert sum(isinstance(answer, Err) for answer in answers) >= 20
    finally:
        proxy.kill()


# ---------------------------------------------------------------- several statements and results


def test_kill_as_one_of_several_statements(setup: Setup) -> None:
    """Each statement has its answer, and the next command gets its own."""
    with setup.client() as victim, setup.client(flags=MULTI) as client:
        number = int(victim.query(b"SELECT CONNECTION_ID()")[0][0] or 0)
        client.send_packet(b"\x03KILL QUERY %d; SELECT 22" % number)
        assert client.read_result() == []
        assert client.status & 8
        assert client.read_result() == [(b"22",)]
        assert not client.status & 8
        assert client.query(b"SELECT 33") == [(b"33",)]


@pytest.mark.parametrize("form", ["behind another", "with a cursor"])
def test_procedure_with_several_results(setup: Setup, form: str) -> None:
    """Also where its rows are read one by one: all results come, and nothing of them is left for the next statement."""
    setup.shards.servers[0].execute("CREATE OR REPLACE PROCEDURE p() BEGIN SELECT 1; DO SLEEP(0.1); SELECT 2; END", "w")
    with setup.client("w", flags=MULTI) as client:
        if form == "behind another":
            client.send_packet(b"\x03SELECT 0; CALL p()")
            found = [client.read_result() for _ in range(4)]
            assert found == [[(b"0",)], [(b"1",)], [(b"2",)], []]
        else:
            made = client.prepare("CALL p()")
            answer = client.execute(made.id, flags=1)
            while isinstance(answer, Result) and answer.status & 8:
                answer = client.read_binary()
        assert client.query(b"SELECT v FROM t") == [(b"w",)]
        assert client.query(b"SELECT 44") == [(b"44",)]


def test_file_for_a_later_statement(setup: Setup) -> None:
    """LOAD DATA LOCAL behind another statement is refused: its packets could not be numbered as strict clients want them."""
    with setup.client("w", flags=MULTI | 1 << 7) as client:
        client.send_packet(b"\x03SELECT 1; LOAD DATA LOCAL INFILE 'x' INTO TABLE t FIELDS TERMINATED BY ','; SELECT 2")
        assert client.read_result() == [(b"1",)]
        assert isinstance(client.read_result(), Err)
        assert client.query(b"SELECT 3") == [(b"3",)]
