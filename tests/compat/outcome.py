"""Runs one program against one target, and reads what it says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.compat.manifest import Program
from tests.compat.processes import Done, run_limited
from tests.compat.targets import Target
from tests.compat.workshop import command_line, environment_of

# What tests/compat/README.md describes, in its order.
CHECKS = (
    "connect",
    "connect_sha2",
    "connect_tls",
    "connect_socket",
    "types_text",
    "types_prepared",
    "unicode",
    "prepared",
    "transactions",
    "batch",
    "keys",
    "stream",
    "large",
    "errors",
    "reset",
    "pool",
    "kill",
    "multi",
    "infile",
    "compress",
    "orm_schema",
    "orm_use",
)
OK, FAIL, SKIP = "ok", "fail", "skip"


@dataclass(frozen=True)
class Verdict:
    """What one check came to; `detail` is the error, or why it was left out."""

    status: str
    detail: str = ""


@dataclass
class Outcome:
    """What one program came to on one target."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    seconds: float = 0.0
    trouble: str = ""  # it did not come to its end, or printed what is no check

    def verdict(self, check: str) -> Verdict:
        """Of a check that was not reported: it failed if the program broke off, else the program does not have it."""
        if check in self.verdicts:
            return self.verdicts[check]
        return Verdict(FAIL, self.trouble) if self.trouble else Verdict(SKIP, "the program does not check it")


def run_program(program: Program, target: Target, cache: Path) -> Outcome:
    """One run, within the program's time limit."""
    return run_command(program, command_line(program, program.run, cache), cache, environment_of(program, cache), target)


def run_command(program: Program, command: list[str], directory: Path, environment: Mapping[str, str], target: Target) -> Outcome:
    """Likewise, by a command other than the manifest's."""
    variables = dict(environment) | target.environment(program.prefix)
    try:
        done = run_limited(command, directory, variables, program.timeout_s)
    except OSError as error:
        return Outcome(trouble=f"{command[0]}: {error}")
    verdicts = dict(_verdicts(done.output))
    return Outcome(verdicts, done.seconds, _trouble(done, verdicts, program.timeout_s))


def _verdicts(output: str) -> Iterator[tuple[str, Verdict]]:
    for line in output.splitlines():
        name, _, rest = line.partition("\t")
        status, _, detail = rest.partition("\t")
        if name in CHECKS and status in (OK, FAIL, SKIP):
            yield name, Verdict(status, detail.strip())


def _trouble(done: Done, verdicts: Mapping[str, Verdict], timeout_s: float) -> str:
    after = f" after {list(verdicts)[-1]}" if verdicts else ""
    if done.timed_out:
        return f"not done within {timeout_s:g} s{after}"
    if done.status != 0:
        last = [line for line in (done.errors or done.output).splitlines() if line.strip()][-1:] or [""]
        return f"ended with status {done.status}{after}: {last[0].strip()[:300]}"
    return "" if verdicts else "it printed no checks"
