"""What the proxy does itself with a text or a value is what a server does with it."""

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymysql.constants import CLIENT

from shardproxy.protocol.binary import row_encoder
from shardproxy.protocol.resultset import ColumnDefinition
from shardproxy.sql.parameters import literal
from shardproxy.sql.split import split_statements
from tests.conftest import Shards
from tests.support import binary
from tests.support.binary import BinaryClient, Column, Parameter, Result, column, decoded
from tests.support.wire import Err

SERVED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def server(shards: Shards) -> Iterator[BinaryClient]:
    """A raw client of a plain server."""
    with BinaryClient(shards.oracle.port, 15).login("sp", "sp", "app") as client:
        yield client


@pytest.fixture(scope="module")
def several(shards: Shards) -> Iterator[Any]:
    """A client of the same server that may send several statements at once."""
    connection = shards.oracle.connect("app", client_flag=CLIENT.MULTI_STATEMENTS)
    yield connection
    connection.close()


# ---------------------------------------------------------------- several statements

PIECES = st.sampled_from(
    [
        "SELECT 1",
        "SELECT ';'",
        'SELECT "a;b"',
        "SELECT `;` FROM (SELECT 1 AS `;`) x",
        "SELECT `a``;` FROM (SELECT 1 AS `a``;`) x",
        "SELECT 'it''s;'",
        "SELECT 'a\\';'",
        "SELECT '\\\\'",
        "SELECT 'a' ';'",
        'SELECT """;"',
        "SELECT 1 -- ;\n",
        "SELECT 2 # ;\n",
        "SELECT /* ; */ 3",
        "SELECT 4 --;\n+1",
        "SELECT 5--1",
        "SELECT 6 /*!50000 +1 */",
        "SELECT 7 --\t;\n",
        "SELECT nonsense",
        "-- only;\n",
        "/* ; */",
        "# x\n",
        "\n",
        "",
    ]
)


@SERVED
@given(st.lists(PIECES, min_size=1, max_size=5), st.sampled_from(["", ";", "; ", ";\n-- end", ";;"]))
@example(["SELECT 1", "SELECT 2"], "; -- end")
def test_statements_are_split_as_a_server_splits_them(several: Any, pieces: list[str], end: str) -> None:
    """One after the other they give what they give together, up to the first error."""
    text = ";".join(pieces) + end
    together = _results(several, text)
    apart: list[Any] = []
    for part in split_statements(text.encode()):
        apart += _results(several, part.decode())
        if isinstance(apart[-1], int):
            break
    # To a server a comment alone is a statement that does nothing, and nothing at all is one with an error; here both are left out.
    together = [found for found in together if found != []]
    while together and together[-1] in (1064, 1065):
        together.pop()
        apart = apart[: len(together)]
    assert apart == together


def _results(connection: Any, text: str) -> list[Any]:
    """The rows of each result, and the number of the error that ended them."""
    found: list[Any] = []
    with connection.cursor() as cursor:
        try:
            cursor.execute(text)
            found.append(cursor.fetchall())
            while cursor.nextset():
                found.append(cursor.fetchall())
        except pymysql.MySQLError as error:
            found.append(error.args[0])
    return found


# ---------------------------------------------------------------- parameters

integers = st.one_of(
    st.sampled_from([(1, 8), (2, 16), (3, 32), (8, 64)]).flatmap(
        lambda kind: st.one_of(
            st.integers(-(1 << kind[1] - 1), (1 << kind[1] - 1) - 1).map(lambda n: binary.integer(n, kind[0])),
            st.integers(0, (1 << kind[1]) - 1).map(lambda n: binary.integer(n, kind[0], unsigned=True)),
        )
    )
)
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-(10**20), max_value=10**20)
moments = st.datetimes().filter(lambda d: d.year >= 1)
parameters = st.one_of(
    integers,
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: f == 0 or abs(f) > 1e-300).map(binary.double),
    st.text(max_size=30).map(lambda s: s.encode("utf-8", "ignore")).map(binary.text),
    st.binary(max_size=30).map(binary.blob),
    decimals.map(lambda d: Parameter(binary.NEWDECIMAL, b"%s" % format(d, "f").encode())),
    moments.map(lambda d: binary.moment(d.strftime(f"{d.year:04d}-%m-%d %H:%M:%S.%f"))),
    st.dates().map(lambda d: binary.moment(f"{d.year:04d}-{d.month:02d}-{d.day:02d}", binary.DATE)),
    st.tuples(st.booleans(), st.integers(0, 838), st.integers(0, 59), st.integers(0, 59)).map(
        lambda t: binary.duration(f"{'-' if t[0] and any(t[1:]) else ''}{t[1]:02d}:{t[2]:02d}:{t[3]:02d}")
    ),
    st.just(binary.null()),
)


