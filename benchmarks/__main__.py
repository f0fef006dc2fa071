"""`python -m benchmarks`: run the cases, print their tables, and record them when asked."""

import signal
import sys
from types import FrameType

import pymysql

from benchmarks import machine, profile, report
from benchmarks.cases import CASES
from benchmarks.errors import BenchmarkError
from benchmarks.lab import Lab, open_lab
from benchmarks.options import parse_options
from benchmarks.progress import say
from benchmarks.report import Table


def main() -> int:
    """Run the wanted cases. Exit codes: 0 done, 1 a case failed, 2 usage."""
    options = parse_options(None, list(CASES))
    signal.signal(signal.SIGTERM, _end)
    facts = machine.facts(machine.command_arguments())
    print("\n".join(f"- {name}: {value}" for name, value in facts), end="\n\n", flush=True)
    tables: list[Table] = []
    failed: list[str] = []
    with open_lab(options) as lab:
        if options.profile:
            _run_into(tables, failed, "profile", lab)
        else:
            for name in options.only or CASES:
                _run_into(tables, failed, name, lab)
    if options.record and tables:
        say(f"recorded in {report.record(tables, facts)}")
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def _run_into(tables: list[Table], failed: list[str], name: str, lab: Lab) -> None:
    """Run a case and print what it found; a case that fails leaves the others their turn."""
    say(f"{name}: starting")
    try:
        found = profile.measure(lab) if name == "profile" else CASES[name](lab)
    except (BenchmarkError, OSError, pymysql.Error) as error:
        failed.append(name)
        say(f"{name}: {error}\n{lab.proxy_log_tail()}")
        return
    found = [found] if isinstance(found, Table) else found
    for table in found:
        print(table.markdown(), flush=True)
    tables.extend(found)


def _end(_signal: int, _frame: FrameType | None) -> None:
    """Leave by the front door, so that the servers are taken down."""
    raise SystemExit(1)


if __name__ == "__main__":
    sys.exit(main())
