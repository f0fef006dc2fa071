"""How fast a move copies rows, beside `mariadb-dump | mariadb` of the same rows between the same servers."""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import mariadb
from benchmarks.cases.oltp import rotated
from benchmarks.daemon import find_tool
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab
from benchmarks.move_lab import PEER, SCHEMA, TABLE, Fleet, condition
from benchmarks.mover import Moved, Task, Wanted
from benchmarks.procfs import own_cpu_seconds
from benchmarks.progress import say
from benchmarks.report import Table, median, number, paired_ratio, spread
from benchmarks.weather import Weather

_SIDE_BY_SIDE = 4
_GOAL = 1.0
_COLUMNS = (
    "rows, by",
    "rows/s",
    "MB/s",
    "÷ dump",
    "whole move, s",
    "of that, s",
    "CPU µs/row of mover or clients",
    "source",
    "target",
)
# The rest is what happens before the copy begins.
_PARTS = (
    ("prepare", "preparing", "copying"),
    ("count", "copying", "counted"),
    ("copy", "counted", "catchup"),
    ("compare", "verifying", "ready"),
)


@dataclass(frozen=True, slots=True)
class _Copied:
    """One way's copy. CPU seconds are of the mover or the two clients, of the sources, and of the targets."""

    seconds: float
    cpu: tuple[float, float, float]
    octets: int = 0
    whole_s: float = 0.0
    parts: tuple[float, ...] = ()


class _Scenario:
    """Moves that are made side by side, or instead of them dumps."""

    def __init__(self, name: str, fleet: Fleet, moves: Sequence[tuple[str, str]], *, part: int = 1) -> None:
        """`moves`: sources and targets; `part`: one bucket of how many goes."""
        self._fleet = fleet
        self._owners = fleet.stored.hash_maps[TABLE]
        self._moves = moves
        self._whole = part == 1
        self._buckets = {source: fleet.buckets(source)[::part] for source, _ in moves}
        self.rows = sum(fleet.rows(source, None if self._whole else self._buckets[source]) for source, _ in moves)
        self.name = f"{name}, {number(self.rows)} rows"

    def move(self) -> _Copied:
        """By the mover."""
        fleet = self._fleet
        fleet.reset(self._owners)
        wanted = [fleet.wanted(source, target, self._buckets[source]) for source, target in self._moves]
        moved = fleet.move(Task([wanted]))
        copied = sum(one.progress["rows_copied"] for one in moved)
        if copied != self.rows:
            raise BenchmarkError(f"{copied} rows were copied instead of {self.rows}")
        first, last = min(one.moment("counted").at for one in moved), max(one.moment("catchup").at for one in moved)
        return _Copied(
            last - first,
            self._cpu(moved, wanted),
            sum(one.progress["bytes_copied"] for one in moved),
            max(one.moment("switched").at for one in moved) - min(one.moments[0].at for one in moved),
            tuple(median([one.seconds(start, end) for one in moved]) for _, start, end in _PARTS),
        )

    def _cpu(self, moved: Sequence[Moved], wanted: Sequence[Wanted]) -> tuple[float, float, float]:
        """From when the first has begun to copy to when the last has ended."""
        before = min((one.moment("counted") for one in moved), key=lambda moment: moment.at).cpu
        after = max((one.moment("catchup") for one in moved), key=lambda moment: moment.at).cpu
        spent = {name: after[name] - before[name] for name in after}
        return spent["mover"], sum(spent[one.source] for one in wanted), sum(spent[one.target] for one in wanted)

    def dump(self) -> _Copied:
        """By mariadb-dump and mariadb, into another schema of the target."""
        fleet = self._fleet
        fleet.reset(self._owners)
        sources, targets = ([fleet.pids[pair[end]] for pair in self._moves] for end in (0, 1))
        before = [sum(map(own_cpu_seconds, pids)) for pids in (sources, targets)]
        pipes = [_Pipe(fleet, source, target, None if self._whole else self._buckets[source]) for source, target in self._moves]
        began = time.perf_counter()
        for pipe in pipes:
            pipe.start()
        for pipe in pipes:
            pipe.join()
        seconds = time.perf_counter() - began
        after = [sum(map(own_cpu_seconds, pids)) for pids in (sources, targets)]
        if any(pipe.failed for pipe in pipes):
            raise BenchmarkError("mariadb-dump | mariadb failed")
        return _Copied(seconds, (sum(pipe.cpu_s for pipe in pipes), after[0] - before[0], after[1] - before[1]))

    def check(self) -> None:
        """Both ways have brought the same rows."""
        self.move()
        sums = [self._fleet.checksum(target, SCHEMA) for _, target in self._moves]
        self.dump()
        if sums != [self._fleet.checksum(target, PEER) for _, target in self._moves]:
            raise BenchmarkError("the mover and mariadb-dump have brought different rows")


