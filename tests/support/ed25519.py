"""client_ed25519 as a client does it, in plain Python: slow, and open to whoever can measure the time it takes.

The curve is that of RFC 8032; what differs is that the key is made from the hash of a password of any length.
"""

import base64
import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def stored_key(password: bytes) -> str:
    """What mysql.user holds: the public key in 43 characters."""
    return base64.b64encode(_pack(_times(_scalar(password)[0], _BASE))).decode().rstrip("=")


def sign(password: bytes, nonce: bytes) -> bytes:
    """The answer to an authentication switch."""
    scalar, prefix = _scalar(password)
    public = _pack(_times(scalar, _BASE))
    r = _hash(prefix + nonce) % ORDER
    first = _pack(_times(r, _BASE))
    return first + ((r + _hash(first + public + nonce) * scalar) % ORDER).to_bytes(32, "little")


def _scalar(password: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(password).digest()
    return int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | 1 << 254, digest[32:]


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little")


def _add(a: Point, b: Point) -> Point:
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P)
    return x % P, y % P


def _times(factor: int, point: Point) -> Point:
    result = (0, 1)
    while factor:
        if factor & 1:
            result = _add(result, point)
        point = _add(point, point)
        factor >>= 1
    return result


def _pack(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def _base() -> Point:
    y = 4 * pow(5, -1, P) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P)
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return P - x if x & 1 else x, y


_BASE = _base()
