"""The fault matrix: what can break, at every place where a move can be, while clients go on.

`python -m tests.moves.faults` runs it and prints a table; `--list` shows the cases, `--only PATTERN` picks some by a regular
expression, `--jobs N` runs so many at a time, `--minutes N` as many as that gives, in an order by chance, `--write FILE` keeps the
result as Markdown. Every case begins with two shards and a spare one, and ends, whatever was broken on the way, with the spare one
having its part, every acknowledged row exactly once, and nothing left behind.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import pymysql
import pytest

from shardproxy.topology.hashing import bucket_of
from shardproxy.topology.moves import Move, MoveState
from tests.moves.audit import Audit
from tests.moves.cluster import Cluster, Mover, new_servers
from tests.moves.ledger import DONE, Ledger
from tests.support.etcd import Etcd
from tests.support.relay import Relay
from tests.support.servers import DatabaseServer
from tests.support.waiting import eventually

# Where a move can be, by what makes it come there. Points of `migrate.failpoints` that are in none are listed in UNREACHED.
POINTS: Mapping[str, tuple[str, ...]] = {
    "join": (
        "lease_taken", "prepare_begun", "fences_made", "tables_made", "prepared", "position_noted", "chunk_written", "copied", "caught_up",
        "verified", "hold_asked", "held", "source_closed", "applied_all", "target_opened", "before_decision", "decided", "target_freed",
        "switched",
    ),
    "move": (
        "lease_taken", "plan_written", "prepare_begun", "fences_made", "tables_made", "guards_made", "prepared", "position_noted",
        "chunk_read", "chunk_written", "chunk_noted", "chunk_noted:2", "copied", "batch_read", "batch_written", "batch_noted", "caught_up",
        "verified", "hold_asked", "held", "source_closed", "xa_drained", "applied_all", "reverse_noted", "target_opened", "before_decision",
        "decided", "target_freed", "switched",
    ),
    "cleanup": ("lease_taken", "cleanup_begun", "fences_made", "cleanup_chunk", "cleaned", "guards_dropped", "done"),
    "abort": ("lease_taken", "abort_begun", "fences_made", "purged", "aborted"),
    "reverse": ("lease_taken", "fences_made", "guards_made", "prepared", "batch_read", "verified", "source_closed", "decided", "switched"),
}  # fmt: skip
# Where servers, proxies, the store and the network are hit: before, in and behind each part of a move.
HIT = ("tables_made", "position_noted", "chunk_written", "batch_read", "verified", "hold_asked", "held", "source_closed", "applied_all",
       "target_opened", "before_decision", "decided", "target_freed")  # fmt: skip
BUSY = 4
_LEASE_S = 6.0
ROWS = 4000
# Clients that write and read less leave more of a small machine to what is tested.
_PAUSE_S = 0.04


@dataclass
class Case:
    """A thing that goes wrong. `ways`: who reaches the shards through relays; `losses`: clients may lose connections."""

    name: str
    run: Callable[[Run], None]
    ways: tuple[str, ...] = ()
    losses: bool = False
    etcd: bool = False


@dataclass
class Outcome:
    """What came of a case."""

    name: str
    seconds: float
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    statements: int = 0
    rows: int = 0


class Run:
    """One case under way."""

    def __init__(self, case: Case, cluster: Cluster, ledger: Ledger, relays: Mapping[tuple[str, str], Relay], etcd: Etcd | None) -> None:
        self.case = case
        self.cluster = cluster
        self.ledger = ledger
        self.relays = relays
        self.etcd = etcd
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Something for the table."""
        self.notes.append(text)

    # -- moves --------------------------------------------------------------------------------------------------------

    def join(self) -> None:
        """The spare shard becomes a member."""
        self.cluster.ctl("rebalance", "--execute", "--max-moves", "0")

    def move(self, failpoint: str = "") -> Mover:
        """Start the first move of rows."""
        return self.cluster.mover("rebalance", "--execute", "--max-moves", "1", failpoint=failpoint)

    def begin(self, phase: str, failpoint: str) -> Mover:
        """Start what leads to the points of a phase."""
        cluster = self.cluster
        if phase == "join":
            return cluster.mover("rebalance", "--execute", "--max-moves", "0", failpoint=failpoint)
        self.join()
        if phase == "move":
            return self.move(failpoint)
        if phase == "abort":
            cluster.ctl("rebalance", "--execute", "--max-moves", "1", "--hold")
            return cluster.mover("move", "cancel", str(self.current.id), failpoint=failpoint)
        cluster.ctl("rebalance", "--execute", "--max-moves", "1")
        action = "cleanup" if phase == "cleanup" else "reverse"
        return cluster.mover("move", action, str(self.current.id), "--execute", failpoint=failpoint)

    @property
    def current(self) -> Move:
        """The newest move."""
        return self.cluster.moves()[-1]

    def complete(self, tries: int = 5) -> None:
        """Run `rebalance` until everything is where it belongs, as an operator would."""
        codes = []
        for _ in range(tries):
            mover = self.cluster.mover("rebalance", "--execute")
            code = mover.wait(120)
            codes.append(code)
            self.legal()
            if code == 0:
                break
            if code == BUSY:
                self.ledger.run_for(_LEASE_S / 3)
            elif code == 1:
                self.note(f"again: {mover.said().strip().splitlines()[-1][:160]}")
            else:
                raise AssertionError(f"rebalance exits with {code}:\n{mover.said()[-2000:]}")
        if codes[-1] != 0:
            raise AssertionError(f"rebalance exits with {codes}:\n{mover.said()[-2000:]}")

    def legal(self) -> None:
        """The map is the one before or behind each move."""
        stored = self.cluster.stored()
        owners = stored.hash_maps["shop"]
        for move in stored.moves:
            later = {bucket for other in stored.moves if other.id > move.id and other.state.decided for bucket in other.share.buckets}
            wanted = move.target if move.state.decided else move.source
            wrong = [bucket for bucket in move.share.buckets - later if owners[bucket] != wanted]
            if move.reverse_of or any(other.reverse_of == move.id for other in stored.moves):
                wrong = [bucket for bucket in wrong if owners[bucket] not in (move.source, move.target)]
            assert not wrong, f"move {move.id} is {move.state.value}, and {len(wrong)} of its buckets do not belong to {wanted}"

    def server(self, side: str) -> DatabaseServer:
        """The source's or the target's."""
        move = self.current
        return self.cluster.servers[move.source if side == "source" else move.target]


