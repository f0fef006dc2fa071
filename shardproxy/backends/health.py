"""Whether a server is there: states and transitions as a table, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """A server's state. Statements go to UP and SUSPECT servers; a DOWN one fails them at once."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"


class Check(Enum):
    """The outcome of a check."""

    PASSED = "passed"
    FAILED = "failed"


# One failed check makes a server suspect, a second one in a row takes it out; one that passes brings it back.
TRANSITIONS: dict[tuple[State, Check], State] = {
    (State.UP, Check.PASSED): State.UP,
    (State.UP, Check.FAILED): State.SUSPECT,
    (State.SUSPECT, Check.PASSED): State.UP,
    (State.SUSPECT, Check.FAILED): State.DOWN,
    (State.DOWN, Check.PASSED): State.UP,
    (State.DOWN, Check.FAILED): State.DOWN,
}


@dataclass(slots=True)
class Health:
    """The state of one server and why it is in it."""

    state: State = State.UP
    reason: str = ""
    checked: bool = False

    def observe(self, check: Check, reason: str = "") -> bool:
        """Take in a check; gives whether the state has changed."""
        before = self.state
        self.state = TRANSITIONS[before, check]
        self.reason = reason if check is Check.FAILED else ""
        self.checked = True
        return self.state is not before
