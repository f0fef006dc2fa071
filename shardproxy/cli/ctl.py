"""`shardctl`: what an operator asks. Exit codes: 0 done, 1 failed, 2 usage, 3 refused."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from shardproxy import __version__
from shardproxy.cli.main import EXIT_FAILED, print_config_error, run
from shardproxy.cli.route import route
from shardproxy.cli.servers import change
from shardproxy.cli.status import show_status
from shardproxy.config.loader import load_config
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
    return parser


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
        return int(run(route(loaded, options.sql, as_json=options.json)))
    except ConfigError as error:
        print_config_error(error)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
