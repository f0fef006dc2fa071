"""What moves are measured on: shards that own rows, empty ones, proxies on one store, and a mover in a process of its own."""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import cached_property
from itertools import count
from pathlib import Path

from benchmarks import mariadb
from benchmarks import proxy as proxies
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from benchmarks.mariadb import MariaDb
from benchmarks.mover import Moved, Task, Wanted
from benchmarks.options import Options
from benchmarks.procfs import own_cpu_seconds
from benchmarks.proxy import Proxy
from shardproxy.store.records import ShardRecord, StoredTopology
from shardproxy.store.store import Store, open_store
from shardproxy.topology.hashing import bucket_of
from shardproxy.topology.keys import IntegerKey
from shardproxy.topology.share import Share
from shardproxy.topology.share_sql import share_sql

SCHEMA = proxies.SCHEMA
PEER = "peer"  # the schema into which the mover's peers bring the rows
TABLE = "moved"
# About 120 bytes a row as the text that inserts it, of the types that most tables have.
_CREATE = f"""CREATE TABLE IF NOT EXISTS {TABLE} (
    id BIGINT NOT NULL PRIMARY KEY, k INT NOT NULL, price DECIMAL(10, 2) NOT NULL, at DATETIME NOT NULL,
    name VARCHAR(40) NOT NULL, note VARCHAR(80) NOT NULL, KEY by_k (k)) ENGINE = InnoDB"""
ROW = """seq, seq * 7919 % 1000003, seq % 1000003 / 100, '2024-01-01' + INTERVAL seq % 31536000 SECOND,
    CONCAT('name ', LPAD(seq * 104729 % 1000003, 12, '0')), RPAD(CONCAT('a note on ', seq, ' '), 58, 'and so on ')"""
_KEY = IntegerKey(-(1 << 63), (1 << 63) - 1)
_OPTIONS = ("--log-bin=binlog", "--binlog-format=ROW", "--sync-binlog=0", "--gtid-strict-mode=ON")
_REPOSITORY = Path(__file__).resolve().parent.parent
_IDLE_CPU = 0.03  # of a core, by a server that has nothing to do
_LOOK_S = 0.3
_LIMIT_S = 30.0
_STOP_S = 10.0


class MoveLab:
    """Starts fleets. Each case has one of its own, which is gone when the case is over."""

    def __init__(self, options: Options, folder: Path, template: Callable[[], Path]) -> None:
        self.options = options
        self.proxies: list[Proxy] = []
        self._folder = folder
        self._template = template

    @contextlib.contextmanager
    def fleet(self, shards: int, spares: int, rows: int, *, proxies: int = 1) -> Iterator["Fleet"]:
        """`shards` that share `rows` rows of `TABLE` by the hash of `id`, and `spares` that are members without rows."""
        home = Path(tempfile.mkdtemp(prefix="fleet-", dir=self._folder))
        with ExitStack() as running:
            fleet = Fleet(home, self._template(), running, shards, spares)
            for _ in range(proxies):
                self.proxies.append(fleet.start_proxy())
            fleet.fill(rows)
            yield fleet
        # Where a case fails the proxies' logs are still to be read.
        self.proxies.clear()
        shutil.rmtree(home)


