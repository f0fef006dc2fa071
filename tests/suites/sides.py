"""The sides of a comparison: a throw-away server, the proxy in front of another one like it, and the proxy in front of several."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from tests.suites.model import BASES, Side, Suite, Target
from tests.suites.sharding import SHARDED, SHARDS, asset
from tests.suites.tap import Tap
from tests.support.proxy import ProxyProcess
from tests.support.servers import DatabaseServer


@contextmanager
def target(suite: Suite, side: Side) -> Iterator[Target]:
    """Fresh servers with what the suite needs in them, with the proxy in front where the side wants it; all gone at the end."""
    with ExitStack() as stack:
        servers = {shard: suite.make_server() for shard in (SHARDS if side in SHARDED else SHARDS[:1])}
        for made in servers.values():
            made.start(90)
            stack.callback(made.kill)
            _furnish(made, suite)
        server = servers["s0"]
        direct = Target(side, server.port, suite.user, suite.password, suite.schema, server, renew=lambda: _renew(server, suite))
        if side not in BASES:
            yield direct
            return
        proxy = ProxyProcess(
            {shard: f"mysql://{suite.user}:{suite.password}@{made.host}:{made.port}/{suite.schema}" for shard, made in servers.items()},
            _limits(suite) + (asset(suite, side).read_text() if side in SHARDED else ""),
            settings=_settings(suite),
            users={suite.user: {"password": suite.password, "administer": True}},
        )
        proxy.start()
        stack.callback(proxy.kill)
        tap = Tap(proxy.port)
        tap.start()
        stack.callback(tap.stop)

        def renew() -> None:
            # The proxy forgets the server that was.
            proxy.stop()
            for made in servers.values():
                _renew(made, suite)
            proxy.start()

        yield replace(direct, port=tap.port, heard=tap.heard, renew=renew)


def _renew(server: DatabaseServer, suite: Suite) -> None:
    server.stop()
    shutil.rmtree(server.data_dir)
    server.start(90)
    _furnish(server, suite)


def _settings(suite: Suite) -> Mapping[str, Any]:
    settings: dict[str, Any] = {"schema": suite.schema, "auth_plugin": suite.auth_plugin, "open_schemas": "s0"}
    if suite.certificate is not None:
        settings["tls"] = {"cert": str(suite.certificate.cert), "key": str(suite.certificate.key)}
    return settings


def _limits(suite: Suite) -> str:
    # Tests keep more sessions pinned at a time than one application does.
    limits = {"pool_size": 200, "max_packet_bytes": 1 << 30} | dict(suite.limits)
    return "[limits]\n" + "".join(f"{name} = {value}\n" for name, value in limits.items())


def _furnish(server: DatabaseServer, suite: Suite) -> None:
    user, password = suite.user, f" IDENTIFIED BY '{suite.password}'" if suite.password else ""
    # Accounts for one host would be preferred to the one that is made here.
    for (host,) in server.execute(f"SELECT host FROM mysql.user WHERE user = '{user}'"):
        server.execute(f"DROP USER '{user}'@'{host}'")
    server.execute(f"CREATE USER '{user}'@'%'{password}; GRANT ALL PRIVILEGES ON *.* TO '{user}'@'%' WITH GRANT OPTION")
    for schema in (suite.schema, *suite.more_schemas):
        server.execute(f"CREATE DATABASE IF NOT EXISTS `{schema}`")
