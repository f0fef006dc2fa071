"""The columns of the tables in topology.toml, as the shards' servers would tell them."""

import re

from shardproxy.topology.catalog import Catalog, Column, TableSchema

SHARDS = ("s0", "s1", "s2", "s3")
# A column is `name type`, with `!` for NOT NULL and `+` for AUTO_INCREMENT. Strings are utf8mb4_general_ci unless a collation follows.
TABLES = {
    "users": "uid bigint !, name varchar(40), email varchar(250), country char(2) utf8mb4_bin, age int, born date, "
    "role enum('user','admin'), balance decimal(12,2), rate float, likes json, flags bit(8)",
    "profiles": "uid bigint !, bio text, motto varchar(100) utf8mb4_0900_ai_ci",
    "events": "day date !, name varchar(40)",
    "orders": "uid bigint !, oid bigint !, total decimal(10,2), status varchar(20), placed datetime(6)",
    "order_items": "uid bigint !, oid bigint !, sku varchar(20), quantity int",
    "visits": "uid bigint !, page varchar(100)",
    "logins": "token varchar(64) ! utf8mb4_bin, uid bigint",
    "shelves": "number tinyint unsigned !, room int",
    "tickets": "id bigint ! +, uid bigint !, title varchar(100)",
    "countries": "code char(2) ! utf8mb4_bin, name varchar(60)",
    "tags": "id int ! +, tag varchar(30)",
    "notes": "id int ! +, note text",
    "audit": "id int ! +, action varchar(40)",
    # Not in the config: it lives on the default shard.
    "options": "name varchar(40) !, value text",
}
# The weight of a space: utf8mb4_0900_ai_ci does not pad.
COLLATIONS = {"binary": b"", "utf8mb4_bin": b"\x00\x00\x20", "utf8mb4_general_ci": b"\x00\x20", "utf8mb4_0900_ai_ci": b""}

_COLUMN = re.compile(r"(\w+) ((\w+)(?:\(([^)]*)\))?(?: unsigned)?)( !)?( \+)?(?: (utf8mb4_\w+))?")
_TEXT = {"text": 65535}


def build_catalog() -> Catalog:
    """The catalog of TABLES, with one stored function."""
    tables = {}
    for name, listed in TABLES.items():
        columns = tuple(_column(text) for text in re.split(r", (?![^(]*\))", listed))
        tables[name] = TableSchema(name, columns)
    return Catalog(
        version=1,
        tables=tables,
        homes=dict.fromkeys(tables, SHARDS),
        collations=COLLATIONS,
        routines=frozenset({"vat"}),
        unread_shards=(),
    )


def _column(text: str) -> Column:
    match = _COLUMN.fullmatch(text)
    assert match, text
    name, whole, kind, size, required, counted, collation = match.groups()
    is_text = kind in ("char", "varchar", "text")
    return Column(
        name=name,
        data_type=kind,
        column_type=whole,
        nullable=required is None,
        charset="utf8mb4" if is_text else None,
        collation=(collation or "utf8mb4_general_ci") if is_text else None,
        max_chars=_TEXT.get(kind) or (int(size) if is_text else 0),
        decimals=int(size) if kind == "datetime" else 0,
        auto_increment=counted is not None,
    )
