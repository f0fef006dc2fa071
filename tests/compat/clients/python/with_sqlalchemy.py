"""SQLAlchemy 2 with the driver that its first argument names: pymysql, aiomysql or asyncmy.

The checks are written once, as functions of a connection or session: SQLAlchemy itself runs such functions on its
asynchronous engines.
"""

import asyncio
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from compat import SETTINGS, STREAMED, run, same
from orm import BATCH, NAMES, NOTES, OF_THE_DRIVER, ORDERS, PEOPLE, STATEMENTS, STREAMED_SUM, TASKS, filling, raises
from sqlalchemy import URL, Connection, MetaData, Table, create_engine, func, insert, inspect, select, text, update
from sqlalchemy.dialects.mysql import insert as upsert
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session, joinedload, selectinload
from sqlalchemy_models import Base, Note, Order, Person

T = TypeVar("T")


class SqlAlchemyChecks:
    """Over one engine with an application's options."""

    left_out = OF_THE_DRIVER

    def __init__(self, driver: str) -> None:
        self._is_async = driver != "pymysql"
        self._driver = driver
        self._create_engine: Callable[..., Any]
        self._new_session: Callable[..., Any]
        if self._is_async:
            # Needs more than is there where the synchronous half is run.
            from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

            self._create_engine, self._new_session = create_async_engine, AsyncSession
        else:
            self._create_engine, self._new_session = create_engine, Session
        self._engine = self._new_engine()

    def _new_engine(self, password: str = SETTINGS.password, database: str = SETTINGS.database) -> Any:
        url = URL.create(
            f"mysql+{self._driver}", SETTINGS.user, password, SETTINGS.host, SETTINGS.port, database, query={"charset": "utf8mb4"}
        )
        return self._create_engine(url, pool_size=5, max_overflow=0, pool_pre_ping=True)

    async def _connected(self, work: Callable[[Connection], T], engine: Any = None) -> T:
        """Run on a connection in a transaction that is committed."""
        engine = engine or self._engine
        if self._is_async:
            async with engine.begin() as connection:
                return await connection.run_sync(work)

        def blocking() -> T:
            with engine.begin() as connection:
                return work(connection)

        return await asyncio.to_thread(blocking)

    async def _session(self, work: Callable[[Session], T]) -> T:
        """Run on a session of its own; what it does not commit is undone."""
        if self._is_async:
            async with self._new_session(self._engine) as session:
                return await session.run_sync(work)

        def blocking() -> T:
            with self._new_session(self._engine) as session:
                return work(session)

        return await asyncio.to_thread(blocking)

    async def _new_tables(self) -> None:
        await self._connected(Base.metadata.drop_all)
        await self._connected(Base.metadata.create_all)

    async def check_connect(self) -> None:
        same(await self._connected(lambda connection: connection.scalar(text("SELECT 1"))), 1, "SELECT 1")
        same(self._engine.dialect.server_version_info is not None, True, "whether the server's version is known")

    async def check_unicode(self) -> None:
        await self._new_tables()

        def work(session: Session) -> list[str]:
            session.add_all(Person(id=key, name=name) for key, name in NAMES.items())
            session.commit()
            return list(session.scalars(select(Person.name).where(Person.name.in_([*NAMES.values(), "🦀"])).order_by(Person.id)))

        same(await self._session(work), list(NAMES.values()), "the names")

    async def check_transactions(self) -> None:
        await self._new_tables()

        def work(session: Session) -> None:
            with session.begin():
                session.add(Person(id=1, name="kept"))
                with session.begin_nested() as savepoint:
                    session.add(Person(id=2, name="not kept"))
                    session.flush()
                    savepoint.rollback()
            session.execute(update(Person).values(name="undone"))
            session.rollback()
            same(session.execute(select(Person.id, Person.name)).all(), [(1, "kept")], "the rows")

        await self._session(work)
        await self._session(self._isolates)

    def _isolates(self, session: Session) -> None:
        session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
        same(session.connection().get_isolation_level(), "SERIALIZABLE", "the isolation level")
        session.commit()
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        session.execute(insert(Person).values(id=3, name="at once"))
        session.rollback()
        same(session.scalar(select(func.count()).select_from(Person)), 2, "rows after a rollback in autocommit")

    async def check_batch(self) -> None:
        await self._new_tables()

        def work(session: Session) -> None:
            session.execute(insert(Person), [{"id": key, "name": f"n{key}"} for key in range(BATCH)])
            session.commit()
            same(session.scalar(select(func.count()).select_from(Person)), BATCH, "the number of rows")
            same(session.execute(update(Person).where(Person.id < 100).values(name="same")).rowcount, 100, "rows updated")
            session.commit()

        await self._session(work)

    async def check_keys(self) -> None:
        await self._new_tables()

        def work(session: Session) -> None:
            one = Note(body="a")
            session.add(one)
            session.flush()
            same(one.id, 1, "the first key")
            several = [Note(body=body) for body in "bcd"]
            session.add_all(several)
            session.commit()
            same([note.id for note in several], [2, 3, 4], "the keys of several")
            same(tuple(session.execute(insert(Note).values(body="e")).inserted_primary_key), (5,), "the key of a Core insert")
            session.commit()

        await self._session(work)

    async def check_stream(self) -> None:
        await self._new_tables()
        for statement in filling(PEOPLE):
            await self._connected(lambda connection, statement=statement: connection.exec_driver_sql(statement))

        def work(connection: Connection) -> tuple[int, int]:
            count = total = 0
            for row in connection.execution_options(stream_results=True, yield_per=1000).execute(select(Person.id, Person.name)):
                count, total = count + 1, total + row.id
            return count, total

        same(await self._connected(work), (STREAMED, STREAMED_SUM), "the number of rows and the sum of their ids")
        same(await self._connected(lambda connection: connection.scalar(text("SELECT 2"))), 2, "a statement afterwards")

    async def check_errors(self) -> None:
        await self._new_tables()
        for code, kind, statement in (
            (1062, IntegrityError, f"INSERT INTO {PEOPLE} (id, name) VALUES (1, 'again')"),
            (1146, ProgrammingError, "SELECT * FROM no_such_table"),
            (1054, OperationalError, f"SELECT no_such_column FROM {PEOPLE}"),
            (1064, ProgrammingError, "SELECT 1 FROM WHERE"),
        ):
            await self._connected(lambda connection: connection.execute(text(f"REPLACE INTO {PEOPLE} (id, name) VALUES (1, 'one')")))
            await self._fails(code, kind, statement, self._engine)
        await self._fails(1045, OperationalError, "SELECT 1", self._new_engine(password="wrong"))
        await self._fails(1049, OperationalError, "SELECT 1", self._new_engine(database="no_such_schema"))

    async def _fails(self, code: int, kind: type[Exception], statement: str, engine: Any) -> None:
        try:
            await self._connected(lambda connection: connection.exec_driver_sql(statement), engine)
        except kind as error:
            raises(error, code)
        else:
            raise AssertionError(f"no error {code}")

    async def check_reset(self) -> None:
        await self._new_tables()

        def leave(connection: Connection) -> None:
            connection.execute(insert(Person).values(id=1, name="open"))
            connection.rollback()

        engine = self._new_engine()
        await self._connected(leave, engine)
        count = select(func.count()).select_from(Person)
        same(await self._connected(lambda connection: connection.scalar(count), engine), 0, "rows of a transaction that was left open")

    async def check_pool(self) -> None:
        async def use(task: int) -> None:
            for number in range(STATEMENTS):
                statement = text("SELECT :task, :number").bindparams(task=task, number=number)
                row = await self._connected(lambda connection, statement=statement: connection.execute(statement).one())
                same(tuple(row), (task, number), "a task's own row")

        await asyncio.gather(*map(use, range(TASKS)))
        number = await self._connected(lambda connection: connection.scalar(text("SELECT CONNECTION_ID()")))
        await self._connected(lambda connection: connection.exec_driver_sql(f"KILL {number}"), self._new_engine())
        await asyncio.sleep(0.2)  # the end of a connection takes a moment to arrive, and there is nothing to wait on
        for _ in range(6):
            found = await self._connected(lambda connection: connection.scalar(text("SELECT CONNECTION_ID()")))
            assert found != number, "the killed connection still answers"

    async def check_orm_schema(self) -> None:
        await self._new_tables()
        await self._connected(self._reflects)
        await self._connected(Base.metadata.drop_all)
        names = await self._connected(lambda connection: inspect(connection).get_table_names())
        same([name for name in (PEOPLE, ORDERS, NOTES) if name in names], [], "tables that were dropped")

    def _reflects(self, connection: Connection) -> None:
        inspector = inspect(connection)
        same([name for name in (PEOPLE, ORDERS, NOTES) if name not in inspector.get_table_names()], [], "tables not listed")
        same(inspector.has_table("no_such_table"), False, "whether a table is there that is not")
        same(inspector.get_pk_constraint(ORDERS)["constrained_columns"], ["id", "number"], "a primary key")
        same([index["column_names"] for index in inspector.get_indexes(PEOPLE)], [["name"]], "the indexes")
        foreign = [(key["constrained_columns"], key["referred_table"]) for key in inspector.get_foreign_keys(ORDERS)]
        same(foreign, [(["id"], PEOPLE)], "the foreign keys")
        reflected = Table(ORDERS, MetaData(), autoload_with=connection)
        made = Base.metadata.tables[ORDERS]
        same([column.name for column in reflected.columns], [column.name for column in made.columns], "the columns")
        same(reflected.c.amount.type.precision, 10, "the precision of a decimal")
        same(reflected.c.placed.nullable, True, "whether a column may be null")
        same(inspector.get_columns(NOTES)[0]["autoincrement"], True, "whether a key is generated")

    async def check_orm_use(self) -> None:
        await self._new_tables()
        await self._session(self._creates)
        await self._session(self._reads)
        await self._session(self._changes)

    def _creates(self, session: Session) -> None:
        for key, name in NAMES.items():
            orders = [Order(number=number, amount=Decimal(key * number) / 4) for number in range(1, 4)]
            session.add(Person(id=key, name=name, orders=orders))
            session.commit()

    def _reads(self, session: Session) -> None:
        person = session.get_one(Person, 3)
        same([order.amount for order in person.orders], [Decimal("0.75"), Decimal("1.50"), Decimal("2.25")], "a relation, loaded late")
        for eager in (selectinload, joinedload):
            people = session.scalars(select(Person).options(eager(Person.orders)).order_by(Person.id)).unique().all()
            same([len(person.orders) for person in people], [3] * 5, f"relations by {eager.__name__}")
        total = func.sum(Order.amount)
        totals = select(Person.name, total).join(Person.orders).group_by(Person.name).order_by(total.desc()).limit(2)
        same([tuple(row) for row in session.execute(totals)], [("Bo", Decimal("7.50")), ("Ann", Decimal("6.00"))], "sums of a join")
        groups = select(Order.number, func.count(), func.avg(Order.amount)).group_by(Order.number).having(func.max(Order.amount) > 2)
        found = [tuple(row) for row in session.execute(groups.order_by(Order.number))]
        same(found, [(2, 5, Decimal("1.5")), (3, 5, Decimal("2.25"))], "groups")
        same(session.scalar(select(func.count()).where(Person.orders.any(Order.amount > 3))), 1, "an EXISTS")

    def _changes(self, session: Session) -> None:
        person = session.get_one(Person, 2)
        person.name = "Changed"
        session.delete(person.orders[0])
        session.commit()
        session.expire_all()
        same((person.name, len(person.orders)), ("Changed", 2), "after an update and a delete")
        statement = upsert(Person).values([{"id": 2, "name": "Upserted"}, {"id": 99, "name": "New"}])
        session.execute(statement.on_duplicate_key_update(name=statement.inserted.name))
        session.commit()
        same(session.scalars(select(Person.name).where(Person.id.in_([2, 99])).order_by(Person.id)).all(), ["Upserted", "New"], "an upsert")
        session.delete(session.get_one(Person, 4))
        session.commit()
        same(session.scalar(select(func.count()).select_from(Order).where(Order.id == 4)), 0, "orders of somebody deleted")


if __name__ == "__main__":
    run(SqlAlchemyChecks(sys.argv[1]))
