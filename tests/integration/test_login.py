"""Logging in: both plugins, every form of stored password, TLS, and every way to be refused."""

import base64
import hashlib
import ssl
import subprocess
from typing import Any

import pymysql
import pytest

from tests.support import ed25519
from tests.support.shop import Shop, run
from tests.support.wire import (
    LOGIN_FLAGS,
    PLUGIN_AUTH,
    WireClient,
    err,
    login_payload,
    native_scramble,
    packet,
    sha2_scramble,
    ssl_request,
)

SHA2 = "caching_sha2_password"
ANY_CERTIFICATE = ssl.create_default_context()
ANY_CERTIFICATE.check_hostname, ANY_CERTIFICATE.verify_mode = False, ssl.CERT_NONE
PLAIN: dict[str, Any] = {"ssl_disabled": True}
OVER_TLS: dict[str, Any] = {"ssl": ANY_CERTIFICATE}


@pytest.mark.parametrize("transport", [PLAIN, OVER_TLS], ids=["plain", "tls"])
@pytest.mark.parametrize("user", ["app", "native", "digest", "stored", "empty"])
def test_every_stored_form_lets_its_user_in(running_shop: Shop, user: str, transport: dict[str, Any]) -> None:
    """PyMySQL does whatever the proxy asks it for: a switch, the fast answer, the password over TLS or over RSA."""
    password = {"app": "app", "empty": ""}.get(user, "secret")
    with running_shop.connect(user=user, password=password, **transport) as connection:
        assert run(connection, "SELECT USER(), DATABASE()") == [(f"{user}@127.0.0.1", "app")]
        assert bool(connection._secure) is (transport is OVER_TLS)


@pytest.mark.parametrize("transport", [PLAIN, OVER_TLS], ids=["plain", "tls"])
@pytest.mark.parametrize("password", ["wrong", "", "secret "])
@pytest.mark.parametrize("user", ["app", "native", "digest", "stored", "empty", "nobody"])
def test_wrong_password_is_denied(running_shop: Shop, user: str, password: str, transport: dict[str, Any]) -> None:
    """Whoever it is and whatever is stored, the answer is MySQL's 1045, and says whether a password was given."""
    if (user, password) == ("empty", ""):
        pytest.skip("that is the right one")
    with pytest.raises(pymysql.err.OperationalError) as denied:
        running_shop.connect(user=user, password=password, **transport)
    used = "YES" if password else "NO"
    assert denied.value.args == (1045, f"Access denied for user '{user}'@'127.0.0.1' (using password: {used})")


def test_connection_is_closed_after_a_refusal(running_shop: Shop) -> None:
    """A second try needs a new connection."""
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        client.send_packet(login_payload("app", native_scramble(b"wrong", client.salt)), 1)
        assert err(client.read_packet()).errno == 1045
        assert client.is_closed()


@pytest.mark.parametrize("database", ["nowhere", "app_0", "mysql"])
def test_unknown_database_is_refused(running_shop: Shop, database: str) -> None:
    """Also the shards' own names of schemas: clients know only the logical one."""
    with pytest.raises(pymysql.err.OperationalError, match="Unknown database") as refused:
        running_shop.connect(database=database)
    assert refused.value.args[0] == 1049


def test_unknown_database_after_the_fast_path(running_shop: Shop) -> None:
    """The packets keep their numbers where the login has succeeded and its database is refused."""
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        scramble = sha2_scramble(b"app", client.salt)
        client.send_packet(login_payload("app", scramble, "nowhere", plugin=SHA2), 1)
        numbers = []
        while True:
            payload = client.read_packet()
            numbers.append(client.sequence)
            if payload[:1] == b"\xff":
                break
        assert err(payload).errno == 1049
        assert numbers == list(range(2, 2 + len(numbers)))


