"""The servers of a comparison: the shards behind a proxy, and the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.conftest import ORACLE_SCHEMA, Server, Shards
from tests.property.differential.clients import Client
from tests.property.differential.prepared import BinaryAnswers, PreparedClient
from tests.property.differential.schemas import RULES
from tests.property.differential.strays import Strays
from tests.support.proxy import ProxyProcess
from tests.support.servers import MariaDB


@dataclass
class Lab:
    """Both sides, each with one client; `helper` asks the oracle without disturbing the session that is compared.

    `strays` puts rows of every table where they do not belong, and sees that they stay as they are.
    """

    proxy: Client
    oracle: Client
    helper: Client
    log: Callable[[], str]
    strays: Strays | None = None

    def hang_up(self) -> None:
        """Close all connections; they come back when they are needed."""
        for client in (self.proxy, self.oracle, self.helper):
            client.close()
        if self.strays is not None:
            self.strays.hang_up()


@contextmanager
def lab_over(shards: Shards, *, prepared: bool = False, strays: bool = False, known: bool = True) -> Iterator[Lab]:
    """A lab over running servers, whose schemas are emptied; `prepared` speaks the binary protocol to all of them. With `strays` there
    are rows on shards that do not own them, and if they are `known`, the proxy must not meet them.
    """
    shards.reset()
    process = ProxyProcess(shards.urls, RULES)
    process.start()
    planted = Strays(shards, process, known=known) if strays else None
    client, helper = (PreparedClient, BinaryAnswers) if prepared else (Client, Client)
    lab = Lab(client(process.connect), _direct(shards.oracle, client), _direct(shards.oracle, helper), process.log_tail, planted)
    try:
        yield lab
    finally:
        lab.hang_up()
        process.kill()


@contextmanager
def twin_lab(shards: Shards, proxy: type[Client] = Client, *, prepared: bool = False) -> Iterator[Lab]:
    """Two servers and no proxy: what differs between these is a fault of the comparison."""
    shards.reset()
    twin = shards.servers[0]
    twin.create_schema(ORACLE_SCHEMA)
    client, helper = (PreparedClient, BinaryAnswers) if prepared else (Client, Client)
    lab = Lab(_direct(twin, client if prepared else proxy), _direct(shards.oracle, client), _direct(shards.oracle, helper), str)
    try:
        yield lab
    finally:
        lab.hang_up()
        twin.execute(f"DROP DATABASE {ORACLE_SCHEMA}")


def _direct(server: Server, client: type[Client] = Client) -> Client:
    return client(lambda **options: server.connect(ORACLE_SCHEMA, **options))


@contextmanager
def own_lab(*, twin: bool = False, prepared: bool = False, strays: bool = False) -> Iterator[Lab]:
    """A lab with servers of its own; a `twin` lab has no proxy, a `prepared` one speaks the binary protocol, and one with `strays` has
    rows that do not belong where they are."""
    servers = [MariaDB(name) for name in ("mariadb-0", "mariadb-1", "oracle")]
    try:
        for server in servers:
            server.start()
        shards = Shards((servers[0], servers[1]), servers[2])
        with twin_lab(shards, prepared=prepared) if twin else lab_over(shards, prepared=prepared, strays=strays) as lab:
            yield lab
    finally:
        for server in servers:
            server.kill()
