"""Waiting for what another process does: poll with a deadline, never sleep and hope."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    fn: Callable[[], T],
    timeout_s: float = 10.0,
    *,
    interval_s: float = 0.02,
    retry_on: type[Exception] | tuple[type[Exception], ...] = (AssertionError, OSError),
) -> T:
    """Call `fn` until it returns something true, or returns None without raising; give that back.

    `fn` may assert: an AssertionError (or anything in `retry_on`) means "not yet". After `timeout_s` seconds the
    last such error is raised, or a TimeoutError that shows the last false value.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        last: Exception
        try:
            value = fn()
            if value or value is None:
                return value
            last = TimeoutError(f"still {value!r} after {timeout_s} s")
        except retry_on as error:
            last = error
        if time.monotonic() >= deadline:
            raise last
        time.sleep(interval_s)
