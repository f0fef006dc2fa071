"""The runner of foreign suites: what it compares, what it reports, and how it listens in."""

from pathlib import Path

import pytest

from tests.suites import report, store
from tests.suites.model import Result, Suite
from tests.suites.registry import SUITES
from tests.suites.report import Reason
from tests.suites.tap import _Packets

SUITE = Suite("drivers", title="Drivers", about="some tests")
BOTH = {"a": Result("pass"), "b": Result("pass"), "c": Result("pass"), "d": Result("fail", "a fault of its own"), "e": Result("pass")}
PROXY = {"a": Result("pass"), "b": Result("fail", "SP1014: not for you"), "c": Result("fail", "odd"), "d": Result("pass")}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of both sides in a cache of their own."""
    monkeypatch.setenv("SHARDPROXY_COMPAT_CACHE", str(tmp_path))
    store.save("drivers", "direct", store.Run("drivers 1.0", "10.11.6-MariaDB", True, BOTH))
    store.save("drivers", "proxy", store.Run("drivers 1.0", "10.11.6-MariaDB", True, PROXY))


def test_only_what_passes_directly_counts(kept: None) -> None:
    """A test that fails directly is not held against the proxy, nor for it; one that did not come to an end is."""
    found = report.compare(SUITE, [Reason("users are the proxy's own", message="SP1014")])
    assert (found.total, found.passed, found.ratio) == (4, 1, "25.0 %")
    assert [*found.explained.values()] == [["b"]]
    assert found.unexplained == {"c": "odd", "e": "did not run"}


@pytest.mark.parametrize(
    ("reason", "fits"),
    [
        (Reason("x"), True),
        (Reason("x", suite="driv*"), True),
        (Reason("x", suite="tools"), False),
        (Reason("x", tests=("z", "b*")), True),
        (Reason("x", tests=("z",)), False),
        (Reason("x", message=r"SP\d+"), True),
        (Reason("x", tests=("b",), message="SP1015"), False),
    ],
)
def test_reason_is_known_by_names_and_messages(reason: Reason, fits: bool) -> None:
    """All that a reason says has to hold."""
    assert reason.fits("drivers", "b", "SP1014: no") is fits


def test_page_names_every_difference(kept: None, tmp_path: Path) -> None:
    """With its reason, or without."""
    page = tmp_path / "conformance.md"
    report.write([report.compare(SUITE, [Reason("users are the proxy's own", message="SP1014")])], page)
    text = page.read_text()
    assert "| Drivers | some tests | 4 | 1 | 25.0 % |" in text
    assert "MariaDB 10.11.6" in text
    assert "- users are the proxy's own: `b`" in text
    assert "- without a reason so far: 2 × `c`, `e`" in text


def test_reasons_are_of_suites_that_there_are() -> None:
    """A suite that is renamed takes its reasons along."""
    names = [suite.name for suite in SUITES]
    assert len(set(names)) == len(names)
    for reason in report.read_reasons():
        assert any(Reason("", suite=reason.suite).fits(name, "", "") for name in names), reason


def test_tap_finds_packets_however_they_are_cut() -> None:
    """Byte by byte, all at once, and with a packet without content."""
    stream = b"\x03\x00\x00\x00\x03ab" + b"\x00\x00\x00\x01" + b"\x01\x00\x00\x02\xff"
    for step in (1, 2, 5, len(stream)):
        found: list[tuple[int, bytes]] = []
        packets = _Packets(lambda sequence, payload, found=found: found.append((sequence, payload)))  # type: ignore[misc]  # bound now
        for start in range(0, len(stream), step):
            packets.feed(stream[start : start + step])
        assert found == [(0, b"\x03ab"), (1, b""), (2, b"\xff")]
