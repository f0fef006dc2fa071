"""A child process that a test starts, hurts and stops: what database servers and the proxy have in common."""

import atexit
import os
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.support.waiting import eventually
from tests.support.workdir import new_dir

# Every process started and not yet forgotten: a failing test prints their logs, and none outlives the test run.
started: "list[ServerProcess]" = []


class ServerProcess:
    """One process with a directory, a log file and a port. Subclasses say how to start it and when it is ready."""

    def __init__(self, name: str, port: int, *, root: Path = Path("/")) -> None:
        self.name = name
        self.port = port
        self.dir = new_dir(name, root)
        _kill_all_at_exit()
        self.log_path = self.dir / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._marked = 0

    # -- for subclasses

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def _is_ready(self) -> bool:
        """Whether the process answers; may raise OSError or AssertionError for "not yet"."""
        raise NotImplementedError

    # -- life and death

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_s: float = 30.0) -> None:
        """Start, and return once it answers. Raises with the log's tail if it exits or takes too long."""
        assert not self.running, f"{self.name} runs already"
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment())
        (self.dir / "pid").write_text(str(self._process.pid))
        if self not in started:
            started.append(self)
        try:
            eventually(self._ready_or_dead, timeout_s)
        except Exception as error:
            self.kill()
            raise RuntimeError(f"{self.name} did not start: {error}\n{self.log_tail()}") from error

    def _ready_or_dead(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"it exited with status {self._process.returncode}")
        return self._is_ready()

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, and wait; the exit status. Does nothing to a process that is down. Kills one that will not end."""
        if self._process is None:
            return 0
        if self.running:
            self.resume()
            self._process.terminate()
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, no connection is closed in an orderly way."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Stop if it runs, then start again on the same port with the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and new ones are accepted by the kernel, but nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT; harmless when it is not paused."""
        os.kill(self.pid, signal.SIGCONT)

    # -- the log

    def log(self) -> str:
        """Everything it has written so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines: int = 60) -> str:
        return "\n".join(self.log().splitlines()[-lines:])

    def mark_log(self) -> None:
        """Remember this moment: `log_since_mark` gives what came after it."""
        self._marked = self.log_path.stat().st_size if self.log_path.exists() else 0

    def log_since_mark(self) -> str:
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as file:
            file.seek(self._marked)
            return file.read().decode(errors="replace")


@cache
def _kill_all_at_exit() -> None:
    # Asked for after the first directory is made, so that it runs before that directory is removed.
    atexit.register(lambda: [server.kill() for server in started])
