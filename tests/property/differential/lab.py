"""The servers of a comparison: the shards behind a proxy, and the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.conftest import ORACLE_SCHEMA, Shards
from tests.property.differential.clients import Client
from tests.property.differential.schemas import RULES
from tests.support.proxy import ProxyProcess
from tests.support.servers import MariaDB


@dataclass
class Lab:
    """Both sides, each with one client; `helper` asks the oracle without disturbing the session that is compared."""

    shards: Shards
    proxy: Client
    oracle: Client
    helper: Client
    process: ProxyProcess


@contextmanager
def lab_over(shards: Shards) -> Iterator[Lab]:
    """A lab over running servers, whose schemas are emptied."""
    shards.reset()
    process = ProxyProcess(shards.urls, RULES)
    process.start()
    proxy = Client(process.connect)
    oracle, helper = (Client(lambda **options: shards.oracle.connect(ORACLE_SCHEMA, **options)) for _ in range(2))
    try:
        yield Lab(shards, proxy, oracle, helper, process)
    finally:
        for client in (proxy, oracle, helper):
            client.close()
        process.kill()


@contextmanager
def own_lab() -> Iterator[Lab]:
    """A lab with servers of its own."""
    servers = [MariaDB(name) for name in ("mariadb-0", "mariadb-1", "oracle")]
    try:
        for server in servers:
            server.start()
        with lab_over(Shards((servers[0], servers[1]), servers[2])) as lab:
            yield lab
    finally:
        for server in servers:
            server.kill()
