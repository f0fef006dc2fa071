"""The two sides of a comparison: a throw-away server, and the proxy in front of another one like it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from tests.suites.model import Side, Suite, Target
from tests.suites.tap import Tap
from tests.support.proxy import ProxyProcess
from tests.support.servers import DatabaseServer


@contextmanager
def target(suite: Suite, side: Side) -> Iterator[Target]:
    """A fresh server with what the suite needs in it, for `proxy` with the proxy in front; both gone at the end."""
    with ExitStack() as stack:
        server = suite.make_server()
        server.start(90)
        stack.callback(server.kill)
        _furnish(server, suite)
        direct = Target("direct", server.port, suite.user, suite.password, suite.schema, server, renew=lambda: _renew(server, suite))
        if side == "direct":
            yield direct
            return
        proxy = ProxyProcess(
            {"s0": f"mysql://{suite.user}:{suite.password}@{server.host}:{server.port}/{suite.schema}"},
            _limits(suite),
            settings=_settings(suite),
            users={suite.user: {"password": suite.password}},
        )
        proxy.start()
        stack.callback(proxy.kill)
        tap = Tap(proxy.port)
        tap.start()
        stack.callback(tap.stop)

        def renew() -> None:
            # The proxy forgets the server that was.
            proxy.stop()
            _renew(server, suite)
            proxy.start()

        yield replace(direct, side="proxy", port=tap.port, heard=tap.heard, renew=renew)


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
