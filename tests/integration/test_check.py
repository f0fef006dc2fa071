"""`shardproxy check` on real servers: every finding is there, and says what to do."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Shards
from tests.support.ports import free_port
from tests.support.programs import run_program
from tests.support.proxy import ProxyProcess

USERS = '[tables.users]\nby = "hash"\nkey = "uid"\n'
GOOD = "CREATE TABLE users (uid BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40))"


@dataclass(frozen=True)
class Case:
    """One thing that is wrong with the table `users`, and what is to be read about it.

    `everywhere` runs on every shard, `on_s2` on one of them afterwards.
    """

    severity: str
    text: str
    advice: str
    everywhere: str = GOOD
    on_s2: str = ""
    tables: str = USERS


CASES = {
    "missing table": Case("error", "does not exist on shard s2", "create it", on_s2="DROP TABLE users"),
    "table that is nowhere": Case("error", "does not exist on shard s0, s1, s2, s3", "CREATE TABLE", everywhere="DO 0"),
    "missing column": Case("error", "column name is on one side only", "ALTER", on_s2="ALTER TABLE users DROP name"),
    "different type": Case(
        "error", r"between s0 and s2: 'name' is varchar\(40\)", "ALTER", on_s2="ALTER TABLE users MODIFY name VARCHAR(9)"
    ),
    "case-insensitive key": Case(
        "error",
        "collation utf8mb4_general_ci makes different strings equal",
        "COLLATE utf8mb4_bin",
        "CREATE TABLE users (uid VARCHAR(9) COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY)",
    ),
    "padded key": Case(
        "note",
        r"ignores trailing spaces \(collation utf8mb4_bin\)",
        "so does the placement",
        "CREATE TABLE users (uid VARCHAR(9) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY)",
    ),
    "unique key without the sharding key": Case(
        "error",
        r"unique key 'by_name' \(name\) does not contain the sharding key 'uid'",
        r'add \'uid\' to it, or .*local_unique = \["by_name"\]',
        "CREATE TABLE users (uid BIGINT NOT NULL PRIMARY KEY, name VARCHAR(9), UNIQUE KEY by_name (name))",
    ),
    "key that can be NULL": Case(
        "error", "'uid' can be NULL", r"MODIFY uid bigint\(20\) NOT NULL", "CREATE TABLE users (uid BIGINT, KEY (uid))"
    ),
    "key that is no column": Case("error", "'id' is not a column", "correct 'key'", tables='[tables.users]\nby = "hash"\nkey = "id"\n'),
    "bounds of another type": Case(
        "error",
        "the ranges do not fit sharding key 'uid'",
        "correct 'ranges'",
        tables='[tables.users]\nby = "range"\nkey = "uid"\nranges = [{ to = "m", shard = "s0" }, { shard = "s1" }]\n',
    ),
    "table on a shard where nobody sees it": Case(
        "warning", "also exists on shard s2", r"name it in \[tables\] or drop it", on_s2="CREATE TABLE lost (id INT)"
    ),
}


def config_for(shards: Shards, tables: str) -> ProxyProcess:
    """A config file over the shards; the proxy itself is not started."""
    return ProxyProcess(shards.urls, tables)


def prepare(shards: Shards, everywhere: str, on_s2: str = "") -> None:
    """Give every shard its tables, and s2 something else."""
    for shard in shards.urls:
        shards.execute(shard, everywhere)
    if on_s2:
        shards.execute("s2", on_s2)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_finding_says_what_is_wrong_and_what_to_do(empty_shards: Shards, case: Case) -> None:
    """For people and, with the same words, for programs; an error fails the check."""
    prepare(empty_shards, case.everywhere, case.on_s2)
    config = config_for(empty_shards, case.tables).config_path
    done = run_program("shardproxy", "check", "--config", config, "--json")
    findings = [found for found in json.loads(done.stdout) if found["severity"] == case.severity]
    assert len(findings) == 1, done.stdout
    (finding,) = findings
    assert list(finding) == ["severity", "table", "text", "advice"]
    assert re.search(case.text, finding["text"])
    assert re.search(case.advice, f"{finding['text']} {finding['advice']}")
    assert done.returncode == (1 if case.severity == "error" else 0)
    assert done.stderr == ""


def test_report_groups_findings_by_severity(empty_shards: Shards) -> None:
    """The gravest first, each with its advice below, and a sum at the end."""
    prepare(empty_shards, GOOD, "ALTER TABLE users DROP name; CREATE TABLE lost (id INT)")
    done = run_program("shardproxy", "check", "--config", config_for(empty_shards, USERS).config_path)
    assert done.returncode == 1
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    assert [line.split()[0] for line in lines] == ["Errors", "users:", "→", "Warnings", "lost:", "→", "4"]
    assert lines[-1] == "4 shards, 1 table in the config: 1 error, 1 warning"


def test_good_config_passes(empty_shards: Shards) -> None:
    """And the check leaves no store behind: it may run before the proxy has ever run, by somebody else."""
    prepare(empty_shards, GOOD)
    proxy = config_for(empty_shards, USERS)
    before = set(proxy.dir.iterdir())
    done = run_program("shardproxy", "check", "--config", proxy.config_path)
    assert (done.returncode, done.stdout) == (0, "4 shards, 1 table in the config: all is well\n")
    assert set(proxy.dir.iterdir()) == before


def test_shard_that_cannot_be_reached_is_a_finding(empty_shards: Shards) -> None:
    """The others are checked all the same."""
    prepare(empty_shards, GOOD, "ALTER TABLE users DROP name")
    urls = empty_shards.urls | {"s3": f"mysql://sp:secret@127.0.0.1:{free_port()}/app_3"}
    done = run_program("shardproxy", "check", "--config", ProxyProcess(urls, USERS).config_path, "--json")
    assert done.returncode == 1
    texts = {found["table"]: found["text"] for found in json.loads(done.stdout)}
    assert "shard s3" in texts[""]
    assert "column name" in texts["users"]
    assert "secret" not in done.stdout + done.stderr


def test_faulty_file_lists_every_fault(tmp_path: Path) -> None:
    """Before anything is connected to."""
    config = tmp_path / "shardproxy.toml"
    config.write_text('[shards.s0]\nprimary = "mysql://nobody"\n[tables.t]\nby = "hash"\n')
    done = run_program("shardproxy", "check", "--config", config)
    assert done.returncode == 1
    assert "'key' is needed" in done.stderr
    assert "Traceback" not in done.stderr
