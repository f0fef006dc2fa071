"""The configuration file: every fault at once, secrets from the environment, nothing accepted that cannot work."""

from pathlib import Path

import pytest

from shardproxy.config.loader import load_config, seed_topology
from shardproxy.config.model import Address, ServerUrl
from shardproxy.errors import ConfigError

GOOD = """
[users.app]
password = "env:APP_PASSWORD"
[shards.s0]
primary = "mysql://u:p%40ss@h0:3301/app_0"
[shards.s1]
primary = "sqlite:///s1.db"
weight = 3
[tables.users]
key = "uid"
by = "range"
ranges = [{ to = 100, shard = "s0" }, { shard = "s1" }]
[tables.orders]
key = "uid"
by = "hash"
[tables.countries]
by = "reference"
"""


def _load(tmp_path: Path, text: str) -> list[str]:
    """The faults of a file."""
    file = tmp_path / "shardproxy.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    return refused.value.faults


def test_good_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are resolved and never kept, paths are relative to the file, weights count."""
    monkeypatch.setenv("APP_PASSWORD", "hidden")
    file = tmp_path / "shardproxy.toml"
    file.write_text(GOOD)
    loaded = load_config(file)
    assert loaded.verifiers["app"].check_clear(b"hidden")
    assert "hidden" not in repr(loaded)
    assert loaded.primaries["s0"].password == "p@ss"
    assert "p@ss" not in repr(loaded.primaries)
    assert "p@ss" not in loaded.primaries["s0"].label
    assert loaded.primaries["s1"].path == str(tmp_path / "s1.db")
    topology = seed_topology(loaded.config)
    assert topology.epoch == 1
    assert topology.hash_maps["default"].count("s1") == 3 * topology.hash_maps["default"].count("s0") == 3072


def test_every_fault_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wants to run it ten times."""
    monkeypatch.delenv("APP_PASSWORD", raising=False)
    faults = "\n".join(
        _load(
            tmp_path,
            """
            nonsense = 1
            [proxy]
            listen = "here"
            workers = 700
            socket = ""
            socket_mode = "rw"
            proxy_protocol_networks = ["10.0.0.1/8"]
            [limits]
            pool_size = 0
            typo = 1
            [users.app]
            [shards.s0]
            primary = "mysql://u@h/app"
            weight = -1
            [tables.a]
            by = "hash"
            [tables.b]
            by = "reference"
            key = "x"
            [tables.c]
            by = "wrong"
            """,
        )
    )
    for wanted in (
        "nonsense", "proxy.listen", "proxy.workers", "proxy.socket", "proxy.socket_mode", "proxy.proxy_protocol_networks",
        "limits.pool_size", "limits.typo", "users.app.password", "shards.s0.weight", "tables.a", "tables.b", "tables.c",
    ):  # fmt: skip
        assert wanted in faults, wanted


def test_every_secret_and_url_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second round of checks does not stop at its first fault either."""
    monkeypatch.delenv("APP_PASSWORD", raising=False)
    text = GOOD.replace("mysql://u:p%40ss@h0:3301/app_0", "mysql://nobody/").replace("sqlite:///s1.db", "ftp://x")
    faults = "\n".join(_load(tmp_path, text))
    for wanted in ("users.app.password", "APP_PASSWORD", "shards.s0.primary", "shards.s1.primary"):
        assert wanted in faults, wanted


@pytest.mark.parametrize(
    ("ranges", "fault"),
    [
        ('[{ to = 5, shard = "s0" }, { to = 5, shard = "s1" }]', "grow"),
        ('[{ to = 9, shard = "s0" }, { to = 5, shard = "s1" }]', "grow"),
        ('[{ shard = "s0" }, { to = 5, shard = "s1" }]', "last"),
        ('[{ to = 5, shard = "s0" }, { from = 6, shard = "s1" }]', "gap"),
        ('[{ to = 5, shard = "s0" }, { from = 4, shard = "s1" }]', "overlap"),
        ('[{ to = 5, shard = "s0" }, { to = "x", shard = "s1" }]', "types"),
        ('[{ to = 5, shard = "nowhere" }]', "nowhere"),
        ("[]", "ranges"),
    ],
)
def test_ranges_without_gaps_and_overlaps(tmp_path: Path, ranges: str, fault: str) -> None:
    """A key must have one place and not two."""
    text = GOOD.replace('[{ to = 100, shard = "s0" }, { shard = "s1" }]', ranges)
    assert fault in "\n".join(_load(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[users.app]", "[caches.x.nodes]", "users"),
        ("[shards.s0]", '[shards."0 s"]', "name"),
        ("[users.app]", '[proxy]\ndefault_shard = "s9"\n[users.app]', "s9"),
        ('by = "reference"', 'by = "unsharded"\nshard = "s9"', "s9"),
        ('by = "reference"', 'by = "hash"\nkey = "k"\ngroup = "users"', "group"),
        ("[users.app]", '[proxy.tls]\ncert = "no.crt"\nkey = "no.key"\n[users.app]', "no.crt"),
        ("[users.app]", '[proxy]\nsocket = "nowhere/s"\n[users.app]', "nowhere does not exist"),
        ("[users.app]", f'[proxy]\nsocket = "{"s" * 108}"\n[users.app]', "longer than 107 bytes"),
    ],
)
def test_names_must_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, fault: str) -> None:
    """What one part of the file names, another must have."""
    monkeypatch.setenv("APP_PASSWORD", "x")
    assert fault in "\n".join(_load(tmp_path, GOOD.replace(old, new, 1)))


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, no TOML, no text: each says so."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "nowhere.toml")
    assert "TOML" in _load(tmp_path, "a = = b")[0]
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="TOML"):
        load_config(file)


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "host:99999", ":-1"])
def test_addresses_are_host_and_port(text: str) -> None:
    """Anything else is refused with the text in question."""
    with pytest.raises(ValueError, match="not host:port"):
        Address.parse(text)


def test_urls() -> None:
    """Escapes are undone, defaults filled in, and what is missing is refused."""
    assert ServerUrl.parse("mysql://u%3a:p%2F@h/app").user == "u:"
    assert ServerUrl.parse("mariadb://u@h/app").port == 3306
    assert Address.parse("[::1]:3306").host == "::1"
    for wrong in ("mysql://h/app", "mysql://u@h", "mysql://u@h/a/b", "sqlite://x", "sqlite:///", "postgres://u@h/x", ""):
        with pytest.raises(ValueError, match=r"."):
            ServerUrl.parse(wrong)
