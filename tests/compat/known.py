"""The failures that are known: `known.toml`, each with its reason."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

_FILE = Path(__file__).with_name("known.toml")


@dataclass(frozen=True)
class Known:
    """A check that fails through the proxy; `program` is a pattern of ids, `targets` those where it fails."""

    program: str
    check: str
    targets: tuple[str, ...]
    reason: str

    def covers(self, program: str, check: str, target: str) -> bool:
        """Whether this is about that failure."""
        return fnmatch(program, self.program) and check == self.check and target in self.targets


def load_known(path: Path = _FILE) -> list[Known]:
    """All entries."""
    return list(_entries(path))


def _entries(path: Path) -> Iterator[Known]:
    for entry in tomllib.loads(path.read_text()).get("known", []):
        programs = entry["program"] if isinstance(entry["program"], list) else [entry["program"]]
        checks = entry["check"] if isinstance(entry["check"], list) else [entry["check"]]
        for program in programs:
            for check in checks:
                yield Known(program, check, tuple(entry["targets"]), entry["reason"])