# -- one case -------------------------------------------------------------------------------------------------------------


class Watch:
    """Looks all the time whether a share is open on two shards, and whether an epoch goes down."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stopping = threading.Event()
        self.faults: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _run(self) -> None:
        epoch = 0
        while not self._stopping.wait(0.03):
            try:
                stored = self._cluster.stored()
            except Exception:  # noqa: BLE001 - the store may be away
                continue
            if stored.epoch < epoch:
                self.faults.append(f"the epoch went from {epoch} to {stored.epoch}")
            epoch = stored.epoch
            for move in stored.moves:
                if not (move.state.over or move.joins or move.state is MoveState.PLANNED):
                    self._both_open(move)

    def _both_open(self, move: Move) -> None:
        try:
            states = [self._fence(shard, move.id) for shard in (move.target, move.source, move.target)]
        except (pymysql.err.Error, OSError):
            return
        if states == ["open"] * 3:
            self.faults.append(f"move {move.id} is open on {move.source} and on {move.target}")

    def _fence(self, shard: str, move: int) -> str:
        with self._cluster.servers[shard].connect("app", read_timeout=3, connect_timeout=1) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT state FROM _sp_fence WHERE move = {move}")
            row = cursor.fetchone()
            return str(row[0]) if row else ""


def carry_out(case: Case, servers: Mapping[str, DatabaseServer], *, seed: int = 1, rows: int = ROWS, keep: Path | None = None) -> Outcome:
    """Run a case from the beginning to its audit."""
    begun = time.monotonic()
    outcome = Outcome(case.name, 0)
    with ExitStack() as stack:
        etcd = None
        if case.etcd:
            etcd = Etcd()
            etcd.start()
            stack.callback(etcd.kill)
        cluster = stack.enter_context(Cluster(2, ranged=False, servers=servers, store=etcd.url() if etcd else ""))
        relays = {}
        if etcd is not None:
            for who in ("ctl", "proxy1"):
                relay = relays[who, "store"] = stack.enter_context(Relay(etcd.port))
                cluster.store_urls[who] = etcd.url().replace(str(etcd.port), str(relay.port))
        if case.ways:
            cluster.spare_in_files = True
        for who in case.ways:
            for shard, server in cluster.servers.items():
                relay = relays[who, shard] = stack.enter_context(Relay(server.port))
                cluster.ways.setdefault(who, {})[shard] = relay.port
        ledger = Ledger(cluster, seed=seed, losses=case.losses, pause_s=_PAUSE_S)
        run = Run(case, cluster, ledger, relays, etcd)
        try:
            cluster.start()
            ledger.fill(rows)
            cluster.add_spare()
            with Watch(cluster) as watch, ledger:
                case.run(run)
                run.complete()
                ledger.run_for(0.5)
                cluster.cleanup()
                ledger.run_for(0.5)
            audited = Audit(cluster, ledger).rows_are_right().verify_says_so().nothing_is_left()
            audited.faults += watch.faults[:3]
            outcome.rows = audited.rows
            audited.check()
        except Exception as error:  # noqa: BLE001 - the other cases go on
            said = traceback.format_exc().splitlines()
            outcome.problem = str(error) if isinstance(error, AssertionError) else "\n".join(said[-6:])
            outcome.problem += "".join(f"\n[seen] {text}" for text in ledger.wrong[:5])
            if keep is not None:
                keep_evidence(run, keep / re.sub(r"\W+", "-", case.name))
        outcome.notes = run.notes
        outcome.statements = sum(ledger.counts.values())
    outcome.seconds = time.monotonic() - begun
    return outcome


def keep_evidence(run: Run, directory: Path) -> None:
    """What movers and proxies have printed, the journal, and all statements."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, mover in enumerate(run.cluster.movers):
        (directory / f"ctl-{number}.log").write_text(" ".join(mover.command) + "\n" + mover.said())
    for proxy in run.cluster.proxies:
        (directory / f"{proxy.name}.log").write_text(proxy.log())
    run.ledger.write_history(directory / "history.jsonl")
    lines = [f"{move}" for move in run.cluster.moves()]
    lines += [f"{move.id} {at:.3f} {event}" for move in run.cluster.moves() for at, event in run.cluster.store.journal(move.id)]
    (directory / "moves.txt").write_text("\n".join(lines))


