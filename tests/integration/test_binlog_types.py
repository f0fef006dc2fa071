"""The binary log's reader and column types: every type is passed over, and every key type comes as a value that finds its row."""

import contextlib
import random
import uuid
from collections.abc import Iterator, Sequence

import pytest

from migrate.binlog import LayoutMismatch, current_position, literal, read_layouts
from shardproxy.protocol.resultset import parse_row
from tests.integration.test_binlog_reader import SCHEMA, open_reader, reading, rows, session, start_server, take, take_idle
from tests.support.servers import DatabaseServer

ZONE = "SET time_zone = '+00:00', sql_mode = ''"

# Types of columns that are passed over, with values that fill them; NULL is tried as well.
COMMON_TYPES = {
    "TINYINT": "-128",
    "SMALLINT UNSIGNED": "65535",
    "MEDIUMINT": "-8388608",
    "INT UNSIGNED ZEROFILL": "7",
    "BIGINT UNSIGNED": "18446744073709551615",
    "FLOAT": "1.25",
    "FLOAT(7,4)": "1.5",
    "DOUBLE": "-1e300",
    "DECIMAL(65,30)": "-12345678901234567890.123456789",
    "DECIMAL(5,0)": "99999",
    "DECIMAL(9,9)": "0.000000001",
    "BIT(1)": "1",
    "BIT(64)": "18446744073709551615",
    "BIT(13)": "5",
    "BOOLEAN": "TRUE",
    "DATE": "'2026-02-28'",
    **{f"TIME({n})": "'-838:59:58.999999'" for n in range(7)},
    **{f"DATETIME({n})": "'9999-12-31 23:59:58.123456'" for n in range(7)},
    **{f"TIMESTAMP({n}) NULL": "'2026-02-28 01:02:03.123456'" for n in range(7)},
    "YEAR": "2155",
    "CHAR(0)": "''",
    "CHAR(1)": "'x'",
    "CHAR(255)": "REPEAT('ä', 255)",
    "CHAR(63) CHARACTER SET utf8mb4": "REPEAT('x', 63)",
    "CHAR(64) CHARACTER SET utf8mb4": "'y'",
    "CHAR(255) CHARACTER SET latin1": "'é'",
    "CHAR(10) CHARACTER SET utf32": "'abc'",
    "VARCHAR(63)": "'sixty-three'",
    "VARCHAR(64)": "REPEAT('ö', 64)",
    "VARCHAR(255) CHARACTER SET latin1": "REPEAT('a', 255)",
    "VARCHAR(256) CHARACTER SET latin1": "REPEAT('a', 256)",
    "VARCHAR(3000)": "REPEAT('語', 3000)",
    "BINARY(1)": "x'00'",
    "BINARY(255)": "x'00ff00'",
    "VARBINARY(255)": "REPEAT(x'00', 255)",
    "VARBINARY(5000)": "REPEAT(x'ff', 5000)",
    "TINYBLOB": "REPEAT('b', 255)",
    "BLOB": "REPEAT('b', 65535)",
    "MEDIUMBLOB": "REPEAT('b', 70000)",
    "LONGBLOB": "''",
    "TINYTEXT": "'t'",
    "TEXT": "REPEAT('t', 300)",
    "MEDIUMTEXT": "REPEAT('t', 70000)",
    "LONGTEXT": "REPEAT('t', 70000)",
    "JSON": """'{"a": [1, 2, null]}'""",
    "ENUM('a','b')": "'b'",
    "ENUM(" + ",".join(f"'v{i}'" for i in range(300)) + ")": "'v299'",
    "SET('a','b','c')": "'a,c'",
    "SET(" + ",".join(f"'v{i}'" for i in range(64)) + ")": "'v0,v63'",
    "POINT": "POINT(1, 2)",
    "GEOMETRY": "ST_GeomFromText('LINESTRING(0 0, 1 1, 2 2)')",
    "GEOMETRYCOLLECTION": "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')",
    "POLYGON": "ST_GeomFromText('POLYGON((0 0,1 1,1 0,0 0))')",
    "INT GENERATED ALWAYS AS (7 + 1) VIRTUAL": "DEFAULT",
    "VARCHAR(20) GENERATED ALWAYS AS (CONCAT('a', 'b')) STORED": "DEFAULT",
    "INT INVISIBLE": "4",
}
MARIADB_TYPES = {
    "VARCHAR(200) COMPRESSED": "REPEAT('c', 200)",
    "VARBINARY(3000) COMPRESSED": "REPEAT('c', 3000)",
    "TINYBLOB COMPRESSED": "'c'",
    "TEXT COMPRESSED": "REPEAT('c', 60000)",
    "LONGBLOB COMPRESSED": "REPEAT('c', 60000)",
    "UUID": "'00112233-4455-6677-8899-aabbccddee00'",
    "INET6": "'fe80::1'",
    "INET4": "'10.0.0.1'",
}
MYSQL_TYPES = {"VECTOR(3)": "STRING_TO_VECTOR('[1, 2, 3]')", "VECTOR(100)": "STRING_TO_VECTOR('[1]')"}

