"""The command line programs, run to their end."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.proxy import REPO

_MODULES = {"shardproxy": "shardproxy", "shardctl": "shardproxy.cli.ctl"}


def run_program(name: str, *arguments: str | Path, timeout_s: float = 40) -> subprocess.CompletedProcess[str]:
    """Run `shardproxy` or `shardctl` of the tree under test; its exit status and what it printed."""
    command = [sys.executable, "-m", _MODULES[name], *map(str, arguments)]
    environment = dict(os.environ) | {"PYTHONPATH": str(REPO)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout_s, check=False)
