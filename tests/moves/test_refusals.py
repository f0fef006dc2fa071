"""What an operator must not be able to do by mistake: each is refused, and nothing has changed then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shardproxy.topology.hashing import bucket_of
from shardproxy.topology.moves import MoveState
from tests.moves.audit import audit
from tests.moves.cluster import SCHEMA, Cluster
from tests.moves.ledger import Ledger
from tests.support.servers import DatabaseServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

REFUSED, BUSY = 3, 4
Servers = dict[str, DatabaseServer]


@pytest.fixture
def cluster(move_servers: Servers) -> Iterator[Cluster]:
    """Two shards with a few rows of a ledger that nobody works on, and a third that has joined."""
    with Cluster(2, ranged=False, servers={name: move_servers[name] for name in ("s0", "s1", "s2")}, proxies=1) as made:
        made.start()
        made.add_spare()
        yield made


def filled(cluster: Cluster) -> Ledger:
    """Rows, and what they are known to be."""
    ledger = Ledger(cluster)
    ledger.fill(200)
    return ledger


def test_a_share_that_has_gone_on_cannot_be_taken_back(cluster: Cluster, move_servers: Servers) -> None:
    ledger = filled(cluster)
    cluster.ctl("rebalance", "--execute", timeout_s=120)
    first = next(move for move in cluster.moves() if not move.joins)
    another = move_servers["s3"]
    if not another.running:
        another.start()
    another.create_schema(SCHEMA)
    cluster.servers["s3"], cluster.before["s3"] = another, set(cluster.tables)
    cluster.ctl("shard", "add", "s3", "--primary", another.url(SCHEMA), "--execute")
    cluster.ctl("shard", "drain", "s2", "--execute")
    cluster.ctl("rebalance", "--execute", timeout_s=120)
    assert cluster.owner("orders", 0) != "s2"
    owners = cluster.stored().hash_maps
    cluster.ctl("move", "reverse", str(first.id), "--execute", expect=(REFUSED,))
    assert cluster.stored().hash_maps == owners
    cluster.cleanup()
    audit(cluster, ledger).check()


def test_rows_that_lie_on_the_target_already_are_not_purged(cluster: Cluster) -> None:
    ledger = filled(cluster)
    cluster.ctl("rebalance", "--execute", "--max-moves", "1", "--hold")
    move = cluster.moves()[-1]
    cluster.ctl("move", "cancel", str(move.id))
    key = next(key for key in range(100_000) if bucket_of(b"%d" % key) in move.share.buckets)
    write = ledger.new_write("items", key)
    sql = f"INSERT INTO items (customer, op, n, text) VALUES ({key}, {write.op}, 0, 'item {write.op}/0')"
    cluster.execute(cluster.spare, sql)
    write.outcome = "done"
    cluster.ctl("verify", expect=(1,))
    cluster.ctl("rebalance", "--execute", expect=(1, REFUSED))
    assert cluster.execute(cluster.spare, f"SELECT COUNT(*) FROM items WHERE op = {write.op}")[0][0] == 1
    # Once it is where it belongs, the move can be made.
    cluster.execute(cluster.spare, f"DELETE FROM items WHERE op = {write.op}")
    cluster.execute(move.source, sql)
    cluster.ctl("rebalance", "--execute", timeout_s=120)
    cluster.cleanup()
    audit(cluster, ledger).check()


def test_a_share_that_was_taken_back_can_be_moved_again(cluster: Cluster) -> None:
    """What it has left where it had been is cleaned up first."""
    ledger = filled(cluster)
    cluster.ctl("rebalance", "--execute", "--max-moves", "1")
    cluster.ctl("move", "reverse", str(cluster.moves()[-1].id), "--execute", timeout_s=90)
    back = cluster.moves()[-1].id
    assert f"what move {back} has left on {cluster.spare} is cleaned up first" in cluster.ctl("rebalance")
    cluster.ctl("rebalance", "--execute", timeout_s=120)
    assert cluster.spare in cluster.stored().hash_maps["shop"]
    cluster.cleanup()
    audit(cluster, ledger).check()


def killed_at(cluster: Cluster, point: str) -> bool:
    """Whether a mover got there, once the lease of the one before is over."""
    return cluster.mover("rebalance", "--execute", "--max-moves", "0", failpoint=f"{point}:kill").wait() == -9


def test_rows_of_a_reference_table_are_never_cleaned_up(cluster: Cluster) -> None:
    ledger = filled(cluster)
    for number, point in enumerate(("decided", "target_freed")):
        eventually(lambda point=point: killed_at(cluster, point), 30)
        join = cluster.moves()[0]
        assert join.joins
        cluster.ctl("move", "cleanup", str(join.id), "--execute", expect=(REFUSED,))
        cluster.ctl("move", "reverse", str(join.id), "--execute", expect=(REFUSED,))
        if number == 0:
            assert join.state is MoveState.SWITCHED
    eventually(lambda: "another mover acts" not in cluster.ctl("rebalance", "--execute", timeout_s=120, expect=(0, BUSY)), 30)
    assert cluster.moves()[0].state is MoveState.DONE
    cluster.cleanup()
    audit(cluster, ledger).check()


def test_a_shard_can_be_removed_and_come_again_elsewhere(cluster: Cluster, move_servers: Servers) -> None:
    ledger = filled(cluster)
    cluster.ctl("rebalance", "--execute", timeout_s=120)
    cluster.cleanup()
    cluster.ctl("shard", "drain", "s2", "--execute")
    cluster.ctl("rebalance", "--execute", timeout_s=120)
    cluster.cleanup()
    cluster.ctl("shard", "remove", "s2", "--execute")
    elsewhere = move_servers["s3"]
    if not elsewhere.running:
        elsewhere.start()
    elsewhere.create_schema(SCHEMA)
    # The old server stays, with a row that must not be read any more.
    cluster.execute("s2", "REPLACE INTO rates (id, value) VALUES (99, -1)")
    cluster.servers["s2"] = elsewhere
    cluster.add_spare()
    cluster.ctl("rebalance", "--execute", timeout_s=120)
    cluster.cleanup()
    with ledger:
        ledger.run_for(1)
    audit(cluster, ledger).check()


def test_fences_of_another_store_are_noticed(cluster: Cluster) -> None:
    filled(cluster)
    cluster.ctl("rebalance", "--execute", timeout_s=120)
    for proxy in cluster.proxies:
        proxy.stop()
    for left in cluster.dir.glob("topology.db*"):
        left.unlink()
    cluster._store = None
    cluster.servers["s2"].create_schema(SCHEMA)
    # It is the proxies that make a store.
    for proxy in cluster.proxies:
        proxy.start()
    cluster.add_spare()
    said = cluster.ctl("rebalance", "--execute", expect=(1, REFUSED), timeout_s=120)
    assert "fence" in said and "drop its table" in said


NOTES = "customer BIGINT NOT NULL, op BIGINT NOT NULL, text VARCHAR(40)"


@pytest.mark.parametrize(
    ("columns", "elsewhere", "reason"),
    [
        (f"{NOTES}, PRIMARY KEY (op)", "", "does not contain the sharding key"),
        (f"{NOTES}, PRIMARY KEY (customer, op), UNIQUE KEY by_text (text)", "", "by_text"),
        ("customer BIGINT, op BIGINT NOT NULL, UNIQUE KEY (customer, op), PRIMARY KEY (op)", "", "can be NULL"),
        (NOTES, "", "no primary key"),
        (f"{NOTES}, PRIMARY KEY (customer, op), FOREIGN KEY (op) REFERENCES plain (id)", "", "does not move with it"),
        (f"{NOTES}, PRIMARY KEY (customer, op)", f"{NOTES}, more INT, PRIMARY KEY (customer, op)", "declared in another way"),
    ],
)
def test_a_table_that_cannot_be_served_sharded_is_not_sharded(cluster: Cluster, columns: str, elsewhere: str, reason: str) -> None:
    """Clients would get SP1301 for it from then on."""
    cluster.execute("s0", "CREATE TABLE plain (id BIGINT NOT NULL PRIMARY KEY)")
    cluster.execute("s0", f"CREATE TABLE notes ({columns})")
    if elsewhere:
        cluster.execute("s1", f"CREATE TABLE notes ({elsewhere})")
    said = cluster.ctl("table", "shard", "notes", "--key", "customer", "--execute", expect=(REFUSED,))
    assert reason in said
    assert not cluster.stored().tables and (elsewhere or "notes" not in cluster.tables_of("s1"))


def test_rows_that_nobody_saw_do_not_appear_when_a_table_is_sharded(cluster: Cluster) -> None:
    """A table of the same name on another shard, out of clients' sight so far."""
    cluster.execute("s0", f"CREATE TABLE notes ({NOTES}, PRIMARY KEY (customer, op))")
    cluster.execute("s1", f"CREATE TABLE notes ({NOTES}, PRIMARY KEY (customer, op))")
    cluster.execute("s1", "INSERT INTO notes VALUES (1, 1, 'old')")
    assert "has rows" in cluster.ctl("table", "shard", "notes", "--key", "customer", "--execute", expect=(REFUSED,))
    cluster.execute("s1", "DELETE FROM notes")
    cluster.ctl("table", "shard", "notes", "--key", "customer", "--execute")
    assert cluster.proxies[0].execute("SELECT COUNT(*) FROM notes") == [(0,)]
