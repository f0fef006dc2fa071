"""A proxy over four shards with one table of each kind: what tests of the whole proxy work on."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pymysql

from tests.conftest import Shards
from tests.support.certificate import write_certificate
from tests.support.proxy import ProxyProcess
from tests.support.wire import WireClient

TABLES = """
[tables.users]
key = "uid"
by = "range"
ranges = [{ to = 100, shard = "s0" }, { to = 200, shard = "s1" }, { to = 300, shard = "s2" }, { shard = "s3" }]

[tables.orders]
key = "uid"
by = "hash"

[tables.countries]
by = "reference"

[tables.notes]
by = "unsharded"
shard = "s1"
"""

SCHEMA = {
    "users": "uid BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), age INT NOT NULL DEFAULT 0",
    "orders": "uid BIGINT NOT NULL, oid BIGINT NOT NULL, total DECIMAL(10,2) NOT NULL DEFAULT 0, pad LONGTEXT, PRIMARY KEY (uid, oid)",
    "countries": "id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, code CHAR(2) UNIQUE, seen DATETIME(6)",
    "notes": "id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, note LONGTEXT",
}
# One user per shard, in the order of the shards.
S0, S1, S2, S3 = 50, 150, 250, 350


class Shop:
    """The shards with their tables, and the proxy in front."""

    def __init__(self, shards: Shards, proxy: ProxyProcess) -> None:
        self.shards = shards
        self.proxy = proxy

    @staticmethod
    def create_tables(shards: Shards) -> None:
        """Empty tables on all shards, and nothing else."""
        shards.reset()
        for shard in shards.placement:
            for name, columns in SCHEMA.items():
                if name != "notes" or shard == "s1":
                    shards.execute(shard, f"CREATE TABLE {name} ({columns})")

    def clear(self) -> None:
        """Empty all tables, past the proxy."""
        for shard in self.shards.placement:
            self.shards.execute(shard, "TRUNCATE users; TRUNCATE orders; TRUNCATE countries")
        self.shards.execute("s1", "TRUNCATE notes")

    def connect(self, **options: Any) -> pymysql.Connection:
        """A client of the proxy; the caller closes it."""
        return self.proxy.connect(**options)

    def wire(self, timeout_s: float = 15.0) -> WireClient:
        """A raw client of the proxy that has logged in; the caller closes it."""
        return WireClient(self.proxy.port, timeout_s).login()

    def on_each(self, sql: str) -> dict[str, list[tuple[Any, ...]]]:
        """Ask every shard directly."""
        return {shard: self.shards.execute(shard, sql) for shard in self.shards.placement}

    def fill_users(self, users: Mapping[int, str] | None = None) -> None:
        """Users through the proxy, one per shard unless told otherwise."""
        rows = users or {S0: "ann", S1: "bob", S2: "cid", S3: "dan"}
        values = ", ".join(f"({uid}, '{name}', {uid // 10})" for uid, name in rows.items())
        self.proxy.execute(f"REPLACE INTO users (uid, name, age) VALUES {values}")


# What mysql.user holds for `caching_sha2_password` with the password `secret`: salted, so the proxy has to see the password.
STORED_SHA2 = "$A$005$abcdefghijklmnopqrst" + "Yy1cVJ5jT.fk4HyAGlowRhOkI55As4SAesbspXHQvFD"
USERS = {
    "app": {"password": "app"},
    "stored": {"password": STORED_SHA2},
    # Nobody may log in by it in a test: once the password has been seen, the fast path decides.
    "unseen": {"password": STORED_SHA2},
    "native": {"password": "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7"},  # secret
    "digest": {"password": "sha256:" + hashlib.sha256(hashlib.sha256(b"secret").digest()).hexdigest()},
    "empty": {"password": ""},
    "signed": {"password": "ed25519:ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"},  # secret
}


def open_shop(shards: Shards, limits: str = "", **options: Any) -> Iterator[Shop]:
    """A proxy with TLS and every form of stored password over fresh tables; killed when the iteration goes on."""
    Shop.create_tables(shards)
    proxy = ProxyProcess(shards.urls, TABLES, users=USERS, **options)
    tls = write_certificate(proxy.dir)
    with proxy.config_path.open("a") as file:
        file.write(f'\n[proxy.tls]\ncert = "{tls["cert"]}"\nkey = "{tls["key"]}"\n[limits]\n{limits}\n')
    proxy.start()
    yield Shop(shards, proxy)
    proxy.kill()


def run(connection: pymysql.Connection, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """Run one statement on a connection that stays open; its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments or None)
        return list(cursor.fetchall())


def memory_mb(pid: int) -> float:
    """What a process holds in memory."""
    with Path(f"/proc/{pid}/smaps_rollup").open() as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:")) / 1024
