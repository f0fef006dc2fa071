"""What the documents show is true of the code."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from shardproxy.config.loader import load_config
from shardproxy.config.model import Limits, ProxySettings, Shard, Table, TlsSettings, User
from shardproxy.errors import CATALOGUE

REPO = Path(__file__).resolve().parents[2]
README = (REPO / "README.md").read_text()
CONFIG = (REPO / "docs/config.md").read_text()
SECTIONS: dict[str, type[BaseModel]] = {
    "[proxy]": ProxySettings,
    "[proxy.tls]": TlsSettings,
    "[limits]": Limits,
    "[users.NAME]": User,
    "[shards.NAME]": Shard,
    "[tables.NAME]": Table,
}


def documented(section: str) -> dict[str, str]:
    """Setting → default, as the section's table has them."""
    text = CONFIG.split(f"# `{section}`", 1)[1].split("\n#", 1)[0]
    return dict(re.findall(r"^\| `(\w+)` \| .* \| (.*?) \|$", text, re.MULTILINE))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_documented_with_its_default(section: str) -> None:
    """And no setting that there is not."""
    shown = documented(section)
    fields = {field.alias or name: field for name, field in SECTIONS[section].model_fields.items() if name != "tls"}
    assert set(shown) == set(fields)
    for name, field in fields.items():
        if field.default not in (PydanticUndefined, None, ()):
            assert shown[name] == f"`{json.dumps(field.default)}`"


def test_config_of_the_readme_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that anybody copies."""
    monkeypatch.setenv("APP_PASSWORD", "secret")
    (tmp_path / "shardproxy.toml").write_text(README.split("```toml\n")[1].split("```")[0])
    assert set(load_config(tmp_path / "shardproxy.toml").config.tables) == {"users", "orders", "countries"}


@pytest.mark.parametrize("document", ["README.md", "docs/config.md", "CHANGELOG.md"])
def test_error_ids_and_links_lead_somewhere(document: str) -> None:
    """Every SP id is in the catalogue, and every relative link is a file."""
    path = REPO / document
    text = path.read_text()
    assert set(re.findall(r"SP\d{4}", text)) <= set(CATALOGUE)
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / link).exists(), link
