"""Some of the fault matrix; the whole of it is run by `make faults`."""

from __future__ import annotations

import pytest

from tests.moves.faults import Case, carry_out, short_cases
from tests.support.servers import DatabaseServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.parametrize("case", short_cases(), ids=lambda case: case.name)
def test_nothing_is_lost_or_left_behind(move_servers: dict[str, DatabaseServer], case: Case) -> None:
    servers = {name: move_servers[name] for name in ("s0", "s1", "s2")}
    outcome = carry_out(case, servers, rows=1200)
    assert not outcome.problem, outcome.problem
