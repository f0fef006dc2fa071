"""The compressed protocol with clients that speak it, and with some that abuse it."""

import contextlib
import os
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Shards
from tests.faults.test_abuse import undisturbed
from tests.support.shop import S0, S1, S2, S3, Shop, memory_mb, open_shop
from tests.support.wire import (
    COMPRESS,
    LOGIN_FLAGS,
    ZSTD,
    WireClient,
    compressed_packet,
    err,
    login_payload,
    native_scramble,
    packet,
)

KINDS = {"zlib": COMPRESS, "zstd": ZSTD}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
transports = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
# Hexadecimal digits: half the size is left of them, which is more than the sockets hold.
ROWS, PAD = 5000, 16_000


def compressed(shop: Shop, kind: int, *, tls: bool = False) -> WireClient:
    """A client that has logged in and compresses."""
    return WireClient(shop.proxy.port, 30).login(flags=LOGIN_FLAGS, tls=tls, compression=kind)


# ---------------------------------------------------------------- command line clients

SCRIPT = f"""
SHOW STATUS LIKE 'nothing';
SELECT uid, name FROM users ORDER BY uid DESC;
SELECT name FROM users WHERE uid = {S1};
SELECT LENGTH(REPEAT('x', 3000000)), 1 FROM users WHERE uid = {S2};
SELECT REPEAT('y', 1000000) FROM users WHERE uid = {S2};
SELECT nothing FROM users;
INSERT INTO notes (note) VALUES (REPEAT('z', 100));
SELECT COUNT(*) FROM notes;
"""
PRINTED = f"{S3}\tdan\n{S2}\tcid\n{S1}\tbob\n{S0}\tann\nbob\n3000000\t1\n{'y' * 1000000}\n1\n"


def mysql_client() -> list[str]:
    """Oracle's command line client, or a reason to skip."""
    root = os.environ.get("MYSQL_ROOT")
    if root and (Path(root) / "usr/bin/mysql").exists():
        return ["chroot", root, "/usr/bin/mysql"]
    program = shutil.which("mysql")
    if program and "MariaDB" not in subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout:
        return [program]
    pytest.skip("no mysql client of MySQL: set MYSQL_ROOT")


@pytest.mark.parametrize("options", [["--skip-ssl"], ["--ssl", "--skip-ssl-verify-server-cert"]], ids=["plain", "tls"])
def test_mariadb_client(shop: Shop, options: list[str]) -> None:
    """The C library of MariaDB, which knows zlib."""
    _script_runs(shop, ["mariadb"], [*options, "--compress"])


@pytest.mark.parametrize("options", [["--ssl-mode=DISABLED", "--get-server-public-key"], ["--ssl-mode=REQUIRED"]], ids=["plain", "tls"])
@pytest.mark.parametrize("algorithms", ["zlib", "zstd", "zstd,zlib", "zstd --zstd-compression-level=22"])
def test_mysql_client(shop: Shop, algorithms: str, options: list[str]) -> None:
    """That of MySQL, which knows both."""
    _script_runs(shop, mysql_client(), [*options, "--commands", *f"--compression-algorithms={algorithms}".split()])


