"""The command line, and the sizes that `--quick` shrinks."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TARGETS = ("direct", "haproxy", "router", "proxy")


@dataclass(frozen=True, slots=True)
class Options:
    """How much to run. Seconds are per sysbench run; rows and statements are counts."""

    only: tuple[str, ...]
    targets: tuple[str, ...]
    rounds: int
    seconds: int
    threads: int
    tables: int
    table_rows: int
    stream_rows: int
    idle_connections: int
    statements: int
    move_rows: int
    changes: int
    cutovers: int
    record: bool
    profile: bool
    profile_folder: Path | None


FULL_SIZES = {
    "rounds": 3,
    "seconds": 10,
    "tables": 4,
    "table_rows": 10_000,
    "stream_rows": 1_000_000,
    "idle_connections": 2_000,
    "statements": 1_000,
    "move_rows": 400_000,
    "changes": 20_000,
    "cutovers": 100,
}
QUICK_SIZES = {
    "rounds": 1,
    "seconds": 2,
    "tables": 2,
    "table_rows": 2_000,
    "stream_rows": 100_000,
    "idle_connections": 300,
    "statements": 200,
    "move_rows": 20_000,
    "changes": 2_000,
    "cutovers": 6,
}


def parse_options(argv: Sequence[str] | None, case_names: Sequence[str]) -> Options:
    """Read the command line; sizes given there win over those of `--quick`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmark the proxy beside its peers.")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: does it run, not how fast")
    parser.add_argument("--only", action="append", choices=case_names, default=[], help="this case (may be repeated)")
    parser.add_argument(
        "--targets",
        type=_targets,
        default=TARGETS,
        metavar="LIST",
        help=f"comma-separated, out of {', '.join(TARGETS)} (default: all)",
    )
    parser.add_argument("--rounds", type=_positive, help="interleaved rounds whose median is reported")
    parser.add_argument("--seconds", type=_positive, help="length of one sysbench run")
    parser.add_argument("--threads", type=_positive, default=8, help="sysbench threads (default: 8)")
    parser.add_argument("--tables", type=_positive, help="sysbench tables")
    parser.add_argument("--table-rows", type=_positive, help="rows in each sysbench table")
    parser.add_argument("--stream-rows", type=_positive, help="rows of the streamed select")
    parser.add_argument("--idle-connections", type=_positive, help="connections of the idle case")
    parser.add_argument("--statements", type=_positive, help="statements of the scatter and plan-cache cases")
    parser.add_argument("--move-rows", type=_positive, help="rows that a move carries")
    parser.add_argument("--changes", type=_positive, help="changes that the move-tail case brings after the rows")
    parser.add_argument("--cutovers", type=_positive, help="cutovers of the move-pause case")
    parser.add_argument("--record", action="store_true", help="append the tables to benchmarks/RESULTS.md")
    parser.add_argument(
        "--profile",
        nargs="?",
        const="",
        metavar="DIR",
        help="profile point selects in the proxy instead of timing; raw stacks are left in DIR if given",
    )
    given = parser.parse_args(argv)
    sizes = QUICK_SIZES if given.quick else FULL_SIZES
    values = {name: getattr(given, name) or size for name, size in sizes.items()}
    return Options(
        only=tuple(given.only),
        targets=given.targets,
        threads=given.threads,
        record=given.record,
        profile=given.profile is not None,
        profile_folder=Path(given.profile) if given.profile else None,
        **values,
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _targets(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown target {unknown[0]!r}; choose from {', '.join(TARGETS)}")
    return tuple(name for name in TARGETS if name in names)