# -- what goes wrong ------------------------------------------------------------------------------------------------------


def _failpoint(point: str, action: str) -> str:
    name, _, number = point.partition(":")
    return f"{name}:{action}" + (f":{number}" if number else "")


def _reached(run: Run, mover: Mover, point: str) -> None:
    assert mover.at_failpoint(point.partition(":")[0], 60), f"the mover ended before {point}:\n{mover.said()[-1500:]}"


def nothing(run: Run) -> None:
    """Nothing goes wrong."""


def kill_mover(phase: str, point: str, run: Run) -> None:
    """The mover is killed, and another run goes on."""
    mover = run.begin(phase, _failpoint(point, "kill"))
    assert mover.wait(90) == -9, f"the mover was not killed at {point}:\n{mover.said()[-1500:]}"
    run.legal()


def stop_mover(phase: str, point: str, run: Run) -> None:
    """The mover is stopped, another one takes over when the lease is over, and the first one goes on, too late."""
    mover = run.begin(phase, _failpoint(point, "stop"))
    _reached(run, mover, point)
    second = run.cluster.mover("rebalance", "--execute")
    code = second.wait(120)
    if code == 1 and "database is locked" in second.said():
        # It was stopped while it wrote to the store, and nobody can but itself.
        run.note("stopped with the store locked")
    else:
        # On a slow machine the lease may be over when the second one comes to ask for it.
        assert code in (BUSY, 0), f"the second mover exits with {code} while the first is stopped:\n{second.said()[-1500:]}"
        run.ledger.run_for(_LEASE_S + 0.5)
        run.complete()
    run.legal()
    mover.resume()
    code = mover.wait(60)
    assert code in (BUSY, 0), f"the mover that came too late exits with {code}:\n{mover.said()[-1500:]}"
    run.note(f"first mover: {code}")
    run.legal()


