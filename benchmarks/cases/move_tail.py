"""How fast a move brings what has changed while its rows were copied, beside a replica that applies the same binary log."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import mariadb
from benchmarks.cases.oltp import rotated
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab
from benchmarks.mariadb import MariaDb
from benchmarks.move_lab import ROW, SCHEMA, TABLE, Fleet
from benchmarks.mover import Task
from benchmarks.procfs import own_cpu_seconds
from benchmarks.progress import say
from benchmarks.report import Table, number, paired_ratio, spread
from benchmarks.weather import Weather

_BULK = 1000  # rows of one statement
_HOT = 100
_COLUMNS = ("changes, by", "changes/s", "÷ replica", "CPU µs/change of the mover", "source", "target or replica")
_LIMIT_S = 600


@dataclass(frozen=True, slots=True)
class _Brought:
    """Seconds until all was there; CPU seconds of the mover, the source, and the target or replica."""

    seconds: float
    cpu: tuple[float, float, float]


class _Bench:
    """A shard whose move is held before its cutover, and a replica of the shard."""

    def __init__(self, fleet: Fleet, rows: int) -> None:
        self._fleet = fleet
        self._source, self._target = fleet.owners[0], fleet.spares[0]
        self._server = fleet.servers[self._source]
        self.replica = _follow(fleet, self._server)
        wanted = fleet.wanted(self._source, self._target, fleet.buckets(self._source))
        fleet.move(Task([[wanted]], hold=True))
        self._move = wanted.id
        self._rows = rows

    def change(self, kind: str, changes: int) -> None:
        """Write past the proxies, in the server itself, which is the quickest; the replica does not listen meanwhile."""
        self._wait_for_replica()
        self.replica.execute(None, ["STOP SLAVE"])
        if kind == "inserts":
            fill = f"INSERT INTO {TABLE} SELECT {ROW} FROM seq_{{}}_to_{{}}"
            first, self._rows = self._rows + 1, self._rows + changes
            chunks = [(start, min(start + _BULK, self._rows + 1) - 1) for start in range(first, self._rows + 1, _BULK)]
            self._server.execute(SCHEMA, [fill.format(*chunk) for chunk in chunks])
            return
        spread_over = _HOT if kind == "hot" else changes
        loop = f"FOR n IN 1..{changes} DO UPDATE {TABLE} SET k = k + 1 WHERE id = 1 + n % {spread_over}; END FOR"
        self._server.execute(SCHEMA, [f"BEGIN NOT ATOMIC {loop}; END"])

    def bring(self) -> _Brought:
        """By the mover."""
        [moved] = self._fleet.move(Task(tail=self._move))
        cpu = moved.cpu("tail", "end")
        return _Brought(moved.seconds("tail", "end"), (cpu["mover"], cpu[self._source], cpu[self._target]))

    def replicate(self) -> _Brought:
        """By the replica."""
        pids = self._server.daemon.pid, self.replica.daemon.pid
        before = [own_cpu_seconds(pid) for pid in pids]
        began = time.perf_counter()
        self.replica.execute(None, ["START SLAVE"])
        self._wait_for_replica()
        seconds = time.perf_counter() - began
        source, replica = (own_cpu_seconds(pid) - then for pid, then in zip(pids, before, strict=True))
        return _Brought(seconds, (0.0, source, replica))

    def check(self) -> None:
        """All three hold the same rows."""
        servers = (self._server, self._fleet.servers[self._target], self.replica)
        sums = [server.execute(SCHEMA, [f"CHECKSUM TABLE {TABLE}"])[0][1] for server in servers]
        if len(set(sums)) != 1:
            raise BenchmarkError(f"source, target and replica hold different rows: {sums}")

    def _wait_for_replica(self) -> None:
        [(position,)] = self._server.execute(None, ["SELECT @@gtid_binlog_pos"])
        [(late,)] = self.replica.execute(None, [f"SELECT MASTER_GTID_WAIT('{position}', {_LIMIT_S})"])
        if late:
            raise BenchmarkError(f"the replica does not follow: {self.replica.replication().get('Last_Error')}")


def _follow(fleet: Fleet, source: MariaDb) -> MariaDb:
    """A replica with all that the source has."""
    replica = fleet.start_server("replica")
    replica.wait_ready()
    login = (
        f"MASTER_HOST = '127.0.0.1', MASTER_PORT = {source.port}, MASTER_USER = '{mariadb.USER}', MASTER_PASSWORD = '{mariadb.PASSWORD}'"
    )
    replica.execute(None, ["RESET MASTER", f"CHANGE MASTER TO {login}, MASTER_USE_GTID = slave_pos", "START SLAVE"])
    return replica


_KINDS = {
    "updates": "updates, each a transaction",
    "hot": f"updates of {_HOT} rows, each a transaction",
    "inserts": f"inserts, {number(_BULK)} in a statement",
}


def measure(lab: Lab) -> Table:
    """Changes of three kinds, which wait in the log before either way begins to bring them."""
    options = lab.options
    table = Table(f"Bringing {number(options.changes)} changes after the rows", _COLUMNS)
    # Every row of the updates is there.
    rows = max(options.move_rows // 4, options.changes)
    with Weather() as weather, lab.moves.fleet(1, 1, rows) as fleet:
        bench = _Bench(fleet, rows)
        ways = {"mover": bench.bring, "replica": bench.replicate}
        brought: dict[tuple[str, str], list[_Brought]] = {}
        for round_index in range(options.rounds):
            for kind in _KINDS:
                bench.change(kind, options.changes)
                fleet.settle()
                for way in rotated(list(ways), round_index):
                    brought.setdefault((kind, way), []).append(ways[way]())
                    say(f"move-tail: {kind}, {way}: {number(options.changes / brought[kind, way][-1].seconds)} changes/s")
        bench.check()
    for kind, title in _KINDS.items():
        rates = {way: [options.changes / one.seconds for one in brought[kind, way]] for way in ways}
        ratio = number(paired_ratio(rates["mover"], rates["replica"]), 2)
        table.rows.append([f"{title}, mover", spread(rates["mover"]), ratio, *_cpu(brought[kind, "mover"], options.changes)])
        table.rows.append([f"{title}, replica", spread(rates["replica"]), "–", *_cpu(brought[kind, "replica"], options.changes)])
    table.remarks.append(
        "The replica is MariaDB's, with one applier, its default; the time of either is from its start until all is there."
    )
    table.remarks.append(weather.remark)
    return table


def _cpu(brought: Sequence[_Brought], changes: int) -> list[str]:
    columns = [spread([one.cpu[at] / changes * 1e6 for one in brought], 1) for at in range(3)]
    return columns if any(one.cpu[0] for one in brought) else ["–", *columns[1:]]
