"""What runs of the matrix found, kept from run to run: a matrix is long, and is often run language by language."""

import datetime
import fcntl
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.compat.manifest import Program
from tests.compat.outcome import CHECKS, FAIL, OK, SKIP, Outcome, Verdict

# Each pair: what the server itself gives, and the proxy before servers of that kind.
PAIRS = {"direct": ("proxy", "sharded"), "mysql": ("mysql-proxy",)}
# Other proxies, and what stands behind them; those of `--as` have what `direct` is.
PEERS = {"router": "direct", "mysql-router": "mysql"}


@dataclass
class Row:
    """One program: its version, and what it came to on each target; or why it is not available here."""

    id: str
    heading: str
    version: str = ""
    unavailable: str = ""
    day: str = ""
    targets: dict[str, dict[str, Verdict]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)  # of targets that are other proxies

    @classmethod
    def of(cls, program: Program) -> "Row":
        """An empty row for a program."""
        return cls(program.id, program.heading, day=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"))

    @property
    def name(self) -> str:
        """The program's name within its language."""
        return self.id.partition("/")[2]

    def add(self, target: str, outcome: Outcome, label: str = "") -> None:
        """Take what one run gave; the label says what another proxy is."""
        self.targets[target] = {check: outcome.verdict(check) for check in CHECKS}
        if label:
            self.labels[target] = label

    def worse_behind_the_proxy(self, targets: Sequence[str]) -> Iterator[tuple[str, str, Verdict]]:
        """Target, check and error of what fails on these targets through the proxy and not on the server itself."""
        for base, others in PAIRS.items():
            for target in [other for other in others if other in targets]:
                for check, verdict in self.targets.get(target, {}).items():
                    itself = self.targets.get(base, {}).get(check)
                    if verdict.status == FAIL and (itself is None or itself.status != FAIL):
                        yield target, check, verdict
                    elif verdict.status == SKIP and itself is not None and itself.status == OK and not _may_be_left_out(check):
                        yield target, check, Verdict(FAIL, f"left out: {verdict.detail}")

    def compared(self, base: str, target: str) -> dict[str, Verdict]:
        """What becomes on a target of the checks that pass on the server itself, but for those it does not offer."""
        return {
            check: verdict
            for check, verdict in self.targets.get(target, {}).items()
            if self.targets[base][check].status == OK and not (verdict.status == SKIP and _may_be_left_out(check))
        }


def _may_be_left_out(check: str) -> bool:
    # There is no socket, or no such user, unless the target offers it.
    return check in ("connect_socket", "connect_sha2")


def load(path: Path) -> dict[str, Row]:
    """What earlier runs left; nothing where there were none, or where they wrote another format."""
    try:
        return {key: _row(value) for key, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def save(path: Path, rows: dict[str, Row]) -> None:
    """Keep them for the next run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps({key: asdict(row) for key, row in sorted(rows.items())}, indent=1))
    new.replace(path)


def keep(path: Path, row: Row) -> None:
    """Add one row to what is kept; other runs may do the same at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = load(path)
        save(path, rows | {row.id: merge(rows.get(row.id), row)})


def merge(old: Row | None, new: Row) -> Row:
    """The new row, with the targets of the old one that were not run again; another version is another program."""
    if old is None or old.version != new.version:
        return new
    return replace(new, targets=old.targets | new.targets, labels=old.labels | new.labels)


def _row(value: dict[str, Any]) -> Row:
    targets = {
        target: {check: Verdict(**verdict) for check, verdict in verdicts.items() if check in CHECKS}
        for target, verdicts in value.pop("targets").items()
    }
    return Row(**value, targets=targets)