def stop_mover_briefly(phase: str, point: str, run: Run) -> None:
    """The mover is stopped for three seconds, in which nobody takes over: clients that wait are let go, and it goes on."""
    mover = run.begin(phase, _failpoint(point, "stop"))
    _reached(run, mover, point)
    run.ledger.run_for(3)
    mover.resume()
    run.note(f"mover: {mover.wait(120)}")


def kill_server(side: str, point: str, run: Run) -> None:
    """A server is killed and comes back a second later."""
    run.join()
    mover = run.move(_failpoint(point, "1.5"))
    _reached(run, mover, point)
    server = run.server(side)
    server.kill()
    run.ledger.run_for(1)
    server.start()
    run.note(f"mover: {mover.wait(150)}")
    run.legal()


def kill_proxy(point: str, run: Run) -> None:
    """A proxy is killed, and started again three seconds later."""
    run.join()
    mover = run.move(_failpoint(point, "1"))
    _reached(run, mover, point)
    proxy = run.cluster.proxies[1]
    proxy.kill()
    run.ledger.run_for(3)
    proxy.start()
    run.note(f"mover: {mover.wait(150)}")


def stop_proxy(point: str, run: Run) -> None:
    """A proxy is stopped for eight seconds, with statements of clients in its sockets, and goes on."""
    run.join()
    mover = run.move(_failpoint(point, "1"))
    _reached(run, mover, point)
    proxy = run.cluster.proxies[1]
    # It has seen newer documents than the one that asked it to hold.
    run.cluster.ctl("throttle", "--rate", "0")
    proxy.pause()
    run.ledger.run_for(8)
    proxy.resume()
    run.note(f"mover: {mover.wait(150)}")


def lock_store(point: str, run: Run) -> None:
    """Another process writes to the store for seven seconds: nobody else can, though all can read it."""
    run.join()
    mover = run.move(_failpoint(point, "1"))
    _reached(run, mover, point)
    with closing(sqlite3.connect(run.cluster.dir / "topology.db", isolation_level=None, timeout=5)) as database:
        database.execute("BEGIN EXCLUSIVE")
        run.ledger.run_for(7)
        database.execute("ROLLBACK")
    code = mover.wait(150)
    run.note(f"mover: {code}")


def kill_store(point: str, run: Run) -> None:
    """etcd is killed, and started again four seconds later."""
    assert run.etcd is not None
    run.join()
    mover = run.move(_failpoint(point, "1"))
    _reached(run, mover, point)
    run.etcd.kill()
    run.ledger.run_for(4)
    run.etcd.start()
    run.note(f"mover: {mover.wait(150)}")


def start_proxy(point: str, run: Run) -> None:
    """A proxy that was not there when proxies were asked to hold."""
    run.join()
    proxy = run.cluster.proxies[1]
    proxy.stop()
    mover = run.move(_failpoint(point, "1.5"))
    _reached(run, mover, point)
    proxy.start()
    run.note(f"mover: {mover.wait(150)}")


