"""What a benchmark raises when it cannot be carried out."""


class BenchmarkError(Exception):
    """A tool is missing, a server did not start, or an answer was wrong: the message says which."""
