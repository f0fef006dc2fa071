"""A sharded database whose shards can be moved about: servers with a binary log, proxies on one store, `shardctl`, and a spare shard."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shardproxy.cli import ctl
from shardproxy.config.loader import load_config, seed_topology
from shardproxy.store.reconcile import reconcile
from shardproxy.store.records import StoredTopology
from shardproxy.store.store import Store, open_store
from shardproxy.topology.hashing import bucket_of
from shardproxy.topology.moves import Move
from shardproxy.topology.rebalance_apply import intervals_of
from tests.support.proxy import REPO, ProxyProcess
from tests.support.servers import DatabaseServer, MariaDB
from tests.support.waiting import eventually
from tests.support.workdir import new_dir

SCHEMA = "app"
# Small and quick: there are many of them.
_OPTIONS = ("--innodb-buffer-pool-size=24M", "--innodb-lock-wait-timeout=20")

# Columns of every kind that is read and written back by a mover in a way of its own; keys of several columns.
COLUMNS = {
    "orders": "customer BIGINT NOT NULL, kind CHAR(8) CHARACTER SET latin1 NOT NULL, id BIGINT NOT NULL, op BIGINT NOT NULL,"
    " amount DECIMAL(12,2), note VARCHAR(120) CHARACTER SET utf8mb4, old VARCHAR(40) CHARACTER SET latin1, raw VARBINARY(64),"
    " big MEDIUMTEXT, flags BIT(5), size ENUM('small','large','medium'), tags SET('x','y','z'), ratio DOUBLE, small FLOAT,"
    " at DATETIME(6), stamp TIMESTAMP(3) NULL, day DATE, span TIME(2), year YEAR, doc JSON, twice BIGINT AS (op * 2) STORED,"
    " PRIMARY KEY (customer, kind, id), KEY by_op (op)",
    "items": "customer BIGINT NOT NULL, op BIGINT NOT NULL, n INT NOT NULL, text VARCHAR(60), PRIMARY KEY (customer, op, n)",
    "registers": "customer BIGINT NOT NULL PRIMARY KEY, value BIGINT NOT NULL, padding VARCHAR(200) NOT NULL DEFAULT ''",
    "balances": "customer BIGINT NOT NULL, n INT NOT NULL, amount BIGINT NOT NULL, touched INT NOT NULL DEFAULT 0,"
    " PRIMARY KEY (customer, n)",
    "visits": "at INT NOT NULL, op BIGINT NOT NULL, text VARCHAR(60), PRIMARY KEY (at, op)",
    "counters": "at INT NOT NULL PRIMARY KEY, value BIGINT NOT NULL",
    "rates": "id INT NOT NULL PRIMARY KEY, value BIGINT NOT NULL, name VARCHAR(20)",
}
HASHED = ("orders", "items", "registers", "balances")
RANGED = ("visits", "counters")
# Range keys are below this.
RANGE_END = 4000


def tables_toml(shards: Sequence[str], *, ranged: bool) -> str:
    """The `[tables]` of a config file."""
    text = "".join(f'[tables.{name}]\nby = "hash"\nkey = "customer"\ngroup = "shop"\n\n' for name in HASHED)
    if ranged:
        step = RANGE_END // len(shards)
        ranges = [f'{{ to = {step * (i + 1)}, shard = "{shard}" }}' for i, shard in enumerate(shards[:-1])]
        listed = ", ".join([*ranges, f'{{ shard = "{shards[-1]}" }}'])
        text += f'[tables.visits]\nby = "range"\nkey = "at"\nranges = [{listed}]\n\n'
        text += '[tables.counters]\nby = "range"\nkey = "at"\ngroup = "visits"\n\n'
    return text + '[tables.rates]\nby = "reference"\n'


def new_servers(count: int, *, server: type[DatabaseServer] = MariaDB, log_bin: bool = True) -> dict[str, DatabaseServer]:
    """Servers by shard, not started."""
    return {f"s{i}": server(f"s{i}", log_bin=log_bin, options=_OPTIONS) for i in range(count)}


class Mover:
    """One `shardctl` command that runs by itself."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.command = list(command)
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(os.environ) | dict(environment)
            )

    def said(self) -> str:
        """All that it has printed."""
        return self.log.read_text(errors="replace")

    def at_failpoint(self, name: str, timeout_s: float = 40) -> bool:
        """Wait until it has reached its failpoint; False where it ended without."""

        return self.says(f"failpoint {name}:", timeout_s)

    def says(self, text: str, timeout_s: float = 40) -> bool:
        """Wait until it has printed something; False where it ended without."""

        def looked() -> str:
            over = self.process.poll() is not None
            return "said" if text in self.said() else "over" if over else ""

        return eventually(looked, timeout_s) == "said"

    def wait_or_kill(self, timeout_s: float) -> int:
        """Its exit status; after so long it is killed."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode

    def wait(self, timeout_s: float = 60) -> int:
        """Its exit status."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{' '.join(self.command[4:])} is not over after {timeout_s} s:\n{self.said()[-3000:]}") from None

    def pause(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


class Cluster:
    """See the module; a context manager. The spare shard is the one behind the last of `shards`, in no config file.

    `servers`, by shard, are somebody else's, who stops them; they are emptied.
    """

    def __init__(
        self,
        shards: int = 3,
        *,
        ranged: bool = True,
        proxies: int = 2,
        store: str = "",
        server: type[DatabaseServer] = MariaDB,
        more_tables: str = "",
        spares: int = 1,
        workers: int = 1,
        log_bin: bool = True,
        servers: Mapping[str, DatabaseServer] | None = None,
    ) -> None:
        self.shards = [f"s{i}" for i in range(shards)]
        self.spares = [f"s{shards + i}" for i in range(spares)]
        self.spare = self.spares[0]
        self._workers = workers
        self.ranged = ranged
        self.tables = [name for name in COLUMNS if ranged or name not in RANGED]
        self.dir = new_dir("moves")
        self.store_url = store or f"sqlite:///{self.dir / 'topology.db'}"
        self._lent = servers is not None
        self.servers: dict[str, DatabaseServer] = dict(servers or new_servers(shards + spares, server=server, log_bin=log_bin))
        self._more = more_tables + "\n" + tables_toml(self.shards, ranged=ranged)
        self.proxy_count = proxies
        self.proxies: list[ProxyProcess] = []
        # The ports by which somebody reaches a shard in place of its own; to be set before `start`.
        self.ways: dict[str, dict[str, int]] = {}
        # Tables besides.
        self.more_columns: dict[str, str] = {}
        # The store's URL for those that reach it another way.
        self.store_urls: dict[str, str] = {}
        self.proxy_commands: dict[int, list[str]] = {}
        # The spare shard stands in the files from the start, each with its own way to it, and the store is seeded without it.
        self.spare_in_files = False
        self.movers: list[Mover] = []
        self.before: dict[str, set[str]] = {}
        self._store: Store | None = None

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for mover in self.movers:
            mover.kill()
        for proxy in self.proxies:
            proxy.kill()
        if not self._lent:
            for server in self.servers.values():
                server.kill()
        if self._store is not None:
            self._store.close()

    # -- making it ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Servers with tables, and proxies."""
        for server in self.servers.values():
            if not server.running:
                server.start()
            for _, *lengths, data in server.execute("XA RECOVER"):
                server.execute(f"XA ROLLBACK '{data[: lengths[0]]}'")
            server.create_schema(SCHEMA)
        for shard in self.shards:
            for table, columns in {**{name: COLUMNS[name] for name in self.tables}, **self.more_columns}.items():
                self.execute(shard, f"CREATE TABLE {table} ({columns})")
        self.before = {shard: self.tables_of(shard) for shard in self.servers}
        if self.spare_in_files:
            self.ctl_config.write_text(self._file("ctl", self.shards))
            reconcile(self.store, seed_topology(load_config(self.ctl_config).config))
        self.start_proxies()
        self.write_ctl_config()

    def start_proxies(self) -> None:
        """All proxies, anew."""
        names = [*self.shards, *(self.spares if self.spare_in_files else [])]
        for number in range(self.proxy_count):
            urls = {shard: self.url(shard, f"proxy{number}") for shard in names}
            made = _Proxy(
                urls,
                self._more,
                settings={
                    "store": self.store_urls.get(f"proxy{number}", self.store_url),
                    "default_shard": self.shards[0],
                    "workers": self._workers,
                },
                name=f"proxy{number}",
            )
            made.module = self.proxy_commands.get(number, made.module)
            made.start()
            self.proxies.append(made)

    def url(self, shard: str, who: str = "") -> str:
        """A shard's URL as somebody is to use it."""
        server = self.servers[shard]
        port = self.ways.get(who, {}).get(shard, server.port)
        return server.url(SCHEMA).replace(f":{server.port}/", f":{port}/")

    @property
    def ctl_config(self) -> Path:
        """The mover's config file."""
        return self.dir / "ctl.toml"

    def write_ctl_config(self) -> None:
        """Of what the proxies have, with the mover's ways to the shards."""
        self.ctl_config.write_text(self._file("ctl", [*self.shards, *(self.spares if self.spare_in_files else [])]))

    def _file(self, who: str, shards: Sequence[str]) -> str:
        lines = [
            "[proxy]",
            'listen = "127.0.0.1:1"',
            f'schema = "{SCHEMA}"',
            f'default_shard = "{self.shards[0]}"',
            f'store = "{self.store_urls.get(who, self.store_url)}"',
            '[users.app]\npassword = "app"',
        ]
        lines += [f'[shards.{shard}]\nprimary = "{self.url(shard, who)}"' for shard in shards]
        return "\n".join([*lines, "", self._more])

    # -- what is there ------------------------------------------------------------------------------------------------

    def execute(self, shard: str, sql: str) -> list[tuple[Any, ...]]:
        """SQL on a shard's server, past any proxy."""
        return self.servers[shard].execute(sql, SCHEMA)

    def tables_of(self, shard: str) -> set[str]:
        """The tables that a server has, and its views and triggers."""
        listed = self.execute(
            shard,
            f"SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{SCHEMA}'"
            f" UNION ALL SELECT CONCAT('trigger ', TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{SCHEMA}'",
        )
        return {name for (name,) in listed}

    @property
    def store(self) -> Store:
        """The store."""
        if self._store is None:
            self._store = open_store(self.store_url, self.dir)
        return self._store

    def stored(self) -> StoredTopology:
        """The document as it is now."""
        found = self.store.load()
        assert found is not None
        return found

    def moves(self) -> list[Move]:
        """All moves, as the store has them."""
        return list(self.stored().moves)

    # -- shardctl -----------------------------------------------------------------------------------------------------

    def mover(self, *arguments: str, failpoint: str = "", module: Sequence[str] = ("shardproxy.cli.ctl",)) -> Mover:
        """Start `shardctl`; `failpoint` is for SHARDPROXY_FAILPOINT, `module` what is run in its place."""
        first, *before = module
        command = [sys.executable, "-m", first, *before, "--config", str(self.ctl_config), *arguments]
        environment = {"PYTHONPATH": str(REPO), "SHARDPROXY_FAILPOINT": failpoint}
        made = Mover(command, self.dir / f"ctl-{len(self.movers)}.log", environment)
        self.movers.append(made)
        return made

    def ctl(self, *arguments: str, timeout_s: float = 60, expect: Sequence[int] = (0,)) -> str:
        """Run `shardctl` to its end; what it printed. Asserts its exit status.

        What moves rows gets a process of its own; the rest is run here, as it takes no time but for starting Python.
        """
        if arguments[0] == "rebalance" or "reverse" in arguments:
            mover = self.mover(*arguments)
            code, said = mover.wait(timeout_s), mover.said()
        else:
            output = io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                code = ctl.main(["--config", str(self.ctl_config), *arguments])
            said = output.getvalue()
        assert code in expect, f"shardctl {' '.join(arguments)} exits with {code}:\n{said[-4000:]}"
        return said

    def add_spare(self) -> None:
        """`shard add` for the spare shards."""
        for spare in self.spares:
            url = [] if self.spare_in_files else ["--primary", self.url(spare, "ctl")]
            self.ctl("shard", "add", spare, *url, "--execute")

    def drain_spare(self) -> None:
        """`shard drain` for them."""
        for spare in self.spares:
            self.ctl("shard", "drain", spare, "--execute")

    def remove_spare(self) -> None:
        """`shard remove` for them; their reference tables are emptied, so that they can come again."""
        for spare in self.spares:
            self.ctl("shard", "remove", spare, "--execute")
            self.execute(spare, "DELETE FROM rates")

    def cleanup(self, timeout_s: float = 60) -> None:
        """`move cleanup` for every move that waits for it."""
        for move in self.moves():
            if not move.state.over:
                self.ctl("move", "cleanup", str(move.id), "--execute", timeout_s=timeout_s)

    # -- who owns what, worked out here -------------------------------------------------------------------------------

    def owner(self, table: str, key: int, stored: StoredTopology | None = None) -> str:
        """The shard that owns a key, by the store."""
        document = stored or self.stored()
        if table in RANGED:
            for (low, high), owner in intervals_of(document.range_maps["visits"]):
                if (low is None or key >= low) and (high is None or key < high):  # type: ignore[operator]
                    return owner
            raise AssertionError(f"nobody owns {key}")
        # A table that is not sharded yet lies on the first shard.
        owners = document.hash_maps.get("notes" if table == "notes" else "shop")
        return owners[bucket_of(b"%d" % key)] if owners is not None else self.shards[0]


class _Proxy(ProxyProcess):
    """A proxy that may be run by another module, with ways to break it."""

    module: list[str] = ["shardproxy"]  # noqa: RUF012

    def _command(self) -> list[str]:
        first, *before = self.module
        return [sys.executable, "-m", first, *before, "serve", "--config", str(self.config_path)]


@contextlib.contextmanager
def cluster(*args: Any, **kwargs: Any) -> Iterator[Cluster]:
    """A running one."""
    with Cluster(*args, **kwargs) as made:
        made.start()
        yield made
