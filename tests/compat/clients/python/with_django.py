"""Django with mysqlclient: migrations, inspectdb and models."""

import asyncio
import contextlib
import io
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, TypeVar

import django
import django_app
from compat import STREAMED, run, same
from django.core.management import call_command
from django.db import (
    DatabaseError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from django.db.models import Avg, Count, F, Prefetch, Sum
from orm import BATCH, NAMES, NOTES, OF_THE_DRIVER, ORDERS, PEOPLE, STATEMENTS, STREAMED_SUM, TASKS, filling, raises

T = TypeVar("T")
django_app.configure()
django.setup()
Person, Order, Note = django_app.load_models()


async def blocking(work: Callable[[], T]) -> T:
    """Django keeps a connection per thread; each piece of work closes its own."""

    def in_thread() -> T:
        try:
            return work()
        finally:
            connections.close_all()

    return await asyncio.to_thread(in_thread)


class DjangoChecks:
    """With a project's usual settings."""

    left_out = OF_THE_DRIVER

    async def check_connect(self) -> None:
        await blocking(lambda: same(list(rows("SELECT 1")), [(1,)], "SELECT 1"))

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
        await blocking(killed)

    async def check_orm_schema(self) -> None:
        await blocking(migrates)

    async def check_orm_use(self) -> None:
        def work() -> None:
            migrate()
            creates()
            reads()
            changes()

        await blocking(work)


def unicode() -> None:
    migrate()
    for key, name in NAMES.items():
        Person.objects.create(id=key, name=name)
    same(list(Person.objects.order_by("id").values_list("name", flat=True)), list(NAMES.values()), "the names")
    same(Person.objects.get(name=NAMES[3]).id, 3, "a name with four bytes")
    same(Person.objects.filter(name__contains="🦀").count(), 1, "a LIKE with four bytes")


def transactions() -> None:
    migrate()
    with transaction.atomic():
        Person.objects.create(id=1, name="kept")
        with contextlib.suppress(IntegrityError), transaction.atomic():
            Person.objects.create(id=1, name="again")
        same(Person.objects.select_for_update().get(id=1).name, "kept", "a row locked")
    with contextlib.suppress(DatabaseError), transaction.atomic():
        Person.objects.filter(id=1).update(name="undone")
        raise DatabaseError("so that it is undone")
    same(list(Person.objects.values_list("id", "name")), [(1, "kept")], "the rows")


def batch() -> None:
    migrate()
    Person.objects.bulk_create((Person(id=key, name=f"n{key}") for key in range(BATCH)), batch_size=500)
    same(Person.objects.count(), BATCH, "the number of rows")
    same(Person.objects.filter(id__lt=100).update(name="same"), 100, "rows updated")
    few = list(Person.objects.filter(id__in=range(10)))
    for person in few:
        person.name = f"bulk {person.id}"
    same(Person.objects.bulk_update(few, ["name"]), 10, "rows updated at once")
    same(Person.objects.get(id=7).name, "bulk 7", "one of them")


def keys() -> None:
    migrate()
    same(Note.objects.create(body="a").id, 1, "the first key")
    same([Note.objects.create(body=body).id for body in "bcd"], [2, 3, 4], "the keys after it")
    Note.objects.bulk_create([Note(body="e"), Note(body="f")])
    same(list(Note.objects.order_by("id").values_list("id", "body")), list(enumerate("abcdef", 1)), "the rows")


def stream() -> None:
    migrate()
    with connection.cursor() as cursor:
        for statement in filling(PEOPLE):
            cursor.execute(statement)
    count = total = 0
    for key in Person.objects.values_list("id", flat=True).iterator(chunk_size=2000):
        count, total = count + 1, total + key
    same((count, total), (STREAMED, STREAMED_SUM), "the number of rows and the sum of their ids")
    same(Person.objects.get(id=4711).name, "n", "a row afterwards")


def errors() -> None:
    migrate()
    Person.objects.create(id=1, name="one")
    for code, kind, statement in (
        (1062, IntegrityError, f"INSERT INTO {PEOPLE} (id, name) VALUES (1, 'again')"),
        (1146, ProgrammingError, "SELECT * FROM no_such_table"),
        (1054, OperationalError, f"SELECT no_such_column FROM {PEOPLE}"),
        (1064, ProgrammingError, "SELECT 1 FROM WHERE"),
    ):
        fails(code, kind, statement)
        same(Person.objects.count(), 1, f"the connection after {code}")
    original = dict(connection.settings_dict)
    for code, changed in ((1045, {"PASSWORD": "wrong"}), (1049, {"NAME": "no_such_schema"})):
        connection.close()
        connection.settings_dict.update(changed)
        fails(code, OperationalError, "SELECT 1")
        connection.settings_dict.update(original)


def reset() -> None:
    migrate()
    connection.set_autocommit(False)
    Person.objects.create(id=1, name="open")
    close_old_connections()  # what a request begins and ends with
    connections.close_all()
    same(Person.objects.count(), 0, "rows of a transaction that was left open")


def use(task: int) -> None:
    for number in range(STATEMENTS):
        same(list(rows("SELECT %s, %s", [task, number])), [(task, number)], "a task's own row")


def killed() -> None:
    number = next(rows("SELECT CONNECTION_ID()"))[0]
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute(f"KILL {number}")
    other.close()
    with contextlib.suppress(OperationalError):
        next(rows("SELECT 1"))
    close_old_connections()
    assert next(rows("SELECT CONNECTION_ID()"))[0] != number, "the killed connection still answers"


def migrates() -> None:
    migrate()
    same({PEOPLE, ORDERS, NOTES} - set(connection.introspection.table_names()), set(), "tables not listed")
    call_command("migrate", "django_app", "0002", verbosity=0)
    same("email" in columns(PEOPLE), True, "whether a migration has added its column")
    call_command("migrate", "django_app", "0001", verbosity=0)
    same("email" in columns(PEOPLE), False, "whether going back has taken it away")
    text = io.StringIO()
    call_command("inspectdb", PEOPLE, ORDERS, NOTES, stdout=text)
    for expected in ("name = models.CharField(max_length=80)", "amount = models.DecimalField(max_digits=10, decimal_places=2)"):
        same(expected in text.getvalue(), True, f"whether inspectdb finds {expected}")
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, PEOPLE)
    same(sorted(constraint["columns"] for constraint in constraints.values() if constraint["index"]), [["id"], ["name"]], "the indexes")


