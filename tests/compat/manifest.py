"""What `programs.toml` says: which client programs there are, how each is set up and run."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).parent / "clients"

# Those that may stand at the top of the file, for all its programs, and in a program, for that one.
_SHARED = {"requires", "files", "sources", "setup", "build", "environment", "setup_timeout_s", "timeout_s", "version"}
_OWN = {"name", "run"}

Command = tuple[str, ...]


class BadManifest(ValueError):
    """A `programs.toml` that does not say what it should; the message names the file."""


@dataclass(frozen=True)
class Program:
    """One client program; the fields are the keys of `programs.toml`, as tests/compat/README.md has them."""

    language: str
    heading: str
    source: Path
    name: str
    run: Command
    version: Command
    requires: tuple[str, ...]
    files: tuple[str, ...]
    sources: tuple[str, ...]
    setup: tuple[Command, ...]
    build: tuple[Command, ...]
    environment: Mapping[str, str]
    setup_timeout_s: float
    timeout_s: float

    @property
    def id(self) -> str:
        """What `--only` takes: `python/pymysql`."""
        return f"{self.language}/{self.name}"

    @property
    def prefix(self) -> str:
        """What the names of its tables begin with."""
        return re.sub(r"[^a-z0-9]+", "_", self.id.lower())

    def matches(self, pattern: str) -> bool:
        """Whether `--only PATTERN` means this one: its id, its language, or a pattern of ids."""
        return pattern == self.language or fnmatch(self.id, pattern)


def load_programs(directory: Path = CLIENTS) -> list[Program]:
    """All programs of all languages, in the order of their directories and files."""
    return [program for path in sorted(directory.glob("*/programs.toml")) for program in load_file(path)]


def load_readable(directory: Path = CLIENTS) -> tuple[list[Program], list[BadManifest]]:
    """The programs of all files that can be read, and what is wrong with the others: one language does not stop the rest."""
    programs: list[Program] = []
    faults: list[BadManifest] = []
    for path in sorted(directory.glob("*/programs.toml")):
        try:
            programs += load_file(path)
        except BadManifest as error:
            faults.append(error)
    return programs, faults


def load_file(path: Path) -> list[Program]:
    """The programs of one language."""
    try:
        top = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise BadManifest(f"{path}: {error}") from None
    programs = list(_programs(path, top))
    names = [program.prefix for program in programs]
    if len(set(names)) < len(names):
        raise BadManifest(f"{path}: two programs of one name, or of names that give the same prefix")
    return programs


def _programs(path: Path, top: Mapping[str, Any]) -> Iterator[Program]:
    _known(path, top, {"language", "program", *_SHARED})
    for own in top.get("program", []):
        _known(path, own, _SHARED | _OWN)
        keys = {key: value for key, value in top.items() if key in _SHARED} | own
        try:
            yield Program(
                language=path.parent.name,
                heading=str(top["language"]),
                source=path.parent,
                name=str(own["name"]),
                run=_command(own["run"]),
                version=_command(keys.get("version", [])),
                environment=_strings(top.get("environment", {})) | _strings(own.get("environment", {})),
                requires=tuple(keys.get("requires", [])),
                files=tuple(keys.get("files", [])),
                sources=tuple(keys.get("sources", [])),
                setup=tuple(_command(command) for command in keys.get("setup", [])),
                build=tuple(_command(command) for command in keys.get("build", [])),
                setup_timeout_s=float(keys.get("setup_timeout_s", 1200)),
                timeout_s=float(keys.get("timeout_s", 180)),
            )
        except KeyError as error:
            raise BadManifest(f"{path}: {error.args[0]} is missing") from None


def _known(path: Path, table: Mapping[str, Any], keys: set[str]) -> None:
    if unknown := sorted(set(table) - keys):
        raise BadManifest(f"{path}: unknown keys: {', '.join(unknown)}")


def _command(words: Any) -> Command:
    if not isinstance(words, list):
        raise BadManifest(f"a command is a list of words, not {words!r}")
    return tuple(str(word) for word in words)


def _strings(table: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in table.items()}
