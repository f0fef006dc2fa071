"""The bucket of a key in a hash-sharded table.

`bucket = first 32 bits of SHA-256(canonical key) mod 4096`. MySQL and MariaDB compute the same in SQL:
`CONV(SUBSTR(SHA2(k, 256), 1, 8), 16, 10) MOD 4096`, which checks, guards and clean-up on the nodes themselves rely on. The
function is frozen: changing it would misplace every row that was ever written.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

BUCKETS: Final = 4096


def bucket_of(canonical: bytes) -> int:
    """The bucket, 0 to 4095, of a key in its canonical form (see `keys`)."""
    digest = sha256(canonical).digest()
    # 4096 divides 2^32, so the last 12 of the first 32 bits are the remainder.
    return (digest[2] & 0x0F) << 8 | digest[3]