def _script_runs(shop: Shop, program: list[str], options: list[str]) -> None:
    """Statements, long results and an error; the client says that it compresses."""
    shop.fill_users()
    command = [*program, "--no-defaults", "--protocol=tcp", "-h127.0.0.1", f"-P{shop.proxy.port}", "-uapp", "-papp", *options]
    done = subprocess.run([*command, "-N", "-f", "app"], input=SCRIPT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == PRINTED, done.stderr
    assert "Unknown column 'nothing'" in done.stderr
    status = subprocess.run([*command, "-t", "app"], input="\\s", capture_output=True, text=True, timeout=30, check=False).stdout
    assert re.search(r"^Protocol:.*Compressed", status, re.MULTILINE), status


# ---------------------------------------------------------------- packet by packet


@kinds
@transports
def test_statements_and_long_results(shop: Shop, kind: int, tls: bool) -> None:
    """The numbers are checked by the client; a result of several megabytes takes many packets, and fewer bytes than it holds."""
    shop.fill_users()
    with compressed(shop, kind, tls=tls) as client:
        for _ in range(3):
            assert client.query(f"SELECT name FROM users WHERE uid = {S0}".encode()) == [(b"ann",)]
            assert client.query(b"SELECT COUNT(*) FROM users") == [(b"4",)]
            rows = client.query(b"SELECT REPEAT('x', 5000000)")
            assert isinstance(rows, list)
            assert len(rows[0][0] or b"") == 5_000_000
        assert client.query(b"INSERT INTO notes (note) VALUES ('" + b"n" * 300_000 + b"')") == []
        assert client.query(b"SELECT LENGTH(note) FROM notes") == [(b"300000",)]


@kinds
def test_statement_in_several_packets(shop: Shop, kind: int) -> None:
    """The answer goes on where the last one of them has stopped."""
    note = b"n" * (9 << 20)
    with compressed(shop, kind) as client:
        data = packet(b"\x03INSERT INTO notes (note) VALUES ('" + note + b"')")
        for number, start in enumerate(range(0, len(data), 2 << 20)):
            client.send_raw(client.compress(data[start : start + (2 << 20)], number))
        assert client.read_result() == []
        assert client.numbers[-1] == 5
        assert client.query(b"SELECT LENGTH(note) FROM notes") == [(b"%d" % len(note),)]


@kinds
def test_commands_sent_ahead(shop: Shop, kind: int) -> None:
    """In one segment, each in a compressed packet of its own; and several in the same one."""
    shop.fill_users()
    with compressed(shop, kind) as client:
        statement = packet(b"\x03SELECT name FROM users WHERE uid = %d" % S0)
        client.send_raw(client.compress(statement) * 3)
        client.number = None
        assert [client.read_result() for _ in range(3)] == [[(b"ann",)]] * 3
        # Each answer counts from 1, whether it was sent in one piece or, on a busy machine, in two.
        assert client.numbers.count(1) == 3, client.numbers
        client.send_raw(client.compress(packet(b"\x0e") + statement + packet(b"\x0e")))
        assert client.read_packet()[:1] == b"\0"
        assert client.read_result() == [(b"ann",)]
        assert client.read_packet()[:1] == b"\0"


@kinds
def test_statement_behind_the_login(shop: Shop, kind: int) -> None:
    """What comes in the login's own segment is compressed already, as the OK is not."""
    with WireClient(shop.proxy.port) as client:
        client.read_greeting()
        login = packet(login_payload("app", native_scramble(b"app", client.salt), "app", LOGIN_FLAGS | kind), 1)
        client.compression = kind
        statement = client.compress(packet(b"\x03SELECT 5"))
        client.compression = 0
        client.send(login + statement)
        assert client.read_packet()[:1] == b"\0"
        client.compression = kind
        client._buffer, rest = b"", client._buffer
        client._expand(rest)
        assert client.read_result() == [(b"5",)]


@kinds
def test_change_of_user_goes_on_in_the_numbers(shop: Shop, kind: int) -> None:
    """The switch, its answer and the OK are one exchange."""
    with compressed(shop, kind) as client:
        client.send_packet(b"\x11app\0\0app\0\x2d\0mysql_native_password\0")
        switch = client.read_packet()
        assert switch[:1] == b"\xfe"
        answer = native_scramble(b"app", switch.split(b"\0")[1])
        client.send_raw(client.compress(packet(answer, client.sequence + 1), client.number))
        assert client.read_packet()[:1] == b"\0"
        assert client.query(b"SELECT 1") == [(b"1",)]


@kinds
def test_shutdown_is_told(shards: Shards, kind: int) -> None:
    """The last thing that is written before the connection closes goes out, too."""
    for shop in open_shop(shards):
        with compressed(shop, kind) as client:
            assert client.query(b"SELECT 1") == [(b"1",)]
            client.number = 0  # it answers no command
            shop.proxy.stop()
            assert err(client.read_packet()).errno == 1053
            assert client.is_closed()


def test_nothing_is_offered_where_it_is_switched_off(shards: Shards) -> None:
    """A client that claims to compress all the same is taken at its word: it does not."""
    for shop in open_shop(shards, settings={"compression": []}):
        with WireClient(shop.proxy.port) as client:
            client.login(flags=LOGIN_FLAGS | COMPRESS | ZSTD)
            assert client.query(b"SELECT 1") == [(b"1",)]


# ---------------------------------------------------------------- abuse


@kinds
def test_malformed_compression_closes_the_connection(running_shop: Shop, kind: int) -> None:
    """With an error that says so; the others go on."""
    with undisturbed(running_shop, growth_mb=40):
        for bad, number, errno in (
            (b"\0" * 100, 0, 1157),
            (b"x" * 100, 0, 1157),
            (b"", 0, 1157),
            (b"x", 3, 1156),
        ):
            with compressed(running_shop, kind) as client:
                client.send_raw(compressed_packet(bad, number, 50))
                client.number = number + 1
                assert err(client.read_packet()).errno == errno
                assert client.is_closed()


def test_bombs_cost_what_they_announce(running_shop: Shop) -> None:
    """Twenty of a hundred megabytes each."""
    compressor = zlib.compressobj(9)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(100)) + compressor.flush()
    with undisturbed(running_shop, growth_mb=40):
        for _ in range(20):
            with compressed(running_shop, COMPRESS) as client:
                client.send_raw(compressed_packet(bomb, 0, 1 << 20))
                client.number = 1
                assert err(client.read_packet()).errno == 1157
                assert client.is_closed()


@pytest.fixture
def big_shop(shop: Shop) -> Iterator[Shop]:
    """A table of eighty megabytes that do not get much smaller."""
    for _ in range(0, ROWS, 500):
        pad = ", ".join(["HEX(RANDOM_BYTES(1000))"] * (PAD // 2000))
        rows = ", ".join([f"(CONCAT({pad}))"] * 500)
        shop.shards.execute("s1", f"INSERT INTO notes (note) VALUES {rows}")
    return shop


@kinds
def test_slow_client_disturbs_nobody(big_shop: Shop, kind: int) -> None:
    """A client that does not read makes its own shard wait; what it gets in the end is whole."""
    big_shop.proxy.kill()
    big_shop.proxy.start()
    big_shop.fill_users()
    before = memory_mb(big_shop.proxy.pid)
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(compressed(big_shop, kind)) for _ in range(3)]
        for client in clients:
            client.send_packet(b"\x03SELECT note FROM notes")
        for client in clients:
            assert client.read_packet() == b"\x01"
        assert big_shop.proxy.execute("SELECT COUNT(*) FROM users") == [(4,)]
        for _ in range(2):
            clients[0].read_packet()
        sizes = []
        while (payload := clients[0].read_packet())[:1] != b"\xfe":
            sizes.append(len(payload))
        assert sizes == [PAD + 3] * ROWS
        # What a client has not read is kept by its shard: here it is 80 MB for each of the other two.
        assert memory_mb(big_shop.proxy.pid) - before < 40