def cut_store(who: str, point: str, run: Run) -> None:
    """The mover or a proxy cannot reach the store for eight seconds; everybody else can."""
    relay = run.relays[who, "store"]
    run.join()
    mover = run.move(_failpoint(point, "1"))
    _reached(run, mover, point)
    relay.refuse()
    relay.cut()
    run.ledger.run_for(8)
    relay.accept()
    run.note(f"mover: {mover.wait(150)}")


def slow_network(way: str, run: Run) -> None:
    """Each packet takes 20 ms."""
    relay, mover = _at(way, "position_noted", run)
    relay.delay(20)
    run.note(f"mover: {mover.wait(150)}")
    relay.delay(0)


def purge_log(run: Run) -> None:
    """The binary log that the move has still to read is thrown away."""
    run.join()
    mover = run.move("chunk_noted:3:2")
    _reached(run, mover, "chunk_noted")
    server = run.server("source")
    run.ledger.run_for(0.5)
    server.execute("FLUSH BINARY LOGS")
    run.ledger.run_for(0.5)
    server.execute("FLUSH BINARY LOGS")
    newest = server.execute("SHOW BINARY LOGS")[-1][0]
    server.execute(f"PURGE BINARY LOGS TO '{newest}'")
    run.note(f"mover: {mover.wait(150)}")
    again = [event for _, event in run.cluster.store.journal(run.current.id) if event.startswith("copy again")]
    assert again, "the move went on without what was thrown away"


def cut_network(way: str, point: str, run: Run) -> None:
    """Connections are reset and refused for two seconds."""
    relay, mover = _at(way, point, run)
    relay.refuse()
    relay.cut()
    run.ledger.run_for(2)
    relay.accept()
    run.note(f"mover: {mover.wait(150)}")


def stall_network(way: str, point: str, run: Run) -> None:
    """Connections stay open, and nothing comes through for four seconds."""
    relay, mover = _at(way, point, run)
    relay.stall()
    run.ledger.run_for(4)
    relay.flow()
    run.note(f"mover: {mover.wait(150)}")


def _at(way: str, point: str, run: Run) -> tuple[Relay, Mover]:
    who, side = way.split("-")
    run.join()
    mover = run.move(_failpoint(point, "1"))
    _reached(run, mover, point)
    move = run.current
    return run.relays["ctl" if who == "mover" else "proxy1", move.source if side == "source" else move.target], mover


# -- what is done to a move -----------------------------------------------------------------------------------------------


def change_table(through: str, run: Run) -> None:
    """A table gets a column while it is copied: by a proxy, or on the shards themselves."""
    run.join()
    mover = run.move("chunk_noted:2")
    _reached(run, mover, "chunk_noted")
    sql = "ALTER TABLE items ADD COLUMN extra INT NOT NULL DEFAULT 7"
    if through == "proxy":
        with pytest.raises(pymysql.err.OperationalError, match="SP1412"):
            run.cluster.proxies[0].execute(sql)
    else:
        for shard in run.cluster.servers:
            run.cluster.execute(shard, sql)
    code = mover.wait(120)
    run.note(f"mover: {code}")
    if through == "shards":
        for shard, server in run.cluster.servers.items():
            if "items" in run.cluster.tables_of(shard):
                server.execute("UPDATE items SET extra = op % 1000", "app")
        run.complete()
        for shard in run.cluster.servers:
            wrong = run.cluster.execute(shard, "SELECT COUNT(*) FROM items WHERE extra NOT IN (op % 1000, 7)")
            kept = run.cluster.execute(shard, "SELECT COUNT(*) FROM items WHERE extra = op % 1000")
            assert wrong[0][0] == 0 and kept[0][0] > 0, f"the new column's values on {shard}: {wrong}, {kept}"


def truncate_table(run: Run) -> None:
    """A table without which the ledger can do is emptied on the shards while it is copied."""
    run.join()
    mover = run.move("chunk_noted:2")
    _reached(run, mover, "chunk_noted")
    source = run.current.source
    run.cluster.execute(source, "CREATE TABLE IF NOT EXISTS other (id INT PRIMARY KEY); TRUNCATE other; DROP TABLE other")
    run.note(f"mover: {mover.wait(120)}")


