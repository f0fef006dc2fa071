"""Statements that every copy of a reference table carries out must do the same on each."""

from __future__ import annotations

from collections.abc import Sequence

from shardproxy.errors import NON_DETERMINISTIC, ProxyError
from shardproxy.sql.lexer import Kind, Token, function_names

# The clock is not among them: the executor sets the same timestamp on every shard. Session values are replaced by literals.
_VARYING = frozenset(
    (
        "RAND", "UUID", "UUID_SHORT", "SYS_GUID", "RANDOM_BYTES", "SYSDATE", "GET_LOCK", "RELEASE_LOCK", "IS_FREE_LOCK", "IS_USED_LOCK",
        "LOAD_FILE", "MASTER_POS_WAIT", "NEXTVAL", "LASTVAL", "SETVAL", "BENCHMARK", "VERSION",
    )
)  # fmt: skip


def check_deterministic(tokens: Sequence[Token]) -> None:
    """Raise `ProxyError` where copies of a reference table could come apart."""
    varying = function_names(tokens) & _VARYING
    if varying:
        raise ProxyError(NON_DETERMINISTIC, f"{min(varying)}() could differ between the copies of a reference table")
    if any(token.kind is Kind.VARIABLE and token.text.startswith("@@") for token in tokens):
        raise ProxyError(NON_DETERMINISTIC, "a server variable could differ between the copies of a reference table")
    if any(token.upper == "LIMIT" and token.kind is Kind.WORD for token in tokens):
        raise ProxyError(NON_DETERMINISTIC, "LIMIT could choose different rows in the copies of a reference table")
