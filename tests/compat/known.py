"""The failures that are known: `known.toml`, each with its reason."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

_FILE = Path(__file__).with_name("known.toml")


@dataclass(frozen=True)
class Known:
    """A check that fails through the proxy or another one; `program` is a pattern of ids, `targets` those where it fails."""

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


def explained(known: Sequence[Known], program: str, check: str, target: str, error: str) -> str:
    """A failure for readers: where it has a reason, that one and the proxy's ids, for every driver words the same error in its own way."""
    reasons = [entry.reason for entry in known if entry.covers(program, check, target)]
    if not reasons:
        return error
    ids = sorted(set(re.findall(r"\bSP\d{4}\b", error)))
    return f"{reasons[0]} ({', '.join(ids)})" if ids else reasons[0]


def _entries(path: Path) -> Iterator[Known]:
    for entry in tomllib.loads(path.read_text()).get("known", []):
        programs = entry["program"] if isinstance(entry["program"], list) else [entry["program"]]
        checks = entry["check"] if isinstance(entry["check"], list) else [entry["check"]]
        for program in programs:
            for check in checks:
                yield Known(program, check, tuple(entry["targets"]), entry["reason"])
