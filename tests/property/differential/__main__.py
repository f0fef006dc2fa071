"""`python -m tests.property.differential --statements 20000 --seed 1`: compare for as long as you like."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter

from tests.property.differential.lab import own_lab
from tests.property.differential.runner import Finding, run


def main() -> int:
    """Run, print findings as they come, then the counts; 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.property.differential", description=__doc__)
    parser.add_argument("--statements", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-round", type=int, default=500)
    parser.add_argument("--show", type=int, default=3, help="findings of one kind to print in full")
    parser.add_argument("--shrink", action="store_true", help="make findings small; ends the round at each")
    parser.add_argument("--twin", action="store_true", help="compare two servers, without a proxy: checks the comparison itself")
    parser.add_argument("--prepared", action="store_true", help="prepare every statement, with parameters for its literals")
    parser.add_argument("--strays", action="store_true", help="rows lie on shards that do not own them, as in the middle of moves")
    parser.add_argument("--ignore", default="", help="do not print findings whose fault and SQL match this expression")
    parser.add_argument("--refusals", action="store_true", help="print one statement for each refusal")
    options = parser.parse_args()
    shown: Counter[str] = Counter()

    def report(finding: Finding) -> None:
        if options.ignore and re.search(options.ignore, finding.text, re.DOTALL):
            return
        kind = re.sub(r"\d+|'.*'|\(.*\)", "#", finding.fault)[:60]
        shown[kind] += 1
        if shown[kind] <= options.show:
            sys.stdout.write(f"--- {finding.text}\n\n")
            sys.stdout.flush()

    start = time.monotonic()
    with own_lab(twin=options.twin, prepared=options.prepared, strays=options.strays) as lab:
        counts = run(lab, options.seed, options.statements, report, per_round=options.per_round, shrink=options.shrink)
    if options.refusals:
        for message, statement in counts.refusals.items():
            sys.stdout.write(f"refused: {message}\n    {statement}\n")
    sys.stdout.write(f"{counts.summary()}, {time.monotonic() - start:.0f} s\n")
    return 1 if counts.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