def creates() -> None:
    for key, name in NAMES.items():
        person = Person.objects.create(id=key, name=name)
        Order.objects.bulk_create(Order(id=key * 10 + n, person=person, amount=Decimal(key * n) / 4) for n in range(1, 4))


def reads() -> None:
    amounts = list(Person.objects.get(id=3).orders.order_by("id").values_list("amount", flat=True))
    same(amounts, [Decimal("0.75"), Decimal("1.50"), Decimal("2.25")], "a relation, loaded late")
    people = Person.objects.order_by("id").prefetch_related(Prefetch("orders", Order.objects.order_by("id")))
    same([len(person.orders.all()) for person in people], [3] * 5, "relations by prefetch_related")
    same(Order.objects.aggregate(total=Sum("amount"))["total"], Decimal("22.50"), "a sum")
    same(Person.objects.filter(id__gte=2).exclude(name="Ann").exists(), True, "an EXISTS")
    groups = Order.objects.values("person_id").annotate(n=Count("id"), mean=Avg("amount")).filter(mean__gt=2).order_by("person_id")
    same([(group["person_id"], group["n"], group["mean"]) for group in groups], [(5, 3, Decimal("2.5"))], "groups")
    joined = Order.objects.select_related("person").order_by("-amount")[0]
    same(joined.person.name, "Bo", "a relation by select_related")
    totals = Person.objects.annotate(total=Sum("orders__amount")).order_by("-total").values_list("name", "total")[:2]
    same(list(totals), [("Bo", Decimal("7.50")), ("Ann", Decimal("6.00"))], "sums of a join")


def changes() -> None:
    person, created = Person.objects.get_or_create(id=2, defaults={"name": "not taken"})
    same((person.name, created), (NAMES[2], False), "get_or_create")
    person, created = Person.objects.update_or_create(id=98, defaults={"name": "made"})
    same((person.name, created), ("made", True), "update_or_create")
    Order.objects.filter(person_id=2).update(amount=F("amount") + 1)
    same(Order.objects.get(id=21).amount, Decimal("1.50"), "an update by an expression")
    new = [Person(id=2, name="Upserted"), Person(id=99, name="New")]
    Person.objects.bulk_create(new, update_conflicts=True, update_fields=["name"])
    same(list(Person.objects.filter(id__in=[2, 99]).order_by("id").values_list("name", flat=True)), ["Upserted", "New"], "an upsert")
    Order.objects.filter(id=11).update(details={"gift": [1, "ü"]})
    same(Order.objects.get(details__gift__1="ü").id, 11, "a row found by its JSON")
    Person.objects.get(id=4).delete()
    same(Order.objects.filter(person_id=4).count(), 0, "orders of somebody deleted")


def migrate() -> None:
    """Fresh tables, by the migrations."""
    with connection.cursor() as cursor:
        for table in (ORDERS, PEOPLE, NOTES, "django_migrations"):
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
    call_command("migrate", "django_app", "0001", verbosity=0)


def columns(table: str) -> list[str]:
    with connection.cursor() as cursor:
        return [column.name for column in connection.introspection.get_table_description(cursor, table)]


def rows(sql: str, arguments: list[Any] | None = None) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        yield from cursor.fetchall()


def fails(code: int, kind: type[Exception], statement: str) -> None:
    try:
        list(rows(statement))
    except kind as error:
        raises(error, code)
    else:
        raise AssertionError(f"no error {code}")


if __name__ == "__main__":
    run(DjangoChecks())
