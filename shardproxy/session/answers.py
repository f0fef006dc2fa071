"""What the session answers in place of a server: its schema, user, ids and counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardproxy.config.model import Address
from shardproxy.planner.template import SessionValue
from shardproxy.routing.render import quote

if TYPE_CHECKING:
    from shardproxy.session.session import Session


def session_answer(session: Session, value: SessionValue) -> bytes:
    """A value as an SQL literal."""
    state = session.state
    if value is SessionValue.DATABASE:
        return b"NULL" if state.schema is None else quote(state.schema)
    if value is SessionValue.SOCKET:
        return quote(session.router.loaded.config.proxy.socket or "")
    if value is SessionValue.PORT:
        return b"%d" % Address.parse(session.router.loaded.config.proxy.listen).port
    if value is SessionValue.VERSION:
        return quote(session.router.server_version)
    if value is SessionValue.USER:
        return quote(f"{state.user}@{state.host}")
    if value is SessionValue.CURRENT_USER:
        return quote(f"{state.user}@%")
    if value is SessionValue.READS:
        return quote(state.reads)
    numbers = {
        SessionValue.MAX_LAG_MS: round(state.max_lag_s * 1000),
        SessionValue.CONNECTION_ID: state.thread_id,
        SessionValue.LAST_INSERT_ID: state.last_insert_id,
        SessionValue.ROW_COUNT: state.row_count,
        SessionValue.FOUND_ROWS: state.found_rows,
        SessionValue.AUTOCOMMIT: int(state.autocommit),
        SessionValue.WARNING_COUNT: len(state.warnings),
        SessionValue.ERROR_COUNT: state.error_count,
    }
    # As a server's own functions these are 64 bits wide.
    sign = b"UNSIGNED" if value in (SessionValue.CONNECTION_ID, SessionValue.LAST_INSERT_ID) else b"SIGNED"
    return b"CAST(%d AS %s)" % (numbers[value], sign)
