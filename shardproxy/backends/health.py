"""Whether a server is there, and whether it may be used: states and transitions as one table, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """A server's state.

    - UP: it answers.
    - SUSPECT: it has failed, but not often enough to be given up; a primary is still used, a replica is not chosen.
    - DOWN: it does not answer. Its connections are closed, and statements for it fail.
    - PROBING: it answers again, but not often enough to be trusted; nothing is sent to it.
    - DRAINING: an operator wants nothing new to be sent to it.
    - MAINTENANCE: an operator has taken it out; it is not even checked.
    """

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    PROBING = "probing"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"


class Event(Enum):
    """What happens to a server: the outcome of a check, the last one of as many in a row as are needed, or an operator's word."""

    PASSED = "passed"
    FAILED = "failed"
    RISEN = "risen"
    FALLEN = "fallen"
    DRAIN = "drain"
    MAINTAIN = "maintain"
    ENABLE = "enable"


# What is not in the table changes nothing.
TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.UP, Event.FAILED): State.SUSPECT,
    (State.UP, Event.FALLEN): State.DOWN,
    (State.SUSPECT, Event.PASSED): State.UP,
    (State.SUSPECT, Event.RISEN): State.UP,
    (State.SUSPECT, Event.FALLEN): State.DOWN,
    (State.DOWN, Event.PASSED): State.PROBING,
    (State.DOWN, Event.RISEN): State.UP,
    (State.PROBING, Event.FAILED): State.DOWN,
    (State.PROBING, Event.FALLEN): State.DOWN,
    (State.PROBING, Event.RISEN): State.UP,
    (State.DRAINING, Event.ENABLE): State.UP,
    (State.MAINTENANCE, Event.ENABLE): State.PROBING,
    **{(state, Event.DRAIN): State.DRAINING for state in (State.UP, State.SUSPECT)},
    **{(state, Event.MAINTAIN): State.MAINTENANCE for state in State},
}
# States in which a server that has connections keeps them.
OPEN = frozenset((State.UP, State.SUSPECT, State.DRAINING))


@dataclass(slots=True)
class Health:
    """The state of one server and why it is in it. `rise` and `fall` are the checks in a row that bring it back and take it out."""

    state: State = State.UP
    reason: str = ""
    checked: bool = False
    rise: int = 1
    fall: int = 2
    # Checks in a row with the same outcome: positive for passed ones.
    streak: int = 0
    since: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether statements that need this server may be sent to it."""
        return self.state in OPEN

    def observe(self, reason: str, now: float) -> bool:
        """Take in a check that failed for a reason, or passed (""); gives whether the state has changed."""
        self.checked = True
        if reason:
            self.streak = min(self.streak, 0) - 1
            event = Event.FALLEN if -self.streak >= self.fall else Event.FAILED
        else:
            self.streak = max(self.streak, 0) + 1
            event = Event.RISEN if self.streak >= self.rise else Event.PASSED
        if self.state not in (State.DRAINING, State.MAINTENANCE):
            self.reason = reason
        return self.apply(event, now)

    def apply(self, event: Event, now: float) -> bool:
        """Take in an event; gives whether the state has changed."""
        before = self.state
        self.state = TRANSITIONS.get((before, event), before)
        if self.state is before:
            return False
        self.since = now
        if event is Event.ENABLE:
            self.streak = 0
        return True
