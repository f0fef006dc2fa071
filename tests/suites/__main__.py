"""`python -m tests.suites`: run other people's tests directly and through the proxy, and say where they differ."""

from __future__ import annotations

import argparse
import fnmatch
import signal
import sys
import time
from collections.abc import Sequence
from typing import get_args

from tests.suites import report, sharding, store
from tests.suites.model import BASES, Missing, Side, Suite
from tests.suites.registry import SUITES
from tests.suites.sides import target


def main() -> int:
    """The program; its exit status is 1 if a test passes directly and not through the proxy, without a reason."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what runs is ended too
    options = _options()
    suites = [suite for suite in SUITES if not options.suite or suite.name in options.suite]
    for suite in suites if not options.report else []:
        try:
            version = suite.prepare()
        except (Missing, FileNotFoundError) as missing:
            _say(f"{suite.name}: not run: {missing}")
            continue
        if options.tables:
            for side in [side for side in sharding.SHARDED if options.side in (None, side)]:
                _learn(suite, side)
            continue
        for side in sharding.sides(suite):
            if options.side in (None, side):
                _run(suite, side, version, options.names, fresh=options.fresh)
    reasons = report.read_reasons()
    comparisons = [
        report.compare(suite, reasons, side)
        for suite in (SUITES if options.write else suites)
        for side in sharding.sides(suite)
        if side in BASES and (options.write or options.side in (None, side))
    ]
    for comparison in comparisons:
        _say(comparison.summary())
        for name, note in comparison.unexplained.items() if options.verbose else ():
            _say(f"  {name}: {note}")
    if options.write:
        report.write([comparison for comparison in comparisons if comparison.total])
    return 1 if any(comparison.unexplained for comparison in comparisons) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.suites", description=__doc__)
    parser.add_argument("--suite", action="append", choices=[suite.name for suite in SUITES], help="only this one; may be repeated")
    parser.add_argument("--names", nargs="*", default=[], help="only these tests; * and ? stand for any characters")
    parser.add_argument("--side", choices=get_args(Side), help="only this side")
    parser.add_argument("--fresh", action="store_true", help="run the direct side again even if its results are kept")
    parser.add_argument("--tables", action="store_true", help="run directly, only to list the tables for the sharded side anew")
    parser.add_argument("--report", action="store_true", help="run nothing; compare what is kept")
    parser.add_argument("--write", action="store_true", help="write docs/conformance.md from all results that are kept")
    parser.add_argument("--verbose", "-v", action="store_true", help="say what failed tests said")
    return parser.parse_args()


def _run(suite: Suite, side: Side, version: str, patterns: Sequence[str], *, fresh: bool) -> None:
    kept = store.load(suite.name, side)
    base = BASES.get(side)
    goes_on = base is None and not fresh and not patterns and kept.version == version
    if goes_on and kept.whole:
        return
    started = time.monotonic()
    with target(suite, side) as place:
        listed = suite.names(place)
        if base is not None:
            names = store.load(suite.name, base).passed
        else:
            names = [name for name in listed or kept.results if not (goes_on and name in kept.results)]
        if patterns:
            names = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
        if not names and (patterns or listed):
            return
        run = kept if goes_on or patterns else store.Run()
        run.version, run.server = version, place.backend.execute("SELECT VERSION()")[0][0]
        whole = base is None and not listed and not patterns
        for number, (name, result) in enumerate(suite.run(place, [] if whole else names), 1):
            run.results[name] = result
            if number % 25 == 0:
                store.save(suite.name, side, run)
                _say(f"{suite.name} {side}: {number} run, {len(run.passed)} passed, {time.monotonic() - started:.0f} s")
        run.whole = run.whole or not patterns
        store.save(suite.name, side, run)
    _say(f"{suite.name} {side}: {len(run.passed)} of {len(run.results)} passed, {time.monotonic() - started:.0f} s")


def _learn(suite: Suite, side: Side) -> None:
    with target(suite, sharding.SHARDED[side]) as place:
        sharding.listen(place.backend)
        run = sum(1 for _ in suite.run(place, suite.names(place)))
        _say(f"{suite.name} {side}: {run} run, {sharding.learn(suite, place, side)} tables listed")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
