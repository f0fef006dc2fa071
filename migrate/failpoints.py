"""Named places at which a test can make a mover fail: one before and one behind each thing that lasts.

`SHARDPROXY_FAILPOINT=name:action` with the action `kill` (SIGKILL), `stop` (SIGSTOP), `raise`, or a number of seconds to sleep. It
happens when the place is reached for the first time, or for the N-th with `name:action:N`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter

_reached: Counter[str] = Counter()
# Every place, in the order in which a move comes by; tests go through the list.
NAMES = (
    "lease_taken", "plan_written", "prepare_begun", "tables_made", "fences_made", "guards_made", "prepared",
    "position_noted", "chunk_read", "chunk_written", "chunk_noted", "copied",
    "batch_read", "batch_written", "batch_noted", "caught_up", "verified",
    "hold_asked", "held", "source_closed", "xa_drained", "applied_all", "reverse_noted", "target_opened", "before_decision", "decided",
    "target_freed", "switched",
    "cleanup_begun", "cleanup_chunk", "cleaned", "guards_dropped", "done",
    "abort_begun", "purged", "aborted",
)  # fmt: skip


async def reach(name: str) -> None:
    """This place has been reached."""
    wanted = os.environ.get("SHARDPROXY_FAILPOINT", "")
    if not wanted:
        return
    point, _, rest = wanted.partition(":")
    if point != name:
        return
    action, _, number = rest.partition(":")
    _reached[name] += 1
    if _reached[name] != int(number or 1):
        return
    print(f"failpoint {name}: {action}", file=sys.stderr, flush=True)  # noqa: T201 - for whoever runs the test
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "raise":
        raise RuntimeError(f"failpoint {name}")
    else:
        await asyncio.sleep(float(action))
