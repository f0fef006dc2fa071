"""A promotion that cannot be completed leaves the shard as it was, with statements going on."""

from collections.abc import Callable

import pymysql
import pytest

from tests.support.programs import run_program
from tests.support.proxy import ProxyProcess
from tests.support.replication import ReplicatedShard


def test_statements_go_on_after_a_promotion_that_failed(
    replicated_mariadb: ReplicatedShard, start_proxy: Callable[..., ProxyProcess]
) -> None:
    """The old primary was gone when it was to be fenced; once it is back, it serves, and nothing is held back."""
    shard = replicated_mariadb
    shard.execute("CREATE TABLE app.t (id INT PRIMARY KEY)")
    shard.wait_caught_up()
    proxy = start_proxy({"s0": {**shard.config(), "control": "failover:failover"}})
    replica = shard.replicas[0].url().split("@")[1].split("/")[0]
    shard.primary.cut_off()
    refused = run_program("shardctl", "--config", proxy.config_path, "promote", "s0", replica)
    assert refused.returncode == 3, refused
    assert "SP1410" in refused.stderr
    shard.primary.heal()
    with proxy.connect() as client, client.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1)")
    done = run_program("shardctl", "--config", proxy.config_path, "promote", "s0", replica)
    assert done.returncode == 0, done
    with proxy.connect() as client, client.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (2)")
        with pytest.raises(pymysql.err.IntegrityError):
            cursor.execute("INSERT INTO t VALUES (1)")
