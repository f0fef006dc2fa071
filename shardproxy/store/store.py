"""Where the topology is kept: the one interface, and what a URL opens.

The document changes by compare-and-set on its epoch. Whoever acts on it holds a lease with a token that rises from holder to holder,
and writes the token into the document first, so that the compare-and-set of a holder that was replaced fails. Nothing rests on the
lease's clock alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from shardproxy.errors import ConfigError
from shardproxy.store.records import Acknowledgement, StoredTopology


class StoreUnavailable(ConfigError):
    """The store cannot be reached, or does not answer in time."""

    def __init__(self, label: str, reason: object) -> None:
        super().__init__(label, [f"the store cannot be used: {reason}"])


class Documents(Protocol):
    """The document alone."""

    label: str

    def load(self) -> StoredTopology | None:
        """The newest document, or None where the store is empty."""

    def compare_and_set(self, expected_epoch: int, topology: StoredTopology) -> bool:
        """Replace the document if the store still is at `expected_epoch` (0: empty); gives whether it was."""


class Store(Documents, Protocol):
    """Calls block, so they are made from threads. All but the constructor raise `StoreUnavailable`; a compare-and-set that does so may
    have been carried out all the same."""

    def wait_beyond(self, epoch: int, timeout_s: float) -> bool:
        """Until the document has another epoch than this one; False where the time was over first. Comes back at once where the store
        cannot be reached, so that whoever asks again has to pause."""

    def primaries(self) -> dict[str, tuple[str, int]]:
        """The server that is primary, and the term, of each shard whose primary has changed."""

    def set_primary(self, shard: str, server: str, expected_term: int) -> bool:
        """Record a shard's primary if its term still is the expected one (0: never recorded); gives whether it was."""

    def take_lease(self, name: str, holder: str, seconds: float) -> int:
        """Take or renew a lease; gives its token, which rises from holder to holder, or 0 while somebody else holds it."""

    def drop_lease(self, name: str, holder: str) -> None:
        """Give a lease up."""

    def acknowledge(self, proxy: str, epoch: int, seconds: float) -> None:
        """A proxy lives, for so many seconds at least, and has carried out everything up to an epoch."""

    def acknowledgements(self) -> list[Acknowledgement]:
        """Of all proxies that have not taken leave."""

    def leave(self, proxy: str) -> None:
        """A proxy takes leave: nobody waits for it any more."""

    def progress(self, move: int | str) -> dict[str, Any]:
        """What was saved of a move's progress, or under another name: `report/PROXY` is what a proxy tells of its load."""

    def save_progress(self, move: int | str, progress: dict[str, Any]) -> None:
        """Keep a move's progress: what its mover needs to go on, and what operators are shown."""

    def note(self, move: int, event: str) -> None:
        """Append to the journal of a move: written before what it names is done."""

    def journal(self, move: int) -> list[tuple[float, str]]:
        """A move's journal: the time, in seconds since 1970, and the event."""

    def close(self) -> None:
        """Give up connections."""


def open_store(url: str, directory: Path, *, create: bool = True) -> Store:
    """The store that a URL names; paths are relative to `directory`. Raises `ConfigError`.

    Without `create` a file that is missing stays so.
    """
    if url.startswith("sqlite:///"):
        from shardproxy.store.sqlite_store import SQLiteStore

        path = (directory / url.removeprefix("sqlite:///")).resolve()
        if not create and not path.is_file():
            raise StoreUnavailable(str(path), "there is no such file; is this the proxies' store? They make it when they start")
        return SQLiteStore(path)
    if url.startswith(("etcd://", "etcds://")):
        from shardproxy.store.etcd_store import EtcdStore

        return EtcdStore(url, directory)
    # The text itself may hold a password.
    raise ConfigError("proxy.store", ["a store is sqlite:///path or etcd://host:port,host:port/prefix"])
