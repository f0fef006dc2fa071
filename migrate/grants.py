"""Whether an account may do what a move needs, by what the server says of its grants."""

from __future__ import annotations

import fnmatch
import re
from typing import Final

from migrate.tables import read_texts
from shardproxy.backends.engine import Connection
from shardproxy.errors import ServerError

_NEEDED: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "TRIGGER")
_GRANT: Final = re.compile(r"GRANT (?P<rights>.+?) ON (?P<scope>(?:\*|`[^`]*`)\.\*) TO ")


async def missing_rights(connection: Connection, schema: str, shard: str) -> list[str]:
    """What the account lacks on its schema, in words. Nothing is said of one that has roles: what these allow is not told."""
    grants = [row[0] for row in await read_texts(connection, "SHOW GRANTS")]
    found = [match for grant in grants if (match := _GRANT.match(grant))]
    if any(grant.startswith("GRANT ") and " ON " not in grant for grant in grants):
        return await _may_make_triggers(connection, shard, [match["rights"].upper() for match in found])
    rights: set[str] = set()
    for match in found:
        name = match["scope"].removesuffix(".*").strip("`")
        if name == "*" or fnmatch.fnmatchcase(schema, _as_pattern(name)):
            rights.update(right.strip().upper() for right in match["rights"].split(","))
    reasons = []
    if not rights & {"ALL PRIVILEGES", "ALL"}:
        missing = [right for right in _NEEDED if right not in rights]
        reasons += [f"{shard}: the account lacks {', '.join(missing)} on schema {schema}"] if missing else []
    return reasons + await _may_make_triggers(connection, shard, [match["rights"].upper() for match in found if match["scope"] == "*.*"])


def _as_pattern(name: str) -> str:
    """A schema's name in a grant is a pattern of LIKE."""
    pieces = re.split(r"(\\.|[%_])", name)
    return "".join({"%": "*", "_": "?"}.get(piece, re.sub(r"([\[*?])", r"[\1]", piece.removeprefix("\\"))) for piece in pieces)


async def _may_make_triggers(connection: Connection, shard: str, everywhere: list[str]) -> list[str]:
    """Servers with a binary log ask for a right of their own from whoever makes a trigger."""
    try:
        logged, trusted = (await read_texts(connection, "SELECT @@log_bin, @@log_bin_trust_function_creators"))[0]
    except ServerError:
        return []
    if logged not in ("1", "ON") or trusted not in ("0", "OFF"):
        return []
    if any("SUPER" in rights or rights.startswith("ALL") for rights in everywhere):
        return []
    return [f"{shard}: the account may not make triggers: set log_bin_trust_function_creators = 1 in the server's file, or grant it SUPER"]