class Fleet:
    """Running servers, one for each shard, named s0, s1 and so on, the empty ones last."""

    def __init__(self, folder: Path, template: Path, running: ExitStack, shards: int, spares: int) -> None:
        self._folder = folder
        self._template = template
        self._running = running
        self._numbers = count(1)
        self._server_ids = count(1)
        names = [f"s{number}" for number in range(shards + spares)]
        self.owners, self.spares = names[:shards], names[shards:]
        self.servers = {name: self.start_server(name) for name in names}
        self.proxies: list[Proxy] = []
        for server in self.servers.values():
            server.wait_ready()
            # Schemas and accounts are on every server from the start: that is nothing to replicate.
            server.execute(SCHEMA, ["RESET MASTER", _CREATE])

    def start_server(self, name: str) -> MariaDb:
        """A server with a binary log."""
        options = (*_OPTIONS, f"--server-id={next(self._server_ids)}")
        server = MariaDb(name, self._template, self._folder, [SCHEMA, PEER], options=options)
        self._running.callback(server.daemon.stop)
        return server

    def start_proxy(self) -> Proxy:
        """One more proxy on the fleet's store."""
        sections = "".join(f'[shards.{name}]\nprimary = "{address(self.servers[name])}"\n' for name in self.owners)
        sections += f'[tables.{TABLE}]\nkey = "id"\nby = "hash"\ngroup = "{TABLE}"\n'
        started = Proxy(self._folder, f"proxy {len(self.proxies)}", sections, store=f"sqlite:///{self._folder / 'topology.db'}")
        self._running.callback(started.daemon.stop)
        self.proxies.append(started)
        started.wait_ready()
        if len(self.proxies) == 1:
            # The first one has written the file's shards into the store.
            spares = {name: ShardRecord(address(self.servers[name])) for name in self.spares}
            self.change(lambda doc: replace(doc, shards={**doc.shards, **spares}))
        return started

    def endpoint(self, number: int) -> Endpoint:
        """The way through one of the proxies."""
        proxy = self.proxies[number]
        return Endpoint(
            f"proxy {number}", proxy.port, proxies.USER, proxies.PASSWORD, SCHEMA, (proxy.daemon.pid,), tuple(self.pids.values())
        )

    @property
    def pids(self) -> dict[str, int]:
        """The servers' processes."""
        return {name: server.daemon.pid for name, server in self.servers.items()}

    # ------------------------------------------------------------ the store

    @cached_property
    def store(self) -> Store:
        """The proxies' and the mover's."""
        store = open_store(f"sqlite:///{self._folder / 'topology.db'}", self._folder)
        self._running.callback(store.close)
        return store

    @property
    def stored(self) -> StoredTopology:
        """The document as it is now."""
        found = self.store.load()
        if found is None:
            raise BenchmarkError("the store is empty")
        return found

    def change(self, change: Callable[[StoredTopology], StoredTopology]) -> None:
        """Change the document, and wait until all proxies serve it."""
        while True:
            before = self.stored
            after = replace(change(before), epoch=before.epoch + 1)
            if self.store.compare_and_set(before.epoch, after):
                break
        deadline = time.monotonic() + _LIMIT_S
        while any(ack.alive and ack.epoch < after.epoch for ack in self.store.acknowledgements()):
            if time.monotonic() > deadline:
                raise BenchmarkError(f"a proxy does not serve epoch {after.epoch}")
            time.sleep(0.01)

    def buckets(self, shard: str) -> list[int]:
        """What a shard owns."""
        return [bucket for bucket, owner in enumerate(self.stored.hash_maps[TABLE]) if owner == shard]

    def wanted(self, source: str, target: str, buckets: Sequence[int]) -> Wanted:
        """A move with a number that none had before."""
        return Wanted(next(self._numbers), TABLE, source, target, list(buckets))

    # ------------------------------------------------------------ rows

    def fill(self, rows: int) -> None:
        """Put each row on its shard, past the proxies."""
        for name in self.owners:
            owned = condition(self.buckets(name), "seq") if len(self.owners) > 1 else "TRUE"
            fill = f"INSERT INTO {TABLE} SELECT {ROW} FROM seq_1_to_{rows} WHERE {owned}"
            self.servers[name].execute(SCHEMA, [fill, f"ANALYZE TABLE {TABLE}"])

    def rows(self, shard: str, buckets: Sequence[int] | None = None) -> int:
        """How many there are."""
        where = "TRUE" if buckets is None else condition(buckets, "id")
        return int(self.servers[shard].execute(SCHEMA, [f"SELECT COUNT(*) FROM {TABLE} WHERE {where}"])[0][0])

    def checksum(self, shard: str, schema: str) -> int:
        """Of all rows of the table."""
        return int(self.servers[shard].execute(schema, [f"CHECKSUM TABLE {TABLE}"])[0][1])

    # ------------------------------------------------------------ moves

    def reset(self, owners: tuple[str, ...]) -> None:
        """Back to how it was: these owners of the buckets, no moves, nothing on the spare shards. For moves whose sources have kept
        their rows."""
        self.change(lambda doc: replace(doc, hash_maps={**doc.hash_maps, TABLE: owners}, moves=(), hold=None, knobs={}))
        for name, server in self.servers.items():
            triggers = server.execute(SCHEMA, [f"SHOW TRIGGERS FROM {SCHEMA} LIKE '{TABLE}'"])
            statements = [f"DROP TRIGGER `{row[0]}`" for row in triggers]
            statements += ["DROP TABLE IF EXISTS _sp_fence, _sp_marker", f"DROP TABLE IF EXISTS {PEER}.{TABLE}"]
            if name in self.spares:
                statements.append(f"TRUNCATE TABLE {TABLE}")
            server.execute(SCHEMA, statements)
        self.settle()

    def settle(self) -> None:
        """Until no server is busy with what was asked of it before."""
        deadline = time.monotonic() + _LIMIT_S
        busy = True
        while busy and time.monotonic() < deadline:
            before = [own_cpu_seconds(pid) for pid in self.pids.values()]
            time.sleep(_LOOK_S)
            after = [own_cpu_seconds(pid) for pid in self.pids.values()]
            busy = any(now - then > _IDLE_CPU * _LOOK_S for now, then in zip(after, before, strict=True))

    def move(self, task: Task) -> list[Moved]:
        """Carry moves out, to their end."""
        with self.moving(task) as mover:
            return list(mover.moved())

    @contextlib.contextmanager
    def moving(self, task: Task) -> Iterator["MoverProcess"]:
        """The same meanwhile; what is not done at the end of the block is broken off."""
        mover = MoverProcess(self.proxies[0].config, replace(task, pids=self.pids), self._folder / "mover.log")
        try:
            yield mover
        finally:
            mover.stop()


class MoverProcess:
    """A mover at work."""

    def __init__(self, config: Path, task: Task, log: Path) -> None:
        argv = [sys.executable, "-m", "benchmarks.mover", str(config)]
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(argv, cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True)
        assert self._process.stdin is not None
        json.dump(asdict(task), self._process.stdin)
        self._process.stdin.close()

    def moved(self) -> Iterator[Moved]:
        """Each move when it is over. Raises `BenchmarkError` where the mover fails."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield Moved.load(json.loads(line))
        if self._process.wait():
            raise BenchmarkError(f"the mover failed:\n{self._log.read_text()[-3000:]}")

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Break off; the moves stay as they are."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def condition(buckets: Iterable[int], column: str) -> str:
    """SQL for the rows of these buckets."""
    return share_sql(_KEY, column, Share(buckets=frozenset(buckets)))


def bucket(number: int) -> int:
    """Where a row with this `id` belongs."""
    return bucket_of(_KEY.canonical(number))


def address(server: MariaDb) -> str:
    """Its URL for the proxy and the mover."""
    return f"mysql://{mariadb.USER}:{mariadb.PASSWORD}@127.0.0.1:{server.port}/{SCHEMA}"
