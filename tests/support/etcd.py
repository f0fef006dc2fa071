"""etcd for tests: one server or several that form a cluster, each with a data directory of its own; and stores in it."""

import base64
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Self

from shardproxy.store.etcd_store import EtcdStore
from shardproxy.store.records import ShardRecord, StoredTopology
from shardproxy.store.store import Store
from tests.support.ports import free_port
from tests.support.process import ServerProcess

Open = Callable[[str], EtcdStore]

# A heartbeat in milliseconds; an election after ten. etcd grants no lease for less than one and a half elections, in whole seconds.
_HEARTBEAT_MS = 50


class Etcd(ServerProcess):
    """An etcd on ports that stay its own through restarts, with its data in its directory. It answers about a second after `start`."""

    def __init__(self, name: str = "etcd", *, certificate: Mapping[str, str] | None = None, options: Sequence[str] = ()) -> None:
        """`certificate` is what `write_certificate` gives: clients must speak TLS. `options` are added to the command line."""
        super().__init__(name, free_port())
        self.peer_port = free_port()
        # Where clients must speak TLS, health is told in plain text on a port of its own.
        self._health_port = free_port() if certificate else self.port
        self._certificate = certificate
        self._options = tuple(options)
        self._members: Sequence[Etcd] = (self,)

    @classmethod
    def cluster(cls, size: int) -> list[Self]:
        """Several that are one store, running. A member that is started again by itself waits for most of them to be there."""
        members = [cls(f"etcd-{i}") for i in range(size)]
        for member in members:
            member._members = members
        with ThreadPoolExecutor(size) as pool:
            list(pool.map(cls.start, members))
        return members

    @staticmethod
    def binary() -> str:
        """The server's path; raises FileNotFoundError, saying what to install."""
        path = shutil.which("etcd") or shutil.which("etcd", path="/usr/sbin:/usr/local/sbin:/usr/local/bin")
        if path is None:
            raise FileNotFoundError("no etcd on this machine: install etcd-server, or run `make test`")
        return path

    def url(self, prefix: str = "/test") -> str:
        """What stands in the proxy's config for a store under this prefix."""
        return f"etcd://127.0.0.1:{self.port}{prefix}"

    def ask(self, path: str, **request: Any) -> dict[str, Any]:
        """One call past the store, as `ask("/v3/kv/compaction", revision="7")`; raises urllib's errors."""
        body = json.dumps(request).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", body, timeout=5) as response:
            answer = json.loads(response.read())
        assert isinstance(answer, dict)
        return answer

    def keys(self, prefix: str = "/test") -> dict[str, str]:
        """All keys below a prefix, which is cut off, and what they hold."""
        found = self.ask("/v3/kv/range", key=code(f"{prefix}/"), range_end=code(f"{prefix}0"))
        return {decode(kv["key"]).removeprefix(f"{prefix}/"): decode(kv.get("value", "")) for kv in found.get("kvs", ())}

    def compact(self) -> None:
        """Forget all revisions but the newest, so that older ones can be watched no more."""
        revision = self.ask("/v3/kv/range", key=code("x"))["header"]["revision"]
        self.ask("/v3/kv/compaction", revision=revision, physical=True)

    def protect(self, user: str, password: str, prefix: str = "/test") -> None:
        """From now on, only those who log in get in: `root` (password `root`), and a user who may do anything below the prefix."""
        for name, secret in (("root", "root"), (user, password)):
            self.ask("/v3/auth/user/add", name=name, password=secret)
        self.ask("/v3/auth/role/add", name="store")
        everything = {"permType": "READWRITE", "key": code(f"{prefix}/"), "range_end": code(f"{prefix}0")}
        self.ask("/v3/auth/role/grant", name="store", perm=everything)
        self.ask("/v3/auth/role/add", name="root")
        self.ask("/v3/auth/user/grant", user="root", role="root")
        self.ask("/v3/auth/user/grant", user=user, role="store")
        self.ask("/v3/auth/enable")

    def _command(self) -> list[str]:
        scheme = "https" if self._certificate else "http"
        return [
            self.binary(),
            f"--name={self.name}",
            f"--data-dir={self.dir / 'data'}",
            f"--listen-client-urls={scheme}://127.0.0.1:{self.port}",
            f"--advertise-client-urls={scheme}://127.0.0.1:{self.port}",
            f"--listen-peer-urls={self._peer_url}",
            f"--initial-advertise-peer-urls={self._peer_url}",
            "--initial-cluster=" + ",".join(f"{member.name}={member._peer_url}" for member in self._members),
            f"--heartbeat-interval={_HEARTBEAT_MS}",
            f"--election-timeout={10 * _HEARTBEAT_MS}",
            *self._tls(),
            *self._options,
        ]

    @property
    def _peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    def _tls(self) -> list[str]:
        if self._certificate is None:
            return []
        files = [f"--{name}-file={self._certificate[name]}" for name in ("cert", "key")]
        return [*files, f"--listen-metrics-urls=http://127.0.0.1:{self._health_port}"]

    def _is_ready(self) -> bool:
        # To be healthy takes a leader, and that takes most of the members.
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health_port}/health", timeout=1) as response:
                return bool(json.loads(response.read())["health"] == "true")
        except urllib.error.HTTPError as error:
            error.close()
            return False


@contextmanager
def etcd_server(**options: Any) -> Iterator[Etcd]:
    """A running server; `options` are those of `Etcd`."""
    server = Etcd(**options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def stores() -> Iterator[Open]:
    """Opens stores by their URLs, and closes them all at the end."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(closing(EtcdStore(url)))


def at(*ports: int) -> str:
    """The URL of a store that has these ports."""
    return f"etcd://{','.join(f'127.0.0.1:{port}' for port in ports)}/test"


def document(epoch: int, **knobs: float) -> StoredTopology:
    """A document of that epoch, as small as can be."""
    return StoredTopology(epoch, {"a": ShardRecord()}, knobs=knobs)


@contextmanager
def within(limit_s: float) -> Iterator[None]:
    """What is done in it takes no longer."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < limit_s


@contextmanager
def waiting(store: Store, epoch: int, timeout_s: float = 20) -> Iterator[Future[bool]]:
    """A wait for another epoch, which goes on in a thread meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(store.wait_beyond, epoch, timeout_s)
        time.sleep(0.1)  # for the watch to be there; nothing tells of it
        assert not future.done()
        yield future


def code(text: str) -> str:
    """Text as etcd's JSON form has it."""
    return base64.b64encode(text.encode()).decode("ascii")


def decode(text: str) -> str:
    """Text from etcd's JSON form."""
    return base64.b64decode(text).decode()
