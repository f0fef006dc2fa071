"""Hostile clients: each gets a proper error or a closed connection; others are served meanwhile, and memory stays bounded."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.conftest import Shards
from tests.support.shop import S0, Shop, memory_mb, open_shop
from tests.support.waiting import eventually
from tests.support.wire import (
    ClosedError,
    Err,
    WireClient,
    err,
    login_payload,
    native_scramble,
    packet,
    ssl_request,
)

# An answer takes a millisecond when nothing is wrong; a busy machine may take longer.
PATIENCE_S = 1.0
MB = 1 << 20


@pytest.fixture(scope="module")
def running_shop(shards: Shards) -> Iterator[Shop]:
    """A proxy that gives clients two seconds to log in."""
    yield from open_shop(shards, "handshake_timeout_s = 2")


@contextlib.contextmanager
def undisturbed(shop: Shop, growth_mb: float = 200) -> Iterator[None]:
    """Fails if a second client's point reads take too long meanwhile, or if the proxy has grown by more than that."""
    before = memory_mb(shop.proxy.pid)
    waits: list[float] = []
    stop = threading.Event()
    ready = threading.Event()

    def keep_asking() -> None:
        with shop.wire(10) as client:
            while not stop.is_set():
                begun = time.monotonic()
                try:
                    right = client.query(f"SELECT uid FROM users WHERE uid = {S0}".encode()) == [(b"50",)]
                except (TimeoutError, ClosedError):
                    right = False
                waits.append(time.monotonic() - begun if right else float("inf"))
                ready.set()
                if not right:
                    return
                stop.wait(0.005)

    shop.fill_users()
    other = threading.Thread(target=keep_asking, daemon=True)
    other.start()
    assert ready.wait(30)
    waits.clear()
    try:
        yield
        eventually(lambda: waits, 15)
    finally:
        stop.set()
        other.join()
    assert max(waits) < PATIENCE_S, f"the other client waited {max(waits):.1f} s"
    grown = memory_mb(shop.proxy.pid) - before
    assert grown < growth_mb, f"the proxy has grown by {grown:.0f} MB"


# ---------------------------------------------------------------- packets


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\0",
        b"\xff" * 100,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x85\xa6\xff\x01" + b"\0" * 27,
        b"\x85\xa6\xff\x01" + b"\0" * 28 + b"app",
        b"\x85\xa6\xff\x01" + b"\0" * 28 + b"app\0\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x85\xa6\xff\x01" + b"\0" * 28 + b"app\0\xff" + b"\0" * 20,
        b"\x05\0\0\x01\0\0\0app\0pass",
    ],
)
def test_malformed_login_is_refused(shop: Shop, first: bytes) -> None:
    """An error of the handshake, then the end; never a login and never silence."""
    with WireClient(shop.proxy.port, 5) as client:
        client.read_greeting()
        client.send_packet(first, 1)
        with contextlib.suppress(ClosedError):
            assert err(client.read_packet()).errno in (1043, 1045, 1835, 1251)
        assert client.is_closed()
    assert shop.proxy.execute("SELECT 1") == [(1,)]


def test_raw_bytes_of_another_protocol_close_the_connection(shop: Shop) -> None:
    """An HTTP client or a scanner on the wrong port is no reason to wait."""
    with WireClient(shop.proxy.port, 5) as client:
        client.read_greeting()
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.is_closed()


@pytest.mark.parametrize("size", [65 * 1024, 0xFFFFFF])
def test_oversized_login_is_refused_by_its_header(shop: Shop, size: int) -> None:
    """Nobody can make the proxy wait for, or hold, megabytes before a login."""
    with undisturbed(shop, growth_mb=20):
        clients = [WireClient(shop.proxy.port, 5) for _ in range(20)]
        for client in clients:
            client.read_greeting()
            client.send(size.to_bytes(3, "little") + b"\x01" + b"x" * 1000)
        for client in clients:
            assert err(client.read_packet()).errno == 1153
            assert client.is_closed()
            client.socket.close()


@pytest.mark.parametrize("command", [b"\x03SELECT 1", b"\x0e", b"\x01", b"\x11app\0\0app\0", b"\x03" + b"x" * 5000])
@pytest.mark.parametrize("sequence", [0, 1])
def test_command_before_login_is_refused(shop: Shop, command: bytes, sequence: int) -> None:
    """Nothing is carried out for somebody who has not said who it is."""
    with WireClient(shop.proxy.port, 5) as client:
        client.read_greeting()
        client.send_packet(command, sequence)
        answer = err(client.read_packet())
        assert answer.errno in (1043, 1156, 1835), answer
        assert client.is_closed()


@pytest.mark.parametrize("sequence", [1, 2, 7, 255])
def test_command_out_of_order_closes_the_connection(shop: Shop, sequence: int) -> None:
    """A command starts at 0; anything else means that the two sides have lost each other."""
    with shop.wire(5) as client:
        client.send_packet(b"\x03SELECT 1", sequence)
        assert err(client.read_packet()).errno == 1156
        assert client.is_closed()


def test_declared_length_costs_nothing(shop: Shop) -> None:
    """Forty clients that announce 16 MB and send a few bytes hold a few bytes."""
    with undisturbed(shop, growth_mb=30):
        clients = [shop.wire(5) for _ in range(40)]
        for client in clients:
            client.send(b"\xff\xff\xff\0\x03SELECT 1")
        assert shop.proxy.execute("SELECT 1") == [(1,)]
        for client in clients:
            client.socket.close()


