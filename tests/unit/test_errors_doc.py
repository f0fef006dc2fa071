"""docs/errors.md is what the catalogue says."""

from pathlib import Path

import pytest

from shardproxy.cli.errors_doc import ADVICE, errors_text, main
from shardproxy.errors import CATALOGUE

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/errors.md"


def test_document_is_not_behind_the_catalogue() -> None:
    """`python -m shardproxy.cli.errors_doc docs/errors.md` writes it."""
    assert main(["--check", str(DOCUMENT)]) == 0


def test_every_error_has_a_row_and_advice_is_for_errors_that_exist() -> None:
    """No chapter is forgotten."""
    rows = [line for line in errors_text().splitlines() if line.startswith("| SP")]
    assert [row[2:8] for row in rows] == list(CATALOGUE)
    assert set(ADVICE) <= set(CATALOGUE)


def test_a_document_that_has_drifted_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a missing one."""
    document = tmp_path / "errors.md"
    assert main(["--check", str(document)]) == 1
    assert main([str(document)]) == 0
    document.write_text(document.read_text().replace("1045", "1046"))
    assert main(["--check", str(document)]) == 1
    assert "differs from the catalogue" in capsys.readouterr().err
