"""`shardctl status`: a running proxy's own account of itself, for a tired operator."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shardproxy.cli.main import EXIT_DONE, EXIT_FAILED
from shardproxy.cli.printing import count_of, indented, plain_table, print_json, stdout_console
from shardproxy.config.loader import LoadedConfig
from shardproxy.config.model import Address

_TIMEOUT_S = 5.0
_STATE_STYLES = {
    "up": "green",
    "suspect": "bold yellow",
    "down": "bold red",
    "probing": "yellow",
    "draining": "cyan",
    "maintenance": "cyan",
}
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def show_status(loaded: LoadedConfig, *, as_json: bool) -> int:
    """Print the status of the proxy that runs with this config; gives 1 where there is none."""
    url = admin_url(loaded)
    try:
        found = fetch_status(url)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        print(f"shardctl: no proxy answers at {url}: {reason}", file=sys.stderr)
        print(f"Is it running? shardproxy serve --config {loaded.path}", file=sys.stderr)
        return EXIT_FAILED
    if as_json:
        print_json([found])
    else:
        _print(stdout_console(), loaded, found)
    return EXIT_DONE


def admin_url(loaded: LoadedConfig) -> str:
    """Where the proxy's status is, from this machine."""
    address = Address.parse(loaded.config.proxy.admin)
    host = _EVERYWHERE.get(address.host, address.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{address.port}/api/status"


def fetch_status(url: str) -> dict[str, Any]:
    """The status as the proxy gives it; raises OSError or ValueError where that is none."""
    # An HTTP proxy of the environment has no business between an operator and this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=_TIMEOUT_S) as response:
        found = json.load(response)
    if not isinstance(found, dict) or "shards" not in found:
        raise ValueError("what answers there is no shardproxy")
    return found


def _print(console: Console, loaded: LoadedConfig, status: Mapping[str, Any]) -> None:
    console.print(_headline(loaded, status))
    cache = status["plan_cache"]
    asked = cache["hits"] + cache["misses"]
    hits = f"{cache['hits'] / asked:.1%} of statements planned before" if asked else "no statement yet"
    console.print(f"{count_of(status['connections'], 'client')}, {status['queries']} queries to shards, {hits}", style="dim")
    console.print()
    indented(console, _shards_table(status))
    if any(shard["servers"] for shard in status["shards"]):
        console.print()
        indented(console, _servers_table(status))
    for shard in status["shards"]:
        if shard["reason"]:
            indented(console, Text(f"{shard['name']}: {shard['reason']}", style=_STATE_STYLES.get(shard["state"], "")))
    problems = [table for table in status["tables"] if table["problem"]]
    if problems:
        console.print("\nTables that are not served  [dim]shardproxy check says what to do[/]", style="bold")
        for table in problems:
            indented(console, Text.assemble((f"{table['name']}: ", "bold"), table["problem"]))
    if status["differences"]:
        console.print("\nThe file differs from what is served", style="bold")
        for difference in status["differences"]:
            indented(console, Text(difference))
    good = not problems and not status["differences"]
    console.print(f"\n{count_of(len(status['tables']), 'table')} in the config{', all served' if good else ''}")


def _headline(loaded: LoadedConfig, status: Mapping[str, Any]) -> Text:
    if status["draining"]:
        state = ("shutting down", "bold yellow")
    else:
        state = ("ready", "bold green") if status["ready"] else ("not ready", "bold red")
    return Text.assemble(
        ("shardproxy ", "bold"),
        f"{loaded.config.proxy.listen}  ",
        state,
        f"  schema {status['schema']}  epoch {status['epoch']}",
    )


def _shards_table(status: Mapping[str, Any]) -> Table:
    table = plain_table("shard", "server", "state", "owns", "connections")
    for shard in status["shards"]:
        owns = [f"{group}: {count_of(count, 'bucket')}" for group, count in shard["buckets"].items() if count]
        connections = f"{shard['in_use']} in use, {shard['idle']} idle"
        if shard["waiting"]:
            connections += f", {shard['waiting']} waiting"
        table.add_row(
            shard["name"],
            shard["server"],
            Text(shard["state"], style=_STATE_STYLES.get(shard["state"], "")),
            Text("\n".join([*owns, *shard["ranges"]]) or "nothing yet"),
            connections,
        )
    return table


def _servers_table(status: Mapping[str, Any]) -> Table:
    """The servers of replicated shards."""
    table = plain_table("shard", "server", "role", "state", "behind", "reads", "in use", "")
    for column in table.columns[:-1]:
        column.no_wrap = True
    for shard in status["shards"]:
        for server in shard["servers"]:
            lag = server["lag_ms"]
            behind = "" if server["role"] == "primary" else "unknown" if lag is None else f"{lag} ms"
            table.add_row(
                shard["name"],
                server["server"],
                server["role"],
                Text(server["state"], style=_STATE_STYLES.get(server["state"], "")),
                behind,
                str(server["reads"]),
                str(server["in_use"]),
                Text(server["reason"], style="yellow"),
            )
    return table