class _Pipe(threading.Thread):
    """`mariadb-dump | mariadb`, with the CPU seconds of both."""

    def __init__(self, fleet: Fleet, source: str, target: str, buckets: Sequence[int] | None) -> None:
        super().__init__(daemon=True)
        login = ["--no-defaults", "--host=127.0.0.1", f"--user={mariadb.USER}"]
        dump = [find_tool("mariadb-dump", "mysqldump"), *login, f"--port={fleet.servers[source].port}", "--single-transaction"]
        if buckets is not None:
            dump.append(f"--where={condition(buckets, 'id')}")
        self._dump = [*dump, SCHEMA, TABLE]
        self._load = [find_tool("mariadb", "mysql"), *login, f"--port={fleet.servers[target].port}", PEER]
        self.cpu_s = 0.0
        self.failed = False

    def run(self) -> None:
        """Start both, and wait for them."""
        environment = os.environ | {"MYSQL_PWD": mariadb.PASSWORD}
        dump = subprocess.Popen(self._dump, stdout=subprocess.PIPE, env=environment)
        load = subprocess.Popen(self._load, stdin=dump.stdout, env=environment)
        assert dump.stdout is not None
        dump.stdout.close()
        for process in (dump, load):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.failed = self.failed or process.returncode != 0
            self.cpu_s += usage.ru_utime + usage.ru_stime


def measure(lab: Lab) -> Table:
    """One move of all that a shard has, one of a quarter of it, and four at a time."""
    rows = lab.options.move_rows
    table = Table("Copying the rows of a move, beside mariadb-dump --single-transaction | mariadb", _COLUMNS)
    with Weather() as weather, lab.moves.fleet(_SIDE_BY_SIDE, _SIDE_BY_SIDE, rows * _SIDE_BY_SIDE) as fleet:
        pairs = list(zip(fleet.owners, fleet.spares, strict=True))
        scenarios = [
            _Scenario("all of a shard", fleet, pairs[:1]),
            _Scenario("a quarter of it", fleet, pairs[:1], part=4),
            _Scenario(f"{len(pairs)} moves at a time", fleet, pairs),
        ]
        scenarios[1].check()
        for scenario in scenarios:
            _compare(scenario, lab.options.rounds, table)
    table.remarks.append("MB/s are of the text that the mover inserts; the same rows have the same size by either way.")
    table.remarks.append(weather.remark)
    return table


def _compare(scenario: _Scenario, rounds: int, table: Table) -> None:
    moved: list[_Copied] = []
    dumped: list[_Copied] = []
    ways = [(scenario.move, moved), (scenario.dump, dumped)]
    for round_index in range(rounds):
        for copy, into in rotated(ways, round_index):
            into.append(copy())
        rates = " and ".join(number(scenario.rows / done[-1].seconds) for done in (moved, dumped))
        say(f"move-copy: {scenario.name}, {round_index + 1}/{rounds}: {rates} rows/s")
    ratio = paired_ratio([1 / one.seconds for one in moved], [1 / one.seconds for one in dumped])
    octets = moved[0].octets
    parts = ", ".join(f"{name} {number(median([one.parts[at] for one in moved]), 2)}" for at, (name, _, _) in enumerate(_PARTS))
    whole = [spread([one.whole_s for one in moved], 2), parts]
    table.rows.append(
        [f"{scenario.name}, mover", *_rates(scenario.rows, octets, moved), number(ratio, 2), *whole, *_cpu(scenario.rows, moved)]
    )
    table.rows.append([f"{scenario.name}, dump", *_rates(scenario.rows, octets, dumped), "–", "–", "–", *_cpu(scenario.rows, dumped)])
    verdict = "met" if ratio >= _GOAL else "missed"
    table.remarks.append(f"{scenario.name}: rows/s of the mover ÷ the dump's are {ratio:.2f}; the goal, at least {_GOAL:g}, is {verdict}.")


def _rates(rows: int, octets: int, copied: Sequence[_Copied]) -> list[str]:
    return [spread([rows / one.seconds for one in copied]), number(median([octets / one.seconds / 1e6 for one in copied]), 1)]


def _cpu(rows: int, copied: Sequence[_Copied]) -> list[str]:
    return [spread([one.cpu[at] / rows * 1e6 for one in copied], 1) for at in range(3)]
