"""The text that a shard gets: a template with its holes filled."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from shardproxy.planner.template import OwnershipFilter, SessionValue, Template
from shardproxy.sql.fingerprint import list_items

Answer = Callable[[SessionValue], bytes]


def render(template: Template, literals: Sequence[bytes], answer: Answer, shard: str = "") -> bytes:
    """Fill in literals and the session's own values (`answer` gives them as SQL literals), and what only `shard` gets."""
    parts = []
    for piece in template:
        if isinstance(piece, bytes):
            parts.append(piece)
        elif isinstance(piece, int):
            parts.append(literals[piece])
        elif isinstance(piece, SessionValue):
            parts.append(answer(piece))
        elif isinstance(piece, OwnershipFilter):
            parts.append(piece.on(shard))
        else:
            total = int(literals[piece.limit]) + (int(literals[piece.offset]) if piece.offset is not None else 0)
            parts.append(b"%d" % min(total, (1 << 64) - 1))
    return b"".join(parts)


def quote(value: str) -> bytes:
    """A string as an SQL literal in UTF-8."""
    return b"'" + value.replace("\\", "\\\\").replace("'", "''").encode() + b"'"


def with_physical_schema(literals: Sequence[bytes], logical: str, physical: str, slots: Container[int] | None = None) -> list[bytes]:
    """For questions about the schema: the logical schema's name, as a string or in a list, becomes the shard's own; in these slots only."""
    wanted = logical.encode().lower()
    own = b"'" + physical.encode() + b"'"

    def exchanged(raw: bytes) -> bytes:
        if raw[:1] not in b"'\"":
            return raw
        name = raw[1:-1].lower()
        if name == wanted:
            return own
        # The shard's own name is none that a client can know.
        return b"'" + wanted + b"'" if slots is not None and name == physical.encode().lower() else raw

    return [
        raw
        if slots is not None and slot not in slots
        else b"(" + b", ".join([exchanged(item) for item in list_items(raw)]) + b")"
        if raw[:1] == b"("
        else exchanged(raw)
        for slot, raw in enumerate(literals)
    ]
