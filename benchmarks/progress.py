"""Plain lines on stderr that say what a long benchmark is doing; the results alone go to stdout."""

import sys


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)
