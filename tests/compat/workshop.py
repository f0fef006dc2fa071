"""Makes programs ready to run: their cache directories, what is installed there, and their commands.

What is downloaded stays in a directory named for the manifests and commands that asked for it, so that a run of the
matrix downloads nothing twice and a new lock file never meets what an old one left.
"""

import fcntl
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.compat.manifest import Command, Program
from tests.compat.processes import run_limited

_DONE = ".set-up"
_SEARCHED = "/usr/local/go/bin:/usr/local/bin:/usr/sbin:/sbin"  # where tools are, and a bare PATH often does not look


class NotAvailable(Exception):
    """A program cannot run on this machine; the message says why, in one line."""


def cache_root() -> Path:
    """Where all set-ups are kept."""
    given = os.environ.get("SHARDPROXY_COMPAT_CACHE")
    return Path(given) if given else Path.home() / ".cache/shardproxy/compat"


def prepare(program: Program) -> Path:
    """Set up and build what the program needs; its cache directory."""
    for tool in program.requires:
        if shutil.which(tool, path=_path()) is None:
            raise NotAvailable(f"there is no {tool} on this machine")
    cache = cache_root() / f"{program.language}-{_key(program)}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache.with_suffix(".lock")):
        done = cache / _DONE
        if not done.exists():
            _copy(program.source, program.files, cache)
            for command in program.setup:
                _make(program, command, cache)
            done.touch()
        _copy(program.source, program.sources, cache)
        for command in program.build:
            _make(program, command, cache)
    return cache


def version_of(program: Program, cache: Path) -> str:
    """What its version command prints, or nothing."""
    if not program.version:
        return ""
    done = run_limited(command_line(program, program.version, cache), cache, environment_of(program, cache), 60)
    lines = done.output.strip().splitlines()
    return lines[0].strip() if done.status == 0 and lines else ""


def command_line(program: Program, command: Command, cache: Path) -> list[str]:
    """A command with its placeholders filled in; `./tool` is one in the cache directory."""
    words = [_fill(word, program, cache) for word in command]
    if words[0].startswith("./"):
        words[0] = str(cache / words[0][2:])
    else:
        words[0] = shutil.which(words[0], path=_path()) or words[0]
    return words


def environment_of(program: Program, cache: Path) -> dict[str, str]:
    """The variables that the program's commands see, but for where to connect."""
    own = {key: _fill(value, program, cache) for key, value in program.environment.items()}
    return dict(os.environ) | {"PATH": _path(), "PYTHONDONTWRITEBYTECODE": "1"} | own


def _key(program: Program) -> str:
    digest = hashlib.sha256(repr(program.setup).encode())
    for path in _matching(program.source, program.files):
        digest.update(str(path.relative_to(program.source)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _make(program: Program, command: Command, cache: Path) -> None:
    words = command_line(program, command, cache)
    try:
        done = run_limited(words, cache, environment_of(program, cache), program.setup_timeout_s)
    except OSError as error:
        raise NotAvailable(f"{command[0]}: {error}") from None
    (cache / "last-command.log").write_text(f"{words}\n{done.output}\n{done.errors}")
    if done.status != 0:
        why = "it took too long" if done.timed_out else _last_line(done.errors or done.output) or f"status {done.status}"
        raise NotAvailable(f"{' '.join(command[:3])}: {why}")


def _last_line(text: str) -> str:
    """The line that says most: of several, the last one that speaks of an error. What a mirror's address is helps no reader."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()]
    line = (telling or lines or [""])[-1]
    return re.sub(r" \(?https?://\S+", " …", line)[:300]


def _copy(source: Path, patterns: tuple[str, ...], cache: Path) -> None:
    for path in _matching(source, patterns):
        copy = cache / path.relative_to(source)
        # An unchanged file keeps its time, or compilers would build everything anew.
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            shutil.copymode(path, copy)


def _matching(source: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        for path in sorted(source.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _fill(text: str, program: Program, cache: Path) -> str:
    for name, value in _placeholders(program, cache).items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _placeholders(program: Program, cache: Path) -> Mapping[str, str]:
    return {"cache": str(cache), "source": str(program.source), "python": sys.executable}


def _path() -> str:
    # What users install for themselves comes first, as their shells have it.
    return ":".join([str(Path.home() / ".cargo/bin"), os.environ.get("PATH", os.defpath), _SEARCHED])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two runs at once do not set up the same directory at once."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
