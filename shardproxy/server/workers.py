"""Several processes on one port: starts them, passes signals on, and starts one that died again.

Each is a whole proxy with its own pools, which follows the same store. The kernel spreads new connections over them (SO_REUSEPORT).
The admin port of process N is `admin` + N, because each counts for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from shardproxy.config.loader import LoadedConfig

log = logging.getLogger(__name__)

DIRECTORY_VARIABLE: Final = "SHARDPROXY_WORKERS_DIRECTORY"
PARENT_VARIABLE: Final = "SHARDPROXY_WORKERS_PARENT"
# One that dies sooner than this is started again no sooner.
_AGAIN_S: Final = 1.0


def worker_count(loaded: LoadedConfig) -> int:
    """How many processes the file asks for."""
    return loaded.config.proxy.workers or len(os.sched_getaffinity(0))


class Supervisor:
    """The process that starts the others. `command` is that of one of them, without its number."""

    def __init__(self, count: int, command: Sequence[str]) -> None:
        self._count = count
        self._command = command
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = False

    async def run(self) -> int:
        """Until it is told to stop, and all processes have; gives the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on, signal.SIGHUP)
        with tempfile.TemporaryDirectory(prefix="shardproxy-") as directory:
            keepers = [asyncio.create_task(self._keep(number, Path(directory))) for number in range(self._count)]
            codes = await asyncio.gather(*keepers)
        return max(codes)

    async def _keep(self, number: int, directory: Path) -> int:
        """One process, started again for as long as the others run."""
        environment = {**os.environ, DIRECTORY_VARIABLE: str(directory), PARENT_VARIABLE: str(os.getpid())}
        first = True
        while True:
            began = monotonic()
            process = await asyncio.create_subprocess_exec(*self._command, "--worker", str(number), env=environment, start_new_session=True)
            self._running[number] = process
            if self._stopping:
                process.terminate()
            code = await process.wait()
            del self._running[number]
            if self._stopping:
                return max(code, 0)
            if first and code > 0:
                # It cannot start: neither will the others.
                self._stop()
                return code
            first = False
            log.error("a process has died and is started again", extra={"worker": number, "code": code})
            await asyncio.sleep(max(0.0, _AGAIN_S - (monotonic() - began)))

    def _stop(self) -> None:
        self._stopping = True
        self._pass_on(signal.SIGTERM)

    def _pass_on(self, number: signal.Signals) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


def worker_command(path: Path, level: str) -> list[str]:
    """How one of the processes is started."""
    return [sys.executable, "-m", "shardproxy", "serve", "--config", str(path), "--log-level", level]
