"""What a check asks a server about itself, beyond whether it answers: its role, its position, its replication."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from shardproxy.backends.engine import BufferedResult, Connection
from shardproxy.errors import ServerError
from shardproxy.protocol.gtid import NOWHERE, Position
from shardproxy.protocol.resultset import parse_row

# The binary log's state has the last number of each server, its position only the last of all.
_MARIADB: Final = b"SELECT @@GLOBAL.read_only, @@GLOBAL.gtid_slave_pos, @@GLOBAL.gtid_binlog_state, @@GLOBAL.server_id"
_MYSQL: Final = (
    b"SELECT @@GLOBAL.read_only OR @@GLOBAL.super_read_only, @@GLOBAL.gtid_executed, @@GLOBAL.gtid_executed, @@GLOBAL.server_uuid"
)
_MAX_AGENT_BYTES: Final = 4096
# An agent that is slower says nothing: a check must not take a server out because of its agent.
_AGENT_S: Final = 0.2
_ACCESS_DENIED: Final = frozenset((1227, 1045, 1142))


@dataclass(frozen=True, slots=True)
class Probe:
    """What one server has said.

    `applied` is what readers of it can see of what came by replication; `logged` besides has what it has written itself, some of which
    readers may see only a moment later. `identity` is its server id (MariaDB) or UUID (MySQL), `source` that of the server which it
    replicates from, or "". `running` is whether replication runs, as far as the account may see it. `lag_s` is the server's own figure,
    where it gives one; `fault` says why replication stands still, or is "".
    """

    read_only: bool
    applied: Position = NOWHERE
    logged: Position = NOWHERE
    identity: str = ""
    source: str = ""
    running: bool = False
    lag_s: float | None = None
    fault: str = ""
    reported: float | None = None


@dataclass(slots=True)
class Prober:
    """Asks one server. It remembers what kind of server that is, and what its account may not ask."""

    flavour: str = ""
    report: str = ""
    # Set where the account may not see the state of replication.
    blind: bool = field(default=False)

    async def probe(self, connection: Connection) -> Probe:
        """Everything; raises `ServerError` or `ProxyError` where the server does not answer as one of a replicated shard."""
        if not self.flavour:
            await self.learn_flavour(connection)
        maria = self.flavour == "mariadb"
        read_only, applied, logged, name = await self._state(connection)
        status = await self._replication(connection, maria=maria)
        reported = None
        if self.report:
            reported = await self._reported(connection)
        return Probe(
            read_only,
            applied,
            logged,
            name,
            status.get("Source", ""),
            self.blind or (bool(status) and status.get("IO") == "Yes" and status.get("SQL") == "Yes"),
            float(status["Behind"]) if status.get("Behind") else None,
            _fault(status),
            reported,
        )

    async def _reported(self, connection: Connection) -> float | None:
        """The weight that the node gives itself: by a query, or over HTTP. None where it gives none."""
        if self.report.startswith("http://"):
            return await agent_weight(self.report)
        rows = _rows(await connection.query(self.report.encode()))
        try:
            return float(rows[0][0]) if rows else None
        except ValueError:
            return None

    async def learn_flavour(self, connection: Connection) -> None:
        """Ask what kind of server it is."""
        [(version,)] = _rows(await connection.query(b"SELECT VERSION()"))
        self.flavour = "mariadb" if "mariadb" in version.lower() else "mysql"

    async def positions(self, connection: Connection) -> tuple[Position, Position]:
        """Only how far it has come by now: `applied` and `logged` of a `Probe`."""
        _, applied, logged, _ = await self._state(connection)
        return applied, logged

    async def received(self, connection: Connection) -> Position:
        """What a replica has got from its source, applied or not yet; nowhere where it is none or the account may not see."""
        status = await self._replication(connection, maria=self.flavour == "mariadb")
        return Position.parse(status.get("Received", ""))

    async def _state(self, connection: Connection) -> tuple[bool, Position, Position, str]:
        [(read_only, applied, logged, name)] = _rows(await connection.query(_MARIADB if self.flavour == "mariadb" else _MYSQL))
        position = Position.parse(applied)
        return read_only != "0", position, position.union(Position.parse(logged)) if logged != applied else position, name

    async def _replication(self, connection: Connection, *, maria: bool) -> dict[str, str]:
        """What SHOW SLAVE STATUS says, under names that both kinds of servers share; empty where it replicates from nowhere."""
        if self.blind:
            return {}
        try:
            result = await connection.query(b"SHOW SLAVE STATUS" if maria else b"SHOW REPLICA STATUS")
        except ServerError as error:
            if error.errno not in _ACCESS_DENIED:
                raise
            self.blind = True
            return {}
        rows = _rows(result)
        if not rows:
            return {}
        found = dict(zip((column.name.decode("latin-1") for column in result.columns), rows[0], strict=True))
        old, new = ("Master", "Slave") if maria else ("Source", "Replica")
        return {
            "Source": found.get("Master_Server_Id" if maria else "Source_UUID", ""),
            "IO": found.get(f"{new}_IO_Running", ""),
            "SQL": found.get(f"{new}_SQL_Running", ""),
            "Received": found.get("Gtid_IO_Pos" if maria else "Retrieved_Gtid_Set", ""),
            "Behind": found.get(f"Seconds_Behind_{old}", ""),
            "IO error": found.get("Last_IO_Error", ""),
            "SQL error": found.get("Last_SQL_Error", ""),
        }


async def agent_weight(url: str) -> float | None:
    """What an agent on the node answers: a number, or a percentage as HAProxy's agents give it (`75%`); None for anything else."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    try:
        async with asyncio.timeout(_AGENT_S):
            return await _asked(host, port, parts.path or "/")
    except (OSError, ValueError, IndexError, UnicodeDecodeError):
        return None


async def _asked(host: str, port: int, path: str) -> float | None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        answer = b""
        while len(answer) < _MAX_AGENT_BYTES and (part := await reader.read(_MAX_AGENT_BYTES)):
            answer += part
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        return None
    word = body.split()[0].decode("ascii")
    return float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)


def _fault(status: dict[str, str]) -> str:
    """A source that cannot be reached ("Connecting") is no fault of the replica: how old its rows are tells whether it can be used."""
    for thread, name in (("SQL", "the applier"), ("IO", "the receiver")):
        if status.get(thread) == "No":
            return f"{name} of replication does not run: {status[f'{thread} error'] or 'it was stopped'}"
    return ""


def _rows(result: BufferedResult) -> list[tuple[str, ...]]:
    width = len(result.columns)
    return [tuple("" if value is None else value.decode("utf-8", "replace") for value in parse_row(row, width)) for row in result.rows]
