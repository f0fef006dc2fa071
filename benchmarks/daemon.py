"""Starting, watching and stopping the servers that a benchmark needs."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.errors import BenchmarkError

_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")  # where servers live, often not on a user's PATH


def find_tool(*names: str) -> str:
    """The path of the first of these programs that is installed.

    Raises:
        BenchmarkError: None of them is.
    """
    own = str(Path(sys.executable).parent)  # this environment's programs, even when it is not activated
    search = os.pathsep.join([own, os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS])
    for name in names:
        if path := shutil.which(name, path=search):
            return path
    raise BenchmarkError(f"{names[0]} is not installed")


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Daemon:
    """A server process in a session of its own, with its output in a log file."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, cwd: Path | None = None) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(argv),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is ours to handle: the servers go down in order
            )

    @property
    def pid(self) -> int:
        """The process's id, the root of its tree."""
        return self._process.pid

    def wait_ready(self, is_ready: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Poll until the server answers.

        Raises:
            BenchmarkError: It ended or did not answer in time; the message holds the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if self._process.poll() is not None:
                raise BenchmarkError(f"{self.name} ended with {self._process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.name} was not ready after {timeout_s:g} s:\n{self.log_tail()}")
            time.sleep(0.05)

    def log(self) -> str:
        """All that it has said so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the log."""
        return "\n".join(self.log().splitlines()[-lines:])

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()

    def stop(self, timeout_s: float = 15.0) -> None:
        """Ask the server to end, then make it and what it has started end."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):  # killed with its group below
                self._process.wait(timeout_s)
        with contextlib.suppress(ProcessLookupError):  # the usual case: nobody was left behind
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
