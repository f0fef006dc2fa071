"""The tables of a round: fixed names and rules, so that one proxy serves every round, with random columns."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.property.differential.columns import ASCII_WORDS, WORDS, Column, integers, one_of, quote, random_columns, without_controls

# What `ProxyProcess` takes as tables. The shards are s0 … s3.
RULES = """
[tables.ri]
key = "k"
by = "range"
group = "r"
ranges = [{ to = 0, shard = "s0" }, { to = 5, shard = "s1" }, { to = 12, shard = "s2" }, { shard = "s3" }]
[tables.rj]
key = "k"
by = "range"
group = "r"
[tables.rd]
key = "k"
by = "range"
ranges = [{ to = 2000-01-01, shard = "s1" }, { to = 2024-02-15, shard = "s3" }, { shard = "s0" }]
[tables.rs]
key = "k"
by = "range"
ranges = [{ to = "1", shard = "s3" }, { to = "a", shard = "s2" }, { to = "o", shard = "s1" }, { shard = "s0" }]
[tables.rt]
key = "k"
by = "range"
ranges = [{ to = 2023-06-01T12:00:00, shard = "s2" }, { shard = "s1" }]
[tables.ha]
key = "k"
by = "hash"
group = "h"
[tables.hb]
key = "k"
by = "hash"
group = "h"
[tables.hu]
key = "k"
by = "hash"
group = "u"
[tables.sa]
key = "k"
by = "hash"
group = "s"
[tables.sb]
key = "k"
by = "hash"
group = "s"
[tables.vb]
key = "k"
by = "hash"
group = "v"
[tables.fa]
by = "reference"
[tables.fb]
by = "reference"
[tables.un]
by = "unsharded"
shard = "s2"
"""

INTEGER_TABLES = ("ri", "rj", "ha", "hb", "hu")
PARTNERS = {"ri": "rj", "rj": "ri", "ha": "hb", "hb": "ha", "sa": "sb", "sb": "sa"}


@dataclass(frozen=True)
class Table:
    """A table: `key` is its sharding key's column, or its primary key's where it is not sharded."""

    name: str
    key: Column
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    auto: bool = False

    @property
    def sharded(self) -> bool:
        """Whether its rows are spread."""
        return self.name not in ("fa", "fb", "un")

    @property
    def ddl(self) -> str:
        """CREATE TABLE."""
        lines = [column.definition for column in self.columns] + list(self.keys)
        return f"CREATE TABLE {self.name} ({', '.join(lines)}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"

    def of_kind(self, *kinds: str) -> list[Column]:
        """Its columns of these kinds."""
        return [column for column in self.columns if column.kind in kinds]

    def column(self, name: str) -> Column:
        """One column by name."""
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True)
class Schema:
    """All tables of a round."""

    tables: tuple[Table, ...]

    def table(self, name: str) -> Table:
        """One table by name."""
        return next(table for table in self.tables if table.name == name)

    @property
    def sharded(self) -> list[Table]:
        """The tables whose rows are spread."""
        return [table for table in self.tables if table.sharded]


def _key_column(name: str, rng: Random) -> Column:
    if name == "rd":
        days = ("1999-12-31", "2000-01-01", "2024-02-14", "2024-02-15", "2024-02-29", "1000-01-01", "9999-12-31", "2010-06-15")
        return Column("k", "DATE", "date", one_of(*(f"'{day}'" for day in days)), nullable=False)
    if name == "rt":
        digits = rng.choice((0, 3, 6))
        moments = (
            "2023-06-01 12:00:00",
            "2023-06-01 11:59:59",
            "2024-01-01 00:00:00",
            "1999-12-31 23:59:59",
            "2023-06-01 11:59:59.999"[: 20 + digits].rstrip("."),
        )
        return Column("k", f"DATETIME({digits})", "datetime", one_of(*(f"'{moment}'" for moment in moments)), nullable=False)
    if name in ("rs", "sa", "sb"):
        return _string_key(name, rng)
    if name == "vb":
        return Column("k", "VARBINARY(16)", "bin", one_of("'a'", "'A'", "'a '", "''", "' '", "'zz'", "'b'"), nullable=False)
    if name == "hu":
        return Column("k", "BIGINT UNSIGNED", "int", integers(0, (1 << 64) - 1), nullable=False)
    if name in ("fa", "fb", "un"):
        return Column("k", "INT", "int", integers(1, 30), nullable=False)
    low, high, ddl = rng.choice(((-(1 << 63), (1 << 63) - 1, "BIGINT"), (-(1 << 31), (1 << 31) - 1, "INT"), (-128, 127, "TINYINT")))
    return Column("k", ddl, "int", integers(low, high), nullable=False)


def _string_key(name: str, rng: Random) -> Column:
    charset, collation = rng.choice(
        (("utf8mb4", "utf8mb4_bin"), ("utf8mb4", "utf8mb4_bin"), ("utf8mb4", "utf8mb4_nopad_bin"), ("ascii", "ascii_bin"))
    )
    ddl = rng.choice(("VARCHAR(20)", "VARCHAR(20)", "CHAR(12)"))
    pool = [word for word in (WORDS if charset == "utf8mb4" else ASCII_WORDS) if len(word) < 12]
    if ddl.startswith("CHAR") and "nopad" in collation:
        pool = without_controls(pool)
    return Column(
        "k", f"{ddl} CHARACTER SET {charset} COLLATE {collation}", "str", lambda r: quote(r.choice(pool)), collation, nullable=False
    )


def random_schema(rng: Random) -> Schema:
    """A group of joinable tables of each kind, and reference and unsharded ones."""
    names = ["ha", "hb", "fa", "fb", "un"]
    names += rng.choice(
        (["ri", "rj"], ["sa", "sb"], ["ri", "rj"], ["hu", "rd"], ["rs", "sa", "sb"], ["ri", "rj", "rt", "vb"], ["rd", "vb", "hu"])
    )
    shared = {group: _key_column(group, rng) for group in ("ri", "ha", "sa")}
    tables = []
    for name in names:
        key = shared.get({"rj": "ri", "hb": "ha", "sb": "sa"}.get(name, name)) or _key_column(name, rng)
        tables.append(_table(name, key, rng))
    return Schema(tuple(tables))


def _table(name: str, key: Column, rng: Random) -> Table:
    others = random_columns(rng, rng.randint(5, 9))
    number = Column("id", "INT", "int", integers(0, 40), nullable=False)
    auto = name in ("fa", "fb", "un") and rng.random() < 0.5
    if auto:
        key = Column(key.name, "INT AUTO_INCREMENT", key.kind, key.pool, nullable=False)
    columns = [key, number, *others]
    if name in ("ha", "ri", "fa", "un") or auto:
        keys = [f"PRIMARY KEY ({key.name})"] if rng.random() < 0.4 or auto else ["PRIMARY KEY (k, id)"]
    else:
        keys = [rng.choice(("PRIMARY KEY (k, id)", "PRIMARY KEY (id, k)", "UNIQUE KEY u (k, id)"))]
    if rng.random() < 0.3:
        extra = rng.choice([c for c in others if c.ddl.split()[0] != "TEXT"])
        keys.append(f"UNIQUE KEY e (k, {extra.name})" if name not in ("fa", "fb", "un") else f"UNIQUE KEY e ({extra.name})")
    elif rng.random() < 0.4:
        extra = rng.choice([c for c in others if c.ddl.split()[0] != "TEXT"])
        keys.append(f"KEY x ({extra.name})")
    if rng.random() < 0.5:
        rng.shuffle(columns)
    return Table(name, key, tuple(columns), tuple(keys), auto)
