"""`python -m tests.plans`: write down what comes of each statement now. Then read the difference, as a reviewer will."""

import sys
from dataclasses import replace

from tests.plans.cases import FILES, planner_of, read_cases, write_cases


def main() -> None:
    """Rewrite the expectations of every file that has changed."""
    for path in FILES:
        planner = planner_of(path.name)
        before = path.read_text()
        cases = [replace(case, expected=planner.outcome(case.statement)) if case.statement else case for case in read_cases(before)]
        after = write_cases(cases)
        if after != before:
            path.write_text(after)
            sys.stdout.write(f"{path.name} has changed\n")


if __name__ == "__main__":
    main()
