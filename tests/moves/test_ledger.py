"""Nothing is lost, doubled or misread while shards are added, levelled and emptied. MOVES_SECONDS makes the first of them run longer."""

from __future__ import annotations

import os
import time

import pytest

from shardproxy.topology.moves import MoveState
from tests.moves.audit import audit
from tests.moves.cluster import Cluster
from tests.moves.ledger import Ledger
from tests.moves.run import Rounds, one_round
from tests.support.servers import DatabaseServer, MariaDB
from tests.support.waiting import eventually

SECONDS = float(os.environ.get("MOVES_SECONDS", "0"))
PAUSE_S = 0.015
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240 + SECONDS)]

Servers = dict[str, DatabaseServer]


def some(servers: Servers, count: int) -> Servers:
    """The first few."""
    return {name: servers[name] for name in sorted(servers)[:count]}


def test_three_shards_become_four_and_three_again(move_servers: Servers) -> None:
    with Cluster(3, ranged=False, servers=move_servers) as cluster:
        cluster.start()
        ledger = Ledger(cluster, pause_s=PAUSE_S)
        ledger.fill(1500)
        done = Rounds()
        until = time.monotonic() + SECONDS
        with ledger:
            one_round(cluster, ledger, done)
            while time.monotonic() < until and not ledger.wrong:
                one_round(cluster, ledger, done, reverse=done.rounds % 2)
        audit(cluster, ledger).check()
        assert done.moves >= 6


def test_ranges_and_reference_tables_move_too(move_servers: Servers) -> None:
    with Cluster(2, servers=some(move_servers, 3)) as cluster:
        cluster.start()
        ledger = Ledger(cluster, pause_s=PAUSE_S)
        ledger.fill(500)
        with ledger:
            ledger.run_for(1)
            cluster.add_spare()
            cluster.ctl("rebalance", "--execute", timeout_s=120)
            ledger.run_for(0.5)
            cluster.cleanup()
        audit(cluster, ledger).check()
        assert {move.group for move in cluster.moves()} == {"", "shop", "visits"}
        assert cluster.spare in cluster.stored().range_maps["visits"].owners


def test_two_shards_come_by_moves_at_the_same_time(move_servers: Servers) -> None:
    with Cluster(2, ranged=False, spares=2, workers=2, servers=move_servers) as cluster:
        cluster.start()
        ledger = Ledger(cluster, pause_s=PAUSE_S)
        ledger.fill(600)
        cluster.add_spare()
        with ledger:
            cluster.ctl("rebalance", "--execute", "--parallel", "2", timeout_s=120)
            ledger.run_for(0.3)
            cluster.cleanup()
        audit(cluster, ledger).check()
        assert set(cluster.stored().hash_maps["shop"]) == {"s0", "s1", "s2", "s3"}


def test_a_move_can_be_paused_cancelled_made_again_and_taken_back(move_servers: Servers) -> None:
    with Cluster(2, ranged=False, servers=some(move_servers, 3)) as cluster:
        cluster.start()
        ledger = Ledger(cluster, pause_s=PAUSE_S)
        ledger.fill(3000)
        cluster.add_spare()
        with ledger:
            cluster.ctl("throttle", "--rate", "400")
            mover = cluster.mover("rebalance", "--execute", "--max-moves", "1")
            first = eventually(lambda: [m for m in cluster.moves() if not m.joins and m.state is MoveState.COPYING], 40)[0]
            cluster.ctl("move", "pause", str(first.id))
            eventually(lambda: "paused" in cluster.store.progress(first.id).get("throttled", ""), 20)
            copied = cluster.store.progress(first.id)["rows_copied"]
            ledger.run_for(1)
            assert cluster.store.progress(first.id)["rows_copied"] <= copied + 500 and cluster.moves()[-1].state is MoveState.COPYING
            cluster.ctl("move", "resume", str(first.id))
            eventually(lambda: cluster.store.progress(first.id)["rows_copied"] > copied, 30)
            cluster.ctl("move", "cancel", str(first.id))
            assert mover.wait() == 1
            assert cluster.moves()[-1].state is MoveState.ABORTED
            cluster.ctl("throttle", "--rate", "0")
            cluster.ctl("rebalance", "--execute", timeout_s=120)
            switched = [move for move in cluster.moves() if move.state is MoveState.SWITCHED]
            ledger.run_for(1)
            for move in switched:
                cluster.ctl("move", "reverse", str(move.id), "--execute", timeout_s=90)
                ledger.run_for(0.3)
            assert set(cluster.stored().hash_maps["shop"]) == {"s0", "s1"}
            cluster.cleanup()
        audit(cluster, ledger).check()


def test_an_unsharded_table_is_sharded_and_spread(move_servers: Servers) -> None:
    with Cluster(2, ranged=False, servers=some(move_servers, 3)) as cluster:
        cluster.more_columns["notes"] = "customer BIGINT NOT NULL, op BIGINT NOT NULL, text VARCHAR(40), PRIMARY KEY (customer, op)"
        cluster.start()
        cluster.execute("s1", "DROP TABLE notes")
        ledger = Ledger(cluster, pause_s=PAUSE_S)
        ledger.fill(200)
        with ledger:
            ledger.run_for(1)
            cluster.ctl("table", "shard", "notes", "--key", "customer", "--execute")
            ledger.run_for(0.5)
            cluster.ctl("rebalance", "--execute", timeout_s=120)
            ledger.run_for(0.5)
            cluster.cleanup()
            ledger.run_for(0.3)
        audit(cluster, ledger).check()
        assert cluster.execute("s1", "SELECT COUNT(*) FROM notes")[0][0] > 0


def test_servers_without_a_binary_log_are_followed_by_triggers() -> None:
    with Cluster(2, ranged=False, server=MariaDB, log_bin=False) as cluster:
        cluster.start()
        ledger = Ledger(cluster, pause_s=PAUSE_S)
        ledger.fill(800)
        cluster.add_spare()
        with ledger:
            cluster.ctl("rebalance", "--execute", timeout_s=120)
            ledger.run_for(0.5)
            switched = [move for move in cluster.moves() if move.state is MoveState.SWITCHED]
            cluster.ctl("move", "reverse", str(switched[0].id), "--execute", timeout_s=90)
            ledger.run_for(0.3)
            cluster.cleanup()
        audit(cluster, ledger).check()
