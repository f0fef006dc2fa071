"""Who a client is: the exchange of packets from the greeting to the OK, without I/O.

The greeting offers one method; a client that answers by the other is served by that one if its verifier allows it, and anyone
else is asked to switch, once. An unknown user goes through the same steps as a known one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from hashlib import sha256

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shardproxy.errors import ACCESS_DENIED, AUTH_UNUSABLE, BAD_HANDSHAKE, ProxyError
from shardproxy.protocol.auth import (
    CLEAR_FAST_OK,
    CLEAR_FULL,
    ED25519,
    NATIVE,
    NOBODY,
    REQUEST_PUBLIC_KEY,
    Verifier,
    new_salt,
    xor,
)
from shardproxy.protocol.flags import Capability
from shardproxy.protocol.handshake import Login, build_auth_switch, parse_login


class Step(Enum):
    """What the exchange waits for."""

    LOGIN = "login packet"
    SWITCHED = "answer to an authentication switch"
    FULL = "password, or a request for the public key"
    ENCRYPTED = "password encrypted with the public key"
    DONE = "nothing"


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send, in packets; `done` once the client is who it says.

    `password` came in clear and must be checked against a slow hash: call `LoginExchange.check_clear` with it in a thread, and
    `LoginExchange.checked` with the result.
    """

    payloads: tuple[bytes, ...] = ()
    done: bool = False
    password: bytes | None = None


ED25519_NONCE_BYTES = 32
# MySQL takes no longer password; a slow hash of a very long one would be a way to keep the proxy busy.
MAX_PASSWORD_BYTES = 256


@cache
def _private_key() -> rsa.RSAPrivateKey:
    """The key of this process, made when a client first needs it."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class LoginExchange:
    """One login. Feed it the client's packets; `login` is set from the first one on. Refusal is an exception."""

    def __init__(self, verifiers: dict[str, Verifier], default_plugin: str, offered: int, host: str, *, secure: bool) -> None:
        self.salt = new_salt()
        self.plugin = default_plugin
        self.secure = secure
        # Where the client is, for the message that refuses it.
        self.host = host
        self.login: Login | None = None
        self.step = Step.LOGIN
        # SHA256 of the certificate that this login came by, if any.
        self.certificate = b""
        self._greeted = self.salt
        self._verifiers = verifiers
        self._offered = offered

    @property
    def user(self) -> str:
        """The user's name as claimed."""
        return self.login.user if self.login else ""

    def receive(self, payload: bytes) -> Reply:
        """Take one packet; raises `ProxyError` where the client is refused."""
        if self.step is Step.LOGIN:
            return self.start(parse_login(payload, self._offered))
        if self.step is Step.SWITCHED:
            return self._check(payload)
        if self.step is Step.FULL:
            return self._full(payload)
        if self.step is Step.ENCRYPTED:
            return self._encrypted(payload)
        raise ProxyError(BAD_HANDSHAKE, "Bad handshake", fatal=True)

    def start(self, login: Login) -> Reply:
        """Judge the login packet (or that of a COM_CHANGE_USER)."""
        self.login = login
        plugin = login.plugin or NATIVE
        usable = self._verifier.plugins
        # The nonce of ed25519 is longer than a greeting's salt.
        if plugin in usable and plugin != ED25519:
            self.plugin = plugin
            return self._check(login.auth_response)
        if not login.capabilities & Capability.PLUGIN_AUTH:
            raise ProxyError(AUTH_UNUSABLE, "Client does not support authentication protocol requested by server", fatal=True)
        return self.switch()

    def switch(self) -> Reply:
        """Ask for an answer to a new salt: on a connection that has logged in before, the old one is spent."""
        assert self.login is not None
        if not self.login.capabilities & Capability.PLUGIN_AUTH:
            raise ProxyError(AUTH_UNUSABLE, "Client does not support authentication protocol requested by server", fatal=True)
        usable = self._verifier.plugins
        self.plugin = self.plugin if self.plugin in usable else usable[0]
        self.salt = new_salt(ED25519_NONCE_BYTES) if self.plugin == ED25519 else new_salt()
        self.step = Step.SWITCHED
        return Reply((build_auth_switch(self.plugin, self.salt),))

    @property
    def _verifier(self) -> Verifier:
        return self._verifiers.get(self.user, NOBODY)

    def proof(self) -> bytes:
        """For the info of the OK: what tells a client that cannot check our certificate that it is ours; may be empty.

        It is made with the greeting's salt. After a switch to another salt some clients would take that one, so there is none.
        """
        if self.plugin == NATIVE and self.salt != self._greeted:
            return b""
        return self._verifier.certificate_proof(self.plugin, self._greeted, self.certificate)

    def _check(self, response: bytes) -> Reply:
        verifier = self._verifier
        if self.plugin == ED25519:
            return self._finish(verifier.check_ed25519(response, self.salt), bool(response))
        if self.plugin == NATIVE:
            return self._finish(verifier.check_native(response, self.salt), bool(response))
        if verifier.sha2 or verifier.empty:
            right = verifier.check_sha2(response, self.salt)
            if right or verifier.empty:
                return self._finish(right, len(response) > 1, () if verifier.empty else (CLEAR_FAST_OK,))
            # As MySQL does: there are drivers whose fast answer is always wrong (aiomysql and asyncmy after an auth switch).
        if len(response) <= 1:
            return self._finish(False, False)
        self.step = Step.FULL
        return Reply((CLEAR_FULL,))

    def _full(self, payload: bytes) -> Reply:
        if self.secure:
            return self._judge(payload.rstrip(b"\0"))
        if payload != REQUEST_PUBLIC_KEY:
            raise self._denied(using_password=True)
        self.step = Step.ENCRYPTED
        public = _private_key().public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return Reply((b"\x01" + pem,))

    def _encrypted(self, payload: bytes) -> Reply:
        oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
        try:
            scrambled = _private_key().decrypt(payload, oaep)
        except ValueError:
            raise self._denied(using_password=True) from None
        mask = (self.salt * (len(scrambled) // len(self.salt) + 1))[: len(scrambled)]
        return self._judge(xor(scrambled, mask).rstrip(b"\0"))

    def _judge(self, password: bytes) -> Reply:
        if len(password) > MAX_PASSWORD_BYTES:
            raise self._denied(using_password=True)
        if self._verifier.crypt and not self._verifier.sha2:
            self.step = Step.DONE
            return Reply(password=password)
        return self._finish(self._verifier.check_clear(password), True)

    def check_clear(self, password: bytes) -> bool:
        """Whether the password is the user's; takes milliseconds."""
        return self._verifier.check_clear(password)

    def checked(self, password: bytes, right: bool) -> Reply:
        """The outcome of `check_clear`. A right password is remembered in the form that answers the next login at once."""
        if right:
            digest = sha256(sha256(password).digest()).digest()
            self._verifiers[self.user] = replace(self._verifier, sha2=digest)
        return self._finish(right, True)

    def _finish(self, right: bool, using_password: bool, payloads: tuple[bytes, ...] = ()) -> Reply:
        if not right or self.user not in self._verifiers:
            raise self._denied(using_password=using_password)
        self.step = Step.DONE
        return Reply(payloads, done=True)

    def _denied(self, *, using_password: bool) -> ProxyError:
        used = "YES" if using_password else "NO"
        return ProxyError(
            ACCESS_DENIED,
            f"Access denied for user '{self.user}'@'{self.host}' (using password: {used})",
            fatal=True,
            plain=True,
        )