@settings(SERVED, max_examples=50)
@given(parameters)
@example(binary.text("\\'\0\x1a\n\"%_"))
@example(binary.double(-0.0))
@example(binary.double(1e15))
@example(binary.double(5e-324))
@example(binary.integer(-(1 << 63)))
def test_literal_of_a_parameter_is_its_value(server: BinaryClient, parameter: Parameter) -> None:
    """A server that is given the literal computes what it computes with the parameter: alone, in a column of its type, compared."""
    written = literal(parameter.type, 0x80 if parameter.unsigned else 0, parameter.raw)
    for expression in (b"%s", b"%s <=> ?", b"HEX(CONCAT(%s, ''))", b"(%s) IS NULL", b"CAST(%s AS CHAR)", b"COALESCE(%s, 1)"):
        as_text = b"SELECT " + expression.replace(b"%s", written)
        as_marks = b"SELECT " + expression.replace(b"%s", b"?")
        compared = [parameter] * expression.count(b"?")
        one, other = server.run(as_text, compared), server.run(as_marks, [parameter, *compared])
        assert isinstance(one, Result), (as_text, one)
        assert isinstance(other, Result), (as_marks, other)
        if expression.startswith(b"CAST") and parameter.type == binary.DOUBLE:
            continue
        assert _comparable(one) == _comparable(other), (as_text, one, other)


def _comparable(result: Result) -> list[bytes]:
    """The one row, moments as their text without zeroes behind the point."""
    found = []
    for value in decoded(result)[0]:
        text = value if isinstance(value, bytes) else str(value).encode()
        if b":" in text and b"." in text:
            text = text.rstrip(b"0").rstrip(b".")
        found.append(text)
    return found


# ---------------------------------------------------------------- rows

COLUMNS = {
    "TINYINT": ("-128", "127"),
    "TINYINT UNSIGNED": ("255",),
    "SMALLINT": ("-32768",),
    "MEDIUMINT": ("-8388608", "8388607"),
    "INT ZEROFILL": ("42",),
    "BIGINT": ("-9223372036854775808",),
    "BIGINT UNSIGNED": ("18446744073709551615",),
    "YEAR": ("1901", "2155", "0"),
    "DOUBLE": ("0.1", "-1.7976931348623157e308", "5e-324", "123456789012345680", "1e15", "-0.0"),
    "FLOAT": ("1.5", "0.1", "1e10", "-0.001"),
    "DECIMAL(30,10)": ("-12345678901234567890.0123456789", "0"),
    "BIT(9)": ("b'101'", "511"),
    "DATE": ("'2024-02-29'", "'0000-00-00'", "'9999-12-31'"),
    "DATETIME": ("'2024-02-29 00:00:00'", "'0000-00-00 00:00:00'"),
    "DATETIME(6)": ("'2024-02-29 12:34:56.000001'", "'2024-02-29 00:00:00.5'", "'1000-01-01 00:00:00'"),
    "TIMESTAMP(3) NULL": ("'2024-02-29 12:34:56.789'",),
    "TIME": ("'838:59:59'", "'-838:59:59'", "'00:00:00'", "'-00:00:01'", "'24:00:00'"),
    "TIME(6)": ("'-00:00:00.25'", "'100:00:00.000001'"),
    "CHAR(5)": ("'a '", "''"),
    "VARBINARY(5)": ("x'00ff'",),
    "LONGTEXT": ("REPEAT('x', 70000)", "REPEAT('y', 251)"),
    "ENUM('a','b')": ("'b'",),
    "SET('a','b')": ("'a,b'", "''"),
    "JSON": ("'{\"a\": 1}'",),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_binary_row_is_byte_for_byte_that_of_a_server(server: BinaryClient, kind: str) -> None:
    """A text row of a server, put into the binary form, is the row that the same server sends in that form itself."""
    assert server.query(b"SET sql_mode = ''") == []
    server.query(b"DROP TABLE IF EXISTS kinds")
    assert server.query(f"CREATE TABLE kinds (n INT AUTO_INCREMENT PRIMARY KEY, c {kind}, d {kind})".encode()) == []
    for value in COLUMNS[kind]:
        assert server.query(f"INSERT INTO kinds (c, d) VALUES ({value}, NULL), (NULL, {value})".encode()) == []
    sql = b"SELECT c, d, n, d FROM kinds ORDER BY n"
    columns, as_text = _payloads(server, b"\x03" + sql)
    made = server.prepare(sql)
    assert not isinstance(made, Err)
    _, as_binary = _payloads(server, binary.execute_payload(made.id, []))
    encode = row_encoder([ColumnDefinition(b"", one.type, flags=one.flags) for one in columns])
    assert len(as_text) == 2 * len(COLUMNS[kind])
    for text_row, binary_row in zip(as_text, as_binary, strict=True):
        assert encode(text_row) == binary_row


def _payloads(client: BinaryClient, command: bytes) -> tuple[list[Column], list[bytes]]:
    """The columns and the rows of an answer, as they come."""
    count = client.command(command)[0]
    columns = [column(client.read_packet()) for _ in range(count)]
    assert client.read_packet()[:1] == b"\xfe"
    rows = []
    while (payload := client.read_packet())[:1] != b"\xfe" or len(payload) > 8:
        rows.append(payload)
    return columns, rows
