"""Where client programs are sent: a server itself, the proxy in front of servers, and other proxies.

Every target offers the same: the schema `app`, the user app/app who may do anything, TLS with a certificate that can be
verified, `LOAD DATA LOCAL`, and packets of up to 64 MB. What differs is what the matrix is about.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shardproxy.config.model import ProxySettings
from tests.compat.manifest import Program
from tests.compat.router import Router
from tests.support.certificate import write_certificate
from tests.support.proxy import ProxyProcess
from tests.support.servers import DatabaseServer, MariaDB, MySQL
from tests.support.shop import STORED_SHA2

SCHEMA = USER = PASSWORD = "app"
# A verifier of the proxy's that only caching_sha2_password can answer; its password. Each program has a user of its own: the
# first login of a user takes another way than those after it.
_SHA2_USER, _SHA2_PASSWORD = "{prefix}_sha2", "secret"
_PACKET = 64 << 20

# In the order in which they are run: what fails on the server itself is no fault of the proxy's.
TARGETS = {
    "direct": "MariaDB itself",
    "proxy": "the proxy, all tables on one shard of MariaDB",
    "sharded": "the proxy, two tables of each program hash-sharded over two MariaDB servers",
    "router": "MySQL Router before MariaDB",
    "mysql": "MySQL itself",
    "mysql-proxy": "the proxy, all tables on one shard of MySQL",
    "mysql-router": "MySQL Router before MySQL",
}


@dataclass(frozen=True)
class Target:
    """One place to connect to, and what a program is told about it."""

    name: str
    port: int
    host: str = "127.0.0.1"
    user: str = USER
    password: str = PASSWORD
    database: str = SCHEMA
    sha2: tuple[str, str] = ("", "")  # `{prefix}` in the name stands for the program's
    ca: str = ""
    socket: str = ""
    sharded: bool = False
    label: str = ""  # of another proxy: what it is, with its version

    def environment(self, prefix: str) -> dict[str, str]:
        """The variables of the contract in tests/compat/README.md."""
        return {
            "COMPAT_HOST": self.host,
            "COMPAT_PORT": str(self.port),
            "COMPAT_USER": self.user,
            "COMPAT_PASSWORD": self.password,
            "COMPAT_DATABASE": self.database,
            "COMPAT_SHA2_USER": self.sha2[0].replace("{prefix}", prefix),
            "COMPAT_SHA2_PASSWORD": self.sha2[1],
            "COMPAT_CA": self.ca,
            "COMPAT_SOCKET": self.socket,
            "COMPAT_PREFIX": prefix,
            "COMPAT_SHARDED": "1" if self.sharded else "",
        }


class _WithTls:
    """A server with a certificate, room for large values, and files from clients."""

    def _command(self: DatabaseServer) -> list[str]:  # type: ignore[misc]
        write_certificate(self.dir)
        seen = self._seen(self.dir)
        return [
            *super()._command(),  # type: ignore[misc]
            *(f"--ssl-{part}={seen}/{file}" for part, file in (("ca", "ca.crt"), ("cert", "server.crt"), ("key", "server.key"))),
            f"--max-allowed-packet={_PACKET}",
            "--local-infile=ON",
            # Statistics and DDL of many small schemas are all it does; a large value needs a log to go through.
            "--innodb-log-buffer-size=32M",
        ]


class _MariaDB(_WithTls, MariaDB):
    pass


class _MySQL(_WithTls, MySQL):
    pass


class Lab:
    """Starts targets when they are first asked for; all end with it."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = programs
        self._servers: dict[str, DatabaseServer] = {}
        self._targets: dict[str, Target] = {}
        self._stack = contextlib.ExitStack()

    def target(self, name: str) -> Target:
        """The target of that name; FileNotFoundError says what its server needs."""
        if name not in self._targets:
            kinds = {"direct": self._direct, "mysql": self._direct, "router": self._router, "mysql-router": self._router}
            self._targets[name] = kinds.get(name, self._proxy)(name)
        return self._targets[name]

    def close(self) -> None:
        """End everything; nobody needs the data."""
        self._stack.close()

    def _direct(self, name: str) -> Target:
        server = self._open_to_programs(name, SCHEMA)
        return Target(name, server.port, sha2=_sha2_of(server), ca=str(server.dir / "ca.crt"), socket=str(server.socket))

    def _router(self, name: str) -> Target:
        schema = name.replace("-", "_")
        server = self._open_to_programs(name, schema)
        router = Router(name, server)
        router.start()
        self._stack.callback(router.kill)
        return Target(
            name, router.port, database=schema, sha2=_sha2_of(server), ca=router.ca, socket=str(router.socket), label=router.label
        )

    def _open_to_programs(self, target: str, schema: str) -> DatabaseServer:
        """A server with an empty schema, and with the user that the proxy has in its own config."""
        server = self._server("mysql" if target.startswith("mysql") else "first")
        server.create_schema(schema)
        server.execute(f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%'")
        return server

    def _proxy(self, name: str) -> Target:
        sharded = name == "sharded"
        servers = {"proxy": ["first"], "sharded": ["first", "second"], "mysql-proxy": ["mysql"]}[name]
        shards = {f"s{number}": self._shard(server, name) for number, server in enumerate(servers)}
        proxy = ProxyProcess(shards, self._tables() if sharded else "", users=self._users(), name=name)
        tls = write_certificate(proxy.dir)
        with proxy.config_path.open("a") as file:
            file.write(f'\n[proxy.tls]\ncert = "{tls["cert"]}"\nkey = "{tls["key"]}"\n')
        socket = self._socket(proxy)
        proxy.start()
        self._stack.callback(proxy.kill)
        return Target(name, proxy.port, sha2=(_SHA2_USER, _SHA2_PASSWORD), ca=tls["ca"], socket=socket, sharded=sharded)

    def _socket(self, proxy: ProxyProcess) -> str:
        """Have it listen on a unix socket, where it can."""
        if "socket" not in ProxySettings.model_fields:
            return ""
        text = proxy.config_path.read_text()
        path = proxy.dir / "sock"
        proxy.config_path.write_text(text.replace("[proxy]\n", f'[proxy]\nsocket = "{path}"\n', 1))
        return str(path)

    def _shard(self, server: str, schema: str) -> str:
        """An empty schema, named for the target, as a shard's URL."""
        schema = schema.replace("-", "_")
        self._server(server).create_schema(schema)
        return self._server(server).url(schema)

    def _tables(self) -> str:
        names = [f"{program.prefix}_{table}" for program in self._programs for table in ("orders", "people")]
        return "\n".join(f'[tables.{name}]\nby = "hash"\nkey = "id"\n' for name in names)

    def _users(self) -> dict[str, dict[str, str]]:
        names = [_SHA2_USER.replace("{prefix}", program.prefix) for program in self._programs]
        return {USER: {"password": PASSWORD}} | {name: {"password": STORED_SHA2} for name in names}

    def _server(self, name: str) -> DatabaseServer:
        if name not in self._servers:
            server = _MySQL(name) if name == "mysql" else _MariaDB(name)
            server.start()
            self._stack.callback(server.kill)
            self._servers[name] = server
        return self._servers[name]


def _sha2_of(server: DatabaseServer) -> tuple[str, str]:
    # MySQL's own plugin for everybody; MariaDB 10.11 does not have it.
    return (USER, PASSWORD) if isinstance(server, MySQL) else ("", "")


@contextlib.contextmanager
def open_lab(programs: Sequence[Program]) -> Iterator[Lab]:
    """A lab whose sharded target knows the tables of `programs`."""
    lab = Lab(programs)
    try:
        yield lab
    finally:
        lab.close()
