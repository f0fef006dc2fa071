"""For how long rows cannot be reached while they change their shard: a hundred cutovers under clients that read and write them."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.lab import Lab
from benchmarks.move_lab import Fleet, bucket
from benchmarks.mover import Moved, Task
from benchmarks.progress import say
from benchmarks.report import Table, number
from benchmarks.traffic import READ, TRANSACTION, WRITE, Client, Traffic, pace_of, percentile
from benchmarks.weather import Weather

_SHARDS = 3
_ROWS = 60_000  # fifteen in each bucket
_KINDS = (WRITE, WRITE, TRANSACTION, TRANSACTION, READ, READ)  # of the clients at each proxy
_PROXIES = 2
_CALIBRATE_S = 2.0
_LOAD = 0.5
_AROUND_S = 0.1  # a client's wait may begin a little before the hold, and end a little after the decision
_GOAL_MS = 500.0
# What the journal says before each part of a cutover, and what happens then.
_PARTS = (
    ("hold", "proxies hold their statements, and say so"),
    ("close the source", "the source is closed, what is left in its log is brought"),
    ("open the target", "the target is opened"),
    ("decide", "the decision"),
)


@dataclass(frozen=True, slots=True)
class _Cutover:
    """When the first statement had to wait, and when the last one could go on, in seconds since 1970; and the parts between."""

    began: float
    ended: float
    parts: tuple[float, ...]

    @property
    def around(self) -> tuple[float, float]:
        """The time in which clients may have noticed something."""
        return self.began - _AROUND_S, self.ended + _AROUND_S


def measure(lab: Lab) -> Table:
    """A few buckets, of which each writing client has one to itself, go round the shards."""
    with Weather() as weather, lab.moves.fleet(_SHARDS, 0, _ROWS, proxies=_PROXIES) as fleet:
        clients = _clients(fleet)
        moving = sorted({bucket(next(client.keys)) for client in clients})
        pace = pace_of(_clients(fleet), _LOAD, _CALIBRATE_S)
        say("move-pause: " + ", ".join(f"{number(rate)} {kind}s" for kind, rate in pace.items()) + " per second and client")
        ring = itertools.cycle(itertools.pairwise([*fleet.owners, fleet.owners[0]]))
        batches = [[fleet.wanted(source, target, moving)] for source, target in itertools.islice(ring, lab.options.cutovers)]
        with Traffic(clients, pace) as traffic, fleet.moving(Task(batches, clean=True)) as mover:
            moved = []
            for one in mover.moved():
                moved.append(one)
                if not len(moved) % 10:
                    say(f"move-pause: {len(moved)} of {len(batches)}")
            time.sleep(2 * _AROUND_S)
    table = _table(traffic, moved, pace)
    table.remarks.append(weather.remark)
    return table


def _clients(fleet: Fleet) -> list[Client]:
    """Each with the rows of one bucket of the first shard; readers have those of a writer at the other proxy."""
    buckets = iter(fleet.buckets(fleet.owners[0]))
    rows: dict[int, list[int]] = {}
    for row in range(1, _ROWS + 1):
        rows.setdefault(bucket(row), []).append(row)
    written = [rows[next(buckets)] for kind in _KINDS * _PROXIES if kind != READ]
    keys: Iterator[list[int]] = iter(written)
    others = itertools.cycle(reversed(written))
    return [
        Client(kind, fleet.endpoint(proxy), itertools.cycle(next(others) if kind == READ else next(keys)))
        for proxy in range(_PROXIES)
        for kind in _KINDS
    ]


def _table(traffic: Traffic, moved: Sequence[Moved], pace: Mapping[str, float]) -> Table:
    cutovers = [_cutover(one) for one in moved]
    load = ", ".join(f"{number(len(traffic.of(kind)) * rate)} {kind}s" for kind, rate in pace.items())
    table = Table(
        f"{len(moved)} cutovers of {len(traffic.of(WRITE, TRANSACTION))} buckets, {load} a second through {_PROXIES} proxies; ms",
        ("what", "times", "p50", "p95", "p99", "most"),
    )
    writers = traffic.of(WRITE, TRANSACTION)
    gaps = [[client.longest_gap(*one.around) for client in writers] for one in cutovers]
    worst = [max(of_clients) for of_clients in gaps]
    table.rows.append(_row("a cutover, by the mover", [one.ended - one.began for one in cutovers]))
    for at, (_, what) in enumerate(_PARTS):
        table.rows.append(_row(f"– {what}", [one.parts[at] for one in cutovers]))
    table.rows.append(_row("no write acknowledged, each client", [gap for of_clients in gaps for gap in of_clients]))
    table.rows.append(_row("no write acknowledged, the client that waits longest", worst))
    for name, kinds in (("write", (WRITE,)), ("transaction", (TRANSACTION,)), ("read", (READ,))):
        within = [wait for one in cutovers for wait in traffic.waits(*one.around, *kinds)]
        table.rows.append(_row(f"{name}, around a cutover", within))
        table.rows.append(_row(f"{name}, else", _else(traffic, cutovers, kinds)))
    table.rows.append(_row("a move, all in all", [one.moment("switched").at - one.moments[0].at for one in moved]))
    pause_ms = 1e3 * percentile(worst, 99)
    verdict = "met" if pause_ms < _GOAL_MS else "missed"
    table.remarks.append(f"p99 of the client that waits longest: {number(pause_ms)} ms; the goal, less than {_GOAL_MS:g}, is {verdict}.")
    given_up = sum(_holds(one) - 1 for one in moved)
    table.remarks.append(f"Cutovers that were given up and tried again: {given_up}.")
    done = traffic.done_of_due(moved[0].moments[0].at, moved[-1].moments[-1].at)
    table.remarks.append(f"Clients did {100 * done:.0f} % of what was due; waits count from when something was due.")
    errors = Counter((errno, text) for _, errno, text in traffic.errors)
    told = "; ".join(f"{errno} {text} ({times} times)" for (errno, text), times in errors.most_common())
    table.remarks.append(f"Errors seen by clients: {told or 'none'}.")
    return table


def _cutover(moved: Moved) -> _Cutover:
    """The last one of the move, which was carried out."""
    at = {event: moment for moment, event in moved.journal}
    ended = at["hold"] + moved.progress["pause_ms"] / 1e3
    edges = [*(at[event] for event, _ in _PARTS), ended]
    return _Cutover(at["hold"], ended, tuple(after - before for before, after in itertools.pairwise(edges)))


def _holds(moved: Moved) -> int:
    return sum(event == "hold" for _, event in moved.journal)


def _else(traffic: Traffic, cutovers: Sequence[_Cutover], kinds: Sequence[str]) -> list[float]:
    """Waits between the cutovers."""
    edges = [edge for one in cutovers for edge in one.around][1:-1]
    return [wait for first, last in zip(edges[::2], edges[1::2], strict=True) for wait in traffic.waits(first, last, *kinds)]


def _row(what: str, seconds: Sequence[float]) -> list[str]:
    figures = [percentile(seconds, percent) for percent in (50, 95, 99, 100)]
    return [what, number(len(seconds)), *(number(1e3 * figure, 1) for figure in figures)]
