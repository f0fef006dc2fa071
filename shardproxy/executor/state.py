"""What the proxy knows of one client's session: everything that must be the same on whichever connection it works."""

from __future__ import annotations

from dataclasses import dataclass, field

from shardproxy.backends.engine import DEFAULT_KIND, ConnectionKind
from shardproxy.config.model import ReadMode
from shardproxy.protocol.flags import AUTOCOMMIT, IN_TRANSACTION

Warning_ = tuple[bytes, bytes, bytes]


@dataclass(slots=True)
class ClientState:
    """The session's variables and what its last statement left.

    `kind` holds its session variables. `settings` maps a user variable, `@name`, to the SQL literal it was set to;
    `settings_version` grows with each change, so that a connection can tell whether it is up to date. `transport` holds what SHOW STATUS
    says of the client's connection, by the variables' names in lower case. `reads` and `max_lag_s` say what reads from replicas may see;
    `reads_chosen`: the session itself has said so, which counts for all tables; `hint`: the statement under way says so.
    """

    thread_id: int
    user: str = ""
    host: str = ""
    schema: str | None = None
    kind: ConnectionKind = DEFAULT_KIND
    codec: str = "utf-8"
    autocommit: bool = True
    in_transaction: bool = False
    read_only: bool = False
    next_characteristics: list[str] = field(default_factory=list)
    settings: dict[str, bytes] = field(default_factory=dict)
    settings_version: int = 0
    last_insert_id: int = 0
    row_count: int = -1
    found_rows: int = 0
    warnings: list[Warning_] = field(default_factory=list)
    error_count: int = 0
    administers: bool = False
    reads: ReadMode = "session"
    max_lag_s: float = 1.0
    reads_chosen: bool = False
    hint: tuple[ReadMode, float] | None = None
    transport: dict[bytes, bytes] = field(default_factory=dict)

    def variable(self, name: str) -> bytes | None:
        """The literal that a session variable was set to, or None where it has not been set."""
        return dict(self.kind[4]).get(name)

    @property
    def joins_by_pipes(self) -> bool:
        """Whether `||` joins strings."""
        return b"PIPES_AS_CONCAT" in (self.variable("sql_mode") or b"")

    @property
    def status(self) -> int:
        """The session's own bits of a status word."""
        return (AUTOCOMMIT if self.autocommit else 0) | (IN_TRANSACTION if self.in_transaction else 0)

    @property
    def wants_transaction(self) -> bool:
        """Whether the next statement on a shard runs in a transaction."""
        return self.in_transaction or not self.autocommit
