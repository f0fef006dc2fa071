"""Prints the versions of the packages that it is given, as `programs.toml` wants them: one line."""

import sys
from importlib.metadata import version

print(", ".join(version(name) if number == 0 else f"{name} {version(name)}" for number, name in enumerate(sys.argv[1:])))
