"""The proxy as users run it: a process with a config file."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pymysql

from tests.support.ports import free_port
from tests.support.process import ServerProcess

REPO = Path(__file__).resolve().parents[2]


class ProxyProcess(ServerProcess):
    """`shardproxy serve` on free ports, with the user app/app and the logical schema `app`.

    `tables` is TOML as it stands in a config file (`[tables.users]` …), and may hold any other sections too. `shards`
    maps a shard's name to its primary's URL, or to a table of its keys. `settings` go into `[proxy]`, over the
    defaults here.
    """

    def __init__(
        self,
        shards: Mapping[str, str | Mapping[str, Any]],
        tables: str = "",
        *,
        settings: Mapping[str, Any] | None = None,
        users: Mapping[str, Mapping[str, Any]] | None = None,
        environment: Mapping[str, str] | None = None,
        name: str = "proxy",
    ) -> None:
        super().__init__(name, free_port())
        self.processes = int((settings or {}).get("workers", 1))
        self.admin_port = free_port(self.processes)
        self.config_path = self.dir / "shardproxy.toml"
        self.environment = dict(environment or {})
        proxy = {
            "listen": f"127.0.0.1:{self.port}",
            "admin": f"127.0.0.1:{self.admin_port}",
            "schema": "app",
            "default_shard": next(iter(shards)),
            "store": "sqlite:///topology.db",
        }
        lines = _section("proxy", proxy | dict(settings or {}))
        for user, keys in (users or {"app": {"password": "app"}}).items():
            lines += _section(f"users.{user}", keys)
        for shard, url in shards.items():
            lines += _section(f"shards.{shard}", {"primary": url} if isinstance(url, str) else url)
        self.config_path.write_text("\n".join([*lines, tables]))

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "shardproxy", "serve", "--config", str(self.config_path)]

    def _environment(self) -> dict[str, str]:
        # The tree under test comes first, whatever version is installed.
        return super()._environment() | {"PYTHONPATH": str(REPO)} | self.environment

    def _is_ready(self) -> bool:
        # Each process is ready by itself.
        return all(self.http("/readyz", process=number)[0] == 200 for number in range(self.processes))

    def http(self, path: str, timeout_s: float = 5.0, *, process: int = 0) -> tuple[int, str]:
        """GET `path` from the admin port of one of the processes: status and body."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port + process}{path}", timeout=timeout_s) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def connect(self, **options: Any) -> pymysql.Connection:
        """A new PyMySQL connection in autocommit as app/app in `app`; the caller closes it."""
        defaults: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "app",
            "password": "app",
            "database": "app",
            "autocommit": True,
            "charset": "utf8mb4",
            "connect_timeout": 10,
            "read_timeout": 30,
            "write_timeout": 30,
        }
        return pymysql.connect(**(defaults | options))

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own; its rows."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())


def _section(name: str, keys: Mapping[str, Any]) -> list[str]:
    return [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in keys.items()), ""]


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    # TOML writes strings, numbers and booleans as JSON does, but for DEL, which no test needs.
    return json.dumps(value)
