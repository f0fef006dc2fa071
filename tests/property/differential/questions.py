"""Statements about the schema and the session, which are answered as one server would."""

from __future__ import annotations

from random import Random

from tests.property.differential.schemas import Schema

_TABLELESS = (
    "SELECT 1",
    "SELECT 1 + 1 AS two, 'a' AS a, NULL, 1.50, 1e3",
    "SELECT DATABASE()",
    "SELECT SCHEMA(), LENGTH('é'), x'4142'",
    "SELECT @@sql_mode",
    "SELECT 'a' = 'A ', BINARY 'a' = 'A'",
    "SHOW TABLES",
    "SHOW FULL TABLES LIKE 'h%'",
    "SHOW VARIABLES LIKE 'sql_mode'",
    "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'app' ORDER BY table_name",
    "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE()",
)


def question(rng: Random, schema: Schema) -> str:
    """Any of them."""
    table = rng.choice(schema.tables)
    columns = "column_name, ordinal_position, column_type, collation_name"
    this = f"table_schema = 'app' AND table_name = '{table.name}'"
    about = [
        f"DESCRIBE {table.name}",
        f"SHOW COLUMNS FROM {table.name}",
        f"SHOW FULL COLUMNS FROM {table.name} FROM app",
        f"DESC app.{table.name} k",
        f"SELECT {columns} FROM information_schema.columns WHERE {this} ORDER BY ordinal_position",
        f"SELECT column_name FROM information_schema.key_column_usage WHERE {this} ORDER BY constraint_name, ordinal_position",
        "SELECT * FROM nowhere",
        f"SELECT nothing FROM {table.name}",
        f"SELECT k FROM {table.name} WHERE",
    ]
    if not table.auto:
        about.append(f"SHOW CREATE TABLE {table.name}")
    return rng.choice(_TABLELESS) if rng.random() < 0.4 else rng.choice(about)