def long_transaction(seconds: float, run: Run) -> None:
    """A client has changed a row that moves, and takes its time to commit."""
    run.join()
    mover = run.move("verified:1")
    _reached(run, mover, "verified")
    key = moving_customer(run)
    with run.cluster.proxies[0].connect() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        write = run.ledger.new_write("items", key)
        cursor.execute(f"INSERT INTO items (customer, op, n, text) VALUES ({key}, {write.op}, 0, 'item {write.op}/0')")
        run.ledger.run_for(seconds)
        cursor.execute("COMMIT")
        write.outcome = DONE
    run.note(f"mover: {mover.wait(120)}, blocked {_attempts(run)} times")


def long_direct_transaction(seconds: float, run: Run) -> None:
    """The same by a client that came past the proxies."""
    run.join()
    mover = run.move("verified:1")
    _reached(run, mover, "verified")
    key = moving_customer(run)
    with run.server("source").connect("app") as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        write = run.ledger.new_write("items", key)
        cursor.execute(f"INSERT INTO items (customer, op, n, text) VALUES ({key}, {write.op}, 0, 'item {write.op}/0')")
        run.ledger.run_for(seconds)
        cursor.execute("COMMIT")
        write.outcome = DONE
    run.note(f"mover: {mover.wait(120)}, blocked {_attempts(run)} times")


def prepared_transaction(point: str, end: str, run: Run) -> None:
    """An XA transaction stays prepared, its client gone; the move waits until somebody ends it."""
    run.join()
    mover = run.move(f"{point}:1")
    _reached(run, mover, point)
    key = moving_customer(run)
    server = run.server("source")
    write = run.ledger.new_write("items", key)
    with server.connect("app") as connection, connection.cursor() as cursor:
        for sql in (
            "XA START 'left'",
            f"INSERT INTO items (customer, op, n, text) VALUES ({key}, {write.op}, 0, 'item {write.op}/0')",
            "XA END 'left'",
            "XA PREPARE 'left'",
        ):
            cursor.execute(sql)
    run.ledger.run_for(5)
    state = run.current.state
    assert not state.decided, f"the move is {state.value} with a prepared transaction that changes its rows"
    server.execute(f"XA {end} 'left'")
    write.outcome = DONE if end == "COMMIT" else "failed"
    run.note(f"mover: {mover.wait(120)}, blocked {_attempts(run)} times")


def moving_customer(run: Run) -> int:
    """A customer whom the newest move takes along."""
    buckets = run.current.share.buckets
    return next(key for key in range(100_000, 200_000) if bucket_of(b"%d" % key) in buckets)


def _attempts(run: Run) -> int:
    return int(run.cluster.store.progress(run.current.id).get("attempts", 0))


def two_movers(run: Run) -> None:
    """Several operators at once: one moves, the others are told so."""
    run.join()
    movers = [run.cluster.mover("rebalance", "--execute") for _ in range(3)]
    codes = sorted(mover.wait(120) for mover in movers)
    assert codes[0] == 0 and set(codes) <= {0, BUSY}, f"{codes}: " + "\n".join(mover.said()[-500:] for mover in movers)
    run.note(f"exit {codes}")


