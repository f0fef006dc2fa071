"""The docker files hold together: no engine is needed to see that."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
DOCKER = REPO / "docker"
CONFIG = tomllib.loads((DOCKER / "conf/shardproxy.toml").read_text())
KNOWN_INSTRUCTIONS = {
    "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())


def _instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (DOCKER / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def test_dockerfile_uses_known_instructions_and_valid_exec_forms() -> None:
    """A typing error shows up here rather than in a build."""
    for word, rest in _instructions():
        assert word in KNOWN_INSTRUCTIONS
        if "[" in rest:
            assert all(isinstance(part, str) for part in json.loads(rest[rest.index("[") :]))


def test_dockerfile_copies_only_what_exists_and_the_context_lets_through() -> None:
    """A file that is moved, or left out by .dockerignore, breaks the build."""
    allowed = [line[1:] for line in (REPO / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for word, rest in _instructions():
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (REPO / source).exists()
                assert source in allowed


def test_image_does_not_run_as_root() -> None:
    """The last stage ends as another user."""
    users = [rest for word, rest in _instructions() if word == "USER"]
    assert users
    assert users[-1] not in ("root", "0")


def test_image_asks_the_port_that_the_config_names() -> None:
    """The health check and the published ports are those of the config."""
    ports = {CONFIG["proxy"][key].rpartition(":")[2] for key in ("listen", "admin")}
    instructions = dict(_instructions())
    assert set(instructions["EXPOSE"].split()) == ports
    assert f":{CONFIG['proxy']['admin'].rpartition(':')[2]}/healthz" in instructions["HEALTHCHECK"]
    published = COMPOSE["services"]["proxy"]["ports"]
    assert sorted(published) == sorted(f"127.0.0.1:{port}:{port}" for port in ports)


def test_compose_has_a_service_and_a_volume_for_each_shard() -> None:
    """Compose and config name the same shards."""
    shards = set(CONFIG["shards"])
    assert len(shards) == 4
    assert set(COMPOSE["services"]) == shards | {"proxy"}
    assert set(COMPOSE["services"]["proxy"]["depends_on"]) == shards
    for shard in shards:
        assert f"@{shard}:3306/" in CONFIG["shards"][shard]["primary"]
        assert COMPOSE["services"][shard]["volumes"] == [f"{shard}:/var/lib/mysql"]
        assert shard in COMPOSE["volumes"]


@pytest.mark.parametrize("mount", [mount for mount in COMPOSE["services"]["proxy"]["volumes"] if mount.startswith(".")])
def test_compose_mounts_files_that_exist(mount: str) -> None:
    """Docker makes a directory of a mounted file that is missing."""
    assert (DOCKER / mount.split(":")[0]).is_file()