def test_sha2_fast_path_decides_at_once(running_shop: Shop) -> None:
    """One packet from the client, `01 03` and OK from the proxy; nothing more is asked."""
    for user, password in (("app", b"app"), ("digest", b"secret")):
        with WireClient(running_shop.proxy.port) as client:
            client.read_greeting()
            client.send_packet(login_payload(user, sha2_scramble(password, client.salt), "app", plugin=SHA2), 1)
            assert client.read_packet() == b"\x01\x03"
            assert client.read_packet()[:1] == b"\0"
            assert client.query(b"SELECT 1") == [(b"1",)]


def test_second_login_of_a_stored_user_is_fast(running_shop: Shop) -> None:
    """Once the password has been seen, the full exchange and its 5000 rounds are not needed again."""
    running_shop.connect(user="stored", password="secret", **PLAIN).close()
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        client.send_packet(login_payload("stored", sha2_scramble(b"secret", client.salt), "app", plugin=SHA2), 1)
        assert client.read_packet() == b"\x01\x03"


def test_public_key_is_sent_on_request(running_shop: Shop) -> None:
    """Without TLS a client asks for the key before it sends anything of its password."""
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        client.send_packet(login_payload("unseen", sha2_scramble(b"secret", client.salt), "app", plugin=SHA2), 1)
        assert client.read_packet() == b"\x01\x04"
        client.send_packet(b"\x02", client.sequence + 1)
        assert client.read_packet().startswith(b"\x01-----BEGIN PUBLIC KEY-----")
        client.send_packet(b"\0" * 256, client.sequence + 1)
        assert err(client.read_packet()).errno == 1045
        assert client.is_closed()


def test_password_in_clear_is_refused_without_tls(running_shop: Shop) -> None:
    """A client that sends its password unencrypted is not let in, even if it is the right one."""
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        client.send_packet(login_payload("unseen", sha2_scramble(b"secret", client.salt), "app", plugin=SHA2), 1)
        assert client.read_packet() == b"\x01\x04"
        client.send_packet(b"secret\0", client.sequence + 1)
        assert err(client.read_packet()).errno == 1045


def test_unknown_plugin_is_switched(running_shop: Shop) -> None:
    """A client of a plugin that the proxy does not have is asked to use one that it has."""
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        client.send_packet(login_payload("app", b"whatever", "app", plugin="dialog"), 1)
        assert _answer_switch(client, b"app")[:1] == b"\0"
        assert client.query(b"SELECT 1") == [(b"1",)]


def test_switch_comes_with_a_salt_of_its_own(running_shop: Shop) -> None:
    """The answer to the greeting's salt is no answer to the switch."""
    with WireClient(running_shop.proxy.port) as client:
        greeting = client.read_greeting()
        client.send_packet(login_payload("app", b"whatever", "app", plugin="dialog"), 1)
        salt = client.read_packet().split(b"\0")[1]
        assert len(salt) == 20
        assert salt[:8] not in greeting
        client.send_packet(native_scramble(b"app", client.salt), client.sequence + 1)
        assert err(client.read_packet()).errno == 1045


def test_empty_password_after_a_switch(running_shop: Shop) -> None:
    """The answer is then an empty packet, which is right for a user without password and wrong for others."""
    for user, wanted in (("empty", b"\0"), ("app", b"\xff")):
        with WireClient(running_shop.proxy.port) as client:
            client.read_greeting()
            client.send_packet(login_payload(user, b"whatever", "app", plugin="dialog"), 1)
            answer = _answer_switch(client, b"")
            assert answer[:1] == wanted
            if wanted == b"\xff":
                assert err(answer).errno == 1045


def test_client_without_plugins_logs_in_natively(running_shop: Shop) -> None:
    """Old drivers know one method and cannot be switched: they need a hash of that method."""
    flags = LOGIN_FLAGS & ~PLUGIN_AUTH
    for user, password, wanted in (("app", "app", b"\0"), ("native", "secret", b"\0"), ("digest", "secret", b"\xff")):
        with WireClient(running_shop.proxy.port) as client:
            client.read_greeting()
            scramble = native_scramble(password.encode(), client.salt)
            client.send_packet(login_payload(user, scramble, "app", flags), 1)
            answer = client.read_packet()
            assert answer[:1] == wanted
            if wanted == b"\xff":
                assert err(answer).errno == 1251


