"""Drivers and what stands on them: SQLAlchemy's models over sharded tables, sysbench, PyMySQL's cursors."""

import re
import shutil
import subprocess
from collections.abc import Iterator

import pymysql
import pytest
from pymysql.cursors import SSCursor
from sqlalchemy import URL, Engine, ForeignKey, String, create_engine, func, inspect, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.conftest import Shards
from tests.support.proxy import ProxyProcess
from tests.support.shop import run

TABLES = """
[tables.accounts]
key = "uid"
by = "hash"

[tables.sbtest1]
key = "id"
by = "hash"

[tables.countries]
by = "reference"
"""


@pytest.fixture(scope="module")
def running_proxy(shards: Shards) -> Iterator[ProxyProcess]:
    """One proxy for this file; its tables are made by the clients."""
    shards.reset()
    server = ProxyProcess(shards.urls, TABLES)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def proxy(running_proxy: ProxyProcess) -> ProxyProcess:
    """The proxy without any tables."""
    for table in ("accounts", "countries", "sbtest1"):
        running_proxy.execute(f"DROP TABLE IF EXISTS {table}")
    return running_proxy


@pytest.fixture
def accounts(proxy: ProxyProcess, shards: Shards) -> ProxyProcess:
    """The proxy with 2000 accounts, on all shards."""
    proxy.execute("CREATE TABLE accounts (uid BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), pad MEDIUMTEXT)")
    with proxy.connect() as connection, connection.cursor() as cursor:
        rows = [(uid, f"n{uid}") for uid in range(2000)]
        assert cursor.executemany("INSERT INTO accounts (uid, name) VALUES (%s, %s)", rows) == 2000
    assert all(count > 300 for count in rows_on_shards(shards, "accounts"))
    return proxy


def rows_on_shards(shards: Shards, table: str) -> list[int]:
    """How many rows of a table each shard has."""
    return [shards.execute(shard, f"SELECT COUNT(*) FROM {table}")[0][0] for shard in shards.placement]


# ---------------------------------------------------------------- SQLAlchemy


class Base(DeclarativeBase):
    """Of the models below."""


class Country(Base):
    """A reference table: a copy on every shard."""

    __tablename__ = "countries"
    code: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str] = mapped_column(String(40))


class Account(Base):
    """Sharded by hash; refers to a table that every shard has."""

    __tablename__ = "accounts"
    uid: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(40), index=True)
    country: Mapped[str] = mapped_column(ForeignKey("countries.code"))


@pytest.fixture
def engine(proxy: ProxyProcess) -> Iterator[Engine]:
    """An engine with a pool that pings, and the models' tables."""
    url = URL.create("mysql+pymysql", "app", "app", "127.0.0.1", proxy.port, "app", {"charset": "utf8mb4"})
    engine = create_engine(url, pool_pre_ping=True, pool_size=2)
    Base.metadata.create_all(engine)
    yield engine
    Base.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def orm(engine: Engine, shards: Shards) -> Iterator[Session]:
    """A session over three countries and 40 accounts. A transaction writes on one shard, so countries go without one."""
    with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
        session.add_all([Country(code="de", name="Germany"), Country(code="fr", name="France"), Country(code="se", name="Sweden")])
        session.commit()
    with Session(engine) as session:
        for uid in range(40):
            session.add(Account(uid=uid, name=f"n{uid:02}", country=("de", "fr", "se")[uid % 3]))
            session.commit()
    assert all(rows_on_shards(shards, "accounts"))
    with Session(engine) as session:
        yield session


def test_sqlalchemy_queries(orm: Session) -> None:
    """ORDER BY with LIMIT and OFFSET, counts, groups, a join with a reference table: over all shards."""
    names = orm.scalars(select(Account.name).order_by(Account.name.desc()).limit(3)).all()
    assert names == ["n39", "n38", "n37"]
    assert [a.uid for a in orm.scalars(select(Account).order_by(Account.uid).limit(2).offset(5))] == [5, 6]
    assert orm.scalar(select(func.count()).select_from(Account)) == 40
    counts = orm.execute(select(Account.country, func.count()).group_by(Account.country).order_by(Account.country)).all()
    assert [tuple(row) for row in counts] == [("de", 14), ("fr", 13), ("se", 13)]
    joined = select(Country.name, func.max(Account.uid)).join(Account).group_by(Country.name).order_by(Country.name)
    assert [tuple(row) for row in orm.execute(joined)] == [("France", 37), ("Germany", 39), ("Sweden", 38)]
    assert len(orm.scalars(select(Account).where(Account.uid.in_([1, 2, 3, 99]))).all()) == 3


def test_sqlalchemy_commits_and_rolls_back(orm: Session, shards: Shards) -> None:
    """Units of work on one shard each: what is rolled back is gone, what is committed stays."""
    account = orm.get_one(Account, 7)
    account.name = "changed"
    orm.flush()
    orm.rollback()
    assert account.name == "n07"
    account.name = "kept"
    orm.commit()
    orm.delete(orm.get_one(Account, 8))
    orm.commit()
    orm.expire_all()
    assert orm.get_one(Account, 7).name == "kept"
    assert orm.get(Account, 8) is None
    assert sum(rows_on_shards(shards, "accounts")) == 39
    with orm.begin_nested() as nested:
        orm.get_one(Account, 9).name = "never"
        orm.flush()
        nested.rollback()
    with orm.begin_nested():
        orm.get_one(Account, 9).country = "fr"
    orm.commit()
    assert (orm.get_one(Account, 9).name, orm.get_one(Account, 9).country) == ("n09", "fr")


