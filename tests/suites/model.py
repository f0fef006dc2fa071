"""What a suite is, and what comes of its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.support.servers import DatabaseServer, MariaDB

Side = Literal["direct", "proxy", "sharded", "direct-adapted", "sharded-adapted"]
# What each side is compared with; `adapted` are the tests changed as an application is before its tables are spread.
BASES: dict[Side, Side] = {"proxy": "direct", "sharded": "direct", "sharded-adapted": "direct-adapted"}
Outcome = Literal["pass", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test; `note` is what it said when it failed."""

    outcome: Outcome
    note: str = ""


Results = dict[str, Result]


@dataclass(frozen=True)
class Target:
    """Where the tests of a suite connect to: the server itself, the proxy in front of it, or the proxy in front of several."""

    side: Side
    port: int
    user: str
    password: str
    schema: str
    backend: DatabaseServer
    host: str = "127.0.0.1"
    # What the proxy refused since it was last asked.
    heard: Callable[[], str] = lambda: ""
    # Start the server anew, with new data, behind the same port.
    renew: Callable[[], None] = lambda: None

    def client_options(self) -> list[str]:
        """The options by which the command line clients get there."""
        password = [f"--password={self.password}"] if self.password else ["--skip-password"]
        return [f"--host={self.host}", f"--port={self.port}", f"--user={self.user}", *password, "--protocol=tcp"]

    def dsn(self, driver: str, schema: str | None = None) -> str:
        """As SQLAlchemy writes it."""
        return f"{driver}://{self.user}:{self.password}@{self.host}:{self.port}/{schema or self.schema}"


@dataclass(frozen=True)
class Certificate:
    """What a server shows to a client that wants TLS."""

    cert: Path
    key: Path
    ca: Path


class Missing(Exception):
    """A suite that is not on this machine and cannot be downloaded; says where to put it."""


@dataclass
class Suite:
    """One suite: how to get it, what it needs from the server, how to run some of its tests."""

    name: str
    title: str = ""
    about: str = ""
    user: str = "root"
    password: str = "sp"
    schema: str = "test"
    more_schemas: Sequence[str] = ()
    server_options: Sequence[str] = ()
    certificate: Certificate | None = None
    auth_plugin: str = "mysql_native_password"
    # What this suite wants in the proxy's config file, over what all of them get.
    limits: Mapping[str, int] = field(default_factory=dict)

    def prepare(self) -> str:
        """Download and unpack what is missing; which version it is."""
        raise NotImplementedError

    def make_server(self) -> DatabaseServer:
        """The server behind both sides."""
        return MariaDB("db", options=[*self.server_options, *self._tls_options()])

    def names(self, target: Target) -> list[str]:
        """All tests, for a suite that runs them one by one; empty for one that finds them as it goes."""
        return []

    def run(self, target: Target, names: Sequence[str]) -> Iterator[tuple[str, Result]]:
        """Run these tests (all, if none is named), each result as it comes."""
        raise NotImplementedError

    def _tls_options(self) -> list[str]:
        if self.certificate is None:
            return []
        return [f"--ssl-cert={self.certificate.cert}", f"--ssl-key={self.certificate.key}", f"--ssl-ca={self.certificate.ca}"]


@contextmanager
def scratch(target: Target, name: str) -> Iterator[Path]:
    """A directory that is gone with the server."""
    path = target.backend.dir / name
    path.mkdir(exist_ok=True)
    yield path
