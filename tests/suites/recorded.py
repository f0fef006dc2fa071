"""Results that a foreign test runner writes down as it goes, a line of JSON per test, so that a crash loses none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.suites.model import Result

ASSETS = Path(__file__).with_name("assets")
RECORD = "SUITES_RECORD"


def run_recorded(
    command: Sequence[str | Path], *, record: Path, cwd: Path, environment: Mapping[str, str], timeout_s: float
) -> Iterator[tuple[str, Result]]:
    """Run it, and give each result as it is written; a test's last line counts. Ended when its time is over."""
    record.unlink(missing_ok=True)
    record.touch()
    paths = [str(ASSETS), *filter(None, [environment.get("PYTHONPATH")])]
    environment = dict(os.environ) | dict(environment) | {RECORD: str(record), "PYTHONPATH": os.pathsep.join(paths)}
    log = record.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    ends = time.monotonic() + timeout_s
    try:
        with record.open() as lines:
            running = True
            while running:
                running = process.poll() is None and time.monotonic() < ends
                yield from _results(lines)
                if running:
                    _wait(process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        return


def _results(lines: Iterator[str]) -> Iterator[tuple[str, Result]]:
    for line in lines:
        told = json.loads(line)
        yield told["name"], Result(told["outcome"], told["note"])
