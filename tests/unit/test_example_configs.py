"""Every config file in the repository is one that the proxy would take."""

from pathlib import Path

import pytest

from shardproxy.config.loader import load_config

REPO = Path(__file__).resolve().parents[2]
EXAMPLES = sorted([*(REPO / "schemas").rglob("*.toml"), *(REPO / "docker/conf").glob("*.toml")])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(REPO)))
def test_example_config_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the secrets that it takes from the environment set, nothing is found wrong with it."""
    for line in path.read_text().splitlines():
        if '"env:' in line:
            monkeypatch.setenv(line.split('"env:')[1].split('"')[0], "secret")
    load_config(path)
