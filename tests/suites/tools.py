"""The command line tools of MariaDB and MySQL: the same output through the proxy as directly."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.suites.cache import Done, cache_dir, must, run
from tests.suites.model import Missing, Result, Suite, Target
from tests.support.servers import DatabaseServer, MySQL

_TEST_S = 60
_SHOP = Path(__file__).with_name("assets") / "tools.sql"
_CHECKSUMS = (
    "SELECT * FROM kinds ORDER BY id; SELECT * FROM parents ORDER BY id; SELECT * FROM children ORDER BY id; SHOW CREATE TABLE kinds"
)
# What may differ: times, ports, numbers of connections, versions of what is asked.
_VOLATILE = re.compile(
    r"\d+\.\d{3} sec|\(\d+\.\d+ sec\)|\d+ minutes? \d+ sec|port:\s*\d+|Connection id:\s*\d+|Uptime: .*|Threads: .*", re.IGNORECASE
)


@dataclass(frozen=True)
class Check:
    """One use of a tool; `{}` in its words stands for the options that lead to the server.

    `@` stands for a scratch directory as the tool sees it, `%` for the same one as the shell does.
    """

    name: str
    words: str
    stdin: str = ""
    # Compare what it prints, or only that it succeeds.
    compare: bool = True


_BATCH = """
SELECT 1 AS one, NULL AS nothing, 'tab\\there' AS tabbed;
SELECT id, name, amount, moment FROM kinds ORDER BY id;
DELIMITER //
SELECT COUNT(*) FROM children // SELECT 'x;y' //
DELIMITER ;
INSERT INTO parents (id, name) VALUES (50, 'fifty'); SELECT ROW_COUNT(); SELECT LAST_INSERT_ID();
BEGIN; DELETE FROM parents WHERE id = 50; ROLLBACK; SELECT COUNT(*) FROM parents;
SELECT 1/0; SHOW WARNINGS; SHOW TABLES; DESCRIBE kinds;
/* a comment */ SELECT /* inside */ 2; -- and another
SET @a := 5; SELECT @a + 1; SELECT DATABASE(), USER();
SHOW VARIABLES LIKE 'autocommit'; SHOW CREATE TABLE children; SHOW TABLE STATUS LIKE 'nothing';
PREPARE p FROM 'SELECT ? + 1'; EXECUTE p USING @a; DEALLOCATE PREPARE p;
EXPLAIN SELECT * FROM parents WHERE id = 1; CHECKSUM TABLE parents; CHECK TABLE parents;
"""
_ERRORS = "SELECT nonsense; SELECT * FROM nowhere; INSERT INTO parents VALUES (1, 'again'); SELECT 'still here';"


def _client(tool: str) -> list[Check]:
    return [
        Check("batch", f"{tool} {{}} test", _BATCH),
        Check("batch, unbuffered", f"{tool} --quick --unbuffered {{}} test", _BATCH),
        Check("table", f"{tool} -t -vvv {{}} test", "SELECT * FROM kinds ORDER BY id; SELECT * FROM parents WHERE id < 3;"),
        Check("vertical", f"{tool} -E {{}} test", "SELECT * FROM kinds ORDER BY id;"),
        Check("xml", f"{tool} --xml {{}} test", "SELECT * FROM kinds ORDER BY id;"),
        Check("html", f"{tool} --html {{}} test", "SELECT * FROM parents ORDER BY id;"),
        Check(
            "types", f"{tool} --column-type-info -t {{}} test", "SELECT * FROM kinds WHERE id = 1; SELECT COUNT(*), SUM(amount) FROM kinds;"
        ),
        Check("errors", f"{tool} --force {{}} test", _ERRORS),
        Check("use", f"{tool} {{}}", "USE test; SELECT COUNT(*) FROM kinds; SELECT DATABASE(); USE information_schema; SELECT DATABASE();"),
        Check("status", f"{tool} {{}} test", "\\s", compare=False),
        Check("execute", f"{tool} {{}} test --execute", "SELECT * FROM parents ORDER BY id"),
        Check("reconnect", f"{tool} --reconnect --init-command=SET@x=1 {{}} test", "SELECT 1;"),
        Check("rehash", f"{tool} --auto-rehash {{}} test", "\\# \nSELECT 1;"),
        Check("latin1", f"{tool} --default-character-set=latin1 {{}} test", "SELECT name FROM kinds ORDER BY id;"),
        Check(
            "local file",
            f"{tool} --local-infile=1 {{}} test",
            "LOAD DATA LOCAL INFILE '@/rows.txt' INTO TABLE parents; SELECT COUNT(*) FROM parents;",
        ),
        Check("compressed", f"{tool} --compress {{}} test", _BATCH),
    ]


def _dump(tool: str, client: str) -> list[Check]:
    plain = f"{tool} --skip-dump-date --skip-comments"
    checks = [
        Check("dump", f"{plain} {{}} test"),
        Check("dump --single-transaction", f"{plain} --single-transaction --quick {{}} test"),
        Check("dump --routines --triggers --events", f"{plain} --routines --triggers --events {{}} test"),
        Check("dump --no-data", f"{plain} --no-data {{}} test"),
        Check("dump --xml", f"{plain} --xml --no-create-info {{}} test"),
        Check("dump --where", f"{plain} --where=id<3 --skip-extended-insert --complete-insert --hex-blob {{}} test kinds parents"),
        Check("dump --databases", f"{plain} --databases {{}} test"),
        Check("dump --order-by-primary --compact", f"{plain} --order-by-primary --compact --skip-lock-tables {{}} test"),
    ]
    reload = f"sh -c '{plain} {{}} test > %/dump.sql && {client} {{}} test < %/dump.sql && {client} {{}} test'"
    return [*checks, Check("dump and reload", reload, _CHECKSUMS)]


def _others(show: str, admin: str, check: str, load: str, slap: str) -> list[Check]:
    return [
        Check("show tables", f"{show} {{}} test"),
        Check("show columns", f"{show} {{}} test kinds"),
        Check("show --count", f"{show} --count {{}} test"),
        Check("show --status", f"{show} --status {{}} test", compare=False),
        Check("ping", f"{admin} {{}} ping"),
        Check("admin status", f"{admin} {{}} status", compare=False),
        Check("admin version", f"{admin} {{}} version", compare=False),
        Check("admin processlist", f"{admin} {{}} processlist", compare=False),
        Check("admin variables", f"{admin} {{}} variables", compare=False),
        Check("admin extended-status", f"{admin} {{}} extended-status", compare=False),
        Check("check", f"{check} {{}} test"),
        Check("analyze", f"{check} --analyze {{}} test"),
        Check("optimize", f"{check} --optimize {{}} test"),
        Check("import --local", f"sh -c 'cp %/rows.txt %/parents.txt; {load} --local {{}} test @/parents.txt'"),
        Check("slap", f"{slap} {{}} --create-schema=test --no-drop --query=@/slap.sql --concurrency=4 --iterations=2", compare=False),
    ]


@dataclass
class Tools(Suite):
    """Uses of the tools, each on tables of its own."""

    checks: Sequence[Check] = ()
    prefix: Sequence[str] = ()

    def prepare(self) -> str:
        self.baseline = cache_dir() / self.name
        self.baseline.mkdir(exist_ok=True)
        (name,) = {check.words.split()[0] for check in self.checks if check.name == "batch"}
        if not self.prefix and not shutil.which(name):
            raise Missing(f"needs {name}")
        return re.sub(r"^.*?/", "", must([*self.prefix, name, "--version"]).strip())

    def names(self, target: Target) -> list[str]:
        return [check.name for check in self.checks]

    def run(self, target: Target, names: Sequence[str]) -> Iterator[tuple[str, Result]]:
        for check in self.checks:
            if check.name not in names:
                continue
            target.backend.create_schema(target.schema)
            target.backend.execute(_SHOP.read_text(), target.schema)
            done = self._use(check, target)
            output = self._normal(done.output, target)
            path = self.baseline / f"{check.name.replace('/', ' ')}.txt"
            if target.side == "direct":
                path.write_text(output)
            heard = target.heard()
            if done.status != 0:
                yield check.name, Result("fail", f"status {done.status}: {done.tail(12)}\n{heard}")
            elif check.compare and output != path.read_text():
                yield check.name, Result("fail", f"prints something else: {_first_difference(path.read_text(), output)}\n{heard}")
            else:
                yield check.name, Result("pass")

    def _use(self, check: Check, target: Target) -> Done:
        directory = self._scratch(target)
        seen = "/" + str(directory.relative_to(target.backend.root()))
        (directory / "rows.txt").write_text("".join(f"{n}\tparent {n}\n" for n in range(100, 140)))
        (directory / "slap.sql").write_text("SELECT * FROM parents WHERE id = 1;")
        options = " ".join(["--no-defaults", *self.options(target)])
        words, stdin = check.words.replace("@/", f"{seen}/").replace("%/", f"{directory}/"), check.stdin.replace("@/", f"{seen}/")
        if " -c '" in words:
            before, script = words.rstrip("'").split(" -c '")
            command = [*before.split(), "-c", self._reordered(script, options)]
        else:
            command = self._reordered(words, options).split()
        if check.name == "execute":
            command, stdin = [*command, stdin], ""
        return run(command, timeout_s=_TEST_S, stdin=stdin)

    def _reordered(self, words: str, options: str) -> str:
        # --no-defaults has to be the first of all options.
        parts = re.split(r"(\s+(?:&&|\||<|>)\s+|;\s+)", words)
        for number, part in enumerate(parts):
            if "{}" in part:
                tool, rest = part.split(" ", 1)
                parts[number] = f"{' '.join([*self.prefix, tool])} {options} {rest.replace('{} ', '').replace('{}', '')}"
        return "".join(parts)

    def options(self, target: Target) -> list[str]:
        """That lead to the server."""
        return target.client_options()

    @staticmethod
    def _scratch(target: Target) -> Path:
        path = target.backend.dir / "scratch"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    @staticmethod
    def _normal(output: str, target: Target) -> str:
        return _VOLATILE.sub("…", output).replace(str(target.port), "PORT")


def _first_difference(one: str, other: str) -> str:
    for before, after in zip(one.splitlines(), other.splitlines(), strict=False):
        if before != after:
            return f"{before[:300]!r} and now {after[:300]!r}"
    return f"{len(one.splitlines())} lines and now {len(other.splitlines())}"


class MySQLTools(Tools):
    """Those of MySQL, with its own server behind, since they no longer log in as MariaDB's do."""

    def prepare(self) -> str:
        root = os.environ.get("MYSQL_ROOT")
        self.prefix = ("chroot", root) if root else ()
        MySQL.binary()
        return super().prepare()

    def make_server(self) -> DatabaseServer:
        return MySQL("db", options=["--local-infile=1"])

    def options(self, target: Target) -> list[str]:
        return [*target.client_options(), "--get-server-public-key", "--ssl-mode=PREFERRED"]


SUITES = [
    Tools(
        "tools",
        title="MariaDB's tools",
        about="mariadb, mariadb-dump and reload, -show, -admin, -check, -import, -slap",
        checks=[
            *_client("mariadb"),
            *_dump("mariadb-dump", "mariadb"),
            *_others("mariadb-show", "mariadb-admin", "mariadb-check", "mariadb-import", "mariadb-slap"),
        ],
    ),
    MySQLTools(
        "mysql-tools",
        title="MySQL's tools",
        about="mysql, mysqldump and reload, and the others, with MySQL behind the proxy",
        auth_plugin="caching_sha2_password",
        checks=[
            *_client("mysql"),
            *_dump("mysqldump --set-gtid-purged=OFF --no-tablespaces", "mysql"),
            *_others("mysqlshow", "mysqladmin", "mysqlcheck", "mysqlimport", "mysqlslap"),
        ],
    ),
]
