"""`shardproxy demo`: a sharded shop on this machine, a tour through it, and then it is yours.

Three SQLite files stand for three database servers; everything else is the real thing: the proxy, the MySQL protocol, and a
client that loads the shop and asks the questions.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import aiomysql
from rich.console import Console
from rich.text import Text

from shardproxy.cli.demo_shop import CONFIG, DDL, PASSWORD, SCHEMA, SHARDS, TABLES, USER, Shop, make_shop
from shardproxy.cli.demo_tour import tour
from shardproxy.cli.printing import indented, plain_table, stdout_console
from shardproxy.config.loader import load_config
from shardproxy.server.serve import Proxy

_HOST = "127.0.0.1"
# Wider lines are hard to read, and the statements of the tour are shorter.
_MAX_WIDTH = 110


async def demo(*, once: bool, port: int, admin_port: int) -> int:
    """Serve the shop, show the tour, and go on serving until SIGINT or SIGTERM; with `once`, end after the tour.

    Gives the exit code. A port of 0 is any free one. Everything the demo writes is in a directory that is removed at the end.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # the marks of the tour have no form in some encodings
    console = stdout_console()
    console.width = min(console.width, _MAX_WIDTH)
    taken = [number for number in (port, admin_port) if not _is_free(number)]
    if taken:
        _say_taken(taken)
        return 1
    _cancel_on_sigterm()
    # Until the demo has created its tables, the proxy misses them: nothing to warn of here.
    logging.getLogger("shardproxy.session.router").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="shardproxy-demo-") as directory, suppress(asyncio.CancelledError):
        async with _running_proxy(Path(directory), port, admin_port) as proxy:
            shop = make_shop()
            client = await aiomysql.connect(host=_HOST, port=proxy.listener.port, user=USER, password=PASSWORD, db=SCHEMA, autocommit=True)
            with closing(client):
                await _load(console, client, shop, proxy.listener.port)
                _show_spread(console, Path(directory))
                await tour(console, client)
            if once:
                return 0
            _say_how_to_connect(console, proxy)
            await proxy.run_until_stopped()
    return 0


@asynccontextmanager
async def _running_proxy(directory: Path, port: int, admin_port: int) -> AsyncIterator[Proxy]:
    config = directory / "shardproxy.toml"
    config.write_text(CONFIG.format(port=port, admin_port=admin_port), encoding="utf-8")
    proxy = Proxy(load_config(config))
    try:
        await proxy.start()
        yield proxy
    finally:
        if not proxy.router.draining:  # else it was told to stop and has
            await proxy.stop()


async def _load(console: Console, client: aiomysql.Connection, shop: Shop, port: int) -> None:
    """Create the tables and fill them, through the proxy like any application."""
    started = time.perf_counter()
    async with client.cursor() as cursor:
        for statement in DDL:
            await cursor.execute(statement)
        for statement in shop.inserts():
            await cursor.execute(statement)
    rows = sum(map(len, shop.rows.values()))
    seconds = time.perf_counter() - started
    console.print(
        Text.assemble(
            ("shardproxy demo", "bold"),
            f"  {len(SHARDS)} SQLite shards behind {_HOST}:{port}\n",
            f"{rows} rows loaded through the proxy in {seconds:.1f} s; this is where they went:",
        )
    )


def _show_spread(console: Console, directory: Path) -> None:
    """Which shard holds how many rows of each table: asked of the files themselves, past the proxy."""
    table = plain_table("rows of", *SHARDS, "spread by")
    for column in table.columns[1:-1]:
        column.justify = "right"
    table.columns[-1].style = "dim"
    counts: dict[str, list[str]] = {name: [] for name in TABLES}
    for shard in SHARDS:
        with closing(sqlite3.connect(directory / f"{shard}.db")) as db:
            for name in TABLES:
                counts[name].append(str(db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0]))
    for name, spread in TABLES.items():
        table.add_row(name, *counts[name], spread)
    console.print()
    indented(console, table)


def _say_how_to_connect(console: Console, proxy: Proxy) -> None:
    port, admin_port = proxy.listener.port, proxy.admin.port
    lines = (
        ("shell", f"mariadb -h {_HOST} -P {port} -u {USER} -p{PASSWORD} {SCHEMA}"),
        ("Python", f'pymysql.connect(host="{_HOST}", port={port}, user="{USER}", password="{PASSWORD}", database="{SCHEMA}")'),
        ("a route", "EXPLAIN ROUTE SELECT …"),
        ("metrics", f"http://{_HOST}:{admin_port}/metrics"),
    )
    console.print()
    console.rule(Text("Your turn", style="bold"), align="left", style="dim")
    for label, text in lines:
        console.print(Text.assemble((f"   {label:<9}", "dim"), (text, "bold")), soft_wrap=True)
    console.print(Text("   Ctrl-C ends the demo and removes everything it made.", style="dim"))
    sys.stdout.flush()  # whoever reads a pipe wants to know that they can connect now


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _say_taken(ports: list[int]) -> None:
    names = " and ".join(f"{_HOST}:{port}" for port in ports)
    print(
        f"shardproxy demo: {names} cannot be used: another program listens there, perhaps a demo that still runs.\n"
        "End it, or choose other ports: shardproxy demo --port 7033 --admin-port 7080",
        file=sys.stderr,
    )


def _cancel_on_sigterm() -> None:
    """Until the proxy waits for the signals itself, SIGTERM ends the demo like SIGINT: through its clean-up."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
