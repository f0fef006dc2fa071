"""`shardproxy`: serve, check, demo."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from shardproxy import __version__
from shardproxy.cli.logs import set_up_logs
from shardproxy.errors import ConfigError

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED, EXIT_BUSY = 0, 1, 2, 3, 4


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def print_config_error(error: ConfigError) -> None:
    """Every fault on a line of its own."""
    print(f"{error.path}: {len(error.faults)} fault{'s' if len(error.faults) != 1 else ''}", file=sys.stderr)
    for fault in error.faults:
        print(f"  {fault}", file=sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="shardproxy", description="A sharding router for MySQL and MariaDB.")
    parser.add_argument("--version", action="version", version=f"shardproxy {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve the MySQL protocol")
    serve.add_argument("--config", type=Path, required=True)
    # One of several processes, as their parent starts it.
    serve.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    serve.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    check = commands.add_parser("check", help="compare the config with the shards and say what to do")
    check.add_argument("--config", type=Path, required=True)
    check.add_argument("--json", action="store_true", help="print a list of findings")
    demo = commands.add_parser("demo", help="a small shop on SQLite shards, with a tour")
    demo.add_argument("--once", action="store_true", help="exit after the tour")
    demo.add_argument("--port", type=int, default=6033)
    demo.add_argument("--admin-port", type=int, default=6080)
    return parser


def _serve(options: argparse.Namespace) -> int:
    from shardproxy.config.loader import load_config
    from shardproxy.server.serve import serve
    from shardproxy.server.workers import Supervisor, worker_command, worker_count

    count = worker_count(load_config(options.config))
    if count > 1 and options.worker is None:
        return int(run(Supervisor(count, worker_command(options.config, options.log_level)).run()))
    run(serve(options.config, options.worker or 0, count))
    return EXIT_DONE


def main(arguments: list[str] | None = None) -> int:
    """Entry point; gives the exit code."""
    options = build_parser().parse_args(arguments)
    try:
        if options.command == "serve":
            set_up_logs(options.log_level)
            return _serve(options)
        if options.command == "check":
            from shardproxy.cli.check import check

            return int(run(check(options.config, as_json=options.json)))
        from shardproxy.cli.demo import demo

        set_up_logs("WARNING")
        return int(run(demo(once=options.once, port=options.port, admin_port=options.admin_port)))
    except ConfigError as error:
        print_config_error(error)
        return EXIT_FAILED
    except OSError as error:
        print(f"shardproxy: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
