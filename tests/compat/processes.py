"""Runs a command to its end or to its time limit."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    status: int
    output: str
    errors: str
    timed_out: bool
    seconds: float


def run_limited(command: Sequence[str], directory: Path, environment: Mapping[str, str], timeout_s: float) -> Done:
    """Run a command; one that takes too long is killed with all its children, and what it printed so far is kept."""
    # Files and not pipes: a grandchild that lives on would keep a pipe open.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, cwd=directory, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
        )
        started, timed_out = time.monotonic(), False
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            _end_group(process)
        output.seek(0)
        errors.seek(0)
        texts = (output.read().decode(errors="replace"), errors.read().decode(errors="replace"))
        return Done(process.returncode, *texts, timed_out, time.monotonic() - started)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """Nothing of it outlives its turn, whether it ended, took too long, or we are being ended ourselves."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
