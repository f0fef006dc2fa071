"""How a session reads from replicas: the proxy's own variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shardproxy.config.model import MODES
from shardproxy.config.replication import read_mode_of
from shardproxy.errors import UNSUPPORTED_SETTING, ProxyError

if TYPE_CHECKING:
    from shardproxy.session.session import Session

READING = frozenset(("shardproxy_reads", "shardproxy_max_lag_ms"))


def choose_reads(session: Session, values: Mapping[str, bytes]) -> None:
    """SET shardproxy_reads and shardproxy_max_lag_ms: until the session is reset they count before what tables and users ask."""
    state = session.state
    mode, lag_s = read_mode_of(session.router.loaded.config, state.user)
    for name, raw in values.items():
        value = raw.decode("latin-1").strip("'\"").lower()
        if name == "shardproxy_reads":
            if value == "default":
                state.reads, state.reads_chosen = mode, False
                continue
            if value not in MODES:
                raise ProxyError(UNSUPPORTED_SETTING, f"shardproxy_reads is one of {', '.join(MODES)}")
            state.reads, state.reads_chosen = MODES[MODES.index(value)], True
        elif value == "default":
            state.max_lag_s = lag_s
        elif value.isdigit() and int(value) > 0:
            state.max_lag_s = int(value) / 1000
        else:
            raise ProxyError(UNSUPPORTED_SETTING, "shardproxy_max_lag_ms is a number of milliseconds")
