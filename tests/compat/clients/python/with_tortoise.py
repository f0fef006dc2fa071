"""Tortoise ORM with asyncmy."""

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import ClassVar

from compat import SETTINGS, run, same
from orm import BATCH, NAMES, NOTES, OF_THE_DRIVER, ORDERS, PEOPLE, STATEMENTS, TASKS, raises
from tortoise import Tortoise, connections, fields
from tortoise.exceptions import DBConnectionError, IntegrityError, OperationalError
from tortoise.expressions import F
from tortoise.functions import Avg, Count, Sum
from tortoise.models import Model
from tortoise.transactions import in_transaction


class Person(Model):
    """Sharded by id where the target is."""

    id = fields.BigIntField(primary_key=True, generated=False)
    name = fields.CharField(80, db_index=True)
    orders: fields.ReverseRelation["Order"]

    class Meta:
        table = PEOPLE


class Order(Model):
    """Sharded by its own id: where it is, no server can hold the foreign key."""

    id = fields.BigIntField(primary_key=True, generated=False)
    person: fields.ForeignKeyRelation[Person] = fields.ForeignKeyField(
        "models.Person", related_name="orders", db_constraint=not SETTINGS.sharded
    )
    amount = fields.DecimalField(10, 2)
    placed = fields.DatetimeField(null=True)

    class Meta:
        table = ORDERS


class Note(Model):
    """On one shard, with keys that the server chooses."""

    id = fields.IntField(primary_key=True)
    body = fields.TextField()

    class Meta:
        table = NOTES


def config(**changed: str) -> dict[str, object]:
    credentials = {
        "host": SETTINGS.host,
        "port": SETTINGS.port,
        "user": SETTINGS.user,
        "password": SETTINGS.password,
        "database": SETTINGS.database,
        "charset": "utf8mb4",
        "minsize": 1,
        "maxsize": 5,
    }
    return {
        "connections": {"default": {"engine": "tortoise.backends.mysql", "credentials": credentials | changed}},
        "apps": {"models": {"models": ["__main__"], "default_connection": "default"}},
        "use_tz": True,
    }


