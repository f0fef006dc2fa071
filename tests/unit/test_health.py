"""The states of a server: the table does what its comments say."""

import pytest

from shardproxy.backends.health import OPEN, TRANSITIONS, Event, Health, State


def health_in(state: State) -> Health:
    """A server that is brought back by two checks and taken out by two, and is in that state now."""
    health = Health(rise=2, fall=2)
    health.state = state
    return health


def test_two_failures_in_a_row_take_a_server_out() -> None:
    """One is forgiven."""
    health = Health(rise=2, fall=2)
    assert health.observe("no answer", 1)
    assert health.state is State.SUSPECT
    assert health.usable
    assert health.observe("", 2)
    assert health.state is State.UP
    for now in range(3):
        health.observe("no answer", now)
    assert (health.state, health.reason, health.usable) == (State.DOWN, "no answer", False)
    assert not health.observe("still none", 5)
    assert health.reason == "still none"


def test_a_server_that_returns_is_probed_before_it_is_used() -> None:
    """The second check that passes brings it back; one that fails meanwhile takes it out at once."""
    health = health_in(State.DOWN)
    assert health.observe("", 1)
    assert (health.state, health.usable) == (State.PROBING, False)
    assert health.observe("gone again", 2)
    assert health.state is State.DOWN
    health.observe("", 3)
    health.observe("", 4)
    assert (health.state, health.reason, health.since) == (State.UP, "", 4)


def test_one_check_is_enough_where_that_is_asked_for() -> None:
    """Then there is nothing to probe."""
    health = Health(rise=1, fall=1)
    health.observe("no answer", 1)
    assert health.state is State.DOWN
    health.observe("", 2)
    assert health.state is State.UP


@pytest.mark.parametrize("state", State)
def test_maintenance_is_left_by_an_operator_only(state: State) -> None:
    """From whatever state it was entered; the checks that pass or fail meanwhile change nothing."""
    health = health_in(state)
    health.apply(Event.MAINTAIN, 1)
    for outcome in ("", "", "", "gone", "gone", "gone"):
        health.observe(outcome, 2)
    assert health.state is State.MAINTENANCE
    assert health.apply(Event.ENABLE, 3)
    assert health.state is State.PROBING
    health.observe("", 4)
    health.observe("", 5)
    assert health.state is State.UP


def test_draining_server_keeps_its_connections() -> None:
    """It is out of use for what is new, however its checks go, until an operator wants it back."""
    health = health_in(State.UP)
    assert health.apply(Event.DRAIN, 1)
    for outcome in ("", "gone", "gone", "gone"):
        health.observe(outcome, 2)
    assert (health.state, health.usable) == (State.DRAINING, True)
    assert health.apply(Event.ENABLE, 3)
    assert health.state is State.UP


def test_the_table_names_no_way_into_use_but_by_checks_or_an_operator() -> None:
    """What is closed opens by checks in a row, or for one who drains nothing."""
    opening = {event for (before, event), after in TRANSITIONS.items() if before not in OPEN and after in OPEN}
    assert opening == {Event.RISEN}
