"""How long nobody's write is acknowledged while another server becomes the primary: as planned, and after a crash."""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import proxy as proxies
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab
from benchmarks.mariadb import MariaDb
from benchmarks.progress import say
from benchmarks.proxy import Proxy
from benchmarks.replication import SCHEMA, SHARD, ReplicatedShard, address
from benchmarks.report import Table, number, spread
from benchmarks.writers import CREATE, TABLE, Writers

_REPOSITORY = Path(__file__).resolve().parent.parent.parent
_BEFORE_S = _AFTER_S = 0.7  # of writes on either side of the change
_LIMIT_S = 20.0
_POLL_S = 0.002
_FOLLOW_S = 2.0  # within which a replica finds out that it cannot follow


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of primaries. Times in ms: `gap` from the last acknowledgement of the old to the first of the new."""

    gap: float
    parts: tuple[float, ...]
    errors: Sequence[str]
    acked: int
    lost: int


class _Bench:
    """A shard and a proxy whose primary is changed again and again."""

    def __init__(self, lab: Lab) -> None:
        self.shard: ReplicatedShard = lab.replicas.new_shard()
        self.shard.primary.execute(SCHEMA, [CREATE])
        self.shard.wait_caught_up()
        self.proxy: Proxy = lab.replicas.start_proxy(self.shard)
        self.endpoint = Endpoint("proxy", self.proxy.port, proxies.USER, proxies.PASSWORD, SCHEMA)
        self.astray = 0  # replicas that had more than the new primary after a crash, and were built anew
        self._runs = 0

    def planned(self) -> _Change:
        """`shardctl promote`, as an operator types it; the parts are its own time."""
        old, new = self.shard.primary, self.shard.replicas[0]
        self._runs += 1
        with Writers(self.endpoint, self._runs) as writers:
            time.sleep(_BEFORE_S)
            began = time.perf_counter()
            command = self.proxy.ctl("promote", SHARD, address(new))
            done = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, check=False)
            took_ms = (time.perf_counter() - began) * 1e3
            time.sleep(_AFTER_S)
        if done.returncode:
            raise BenchmarkError(f"shardctl promote failed: {done.stdout}{done.stderr}")
        self.shard.primary = new
        gap, _, lost = self._compare(writers, old, new)
        self.shard.follow(old)
        self._settle()
        return _Change(gap, (took_ms,), writers.errors, len(writers.acks), lost)

    def crash(self) -> _Change:
        """SIGKILL, and a forced promotion as soon as the proxy calls the primary down; the parts are until it does, until it is known
        whom to promote, until that one is the primary, and from then until a write is acknowledged."""
        old = self.shard.primary
        self._runs += 1
        with Writers(self.endpoint, self._runs) as writers:
            time.sleep(_BEFORE_S)
            killed = time.perf_counter()
            old.daemon.kill()
            _until(lambda: self._state_of(old) == "down", "the proxy takes the primary for dead")
            detected = time.perf_counter()
            new = self.shard.furthest()
            chosen = time.perf_counter()
            self.proxy.promote(SHARD, address(new), force=True)
            _until(lambda: writers.acked_since(detected), "a write is acknowledged again")
            time.sleep(_AFTER_S)
        self.shard.primary = new
        gap, first, lost = self._compare(writers, old, new)
        promoted = self.proxy.switched_at() - (time.time() - time.perf_counter())
        self.shard.replace(old)
        time.sleep(_FOLLOW_S)
        self.astray += self.shard.replace_astray()
        self._settle()
        parts = tuple(1e3 * seconds for seconds in (detected - killed, chosen - detected, promoted - chosen, first - promoted))
        return _Change(gap, parts, writers.errors, len(writers.acks), lost)

    def _compare(self, writers: Writers, old: MariaDb, new: MariaDb) -> tuple[float, float, int]:
        """The gap in ms, the moment of the first acknowledgement of the new primary, and the acknowledged rows that it lacks."""
        rows = new.execute(SCHEMA, [f"SELECT writer, seq, server = @@server_id FROM {TABLE} WHERE run = {self._runs}"])
        of_new = {(writer, seq): bool(own) for writer, seq, own in rows}
        acks = writers.acks
        first = min((moment for key, moment in acks.items() if of_new.get(key)), default=None)
        last = max((moment for key, moment in acks.items() if not of_new.get(key)), default=None)
        if first is None or last is None:
            raise BenchmarkError(f"{address(old)} or {address(new)} has taken no write; errors: {writers.errors[:3]}")
        return (first - last) * 1e3, first, sum(key not in of_new for key in acks)

    def _settle(self) -> None:
        """Until the proxy reads both replicas again."""
        self.shard.wait_caught_up()
        _until(lambda: sum(member["role"] == "replica" and member["read"] for member in self.proxy.members()) == 2, "all is well again")

    def _state_of(self, server: MariaDb) -> str:
        return next(str(member["state"]) for member in self.proxy.members() if member["server"] == address(server))


def measure(lab: Lab) -> Table:
    """Promotions there and back, and crashes."""
    bench = _Bench(lab)
    planned = [bench.planned() for _ in range(2 * lab.options.rounds)]
    say("failover: planned")
    crashed = [bench.crash() for _ in range(lab.options.rounds)]
    say("failover: crashed")
    table = Table(
        "A change of primaries under 4 clients that write without pause",
        ("change", "times", "no write acknowledged, ms", "of that, ms", "writes acknowledged", "of those lost", "errors seen"),
    )
    table.rows.append(_row("`shardctl promote`", planned, ("the command with its start",)))
    table.rows.append(_row("SIGKILL, `--force`", crashed, ("detection", "choice", "promotion", "resumption")))
    for error in sorted({error for change in (*planned, *crashed) for error in change.errors}):
        table.remarks.append(f"An error seen: {error}")
    if bench.astray:
        table.remarks.append(f"Replicas that had more than the new primary after a crash, and were built anew: {bench.astray}.")
    return table


def _row(name: str, changes: Sequence[_Change], parts: Sequence[str]) -> list[str]:
    told = [f"{part} {spread([change.parts[i] for change in changes], 1)}" for i, part in enumerate(parts)]
    return [
        name,
        number(len(changes)),
        spread([change.gap for change in changes], 1),
        ", ".join(told),
        number(sum(change.acked for change in changes)),
        number(sum(change.lost for change in changes)),
        number(sum(len(change.errors) for change in changes)),
    ]


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not holds():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"waited {_LIMIT_S:g} s in vain until {what}")
        time.sleep(_POLL_S)