# Types of keys, with values that are told apart by them.
COMMON_KEYS: dict[str, Sequence[str]] = {
    "TINYINT": ("-128", "127", "0"),
    "TINYINT UNSIGNED": ("200", "255"),
    "SMALLINT": ("-32768", "5"),
    "SMALLINT UNSIGNED": ("65535",),
    "MEDIUMINT": ("-8388608", "8388607", "-1"),
    "MEDIUMINT UNSIGNED": ("16777215",),
    "INT": ("-2147483648", "1"),
    "INT UNSIGNED": ("4294967295",),
    "BIGINT": ("-9223372036854775808", "9223372036854775807"),
    "BIGINT(20) UNSIGNED ZEROFILL": ("18446744073709551615", "3"),
    "DECIMAL(65,30)": ("-12345678901234567890123456789012345.123456789012345678901234567891", "0", "0.000000000000000000000000000001"),
    "DECIMAL(5,0)": ("-99999", "0", "12"),
    "DECIMAL(9,9)": ("0.999999999", "-0.000000001"),
    "DECIMAL(20,2) UNSIGNED": ("123456789012345678.25", "100000000.5"),
    "DECIMAL(19,10)": ("-999999999.0000000001", "1000000"),
    "BIT(1)": ("0", "1"),
    "BIT(64)": ("18446744073709551615", "256"),
    "DATE": ("'0000-00-00'", "'2026-00-00'", "'1000-01-01'", "'9999-12-31'"),
    "TIME": ("'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"),
    "TIME(1)": ("'-838:59:58.9'", "'00:00:00.1'", "'-00:00:00.1'"),
    "TIME(3)": ("'-00:00:00.001'", "'12:13:14.5'", "'-12:13:14.567'"),
    "TIME(6)": ("'-00:00:00.000001'", "'-100:00:00'", "'1:2:3.000004'"),
    "DATETIME": ("'0000-00-00 00:00:00'", "'9999-12-31 23:59:59'", "'2026-00-01 00:00:00'"),
    "DATETIME(2)": ("'2026-01-02 03:04:05.67'", "'2026-01-02 03:04:05'"),
    "DATETIME(3)": ("'2026-01-02 03:04:05.678'",),
    "DATETIME(6)": ("'0000-00-00 00:00:00.000001'", "'1000-01-01 00:00:00.999999'"),
    "TIMESTAMP": ("'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'0000-00-00 00:00:00'"),
    "TIMESTAMP(4)": ("'2026-03-29 02:30:00.1234'", "'1970-01-01 00:00:01.0001'", "'0000-00-00 00:00:00'"),
    "TIMESTAMP(6)": ("'1970-01-01 00:00:01.000001'",),
    "YEAR": ("1901", "2155", "0"),
    "CHAR(20)": ("'abc'", "''", "'ä ö'", "'\\\\\\'\"`'"),
    "CHAR(200)": ("REPEAT('é', 200)", "'a'"),
    "CHAR(20) CHARACTER SET latin1 COLLATE latin1_bin": ("'\u00fc\u00ff'", "'a'"),
    "CHAR(10) CHARACTER SET utf32": ("'abc'", "'日本'"),
    "VARCHAR(50)": ("'trailing '", "'ÄÖÜ'", "'😀'"),
    "VARCHAR(190) COLLATE utf8mb4_bin": ("'a'", "'A'", "REPEAT('ü', 190)", "'100%'"),
    "VARCHAR(100) CHARACTER SET sjis": ("'ソース'", "'表'"),
    "VARCHAR(100) CHARACTER SET utf16": ("'x'", "'日本'"),
    "VARCHAR(100) CHARACTER SET ascii": ("'o''clock'",),
    "BINARY(16)": ("x'00000000000000000000000000000000'", "x'0102030405060708090a0b0c0d0e0f00'", "x'01020000000000000000000000000000'"),
    "BINARY(255)": ("x'00'", "REPEAT(x'ff', 255)", "x'20'"),
    "VARBINARY(20)": ("x''", "x'00'", "x'0000'", "x'41ff00'"),
    "VARBINARY(300)": ("REPEAT(x'5c', 300)", "x'27'"),
}
MARIADB_KEYS: dict[str, Sequence[str]] = {
    "UUID": (
        "'00000000-0000-0000-0000-000000000000'",
        "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
        "'6ccd780c-baba-1026-9564-5b8c656024db'",
        "'123e4567-e89b-42d3-a456-426614174000'",
        "'018f3c2e-7b7a-7cc0-98c4-dc0c0c07398f'",
    ),
    "INET6": ("'::'", "'::ffff:192.0.2.128'", "'2001:db8::ff00:42:8329'", "'ff00::'"),
    "INET4": ("'0.0.0.0'", "'255.255.255.255'", "'10.1.0.0'"),
}
MYSQL_KEYS: dict[str, Sequence[str]] = {"VARCHAR(50) COLLATE utf8mb4_0900_ai_ci": ("'a'", "'a '", "''")}


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """A server of each flavour that allows the zero date everywhere."""
    started = start_server(request.param, "binlog-types", "--sql-mode=", "--max-allowed-packet=64M")
    yield started
    started.kill()


