"""peewee with PyMySQL, and its pool."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import TypeVar

from compat import SETTINGS, STREAMED, run, same
from orm import BATCH, NAMES, NOTES, OF_THE_DRIVER, ORDERS, PEOPLE, STATEMENTS, STREAMED_SUM, TASKS, filling, raises
from peewee import (
    JOIN,
    AutoField,
    BigIntegerField,
    CharField,
    DateTimeField,
    DecimalField,
    ForeignKeyField,
    IntegrityError,
    Model,
    MySQLDatabase,
    OperationalError,
    ProgrammingError,
    TextField,
    chunked,
    fn,
    prefetch,
)
from playhouse.migrate import MySQLMigrator, migrate
from playhouse.pool import PooledMySQLDatabase
from playhouse.reflection import Introspector

T = TypeVar("T")
OPTIONS = {"host": SETTINGS.host, "port": SETTINGS.port, "user": SETTINGS.user, "password": SETTINGS.password, "charset": "utf8mb4"}
database = PooledMySQLDatabase(SETTINGS.database, max_connections=5, stale_timeout=300, timeout=20, **OPTIONS)


class Person(Model):
    """Sharded by id where the target is."""

    id = BigIntegerField(primary_key=True)
    name = CharField(80, index=True)

    class Meta:
        database = database
        table_name = PEOPLE


class Order(Model):
    """Sharded by its own id: where it is, no server can hold the foreign key."""

    id = BigIntegerField(primary_key=True)
    person = ForeignKeyField(Person, backref="orders", on_delete="CASCADE")
    amount = DecimalField(10, 2)
    placed = DateTimeField(null=True)

    class Meta:
        database = database
        table_name = ORDERS


class Note(Model):
    """On one shard, with keys that the server chooses."""

    id = AutoField()
    body = TextField()

    class Meta:
        database = database
        table_name = NOTES


MODELS = [Person, Order, Note]


class PeeweeChecks:
    """With the pool that an application would use."""

    left_out = OF_THE_DRIVER

    async def check_connect(self) -> None:
        await blocking(lambda: same(database.execute_sql("SELECT 1").fetchall(), ((1,),), "SELECT 1"))

    async def check_unicode(self) -> None:
        await blocking(unicode)

    async def check_transactions(self) -> None:
        await blocking(transactions)

    async def check_batch(self) -> None:
        await blocking(batch)

    async def check_keys(self) -> None:
        await blocking(keys)

    async def check_stream(self) -> None:
        await blocking(stream)

    async def check_errors(self) -> None:
        await blocking(errors)

    async def check_reset(self) -> None:
        await blocking(reset)

    async def check_pool(self) -> None:
        await asyncio.gather(*(blocking(lambda task=task: use(task)) for task in range(TASKS)))
        number = await blocking(connection_id)
        await blocking(lambda: MySQLDatabase(SETTINGS.database, **OPTIONS).execute_sql(f"KILL {number}"))
        await asyncio.sleep(0.2)  # the end of a connection takes a moment to arrive, and there is nothing to wait on
        for _ in range(6):
            same(await blocking(connection_id) == number, False, "whether the killed connection still answers")

    async def check_orm_schema(self) -> None:
        await blocking(schema)

    async def check_orm_use(self) -> None:
        def work() -> None:
            new_tables()
            creates()
            reads()
            changes()

        await blocking(work)


async def blocking(work: Callable[[], T]) -> T:
    """Run on a connection of the pool, as a request of an application does."""

    def in_thread() -> T:
        with database.connection_context():
            return work()

    return await asyncio.to_thread(in_thread)


def new_tables() -> None:
    database.drop_tables(MODELS, safe=True)
    for model in MODELS:
        if model is Order and SETTINGS.sharded:
            # peewee has no foreign keys without a constraint but in its own SQL.
            database.execute_sql(
                f"CREATE TABLE {ORDERS} (id BIGINT NOT NULL PRIMARY KEY, person_id BIGINT NOT NULL, "
                "amount DECIMAL(10, 2) NOT NULL, placed DATETIME, KEY (person_id))"
            )
        else:
            model.create_table()


def unicode() -> None:
    new_tables()
    for key, name in NAMES.items():
        Person.create(id=key, name=name)
    same([person.name for person in Person.select().order_by(Person.id)], list(NAMES.values()), "the names")
    same(Person.get(Person.name == NAMES[3]).id, 3, "a name with four bytes")
    same(Person.select().where(Person.name.contains("🦀")).count(), 1, "a LIKE with four bytes")


def transactions() -> None:
    new_tables()
    with database.atomic():
        Person.create(id=1, name="kept")
        with suppress(IntegrityError), database.atomic():
            Person.create(id=1, name="again")
    with database.atomic() as transaction:
        Person.update(name="undone").where(Person.id == 1).execute()
        transaction.rollback()
    same(list(Person.select(Person.id, Person.name).tuples()), [(1, "kept")], "the rows")


def batch() -> None:
    new_tables()
    for rows in chunked(({"id": key, "name": f"n{key}"} for key in range(BATCH)), 500):
        Person.insert_many(rows).execute()
    same(Person.select().count(), BATCH, "the number of rows")
    same(Person.update(name="same").where(Person.id < 100).execute(), 100, "rows updated")
    few = list(Person.select().where(Person.id < 10))
    for person in few:
        person.name = f"bulk {person.id}"
    same(Person.bulk_update(few, [Person.name]), 10, "rows updated at once")
    same(Person.get_by_id(7).name, "bulk 7", "one of them")


def keys() -> None:
    new_tables()
    same(Note.create(body="a").id, 1, "the first key")
    same(Note.insert_many([{"body": body} for body in "bcd"]).execute(), 2, "the first of three keys")
    same(Note.create(body="e").id, 5, "the key after them")
    same(list(Note.select(Note.id, Note.body).order_by(Note.id).tuples()), list(enumerate("abcde", 1)), "the rows")


def stream() -> None:
    new_tables()
    for statement in filling(PEOPLE):
        database.execute_sql(statement)
    count = total = 0
    for (key,) in Person.select(Person.id).tuples().iterator():
        count, total = count + 1, total + key
    same((count, total), (STREAMED, STREAMED_SUM), "the number of rows and the sum of their ids")
    same(Person.get_by_id(4711).name, "n", "a row afterwards")


def errors() -> None:
    new_tables()
    Person.create(id=1, name="one")
    for code, kind, statement in (
        (1062, IntegrityError, f"INSERT INTO {PEOPLE} (id, name) VALUES (1, 'again')"),
        (1146, ProgrammingError, "SELECT * FROM no_such_table"),
        (1054, OperationalError, f"SELECT no_such_column FROM {PEOPLE}"),
        (1064, ProgrammingError, "SELECT 1 FROM WHERE"),
    ):
        fails(code, kind, database, statement)
        same(Person.select().count(), 1, f"the connection after {code}")
    fails(1045, OperationalError, MySQLDatabase(SETTINGS.database, **OPTIONS | {"password": "wrong"}), "SELECT 1")
    fails(1049, OperationalError, MySQLDatabase("no_such_schema", **OPTIONS), "SELECT 1")


def reset() -> None:
    new_tables()
    pool = PooledMySQLDatabase(SETTINGS.database, max_connections=1, **OPTIONS)
    with pool.connection_context(), suppress(ZeroDivisionError), pool.atomic():
        pool.execute_sql(f"INSERT INTO {PEOPLE} (id, name) VALUES (1, 'open')")
        raise ZeroDivisionError
    with pool.connection_context():
        same(pool.execute_sql(f"SELECT COUNT(*) FROM {PEOPLE}").fetchall(), ((0,),), "rows of a transaction that was left open")
    pool.close_all()


def use(task: int) -> None:
    for number in range(STATEMENTS):
        same(database.execute_sql("SELECT %s, %s", (task, number)).fetchall(), ((task, number),), "a task's own row")


def connection_id() -> int:
    return database.execute_sql("SELECT CONNECTION_ID()").fetchone()[0]


def schema() -> None:
    new_tables()
    same({PEOPLE, ORDERS, NOTES} - set(database.get_tables()), set(), "tables not listed")
    same([column.name for column in database.get_columns(ORDERS)], ["id", "person_id", "amount", "placed"], "the columns")
    same(database.get_primary_keys(PEOPLE), ["id"], "a primary key")
    same(sorted(index.columns for index in database.get_indexes(PEOPLE)), [["id"], ["name"]], "the indexes")
    if not SETTINGS.sharded:
        same([(key.column, key.dest_table) for key in database.get_foreign_keys(ORDERS)], [("person_id", PEOPLE)], "the foreign keys")
    migrator = MySQLMigrator(database)
    migrate(migrator.add_column(PEOPLE, "email", CharField(80, default="")), migrator.add_index(PEOPLE, ("email",)))
    model = Introspector.from_database(database).generate_models(table_names=[PEOPLE])[PEOPLE]
    same(sorted(model._meta.columns), ["email", "id", "name"], "the fields of a generated model")
    migrate(migrator.drop_column(PEOPLE, "email"))
    same([column.name for column in database.get_columns(PEOPLE)], ["id", "name"], "the columns after a migration and back")


def creates() -> None:
    for key, name in NAMES.items():
        person = Person.create(id=key, name=name)
        Order.insert_many([{"id": key * 10 + n, "person": person, "amount": Decimal(key * n) / 4} for n in range(1, 4)]).execute()


def reads() -> None:
    amounts = [order.amount for order in Person.get_by_id(3).orders.order_by(Order.id)]
    same(amounts, [Decimal("0.75"), Decimal("1.50"), Decimal("2.25")], "a relation, loaded late")
    people = prefetch(Person.select().order_by(Person.id), Order.select())
    same([len(person.orders) for person in people], [3] * 5, "relations by prefetch")
    same(Order.select(fn.SUM(Order.amount)).scalar(), Decimal("22.50"), "a sum")
    mean = fn.AVG(Order.amount)
    groups = Order.select(Order.person_id, fn.COUNT(Order.id), mean).group_by(Order.person_id).having(mean > 2).order_by(Order.person_id)
    same(list(groups.tuples()), [(5, 3, Decimal("2.5"))], "groups")
    joined = Order.select(Order, Person).join(Person).order_by(Order.amount.desc()).get()
    same(joined.person.name, "Bo", "a relation by a join")
    total = fn.SUM(Order.amount)
    totals = Person.select(Person.name, total).join(Order, JOIN.LEFT_OUTER).group_by(Person.name).order_by(total.desc()).limit(2)
    same(list(totals.tuples()), [("Bo", Decimal("7.50")), ("Ann", Decimal("6.00"))], "sums of a join")


def changes() -> None:
    person, created = Person.get_or_create(id=2, defaults={"name": "not taken"})
    same((person.name, created), (NAMES[2], False), "get_or_create")
    Order.update(amount=Order.amount + 1).where(Order.person == 2).execute()
    same(Order.get_by_id(21).amount, Decimal("1.50"), "an update by an expression")
    person.name = "Saved"
    same(person.save(), 1, "rows saved")
    rows = [{"id": 2, "name": "Upserted"}, {"id": 99, "name": "New"}]
    Person.insert_many(rows).on_conflict(preserve=[Person.name]).execute()
    same([person.name for person in Person.select().where(Person.id << [2, 99]).order_by(Person.id)], ["Upserted", "New"], "an upsert")
    Person.replace(id=99, name="Replaced").execute()
    same(Person.get_by_id(99).name, "Replaced", "a REPLACE")
    Person.get_by_id(4).delete_instance(recursive=True)
    same(Order.select().where(Order.person == 4).count(), 0, "orders of somebody deleted")


def fails(code: int, kind: type[Exception], where: MySQLDatabase, statement: str) -> None:
    try:
        where.execute_sql(statement)
    except kind as error:
        raises(error, code)
    else:
        raise AssertionError(f"no error {code}")


if __name__ == "__main__":
    run(PeeweeChecks())
