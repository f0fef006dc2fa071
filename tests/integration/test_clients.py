"""The clients that people use, as they come: the command line, SQLAlchemy, sysbench; over MariaDB and over MySQL."""

import subprocess
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from tests.conftest import Shards
from tests.support.proxy import ProxyProcess
from tests.support.servers import MySQL
from tests.support.shop import S0, S1, S2, S3, SCHEMA, TABLES, Shop, run


def _mariadb(shop: Shop, *arguments: str, stdin: str = "") -> str:
    """Run the command line client; its output. Fails with what it says on an error."""
    done = subprocess.run(
        ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{shop.proxy.port}", "-uapp", "-papp", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_command_line_runs_a_script(shop: Shop) -> None:
    """Statements from a file, in batch mode, with what scripts tell the client itself."""
    script = f"""
        USE app;
        INSERT INTO users (uid, name) VALUES ({S0}, 'ann'), ({S1}, 'böb'), ({S2}, NULL), ({S3}, 'dan');
        SELECT uid, name FROM users ORDER BY uid DESC; -- all shards
        DELIMITER //
        SELECT COUNT(*) FROM users //
    """
    output = _mariadb(shop, "-N", "--default-character-set=utf8mb4", stdin=script)
    assert output == f"{S3}\tdan\n{S2}\tNULL\n{S1}\tböb\n{S0}\tann\n4\n"


def test_command_line_shows_its_status(shop: Shop) -> None:
    r"""`\s` asks several things at once, COM_STATISTICS among them."""
    output = _mariadb(shop, "app", "-t", stdin="\\s")
    for wanted in ("Connection id:", "Current database:\tapp", "app@127.0.0.1", "Server version:", "Uptime:", "Threads: "):
        assert wanted in output, output


def test_command_line_completes_names(shop: Shop) -> None:
    """With auto-rehash it asks for the tables and then for each one's columns, before the first statement."""
    assert _mariadb(shop, "app", "--auto-rehash", "-N", stdin="SELECT 1;\n\\# \nSELECT 2;") == "1\n2\n"


def test_command_line_speaks_tls(shop: Shop) -> None:
    """The C library sends its ClientHello right behind the SSLRequest."""
    output = _mariadb(shop, "--ssl", "--skip-ssl-verify-server-cert", "app", "-t", stdin="\\s")
    assert "SSL:\t\t\tCipher in use" in output, output


def test_command_line_survives_errors(shop: Shop) -> None:
    """With --force the next statement runs on the same connection."""
    done = subprocess.run(
        ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{shop.proxy.port}", "-uapp", "-papp", "app", "-N", "--force"],
        input="SELECT nonsense FROM users; SELECT * FROM nowhere; SELECT 7;",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "7\n"
    assert "ERROR 1054" in done.stderr
    assert "ERROR 1146" in done.stderr
    assert "Lost connection" not in done.stderr


# ---------------------------------------------------------------- SQLAlchemy


class Base(orm.DeclarativeBase):
    """The models of these tests."""


class User(Base):
    """A row of `users`."""

    __tablename__ = "users"
    uid: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    name: orm.Mapped[str | None] = orm.mapped_column(sa.String(40))
    age: orm.Mapped[int] = orm.mapped_column(default=0)


class Note(Base):
    """A row of `notes`, whose id the server chooses."""

    __tablename__ = "notes"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    note: orm.Mapped[str | None] = orm.mapped_column(sa.Text)


@pytest.fixture
def engine(shop: Shop) -> Iterator[sa.Engine]:
    """An engine with its usual pool."""
    made = sa.create_engine(f"mysql+pymysql://app:app@127.0.0.1:{shop.proxy.port}/app?charset=utf8mb4", pool_pre_ping=True)
    yield made
    made.dispose()


def test_orm_works_on_its_rows(engine: sa.Engine) -> None:
    """Insert, query, update, delete and roll back, one shard per transaction, through the unit of work."""
    for uid, name in ((S0, "ann"), (S1, "bob"), (S2, "cid"), (S3, "dan")):
        with orm.Session(engine) as session, session.begin():
            session.add(User(uid=uid, name=name, age=uid // 10))
    with orm.Session(engine) as session:
        assert session.scalars(sa.select(User.name).order_by(User.name.desc())).all() == ["dan", "cid", "bob", "ann"]
        assert session.execute(sa.select(sa.func.count(), sa.func.sum(User.age))).one() == (4, 80)
        found = session.get(User, S2)
        assert found is not None
        found.name = "eve"
        session.commit()
        assert session.scalars(sa.select(User).where(User.uid.in_([S1, S2]))).all()[0].name in ("bob", "eve")
        session.delete(found)
        session.rollback()
        assert session.scalar(sa.select(sa.func.count()).select_from(User)) == 4
    with orm.Session(engine) as session, session.begin():
        notes = [Note(note=text) for text in ("a", "b")]
        session.add_all(notes)
        session.flush()
        assert [note.id for note in notes] == [1, 2]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.execute(sa.update(User).where(User.age > 6).values(age=1)).rowcount == 3


def test_reflection_sees_the_schema(engine: sa.Engine) -> None:
    """Tables, columns, keys and their types, as from one server."""
    inspector = sa.inspect(engine)
    assert sorted(inspector.get_table_names()) == sorted(SCHEMA)
    assert inspector.default_schema_name == "app"
    metadata = sa.MetaData()
    metadata.reflect(engine)
    users = metadata.tables["users"]
    assert [column.name for column in users.primary_key] == ["uid"]
    assert isinstance(users.c.uid.type, sa.BigInteger)
    assert isinstance(users.c.name.type, sa.String)
    assert users.c.name.type.length == 40
    assert inspector.get_unique_constraints("countries")[0]["column_names"] == ["code"]
    assert inspector.has_table("orders")
    assert not inspector.has_table("nowhere")


def test_isolation_level_is_set_and_taken_back(engine: sa.Engine) -> None:
    """The next user of the pooled connection has the default again."""
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        assert connection.scalar(sa.text("SELECT @@tx_isolation")) == "READ-COMMITTED"
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT @@tx_isolation")) == "REPEATABLE-READ"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.insert(User).values(uid=S0))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT COUNT(*) FROM users")) == 1


# ---------------------------------------------------------------- sysbench

SBTEST = """
[tables.sbtest1]
key = "id"
by = "hash"
[tables.sbtest2]
key = "id"
by = "hash"
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_sysbench_prepares_runs_and_cleans_up(shards: Shards, start_proxy: Callable[..., ProxyProcess]) -> None:
    """Three of its workloads run without an error, and every row is on some shard."""
    Shop.create_tables(shards)
    proxy = start_proxy(shards.urls, TABLES + SBTEST)

    def sysbench(test: str, command: str, *more: str) -> str:
        done = subprocess.run(
            [
                "sysbench", test, "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={proxy.port}",
                "--mysql-user=app", "--mysql-password=app", "--mysql-db=app", "--tables=2", "--table-size=2000",
                "--auto_inc=off", "--db-ps-mode=disable", "--skip-trx=on", "--threads=4", "--time=3", *more, command,
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    sysbench("oltp_read_write", "prepare")
    assert proxy.execute("SELECT COUNT(*), MIN(id), MAX(id) FROM sbtest2") == [(2000, 1, 2000)]
    for shard in shards.placement:
        assert shards.execute(shard, "SELECT COUNT(*) FROM sbtest1")[0][0] > 300
    for test in ("oltp_point_select", "oltp_read_only", "oltp_write_only"):
        # Without transactions two threads may delete and insert the same row at the same time.
        output = sysbench(test, "run", *(["--threads=1"] if test == "oltp_write_only" else []))
        assert "ignored errors:                      0 " in output
        assert "reconnects:                          0 " in output
    assert proxy.execute("SELECT COUNT(*) FROM sbtest1") == [(2000,)]
    sysbench("oltp_read_write", "cleanup")
    assert not any("sbtest" in name for (name,) in proxy.execute("SHOW TABLES"))


# ---------------------------------------------------------------- MySQL


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_mysql_serves_as_shards(shards: Shards, mysql_server: MySQL, start_proxy: Callable[..., ProxyProcess]) -> None:
    """Four schemas on a real MySQL: the same session, sharded, in one sitting."""
    urls = {}
    for i in range(4):
        mysql_server.create_schema(f"app_{i}")
        urls[f"s{i}"] = mysql_server.url(f"app_{i}")
        for name, columns in SCHEMA.items():
            if name != "notes" or i == 1:
                mysql_server.execute(f"CREATE TABLE {name} ({columns})", f"app_{i}")
    proxy = start_proxy(urls, TABLES)
    shop = Shop(shards, proxy)
    shop.fill_users()
    with proxy.connect() as connection:
        assert "MariaDB" not in run(connection, "SELECT VERSION()")[0][0]
        assert run(connection, "SELECT name FROM users ORDER BY name DESC LIMIT 3") == [("dan",), ("cid",), ("bob",)]
        assert run(connection, "SELECT COUNT(*), SUM(age), AVG(age) FROM users")[0][:2] == (4, 80)
        run(connection, "INSERT INTO countries (code, seen) VALUES ('aa', NOW(6)), ('bb', NOW(6))")
        copies = {tuple(mysql_server.execute("SELECT * FROM countries ORDER BY id", f"app_{i}")) for i in range(4)}
        assert len(copies) == 1
        run(connection, "BEGIN")
        run(connection, f"UPDATE users SET age = 1 WHERE uid = {S0}")
        run(connection, "ROLLBACK")
        run(connection, "SET SESSION group_concat_max_len = 7")
        assert run(connection, "SELECT @@group_concat_max_len") == [(7,)]
        run(connection, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        assert run(connection, "SELECT @@transaction_isolation") == [("READ-COMMITTED",)]
        run(connection, "ALTER TABLE users ADD COLUMN extra INT NOT NULL DEFAULT 3")
        assert run(connection, "SELECT SUM(extra) FROM users") == [(12,)]
        assert run(connection, "SHOW TABLES") == [("countries",), ("notes",), ("orders",), ("users",)]
        run(connection, "INSERT INTO notes (note) VALUES ('a'), ('b')")
        assert run(connection, "SELECT LAST_INSERT_ID()") == [(1,)]
    engine = sa.create_engine(f"mysql+pymysql://app:app@127.0.0.1:{proxy.port}/app")
    assert sorted(sa.inspect(engine).get_table_names()) == sorted(SCHEMA)
    with orm.Session(engine) as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(User)) == 4
    engine.dispose()


def test_buckets_are_those_that_the_servers_compute(shop: Shop) -> None:
    """Every row stands on the shard that owns the bucket which MariaDB itself computes of its key."""
    shop.proxy.execute("INSERT INTO orders (uid, oid) VALUES " + ", ".join(f"({uid}, 1)" for uid in range(-50, 400)))
    buckets = "SELECT DISTINCT CONV(SUBSTR(SHA2(uid, 256), 1, 8), 16, 10) MOD 4096 FROM orders"
    homes: dict[int, str] = {}
    for shard, rows in shop.on_each(buckets).items():
        for (bucket,) in rows:
            assert homes.setdefault(int(bucket), shard) == shard, "a bucket on two shards"
    for uid in (-50, -1, 0, 1, 7, 399):
        [(bucket,)] = shop.proxy.execute(f"SELECT CONV(SUBSTR(SHA2({uid}, 256), 1, 8), 16, 10) MOD 4096")
        rows = shop.proxy.execute(f"EXPLAIN ROUTE SELECT * FROM orders WHERE uid = {uid}")
        assert [row[2] for row in rows] == [homes[int(bucket)]]