def test_payload_over_the_limit_is_refused(shop: Shop) -> None:
    """The fifth packet of 16 MB makes more than the 64 MB that are allowed; its header is enough."""
    with undisturbed(shop, growth_mb=300), shop.wire(20) as client:
        part = b"x" * 0xFFFFFF
        with contextlib.suppress(ConnectionError):
            for sequence in range(4):
                client.send_packet(part, sequence)
            client.send(b"\xff\xff\xff\x04")
        with contextlib.suppress(ClosedError):
            assert err(client.read_packet()).errno == 1153
        assert client.is_closed()


def test_truncated_statement_leaves_nothing(shop: Shop) -> None:
    """A client that goes away in the middle of a packet has said nothing."""
    for cut in (1, 3, 4, 5, 20):
        with shop.wire(5) as client:
            client.send(packet(b"\x03INSERT INTO users (uid) VALUES (1)")[:cut])
    assert shop.proxy.execute("SELECT COUNT(*) FROM users") == [(0,)]


def test_commands_sent_ahead_are_not_hoarded(shop: Shop) -> None:
    """While one statement runs, what a client sends behind it waits in its own socket."""
    with undisturbed(shop, growth_mb=60):
        clients = [shop.wire(10) for _ in range(8)]
        for client in clients:
            client.send_packet(b"\x03SELECT SLEEP(1) FROM countries RIGHT JOIN (SELECT 1) x ON 1")
            client.socket.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while sent < 20 * MB:
                    sent += client.socket.send(packet(b"\x03SELECT '" + b"x" * 60_000 + b"'"))
            assert sent < 20 * MB, "the proxy takes whatever it is sent"
            client.socket.close()


# ---------------------------------------------------------------- connections


def _held_open(shop: Shop, first: bytes, count: int) -> None:
    """Open so many connections, say no more than `first`, and see all of them closed after the time to log in."""
    sockets = [socket.create_connection(("127.0.0.1", shop.proxy.port), 10) for _ in range(count)]
    begun = time.monotonic()
    for one in sockets:
        one.sendall(first)
    for one in sockets:
        with contextlib.suppress(ConnectionResetError):
            while one.recv(4096):
                pass
        one.close()
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize(
    "first",
    [b"", b"\x20\0\0\x01", packet(login_payload("app", b"x" * 20, plugin="dialog"), 1)],
    ids=["silent", "half a packet", "in a switch"],
)
def test_half_open_handshakes_are_closed(shop: Shop, first: bytes) -> None:
    """300 clients that do not log in are gone after two seconds, and cost the others nothing."""
    with undisturbed(shop, growth_mb=60):
        _held_open(shop, first, 300)


@pytest.mark.parametrize("more", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], ids=["silent", "half a hello"])
def test_half_open_tls_handshakes_are_closed(shop: Shop, more: bytes) -> None:
    """Also in the middle of TLS, where there is no way to say why."""
    with undisturbed(shop, growth_mb=120):
        _held_open(shop, packet(ssl_request(), 1) + more, 300)


@pytest.mark.parametrize("user", ["app", "stored", "nobody"])
def test_flood_of_bad_logins(shop: Shop, user: str) -> None:
    """Each is denied; somebody with the right password gets in meanwhile."""
    with undisturbed(shop, growth_mb=60):
        for round_ in range(8):
            clients = [WireClient(shop.proxy.port, 30) for _ in range(50)]
            for client in clients:
                client.read_greeting()
                client.send_packet(login_payload(user, b"%020d" % round_), 1)
            begun = time.monotonic()
            shop.wire().socket.close()
            assert time.monotonic() - begun < 2
            for client in clients:
                answer = client.read_packet()
                if answer[:1] == b"\xfe":  # no native hash: asked to switch
                    client.send_packet(b"x" * 32, client.sequence + 1)
                    answer = client.read_packet()
                if answer == b"\x01\x04":
                    client.send_packet(b"\x02", client.sequence + 1)
                    assert client.read_packet()[1:20].startswith(b"-----BEGIN")
                    client.send_packet(b"\x01" * 256, client.sequence + 1)
                    answer = client.read_packet()
                assert err(answer).errno == 1045
                client.socket.close()


def test_flood_of_slow_password_checks(shop: Shop) -> None:
    """Checking a salted verifier takes thousands of hashes; they must not stop everyone else."""
    with undisturbed(shop, growth_mb=60):
        clients = [WireClient(shop.proxy.port, 30) for _ in range(60)]
        for client in clients:
            client.read_greeting()
            client.start_tls()
            client.send_packet(login_payload("unseen", b"x" * 32, plugin="caching_sha2_password"), 2)
            assert client.read_packet() == b"\x01\x04"
        for client in clients:
            client.send_packet(b"wrong\0", client.sequence + 1)
        for client in clients:
            assert err(client.read_packet()).errno == 1045
            client.socket.close()


def test_clients_come_and_go(shop: Shop) -> None:
    """500 connections dropped at every stage leave none behind."""
    for step in range(500):
        one = socket.create_connection(("127.0.0.1", shop.proxy.port), 10)
        if step % 3:
            one.recv(100)
        if step % 5 == 0:
            one.sendall(b"\x01\0\0\x01")
        one.close()
    with shop.wire() as client:
        eventually(lambda: len(client.query(b"SHOW PROCESSLIST")) == 1)
        assert b"Threads: 1 " in client.command(b"\x09")


def test_wrong_salt_is_no_login(shop: Shop) -> None:
    """A scramble that was overheard on another connection opens nothing."""
    with WireClient(shop.proxy.port) as one, WireClient(shop.proxy.port) as two:
        one.read_greeting()
        two.read_greeting()
        assert one.salt != two.salt
        two.send_packet(login_payload("app", native_scramble(b"app", one.salt)), 1)
        answer = err(two.read_packet())
        assert isinstance(answer, Err)
        assert answer.errno == 1045
