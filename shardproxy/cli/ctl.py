"""`shardctl`: what an operator asks. Exit codes: 0 done, 1 failed, 2 usage, 3 refused by a check, 4 held by another."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from shardproxy import __version__
from shardproxy.cli.main import EXIT_FAILED, print_config_error, run
from shardproxy.cli.route import route
from shardproxy.cli.servers import change
from shardproxy.cli.status import show_status
from shardproxy.config.loader import LoadedConfig, load_config
from shardproxy.errors import ConfigError


def build_parser() -> argparse.ArgumentParser:
    """The command line. `--json` may stand before or behind the command."""
    parser = argparse.ArgumentParser(prog="shardctl", description="Ask a sharded database how it is and where SQL goes, and operate it.")
    parser.add_argument("--version", action="version", version=f"shardctl {__version__}")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the proxy's config file")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    behind = argparse.ArgumentParser(add_help=False)
    # Suppressed, or its default would undo a --json before the command.
    behind.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print a list of objects")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("status", parents=[behind], help="how the running proxy and its shards are")
    where = commands.add_parser("route", parents=[behind], help="where a statement goes, and what each shard gets")
    where.add_argument("sql", metavar="SQL")
    server = commands.add_parser("server", parents=[behind], help="take a replica out or bring it back, or make a server read-only")
    server.add_argument("action", choices=("drain", "maintenance", "up", "fence"))
    promote = commands.add_parser("promote", parents=[behind], help="make another server of a shard its primary")
    promote.add_argument("--force", action="store_true", help="though the old primary is gone, and writes may be lost with it")
    for parser_ in (server, promote):
        parser_.add_argument("shard", metavar="SHARD")
        parser_.add_argument("server", metavar="HOST:PORT", help="the server's address, as in the config")
    _add_move_commands(commands, behind)
    return parser


def _add_move_commands(commands: Any, behind: argparse.ArgumentParser) -> None:
    """The commands that change the topology. Each rehearses, unless it is told to do it."""
    doing = argparse.ArgumentParser(add_help=False)
    doing.add_argument("--execute", action="store_true", help="do it; without this it is only shown")
    rebalance = commands.add_parser("rebalance", parents=[behind, doing], help="level the shards: show the moves, or carry them out")
    rebalance.add_argument(
        "--by", choices=("count", "rows", "bytes", "requests"), default="count", help="what is levelled (ranges always by rows)"
    )
    rebalance.add_argument("--max-moves", type=int, metavar="N", help="so many moves, and no more")
    rebalance.add_argument("--rate", type=float, metavar="ROWS", help="rows per second that a move may copy; 0: as fast as it goes")
    rebalance.add_argument("--parallel", type=int, metavar="N", help="moves at a time, as far as they share no shard")
    rebalance.add_argument("--hold", action="store_true", help="stop before the cutovers; another run carries them out")
    shard = commands.add_parser("shard", help="add, drain or remove a shard").add_subparsers(dest="action", required=True)
    add = shard.add_parser("add", parents=[behind, doing], help="describe a new shard, which owns nothing yet")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--primary", metavar="URL", help="mysql://user:password@host:port/schema, or env:NAME")
    add.add_argument("--replica", metavar="URL", action="append", default=[], help="a replica of it; may be repeated")
    add.add_argument("--weight", type=float, metavar="W", help="its part against the others'; default: 1")
    for action, text in (("drain", "it is to own nothing"), ("remove", "forget one that owns nothing")):
        shard.add_parser(action, parents=[behind, doing], help=text).add_argument("name", metavar="NAME")
    table = commands.add_parser("table", help="shard an unsharded table").add_subparsers(dest="action", required=True)
    sharded = table.add_parser("shard", parents=[behind, doing], help="tables that are sharded together, by one key")
    sharded.add_argument("names", metavar="NAME", nargs="+")
    sharded.add_argument("--key", required=True, metavar="COLUMN", help="the column that places a row; part of the primary key")
    sharded.add_argument("--by", choices=("hash",), default="hash")
    sharded.add_argument("--group", metavar="NAME", help="what their common map is called; default: the first table's name")
    commands.add_parser("moves", parents=[behind], help="all moves, and how far they are")
    move = commands.add_parser("move", parents=[behind, doing], help="pause, resume, cancel, reverse or clean up a move")
    move.add_argument("action", choices=("pause", "resume", "cancel", "reverse", "cleanup"))
    move.add_argument("id", type=int, metavar="ID")
    verify = commands.add_parser("verify", parents=[behind], help="whether every row lies where it belongs")
    verify.add_argument("--placement", action="store_true", help="count the rows on each shard that it does not own (always done)")
    knobs = commands.add_parser("throttle", parents=[behind], help="change how fast a mover that runs may be")
    for name, metavar, text in _KNOBS:
        knobs.add_argument(f"--{name}", type=float, metavar=metavar, help=text)


def _move_command(loaded: LoadedConfig, options: argparse.Namespace) -> Coroutine[Any, Any, int]:
    # Nothing else of this program needs what moves rows.
    from shardproxy.cli import rebalance, shards, verify

    execute = getattr(options, "execute", False)
    if options.command == "rebalance":
        knobs = {"rate": options.rate, "parallel": options.parallel}
        given = {name: float(value) for name, value in knobs.items() if value is not None}
        return rebalance.rebalance(
            loaded,
            by=options.by,
            execute=execute,
            max_moves=options.max_moves,
            knobs=given,
            hold=options.hold,
            as_json=options.json,
        )
    if options.command == "moves":
        return rebalance.show_moves(loaded, as_json=options.json)
    if options.command == "move":
        return rebalance.move(loaded, options.action, options.id, execute=execute, as_json=options.json)
    if options.command == "verify":
        return verify.verify(loaded, as_json=options.json)
    if options.command == "throttle":
        knobs = {name.replace("-", "_"): getattr(options, name.replace("-", "_")) for name, _, _ in _KNOBS}
        given = {name: float(value) for name, value in knobs.items() if value is not None}
        return shards.set_knobs(loaded, given, as_json=options.json)
    if options.command == "table":
        return shards.shard_table(loaded, options.names, options.key, options.group, execute=execute)
    if options.action == "add":
        return shards.add_shard(loaded, options.name, options.primary, options.replica, options.weight, execute=execute)
    work = shards.drain_shard if options.action == "drain" else shards.remove_shard
    return work(loaded, options.name, execute=execute)


_KNOBS = (
    ("rate", "ROWS", "rows per second that a move may copy; 0: as fast as it goes"),
    ("max-threads-running", "N", "wait while more threads are at work on the source or the target"),
    ("max-replica-lag-s", "SECONDS", "wait while a replica of one of them is further behind"),
    ("max-p99-ms", "MS", "wait while the proxies' slowest hundredth of statements takes longer; 0: do not look"),
    ("parallel", "N", "moves at a time, as far as they share no shard"),
)
_MOVE_COMMANDS = ("rebalance", "shard", "table", "moves", "move", "verify", "throttle")


async def _guarded(work: Coroutine[Any, Any, int]) -> int:
    from shardproxy.cli.rebalance import guarded

    return await guarded(work)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; gives the exit code."""
    options = build_parser().parse_args(arguments)
    # What goes wrong is said once, by the command itself.
    logging.basicConfig(level=logging.CRITICAL)
    try:
        loaded = load_config(options.config)
        if options.command == "status":
            return show_status(loaded, as_json=options.json)
        if options.command in ("server", "promote"):
            asked = {"shard": options.shard, "server": options.server}
            more = {"action": options.action} if options.command == "server" else {"force": options.force}
            return change(loaded, f"/{options.command}", asked | more, as_json=options.json)
        if options.command in _MOVE_COMMANDS:
            return int(run(_guarded(_move_command(loaded, options))))
        return int(run(route(loaded, options.sql, as_json=options.json)))
    except ConfigError as error:
        print_config_error(error)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
