"""CPU time and memory of process trees, read from /proc.

CPU time per operation is the figure to trust on a shared machine: wall-clock rates move with the neighbours, the
processor time that one query costs hardly does. A tree is a process and all its living descendants; children that
have ended count through what their parent has reaped. A process's own time is read from its CPU clock, which is the
utime + stime of /proc/PID/stat in nanoseconds instead of ticks of 10 ms.
"""

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_SCHEDULER_CLOCK = 2  # CPUCLOCK_SCHED in the kernel's encoding of a process's clock


def process_tree(root_pid: int) -> list[int]:
    """The process and its descendants that are alive now."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat_fields(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    tree = [root_pid]
    for pid in tree:  # grows while it is walked
        tree.extend(children.get(pid, ()))
    return tree


def cpu_seconds(root_pids: Sequence[int]) -> float:
    """User and system time that the trees under these processes have used so far."""
    seconds = 0.0
    for root_pid in root_pids:
        for pid in process_tree(root_pid):
            reaped_ticks = sum(int(value) for value in _stat_fields(pid)[13:15])  # cutime, cstime
            seconds += own_cpu_seconds(pid) + reaped_ticks / _TICKS_PER_SECOND
    return seconds


def rss_kib(root_pids: Sequence[int]) -> int:
    """Resident memory of the trees in KiB (pages shared between processes count in each)."""
    return sum(_vm_rss_kib(pid) for root_pid in root_pids for pid in process_tree(root_pid))


class CpuMeter:
    """Measures the CPU time that process trees use inside a `with` block."""

    def __init__(self, root_pids: Sequence[int]) -> None:
        self._root_pids = root_pids
        self._before = 0.0
        self.seconds = 0.0

    def __enter__(self) -> "CpuMeter":
        self._before = cpu_seconds(self._root_pids)
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = cpu_seconds(self._root_pids) - self._before


class StealMeter:
    """Measures the share of the machine's CPU time that its hypervisor gave to others inside a `with` block.

    While it is high, rates sink and CPU times rise for a reason that is not the programs'.
    """

    def __init__(self) -> None:
        self._before = (0, 0)
        self.share = 0.0

    def __enter__(self) -> "StealMeter":
        self._before = _stolen_and_all_ticks()
        return self

    def __exit__(self, *_: object) -> None:
        stolen, everything = (now - then for now, then in zip(_stolen_and_all_ticks(), self._before, strict=True))
        self.share = stolen / everything if everything else 0.0


class OthersMeter:
    """Measures the share of the machine's CPU time that programs took inside a `with` block which neither this one has started nor is.

    While it is high, rates sink: measure again. The kernel's own work on packets may count among it, a few per cent.
    """

    def __init__(self) -> None:
        self._before = (0.0, 0.0)
        self.share = 0.0

    def __enter__(self) -> "OthersMeter":
        self._before = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        others, everything = (now - then for now, then in zip(self._now(), self._before, strict=True))
        self.share = max(0.0, others / everything) if everything else 0.0

    @staticmethod
    def _now() -> tuple[float, float]:
        user, nice, system, idle, waiting, *interrupts = _all_ticks()
        busy = (user + nice + system + sum(interrupts[:2])) / _TICKS_PER_SECOND
        return busy - cpu_seconds([os.getpid()]), busy + (idle + waiting) / _TICKS_PER_SECOND


class RssSampler:
    """Samples the resident memory of process trees inside a `with` block, from a thread."""

    def __init__(self, root_pids: Sequence[int], interval_s: float = 0.02) -> None:
        # The set of processes is taken once: walking /proc for every sample would cost more than what is measured.
        self._pids = [pid for root_pid in root_pids for pid in process_tree(root_pid)]
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples_kib: list[int] = []

    @property
    def start_kib(self) -> int:
        """What was resident when the block was entered."""
        return self.samples_kib[0]

    @property
    def peak_kib(self) -> int:
        """The highest sample."""
        return max(self.samples_kib)

    def __enter__(self) -> "RssSampler":
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._sample()

    def _sample(self) -> None:
        self.samples_kib.append(sum(_vm_rss_kib(pid) for pid in self._pids))


def settled_rss_kib(root_pids: Sequence[int], quiet_s: float = 0.5, limit_s: float = 5.0) -> int:
    """Resident memory once it has stood still for `quiet_s`, or after `limit_s` at the latest."""
    deadline = time.monotonic() + limit_s
    last, since = rss_kib(root_pids), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < quiet_s:
        time.sleep(0.05)
        now = rss_kib(root_pids)
        if now != last:
            last, since = now, time.monotonic()
    return last


def _stolen_and_all_ticks() -> tuple[int, int]:
    ticks = _all_ticks()
    return ticks[7], sum(ticks)


def _all_ticks() -> list[int]:
    """user nice system idle iowait irq softirq steal"""
    return [int(value) for value in (_PROC / "stat").read_text(encoding="utf-8").partition("\n")[0].split()[1:9]]


def own_cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads, ended ones included; 0 if the process has ended."""
    clock = ~pid << 3 | _SCHEDULER_CLOCK  # what clock_getcpuclockid(3) computes
    with contextlib.suppress(OSError):
        return time.clock_gettime(clock)
    return 0.0


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (the name before it may hold spaces); empty if it has ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _vm_rss_kib(pid: int) -> int:
    try:
        text = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0
