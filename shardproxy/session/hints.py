"""Hints: what a leading comment `/* shardproxy: … */` asks for one statement."""

from __future__ import annotations

import re
from typing import Final

from shardproxy.config.model import ReadMode
from shardproxy.errors import BAD_HINT, ProxyError

_HINT: Final = re.compile(rb"\s*/\*\s*shardproxy:(.*?)\*/", re.DOTALL)

ReadHint = tuple[ReadMode, float]


def read_hint(text: bytes) -> ReadHint | None:
    """How the statement wants to read: the mode, and the age in seconds that `bounded` allows. None where it has no hint.

    `primary`, `replica` (any replica, however far behind), `max_lag_ms=N`. Raises `ProxyError` (SP1109) for anything else: a hint that
    is mistyped must not be passed over.
    """
    found = _HINT.match(text)
    if found is None:
        return None
    hint: ReadHint | None = None
    for word in found.group(1).decode("utf-8", "replace").replace(",", " ").split():
        name, _, value = word.partition("=")
        if word == "primary":
            hint = ("primary", 0.0)
        elif word == "replica":
            hint = ("eventual", 0.0)
        elif name == "max_lag_ms" and value.isdigit() and int(value) > 0:
            hint = ("bounded", int(value) / 1000)
        else:
            raise ProxyError(BAD_HINT, f"unknown hint {word[:40]!r}; there are primary, replica and max_lag_ms=N")
    return hint
