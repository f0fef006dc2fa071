"""Sharded equals unsharded, for a bounded number of generated statements. More: `python -m tests.property.differential`."""

import pytest

from tests.conftest import Shards
from tests.property.differential.lab import lab_over
from tests.property.differential.runner import Finding, run

# What may be refused of the statements that a single server takes. Over 20 000 statements it is less than one in a hundred; a
# few schemas alone may hold more of the columns that cannot be merged.
_REFUSED_AT_MOST = 0.03


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 1001, 2001])
def test_generated_statements_are_answered_alike(shards: Shards, seed: int) -> None:
    """1 000 statements from each seed: none answered wrongly, hardly any refused."""
    findings: list[Finding] = []
    with lab_over(shards) as lab:
        counts = run(lab, seed, 1000, findings.append, per_round=250)
    assert not findings, f"{counts.summary()}\n\n{findings[0].text}"
    assert counts.refused_share <= _REFUSED_AT_MOST, f"{counts.summary()}\n{counts.refusals}"


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("prepared", [False, True], ids=["text", "prepared"])
def test_rows_are_met_once_while_they_are_moved(shards: Shards, prepared: bool) -> None:
    """The same while every sharded table has rows on shards that do not own them; and these stay as they are."""
    findings: list[Finding] = []
    with lab_over(shards, prepared=prepared, strays=True) as lab:
        counts = run(lab, 5001, 600 if prepared else 1000, findings.append, per_round=200, shrink=False)
        assert lab.strays is not None
        assert lab.strays.rows > 300
    assert not findings, f"{counts.summary()}\n\n{findings[0].text}"
    assert counts.refused_share <= _REFUSED_AT_MOST, f"{counts.summary()}\n{counts.refusals}"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_generated_statements_are_answered_alike_by_the_binary_protocol(shards: Shards) -> None:
    """The same where they are prepared, with parameters of fitting types in the place of literals."""
    findings: list[Finding] = []
    with lab_over(shards, prepared=True) as lab:
        counts = run(lab, 1, 600, findings.append, per_round=200, shrink=False)
    assert not findings, f"{counts.summary()}\n\n{findings[0].text}"
    assert counts.refused_share <= _REFUSED_AT_MOST, f"{counts.summary()}\n{counts.refusals}"
