"""The SHA-256 crypt hash that MySQL stores for caching_sha2_password.

Source: "Unix crypt using SHA-256 and SHA-512", Ulrich Drepper, version 0.6; the numbers in comments are its steps. MySQL uses
it with a salt of 20 bytes where the paper and the libraries that implement it stop at 16, hence this one.
"""

from __future__ import annotations

from hashlib import sha256

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def sha256_crypt(password: bytes, salt: bytes, rounds: int) -> str:
    """The 43 characters of the digest. `rounds` is 5000 for MySQL's `$A$005$`."""
    digest = _initial_digest(password, salt)
    p = _repeat(sha256(password * len(password)).digest(), len(password))  # 13-16
    s = _repeat(sha256(salt * (16 + digest[0])).digest(), len(salt))  # 17-20
    for i in range(rounds):  # 21
        step = sha256(p if i & 1 else digest)
        if i % 3:
            step.update(s)
        if i % 7:
            step.update(p)
        step.update(digest if i & 1 else p)
        digest = step.digest()
    return _encode(digest)


def _initial_digest(password: bytes, salt: bytes) -> bytes:
    b = sha256(password + salt + password).digest()  # 4-8
    a = sha256(password + salt + _repeat(b, len(password)))  # 1-3, 9-10
    bits = len(password)
    while bits:  # 11
        a.update(b if bits & 1 else password)
        bits >>= 1
    return a.digest()  # 12


def _repeat(block: bytes, size: int) -> bytes:
    return (block * (size // len(block) + 1))[:size]


def _encode(digest: bytes) -> str:
    out: list[str] = []
    a, b, c = 0, 10, 20
    for _ in range(10):  # 22: groups of three bytes, in the paper's order
        word = digest[a] << 16 | digest[b] << 8 | digest[c]
        out.extend(_ALPHABET[word >> shift & 63] for shift in (0, 6, 12, 18))
        a, b, c = c + 1, a + 1, b + 1
    word = digest[31] << 8 | digest[30]
    out.extend(_ALPHABET[word >> shift & 63] for shift in (0, 6, 12))
    return "".join(out)
