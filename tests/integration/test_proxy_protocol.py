"""Clients that come by a load balancer are known by their own address, and nobody else can claim one."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.conftest import Shards
from tests.property.test_proxy_protocol import version_2
from tests.support.ports import free_port
from tests.support.shop import Shop, open_shop, run
from tests.support.waiting import eventually
from tests.support.wire import WireClient, err, login_payload, native_scramble, packet

V1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 40000 6033\r\n"
V2 = version_2(1, 0x21, bytes.fromhex("20010db8" + "0" * 23 + "1" + "0" * 32) + b"\x9c\x40\x17\x91" + b"\x04\0\x03abc")
LOCAL = version_2(0, 0, b"")
UNKNOWN = b"PROXY UNKNOWN\r\n"
CLAIMS = {"v1": (V1, "203.0.113.7"), "v2": (V2, "2001:db8::1"), "local": (LOCAL, "127.0.0.1"), "unknown": (UNKNOWN, "127.0.0.1")}


@pytest.fixture(scope="module")
def running_shop(shards: Shards) -> Iterator[Shop]:
    """A proxy that believes 127.0.0.1, and not the machine's other addresses."""
    settings = {"proxy_protocol_networks": ["127.0.0.1", "fd00::/8"]}
    yield from open_shop(shards, "handshake_timeout_s = 2", settings=settings)


class HeaderSocket:
    """A socket whose first bytes are a header; `step` is how many bytes go out at once, 0 for all that there are."""

    def __init__(self, port: int, header: bytes, step: int = 0, source: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._header = header
        self._step = step

    def sendall(self, data: bytes) -> None:
        """Header and data in the same segment, or both in small ones."""
        data, self._header = self._header + data, b""
        for start in range(0, len(data), self._step or len(data)):
            self._socket.sendall(data[start : start + (self._step or len(data))])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def client_behind(shop: Shop, header: bytes, step: int = 0, source: str = "127.0.0.1") -> WireClient:
    """A client whose first bytes come behind a header."""
    return WireClient.over(HeaderSocket(shop.proxy.port, header, step, source))  # type: ignore[arg-type]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize("kind", CLAIMS)
def test_client_is_where_the_header_says(running_shop: Shop, kind: str, step: int, tls: bool) -> None:
    """With the login, or the SSLRequest and the ClientHello, in the same segment as the header, or all of it in crumbs."""
    header, host = CLAIMS[kind]
    with client_behind(running_shop, header, step) as client:
        client.login(tls=tls)
        assert client.query(b"SELECT USER(), 1") == [(f"app@{host}".encode(), b"1")]
        rows = client.query(b"SHOW PROCESSLIST")
        assert isinstance(rows, list)
        assert host.encode() in [row[2] for row in rows]


def test_refusal_names_the_client_s_own_address(running_shop: Shop) -> None:
    """Whoever looks for the source of wrong passwords is not sent to the load balancer."""
    with client_behind(running_shop, V1) as client:
        client.read_greeting()
        client.send_packet(login_payload("app", native_scramble(b"wrong", client.salt), "app"), 1)
        assert err(client.read_packet()).text == "Access denied for user 'app'@'203.0.113.7' (using password: YES)"


def test_client_of_a_trusted_network_needs_no_header(running_shop: Shop) -> None:
    """The greeting does not wait for one, and a client on the load balancer's own machine sends none."""
    with running_shop.connect() as connection:
        assert run(connection, "SELECT USER(), 1") == [("app@127.0.0.1", 1)]
    with client_behind(running_shop, b"", 1) as client:
        assert client.login().query(b"SELECT 1") == [(b"1",)]
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        login = packet(login_payload("app", native_scramble(b"app", client.salt), "app"), 1)
        client.send(V1 + login + packet(b"\x03SELECT 5"))
        assert client.read_packet()[:1] == b"\0"
        assert client.read_result() == [(b"5",)]


@pytest.mark.parametrize("header", [V1, V2, LOCAL, UNKNOWN], ids=["v1", "v2", "local", "unknown"])
def test_header_of_a_stranger_closes_the_connection(running_shop: Shop, header: bytes) -> None:
    """Else anyone could claim any address. The operator finds in the log who it was; without a header strangers are served."""
    running_shop.proxy.mark_log()
    with client_behind(running_shop, header, source="127.0.0.2") as client:
        client.read_greeting()
        client.send_packet(login_payload("app", native_scramble(b"app", client.salt), "app"), 1)
        refused = err(client.read_packet())
        assert (refused.errno, "127.0.0.2 is not in proxy_protocol_networks" in refused.text) == (1043, True)
        assert client.is_closed()
    eventually(lambda: '"peer": "127.0.0.2"' in running_shop.proxy.log_since_mark(), 5)
    with client_behind(running_shop, b"", source="127.0.0.2") as client:
        assert client.login().query(b"SELECT USER(), 1") == [(b"app@127.0.0.2", b"1")]


@pytest.mark.parametrize("header", [b"PROXY TCP4 x y 1 2\r\n", b"PROXY " + b"x" * 200, V2[:12] + b"\x11" + V2[13:], V1 + V1, V2 + V1])
def test_malformed_header_closes_the_connection(running_shop: Shop, header: bytes) -> None:
    """Also a second header behind the first: whoever sends one through a load balancer is not believed."""
    with client_behind(running_shop, header) as client:
        client.read_greeting()
        client.send_packet(login_payload("app", native_scramble(b"app", client.salt), "app"), 1)
        assert err(client.read_packet()).errno in (1043, 1153, 1156)
        assert client.is_closed()


@pytest.mark.parametrize("header", [b"PROXY TCP4 1.2.3.4", V2[:20]])
def test_half_a_header_is_not_waited_for(running_shop: Shop, header: bytes) -> None:
    """The time for a login counts from the start."""
    with WireClient(running_shop.proxy.port, 8) as client:
        client.read_greeting()
        client.send(header)
        assert err(client.read_packet()).errno == 1043
        assert client.is_closed()


@pytest.mark.parametrize("option", ["", "send-proxy", "send-proxy-v2"])
def test_behind_haproxy(running_shop: Shop, tmp_path: Path, option: str) -> None:
    """The load balancer that the protocol comes from; a client that it takes in from 127.0.0.3 is there, with or without TLS."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        pytest.skip("no haproxy on this machine")
    port = free_port()
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n"
        f"listen balancer\n bind 127.0.0.1:{port}\n server proxy 127.0.0.1:{running_shop.proxy.port} {option}\n"
    )
    balancer = subprocess.Popen([program, "-f", str(config), "-db", "-q"], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _answers(port), 10)
        for options in ({"ssl_disabled": True}, {"ssl": {"ca": None, "check_hostname": False}}):
            with running_shop.connect(port=port, bind_address="127.0.0.3", **options) as connection:
                host = "127.0.0.3" if option else "127.0.0.1"
                assert run(connection, "SELECT USER(), 1") == [(f"app@{host}", 1)]
    finally:
        balancer.terminate()
        balancer.wait(10)


def _answers(port: int) -> bool:
    with contextlib.suppress(pymysql.err.OperationalError, OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False
