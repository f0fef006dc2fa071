"""The states of a server: the table is whole, and does what its comment says."""

import itertools

from shardproxy.backends.health import TRANSITIONS, Check, Health, State


def test_every_state_has_an_answer_to_every_check() -> None:
    """No combination raises a KeyError at night."""
    assert set(TRANSITIONS) == set(itertools.product(State, Check))


def test_two_failures_in_a_row_take_a_server_out() -> None:
    """One is forgiven, and one success brings it back from anywhere."""
    health = Health()
    assert health.observe(Check.FAILED, "no answer")
    assert health.state is State.SUSPECT
    assert health.observe(Check.PASSED)
    assert health.state is State.UP
    for _ in range(3):
        health.observe(Check.FAILED, "no answer")
    assert (health.state, health.reason) == (State.DOWN, "no answer")
    assert not health.observe(Check.FAILED, "still none")
    assert health.reason == "still none"
    assert health.observe(Check.PASSED)
    assert (health.state, health.reason) == (State.UP, "")
