"""The `mariadb` command line client prints through the proxy what it prints on one server."""

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import ORACLE_SCHEMA, Shards
from tests.support.proxy import ProxyProcess
from tests.support.servers import PASSWORD, USER

TABLES = """
[tables.accounts]
key = "uid"
by = "hash"

[tables.countries]
by = "reference"
"""

SCRIPT = """
CREATE TABLE accounts (uid BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), country CHAR(2), balance DECIMAL(10,2) NOT NULL DEFAULT 0);
CREATE TABLE countries (code CHAR(2) NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL) DEFAULT CHARSET=utf8mb4;
INSERT INTO countries VALUES ('de', 'Germany'), ('fr', 'France'), ('se', 'Sweden');
-- a comment; with a semicolon
INSERT INTO accounts (uid, name, country, balance) VALUES (1, 'ann', 'de', 1.50), (2, 'bob', 'fr', 2), (3, NULL, 'se', 3.25),
  (4, 'tab\\there', 'de', 4), (5, 'line\\nbreak', 'fr', 5), (6, 'back\\\\slash', 'se', 6), (7, 'Zoë', 'de', 7), (8, '', 'fr', 8);
SELECT * FROM accounts ORDER BY uid;
SELECT name FROM accounts WHERE uid = 3;
SELECT COUNT(*), SUM(balance), AVG(balance), MIN(name) FROM accounts;
SELECT c.name AS country, COUNT(*) AS n FROM accounts a JOIN countries c ON c.code = a.country GROUP BY c.name ORDER BY c.name;
SELECT * FROM accounts WHERE uid > 1000;
START TRANSACTION;
UPDATE accounts SET balance = balance + 10 WHERE uid = 1;
SELECT balance FROM accounts WHERE uid = 1;
ROLLBACK;
BEGIN;
UPDATE accounts SET balance = balance + 20 WHERE uid = 2;
COMMIT;
SELECT uid, balance FROM accounts WHERE uid IN (1, 2) ORDER BY uid DESC;
DELETE FROM accounts WHERE uid = 8;
SELECT DISTINCT country FROM accounts ORDER BY country LIMIT 2;
SHOW TABLES;
"""


@pytest.fixture(scope="module")
def running_proxy(shards: Shards) -> Iterator[ProxyProcess]:
    """One proxy for this file."""
    shards.reset()
    server = ProxyProcess(shards.urls, TABLES)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def proxy(running_proxy: ProxyProcess, shards: Shards) -> ProxyProcess:
    """The proxy, and the server to compare it with, without any tables."""
    running_proxy.execute("DROP TABLE IF EXISTS accounts")
    running_proxy.execute("DROP TABLE IF EXISTS countries")
    shards.oracle.create_schema(ORACLE_SCHEMA)
    return running_proxy


def client(port: int, script: str, *options: str, user: str = "app", password: str = "app") -> subprocess.CompletedProcess[str]:
    """Feed a script to the command line client."""
    program = shutil.which("mariadb")
    assert program, "no mariadb on this machine: install mariadb-client-core, or run `make test`"
    login = ["--no-defaults", "--protocol=tcp", "-h127.0.0.1", f"-P{port}", f"-u{user}", f"-p{password}"]
    command = [program, *login, "--default-character-set=utf8mb4", "--skip-ssl", *options, "app"]
    return subprocess.run(command, input=script, capture_output=True, text=True, timeout=40, check=False)


@pytest.mark.parametrize("form", ["--batch", "--table", "--vertical", "--xml", "--html"])
def test_prints_what_one_server_would(proxy: ProxyProcess, shards: Shards, form: str) -> None:
    """DDL, writes, reads and transactions in one script: the same text comes out, and no error."""
    here = client(proxy.port, SCRIPT, form)
    there = client(shards.oracle.port, SCRIPT, form, user=USER, password=PASSWORD)
    assert (there.returncode, there.stderr) == (0, "")
    assert (here.returncode, here.stderr) == (0, "")
    assert here.stdout == there.stdout
    rows = [
        shards.execute(name, "SELECT (SELECT COUNT(*) FROM accounts), (SELECT COUNT(*) FROM countries)")[0] for name in shards.placement
    ]
    assert sum(accounts for accounts, _ in rows) == 7
    assert [countries for _, countries in rows] == [3] * 4


def test_counts_rows_as_one_server_would(proxy: ProxyProcess, shards: Shards) -> None:
    """`-vvv` shows what each OK packet says: rows affected, matched, changed."""
    script = SCRIPT + "UPDATE accounts SET country = 'de' WHERE uid < 5;\nREPLACE INTO accounts (uid) VALUES (1), (50), (51);\n"
    said = []
    for port, user, password in ((proxy.port, "app", "app"), (shards.oracle.port, USER, PASSWORD)):
        done = client(port, script, "-vvv", user=user, password=password)
        assert (done.returncode, done.stderr) == (0, "")
        said.append(
            re.findall(r"^(?:Query OK, \d+ rows? affected|Rows matched.*|Records:.*|\d+ rows? in set|Empty set)", done.stdout, re.MULTILINE)
        )
    assert len(said[1]) > 15
    assert said[0] == said[1]


def test_gets_types_as_from_one_server(proxy: ProxyProcess, shards: Shards) -> None:
    """`--column-type-info` shows the column definitions that the client gets: names, types, flags."""
    create = "CREATE TABLE accounts (uid BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), balance DECIMAL(10,2), at DATETIME(3));\n"
    script = create + "INSERT INTO accounts VALUES (1, 'ann', 1.5, '2024-01-02 03:04:05.678');\nSELECT * FROM accounts ORDER BY uid;\n"
    seen = []
    for port, user, password in ((proxy.port, "app", "app"), (shards.oracle.port, USER, PASSWORD)):
        done = client(port, script, "--table", "--column-type-info", user=user, password=password)
        assert (done.returncode, done.stderr) == (0, "")
        seen.append(re.findall(r"^(?:Field +\d+|\w+):.*$", done.stdout, re.MULTILINE))
    assert len(seen[1]) >= 40
    assert seen[0] == seen[1]


def test_shows_its_status(proxy: ProxyProcess) -> None:
    r"""`\s` asks for the user, the schema and the statistics."""
    done = client(proxy.port, "\\s\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^Current database:\s+app$", done.stdout, re.MULTILINE)
    assert re.search(r"^Current user:\s+app@", done.stdout, re.MULTILINE)
    assert re.search(r"^TCP port:\s+" + str(proxy.port), done.stdout, re.MULTILINE)
    assert re.search(r"^Uptime:\s+\d+", done.stdout, re.MULTILINE)
    assert "Threads: " in done.stdout


def test_reads_all_names_when_it_connects(proxy: ProxyProcess) -> None:
    """Without `-A` the client lists tables and their columns (COM_FIELD_LIST), and is answered afterwards."""
    assert client(proxy.port, SCRIPT).returncode == 0
    script = "\\#\nSELECT COUNT(*) FROM accounts;\n\\u app\nSELECT DATABASE();\n"
    done = client(proxy.port, script, "--auto-rehash", "--batch", "-N")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["7", "app"]


def test_goes_on_after_errors_when_forced(proxy: ProxyProcess) -> None:
    """`--force` prints the error with its number and runs the rest; without it the client stops at once."""
    script = "SELECT * FROM missing;\nSELECT 2;\n"
    stopped, forced = client(proxy.port, script, "-BN"), client(proxy.port, script, "-BN", "--force")
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert forced.stdout == "2\n"
    assert "ERROR 1146 (42S02)" in stopped.stderr
    assert "ERROR 1146 (42S02)" in forced.stderr
