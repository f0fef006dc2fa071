"""Places in a server's binary log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Every file begins with four bytes that are no event.
FIRST_OFFSET: Final = 4
# A dump can only be asked for at an offset of four bytes. Files grow longer than that only by one enormous transaction.
MAX_OFFSET: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Position:
    """The start of an event: a log file of one server, and an offset in it. Those of two servers have nothing to do with each other."""

    file: str
    offset: int

    def encode(self) -> str:
        """As one text: `binlog.000042:1234`."""
        return f"{self.file}:{self.offset}"

    @classmethod
    def decode(cls, text: str) -> Position:
        """Read what `encode` gave; raises `ValueError` for anything else."""
        file, colon, offset = text.rpartition(":")
        if not colon or not file or not offset.isdecimal() or not offset.isascii():
            raise ValueError(f"{text!r} is not a position in a binary log")
        return cls(file, int(offset))

    def __str__(self) -> str:
        return self.encode()
