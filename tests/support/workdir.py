"""Scratch directories for servers, and clearing up after test runs that were killed.

A run holds a lock on its directory for as long as it lives. A directory whose lock is free belongs to a dead run:
the next run kills the servers it left behind and removes it.
"""

import atexit
import fcntl
import getpass
import os
import shutil
import signal
import tempfile
from functools import cache
from pathlib import Path

_PARENT = f"shardproxy-tests-{getpass.getuser()}"


def new_dir(name: str, root: Path = Path("/")) -> Path:
    """A fresh directory for one server, gone when this process ends. `root` is where a chroot starts, if there is one.

    Paths are kept short: a Unix socket's may have 107 bytes at most.
    """
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_run_dir(root)))


@cache
def _run_dir(root: Path) -> Path:
    parent = root / "tmp" / _PARENT
    parent.mkdir(exist_ok=True, parents=True)
    with (parent / "lock").open("w") as gate:
        # The gate keeps a second run from taking our directory for a dead one between mkdtemp and flock.
        fcntl.flock(gate, fcntl.LOCK_EX)
        for other in parent.iterdir():
            if other.is_dir():
                _remove_if_dead(other)
        run = Path(tempfile.mkdtemp(dir=parent))
        lock = (run / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    atexit.register(shutil.rmtree, run, ignore_errors=True)
    atexit.register(lock.close)  # runs first; until then it keeps the lock's file open
    return run


def _remove_if_dead(run: Path) -> None:
    try:
        with (run / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for pid_file in run.glob("*/pid"):
                _kill_left_over(pid_file, run)
            shutil.rmtree(run, ignore_errors=True)
    except (BlockingIOError, FileNotFoundError):
        return


def _kill_left_over(pid_file: Path, run: Path) -> None:
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    # The number may be somebody else's by now; a server of ours names its directory on its command line.
    if run.name.encode() in command:
        os.kill(pid, signal.SIGKILL)