def test_client_hello_glued_to_the_ssl_request(running_shop: Shop) -> None:
    """Drivers send both in one segment; what follows the request is TLS already."""
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        client.start_tls()
        client.send_packet(login_payload("app", native_scramble(b"app", client.salt), "app"), 2)
        assert client.read_packet()[:1] == b"\0"
        assert client.sequence == 3
        assert client.query(b"SELECT 1") == [(b"1",)]
        long = client.query(b"SELECT REPEAT('x', 5000000)")
        assert isinstance(long, list)
        assert len(long[0][0] or b"") == 5_000_000


@pytest.mark.parametrize("behind", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 200, b"\0" * 64])
def test_garbage_instead_of_tls_closes_the_connection(running_shop: Shop, behind: bytes) -> None:
    """Plain text behind an SSLRequest is never taken for a login."""
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        login = packet(login_payload("app", native_scramble(b"app", client.salt), "app"), 2)
        client.send(packet(ssl_request(), 1) + behind + login)
        assert client.is_closed()
    assert running_shop.proxy.execute("SELECT 1") == [(1,)]


def test_statement_glued_to_the_login(running_shop: Shop) -> None:
    """A client may send its first statement before it has seen the OK."""
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        login = packet(login_payload("app", native_scramble(b"app", client.salt), "app"), 1)
        client.send(login + packet(b"\x03SELECT 5"))
        assert client.read_packet()[:1] == b"\0"
        assert client.read_result() == [(b"5",)]


def test_unsupported_character_set_is_refused(running_shop: Shop) -> None:
    """gbk (28) can hide a quote inside a character, so nobody may speak it."""
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        payload = bytearray(login_payload("app", native_scramble(b"app", client.salt), "app"))
        payload[8] = 28
        client.send_packet(bytes(payload), 1)
        assert err(client.read_packet()).errno == 1115
        assert client.is_closed()


@pytest.mark.parametrize("password", ["x" * 257, "x" * 30_000])
def test_password_longer_than_any_costs_nothing(running_shop: Shop, password: str) -> None:
    """Hashing is quadratic in the password's length, so a long one is refused unhashed."""
    with WireClient(running_shop.proxy.port, timeout_s=3) as client:
        client.read_greeting()
        client.start_tls()
        client.send_packet(login_payload("unseen", b"x" * 32, "app", plugin=SHA2), 2)
        assert client.read_packet() == b"\x01\x04"
        client.send_packet(password.encode() + b"\0", client.sequence + 1)
        assert err(client.read_packet()).errno == 1045


def _answer_switch(client: WireClient, password: bytes) -> bytes:
    """Read an AuthSwitchRequest, answer it, and read what comes next but for `01 03`."""
    payload = client.read_packet()
    assert payload[:1] == b"\xfe", payload
    plugin, salt = payload[1:].split(b"\0")[:2]
    scramble = sha2_scramble if plugin == SHA2.encode() else native_scramble
    client.send_packet(scramble(password, salt), client.sequence + 1)
    answer = client.read_packet()
    return client.read_packet() if answer == b"\x01\x03" else answer


def test_signed_login(running_shop: Shop) -> None:
    """Whatever a client begins with, it is asked to sign a nonce of 32 bytes, with nothing behind it."""
    for begun_with, password, wanted in (
        ("mysql_native_password", b"secret", b"\0"),
        ("client_ed25519", b"secret", b"\0"),
        (SHA2, b"wrong", b"\xff"),
        (SHA2, b"", b"\xff"),
    ):
        with WireClient(running_shop.proxy.port) as client:
            client.read_greeting()
            client.send_packet(login_payload("signed", b"x" * 20, "app", plugin=begun_with), 1)
            switch, plugin = client.read_packet(), b"\xfeclient_ed25519\0"
            assert switch.startswith(plugin)
            nonce = switch[len(plugin) :]
            assert len(nonce) == 32
            client.send_packet(ed25519.sign(password, nonce) if password else b"", client.sequence + 1)
            answer = client.read_packet()
            assert answer[:1] == wanted, answer
            if wanted == b"\xff":
                assert err(answer).errno == 1045
            else:
                assert client.query(b"SELECT USER(), 1") == [(b"signed@127.0.0.1", b"1")]


