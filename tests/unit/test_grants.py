"""Whether an account may do what a move needs."""

from typing import Any

import pytest

from migrate.grants import missing_rights
from shardproxy.protocol.resultset import build_row

FULL = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, TRIGGER"


class Server:
    """Answers with these grants; its binary log is on, and triggers need a right unless it `trusts`."""

    def __init__(self, *grants: str, trusts: bool = True) -> None:
        self.grants = grants
        self.trusts = trusts

    async def query(self, sql: bytes) -> Any:
        """SHOW GRANTS, or the two variables."""
        rows = [(grant.encode(),) for grant in self.grants] if sql == b"SHOW GRANTS" else [(b"1", b"1" if self.trusts else b"0")]
        return type("Result", (), {"rows": [build_row(row) for row in rows], "columns": [None] * len(rows[0])})


@pytest.mark.parametrize(
    "grants",
    [
        ("GRANT ALL PRIVILEGES ON *.* TO `sp`@`%` WITH GRANT OPTION",),
        ("GRANT USAGE ON *.* TO `sp`@`%`", "GRANT ALL PRIVILEGES ON `app\\_0`.* TO `sp`@`%`"),
        (f"GRANT {FULL} ON `app_0`.* TO `sp`@`%`",),
        (f"GRANT {FULL} ON `app%`.* TO `sp`@`%`",),
        ("GRANT SELECT, INSERT, UPDATE ON *.* TO `sp`@`%`", "GRANT DELETE, CREATE, DROP, TRIGGER ON `app_0`.* TO `sp`@`%`"),
        ("GRANT USAGE ON *.* TO `sp`@`%`", "GRANT `mover`@`%` TO `sp`@`%`"),
    ],
)
async def test_enough(grants: tuple[str, ...]) -> None:
    """On everything, on the schema by its name or a pattern, in parts; what a role allows is not known."""
    server: Any = Server(*grants)
    assert await missing_rights(server, "app_0", "s0") == []


async def test_what_is_missing_is_named() -> None:
    """Rights on other schemas do not count."""
    server: Any = Server(
        "GRANT USAGE ON *.* TO `sp`@`%`", f"GRANT {FULL} ON `app\\_1`.* TO `sp`@`%`", "GRANT SELECT ON `app_0`.* TO `sp`@`%`"
    )
    assert await missing_rights(server, "app_0", "s0") == [
        "s0: the account lacks INSERT, UPDATE, DELETE, CREATE, DROP, TRIGGER on schema app_0"
    ]


async def test_triggers_need_more_where_there_is_a_binary_log() -> None:
    """SUPER, unless the server trusts whoever makes functions."""
    plain: Any = Server(f"GRANT {FULL} ON `app_0`.* TO `sp`@`%`", trusts=False)
    assert "may not make triggers" in (await missing_rights(plain, "app_0", "s0"))[0]
    mighty: Any = Server("GRANT SUPER ON *.* TO `sp`@`%`", f"GRANT {FULL} ON `app_0`.* TO `sp`@`%`", trusts=False)
    assert await missing_rights(mighty, "app_0", "s0") == []
