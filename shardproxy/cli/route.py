"""`shardctl route`: where a statement goes, planned against the shards' schemas without a running proxy."""

from __future__ import annotations

import sys

from rich.text import Text

from shardproxy.cli.main import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED
from shardproxy.cli.offline import offline_router, read_schemas
from shardproxy.cli.printing import indented, print_json, stdout_console
from shardproxy.config.loader import LoadedConfig
from shardproxy.errors import Fault, ProxyError
from shardproxy.protocol.flags import Capability
from shardproxy.session.channel import Pausable, Upload
from shardproxy.session.explain import RouteRow, route_rows
from shardproxy.session.router import Router
from shardproxy.session.session import Session

_KEYS = ("kind", "route", "shard", "sql", "merge")


class _NoClient:
    """The channel of a session that only plans: nothing is ever sent."""

    source: Pausable | None = None
    capabilities: Capability | int = 0
    slow = False

    def write(self, data: bytes) -> None:
        """Nobody listens."""

    async def drain(self) -> None:
        """Nothing is buffered."""

    def upload(self, target: Upload) -> None:
        """There is nobody to send anything."""

    def finished(self) -> None:
        """No next command comes."""

    def close(self) -> None:
        """Nothing is open."""


async def route(loaded: LoadedConfig, sql: str, *, as_json: bool) -> int:
    """Print the route of a statement, one object or block per shard; gives the exit code.

    A refusal is printed with its id and message and gives 3; what is no valid statement for this schema gives 1.
    """
    async with offline_router(loaded) as router:
        for problem in await read_schemas(router):
            print(f"shardctl: {problem.text}", file=sys.stderr)
        try:
            rows = _rows(router, sql)
        except ProxyError as error:
            if as_json:
                print_json([{"id": error.spec.id, "message": error.detail}])
            else:
                print(f"{error.spec.id}: {error.detail}")
            return EXIT_REFUSED if error.spec.fault is Fault.REFUSED else EXIT_FAILED
    if as_json:
        print_json([dict(zip(_KEYS, row, strict=True)) for row in rows])
    else:
        _print(rows)
    return EXIT_DONE


def _rows(router: Router, sql: str) -> list[RouteRow]:
    session = Session(router, _NoClient())
    session.state.user = next(iter(router.loaded.config.users))
    session.state.schema = router.logical_schema
    return route_rows(router.context, session.executor, sql.strip().rstrip(";").encode())


def _print(rows: list[RouteRow]) -> None:
    console = stdout_console()
    kind, how, _, _, merge = rows[0]
    console.print(Text.assemble((kind, "bold"), f"  {how}"))
    for _, _, shard, sql, _ in rows:
        if shard:
            indented(console, Text.assemble((f"{shard}  ", "bold green"), sql))
    if merge:
        indented(console, Text(f"merge: {merge}", style="dim"))
