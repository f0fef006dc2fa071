"""Servers that the tests of moves share; each test empties them."""

from collections.abc import Iterator

import pytest

from tests.moves.cluster import new_servers
from tests.support.servers import DatabaseServer


@pytest.fixture(scope="session")
def move_servers() -> Iterator[dict[str, DatabaseServer]]:
    """Four MariaDB servers with a binary log, by shard: s0 … s3; those that are not used do not run."""
    servers = new_servers(4)
    yield servers
    for server in servers.values():
        server.kill()
