"""Password checks of the authentication plugins, from a password or from a stored verifier.

The scramble of `caching_sha2_password` is SHA256(password) XOR SHA256(SHA256(SHA256(password)) + salt); that of
`mysql_native_password` is SHA1(password) XOR SHA1(salt + SHA1(SHA1(password))). A server that holds SHA256(SHA256(password))
can therefore decide every login on the fast path; the full path is needed where only another form is stored.
`client_ed25519` signs a nonce with a key made from the password; what is stored is its public half, and the signature is an
ordinary one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shardproxy.protocol.sha256_crypt import sha256_crypt

NATIVE: Final = "mysql_native_password"
CACHING_SHA2: Final = "caching_sha2_password"
ED25519: Final = "client_ed25519"
CLEAR_FAST_OK: Final = b"\x01\x03"
CLEAR_FULL: Final = b"\x01\x04"
REQUEST_PUBLIC_KEY: Final = b"\x02"

_NATIVE_HASH = re.compile(r"\*[0-9A-Fa-f]{40}")
_SHA2_DIGEST = re.compile(r"sha256:[0-9A-Fa-f]{64}")
_ED25519_KEY = re.compile(r"ed25519:[A-Za-z0-9+/]{43}")
_SHA2_CRYPT = re.compile(r"\$A\$[0-9A-Fa-f]{3}\$.{20}[./0-9A-Za-z]{43}", re.DOTALL)


def new_salt(size: int = 20) -> bytes:
    """Random bytes without NUL and `$`, at which clients cut a salt."""
    return bytes(secrets.choice(_SALT_BYTES) for _ in range(size))


_SALT_BYTES = bytes(b for b in range(0x21, 0x7F) if b != ord("$"))


def xor(a: bytes, b: bytes) -> bytes:
    """Bytewise exclusive or of two strings of one length."""
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def native_scramble(password: bytes, salt: bytes) -> bytes:
    """What a client answers for mysql_native_password; empty for an empty password."""
    if not password:
        return b""
    stage1 = hashlib.sha1(password).digest()
    return xor(stage1, hashlib.sha1(salt + hashlib.sha1(stage1).digest()).digest())


def caching_sha2_scramble(password: bytes, salt: bytes) -> bytes:
    """What a client answers for caching_sha2_password; empty for an empty password."""
    if not password:
        return b""
    stage1 = hashlib.sha256(password).digest()
    return xor(stage1, hashlib.sha256(hashlib.sha256(stage1).digest() + salt).digest())


@dataclass(frozen=True, slots=True)
class Verifier:
    """What the proxy knows of one user's password; never the password itself.

    `native` is SHA1(SHA1(password)), `sha2` is SHA256(SHA256(password)), `crypt` is MySQL's `$A$005$...` string, `ed25519` is a
    public key, which excludes the others. A form that is not known is empty; `empty` says that the password is the empty one.
    """

    native: bytes = b""
    sha2: bytes = b""
    crypt: str = ""
    empty: bool = False
    ed25519: bytes = b""

    @property
    def plugins(self) -> tuple[str, ...]:
        """The plugins that can tell whether a password is right; caching_sha2 can by any hash, if need be by its full exchange."""
        if self.ed25519:
            return (ED25519,)
        return (NATIVE, CACHING_SHA2) if self.native or self.empty else (CACHING_SHA2,)

    def check_native(self, response: bytes, salt: bytes) -> bool:
        """Whether a mysql_native_password response is right; False where `native` is not known."""
        if self.empty or not response:
            return self.empty and not response
        if not self.native or len(response) != 20:
            return False
        stage1 = xor(response, hashlib.sha1(salt + self.native).digest())
        return hmac.compare_digest(hashlib.sha1(stage1).digest(), self.native)

    def check_sha2(self, response: bytes, salt: bytes) -> bool:
        """Whether a caching_sha2_password response is right; False where `sha2` is not known."""
        if self.empty or response in (b"", b"\0"):
            return self.empty and response in (b"", b"\0")
        if not self.sha2 or len(response) != 32:
            return False
        stage1 = xor(response, hashlib.sha256(self.sha2 + salt).digest())
        return hmac.compare_digest(hashlib.sha256(stage1).digest(), self.sha2)

    def check_ed25519(self, signature: bytes, nonce: bytes) -> bool:
        """Whether a client_ed25519 response is right; False where `ed25519` is not known."""
        if not self.ed25519:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.ed25519).verify(signature, nonce)
        except InvalidSignature:
            return False
        return True

    def certificate_proof(self, plugin: str, salt: bytes, fingerprint: bytes) -> bytes:
        """What tells a client that whoever knows its stored password also has this certificate, as MariaDB does since 11.4; empty
        where the plugin leaves nothing to prove it by. `fingerprint` is the certificate's SHA256."""
        shared = {NATIVE: self.native, ED25519: self.ed25519}.get(plugin)
        if not shared or not fingerprint:
            return b""
        # In capitals: drivers compare the text.
        return b"\x01" + hashlib.sha256(shared + salt + fingerprint).hexdigest().upper().encode()

    def check_clear(self, password: bytes) -> bool:
        """Whether a password that came in clear (over TLS or RSA) is right. 5000 rounds for `crypt`: some milliseconds."""
        if self.empty:
            return not password
        if self.sha2:
            return hmac.compare_digest(hashlib.sha256(hashlib.sha256(password).digest()).digest(), self.sha2)
        if self.native:
            return hmac.compare_digest(hashlib.sha1(hashlib.sha1(password).digest()).digest(), self.native)
        if self.crypt:
            rounds = int(self.crypt[3:6], 16) * 1000
            salt = self.crypt[7:27].encode("latin-1")
            return hmac.compare_digest(sha256_crypt(password, salt, rounds), self.crypt[27:])
        return False


def verifier_for(stored: str) -> Verifier:
    """Make a verifier from a password or from a stored form.

    `*<40 hex digits>` is what mysql.user holds for mysql_native_password, `$A$005$...` (or that text in hex, as
    `0x244124...`) for caching_sha2_password; `sha256:<64 hex digits>` is SHA256(SHA256(password)), and `ed25519:` stands before what
    mysql.user holds for ed25519. Anything else is a password.
    """
    if _NATIVE_HASH.fullmatch(stored):
        return Verifier(native=bytes.fromhex(stored[1:]))
    if _SHA2_DIGEST.fullmatch(stored):
        return Verifier(sha2=bytes.fromhex(stored[7:]))
    if _ED25519_KEY.fullmatch(stored):
        return Verifier(ed25519=base64.b64decode(stored[8:] + "="))
    if re.fullmatch(r"0x2441(?:[0-9A-Fa-f]{2})+", stored):
        stored = bytes.fromhex(stored[2:]).decode("latin-1")
    if _SHA2_CRYPT.fullmatch(stored):
        return Verifier(crypt=stored)
    password = stored.encode()
    if not password:
        return Verifier(empty=True)
    native = hashlib.sha1(hashlib.sha1(password).digest()).digest()
    return Verifier(native=native, sha2=hashlib.sha256(hashlib.sha256(password).digest()).digest())


# An unknown user goes through the same exchange with this, so that an attacker cannot tell who exists.
NOBODY: Final = Verifier(native=secrets.token_bytes(20), sha2=secrets.token_bytes(32))
