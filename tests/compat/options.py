"""The command line of `python -m tests.compat`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from tests.compat.router import Router
from tests.compat.targets import TARGETS, Target

_DEFAULT = ("direct", "proxy", "sharded")
_UNNAMED = "against"


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    only: tuple[str, ...]
    targets: tuple[str, ...]
    against: Target | None
    write: bool
    verbose: bool
    list: bool


def parse_options(arguments: Sequence[str] | None) -> Options:
    """Read the command line; argparse ends the program on a fault."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.compat", description="Run the client programs on a server itself and through the proxy."
    )
    parser.add_argument("--only", action="append", default=[], metavar="PROGRAM", help="python/pymysql, python, 'node/*'; may be repeated")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help=f"may be repeated; default: {' '.join(_default())}")
    parser.add_argument("--write", action="store_true", help="write docs/compatibility.md, with what earlier runs found of other programs")
    parser.add_argument("--verbose", action="store_true", help="every check of every run")
    parser.add_argument("--list", action="store_true", help="list the programs")
    peer = parser.add_argument_group("measuring something else in place of the targets")
    peer.add_argument("--against", metavar="HOST:PORT")
    peer.add_argument("--user", default="app")
    peer.add_argument("--password", default="app")
    peer.add_argument("--database", default="app")
    peer.add_argument("--ca", default="", help="the certificate that signs its own")
    peer.add_argument("--sharded", action="store_true", help="the tables <prefix>_orders and <prefix>_people are sharded there by id")
    peer.add_argument("--as", dest="name", metavar="NAME", help="what it is, as in 'ProxySQL 3.0.1': keep its results for the document")
    given = parser.parse_args(arguments)
    if given.against and given.target:
        parser.error("--against goes without --target")
    if given.name in (*TARGETS, _UNNAMED) or (given.name and not given.against):
        parser.error("--as goes with --against, and is a name of its own")
    if given.against and given.write and not given.name:
        parser.error("--write wants to know what was measured: --as")
    against = _peer(given) if given.against else None
    return Options(
        only=tuple(given.only),
        targets=(against.name,) if against else tuple(target for target in TARGETS if target in (given.target or _default())),
        against=against,
        write=given.write,
        verbose=given.verbose,
        list=given.list,
    )


def _default() -> tuple[str, ...]:
    return (*_DEFAULT, "router") if Router.is_here() else _DEFAULT


def _peer(given: argparse.Namespace) -> Target:
    host, _, port = given.against.rpartition(":")
    if not host or not port.isdigit():
        raise SystemExit(f"--against takes HOST:PORT, not {given.against!r}")
    login = (given.user, given.password, given.database)
    return Target(given.name or _UNNAMED, int(port), host, *login, ca=given.ca, sharded=given.sharded, label=given.name or "")
