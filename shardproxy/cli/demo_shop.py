"""The demo's shop: its config, its tables and its rows. The same rows every time."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass

USER = PASSWORD = SCHEMA = "app"
SHARDS = ("s0", "s1", "s2")

# The users that the tour names, and those that it adds: one on each shard.
KNOWN_UIDS = (42, 1234, 2718)
NEW_UIDS = (500, 1500, 2500)
_FIRST_UID, _LAST_UID = 1, 2999
_USERS = 360
_ORDERS = 2_000
_ROWS_PER_INSERT = 250

CONFIG = """\
# A shop on three SQLite files, as `shardproxy demo` serves it.

[proxy]
listen = "127.0.0.1:{port}"
admin  = "127.0.0.1:{admin_port}"
schema = "app"

[limits]
drain_s = 2

[users.app]
password = "app"

[shards.s0]
primary = "sqlite:///s0.db"
[shards.s1]
primary = "sqlite:///s1.db"
[shards.s2]
primary = "sqlite:///s2.db"

[tables.users]
key    = "uid"
by     = "range"
ranges = [{{ to = 1000, shard = "s0" }}, {{ to = 2000, shard = "s1" }}, {{ shard = "s2" }}]

[tables.orders]
key   = "uid"
by    = "hash"
group = "shop"

[tables.order_items]
key   = "uid"
by    = "hash"
group = "shop"

[tables.countries]
by = "reference"
"""

# How each table is spread, in the words of the config.
TABLES = {
    "users": "range of uid",
    "orders": 'hash of uid, group "shop"',
    "order_items": 'hash of uid, group "shop"',
    "countries": "reference: a copy everywhere",
}

DDL = (
    """CREATE TABLE countries (
    code CHAR(2)     NOT NULL PRIMARY KEY,
    name VARCHAR(40) NOT NULL
)""",
    """CREATE TABLE users (
    uid          BIGINT      NOT NULL PRIMARY KEY,
    name         VARCHAR(60) NOT NULL,
    country      CHAR(2)     NOT NULL,
    joined_on    DATE        NOT NULL,
    credit_cents INT         NOT NULL
)""",
    """CREATE TABLE orders (
    uid         BIGINT      NOT NULL,
    order_id    BIGINT      NOT NULL,
    placed_on   DATE        NOT NULL,
    status      VARCHAR(12) NOT NULL,
    total_cents INT         NOT NULL,
    PRIMARY KEY (uid, order_id)
)""",
    """CREATE TABLE order_items (
    uid         BIGINT      NOT NULL,
    order_id    BIGINT      NOT NULL,
    line        INT         NOT NULL,
    product     VARCHAR(40) NOT NULL,
    quantity    INT         NOT NULL,
    price_cents INT         NOT NULL,
    PRIMARY KEY (uid, order_id, line)
)""",
)

_COUNTRIES = {
    "at": "Austria", "br": "Brazil", "ca": "Canada", "de": "Germany", "es": "Spain", "fr": "France",
    "in": "India", "it": "Italy", "jp": "Japan", "ke": "Kenya", "pt": "Portugal", "se": "Sweden",
}  # fmt: skip
_COUNTRY_WEIGHTS = (4, 12, 8, 14, 9, 11, 15, 8, 10, 5, 4, 5)
_FIRST_NAMES = ("Ada", "Bruno", "Chiara", "Dede", "Emil", "Freya", "Goran", "Hana", "Iris", "Jonas", "Kenji", "Lucía",
                "Mei", "Noor", "Otto", "Priya", "Quim", "Rosa", "Sami", "Tove", "Uma", "Victor", "Wanjiru", "Yara")  # fmt: skip
_LAST_NAMES = ("Almeida", "Berg", "Costa", "Dubois", "Eriksson", "Fischer", "Gruber", "Hassan", "Ito", "Jansen",
               "Kimani", "Lopes", "Moreau", "Novak", "Otieno", "Patel", "Rossi", "Sato", "Torres", "Weber")  # fmt: skip
_PRICE_CENTS = {
    "green tea": 650, "espresso beans": 1190, "teapot": 3400, "mug": 1250, "hand grinder": 7900,
    "kettle": 8900, "filter papers": 390, "milk jug": 1690, "scale": 4500, "honey": 820,
}  # fmt: skip
_STATUSES = ("paid", "paid", "paid", "shipped", "shipped", "open", "cancelled")


@dataclass(frozen=True, slots=True)
class Shop:
    """All rows of the shop, by table."""

    rows: dict[str, list[tuple[int | str, ...]]]

    def inserts(self) -> Iterator[str]:
        """The rows as multi-row INSERTs, for the proxy to split."""
        for table, rows in self.rows.items():
            for start in range(0, len(rows), _ROWS_PER_INSERT):
                values = ",\n".join(_tuple(row) for row in rows[start : start + _ROWS_PER_INSERT])
                yield f"INSERT INTO {table} VALUES\n{values}"


def make_shop(seed: int = 6033) -> Shop:
    """The shop that belongs to a seed."""
    rng = random.Random(seed)
    free = [uid for uid in range(_FIRST_UID, _LAST_UID + 1) if uid not in KNOWN_UIDS + NEW_UIDS]
    uids = sorted([*KNOWN_UIDS, *rng.sample(free, _USERS - len(KNOWN_UIDS))])
    codes = list(_COUNTRIES)
    users: list[tuple[int | str, ...]] = []
    for uid in uids:
        name = f"{rng.choice(_FIRST_NAMES)} {rng.choice(_LAST_NAMES)}"
        country = rng.choices(codes, _COUNTRY_WEIGHTS)[0]
        users.append((uid, name, country, _day(rng, 2021), rng.randrange(0, 20_000, 50)))
    orders: list[tuple[int | str, ...]] = []
    items: list[tuple[int | str, ...]] = []
    for order_id in range(1, _ORDERS + 1):
        # Whom the tour looks at has bought something.
        uid = KNOWN_UIDS[order_id] if order_id < len(KNOWN_UIDS) else rng.choice(uids)
        total = 0
        for line, product in enumerate(rng.sample(list(_PRICE_CENTS), rng.randint(1, 3)), start=1):
            quantity, price = rng.choice((1, 1, 1, 2, 3)), _PRICE_CENTS[product]
            total += quantity * price
            items.append((uid, order_id, line, product, quantity, price))
        orders.append((uid, order_id, _day(rng, 2024), rng.choice(_STATUSES), total))
    return Shop({"countries": list(_COUNTRIES.items()), "users": users, "orders": orders, "order_items": items})


def _day(rng: random.Random, first_year: int) -> str:
    return (dt.date(first_year, 1, 1) + dt.timedelta(days=rng.randrange(700))).isoformat()


def _tuple(row: tuple[int | str, ...]) -> str:
    return "(" + ", ".join(str(value) if isinstance(value, int) else f"'{value}'" for value in row) + ")"
