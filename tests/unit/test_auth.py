"""Passwords: both methods from every stored form, against known vectors and the driver's own implementation."""

import base64
import hashlib

import pymysql._auth
import pytest

from shardproxy.protocol.auth import (
    NOBODY,
    caching_sha2_scramble,
    native_scramble,
    new_salt,
    verifier_for,
)
from shardproxy.protocol.sha256_crypt import sha256_crypt
from tests.support import ed25519

SALT = b"abcdefghijklmnopqrst"
CRYPT = "$A$005$" + SALT.decode() + "Yy1cVJ5jT.fk4HyAGlowRhOkI55As4SAesbspXHQvFD"  # secret
ED25519_KEY = "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"  # secret
FORMS = {
    "plain": "secret",
    "native": "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7",
    "native in small letters": "*14e65567abdb5135d0cfd9a70b3032c179a49ee7",
    "digest": "sha256:" + hashlib.sha256(hashlib.sha256(b"secret").digest()).hexdigest(),
    "crypt": CRYPT,
    "crypt in hex": "0x" + CRYPT.encode().hex(),
}


@pytest.mark.parametrize(
    ("salt", "rounds", "password", "digest"),
    [
        # Salts and passwords of the specification (U. Drepper), as the C library's crypt() answers them.
        (b"saltstring", 5000, b"Hello world!", "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        (b"saltstringsaltst", 10000, b"Hello world!", "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
        (b"toolongsaltstrin", 5000, b"This is just a test", "Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"),
        (b"anotherlongsalts", 1400, b"a very much longer text to encrypt.  This one even stretches over morethan one line.",
         "Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1"),
        (b"short", 77777, b"we have a short salt string but not a short password", "JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/"),
        (b"asaltof16chars..", 123456, b"a short string", "gP3VQ/6X7UUEW3HkBn2w1/Ptq2jxPyzV/cZKmF/wJvD"),
    ],
)  # fmt: skip
def test_sha256_crypt_vectors(salt: bytes, rounds: int, password: bytes, digest: str) -> None:
    """The function that MySQL stores passwords by, where its salt is not longer than the C library takes."""
    assert sha256_crypt(password, salt, rounds) == digest


def test_scrambles_are_those_of_the_driver() -> None:
    """PyMySQL computes the same answers."""
    for password in (b"", b"x", b"secret", "pässwörd".encode(), b"x" * 300):
        assert native_scramble(password, SALT) == pymysql._auth.scramble_native_password(password, SALT)
        assert caching_sha2_scramble(password, SALT) == pymysql._auth.scramble_caching_sha2(password, SALT)


@pytest.mark.parametrize("form", FORMS)
def test_stored_form_decides_what_it_can(form: str) -> None:
    """Every form checks a password in clear; a scramble is checked where its hash is stored, and is wrong elsewhere."""
    verifier = verifier_for(FORMS[form])
    assert verifier.check_clear(b"secret")
    assert not verifier.check_clear(b"secre")
    assert not verifier.check_clear(b"")
    assert verifier.check_native(native_scramble(b"secret", SALT), SALT) is bool(verifier.native)
    assert verifier.check_sha2(caching_sha2_scramble(b"secret", SALT), SALT) is bool(verifier.sha2)
    for wrong in (b"", b"\0", b"x" * 20, b"x" * 32, native_scramble(b"wrong", SALT), caching_sha2_scramble(b"wrong", SALT)):
        assert not verifier.check_native(wrong, SALT)
        assert not verifier.check_sha2(wrong, SALT)
    assert "secret" not in repr(verifier)


def test_signature_is_checked_by_the_stored_key() -> None:
    """The key is that of MariaDB's own manual for `secret`. Nothing else of such a user can be checked."""
    assert ed25519.stored_key(b"secret") == ED25519_KEY
    verifier = verifier_for("ed25519:" + ED25519_KEY)
    assert verifier.plugins == ("client_ed25519",)
    nonce = new_salt(32)
    signature = ed25519.sign(b"secret", nonce)
    assert verifier.check_ed25519(signature, nonce)
    for wrong in (b"", b"\0", signature[:-1], signature + b"\0", bytes(64), signature[::-1], ed25519.sign(b"Secret", nonce)):
        assert not verifier.check_ed25519(wrong, nonce)
    assert not verifier.check_ed25519(signature, nonce[::-1])
    assert not verifier.check_clear(b"secret")
    assert not verifier.check_clear(b"")
    assert not verifier.check_native(b"", SALT)
    assert not verifier.check_sha2(b"", SALT)
    assert not verifier_for("secret").check_ed25519(signature, nonce)
    # A key without its prefix, or too short a one, is a password like any other.
    for password in (ED25519_KEY, "ed25519:" + ED25519_KEY[1:], "ed25519:" + ED25519_KEY + "="):
        assert verifier_for(password).check_clear(password.encode())


def test_certificate_is_proved_by_what_both_sides_know() -> None:
    """The stored hash, the greeting's salt and the certificate; nothing where the method leaves nothing to share."""
    fingerprint = hashlib.sha256(b"certificate").digest()
    stage2 = hashlib.sha1(hashlib.sha1(b"secret").digest()).digest()
    proof = b"\x01" + hashlib.sha256(stage2 + SALT + fingerprint).hexdigest().upper().encode()
    assert verifier_for("secret").certificate_proof("mysql_native_password", SALT, fingerprint) == proof
    signed = verifier_for("ed25519:" + ED25519_KEY)
    key = base64.b64decode(ED25519_KEY + "=")
    proof = b"\x01" + hashlib.sha256(key + SALT + fingerprint).hexdigest().upper().encode()
    assert signed.certificate_proof("client_ed25519", SALT, fingerprint) == proof
    assert verifier_for("secret").certificate_proof("caching_sha2_password", SALT, fingerprint) == b""
    assert verifier_for("secret").certificate_proof("mysql_native_password", SALT, b"") == b""
    assert verifier_for("").certificate_proof("mysql_native_password", SALT, fingerprint) == b""


def test_answer_to_another_salt_is_wrong() -> None:
    """What was overheard cannot be used again."""
    verifier = verifier_for("secret")
    other = SALT[::-1]
    assert not verifier.check_native(native_scramble(b"secret", SALT), other)
    assert not verifier.check_sha2(caching_sha2_scramble(b"secret", SALT), other)


def test_empty_password_is_its_own_form() -> None:
    """Its answer is empty, by either method, and nothing else will do."""
    verifier = verifier_for("")
    assert verifier.check_native(b"", SALT)
    assert verifier.check_sha2(b"", SALT)
    assert verifier.check_sha2(b"\0", SALT)
    assert verifier.check_clear(b"")
    assert not verifier.check_native(native_scramble(b"x", SALT), SALT)
    assert not verifier.check_sha2(caching_sha2_scramble(b"x", SALT), SALT)
    assert not verifier.check_clear(b"x")


def test_nobody_has_no_password() -> None:
    """What unknown users are checked against."""
    for password in (b"", b"secret"):
        assert not NOBODY.check_native(native_scramble(password, SALT), SALT)
        assert not NOBODY.check_sha2(caching_sha2_scramble(password, SALT), SALT)
        assert not NOBODY.check_clear(password)


def test_salts_are_fit_for_every_client() -> None:
    """Twenty bytes without NUL and `$`, never the same twice."""
    salts = [new_salt() for _ in range(200)]
    assert len(set(salts)) == 200
    assert all(len(salt) == 20 and not set(salt) & {0, ord("$")} for salt in salts)