def test_sqlalchemy_reflects_the_schema(engine: Engine) -> None:
    """Each table once, with its columns, keys and indexes."""
    schema = inspect(engine)
    assert sorted(schema.get_table_names()) == ["accounts", "countries"]
    assert schema.has_table("accounts")
    assert not schema.has_table("missing")
    assert [column["name"] for column in schema.get_columns("accounts")] == ["uid", "name", "country"]
    assert [column["nullable"] for column in schema.get_columns("accounts")] == [False, True, False]
    assert schema.get_pk_constraint("accounts")["constrained_columns"] == ["uid"]
    assert ["name"] in [index["column_names"] for index in schema.get_indexes("accounts")]
    assert [key["referred_table"] for key in schema.get_foreign_keys("accounts")] == ["countries"]


def test_sqlalchemy_pool_replaces_a_dead_connection(engine: Engine, proxy: ProxyProcess) -> None:
    """`pool_pre_ping` notices that the proxy was restarted; nobody sees an error."""
    with engine.connect() as connection:
        before = connection.scalar(text("SELECT CONNECTION_ID()"))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT CONNECTION_ID()")) == before
    proxy.restart()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1


# ---------------------------------------------------------------- sysbench


def sysbench(port: int, workload: str, command: str) -> str:
    """Run sysbench over one table of 1000 rows; its output."""
    program = shutil.which("sysbench")
    if program is None:
        pytest.skip("no sysbench on this machine")
    login = ["--mysql-host=127.0.0.1", f"--mysql-port={port}", "--mysql-user=app", "--mysql-password=app", "--mysql-db=app"]
    size = ["--tables=1", "--table-size=1000", "--threads=2", "--time=2", "--mysql-ignore-errors=1062"]
    mode = ["--skip-trx=on", "--db-ps-mode=disable", "--auto_inc=off"]
    done = subprocess.run([program, workload, *login, *size, *mode, command], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FATAL" not in done.stdout + done.stderr
    return done.stdout


def reported(report: str, name: str) -> int:
    """A number of sysbench's report."""
    found = re.search(rf"{name}:\s+(\d+)", report)
    assert found, report
    return int(found[1])


@pytest.mark.parametrize("workload", ["oltp_point_select", "oltp_read_only", "oltp_write_only"])
def test_sysbench(proxy: ProxyProcess, shards: Shards, workload: str) -> None:
    """The whole of a benchmark: its table is made, filled over all shards, worked on and dropped."""
    sysbench(proxy.port, workload, "prepare")
    rows = rows_on_shards(shards, "sbtest1")
    assert sum(rows) == 1000
    assert min(rows) > 100
    report = sysbench(proxy.port, workload, "run")
    assert reported(report, "transactions") > 10, report
    assert reported(report, "reconnects") == 0, report
    # Without transactions, one thread may insert what the other has just inserted after both deleted it: 1062.
    assert workload == "oltp_write_only" or reported(report, "ignored errors") == 0, report
    assert 990 <= sum(rows_on_shards(shards, "sbtest1")) <= 1000
    sysbench(proxy.port, workload, "cleanup")
    assert proxy.execute("SHOW TABLES") == []


# ---------------------------------------------------------------- PyMySQL


@pytest.mark.parametrize(("where", "count"), [("", 2000), (" WHERE uid = 77", 1), (" WHERE uid IN (1, 2, 3, 4, 5, 6)", 6)])
def test_pymysql_streams(accounts: ProxyProcess, where: str, count: int) -> None:
    """An unbuffered cursor reads row by row, from all shards or from one, and can be given up half way."""
    with accounts.connect(cursorclass=SSCursor) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT uid, name FROM accounts" + where)
            rows = list(cursor.fetchall_unbuffered())
        assert len(rows) == len(set(rows)) == count
        assert all(name == f"n{uid}" for uid, name in rows)
        with connection.cursor() as cursor:
            cursor.execute("SELECT uid FROM accounts" + where)
            assert cursor.fetchone() is not None
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM accounts")
            assert list(cursor.fetchall()) == [(2000,)]


def test_pymysql_works_in_transactions_by_default(accounts: ProxyProcess) -> None:
    """PyMySQL turns autocommit off when it connects: nobody else sees a change before the commit."""
    with accounts.connect(autocommit=False) as connection:
        assert not connection.get_autocommit()
        for end, kept in ((connection.rollback, "n5"), (connection.commit, "new")):
            run(connection, "UPDATE accounts SET name = 'new' WHERE uid = 5")
            assert accounts.execute("SELECT name FROM accounts WHERE uid = 5") == [("n5",)]
            end()
            assert accounts.execute("SELECT name FROM accounts WHERE uid = 5") == [(kept,)]


def test_pymysql_ping_and_select_db(accounts: ProxyProcess) -> None:
    """`ping` finds the connection alive; `select_db` knows the logical schema only."""
    with accounts.connect(database=None) as connection:
        connection.ping()
        connection.select_db("app")
        assert run(connection, "SELECT COUNT(*) FROM accounts") == [(2000,)]
        with pytest.raises(pymysql.err.OperationalError) as refused:
            connection.select_db("app_0")
        assert refused.value.args[0] == 1049
        assert run(connection, "SELECT DATABASE()") == [("app",)]


def test_pymysql_big_results(accounts: ProxyProcess) -> None:
    """40 MB in rows of 20 kB, and one row of nearly as much as a packet can hold: both arrive whole."""
    accounts.execute("UPDATE accounts SET pad = REPEAT('x', 20000)")
    with accounts.connect() as connection:
        rows = run(connection, "SELECT uid, pad FROM accounts ORDER BY uid")
        assert [uid for uid, _ in rows] == list(range(2000))
        assert all(pad == "x" * 20000 for _, pad in rows)
        assert run(connection, "SELECT REPEAT('y', 15 << 20)") == [("y" * (15 << 20),)]
