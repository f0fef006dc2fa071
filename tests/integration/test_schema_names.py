"""information_schema under the logical schema's name, which none of the shards' servers knows."""

import pymysql
import pytest

from tests.support.binary import BinaryClient, Result, decoded, text
from tests.support.shop import Shop, run


@pytest.mark.parametrize(
    "condition",
    [
        "TABLE_SCHEMA = 'app'",
        "'app' = TABLE_SCHEMA",
        "t.TABLE_SCHEMA = 'app'",
        "TABLE_SCHEMA IN ('app', 'x')",
        "TABLE_SCHEMA NOT IN ('mysql', 'sys')",
        "TABLE_SCHEMA LIKE 'app'",
        "TABLE_SCHEMA LIKE 'ap%'",
        "TABLE_SCHEMA NOT LIKE 'app_0'",
        "TABLE_SCHEMA RLIKE '^app$'",
        "UPPER(TABLE_SCHEMA) = 'APP'",
        "LENGTH(TABLE_SCHEMA) = 3",
        "CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) = 'app.orders'",
        "TABLE_SCHEMA = CONCAT('ap', 'p')",
        "TABLE_SCHEMA < 'b'",
        "TABLE_SCHEMA = DATABASE()",
        "DATABASE() = TABLE_SCHEMA",
        "TABLE_SCHEMA LIKE DATABASE()",
        "LOWER(TABLE_SCHEMA) = LOWER(DATABASE())",
    ],
)
def test_tables_are_found_by_the_logical_name(shop: Shop, condition: str) -> None:
    """However the name is compared."""
    with shop.proxy.connect() as client:
        sql = f"SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES t WHERE TABLE_NAME = 'orders' AND {condition}"
        assert run(client, sql) == [("app", "orders")]


@pytest.mark.parametrize("condition", ["TABLE_SCHEMA = 'app_0'", "CONCAT(TABLE_SCHEMA, TABLE_NAME) = 'app_0orders'"])
def test_the_server_s_own_name_is_not_known(shop: Shop, condition: str) -> None:
    """It finds nothing, as any other name."""
    with shop.proxy.connect() as client:
        assert run(client, f"SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_NAME = 'orders' AND {condition}") == []


@pytest.mark.parametrize(
    "condition",
    ["TABLE_SCHEMA = ?", "? = TABLE_SCHEMA", "TABLE_SCHEMA IN (?, 'x')", "TABLE_SCHEMA LIKE ?", "UPPER(TABLE_SCHEMA) = UPPER(?)"],
)
def test_name_as_a_parameter(shop: Shop, condition: str) -> None:
    """As ORMs ask: by a prepared statement."""
    with BinaryClient(shop.proxy.port) as client:
        client.login()
        sql = f"SELECT TABLE_NAME FROM information_schema.TABLES WHERE {condition} AND TABLE_NAME = 'orders'"
        answer = client.run(sql, [text("app")])
        assert isinstance(answer, Result), answer
        assert decoded(answer) == [(b"orders",)]


def test_what_is_shown_is_the_logical_name(shop: Shop) -> None:
    """In expressions too, and in the words of what is created."""
    with shop.proxy.connect() as client:
        sql = "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME), TABLE_SCHEMA, DATABASE(), TABLE_NAME FROM information_schema.TABLES"
        assert run(client, f"{sql} WHERE TABLE_SCHEMA = 'app' AND TABLE_NAME = 'orders'") == [("app.orders", "app", "app", "orders")]
        with pytest.raises(pymysql.err.MySQLError) as unknown:
            run(client, "SHOW CREATE PROCEDURE app.nothing_of_that_name")
        assert "app_0" not in str(unknown.value)