@pytest.fixture
def source(server: DatabaseServer) -> DatabaseServer:
    """The same with an empty schema."""
    server.create_schema(SCHEMA)
    return server


def other_types(server: DatabaseServer) -> dict[str, str]:
    """All column types that the server knows."""
    return COMMON_TYPES | (MARIADB_TYPES if server.flavour == "mariadb" else MYSQL_TYPES)


def key_types(server: DatabaseServer) -> dict[str, Sequence[str]]:
    """All key types that it knows."""
    return COMMON_KEYS | (MARIADB_KEYS if server.flavour == "mariadb" else MYSQL_KEYS)


# ---------------------------------------------------------------- passing over


async def test_every_type_is_passed_over(source: DatabaseServer) -> None:
    """A table of all types with a number behind each, so that no two mistakes make up for each other: with values, with NULLs, mixed."""
    types = other_types(source)
    columns = ", ".join(f"c{i} {type_}, n{i} BIGINT UNSIGNED" for i, type_ in enumerate(types))
    source.execute(f"CREATE TABLE wide (id BIGINT PRIMARY KEY, {columns})", SCHEMA)
    names = ", ".join(f"c{i}, n{i}" for i in range(len(types)))
    async with reading(source, {"wide": [*[f"n{i}" for i in range(len(types))], "id"]}) as reader:
        expected = []
        for case in range(6):
            values = []
            for i, value in enumerate(types.values()):
                null = case in (1, 2 + i % 2, 4 + i // 3 % 2)
                values += ["DEFAULT" if value == "DEFAULT" else "NULL" if null else value, str(2**64 - 1 - i)]
            row = ", ".join(values)
            source.execute(f"INSERT INTO wide (id, {names}) VALUES ({case}, {row}), ({case} + 10, {row})", SCHEMA)
            expected += [(*[2**64 - 1 - i for i in range(len(types))], id_) for id_ in (case, case + 10)]
        source.execute("UPDATE wide SET c0 = 1 ORDER BY id; DELETE FROM wide", SCHEMA)
        found = rows(await take(reader, 36))
    assert found[:12] == [(None, key) for key in expected]
    expected.sort(key=lambda key: key[-1])
    assert found[12:24] == [(key, key) for key in expected]
    assert sorted(found[24:], key=lambda change: (change[0] or ())[-1]) == [(key, None) for key in expected]


async def test_tables_with_more_than_250_columns(source: DatabaseServer) -> None:
    """Their number takes three bytes."""
    columns = ", ".join(f"c{i} {'INT' if i % 3 else 'VARCHAR(10)'}" for i in range(400))
    source.execute(f"CREATE TABLE wide (id INT PRIMARY KEY, {columns}, k INT)", SCHEMA)
    async with reading(source, {"wide": ["id", "k"]}) as reader:
        source.execute("INSERT INTO wide (id, k) VALUES (1, 2); UPDATE wide SET c0 = 'x', c399 = 'y', c250 = 4; DELETE FROM wide", SCHEMA)
        found = rows(await take(reader, 3))
    assert found == [(None, (1, 2)), ((1, 2), (1, 2)), ((1, 2), None)]


# ---------------------------------------------------------------- keys


async def test_every_key_type_finds_its_row(source: DatabaseServer) -> None:
    """The literal of each delivered value selects the rows that it was read of, and no others."""
    types = key_types(source)
    columns = ", ".join(f"k{i} {type_} NOT NULL" for i, type_ in enumerate(types))
    source.execute(f"CREATE TABLE k (a TEXT, {columns}, b BLOB, n INT PRIMARY KEY)", SCHEMA)
    watched = {"k": [*[f"k{i}" for i in range(len(types))], "n"]}
    count = max(map(len, types.values()))
    async with session(source) as connection:
        layout = (await read_layouts(connection, SCHEMA, ["k"], watched))["k"]
        await connection.query(ZONE.encode())
        async with reading(source, watched) as reader:
            rows_ = [", ".join(values[n % len(values)] for values in types.values()) for n in range(count)]
            source.execute(f"{ZONE}; INSERT INTO k VALUES " + ", ".join(f"('x', {row}, NULL, {n})" for n, row in enumerate(rows_)), SCHEMA)
            found = [after for _, after in rows(await take(reader, count))]
        for n, key in enumerate(found):
            assert key is not None and key[-1] == n
            for i, (type_, values) in enumerate(types.items()):
                value = literal(key[i], layout.key_columns[i])
                result = await connection.query(b"SELECT n FROM k WHERE k%d = %s ORDER BY n" % (i, value))
                numbers = [int(parse_row(row, 1)[0] or b"") for row in result.rows]
                assert numbers == [m for m in range(count) if m % len(values) == n % len(values)], (type_, value)


async def test_strings_and_binaries_come_as_they_are_stored(source: DatabaseServer) -> None:
    """In the column's own character set; BINARY with the zeros that the log leaves out."""
    source.execute(
        "CREATE TABLE s (b BINARY(4), l VARCHAR(5) CHARACTER SET latin1, u VARCHAR(5) CHARACTER SET utf16, d DECIMAL(10,3), "
        "c CHAR(4), t TEXT, PRIMARY KEY (b))",
        SCHEMA,
    )
    async with reading(source, {"s": ["b", "l", "u", "d", "c", "t"]}) as reader:
        source.execute("INSERT INTO s VALUES (x'01', 'é', 'é', -7.5, 'x', 'text'), (x'00', '', NULL, 1234567.25, '', NULL)", SCHEMA)
        [(_, one), (_, two)] = rows(await take(reader, 2))
    assert one == (b"\1\0\0\0", b"\xe9", b"\0\xe9", b"-7.500", b"x", b"text")
    assert two == (b"\0\0\0\0", b"", None, b"1234567.250", b"", None)


async def test_random_uuids(source: DatabaseServer) -> None:
    """MariaDB stores some versions with their parts turned round; the log has them all alike."""
    if source.flavour != "mariadb":
        pytest.skip("a type of MariaDB")
    source.execute("CREATE TABLE u (id UUID PRIMARY KEY)", SCHEMA)
    seeded = random.Random(7)
    # With a high version and a low variant (or 0x80) a UUID looks like one that was turned round; the server refuses it.
    made = [uuid.UUID(int=seeded.getrandbits(128) | 0x81 << 56) for _ in range(300)]
    made += [uuid.UUID(int=seeded.getrandbits(128) & ~(0x80 << 72)) for _ in range(300)]
    made += [uuid.UUID(int=seeded.getrandbits(128), version=1 + n % 5) for n in range(300)]
    async with reading(source, {"u": ["id"]}) as reader:
        source.execute("INSERT INTO u VALUES " + ", ".join(f"('{value}')" for value in made), SCHEMA)
        found = rows(await take(reader, len(made)))
    assert [key for _, key in found] == [(str(value).encode(),) for value in made]


async def test_the_order_of_a_key_is_as_it_was_asked_for(source: DatabaseServer) -> None:
    """Whatever the columns' order in the table; a column may come twice."""
    source.execute("CREATE TABLE k (c INT, b VARCHAR(5), a INT, PRIMARY KEY (a, b))", SCHEMA)
    async with reading(source, {"k": ["a", "b", "c", "a"]}) as reader:
        source.execute("INSERT INTO k VALUES (3, 'two', 1), (NULL, '', -1)", SCHEMA)
        found = rows(await take(reader, 2))
    assert found == [(None, (1, b"two", 3, 1)), (None, (-1, b"", None, -1))]


@pytest.mark.parametrize("type_", ["DOUBLE", "JSON", "ENUM('a')", "SET('a')", "POINT"])
async def test_keys_of_other_types_are_refused(source: DatabaseServer, type_: str) -> None:
    """With the column's name, before anything is read."""
    if (type_, source.flavour) == ("JSON", "mariadb"):
        pytest.skip("an alias of LONGTEXT")
    source.execute(f"CREATE TABLE k (id INT PRIMARY KEY, odd {type_})", SCHEMA)
    with pytest.raises(LayoutMismatch, match="its column odd"):
        await open_reader(source, {"k": ["id", "odd"]})


# ---------------------------------------------------------------- tables of MariaDB


async def test_system_versioned_tables(source: DatabaseServer) -> None:
    """Their two columns are in row images, declared or not; a deletion is logged as an update. Hash keys have hidden columns as well."""
    if source.flavour != "mariadb":
        pytest.skip("tables of MariaDB")
    period = "s {0} GENERATED ALWAYS AS ROW START {1}, e {0} GENERATED ALWAYS AS ROW END {1}, PERIOD FOR SYSTEM_TIME (s, e)"
    tables = {
        "plain": "id INT PRIMARY KEY, t TEXT, k INT",
        "hashed": "id INT PRIMARY KEY, t TEXT UNIQUE, u BLOB, k INT, UNIQUE (u, k)",
        "declared": f"id INT PRIMARY KEY, t TEXT, k INT, {period.format('TIMESTAMP(6)', '')}",
        "hidden": f"id INT PRIMARY KEY, {period.format('TIMESTAMP(6)', 'INVISIBLE')}, t TEXT, k INT",
    }
    for name, columns in tables.items():
        source.execute(f"CREATE TABLE {name} ({columns}) WITH SYSTEM VERSIONING", SCHEMA)
    source.execute("CREATE TABLE only_hashed (id INT PRIMARY KEY, t TEXT UNIQUE, k INT)", SCHEMA)
    source.execute("CREATE TABLE in_memory (id INT PRIMARY KEY, t INT UNIQUE, k INT) ENGINE = MEMORY", SCHEMA)
    by_number = f"id INT PRIMARY KEY, {period.format('BIGINT UNSIGNED', '')}, k INT"
    source.execute(f"CREATE TABLE numbered ({by_number}) WITH SYSTEM VERSIONING", SCHEMA)
    with pytest.raises(LayoutMismatch, match="as statements"):
        await open_reader(source, {"numbered": ["id"]})
    names = [*tables, "only_hashed", "in_memory"]
    async with reading(source, {name: ["id", "k"] for name in names}) as reader:
        for name in names:
            source.execute(f"INSERT INTO {name} (id, k) VALUES (1, 2), (3, NULL); DELETE FROM {name} WHERE id = 1", SCHEMA)
        found, _ = await take_idle(reader, source)
    for name in names:
        changes = [change for t in found for change in t.changes if change.table == name]
        assert [c.after for c in changes[:2]] == [(1, 2), (3, None)], name
        assert changes[2].before == (1, 2)


async def test_times_in_the_old_format(source: DatabaseServer) -> None:
    """How wide MariaDB's old times with fractions are is not in the log."""
    if source.flavour != "mariadb":
        pytest.skip("a format of MariaDB")
    columns = [f"{kind}({n})" for kind in ("TIME", "DATETIME", "TIMESTAMP") for n in range(7)]
    keys = {"TIME": "'-12:34:56'", "DATETIME": "'0000-00-00 00:00:00'", "TIMESTAMP": "'2026-01-02 03:04:05'"}
    watched = {"old": ["id", "k"], **{f"old_{kind}": ["k"] for kind in keys}}
    source.execute("SET GLOBAL mysql56_temporal_format = OFF")
    try:
        declared = ", ".join(f"c{i} {column}{' NULL' if 'STAMP' in column else ''}" for i, column in enumerate(columns))
        source.execute(f"CREATE TABLE old (id INT PRIMARY KEY, {declared}, k INT)", SCHEMA)
        for kind in keys:
            source.execute(f"CREATE TABLE old_{kind} (k {kind} PRIMARY KEY)", SCHEMA)
        async with reading(source, watched) as reader:
            values = ", ".join(("'12:13:14.123456'" if "TIME(" in c else "'2026-01-02 03:04:05.654321'") for c in columns)
            source.execute(f"INSERT INTO old VALUES (1, {values}, 5), (2, {'NULL, ' * 21} 6)", SCHEMA)
            for kind, value in keys.items():
                source.execute(f"{ZONE}; INSERT INTO old_{kind} VALUES ({value})", SCHEMA)
            found = rows(await take(reader, 5))
    finally:
        source.execute("SET GLOBAL mysql56_temporal_format = ON")
    assert [key for _, key in found] == [(1, 5), (2, 6), *[(value.strip("'").encode(),) for value in keys.values()]]


# ---------------------------------------------------------------- how the server logs


@contextlib.contextmanager
def setting(server: DatabaseServer, name: str, value: str) -> Iterator[None]:
    """A global variable, for a while."""
    [(old,)] = server.execute(f"SELECT @@GLOBAL.{name}")
    server.execute(f"SET GLOBAL {name} = {value}")
    try:
        yield
    finally:
        server.execute(f"SET GLOBAL {name} = '{old}'" if isinstance(old, str) else f"SET GLOBAL {name} = {old}")


async def test_names_and_signs_in_table_maps(source: DatabaseServer) -> None:
    """With them, a layout of another table is found out even where all types are the same."""
    source.execute(
        "CREATE TABLE m (id INT UNSIGNED PRIMARY KEY, y YEAR, f FLOAT UNSIGNED, a DECIMAL(5,2) UNSIGNED, t TEXT, b BIGINT)",
        SCHEMA,
    )
    with setting(source, "binlog_row_metadata", "'FULL'"):
        async with reading(source, {"m": ["id", "b"]}) as reader:
            source.execute("INSERT INTO m VALUES (1, 2000, 1, 1, 'x', 7)", SCHEMA)
            assert rows(await take(reader, 1)) == [(None, (1, 7))]
        async with session(source) as connection:
            start = await current_position(connection)
        source.execute("UPDATE m SET b = 8; ALTER TABLE m RENAME COLUMN b TO c", SCHEMA)
        async with reading(source, {"m": ["id", "c"]}, start) as late:
            with pytest.raises(LayoutMismatch, match="a column b in place of c"):
                await take(late, 1)
        async with session(source) as connection:
            start = await current_position(connection)
        source.execute("UPDATE m SET c = 9; ALTER TABLE m MODIFY id INT", SCHEMA)
        with setting(source, "binlog_row_metadata", "'MINIMAL'"):
            async with reading(source, {"m": ["id", "c"]}, start) as late:
                with pytest.raises(LayoutMismatch):
                    await take(late, 1)


@pytest.mark.parametrize("change", ["k BIGINT", "s VARCHAR(31)", "d DECIMAL(7,3)", "t TIME(3)", "t TIME(2), ADD extra INT"])
async def test_a_layout_that_is_not_the_logged_one(source: DatabaseServer, change: str) -> None:
    """Reading begins before an ALTER, with the layout from behind it."""
    source.execute("CREATE TABLE m (id INT PRIMARY KEY, k INT, s VARCHAR(30), d DECIMAL(7,2), t TIME(2))", SCHEMA)
    async with session(source) as connection:
        start = await current_position(connection)
    source.execute(f"INSERT INTO m (id) VALUES (1); ALTER TABLE m MODIFY {change}", SCHEMA)
    async with reading(source, {"m": ["id"]}, start) as reader:
        with pytest.raises(LayoutMismatch):
            await take(reader, 1)


async def test_rows_that_are_logged_in_part(source: DatabaseServer) -> None:
    """A session that logs less than whole rows is found out by its first update."""
    source.execute("CREATE TABLE m (id INT PRIMARY KEY, a INT, b INT)", SCHEMA)
    async with reading(source, {"m": ["id"]}) as reader:
        source.execute("INSERT INTO m VALUES (1, 2, 3); SET binlog_row_image = MINIMAL; UPDATE m SET a = 5", SCHEMA)
        assert rows(await take(reader, 1)) == [(None, (1,))]
        with pytest.raises(LayoutMismatch, match="binlog_row_image"):
            await take(reader, 1)


async def test_json_values_that_are_logged_in_part(source: DatabaseServer) -> None:
    """The same of MySQL's partial updates; on other tables they are passed over."""
    if source.flavour != "mysql":
        pytest.skip("an event of MySQL")
    source.execute("CREATE TABLE m (id INT PRIMARY KEY, j JSON); CREATE TABLE other LIKE m", SCHEMA)
    update = "SET binlog_row_value_options = PARTIAL_JSON; UPDATE {} SET j = JSON_REPLACE(j, '$.a', 'xx')"
    async with reading(source, {"m": ["id"]}) as reader:
        source.execute("""INSERT INTO m VALUES (1, '{"a": "aaaaaaaaaaaaaaa"}'); INSERT INTO other SELECT * FROM m""", SCHEMA)
        source.execute(update.format("other") + "; INSERT INTO m VALUES (2, NULL)", SCHEMA)
        source.execute(update.format("m"), SCHEMA)
        await take(reader, 2)
        with pytest.raises(LayoutMismatch, match="binlog_row_value_options"):
            await take(reader, 1)


async def test_compressed_events(source: DatabaseServer) -> None:
    """MariaDB compresses rows and statements one by one, MySQL whole transactions; what is too small stays as it is."""
    source.execute("CREATE TABLE m (id INT PRIMARY KEY, t LONGTEXT, k INT)", SCHEMA)
    name = "log_bin_compress" if source.flavour == "mariadb" else "binlog_transaction_compression"
    with setting(source, name, "ON"):
        async with reading(source, {"m": ["id", "k"]}) as reader:
            values = ", ".join(f"({n}, REPEAT('x', 1000), {-n})" for n in range(300))
            source.execute(f"INSERT INTO m VALUES {values}; UPDATE m SET t = 'short'; DELETE FROM m WHERE id < 100", SCHEMA)
            source.execute("INSERT INTO m VALUES (-1, REPEAT('y', 20000000), 5); INSERT INTO m VALUES (-2, NULL, NULL)", SCHEMA)
            source.execute(f"CREATE TABLE other (id INT) COMMENT = '{'long ' * 100}'", SCHEMA)
            source.execute("BEGIN; INSERT INTO m VALUES (-3, REPEAT('y', 500), 5); INSERT INTO m VALUES (-4, NULL, NULL); COMMIT", SCHEMA)
            found = rows(await take(reader, 704))
    assert found[:300] == [(None, (n, -n)) for n in range(300)]
    assert found[300:600] == [((n, -n), (n, -n)) for n in range(300)]
    assert found[600:700] == [((n, -n), None) for n in range(100)]
    assert found[700:] == [(None, key) for key in ((-1, 5), (-2, None), (-3, 5), (-4, None))]


async def test_a_log_without_checksums(source: DatabaseServer) -> None:
    """Every file says for itself whether its events have them."""
    source.execute("CREATE TABLE m (id INT PRIMARY KEY)", SCHEMA)
    async with reading(source, {"m": ["id"]}) as reader:
        start = reader.position
        with setting(source, "binlog_checksum", "NONE"):
            source.execute("INSERT INTO m VALUES (1)", SCHEMA)
            async with reading(source, {"m": ["id"]}) as other:
                source.execute("INSERT INTO m VALUES (2)", SCHEMA)
                assert rows(await take(other, 1)) == [(None, (2,))]
        source.execute("INSERT INTO m VALUES (3)", SCHEMA)
        assert rows(await take(reader, 3)) == [(None, (n,)) for n in (1, 2, 3)]
    async with reading(source, {"m": ["id"]}, start) as again:
        assert rows(await take(again, 3)) == [(None, (n,)) for n in (1, 2, 3)]
