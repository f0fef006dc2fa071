"""What the figures were measured on: processor, versions, and the revision of the proxy."""

import importlib.util
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.daemon import find_tool
from benchmarks.errors import BenchmarkError

_REPOSITORY = Path(__file__).resolve().parent.parent


def facts(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Name and value of everything that one must know to compare two runs."""
    servers = [("mariadbd", "--version"), ("haproxy", "-v"), ("sysbench", "--version")]
    versions = [_first_line(tool, flag) for tool, flag in servers]
    packages = ", ".join(f"{name} {_package_version(name)}" for name in ("uvloop", "aiomysql", "sqlglot"))
    form = "compiled" if _is_compiled("shardproxy.protocol.framing") else "plain Python"
    return [
        ("command", shlex.join(["python", "-m", "benchmarks", *arguments])),
        ("revision", f"{_revision()}, hot modules as {form}"),
        ("machine", f"{os.cpu_count()} cores, {_cpu_model()}, {_memory_gib():.0f} GiB, Linux {platform.release()}"),
        ("versions", f"Python {platform.python_version()}, {packages}; " + "; ".join(versions)),
    ]


def command_arguments() -> list[str]:
    """The arguments that this run was started with."""
    return sys.argv[1:]


def _first_line(tool: str, flag: str) -> str:
    try:
        done = subprocess.run([find_tool(tool), flag], capture_output=True, text=True, check=False)
    except BenchmarkError:
        return f"{tool} absent"
    line = (done.stdout or done.stderr).partition("\n")[0].partition(" - ")[0]
    return line.rpartition("/")[2] if line.startswith("/") else line


def _package_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _is_compiled(module: str) -> bool:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return False
    return bool(spec and spec.origin and spec.origin.endswith(".so"))


def _revision() -> str:
    commands = (["git", "rev-parse", "--short=12", "HEAD"], ["git", "status", "--porcelain", "--", "shardproxy"])
    told = [subprocess.run(argv, cwd=_REPOSITORY, capture_output=True, text=True, check=False) for argv in commands]
    if told[0].returncode:
        return "no commit"
    return told[0].stdout.strip() + (" with uncommitted changes" if told[1].stdout.strip() else "")


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
