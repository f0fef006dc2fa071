"""What other proxies make of the programs, beside ours: the last part of docs/compatibility.md."""

from collections.abc import Sequence

from tests.compat.known import Known, explained
from tests.compat.notes import Notes, plain
from tests.compat.outcome import OK
from tests.compat.results import PAIRS, PEERS, Row

_INTRODUCTION = """\
## Beside other proxies

The same programs through other proxies, each before one server of the same kind and with the settings that its manual gives as
defaults (MySQL Router: static routing, with a certificate). They do not shard, so ours has all tables on one shard here. Counted
are the checks that pass on the server itself; those that do not pass behind the proxy are named.
"""
_NO_PROXYSQL = """\
ProxySQL is not measured: none of the registries that the matrix takes its packages from has it, Debian's included. To add one
that runs: `python -m tests.compat --against HOST:PORT --as 'ProxySQL VERSION' --write`.
"""
_SERVERS = {"direct": "MariaDB itself", "mysql": "MySQL itself"}


def comparison(rows: Sequence[Row], known: Sequence[Known]) -> str:
    """A table for each kind of server that another proxy was measured before; nothing where none was."""
    tables = [_table(base, [row for row in rows if base in row.targets], known) for base in PAIRS]
    measured = any(tables)
    has_proxysql = any(label.lower().startswith("proxysql") for row in rows for label in row.labels.values())
    return "\n".join([_INTRODUCTION, *filter(None, tables), *([] if has_proxysql else [_NO_PROXYSQL])]) if measured else ""


def _table(base: str, rows: Sequence[Row], known: Sequence[Known]) -> str:
    peers = sorted({target for row in rows for target in row.labels if PEERS.get(target, "direct") == base})
    if not peers:
        return ""
    columns = {base: _SERVERS[base], PAIRS[base][0]: "shardproxy"} | {peer: _label(peer, rows) for peer in peers}
    rows = [row for row in rows if any(peer in row.targets for peer in peers)]
    notes = Notes()
    lines = ["| | " + " | ".join(columns.values()) + " |", "|---|" + "---|" * len(columns)]
    for row in rows:
        cells = [_cell(row, base, target, notes, known) for target in columns]
        lines.append(f"| {row.heading}: {row.name} {row.version}".rstrip() + " | " + " | ".join(cells) + " |")
    lines.append("| all | " + " | ".join(_total(rows, base, target) for target in columns) + " |")
    return "\n".join([*lines, "", *notes.lines(), f"\nMeasured {max(row.day for row in rows)}.\n"])


def _label(peer: str, rows: Sequence[Row]) -> str:
    """As its latest run has it."""
    return plain(max((row.day, row.labels[peer]) for row in rows if peer in row.labels)[1])


def _cell(row: Row, base: str, target: str, notes: Notes, known: Sequence[Known]) -> str:
    if target not in row.targets:
        return "–"
    verdicts = row.compared(base, target)
    failed = [
        f"`{check}` {notes.number(explained(known, row.id, check, target, verdict.detail))}"
        for check, verdict in verdicts.items()
        if verdict.status != OK
    ]
    count = str(len(verdicts) - len(failed))
    return f"{count}, not {', '.join(failed)}" if failed else count


def _total(rows: Sequence[Row], base: str, target: str) -> str:
    verdicts = [verdict for row in rows if target in row.targets for verdict in row.compared(base, target).values()]
    return f"{sum(verdict.status == OK for verdict in verdicts)} of {len(verdicts)}"
