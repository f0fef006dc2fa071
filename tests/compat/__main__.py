"""`python -m tests.compat`: run the matrix, print it, and write docs/compatibility.md when asked."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tests.compat import report, results
from tests.compat.known import load_known
from tests.compat.manifest import Program, load_readable
from tests.compat.options import Options, parse_options
from tests.compat.outcome import run_program
from tests.compat.results import Row
from tests.compat.targets import Lab, Target, open_lab
from tests.compat.workshop import NotAvailable, cache_root, prepare, version_of
from tests.support.proxy import REPO

_DOCUMENT = REPO / "docs/compatibility.md"


def main() -> int:
    """Run what is wanted. Exit codes: 0 done, 1 something fails through the proxy that is not known to, 2 usage."""
    options = parse_options(None)
    signal.signal(signal.SIGTERM, _end)
    programs = _chosen(options)
    if not programs:
        print("No program is called that; --list names them.", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(program.id for program in programs))
        return 0
    with open_lab(programs) as lab:
        rows = []
        for program in programs:
            rows.append(_row(program, options, lab))
            if not options.against or options.against.label:
                results.keep(_store(), rows[-1])
    _show(rows, options)
    unknown = _unknown_failures(rows, options.targets)
    if unknown:
        print("\nFails through the proxy, and is not in known.toml:\n" + "\n".join(unknown))
    return 1 if unknown else 0


def _store() -> Path:
    return cache_root() / "results.json"


def _chosen(options: Options) -> list[Program]:
    programs, faults = load_readable()
    for fault in faults:
        print(fault, file=sys.stderr)
    return [program for program in programs if not options.only or any(program.matches(pattern) for pattern in options.only)]


def _row(program: Program, options: Options, lab: Lab) -> Row:
    """Run one program everywhere; whatever goes wrong is what its row says."""
    row = Row.of(program)
    try:
        cache = prepare(program)
    except NotAvailable as error:
        row.unavailable = str(error)
        print(f"{program.id:32} not available here: {error}", flush=True)
        return row
    row.version = version_of(program, cache)
    for name in options.targets:
        try:
            target = options.against or lab.target(name)
        except (FileNotFoundError, RuntimeError) as error:
            print(f"{program.id:32} {name:12} has no server: {error}", flush=True)
            continue
        _run(program, target, cache, row, options)
    return row


def _run(program: Program, target: Target, cache: Path, row: Row, options: Options) -> None:
    outcome = run_program(program, target, cache)
    row.add(target.name, outcome, target.label)
    print(report.summary(program.id, target.name, outcome), flush=True)
    if options.verbose:
        print(report.details(outcome), flush=True)


def _show(rows: Sequence[Row], options: Options) -> None:
    """The table; and everything found so far into the document, when asked."""
    print("\n" + report.terminal_table(rows, options.targets))
    if options.write:
        present = {program.id for program in load_readable()[0]}
        kept = results.load(_store())
        _DOCUMENT.write_text(report.document([row for key, row in kept.items() if key in present], load_known()))
        print(f"\nwrote {_DOCUMENT.relative_to(REPO)}")


def _unknown_failures(rows: Sequence[Row], targets: Sequence[str]) -> list[str]:
    known = load_known()
    return [
        f"  {row.id} {check} on {target}: {verdict.detail}"
        for row in rows
        for target, check, verdict in row.worse_behind_the_proxy(targets)
        if not any(entry.covers(row.id, check, target) for entry in known)
    ]


def _end(_signal: int, _frame: FrameType | None) -> None:
    """Leave by the front door, so that servers and clients are taken down."""
    raise SystemExit(1)


if __name__ == "__main__":
    sys.exit(main())
