"""Values there and back, and many of them: the checks of drivers."""

import os
import random
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from compat import SETTINGS, STREAMED, same
from driver import Connection, Driver, Row
from type_table import COLUMNS, Column, definition, rows

ORDERS = SETTINGS.table("orders")
_LARGE = 17 << 20
# What is bound to one parameter in turn, and how the server writes it.
_CHANGING = (
    (1, "1"),
    ("a", "a"),
    (None, None),
    (Decimal("-1.50"), "-1.50"),
    ("ü🦀" * 2, "ü🦀" * 2),
    (1 << 62, str(1 << 62)),
    (None, None),
    (-1, "-1"),
    ("x" * 70_000, "x" * 70_000),
)


class DataChecks:
    """Needs a driver; see `driver_checks`."""

    driver: Driver

    async def check_types_text(self) -> None:
        columns = [column for column in COLUMNS if column.name not in self.driver.quirks]
        connection = await self._with_types("types", columns)
        for number, row in enumerate(rows(columns)):
            await connection.run(_insert_types("types", columns), (number, *row))
        self._compare(columns, await connection.rows(f"SELECT * FROM {SETTINGS.table('types')} ORDER BY id"))
        await connection.close()

    async def check_types_prepared(self) -> None:
        columns = [column for column in COLUMNS if column.name not in self.driver.unpreparable]
        connection = await self._with_types("types_p", columns)
        try:
            insert = await self.driver.prepare(connection, _insert_types("types_p", columns))
            for number, row in enumerate(rows(columns)):
                same((await insert.run((number, *row))).affected, 1, "affected rows")
            select = await self.driver.prepare(connection, f"SELECT * FROM {SETTINGS.table('types_p')} WHERE id >= %s ORDER BY id")
            self._compare(columns, await select.rows((0,)))
        finally:
            await connection.close()

    async def _with_types(self, name: str, columns: Sequence[Column]) -> Connection:
        connection = await self.driver.connect()
        await connection.run("SET SESSION time_zone = '+00:00'")
        await connection.run(f"DROP TABLE IF EXISTS {SETTINGS.table(name)}")
        await connection.run(f"CREATE TABLE {SETTINGS.table(name)} ({definition(columns)})")
        return connection

    def _compare(self, columns: Sequence[Column], got: list[Row]) -> None:
        sent = rows(columns)
        same(len(got), len(sent), "the number of rows")
        for number, (values, expected) in enumerate(zip(got, sent, strict=True)):
            same(values[0], number, "the id")
            for column, value, original in zip(columns, values[1:], expected, strict=True):
                same(value, self.driver.expected(column.name, original), column.name)

    async def check_unicode(self) -> None:
        table = SETTINGS.table("people")
        connection = await self.driver.connect()
        await connection.run(f"DROP TABLE IF EXISTS {table}")
        await connection.run(f"CREATE TABLE {table} (id BIGINT NOT NULL PRIMARY KEY, `prénom_日本` VARCHAR(80)) CHARACTER SET utf8mb4")
        texts = ["🦀🧪", "e\u0301 \u1100\u1161", "𝒳 – ￼ \u200d", "שלום", "日本語", "ﷺ"]
        for number, text in enumerate(texts):
            await connection.run(f"INSERT INTO {table} (id, `prénom_日本`) VALUES (%s, %s)", (number, text))
        found = await connection.rows(f"SELECT `prénom_日本`, CHAR_LENGTH(`prénom_日本`), HEX(`prénom_日本`) FROM {table} ORDER BY id")
        same(found, [(text, len(text), text.encode().hex().upper()) for text in texts], "the texts")
        same(await connection.rows(f"SELECT id FROM {table} WHERE `prénom_日本` = '🦀🧪'"), [(0,)], "a literal")
        try:
            await connection.rows(f"SELECT `não_日本` FROM {table}")
        except self.driver.error as error:
            same("não_日本" in str(error), True, f"whether the name is in {error}")
        else:
            raise AssertionError("no error for an unknown column")
        await connection.close()

    async def check_prepared(self) -> None:
        connection = await self.driver.connect()
        try:
            one = await self.driver.prepare(connection, "SELECT CONCAT(%s, ''), %s IS NULL")
            for value, text in _CHANGING:
                same(await one.rows((value, value)), [(text, int(value is None))], f"{value!r:.40} there and back")
            two = await self.driver.prepare(connection, "SELECT %s + 1")
            for number in range(100):
                same([int(row[0]) for row in await two.rows((number,))], [number + 1], "a second statement")
                same(await one.rows((number, None)), [(str(number), 1)], "the first statement beside it")
            await one.close()
            same([int(row[0]) for row in await two.rows((5,))], [6], "the second after the first was closed")
            await two.close()
            try:
                wrong = await self.driver.prepare(connection, "SELEKT %s")
                await wrong.rows((1,))
            except self.driver.error as error:
                same(self.driver.code(error), 1064, f"the number of {error}")
            else:
                raise AssertionError("wrong SQL was prepared")
            same(await connection.rows("SELECT 1"), [(1,)], "the connection afterwards")
        finally:
            await connection.close()

    async def check_batch(self) -> None:
        connection = await self._with_orders()
        notes = [(number, f"note {number} '%s'") for number in range(1000)]
        same(await connection.many(f"INSERT INTO {ORDERS} (id, note) VALUES (%s, %s)", notes), 1000, "affected rows")
        same(await connection.rows(f"SELECT COUNT(*), SUM(id) FROM {ORDERS}"), [(1000, await self._sum(connection, 499_500))], "the rows")
        done = await connection.run(f"UPDATE {ORDERS} SET note = 'same' WHERE id < 500")
        same(done.affected, 500, "changed rows")
        done = await connection.run(f"UPDATE {ORDERS} SET note = 'same' WHERE id < 600")
        same(done.affected, 600 if self.driver.counts_found_rows else 100, "rows changed the second time")
        upsert = f"INSERT INTO {ORDERS} (id, note) VALUES (%s, %s) ON DUPLICATE KEY UPDATE note = VALUES(note)"
        same(await connection.many(upsert, [(998, "new"), (999, "new"), (1000, "new")]), 5, "affected rows of an upsert")
        same((await connection.run(f"DELETE FROM {ORDERS} WHERE id >= %s", (900,))).affected, 101, "deleted rows")
        await connection.close()

    async def _sum(self, connection: Connection, value: int) -> object:
        """A sum as the driver gives it: a decimal."""
        return (await connection.rows(f"SELECT CAST({value} AS DECIMAL(32))"))[0][0]

    async def _with_orders(self) -> Connection:
        connection = await self.driver.connect()
        await connection.run(f"DROP TABLE IF EXISTS {ORDERS}")
        await connection.run(f"CREATE TABLE {ORDERS} (id BIGINT NOT NULL PRIMARY KEY, note VARCHAR(100)) CHARACTER SET utf8mb4")
        return connection

    async def check_keys(self) -> None:
        table = SETTINGS.table("keys")
        connection = await self.driver.connect()
        await connection.run(f"DROP TABLE IF EXISTS {table}")
        await connection.run(f"CREATE TABLE {table} (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, note VARCHAR(20))")
        insert = f"INSERT INTO {table} (note) VALUES "
        same((await connection.run(insert + "('a')")).last_id, 1, "the first key")
        same((await connection.run(insert + "('b'), ('c'), ('d')")).last_id, 2, "the first of three keys")
        same((await connection.run(insert + "(%s)", ("e",))).last_id, 5, "the key after them")
        same(await connection.rows("SELECT LAST_INSERT_ID()"), [(5,)], "LAST_INSERT_ID()")
        same(await connection.rows(f"SELECT id, note FROM {table} ORDER BY id"), list(enumerate("abcde", 1)), "the rows")
        await connection.close()

    async def check_stream(self) -> None:
        connection = await self._with_orders()
        for start in range(0, STREAMED, 10_000):
            values = ",".join(f"({number},'note {number}')" for number in range(start, start + 10_000))
            await connection.run(f"INSERT INTO {ORDERS} VALUES {values}")
        count, total = await connection.stream(f"SELECT id, note FROM {ORDERS}")
        same((count, total), (STREAMED, STREAMED * (STREAMED - 1) // 2), "the number of rows and the sum of their ids")
        same(await connection.rows(f"SELECT note FROM {ORDERS} WHERE id = 4711"), [("note 4711",)], "a statement afterwards")
        await connection.close()

    async def check_large(self) -> None:
        table = SETTINGS.table("large")
        connection = await self.driver.connect()
        await connection.run(f"DROP TABLE IF EXISTS {table}")
        await connection.run(f"CREATE TABLE {table} (id INT NOT NULL PRIMARY KEY, data LONGBLOB)")
        value = random.Random(1).randbytes(_LARGE)
        await connection.run(f"INSERT INTO {table} VALUES (1, %s)", (value,))
        same(await connection.rows(f"SELECT LENGTH(data) FROM {table}"), [(_LARGE,)], "its length")
        same(await connection.rows(f"SELECT id, data FROM {table} WHERE id = 1"), [(1, value)], "the value")
        if "large_first" not in self.driver.quirks:
            # A row whose first byte is that of an end of rows.
            same(await connection.rows(f"SELECT data FROM {table}"), [(value,)], "the value as the first column")
        # Lengths at which a packet is full, and an empty one has to follow.
        for length in ((1 << 24) - 1, (1 << 24) - 2, 1 << 24):
            same(await connection.rows(f"SELECT LENGTH(REPEAT('x', {length})), REPEAT('x', {length})"), [(length, "x" * length)], "a text")
        await connection.close()

    async def check_infile(self) -> None:
        connection = await self.driver.connect(infile=True)
        await connection.run(f"DROP TABLE IF EXISTS {ORDERS}")
        await connection.run(f"CREATE TABLE {ORDERS} (id BIGINT NOT NULL PRIMARY KEY, note VARCHAR(100)) CHARACTER SET utf8mb4")
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "orders.txt"
            file.write_text("".join(f"{number}\tnöte {number}\n" for number in range(1000)))
            done = await connection.run(f"LOAD DATA LOCAL INFILE '{os.fspath(file)}' INTO TABLE {ORDERS} CHARACTER SET utf8mb4 (id, note)")
        same(done.affected, 1000, "affected rows")
        same(await connection.rows(f"SELECT COUNT(*) FROM {ORDERS}"), [(1000,)], "the number of rows")
        same(await connection.rows(f"SELECT note FROM {ORDERS} WHERE id = 999"), [("nöte 999",)], "the last row")
        await connection.close()


def _insert_types(name: str, columns: Sequence[Column]) -> str:
    return f"INSERT INTO {SETTINGS.table(name)} VALUES ({', '.join(['%s'] * (len(columns) + 1))})"
