"""The end of a run: everything that was acknowledged is there once, nothing else is, and nothing is left behind."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from decimal import Decimal
from typing import Any

from tests.moves.cluster import Cluster
from tests.moves.ledger import BALANCE, BALANCES, DONE, ORDER_COLUMNS, UNKNOWN, Ledger, Write, order_content

_SHOWN = 6


class Audit:
    """`faults` is empty where all is well; `check` raises them."""

    def __init__(self, cluster: Cluster, ledger: Ledger | None) -> None:
        self.cluster = cluster
        self.ledger = ledger
        self.faults: list[str] = []
        self.rows = 0
        self.resolved = 0

    def check(self) -> None:
        """Raises AssertionError with the first of each kind of fault."""
        assert not self.faults, "\n".join(self.faults[:40])

    def _add(self, kind: str, found: list[Any]) -> None:
        if found:
            self.faults.append(f"{kind}: {len(found)}, as {', '.join(str(one) for one in found[:_SHOWN])}")

    # -- the rows -----------------------------------------------------------------------------------------------------

    def rows_are_right(self, *, misplaced: bool = True) -> Audit:
        """What clients were told against what is there. Without `misplaced`, leftovers on shards that do not own them are no fault."""
        cluster, ledger = self.cluster, self.ledger
        assert ledger is not None
        stored = cluster.stored()
        if ledger.wrong:
            self._add("seen by clients", ledger.wrong)
        found: dict[str, dict[int, list[tuple[str, tuple[Any, ...]]]]] = defaultdict(lambda: defaultdict(list))
        strays: list[str] = []
        selects = {
            "orders": f"SELECT customer, op, {ORDER_COLUMNS.replace('small', 'small + 0e0')}, twice FROM orders",
            "items": "SELECT customer, op, n, text FROM items",
            "visits": "SELECT at, op, text FROM visits",
            "registers": "SELECT customer, customer, value FROM registers",
            "counters": "SELECT at, at, value FROM counters",
            "balances": "SELECT customer, customer * 2 + n, amount, touched FROM balances",
            "notes": "SELECT customer, op, text FROM notes",
            "codes": "SELECT customer, op, code FROM codes",
        }
        for shard in cluster.servers:
            there = cluster.tables_of(shard)
            for table in selects:
                if table not in there:
                    continue
                for row in cluster.execute(shard, "SET time_zone = '+00:00'; " + selects[table]):
                    if cluster.owner(table, row[0], stored) != shard:
                        strays.append(f"{table} {row[:4]} on {shard}, of {cluster.owner(table, row[0], stored)}")
                        continue
                    self.rows += 1
                    found[table][row[1]].append((shard, row))
        if misplaced:
            self._add("misplaced rows", strays)
        self._writes(found)
        self._registers(found)
        self._balances(found)
        self._rates(stored.members)
        return self

    def _writes(self, found: dict[str, dict[int, list[tuple[str, tuple[Any, ...]]]]]) -> None:
        ledger = self.ledger
        assert ledger is not None
        problems: dict[str, list[Any]] = defaultdict(list)
        known: dict[str, set[int]] = defaultdict(set)
        for write in ledger.writes.values():
            known[write.table].add(write.op)
            rows = found[write.table].get(write.op, [])
            items = found["items"].get(write.op, []) if write.table == "orders" else []
            if write.table == "orders":
                known["items"].add(write.op)
            self._one(write, len(rows), len(items), problems)
            for shard, row in rows:
                wrong = _misread(write, row)
                if wrong:
                    problems["misread"].append(f"{_shown(write)} on {shard}: {wrong}")
        for table in ("orders", "items", "visits", "notes", "codes"):
            extra = set(found[table]) - known[table]
            problems["rows that nobody wrote"] += [f"{table} {op}" for op in sorted(extra)]
        for kind, several in problems.items():
            self._add(kind, several)

    def _one(self, write: Write, rows: int, items: int, problems: dict[str, list[Any]]) -> None:
        expected_rows, expected_items = 1, write.items
        if UNKNOWN in (write.outcome, write.deleted):
            self.resolved += 1
            if (rows, items) not in ((0, 0), (expected_rows, expected_items)):
                problems["unknown, and there in part"].append(f"{_shown(write)}: {rows} rows, {items} items")
            return
        there = write.outcome == DONE and write.deleted != DONE
        if there and not rows:
            problems["lost"].append(_shown(write))
        elif there and rows > 1:
            problems["doubled"].append(f"{_shown(write)}: {rows} rows")
        elif not there and rows:
            problems["there, though it failed or was deleted"].append(_shown(write))
        elif items != (write.items if there else 0):
            problems["items lost or doubled"].append(f"{_shown(write)}: {items} of {write.items}")

    def _registers(self, found: dict[str, dict[int, list[tuple[str, tuple[Any, ...]]]]]) -> None:
        ledger = self.ledger
        assert ledger is not None
        wrong = []
        for register in ledger.registers:
            if register.table == "rates":
                continue
            rows = found[register.table].get(register.key, [])
            values = [row[2] for _, row in rows]
            if len(values) != 1 or not register.acknowledged <= values[0] <= register.tried:
                wrong.append(f"{register.table} {register.key}: {values}, acknowledged {register.acknowledged}, tried {register.tried}")
        self._add("registers", wrong)

    def _balances(self, found: dict[str, dict[int, list[tuple[str, tuple[Any, ...]]]]]) -> None:
        ledger = self.ledger
        assert ledger is not None
        wrong = []
        sums: dict[int, list[int]] = defaultdict(list)
        for rows in found["balances"].values():
            for _, row in rows:
                sums[row[0]].append(row[2])
                if not ledger.touched[0] <= row[3] <= ledger.touched[1]:
                    wrong.append(f"customer {row[0]} was touched {row[3]} times, not {ledger.touched}")
        for customer in range(BALANCES):
            of_customer = sums[customer]
            if len(of_customer) != 2 or sum(of_customer) != BALANCE:
                wrong += [f"customer {customer}: {of_customer}"]
        self._add("balances", wrong)

    def _rates(self, members: tuple[str, ...]) -> None:
        ledger = self.ledger
        assert ledger is not None
        copies = {shard: dict(self.cluster.execute(shard, "SELECT id, value FROM rates")) for shard in members}
        wrong = []
        for register in ledger.registers:
            if register.table == "rates":
                values = {shard: copy.get(register.key) for shard, copy in copies.items()}
                least = min(-1 if value is None else value for value in values.values())
                # A write that failed, or whose answer was lost, may have come to some shards only.
                if least < register.acknowledged or max(values.values()) > register.tried:
                    wrong.append(f"rate {register.key}: {values}, acknowledged {register.acknowledged}, tried {register.tried}")
                elif len(set(values.values())) > 1 and not ledger.errors:
                    wrong.append(f"rate {register.key} differs: {values}")
        if any(len(copy) != len(next(iter(copies.values()))) for copy in copies.values()):
            wrong.append(f"rows by shard: { ({shard: len(copy) for shard, copy in copies.items()}) }")
        self._add("reference table", wrong)

    # -- what is left -------------------------------------------------------------------------------------------------

    def verify_says_so(self) -> Audit:
        """`shardctl verify`."""
        try:
            self.cluster.ctl("verify")
        except AssertionError as error:
            self.faults.append(str(error))
        return self

    def nothing_is_left(self) -> Audit:
        """After clean-up: no trigger, no prepared XA transaction, no table but `_sp_*`, no hold, no move that is not over."""
        cluster = self.cluster
        stored = cluster.stored()
        for shard, server in cluster.servers.items():
            wanted = cluster.before[shard]
            if shard in cluster.spares:
                wanted = wanted | set(cluster.tables) | set(cluster.more_columns)
            more = {name for name in cluster.tables_of(shard) - wanted if not name.startswith("_sp_")}
            self._add(f"left on {shard}", sorted(more))
            self._add(f"gone from {shard}", sorted(cluster.before[shard] - cluster.tables_of(shard)))
            self._add(f"XA transactions prepared on {shard}", list(server.execute("XA RECOVER")))
        self._add("moves that are not over", [f"{move.id} {move.state.value}" for move in stored.moves if not move.state.over])
        if stored.hold is not None:
            self.faults.append(f"a hold: {stored.hold}")
        return self


def _shown(write: Write) -> str:
    who = "direct " if write.direct else ""
    deleted = f", deleted {write.deleted}" if write.deleted else ""
    return f"{who}{write.table} op {write.op} of {write.key} ({write.outcome}{deleted})"


def _misread(write: Write, row: tuple[Any, ...]) -> str:
    """What of a row is not as it was written."""
    if row[0] != write.key:
        return f"its key is {row[0]}"
    if write.table == "items":
        return "" if row[3] == f"item {write.op}/{row[2]}" else f"its text is {row[3]!r}"
    if write.table == "codes":
        return ""
    if write.table in ("visits", "notes"):
        return "" if row[2] == f"{write.table[:-1]} {write.op}" else f"its text is {row[2]!r}"
    if row[-1] != 2 * write.op:
        return f"the computed column is {row[-1]}"
    names = [name.strip() for name in ORDER_COLUMNS.split(",")]
    values = dict(zip(names, row[2:-1], strict=True))
    if values["id"] not in write.ids:
        return f"its id is {values['id']}, not {write.ids}"
    expected = order_content(write.op)
    return "; ".join(
        f"{name} is {values[name]!r}, not {wanted!r}" for name, wanted in expected.items() if not _same(name, values[name], wanted)
    )


def _same(name: str, value: Any, wanted: Any) -> bool:
    if wanted is None or value is None:
        return value is wanted
    if name == "amount":
        return value == Decimal(wanted)
    if name == "flags":
        return int.from_bytes(value, "big") == wanted
    if name == "doc":
        return bool(json.loads(value) == json.loads(wanted))
    if name in ("at", "stamp", "day"):
        text = value.isoformat(sep=" ") if isinstance(value, dt.datetime) else value.isoformat() if hasattr(value, "isoformat") else value
        return _moment(text) == _moment(wanted)
    if name == "span":
        return isinstance(value, dt.timedelta) and abs(value.total_seconds() - _seconds(wanted)) < 1e-6
    return bool(value == wanted)


def _moment(text: str) -> str:
    date, _, clock = text.partition(" ")
    whole, _, fraction = clock.partition(".")
    return f"{date} {whole}.{fraction.ljust(6, '0')}"


def _seconds(text: str) -> float:
    hours, minutes, seconds = text.lstrip("-").split(":")
    total = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return -total if text.startswith("-") else total


def audit(cluster: Cluster, ledger: Ledger) -> Audit:
    """Everything, after clean-up."""
    return Audit(cluster, ledger).rows_are_right().verify_says_so().nothing_is_left()
