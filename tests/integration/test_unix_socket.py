"""The Unix socket beside the port: who gets in by it, and what becomes of its file."""

import contextlib
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from shardproxy.server.unix_socket import UnixSocket
from tests.conftest import Shards
from tests.support.proxy import ProxyProcess
from tests.support.shop import Shop, open_shop, run
from tests.support.wire import WireClient, login_payload, sha2_scramble

SHA2 = "caching_sha2_password"


@pytest.fixture(scope="module")
def running_shop(shards: Shards) -> Iterator[Shop]:
    """A proxy with a socket beside its config file."""
    yield from open_shop(shards, settings={"socket": "proxy.sock"})


def socket_of(proxy: ProxyProcess) -> Path:
    """Where it listens."""
    return proxy.dir / "proxy.sock"


@pytest.mark.parametrize(("user", "password"), [("app", "app"), ("native", "secret"), ("stored", "secret"), ("empty", "")])
def test_every_user_gets_in_and_is_on_localhost(running_shop: Shop, user: str, password: str) -> None:
    """As on a server: the host of a socket's client is `localhost`."""
    path = str(socket_of(running_shop.proxy))
    with running_shop.connect(host="localhost", unix_socket=path, user=user, password=password) as connection:
        assert run(connection, "SELECT USER(), 1") == [(f"{user}@localhost", 1)]
        assert [row[2] for row in run(connection, "SHOW PROCESSLIST")] == ["localhost"]
    with pytest.raises(pymysql.err.OperationalError) as denied:
        running_shop.connect(unix_socket=path, user=user, password="wrong")
    assert denied.value.args == (1045, f"Access denied for user '{user}'@'localhost' (using password: YES)")


def test_password_may_come_in_clear(running_shop: Shop) -> None:
    """Nobody can listen in on a socket, so the full exchange needs neither TLS nor a public key."""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(10)
        raw.connect(str(socket_of(running_shop.proxy)))
        with WireClient.over(raw) as client:
            client.read_greeting()
            client.send_packet(login_payload("unseen", sha2_scramble(b"secret", client.salt), "app", plugin=SHA2), 1)
            assert client.read_packet() == b"\x01\x04"
            client.send_packet(b"secret\0", client.sequence + 1)
            assert client.read_packet()[:1] == b"\0"
            assert client.query(b"SELECT 1") == [(b"1",)]


def test_command_line_client(running_shop: Shop) -> None:
    """By the protocol that it takes for `localhost`."""
    login = ["--no-defaults", "--protocol=socket", f"-S{socket_of(running_shop.proxy)}", "-uapp", "-papp", "-N"]
    done = subprocess.run(["mariadb", *login, "-e", "SELECT USER()", "app"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("app@localhost\n", "")


def test_file_of_a_killed_proxy_is_replaced(shards: Shards) -> None:
    """It is there after a crash, and nobody has to take it away by hand; after an orderly end it is gone."""
    for shop in open_shop(shards, settings={"socket": "proxy.sock", "socket_mode": "0600"}):
        path = socket_of(shop.proxy)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        shop.proxy.kill()
        assert path.exists()
        shop.proxy.start()
        with shop.connect(unix_socket=str(path)) as connection:
            assert run(connection, "SELECT 1") == [(1,)]
        assert shop.proxy.stop() == 0
        assert not path.exists()


def test_live_socket_is_left_alone(running_shop: Shop) -> None:
    """A second proxy on the same socket says why it does not start, and the first one goes on."""
    path = socket_of(running_shop.proxy)
    second = ProxyProcess(running_shop.shards.urls, settings={"socket": str(path)}, name="second")
    with pytest.raises(RuntimeError, match="another process listens on the socket"):
        second.start()
    assert f"'{path}'" in second.log()
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    with running_shop.connect(unix_socket=str(path)) as connection:
        assert run(connection, "SELECT 1") == [(1,)]


def test_live_socket_whose_queue_is_full_is_left_alone(tmp_path: Path) -> None:
    """Its owner is busy, not dead."""
    path = tmp_path / "s"
    with contextlib.ExitStack() as open_sockets:
        busy = open_sockets.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(str(path))
        busy.listen(0)
        waiting = open_sockets.enter_context(socket.socket(socket.AF_UNIX))
        waiting.connect(str(path))
        with pytest.raises(OSError, match="the socket may be in use"):
            UnixSocket(path, 0o666).open()
    assert path.is_socket()


def test_other_file_is_left_alone(tmp_path: Path) -> None:
    """A wrong path must not cost anybody a file."""
    path = tmp_path / "important.txt"
    path.write_text("rows")
    with pytest.raises(OSError, match="there is a file that is no socket"):
        UnixSocket(path, 0o666).open()
    assert path.read_text() == "rows"


def test_file_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    """Who leaves takes its own file only."""
    path = tmp_path / "s"
    first = UnixSocket(path, 0o666)
    second = UnixSocket(path, 0o660)
    # Both stay open, so that the second file cannot be the first one by number.
    with first.open(), contextlib.ExitStack() as kept:
        path.rename(tmp_path / "kept")
        kept.enter_context(second.open())
        first.remove()
        assert path.is_socket()
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        second.remove()
        assert not path.exists()
        second.remove()


def test_unwritable_directory_is_named(tmp_path: Path) -> None:
    """The error says which path it is about."""
    with pytest.raises(OSError, match="cannot listen: No such file or directory") as refused:
        UnixSocket(tmp_path / "nowhere" / "s", 0o666).open()
    assert os.fspath(tmp_path) in str(refused.value)
