"""What ends a step of a move, and what that means for the move."""

from __future__ import annotations


class MoveError(Exception):
    """Root of what goes wrong in a move; the text is shown to the operator."""


class MoveRefused(MoveError):
    """A check before the move says that it cannot be carried out as things are; nothing was changed. `reasons` has every one."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__("; ".join(reasons))


class MoveFailed(MoveError):
    """The move cannot go on: it is given up, and what it has brought to the target is taken away again."""


class MoveBlocked(MoveError):
    """The cutover cannot be done now. The share stays where it is, and it is tried again later."""


class Restart(MoveError):
    """What was copied is of no use any more (the binary log is gone, the source was replaced, a table was changed): copy again."""


class Replaced(MoveError):
    """Another mover acts now: this one must not do anything more."""
