"""Where the suites are kept, and how they get there: by the ordinary clients of the registries that publish them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.suites.model import Missing

# What the Python suites import, in an environment of their own: they pin what the project does not.
_PYTHON_PACKAGES = (
    "pytest<8",
    "pytest-asyncio<0.22",  # asyncmy replaces its event loop
    "pytest-timeout",
    "PyMySQL",
    "cryptography",
    "aiomysql",
    "asyncmy",
    "Django==5.2.*",
    "SQLAlchemy",
    "uvloop",
    "mypy",
)
_OUTPUT_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Done:
    """A program that has ended; its status is None if its time ran out."""

    status: int | None
    output: str

    def tail(self, lines: int = 6) -> str:
        """The last lines that say something."""
        return "\n".join([line for line in self.output.splitlines() if line.strip()][-lines:])


def cache_dir() -> Path:
    """$SHARDPROXY_COMPAT_CACHE, or a directory under the user's cache."""
    named = os.environ.get("SHARDPROXY_COMPAT_CACHE")
    path = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shardproxy" / "suites"
    path.mkdir(parents=True, exist_ok=True)
    return path


def run(
    command: Sequence[str | Path],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
) -> Done:
    """Run a program to its end, with everything that it started."""
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=dict(os.environ) | dict(environment or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that children can be ended with it
    )
    try:
        output, _ = process.communicate(stdin.encode(), timeout_s)
        status: int | None = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        status = None
    return Done(status, output[-_OUTPUT_KEPT:].decode(errors="replace"))


def must(command: Sequence[str | Path], *, timeout_s: float = 900, cwd: Path | None = None) -> str:
    """Run a program that has to succeed; what it printed."""
    done = run(command, timeout_s=timeout_s, cwd=cwd)
    if done.status != 0:
        raise Missing(f"{Path(command[0]).name} failed with {done.status}: {done.tail()}")
    return done.output


def debian_packages(*names: str) -> Path:
    """These packages, unpacked but not installed: the directory that stands for `/`."""
    root = cache_dir() / "deb"
    for name in names:
        stamp = root / f".{name}"
        if stamp.exists():
            continue
        if not shutil.which("apt-get"):
            raise Missing(f"unpack the package {name} into {root} and touch {stamp}")
        downloads = cache_dir() / "downloads"
        downloads.mkdir(exist_ok=True)
        must(["apt-get", "-q", "download", name], cwd=downloads)
        (package,) = sorted(downloads.glob(f"{name}_*.deb"))[-1:]
        must(["dpkg", "-x", package, root])
        stamp.write_text(package.name.split("_")[1])
    return root


def debian_version(name: str) -> str:
    """Of a package unpacked before."""
    return (cache_dir() / "deb" / f".{name}").read_text().strip().replace("%3a", ":")


def python() -> Path:
    """The interpreter of the environment that the Python suites share."""
    venv = cache_dir() / "venv"
    stamp = venv / ".packages"
    wanted = "\n".join(_PYTHON_PACKAGES)
    if not stamp.exists() or stamp.read_text() != wanted:
        must([sys.executable, "-m", "venv", venv])
        must([venv / "bin/pip", "install", "-q", *_PYTHON_PACKAGES])
        stamp.write_text(wanted)
    return venv / "bin/python"


def source_distribution(package: str) -> Path:
    """The sources, tests included, of the version that the environment of the Python suites has installed."""
    version = python_version(package)
    root = cache_dir() / "sdist"
    tree = root / f"{package}-{version}"
    if not tree.exists():
        wanted = f"{package}=={version}"
        must([python(), "-m", "pip", "download", "-q", "--no-deps", "--no-binary", package, "-d", root, wanted])
        with tarfile.open(root / f"{package}-{version}.tar.gz") as archive:
            archive.extractall(root, filter="data")
    return tree


def python_version(package: str) -> str:
    """Of a package in the environment of the Python suites."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return must([python(), "-c", code]).split()[-1]


def go_module(path: str) -> tuple[Path, str]:
    """A Go module's sources, and their version."""
    if not shutil.which("go"):
        raise Missing("needs go")
    said = must(["go", "mod", "download", "-json", f"{path}@latest"], cwd=cache_dir())
    module = json.loads(said[said.index("{") :])
    return Path(module["Dir"]), str(module["Version"])


def checkout(name: str, repository: str, needs: str = "") -> Path:
    """Sources that no registry has with their tests: somebody puts them there."""
    path = cache_dir() / "checkouts" / name
    if not path.exists():
        raise Missing(f"put a checkout of {repository} at {path}{', ' + needs if needs else ''}")
    return path


def checkout_version(path: Path) -> str:
    """Its commit, as near a tag as can be."""
    done = run(["git", "describe", "--tags", "--always"], timeout_s=20, cwd=path)
    return done.output.strip() if done.status == 0 else "unknown"
