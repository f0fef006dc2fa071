"""`shardproxy demo`, as `make demo` runs it."""

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from tests.support.ports import free_port
from tests.support.process import ServerProcess
from tests.support.proxy import REPO


class DemoProcess(ServerProcess):
    """A demo that goes on serving after its tour. Its temporary files are where the test can see them."""

    def __init__(self) -> None:
        super().__init__("demo", free_port())
        self.admin_port = free_port()
        self.scratch = self.dir / "scratch"
        self.scratch.mkdir()

    def _command(self) -> list[str]:
        return demo_command(self.port, self.admin_port)

    def _environment(self) -> dict[str, str]:
        return environment(self.scratch)

    def _is_ready(self) -> bool:
        return "Ctrl-C" in self.log()


def demo_command(port: int, admin_port: int, *options: str) -> list[str]:
    """The command line of a demo."""
    ports = ["--port", str(port), "--admin-port", str(admin_port)]
    return [sys.executable, "-m", "shardproxy", "demo", *ports, *options]


def environment(scratch: Path) -> dict[str, str]:
    """The tree under test comes first, and temporary files go where the test looks."""
    return dict(os.environ) | {"PYTHONPATH": str(REPO), "TMPDIR": str(scratch)}


def run_demo(port: int, admin_port: int, scratch: Path) -> subprocess.CompletedProcess[str]:
    """A demo with --once, run to its end."""
    command = demo_command(port, admin_port, "--once")
    return subprocess.run(command, capture_output=True, text=True, env=environment(scratch), timeout=50, check=False)


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProcess]:
    """A demo that serves, shared by the tests of this file."""
    process = DemoProcess()
    process.start()
    yield process
    process.kill()


def connect(demo: DemoProcess) -> pymysql.Connection:
    """A PyMySQL client, connected the way the demo says."""
    return pymysql.connect(host="127.0.0.1", port=demo.port, user="app", password="app", database="app", autocommit=True)


def test_tour_shows_the_shards_of_every_statement(tmp_path: Path) -> None:
    """It ends by itself, names all shards, and leaves nothing behind: no output on stderr, no files."""
    done = run_demo(free_port(), free_port(), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    asked = {mark for line in done.stdout.splitlines() for mark in re.findall(r"● (s\d)", line)}
    assert asked == {"s0", "s1", "s2"}
    assert "○ s0  ● s1  ○ s2  1 row" in done.stdout  # the point select
    assert "● s0  ○ s1  ● s2  2 rows" in done.stdout  # IN
    assert "s2 ← SELECT uid, name FROM users WHERE uid IN (2718)" in done.stdout
    assert "SP1201" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_two_tours_show_the_same_rows(tmp_path: Path) -> None:
    """The shop is the same every time; only the times differ."""

    def shown() -> list[str]:
        text = run_demo(free_port(), free_port(), tmp_path).stdout
        return [re.sub(r"[\d.]+ m?s\b|:\d+", "", line) for line in text.splitlines()]

    first = shown()
    assert len(first) > 50
    assert shown() == first


def test_taken_port_is_named_and_ends_the_demo(demo: DemoProcess, tmp_path: Path) -> None:
    """With what to do about it, and without a traceback."""
    done = run_demo(demo.port, free_port(), tmp_path)
    assert done.returncode == 1
    assert f"127.0.0.1:{demo.port} cannot be used" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_demo_goes_on_serving(demo: DemoProcess) -> None:
    """A client connects as the demo says, and sees one database."""
    with connect(demo) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW TABLES")
        assert [name for (name,) in cursor.fetchall()] == ["countries", "order_items", "orders", "users"]
        cursor.execute("SELECT COUNT(*) FROM users")
        assert cursor.fetchone() == (363,)  # the shop's, and those of the tour
        cursor.execute("DESCRIBE orders")
        assert [row[:2] for row in cursor.fetchall()][:3] == [
            ("uid", "bigint"),
            ("order_id", "bigint"),
            ("placed_on", "date"),
        ]
    with urllib.request.urlopen(f"http://127.0.0.1:{demo.admin_port}/metrics", timeout=10) as response:
        assert b'shardproxy_queries_total{kind="select",shard="s2"}' in response.read()


def test_sql_of_the_readme_runs(demo: DemoProcess) -> None:
    """On the shop, whose tables the README's are."""
    block = (REPO / "README.md").read_text().split("```sql\n")[1].split("```")[0]
    select, route = [statement for statement in block.split(";") if statement.strip()]
    with connect(demo) as connection, connection.cursor() as cursor:
        cursor.execute(select)
        assert len(cursor.fetchall()) == 3
        cursor.execute(route)
        assert [row[2:4] for row in cursor.fetchall()] == [
            ("s0", "SELECT name FROM users WHERE uid IN (42)"),
            ("s1", "SELECT name FROM users WHERE uid IN (1234)"),
        ]


def test_write_of_a_visitor_reaches_its_shard(demo: DemoProcess) -> None:
    """Over several shards at once, too."""
    with connect(demo) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE users SET credit_cents = 7 WHERE uid IN (42, 1234, 2718)")
        assert cursor.rowcount == 3
        cursor.execute("SELECT uid, credit_cents FROM users WHERE credit_cents = 7 ORDER BY uid")
        assert cursor.fetchall() == ((42, 7), (1234, 7), (2718, 7))


def test_sigterm_ends_the_demo_and_removes_its_files() -> None:
    """Also right behind the tour, with a client connected."""
    demo = DemoProcess()
    demo.start()
    with connect(demo):
        assert list(demo.scratch.iterdir()) != []
        assert demo.stop() == 0
    assert list(demo.scratch.iterdir()) == []
    assert "Traceback" not in demo.log()