class TortoiseChecks:
    """With an application's usual settings."""

    left_out: ClassVar = OF_THE_DRIVER | {"stream": "it reads all rows at once"}

    async def _new_tables(self) -> None:
        await Tortoise.close_connections()
        await Tortoise.init(config())
        for table in (ORDERS, PEOPLE, NOTES):
            await connections.get("default").execute_script(f"DROP TABLE IF EXISTS {table}")
        await Tortoise.generate_schemas(safe=False)

    async def check_connect(self) -> None:
        await Tortoise.init(config())
        same([tuple(row.values()) for row in await self._rows("SELECT 1")], [(1,)], "SELECT 1")

    async def check_unicode(self) -> None:
        await self._new_tables()
        for key, name in NAMES.items():
            await Person.create(id=key, name=name)
        same(await Person.all().order_by("id").values_list("name", flat=True), list(NAMES.values()), "the names")
        same((await Person.get(name=NAMES[3])).id, 3, "a name with four bytes")
        same(await Person.filter(name__contains="🦀").count(), 1, "a LIKE with four bytes")

    async def check_transactions(self) -> None:
        await self._new_tables()
        async with in_transaction():
            await Person.create(id=1, name="kept")
            same((await Person.select_for_update().get(id=1)).name, "kept", "a row locked")
        with suppress(ZeroDivisionError):
            async with in_transaction():
                await Person.filter(id=1).update(name="undone")
                raise ZeroDivisionError
        same(await Person.all().values_list("id", "name"), [(1, "kept")], "the rows")

    async def check_batch(self) -> None:
        await self._new_tables()
        await Person.bulk_create([Person(id=key, name=f"n{key}") for key in range(BATCH)], batch_size=500)
        same(await Person.all().count(), BATCH, "the number of rows")
        same(await Person.filter(id__lt=100).update(name="same"), 100, "rows updated")
        few = await Person.filter(id__lt=10)
        for person in few:
            person.name = f"bulk {person.id}"
        await Person.bulk_update(few, ["name"])
        same((await Person.get(id=7)).name, "bulk 7", "one of them")

    async def check_keys(self) -> None:
        await self._new_tables()
        same((await Note.create(body="a")).id, 1, "the first key")
        same([(await Note.create(body=body)).id for body in "bcd"], [2, 3, 4], "the keys after it")
        same(await Note.all().order_by("id").values_list("id", "body"), list(enumerate("abcd", 1)), "the rows")

    async def check_errors(self) -> None:
        await self._new_tables()
        await Person.create(id=1, name="one")
        for code, kind, statement in (
            (1062, IntegrityError, f"INSERT INTO {PEOPLE} (id, name) VALUES (1, 'again')"),
            (1146, OperationalError, "SELECT * FROM no_such_table"),
            (1054, OperationalError, f"SELECT no_such_column FROM {PEOPLE}"),
            (1064, OperationalError, "SELECT 1 FROM WHERE"),
        ):
            await self._fails(code, kind, statement)
            same(await Person.all().count(), 1, f"the connection after {code}")
        for code, changed in ((1045, {"password": "wrong"}), (1049, {"database": "no_such_schema"})):
            await Tortoise.close_connections()
            await Tortoise.init(config(**changed))
            await self._fails(code, (DBConnectionError, OperationalError), "SELECT 1")

    async def _fails(self, code: int, kind: type[Exception] | tuple[type[Exception], ...], statement: str) -> None:
        try:
            await self._rows(statement)
        except kind as error:
            raises(error.args[0] if isinstance(error.args[0], Exception) else error, code)
        else:
            raise AssertionError(f"no error {code}")

    async def check_pool(self) -> None:
        await self._new_tables()

        async def use(task: int) -> None:
            for number in range(STATEMENTS):
                row = await connections.get("default").execute_query_dict("SELECT %s AS task, %s AS number", [task, number])
                same(row, [{"task": task, "number": number}], "a task's own row")

        await asyncio.gather(*map(use, range(TASKS)))
        number = (await self._rows("SELECT CONNECTION_ID() AS id"))[0]["id"]
        with suppress(OperationalError):  # it may be its own that it ends
            await self._rows(f"KILL {number}")
        await asyncio.sleep(0.2)  # the end of a connection takes a moment to arrive, and there is nothing to wait on
        for _ in range(6):
            found = (await self._rows("SELECT CONNECTION_ID() AS id"))[0]["id"]
            same(found == number, False, "whether the killed connection still answers")

    async def check_orm_schema(self) -> None:
        await self._new_tables()
        await Tortoise.generate_schemas(safe=True)  # once more does no harm
        listed = {value for row in await self._rows("SHOW TABLES") for value in row.values()}
        same({PEOPLE, ORDERS, NOTES} - listed, set(), "tables not listed")
        columns = await self._rows(f"SHOW COLUMNS FROM {ORDERS}")
        same([column["Field"] for column in columns], ["id", "amount", "placed", "person_id"], "the columns")

    async def check_orm_use(self) -> None:
        await self._new_tables()
        for key, name in NAMES.items():
            person = await Person.create(id=key, name=name)
            await Order.bulk_create([Order(id=key * 10 + n, person=person, amount=Decimal(key * n) / 4) for n in range(1, 4)])
        await self._reads()
        await self._changes()

    async def _reads(self) -> None:
        amounts = await (await Person.get(id=3)).orders.all().order_by("id").values_list("amount", flat=True)
        same(amounts, [Decimal("0.75"), Decimal("1.50"), Decimal("2.25")], "a relation, loaded late")
        people = await Person.all().order_by("id").prefetch_related("orders")
        same([len(person.orders) for person in people], [3] * 5, "relations by prefetch_related")
        groups = (
            await Order.annotate(n=Count("id"), mean=Avg("amount"))
            .group_by("person_id")
            .order_by("person_id")
            .values("person_id", "n", "mean")
        )
        same([(group["person_id"], group["n"], Decimal(group["mean"])) for group in groups][-1], (5, 3, Decimal("2.5")), "groups")
        joined = await Order.all().select_related("person").order_by("-amount").first()
        same(joined.person.name if joined else None, "Bo", "a relation by select_related")
        totals = await Person.annotate(total=Sum("orders__amount")).order_by("-total").limit(2).values_list("name", "total")
        same([(name, Decimal(total)) for name, total in totals], [("Bo", Decimal("7.50")), ("Ann", Decimal("6.00"))], "sums of a join")

    async def _changes(self) -> None:
        person, created = await Person.get_or_create({"name": "not taken"}, id=2)
        same((person.name, created), (NAMES[2], False), "get_or_create")
        await Order.filter(person_id=2).update(amount=F("amount") + 1)
        same((await Order.get(id=21)).amount, Decimal("1.50"), "an update by an expression")
        # Its own upsert is in the words of MySQL 8, which MariaDB does not have.
        for key, name in ((2, "Upserted"), (99, "New")):
            await Person.update_or_create({"name": name}, id=key)
        same(await Person.filter(id__in=[2, 99]).order_by("id").values_list("name", flat=True), ["Upserted", "New"], "an upsert")
        await Order.filter(person_id=4).delete()
        await (await Person.get(id=4)).delete()
        same(await Person.filter(id=4).exists(), False, "whether somebody deleted is there")

    async def _rows(self, statement: str) -> list[dict]:
        return await connections.get("default").execute_query_dict(statement)


if __name__ == "__main__":
    run(TortoiseChecks())