def wishes(run: Run) -> None:
    """Pause, resume, cancel, again, and back."""
    cluster = run.cluster
    run.join()
    cluster.ctl("throttle", "--rate", "300")
    mover = run.move("")
    eventually(lambda: run.current.state is MoveState.COPYING and run.current.share, 40)
    number = str(run.current.id)
    cluster.ctl("move", "pause", number)
    before = eventually(lambda: cluster.store.progress(run.current.id).get("throttled", "").startswith("paused") and run.current, 20)
    run.ledger.run_for(1)
    assert run.current.state is before.state and mover.process.poll() is None
    cluster.ctl("move", "resume", number)
    cluster.ctl("throttle", "--rate", "0")
    eventually(lambda: cluster.store.progress(run.current.id).get("rows_copied", 0) > 0, 20)
    cluster.ctl("move", "cancel", number)
    code = mover.wait(60)
    state = cluster.moves()[-1].state
    run.note(f"cancelled: mover {code}, {state.value}")
    assert state in (MoveState.ABORTED, MoveState.SWITCHED)
    run.complete()
    back = next(move for move in cluster.moves() if move.state is MoveState.SWITCHED)
    cluster.ctl("move", "reverse", str(back.id), "--execute", timeout_s=90)
    run.legal()


# -- all of them ----------------------------------------------------------------------------------------------------------


def all_cases() -> list[Case]:
    """The matrix."""
    cases = [Case("nothing goes wrong", nothing)]
    for phase, points in POINTS.items():
        for point in points:
            cases += [
                Case(f"kill mover: {phase} {point}", partial(kill_mover, phase, point)),
                Case(f"stop mover: {phase} {point}", partial(stop_mover, phase, point)),
            ]
    for point in ("chunk_written", "held", "source_closed", "target_opened", "before_decision", "decided"):
        cases += [Case(f"stop mover for 3 s: {point}", partial(stop_mover_briefly, "move", point))]
    for point in HIT:
        cases += [
            Case(f"kill source: {point}", partial(kill_server, "source", point), losses=True),
            Case(f"kill target: {point}", partial(kill_server, "target", point), losses=True),
            Case(f"kill proxy: {point}", partial(kill_proxy, point), losses=True),
            Case(f"stop proxy: {point}", partial(stop_proxy, point)),
            Case(f"lock store: {point}", partial(lock_store, point), losses=True),
            Case(f"kill etcd: {point}", partial(kill_store, point), losses=True, etcd=True),
        ]
    for way in ("mover-source", "mover-target", "proxy-source", "proxy-target"):
        mover = way.startswith("mover")
        more: dict[str, Any] = {"ways": ("ctl",) if mover else ("proxy1",), "losses": not mover}
        for point in HIT[2:]:
            cases += [
                Case(f"cut {way}: {point}", partial(cut_network, way, point), **more),
                Case(f"stall {way}: {point}", partial(stall_network, way, point), **more),
            ]
    for point in ("verified", "hold_asked", "held", "source_closed", "before_decision", "decided"):
        cases += [
            Case(f"start proxy: {point}", partial(start_proxy, point), losses=True),
            Case(f"cut mover-store: {point}", partial(cut_store, "ctl", point), etcd=True),
            Case(f"cut proxy-store: {point}", partial(cut_store, "proxy1", point), etcd=True),
        ]
    cases += [
        Case("slow mover-source", partial(slow_network, "mover-source"), ways=("ctl",)),
        Case("slow mover-target", partial(slow_network, "mover-target"), ways=("ctl",)),
        Case("binary log purged in mid-copy", purge_log),
        Case("DDL by a proxy in mid-copy", partial(change_table, "proxy")),
        Case("DDL on the shards in mid-copy", partial(change_table, "shards")),
        Case("other tables come and go in mid-copy", truncate_table),
        Case("transaction of 10 s", partial(long_transaction, 10.0)),
        Case("transaction of 60 s", partial(long_transaction, 60.0)),
        Case("direct transaction of 10 s", partial(long_direct_transaction, 10.0)),
        Case("XA left before the copy, committed", partial(prepared_transaction, "prepared", "COMMIT")),
        Case("XA left before the copy, rolled back", partial(prepared_transaction, "prepared", "ROLLBACK")),
        Case("XA left in the copy, committed", partial(prepared_transaction, "chunk_written", "COMMIT")),
        Case("XA left before the cutover, committed", partial(prepared_transaction, "verified", "COMMIT")),
        Case("XA left before the cutover, rolled back", partial(prepared_transaction, "verified", "ROLLBACK")),
        Case("three movers at once", two_movers),
        Case("pause, resume, cancel, reverse", wishes),
    ]
    return cases


