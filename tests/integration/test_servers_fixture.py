"""The fixtures hold what other tests take for granted."""

from collections.abc import Callable

import pymysql
import pytest

from tests.conftest import Shards
from tests.support.relay import Relay
from tests.support.servers import MariaDB, MySQL
from tests.support.waiting import eventually


def test_shards_are_four_schemas_on_two_servers(empty_shards: Shards) -> None:
    """Each shard's URL leads to its own schema, and s0 and s2 live on one server."""
    for name, (server, schema) in empty_shards.placement.items():
        assert empty_shards.urls[name] == server.url(schema)
        assert empty_shards.execute(name, "SELECT DATABASE()") == [(schema,)]
    assert empty_shards.urls["s0"].rsplit("/", 1)[0] == empty_shards.urls["s2"].rsplit("/", 1)[0]
    assert empty_shards.oracle.execute("SHOW TABLES", "app") == []


def test_committed_row_outlives_a_killed_server(mariadb: Callable[..., MariaDB]) -> None:
    """Speed settings must not lose acknowledged commits, or no fault test could tell who lost them."""
    server = mariadb()
    server.create_schema("app")
    server.execute("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)", "app")
    port = server.port
    server.kill()
    with pytest.raises(pymysql.err.OperationalError):
        server.connect()
    server.start()
    assert server.port == port
    assert server.execute("SELECT id FROM t", "app") == [(1,)]


def test_paused_server_answers_again_when_resumed(mariadb: Callable[..., MariaDB]) -> None:
    """A pause looks like a hang, not like a closed connection."""
    server = mariadb(log_bin=True)
    assert server.execute("SELECT @@log_bin, @@binlog_format") == [(1, "ROW")]
    server.pause()
    with pytest.raises(pymysql.err.OperationalError):
        server.connect(connect_timeout=1, read_timeout=1)
    server.resume()
    eventually(lambda: server.execute("SELECT 1") == [(1,)], retry_on=pymysql.err.OperationalError)


def test_relay_cuts_refuses_and_stalls(shards: Shards) -> None:
    """Each fault is seen by the client as what it is called."""
    server = shards.oracle
    with Relay(server.port) as relay:
        connection = server.connect(port=relay.port, read_timeout=1)
        connection.ping(reconnect=False)
        relay.stall()
        with pytest.raises(pymysql.err.OperationalError, match="timed out"):
            connection.ping(reconnect=False)
        relay.flow()
        connection = server.connect(port=relay.port)
        relay.cut()
        with pytest.raises((pymysql.err.OperationalError, OSError)):
            connection.ping(reconnect=False)
        relay.refuse()
        with pytest.raises(pymysql.err.OperationalError, match="refused"):
            server.connect(port=relay.port)
        relay.accept()
        server.connect(port=relay.port).close()
        eventually(lambda: relay.connections == 0)


def test_mysql_server_lets_its_user_in(mysql_server: MySQL) -> None:
    """The user's password is checked by caching_sha2_password, MySQL's default."""
    rows = mysql_server.execute("SELECT plugin, VERSION() FROM mysql.user WHERE user = 'sp'")
    assert rows[0][0] == "caching_sha2_password"
    assert "MariaDB" not in rows[0][1]
