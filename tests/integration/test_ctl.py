"""`shardctl status` and `shardctl route` on real servers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Shards
from tests.support.ports import free_port
from tests.support.programs import run_program
from tests.support.proxy import ProxyProcess

TABLES = """
[tables.users]
by = "range"
key = "uid"
ranges = [{ to = 100, shard = "s0" }, { to = 200, shard = "s1" }, { shard = "s3" }]

[tables.orders]
by = "hash"
key = "uid"

[tables.countries]
by = "reference"
"""
DDL = (
    "CREATE TABLE users (uid BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40));"
    "CREATE TABLE orders (uid BIGINT NOT NULL, id BIGINT NOT NULL, PRIMARY KEY (uid, id));"
    "CREATE TABLE countries (code CHAR(2) NOT NULL PRIMARY KEY)"
)


@pytest.fixture(scope="module")
def config(shards: Shards) -> Path:
    """A config over shards that have all tables; no proxy runs."""
    shards.reset()
    for shard in shards.urls:
        shards.execute(shard, DDL)
    return ProxyProcess(shards.urls, TABLES).config_path


# ---------------------------------------------------------------- route


def test_route_shows_what_each_shard_gets(config: Path) -> None:
    """The shards, their SQL, and how the answers become one."""
    done = run_program("shardctl", "--config", config, "route", "SELECT uid FROM users WHERE uid IN (7, 150) ORDER BY uid")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "select  the shards that the sharding key names",
        "   s0  SELECT uid FROM users WHERE uid IN (7) ORDER BY uid",
        "   s1  SELECT uid FROM users WHERE uid IN (150) ORDER BY uid",
        "   merge: merge in order",
    ]


@pytest.mark.parametrize("before", [True, False], ids=["json before the command", "json behind it"])
def test_route_prints_json(config: Path, before: bool) -> None:
    """One object per shard, with stable keys."""
    sql = "SELECT name FROM users WHERE uid = 250;"
    arguments = ["--json", "route", sql] if before else ["route", "--json", sql]
    done = run_program("shardctl", "--config", config, *arguments)
    assert done.returncode == 0
    assert json.loads(done.stdout) == [
        {
            "kind": "select",
            "route": "one shard, by its sharding key",
            "shard": "s3",
            "sql": "SELECT name FROM users WHERE uid = 250",
            "merge": "",
        }
    ]


def test_refused_statement_prints_its_id(config: Path) -> None:
    """And exits 3, as whatever a safety check refuses."""
    sql = "SELECT u.name FROM users u JOIN orders o ON o.id = u.uid"
    done = run_program("shardctl", "--config", config, "route", sql)
    assert done.returncode == 3
    assert done.stdout.startswith("SP1201: ")
    done = run_program("shardctl", "--config", config, "--json", "route", sql)
    assert done.returncode == 3
    (refusal,) = json.loads(done.stdout)
    assert list(refusal) == ["id", "message"]
    assert refusal["id"] == "SP1201"


def test_statement_that_means_nothing_here_fails(config: Path) -> None:
    """A table that does not exist is no refusal."""
    done = run_program("shardctl", "--config", config, "route", "SELECT * FROM nobody.users")
    assert done.returncode == 1
    assert "nobody" in done.stdout
    assert "Traceback" not in done.stderr


def test_route_leaves_no_store_behind(config: Path) -> None:
    """Whoever asks changes nothing, and needs no right to write."""
    before = set(config.parent.iterdir())
    run_program("shardctl", "--config", config, "route", "SELECT 1")
    assert set(config.parent.iterdir()) == before


def test_route_follows_the_store(shards: Shards, config: Path) -> None:
    """What a proxy would serve is what counts, not what the file has been changed to since."""
    proxy = ProxyProcess(shards.urls, TABLES)
    proxy.start()
    proxy.stop()
    proxy.config_path.write_text(proxy.config_path.read_text().replace("to = 100,", "to = 50,"))
    done = run_program("shardctl", "--config", proxy.config_path, "--json", "route", "SELECT * FROM users WHERE uid = 70")
    assert [row["shard"] for row in json.loads(done.stdout)] == ["s0"]


def test_shard_that_is_away_is_named(shards: Shards, config: Path) -> None:
    """What can be planned without it is planned."""
    urls = shards.urls | {"s2": f"mysql://sp:sp@127.0.0.1:{free_port()}/app_2"}
    path = ProxyProcess(urls, TABLES).config_path
    done = run_program("shardctl", "--config", path, "route", "SELECT * FROM users WHERE uid = 1")
    assert done.returncode == 0
    assert "s0  SELECT" in done.stdout
    assert "shard s2" in done.stderr


# ---------------------------------------------------------------- status


@pytest.fixture
def proxy(shards: Shards, config: Path, start_proxy: Callable[..., ProxyProcess]) -> ProxyProcess:
    """A proxy that runs on the tables of `config`."""
    return start_proxy(shards.urls, TABLES)


def test_status_shows_shards_and_what_they_own(proxy: ProxyProcess) -> None:
    """One line and more for each shard, and that all is well."""
    proxy.execute("SELECT COUNT(*) FROM orders")
    done = run_program("shardctl", "--config", proxy.config_path, "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"127.0.0.1:{proxy.port}  ready  schema app  epoch 1" in done.stdout
    assert done.stdout.count("default: 1024 buckets") == 4
    assert "users: [100, 200)" in done.stdout
    assert "3 tables in the config, all served" in done.stdout
    assert ":sp@" not in done.stdout


def test_status_prints_json(proxy: ProxyProcess) -> None:
    """A list of one proxy, as its admin port gives it."""
    done = run_program("shardctl", "--config", proxy.config_path, "status", "--json")
    (status,) = json.loads(done.stdout)
    assert status["ready"] is True
    assert [shard["name"] for shard in status["shards"]] == ["s0", "s1", "s2", "s3"]
    assert {"state", "reason", "in_use", "idle", "waiting", "buckets", "ranges"} <= set(status["shards"][0])


def test_status_names_tables_that_are_not_served_and_differences(
    shards: Shards, config: Path, start_proxy: Callable[..., ProxyProcess]
) -> None:
    """What an operator has to look at."""
    proxy = start_proxy(shards.urls, TABLES + '[tables.missing]\nby = "reference"\n')
    proxy.stop()
    proxy.config_path.write_text(proxy.config_path.read_text().replace("to = 100,", "to = 50,"))
    proxy.start()
    done = run_program("shardctl", "--config", proxy.config_path, "status")
    assert done.returncode == 0
    assert "missing: it does not exist on shard s0, s1, s2, s3" in done.stdout
    assert "the ranges of group users in the file are not those that are served" in done.stdout
    assert "all served" not in done.stdout


def test_status_without_a_proxy_says_how_to_start_one(config: Path) -> None:
    """And fails."""
    done = run_program("shardctl", "--config", config, "status")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no proxy answers at http://127.0.0.1:" in done.stderr
    assert f"shardproxy serve --config {config}" in done.stderr


# ---------------------------------------------------------------- usage


@pytest.mark.parametrize("arguments", [[], ["status"], ["--config", "x", "dance"], ["--config", "x", "route"]])
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    """With the usage on stderr."""
    done = run_program("shardctl", *arguments)
    assert done.returncode == 2
    assert "usage: shardctl" in done.stderr


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Without a traceback."""
    done = run_program("shardctl", "--config", tmp_path / "none.toml", "status")
    assert done.returncode == 1
    assert "none.toml" in done.stderr
    assert "Traceback" not in done.stderr