def test_old_client_cannot_sign(running_shop: Shop) -> None:
    """It cannot be asked to switch, and is told so instead of a wrong password."""
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        scramble = native_scramble(b"secret", client.salt)
        client.send_packet(login_payload("signed", scramble, "app", LOGIN_FLAGS & ~PLUGIN_AUTH), 1)
        assert err(client.read_packet()).errno == 1251


@pytest.mark.parametrize("transport", [["--skip-ssl"], ["--ssl", "--skip-ssl-verify-server-cert"]], ids=["plain", "tls"])
@pytest.mark.parametrize("compression", [[], ["--compress"]], ids=["", "compressed"])
def test_command_line_client_signs(running_shop: Shop, transport: list[str], compression: list[str]) -> None:
    """By MariaDB's own plugin."""
    login = ["--no-defaults", "--protocol=tcp", "-h127.0.0.1", f"-P{running_shop.proxy.port}", "-usigned", *transport, *compression]
    for password, wanted in (("secret", "signed@127.0.0.1\n"), ("Secret", "")):
        command = ["mariadb", *login, f"-p{password}", "-N", "-e", "SELECT USER()", "app"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if "client_ed25519.so" in done.stderr:
            pytest.skip("the client has no client_ed25519 plugin")
        assert done.stdout == wanted, done.stderr
        assert bool(wanted) or "ERROR 1045 (28000): Access denied for user 'signed'@'127.0.0.1' (using password: YES)" in done.stderr


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("user", ["app", "native", "signed", "digest", "empty"])
def test_certificate_is_proved_in_the_login_s_ok(running_shop: Shop, user: str, tls: bool) -> None:
    """By what the client knows too, over TLS; so that it need not know the certificate's authority."""
    password = {"app": b"app", "empty": b""}.get(user, b"secret")
    shared = {
        "app": hashlib.sha1(hashlib.sha1(b"app").digest()).digest(),
        "native": hashlib.sha1(hashlib.sha1(b"secret").digest()).digest(),
        "signed": base64.b64decode(ed25519.stored_key(b"secret") + "="),
    }.get(user)
    with WireClient(running_shop.proxy.port) as client:
        client.read_greeting()
        if tls:
            client.start_tls()
        plugin = SHA2 if user == "digest" else "mysql_native_password"
        scramble = (sha2_scramble if plugin == SHA2 else native_scramble)(password, client.salt)
        client.send_packet(login_payload(user, scramble, "app", plugin=plugin), 2 if tls else 1)
        answer = client.read_packet()
        if user == "signed":
            client.send_packet(ed25519.sign(password, answer[-32:]), client.sequence + 1)
            answer = client.read_packet()
        answer = client.read_packet() if answer == b"\x01\x03" else answer
        assert answer[:1] == b"\0"
        if tls and shared:
            pem = (running_shop.proxy.dir / "server.crt").read_text()
            fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()
            proof = hashlib.sha256(shared + client.salt + fingerprint).hexdigest().upper().encode()
            assert answer[7:] == bytes((65, 1)) + proof
        else:
            assert len(answer) == 7
        assert client.query(b"SELECT 1") == [(b"1",)]


def test_greeting_is_like_a_server_s(running_shop: Shop) -> None:
    """Protocol 10, a version that drivers take for the shards' own, autocommit, and a salt without NUL."""
    with WireClient(running_shop.proxy.port) as client:
        greeting = client.read_greeting()
        assert client.sequence == 0
        assert greeting[0] == 10
        assert greeting[1:].startswith(b"5.5.5-10.")
        assert b"\0" not in client.salt
        assert len(client.salt) == 20
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.read_packet()
