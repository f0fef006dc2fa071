"""TCP ports that stay ours: no other test process takes them, not even while our server is down.

Asking the kernel for port 0 hands out a port that any later outgoing connection may occupy as soon as we let go of
it. So we pick below the ephemeral range, and hold a lock file per port until this process ends.
"""

import contextlib
import fcntl
import getpass
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

_LOCKS = Path(tempfile.gettempdir()) / f"shardproxy-test-ports-{getpass.getuser()}"
_FIRST, _LAST = 20000, 29999
_held: dict[int, IO[str]] = {}


def free_port(run: int = 1) -> int:
    """The first of `run` ports in a row on 127.0.0.1 that nobody listens on, reserved for this process until it exits."""
    _LOCKS.mkdir(exist_ok=True)
    for port in random.sample(range(_FIRST, _LAST + 2 - run), 500):
        with contextlib.ExitStack() as stack:
            try:
                locks = {wanted: stack.enter_context(_reserved(wanted)) for wanted in range(port, port + run)}
            except OSError:
                continue
            stack.pop_all()
        _held.update(locks)  # the open file is the reservation
        return port
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST}")


def _reserved(port: int) -> IO[str]:
    """Raises OSError where somebody has the port."""
    if port in _held:
        raise OSError(f"port {port} is held")
    lock = (_LOCKS / str(port)).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        lock.close()
        raise
    return lock
