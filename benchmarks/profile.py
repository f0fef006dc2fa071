"""Where the proxy's time goes during point selects: a sampling profile of the running process, from outside.

py-spy sees Python functions, perf sees the interpreter, the compiled modules and the kernel; each is used if it is
installed. A tracing profiler would charge every small function for being watched, so none is offered.
"""

import collections
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import sysbench
from benchmarks.daemon import find_tool
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab
from benchmarks.layouts import TWO
from benchmarks.report import Table, number

_WORKLOAD = "oltp_point_select"
_TOP = 30
_LINE_NUMBER = re.compile(r":\d+(?=\)$)")
_SAMPLES_PER_S = 250
_UNTIL_STEADY_S = 1


def measure(lab: Lab) -> list[Table]:
    """One table per profiler that is installed.

    Raises:
        BenchmarkError: None is, or the proxy is not among the targets.
    """
    if "proxy" not in lab.options.targets:
        raise BenchmarkError("--profile looks at the proxy: it must be among the --targets")
    endpoint = next(one for one in lab.endpoints(TWO) if one.name == "proxy")
    tables = []
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as temporary:
        folder = lab.options.profile_folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for tool, profiler in (("py-spy", _py_spy), ("perf", _perf)):
            try:
                find_tool(tool)
            except BenchmarkError:
                continue
            tables.append(profiler(lab, endpoint, folder))
    if not tables:
        raise BenchmarkError("neither py-spy nor perf is installed")
    return tables


def _py_spy(lab: Lab, endpoint: Endpoint, folder: Path) -> Table:
    stacks = folder / "py-spy.stacks"
    argv = [find_tool("py-spy"), "record", "--pid", str(endpoint.proxy_pids[0]), "--subprocesses"]
    argv += ["--rate", str(_SAMPLES_PER_S), "--duration", str(lab.options.seconds), "--format", "raw"]
    _during_load(lab, endpoint, [*argv, "--output", str(stacks)])
    own: collections.Counter[str] = collections.Counter()
    within: collections.Counter[str] = collections.Counter()
    for line in stacks.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_LINE_NUMBER.sub("", frame) for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        within.update(dict.fromkeys(frames, int(count)))
    total = sum(own.values()) or 1
    table = Table(f"Python functions during {_WORKLOAD} (py-spy)", ("function", "own %", "with callees %"))
    for name, samples in own.most_common(_TOP):
        table.rows.append([f"`{name}`", number(100 * samples / total, 1), number(100 * within[name] / total, 1)])
    return table


def _perf(lab: Lab, endpoint: Endpoint, folder: Path) -> Table:
    data = folder / "perf.data"
    perf = find_tool("perf")
    pids = ",".join(str(pid) for pid in endpoint.proxy_pids)
    record = [perf, "record", "--freq", str(_SAMPLES_PER_S), "--pid", pids, "--output", str(data)]
    _during_load(lab, endpoint, [*record, "--", "sleep", str(lab.options.seconds)])
    report = [perf, "report", "--stdio", "--input", str(data), "--sort", "dso,symbol", "--field-separator", "|"]
    done = subprocess.run(report, capture_output=True, text=True, check=False)
    table = Table(f"Symbols during {_WORKLOAD} (perf)", ("symbol", "own %"))
    for line in done.stdout.splitlines():
        fields = [value.strip() for value in line.split("|", maxsplit=3)]
        if len(fields) >= 3 and not line.startswith("#") and len(table.rows) < _TOP:
            place, symbol = fields[1], fields[2].partition("] ")[2]  # without the mark of kernel or user space
            table.rows.append([f"`{symbol}` in {place.strip('[]')}", fields[0].rstrip("%")])
    return table


def _during_load(lab: Lab, endpoint: Endpoint, profiler: Sequence[str]) -> None:
    """Run a profiler while sysbench runs a little longer on both sides of it."""
    sysbench.run(_WORKLOAD, endpoint, lab.options, seconds=_UNTIL_STEADY_S)
    watching = subprocess.Popen(profiler, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        sysbench.run(_WORKLOAD, endpoint, lab.options, seconds=lab.options.seconds + _UNTIL_STEADY_S)
        told = watching.communicate(timeout=60)[1]
    finally:
        watching.kill()
        watching.wait()
    if watching.returncode:
        raise BenchmarkError(f"{Path(profiler[0]).name} failed:\n{told[-1000:]}")
