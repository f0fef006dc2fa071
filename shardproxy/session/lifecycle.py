"""What a session begins with: after a login, and after a reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardproxy.config.replication import read_mode_of
from shardproxy.executor.state import ClientState
from shardproxy.protocol.charsets import Charset

if TYPE_CHECKING:
    from shardproxy.session.session import Session


def enter(session: Session, user: str, schema: str | None, charset: Charset, *, found_rows: bool, several: bool) -> None:
    """The client has logged in. `several`: it may send several statements at once."""
    router, state = session.router, session.state
    other = schema if schema and schema != router.logical_schema else ""
    state.user, state.schema, state.codec = user, schema, charset.codec
    state.administers = router.administers(user)
    state.reads, state.max_lag_s = read_mode_of(router.loaded.config, user)
    state.kind = (found_rows, charset.name, charset.collation, other, router.user_settings(user))
    session.login_kind, session.login_codec = state.kind, state.codec
    session.multi_statements = several


def reset(session: Session) -> None:
    """COM_RESET_CONNECTION and COM_CHANGE_USER: everything but login, schema and thread id is forgotten."""
    session.leases.release_all()
    session.leases.reasons.clear()
    session.prepared.clear()
    session.named.clear()
    session.executor.transaction.writer = ""
    old = session.state
    fresh = ClientState(old.thread_id, old.user, old.host, old.schema, old.kind, old.codec)
    fresh.administers, fresh.transport = old.administers, old.transport
    fresh.reads, fresh.max_lag_s = read_mode_of(session.router.loaded.config, old.user)
    session.leases.reads.forget()
    fresh.kind = (*session.login_kind[:3], old.kind[3], session.router.user_settings(old.user))
    fresh.codec = session.login_codec
    for name in ClientState.__slots__:
        setattr(old, name, getattr(fresh, name))
