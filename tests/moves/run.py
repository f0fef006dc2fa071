"""The ledger run: a shard is added, everything is levelled, and the shard is emptied again, round after round, while clients go on.

`python -m tests.moves.run --minutes 30` prints what was done and what was found; it ends with status 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from shardproxy.topology.moves import MoveState
from tests.moves.audit import Audit
from tests.moves.cluster import Cluster
from tests.moves.ledger import Ledger
from tests.support.etcd import Etcd
from tests.support.servers import MariaDB, MySQL


@dataclass
class Rounds:
    """What was done."""

    rounds: int = 0
    moves: int = 0
    reversed: int = 0
    rows_moved: int = 0
    pauses_ms: list[int] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """In one line."""
        pauses = sorted(self.pauses_ms) or [0]
        quantiles = [pauses[min(len(pauses) - 1, int(len(pauses) * q))] for q in (0.5, 0.95)]
        return (
            f"{self.rounds} rounds, {self.moves} moves of rows, {self.reversed} taken back, {self.rows_moved} rows copied;"
            f" pause p50 {quantiles[0]} ms, p95 {quantiles[1]} ms, most {pauses[-1]} ms"
        )


def one_round(cluster: Cluster, ledger: Ledger, done: Rounds, *, reverse: int = 0) -> None:
    """Add the spare shard, level, perhaps take moves back and level again, empty the shard, and remove it."""
    known = {move.id for move in cluster.moves()}
    cluster.add_spare()
    cluster.ctl("rebalance", "--execute", timeout_s=600)
    switched = [move.id for move in cluster.moves() if move.state is MoveState.SWITCHED]
    for number in switched[:reverse]:
        cluster.ctl("move", "reverse", str(number), "--execute", timeout_s=300)
        done.reversed += 1
    if reverse:
        cluster.ctl("rebalance", "--execute", timeout_s=600)
    ledger.run_for(0.2)
    cluster.cleanup(600)
    cluster.drain_spare()
    cluster.ctl("rebalance", "--execute", timeout_s=600)
    cluster.cleanup(600)
    cluster.remove_spare()
    ledger.run_for(0.2)
    for move in cluster.moves():
        if move.id not in known and not move.joins:
            progress = cluster.store.progress(move.id)
            done.moves += 1
            done.rows_moved += int(progress.get("rows_copied", 0))
            done.pauses_ms.append(int(progress.get("pause_ms", 0)))
    done.rounds += 1


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Rounds until the time is over."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--pause-ms", type=float, default=4)
    parser.add_argument("--spares", type=int, default=1, help="so many shards come and go together, by moves at the same time")
    parser.add_argument("--workers", type=int, default=1, help="processes of each proxy")
    parser.add_argument("--store", choices=("sqlite", "etcd"), default="sqlite")
    parser.add_argument("--mysql", action="store_true", help="MySQL in place of MariaDB")
    parser.add_argument("--no-log", action="store_true", help="servers without a binary log: triggers write changes down")
    parser.add_argument("--history", type=Path, help="where to write every statement, if something is wrong")
    options = parser.parse_args()
    with ExitStack() as stack:
        etcd = None
        if options.store == "etcd":
            etcd = Etcd()
            etcd.start()
            stack.callback(etcd.kill)
        server = MySQL if options.mysql else MariaDB
        more = {"spares": options.spares, "workers": options.workers, "store": etcd.url() if etcd else ""}
        cluster = stack.enter_context(Cluster(3, server=server, log_bin=not options.no_log, **more))
        cluster.start()
        ledger = Ledger(cluster, seed=options.seed, clients=options.clients, pause_s=options.pause_ms / 1000)
        ledger.fill(options.rows)
        done = Rounds()
        rng = random.Random(options.seed)
        until = time.monotonic() + options.minutes * 60
        problem = ""
        try:
            with ledger:
                while time.monotonic() < until and not ledger.wrong:
                    one_round(cluster, ledger, done, reverse=rng.choice((0, 0, 1, 2)))
                    _print(f"{done.summary}\n  {ledger.summary}")
        except AssertionError as error:
            problem = str(error)
        audited = Audit(cluster, ledger).rows_are_right().verify_says_so().nothing_is_left()
        if problem:
            audited.faults.append(problem)
        _print(f"{done.summary}\n  {ledger.summary}")
        _print(f"  {audited.rows} rows audited, {audited.resolved} writes were unknown and are resolved")
        _print("\n".join(audited.faults) or "0 lost, 0 doubled, 0 stale, every scatter exact, every row on one shard, nothing left behind")
        if audited.faults and options.history:
            ledger.write_history(options.history)
        return 1 if audited.faults else 0


if __name__ == "__main__":
    sys.exit(main())