def short_cases() -> list[Case]:
    """A few that together touch most of what can go wrong."""
    wanted = (
        "kill mover: join decided",
        "kill mover: move chunk_written",
        "stop mover: move batch_read",
        "kill source: source_closed",
        "kill target: target_opened",
        "stop proxy: held",
        "lock store: before_decision",
        "XA left before the cutover, committed",
    )
    by_name = {case.name: case for case in all_cases()}
    return [by_name[name] for name in wanted]


def main() -> int:
    """Run the matrix, or a part of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--only", default="", metavar="REGEX")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, metavar="N")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="logs and histories of cases that fail")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, metavar="N", help="begin none after so long; the order is by chance then"
    )
    options = parser.parse_args()
    cases = [case for case in all_cases() if re.search(options.only, case.name)]
    if options.minutes < math.inf:
        random.Random(options.seed).shuffle(cases)
    if options.list:
        _print("\n".join(case.name for case in cases))
        return 0
    outcomes: list[Outcome] = []
    try:
        with ProcessPoolExecutor(options.jobs, initializer=_begin) as pool, ExitStack() as stack:
            stack.callback(pool.shutdown, cancel_futures=True)
            until = time.monotonic() + options.minutes * 60
            under_way = [pool.submit(_carry_out, case.name, options.seed, options.keep) for case in cases]
            for future in as_completed(under_way):
                if time.monotonic() > until:
                    pool.shutdown(wait=False, cancel_futures=True)
                if future.cancelled():
                    continue
                outcome = future.result()
                outcomes.append(outcome)
                _print(_line(outcome))
                if outcome.problem:
                    _print("    " + outcome.problem.replace("\n", "\n    "))
    finally:
        if options.write:
            options.write.write_text(markdown(outcomes, options.seed))
    failed = [outcome.name for outcome in outcomes if outcome.problem]
    _print(f"{len(outcomes)} cases, {sum(outcome.statements for outcome in outcomes)} statements, {len(failed)} failed")
    return 1 if failed else 0


_servers: dict[str, DatabaseServer] = {}


def _begin() -> None:
    """A process has servers of its own, for all its cases."""
    _servers.update(new_servers(3))
    Finalize(None, _end, exitpriority=1)


def _end() -> None:
    for server in _servers.values():
        server.kill()


def _carry_out(name: str, seed: int, keep: Path | None) -> Outcome:
    try:
        return carry_out(next(case for case in all_cases() if case.name == name), _servers, seed=seed, keep=keep)
    except BaseException as error:  # noqa: BLE001 - not every exception can be sent to another process
        return Outcome(name, 0, f"the case itself failed: {error!r}")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _line(outcome: Outcome) -> str:
    held = "FAILED" if outcome.problem else "held  "
    return f"{held} {outcome.seconds:5.0f} s {outcome.statements:6} statements  {outcome.name}  {'; '.join(outcome.notes)}"


def markdown(outcomes: list[Outcome], seed: int) -> str:
    """The result as a table, one row for each kind of fault."""
    kinds: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault(outcome.name.partition(":")[0], []).append(outcome)
    lines = [
        (
            f"Seed {seed}; {len(outcomes)} of {len(all_cases())} cases,"
            f" {sum(outcome.statements for outcome in outcomes):,} statements of clients."
        ),
        "",
        "| what | places | held | failed |",
        "|---|---|---|---|",
    ]
    for kind, several in kinds.items():
        failed = [outcome.name.partition(": ")[2] or outcome.name for outcome in several if outcome.problem]
        lines.append(f"| {kind} | {len(several)} | {len(several) - len(failed)} | {', '.join(failed) or '–'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.TimeoutExpired as error:
        sys.exit(str(error))
