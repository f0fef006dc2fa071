"""What applications notice of a copy: reads and writes at half load, quiet, while rows are copied as fast as it goes, and throttled."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab
from benchmarks.move_lab import TABLE, Fleet
from benchmarks.mover import Task
from benchmarks.progress import say
from benchmarks.report import Table, median, number, paired_ratio, spread
from benchmarks.traffic import READ, WRITE, Client, Traffic, pace_of, percentile
from benchmarks.weather import Weather

_SHARDS = 3
_CLIENTS = (READ, READ, READ, READ, WRITE, WRITE, WRITE, WRITE)
_CALIBRATE_S = 2.0
_LOAD = 0.5
_GOAL = 2.0
_RATE = 5_000  # rows a second of the throttled copy; fewer where they would not last
_LOOK_S = 0.01
_LIMIT_S = 60.0
_COLUMNS = ("while", "seconds", "rows/s copied", "done ÷ due", "read p50 ms", "p99", "÷ quiet", "write p50 ms", "p99", "÷ quiet")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A stretch of time: what was copied in it, what part of what was due then was done, and how long clients waited."""

    seconds: float
    copied: float
    done: float
    reads: Sequence[float]
    writes: Sequence[float]


class _Bench:
    """Clients at a steady pace, and a move that may be copying or not."""

    def __init__(self, fleet: Fleet, rows: int, seconds: int) -> None:
        self._fleet = fleet
        self._rows = rows
        self._seconds = seconds
        self._owners = fleet.stored.hash_maps[TABLE]
        self.pace = pace_of(self._clients(), _LOAD, _CALIBRATE_S)

    def quiet(self) -> _Stretch:
        """Nothing moves."""
        self._fleet.reset(self._owners)
        with Traffic(self._clients(), self.pace) as traffic:
            time.sleep(_CALIBRATE_S)
            first = time.time()
            time.sleep(self._seconds)
            last = time.time()
        return self._weather(traffic, first, last, 0)

    def copying(self, rate: float) -> _Stretch:
        """One shard's rows go to an empty one, as many per second at most; 0 is as fast as it goes. Nothing is switched."""
        fleet = self._fleet
        fleet.reset(self._owners)
        wanted = fleet.wanted(fleet.owners[0], fleet.spares[0], fleet.buckets(fleet.owners[0]))
        with Traffic(self._clients(), self.pace) as traffic, fleet.moving(Task([[wanted]], hold=True, rate=rate)) as mover:
            deadline = time.monotonic() + _LIMIT_S
            while not (progress := fleet.store.progress(wanted.id)).get("started_at"):
                if time.monotonic() > deadline or mover.over:
                    raise BenchmarkError("the mover does not begin to copy")
                time.sleep(_LOOK_S)
            first = float(progress["started_at"])
            while not progress.get("copied_at") and time.time() < first + self._seconds and not mover.over:
                time.sleep(_LOOK_S)
                progress = fleet.store.progress(wanted.id)
            last = float(progress["copied_at"]) or time.time()
        return self._weather(traffic, first, last, progress["rows_copied"])

    def _weather(self, traffic: Traffic, first: float, last: float, copied: int) -> _Stretch:
        reads, writes = traffic.waits(first, last, READ), traffic.waits(first, last, WRITE)
        return _Stretch(last - first, copied / (last - first), traffic.done_of_due(first, last), reads, writes)

    def _clients(self) -> list[Client]:
        endpoint = self._fleet.endpoint(0)
        return [Client(kind, endpoint, self._keys(number)) for number, kind in enumerate(_CLIENTS)]

    def _keys(self, seed: int) -> Iterator[int]:
        rng = random.Random(seed)
        while True:
            yield rng.randint(1, self._rows)


def measure(lab: Lab) -> Table:
    """A quiet stretch before each move, to which it is compared."""
    options = lab.options
    rows = options.move_rows * _SHARDS
    throttled = min(_RATE, options.move_rows // (3 * options.seconds))
    ways = {"copying": 0, f"copying, --rate {throttled}": throttled}
    quiet: list[_Stretch] = []
    found: dict[str, list[_Stretch]] = {name: [] for name in ways}
    with Weather() as weather, lab.moves.fleet(_SHARDS, 1, rows) as fleet:
        bench = _Bench(fleet, rows, options.seconds)
        for round_index in range(options.rounds):
            for name, rate in ways.items():
                quiet.append(bench.quiet())
                found[name].append(bench.copying(rate))
                say(f"move-traffic: {round_index + 1}/{options.rounds} {name}")
    load = ", ".join(f"{number(_CLIENTS.count(kind) * pace)} {kind}s" for kind, pace in bench.pace.items())
    table = Table(f"{load} a second through a proxy over {_SHARDS} shards while one of them is copied to a fourth", _COLUMNS)
    table.rows.append(_row("quiet", quiet, ()))
    for at, (name, moving) in enumerate(found.items()):
        before = quiet[at :: len(ways)]
        table.rows.append(_row(name, moving, before))
        ratio = max(_slower(moving, before, "reads"), _slower(moving, before, "writes"))
        if ways[name]:
            verdict = "met" if ratio <= _GOAL else "missed"
            table.remarks.append(f"p99 {name} ÷ quiet: {ratio:.2f} at most; the goal, at most {_GOAL:g}, is {verdict}.")
    table.remarks.append("One third of the reads and writes is of rows that are being copied. Waits count from when a statement was due.")
    table.remarks.append(weather.remark)
    return table


def _slower(moving: Sequence[_Stretch], quiet: Sequence[_Stretch], kind: str) -> float:
    return paired_ratio(*([percentile(getattr(one, kind), 99) for one in some] for some in (moving, quiet)))


def _row(name: str, found: Sequence[_Stretch], quiet: Sequence[_Stretch]) -> list[str]:
    row = [name, number(sum(one.seconds for one in found), 1), spread([one.copied for one in found])]
    row.append(number(median([one.done for one in found]), 2))
    for kind in ("reads", "writes"):
        row.append(number(median([1e3 * percentile(getattr(one, kind), 50) for one in found]), 2))
        row.append(spread([1e3 * percentile(getattr(one, kind), 99) for one in found], 2))
        row.append(number(_slower(found, quiet, kind), 2) if quiet else "–")
    return row
