"""How fast a server has been of late, and how much of its weight one that came back may carry."""

from __future__ import annotations

import math
from typing import Final

# What a server gets from the start of its warm-up: enough to fill its caches, too little to be overrun.
_COLD: Final = 0.1


class PeakEwma:
    """A moving average of latencies that believes a slow answer at once and a fast one only with time.

    As Finagle's PeakEwma (com.twitter.finagle.loadbalancer.PeakEwma): an answer slower than the average replaces it, a faster
    one counts the more, the longer ago the one before was. Without answers the average falls towards 0, so that a server which
    was avoided for its latency is tried again. Times are seconds of one monotonic clock.
    """

    __slots__ = ("_average", "_decay_s", "_observed_at")

    def __init__(self, decay_s: float = 10.0) -> None:
        """`decay_s`: seconds, above 0, after which an answer has lost all but 1/e of its say."""
        if not decay_s > 0:
            raise ValueError(f"decay_s must be above 0, not {decay_s}")
        self._decay_s = decay_s
        self._average = 0.0
        self._observed_at = 0.0

    def observe(self, seconds: float, now: float) -> None:
        """Count an answer that took `seconds` and came at `now`."""
        if seconds >= self._average:
            self._average = seconds
        else:
            self._average = seconds + (self._average - seconds) * self._kept(now)
        self._observed_at = max(now, self._observed_at)

    def value(self, now: float) -> float:
        """The average in seconds, decayed to `now`; 0.0 before the first answer."""
        return self._average * self._kept(now)

    def _kept(self, now: float) -> float:
        return math.exp(min(0.0, self._observed_at - now) / self._decay_s)


def warm_up(since: float, now: float, duration_s: float) -> float:
    """The factor, from 0.1 to 1, for the weight of a server that came back at `since`.

    It grows linearly over `duration_s` seconds, as with HAProxy's slowstart; where that is 0 it is 1 from the start.
    """
    if duration_s <= 0 or now - since >= duration_s:
        return 1.0
    return _COLD + (1.0 - _COLD) * max(0.0, now - since) / duration_s
