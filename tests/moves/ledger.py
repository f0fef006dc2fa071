"""Clients that write and read all the time, and a record of what they were told.

Every write has a number of its own. What a client was told of it is `DONE`, `FAILED` or, where the connection was lost, `UNKNOWN`.
Faults that a client can see at once (a read that is too old, a sum that does not add up) are in `wrong`; the rest is for `audit`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self

import pymysql

from tests.moves.cluster import RANGE_END, RANGED, Cluster
from tests.support.binary import BinaryClient, decoded, integer, text
from tests.support.binary import Result as BinaryResult
from tests.support.wire import Err

DONE, FAILED, UNKNOWN = "done", "failed", "unknown"
# What a client may be told while rows move: the statement was not carried out, and may be tried again.
AGAIN = (1205, 1213)
# The fence's own word to those who come to a database directly.
FENCED = 1644
_LOST = (0, 2003, 2006, 2013, 2014, 2055)
CUSTOMERS, BALANCES, REGISTERS, COUNTERS, RATES = 400, 200, 120, 40, 10
# Each customer's balances are this, taken together, at any moment.
BALANCE = 1000
_SESSION = 60


class LostError(Exception):
    """The connection is gone."""


@dataclass(slots=True)
class Write:
    """One row that a client wanted: in which table, its key, what came of it, and of its deletion."""

    table: str
    key: int
    op: int
    items: int = 0
    outcome: str = UNKNOWN
    deleted: str = ""
    # The `id`s that it may have, the last one that is known to be so first.
    ids: list[int] = field(default_factory=list)
    # By a client that came to the database past the proxies.
    direct: bool = False


@dataclass(slots=True)
class Register:
    """A value that only rises, and that one writer writes."""

    table: str
    key: int
    acknowledged: int = 0
    tried: int = 0


class Ledger:
    """The clients. `direct` adds one that goes to the shards' servers; `losses` says that connections may be lost.

    Use it as a context manager round what is to happen meanwhile; then `audit`.
    """

    def __init__(
        self, cluster: Cluster, *, seed: int = 1, clients: int = 1, direct: bool = True, losses: bool = False, pause_s: float = 0.004
    ) -> None:
        self.cluster = cluster
        self.seed = seed
        self.losses = losses
        self.pause_s = pause_s
        self.writes: dict[int, Write] = {}
        self.registers = [Register("registers", key) for key in range(REGISTERS)] + [Register("rates", key) for key in range(RATES)]
        if cluster.ranged:
            self.registers += [Register("counters", key * (RANGE_END // COUNTERS)) for key in range(COUNTERS)]
        self.wrong: list[str] = []
        self.errors: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.history: list[tuple[Any, ...]] = []
        # How often each balance was written by statements for all rows: for sure, and at most.
        self.touched = [0, 0]
        # Customers whose registers are written and read most of the time; all are alike where there is none.
        self.hot: set[int] = set()
        self._ops = count(1)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._paused = threading.Event()
        self._busy: dict[str, bool] = {}
        self._clients: list[tuple[str, Callable[[str, random.Random], None]]] = []
        proxies = cluster.proxy_count
        for i in range(clients):
            here, there = i % proxies, (i + 1) % proxies
            self._add(f"insert-{i}", _Inserter(self, here))
            self._add(f"insert-prepared-{i}", _PreparedInserter(self, there))
            self._add(f"set-{i}", _Setter(self, here, i, clients))
            self._add(f"set-prepared-{i}", _PreparedSetter(self, there, i, clients))
            self._add(f"read-{i}", _Reader(self, there))
            self._add(f"read-prepared-{i}", _PreparedReader(self, here))
            self._add(f"scatter-{i}", _Scatterer(self, here))
            self._add(f"transfer-{i}", _Transferrer(self, there))
        self._add("touch", _Toucher(self, 0))
        if "notes" in cluster.more_columns:
            self._add("note", _Noter(self, proxies - 1))
        if direct:
            self._add("direct", _Direct(self))
        self._threads: list[threading.Thread] = []

    def _add(self, name: str, client: _Client) -> None:
        client.name = name
        self._clients.append((name, client.run))

    # -- life ---------------------------------------------------------------------------------------------------------

    def fill(self, rows: int = 0) -> None:
        """The rows that are there before: registers, balances, and some orders, directly where they belong."""
        cluster = self.cluster
        stored = cluster.stored()
        by_shard: dict[str, dict[str, list[str]]] = {}

        def put(table: str, key: int, values: str) -> None:
            for shard in cluster.shards if table == "rates" else [cluster.owner(table, key, stored)]:
                by_shard.setdefault(shard, {}).setdefault(table, []).append(values)

        for register in self.registers:
            column = {"registers": "(customer, value)", "counters": "(at, value)", "rates": "(id, value)"}[register.table]
            put(f"{register.table} {column}" if register.table == "rates" else register.table, register.key, f"({register.key}, 0)")
        for customer in range(BALANCES):
            for n in range(2):
                put("balances", customer, f"({customer}, {n}, {BALANCE // 2}, 0)")
        for _ in range(rows):
            write = self.new_write("orders", random.Random(next(self._ops)).randrange(CUSTOMERS))
            write.outcome = DONE
            put("orders", write.key, order_values(write.key, write.op, write.ids[0]))
        names = {
            "registers": "registers (customer, value)",
            "counters": "counters (at, value)",
            "balances": "balances (customer, n, amount, touched)",
            "orders": f"orders ({ORDER_COLUMNS})",
        }
        for shard, tables in by_shard.items():
            if shard not in cluster.servers:
                continue
            for table, values in tables.items():
                for at in range(0, len(values), 200):
                    cluster.execute(shard, f"INSERT INTO {names.get(table, table)} VALUES {', '.join(values[at : at + 200])}")
        for shard in cluster.shards:
            values = ", ".join(f"({r.key}, 0)" for r in self.registers if r.table == "rates")
            cluster.execute(shard, f"REPLACE INTO rates (id, value) VALUES {values}")

    def __enter__(self) -> Self:
        for number, (name, run) in enumerate(self._clients):
            rng = random.Random(self.seed * 1000 + number)
            thread = threading.Thread(target=run, args=(name, rng), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every client end its statement."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            if thread.is_alive():
                self.wrong.append(f"{thread.name} hangs")

    def run_for(self, seconds: float) -> None:
        """Let it run; ends early where something is wrong."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.wrong:
            self._stopping.wait(0.05)

    @property
    def stopping(self) -> bool:
        """Whether clients are to end."""
        return self._stopping.is_set()

    # -- the record ---------------------------------------------------------------------------------------------------

    def new_write(self, table: str, key: int, items: int = 0, *, direct: bool = False) -> Write:
        """A row that is about to be written."""
        with self._lock:
            op = next(self._ops)
            write = Write(table, key, op, items, ids=[op], direct=direct)
            self.writes[op] = write
        return write

    def pick(self, rng: random.Random, registers: list[Register]) -> Register:
        """One of them."""
        hot = [register for register in registers if register.table == "registers" and register.key in self.hot] if self.hot else []
        return rng.choice(hot if hot and rng.random() < 0.9 else registers)

    def note(self, client: str, begun: float, what: str, outcome: str) -> None:
        """For the history."""
        ended = time.time()
        took = ended - begun
        kind = client.rstrip("0123456789").rstrip("-")
        self.counts[f"{kind} {outcome if outcome in (DONE, UNKNOWN) else FAILED}"] += 1
        if took > self.slowest.get(kind, 0):
            self.slowest[kind] = took
        self.history.append((round(begun, 4), round(took, 4), client, what, outcome))

    def fault(self, client: str, text_: str) -> None:
        """Something that must not be."""
        self.wrong.append(f"{client} at {time.time():.3f}: {text_}")

    def write_history(self, path: Path) -> None:
        """All statements, one a line."""
        with path.open("w") as file:
            for entry in sorted(self.history):
                file.write(json.dumps(entry) + "\n")

    @property
    def summary(self) -> str:
        """How much was done."""
        counted = ", ".join(f"{name} {number}" for name, number in sorted(self.counts.items()))
        slowest = max(self.slowest.values(), default=0)
        return f"seed {self.seed}: {counted}; slowest {slowest * 1000:.0f} ms; errors {dict(self.errors)}"


# -- what rows look like --------------------------------------------------------------------------------------------------

ORDER_COLUMNS = "customer, kind, id, op, amount, note, old, raw, big, flags, size, tags, ratio, small, at, stamp, day, span, year, doc"
KINDS = ("web", "app", "phone")


def order_content(op: int) -> dict[str, Any]:
    """The columns that follow from the number of the write."""
    digest = hashlib.sha256(b"%d" % op).digest()
    rng = random.Random(op)
    kind = KINDS[op % 3]
    null = op % 7 == 0
    return {
        "kind": kind,
        "amount": None if null else f"{rng.randrange(-(10**9), 10**9)}.{rng.randrange(100):02d}",
        "note": None if null else f'it\'s "{op}" \\ 100% ☃ {chr(0x1F600 + op % 50)} \n {digest.hex()[:20]} ',
        "old": f"café {op % 97} ÿ",
        "raw": digest[: op % 32],
        "big": "x" * (op % 50) if op % 41 else digest.hex() * 200,
        "flags": op % 32,
        "size": (None, "large", "small", "medium")[op % 4],
        "tags": ("", "x", "x,z", "y", "x,y,z")[op % 5],
        "ratio": None if null else rng.random() * 10 ** rng.randrange(-8, 12),
        "small": None if null else float(rng.randrange(1 << 20)) / 64,
        "at": f"20{op % 60 + 10:02d}-0{op % 9 + 1}-{op % 27 + 1:02d} 01:02:03.{op % 1000000:06d}",
        "stamp": f"2024-03-{op % 30 + 1:02d} 02:30:00.{op % 1000:03d}",
        "day": None if null else f"1999-{op % 12 + 1:02d}-{op % 28 + 1:02d}",
        "span": f"{'-' if op % 2 else ''}{op % 800:03d}:59:01.{op % 100:02d}",
        "year": 1970 + op % 100,
        "doc": None if null else json.dumps({"op": op, "n": [1, None, "ü"]}, separators=(",", ":"), ensure_ascii=False),
    }


def literal(value: object) -> str:
    """A value in SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    return repr(value)


def order_values(customer: int, op: int, number: int) -> str:
    """A row of orders."""
    content = order_content(op)
    values = [literal(content[name.strip()]) for name in ORDER_COLUMNS.split(",")[4:]]
    return f"({customer}, {literal(content['kind'])}, {number}, {op}, {', '.join(values)})"


# -- clients --------------------------------------------------------------------------------------------------------------


class _Client:
    """A thread with a connection to a proxy. `step` does something and notes what came of it."""

    name = ""

    def __init__(self, ledger: Ledger, proxy: int) -> None:
        self.ledger = ledger
        self.proxy = proxy
        self.connection: Any = None
        self.rng = random.Random()

    def run(self, name: str, rng: random.Random) -> None:
        """Until the ledger stops."""
        self.rng = rng
        statements = 0
        while not self.ledger.stopping:
            try:
                if self.connection is None:
                    self.connect()
                self.step()
                statements += 1
                if statements % _SESSION == 0:
                    self.disconnect()
            except LostError as error:
                self.disconnect()
                if not self.ledger.losses:
                    self.ledger.fault(name, f"lost its connection: {error}")
                time.sleep(0.05)
            except Exception as error:  # noqa: BLE001 - a checker that dies unseen checks nothing
                self.disconnect()
                self.ledger.fault(name, f"{type(error).__name__}: {error}")
                time.sleep(0.2)
            self.ledger._stopping.wait(self.ledger.pause_s)
        self.disconnect()

    def connect(self) -> None:
        """Log in; raises LostError."""
        try:
            self.connection = self.ledger.cluster.proxies[self.proxy].connect(read_timeout=25, connect_timeout=5)
        except (pymysql.err.Error, OSError) as error:
            raise LostError(str(error)) from error

    def disconnect(self) -> None:
        """Close the connection."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def step(self) -> None:
        """Something."""
        raise NotImplementedError

    def execute(self, sql: str) -> tuple[str, Any]:
        """DONE with the cursor, or FAILED with an error that may be; raises LostError and AssertionError."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql)
        except (pymysql.err.Error, OSError) as error:
            return self.failed(error, sql)
        return DONE, cursor

    def failed(self, error: Exception, sql: str) -> tuple[str, Any]:
        """The outcome where a server or a proxy has answered with an error."""
        number = error.args[0] if error.args else 0
        self.ledger.errors[f"{number} {str(error.args[1:2])[:60]}"] += 1
        if number in _LOST or isinstance(error, (OSError, pymysql.err.InterfaceError)):
            raise LostError(f"{error} in {sql[:80]}") from error
        if number in AGAIN:
            return FAILED, error
        # With servers that are killed a proxy says so, and a statement may have been carried out.
        if self.ledger.losses:
            raise LostError(f"{error} in {sql[:80]}") from error
        raise AssertionError(f"an error that clients must not see: {error} in {sql[:80]}")

    def tell(self, begun: float, what: str, outcome: str) -> None:
        """For the history."""
        self.ledger.note(self.name, begun, what, outcome)


class _Inserter(_Client):
    """Inserts by text: single rows, transactions of an order with its items, deletions, changes of the key."""

    def __init__(self, ledger: Ledger, proxy: int) -> None:
        super().__init__(ledger, proxy)
        self.mine: list[Write] = []

    def step(self) -> None:
        choice = self.rng.random()
        if choice < 0.35:
            self._insert()
        elif choice < 0.55:
            self._transaction()
        elif choice < 0.7 and self.ledger.cluster.ranged:
            self._visit()
        elif choice < 0.85 and self.mine:
            self._delete()
        elif self.mine:
            self._renumber()

    def _single(self, write: Write, sql: str) -> None:
        begun = time.time()
        write.outcome = UNKNOWN
        try:
            outcome, _ = self.execute(sql)
        except BaseException:
            self.tell(begun, f"insert {write.table} {write.key} {write.op}", UNKNOWN)
            raise
        write.outcome = outcome
        self.tell(begun, f"insert {write.table} {write.key} {write.op}", outcome)

    def _insert(self) -> None:
        write = self.ledger.new_write("orders", self.rng.randrange(CUSTOMERS))
        self._single(write, f"INSERT INTO orders ({ORDER_COLUMNS}) VALUES {order_values(write.key, write.op, write.op)}")
        if write.outcome == DONE:
            self.mine.append(write)

    def _visit(self) -> None:
        write = self.ledger.new_write("visits", self.rng.randrange(RANGE_END))
        self._single(write, f"INSERT INTO visits (at, op, text) VALUES ({write.key}, {write.op}, 'visit {write.op}')")

    def _transaction(self) -> None:
        items = self.rng.randrange(1, 4)
        write = self.ledger.new_write("orders", self.rng.randrange(CUSTOMERS), items)
        lines = [
            "BEGIN",
            f"INSERT INTO orders ({ORDER_COLUMNS}) VALUES {order_values(write.key, write.op, write.op)}",
            *(
                f"INSERT INTO items (customer, op, n, text) VALUES ({write.key}, {write.op}, {n}, 'item {write.op}/{n}')"
                for n in range(items)
            ),
            "ROLLBACK" if self.rng.random() < 0.1 else "COMMIT",
        ]
        begun = time.time()
        what = f"transaction {write.key} {write.op}"
        try:
            for line in lines:
                outcome, _ = self.execute(line)
                if outcome == FAILED:
                    self.execute("ROLLBACK")
                    break
        except LostError:
            # Before the COMMIT was sent nothing can have been carried out.
            write.outcome = UNKNOWN if line == "COMMIT" else FAILED
            self.tell(begun, what, write.outcome)
            raise
        write.outcome = FAILED if lines[-1] == "ROLLBACK" else outcome
        self.tell(begun, what, write.outcome)
        if write.outcome == DONE:
            self.mine.append(write)

    def _delete(self) -> None:
        write = self.mine.pop(self.rng.randrange(len(self.mine)))
        begun = time.time()
        write.deleted = UNKNOWN
        where = f"customer = {write.key} AND op = {write.op}"
        lines = [f"DELETE FROM orders WHERE {where}"]
        if write.items:
            lines = ["BEGIN", f"DELETE FROM items WHERE {where}", *lines, "COMMIT"]
        try:
            for line in lines:
                outcome, cursor = self.execute(line)
                if outcome == FAILED:
                    if write.items:
                        self.execute("ROLLBACK")
                    break
                if line.startswith("DELETE FROM orders") and cursor.rowcount != 1:
                    self.ledger.fault(self.name, f"{line}: {cursor.rowcount} rows, where one was acknowledged")
        except LostError:
            write.deleted = UNKNOWN if line.startswith(("DELETE", "COMMIT")) and (not write.items or line == "COMMIT") else FAILED
            self.tell(begun, f"delete {write.op}", write.deleted)
            raise
        write.deleted = outcome
        self.tell(begun, f"delete {write.op}", outcome)

    def _renumber(self) -> None:
        """Change the primary key: the row's place in the order of the keys."""
        write = self.rng.choice(self.mine)
        number = self.rng.randrange(1, 1 << 40)
        write.ids.append(number)
        begun = time.time()
        try:
            outcome, cursor = self.execute(f"UPDATE orders SET id = {number} WHERE customer = {write.key} AND op = {write.op}")
        except LostError:
            self.mine.remove(write)
            raise
        if outcome == DONE:
            write.ids[:] = [number]
            if cursor.rowcount != 1:
                self.ledger.fault(self.name, f"the change of op {write.op}'s number found {cursor.rowcount} rows")
        else:
            write.ids.remove(number)
        self.tell(begun, f"renumber {write.op} {number}", outcome)


class _Noter(_Inserter):
    """Writes to a table that is not sharded when it begins, and reads what it wrote."""

    def step(self) -> None:
        if self.rng.random() < 0.6 or not self.mine:
            write = self.ledger.new_write("notes", self.rng.randrange(CUSTOMERS))
            self._single(write, f"INSERT INTO notes (customer, op, text) VALUES ({write.key}, {write.op}, 'note {write.op}')")
            if write.outcome == DONE:
                self.mine.append(write)
            return
        begun = time.time()
        write = self.rng.choice(self.mine)
        several = self.rng.random() < 0.5
        condition = f"op = {write.op}" if several else f"customer = {write.key} AND op = {write.op}"
        outcome, cursor = self.execute(f"SELECT text FROM notes WHERE {condition}")
        if outcome == DONE and [row[0] for row in cursor.fetchall()] != [f"note {write.op}"]:
            self.ledger.fault(self.name, f"note {write.op} of {write.key} is not there once, begun at {begun:.3f}")
        self.tell(begun, f"read note {write.op}", outcome)


class _Prepared(_Client):
    """A client that prepares its statements, by the binary protocol."""

    def connect(self) -> None:
        try:
            client = BinaryClient(self.ledger.cluster.proxies[self.proxy].port, timeout_s=25).login()
        except Exception as error:
            raise LostError(str(error)) from error
        self.connection = client
        self.prepared: dict[str, int] = {}

    def disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.__exit__(None, None, None)

    def call(self, sql: str, *parameters: Any) -> tuple[str, Any]:
        """Execute a statement that is prepared once for the connection."""
        try:
            if sql not in self.prepared:
                made = self.connection.prepare(sql)
                if isinstance(made, Err):
                    return self.failed(pymysql.err.Error(made.errno, made.text), sql)
                self.prepared[sql] = made.id
            answer = self.connection.execute(self.prepared[sql], parameters)
        except (OSError, AssertionError) as error:
            raise LostError(f"{type(error).__name__} {error} in {sql[:80]}") from error
        except Exception as error:
            if type(error).__name__ == "ClosedError":
                raise LostError(f"closed in {sql[:80]}") from error
            raise
        if isinstance(answer, Err):
            return self.failed(pymysql.err.Error(answer.errno, answer.text), sql)
        assert isinstance(answer, BinaryResult)
        return DONE, answer


class _PreparedInserter(_Prepared):
    """Inserts and deletes items, without an order."""

    def __init__(self, ledger: Ledger, proxy: int) -> None:
        super().__init__(ledger, proxy)
        self.mine: list[Write] = []

    def step(self) -> None:
        begun = time.time()
        if self.rng.random() < 0.7 or not self.mine:
            write = self.ledger.new_write("items", self.rng.randrange(CUSTOMERS))
            values = integer(write.key), integer(write.op), text(f"item {write.op}/0")
            try:
                write.outcome, _ = self.call("INSERT INTO items (customer, op, n, text) VALUES (?, ?, 0, ?)", *values)
            finally:
                self.tell(begun, f"insert items {write.key} {write.op}", write.outcome)
            if write.outcome == DONE:
                self.mine.append(write)
            return
        write = self.mine.pop(self.rng.randrange(len(self.mine)))
        write.deleted = UNKNOWN
        outcome, answer = self.call("DELETE FROM items WHERE customer = ? AND op = ?", integer(write.key), integer(write.op))
        write.deleted = outcome
        if outcome == DONE and answer.affected != 1:
            self.ledger.fault(self.name, f"the deletion of item {write.op} found {answer.affected} rows")
        self.tell(begun, f"delete items {write.op}", outcome)


_KEYS = {"registers": "customer", "counters": "at", "rates": "id"}


class _Setter(_Client):
    """Raises the registers that are its own."""

    def __init__(self, ledger: Ledger, proxy: int, number: int, of: int) -> None:
        super().__init__(ledger, proxy)
        self.mine = [register for i, register in enumerate(ledger.registers) if i % (2 * of) == 2 * number + self.part]

    part = 0

    def step(self) -> None:
        register = self.ledger.pick(self.rng, self.mine)
        if register.table == "rates" and self.rng.random() < 0.7:
            return
        value = register.tried = register.tried + 1
        begun = time.time()
        outcome = UNKNOWN
        try:
            outcome = self.set(register, value)
        finally:
            self.tell(begun, f"set {register.table} {register.key} {value}", outcome)
        if outcome == DONE:
            register.acknowledged = value

    def set(self, register: Register, value: int) -> str:
        """Write it."""
        sql = f"UPDATE {register.table} SET value = {value} WHERE {_KEYS[register.table]} = {register.key}"
        if self.rng.random() < 0.2 and register.table != "rates":
            for line in (
                "BEGIN",
                f"SELECT value FROM {register.table} WHERE {_KEYS[register.table]} = {register.key} FOR UPDATE",
                sql,
                "COMMIT",
            ):
                outcome, _ = self.execute(line)
                if outcome == FAILED:
                    self.execute("ROLLBACK")
                    return FAILED
            return DONE
        outcome, cursor = self.execute(sql)
        if outcome == DONE and cursor.rowcount != 1:
            self.ledger.fault(self.name, f"{sql}: {cursor.rowcount} rows")
        return outcome


class _PreparedSetter(_Prepared, _Setter):
    """The same, prepared."""

    part = 1

    def set(self, register: Register, value: int) -> str:
        outcome, answer = self.call(
            f"UPDATE {register.table} SET value = ? WHERE {_KEYS[register.table]} = ?", integer(value), integer(register.key)
        )
        if outcome == DONE and answer.affected != 1:
            self.ledger.fault(self.name, f"setting {register.table} {register.key} to {value}: {answer.affected} rows")
        return outcome


class _Reader(_Client):
    """Reads registers by the other proxy: never less than what was acknowledged before, never more than what was tried."""

    def step(self) -> None:
        register = self.ledger.pick(self.rng, self.ledger.registers)
        least = register.acknowledged
        begun = time.time()
        outcome, found = self.get(register)
        if outcome == DONE:
            most = register.tried
            if len(found) != 1:
                self.ledger.fault(self.name, f"{register.table} {register.key}: {len(found)} rows, begun at {begun:.3f}")
            elif not least <= found[0][0] <= most:
                self.ledger.fault(
                    self.name,
                    f"{register.table} {register.key} is {found[0][0]}, acknowledged was {least}, tried {most}, begun at {begun:.3f}",
                )
        self.tell(begun, f"get {register.table} {register.key} {found[0][0] if outcome == DONE and found else ''}", outcome)

    def get(self, register: Register) -> tuple[str, list[Any]]:
        """Its value."""
        sql = f"SELECT value FROM {register.table} WHERE {_KEYS[register.table]} = {register.key}"
        if self.rng.random() < 0.1:
            sql = f"SELECT value FROM {register.table} WHERE {_KEYS[register.table]} IN ({register.key}, -1)"
        outcome, cursor = self.execute(sql)
        return outcome, list(cursor.fetchall()) if outcome == DONE else []


class _PreparedReader(_Prepared, _Reader):
    """The same, prepared."""

    def get(self, register: Register) -> tuple[str, list[Any]]:
        outcome, answer = self.call(f"SELECT value FROM {register.table} WHERE {_KEYS[register.table]} = ?", integer(register.key))
        return outcome, decoded(answer) if outcome == DONE else []


class _Scatterer(_Client):
    """Reads over all shards: what adds up to the same at any moment."""

    def step(self) -> None:
        begun = time.time()
        sql, expected = self.rng.choice(_SCATTERED)
        if "counters" in sql and not self.ledger.cluster.ranged:
            return
        outcome, cursor = self.execute(sql)
        if outcome == DONE:
            rows = [tuple(int(value) for value in row) for row in cursor.fetchall()]
            wrong = sorted(set(rows) - set(expected))[:5] + sorted(set(expected) - set(rows))[:5]
            if len(rows) != len(expected) or wrong:
                self.ledger.fault(self.name, f"{sql} gives {rows[:5]} in {len(rows)} rows, begun at {begun:.3f}; different: {wrong}")
        self.tell(begun, "scatter", outcome)


_SCATTERED: list[tuple[str, list[tuple[int, ...]]]] = [
    ("SELECT COUNT(*), SUM(amount) FROM balances", [(2 * BALANCES, BALANCE * BALANCES)]),
    ("SELECT COUNT(*), COUNT(DISTINCT customer), MAX(customer) FROM balances WHERE n = 1", [(BALANCES, BALANCES, BALANCES - 1)]),
    (
        "SELECT customer, SUM(amount), COUNT(*) FROM balances GROUP BY customer ORDER BY customer",
        [(customer, BALANCE, 2) for customer in range(BALANCES)],
    ),
    (
        "SELECT b.customer, SUM(b.amount) FROM balances b JOIN registers r ON r.customer = b.customer GROUP BY b.customer",
        [(customer, BALANCE) for customer in range(min(REGISTERS, BALANCES))],
    ),
    ("SELECT customer FROM registers", [(key,) for key in range(REGISTERS)]),
    ("SELECT COUNT(*), MIN(at), MAX(at) FROM counters", [(COUNTERS, 0, (COUNTERS - 1) * (RANGE_END // COUNTERS))]),
    ("SELECT id FROM rates ORDER BY id", [(key,) for key in range(RATES)]),
]


class _Transferrer(_Client):
    """Moves amounts between the two balances of a customer, in one statement."""

    def step(self) -> None:
        customer, amount = self.rng.randrange(BALANCES), self.rng.randrange(1, 50)
        begun = time.time()
        outcome, cursor = self.execute(f"UPDATE balances SET amount = amount + IF(n = 0, {amount}, -{amount}) WHERE customer = {customer}")
        if outcome == DONE and cursor.rowcount != 2:
            self.ledger.fault(self.name, f"a transfer of customer {customer} found {cursor.rowcount} rows")
        self.tell(begun, f"transfer {customer} {amount}", outcome)


class _Toucher(_Client):
    """Writes over all shards: each of its rows once."""

    def step(self) -> None:
        if self.rng.random() < 0.9:
            return
        begun = time.time()
        self.ledger.touched[1] += 1
        outcome, cursor = self.execute("UPDATE balances SET touched = touched + 1")
        if outcome == DONE:
            self.ledger.touched[0] += 1
            if cursor.rowcount != 2 * BALANCES:
                self.ledger.fault(self.name, f"a write of all balances found {cursor.rowcount} rows, begun at {begun:.3f}")
        self.tell(begun, "touch", outcome)


# What the fence has refused to a client that came past the proxies.
FENCED_OUTCOME = "fenced"


class _Direct(_Client):
    """Goes to the database of the shard that owns a key, past the proxies. The fence may refuse it; then it looks again."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, 0)
        self.connections: dict[str, Any] = {}

    def _write(self, connection: Any, sql: str, write: Write) -> None:
        """By itself, or as an XA transaction that is prepared first; raises what the server says."""
        with connection.cursor() as cursor:
            if self.rng.random() < 0.8:
                write.outcome = UNKNOWN
                cursor.execute(sql)
                return
            name = f"'w{write.op}'"
            cursor.execute(f"XA START {name}")
            try:
                cursor.execute(sql)
            except pymysql.err.Error:
                for end in ("END", "ROLLBACK"):
                    with contextlib.suppress(pymysql.err.Error, OSError):
                        cursor.execute(f"XA {end} {name}")
                raise
            cursor.execute(f"XA END {name}")
            write.outcome = UNKNOWN
            cursor.execute(f"XA PREPARE {name}")
            time.sleep(self.rng.choice((0, 0, 0.01)))
            cursor.execute(f"XA COMMIT {name}")

    def run(self, name: str, rng: random.Random) -> None:
        super().run(name, rng)
        for shard in self.ledger.cluster.servers:
            with contextlib.suppress(pymysql.err.Error, OSError):
                self._connect(shard)
        self.disconnect()

    def _connect(self, shard: str) -> None:
        """Log in to a shard; what is still prepared there of an earlier connection is committed."""
        if shard in self.connections:
            return
        connection = self.connections[shard] = self.ledger.cluster.servers[shard].connect("app", read_timeout=25, connect_timeout=5)
        with connection.cursor() as cursor:
            cursor.execute("XA RECOVER")
            for *_, found in cursor.fetchall():
                # A name that is no text comes as bytes.
                data = found.decode("utf-8", "replace") if isinstance(found, bytes) else found
                if data.startswith("w"):
                    with contextlib.suppress(pymysql.err.Error):
                        cursor.execute(f"XA COMMIT '{data}'")

    def connect(self) -> None:
        self.connection = True

    def disconnect(self) -> None:
        for connection in self.connections.values():
            with contextlib.suppress(Exception):
                connection.close()
        self.connections.clear()
        self.connection = None

    def step(self) -> None:
        cluster = self.ledger.cluster
        tables = [*(RANGED[:1] if cluster.ranged else ()), "items", "orders"]
        table = self.rng.choice(tables)
        write = self.ledger.new_write(table, self.rng.randrange(RANGE_END if table in RANGED else CUSTOMERS), direct=True)
        write.outcome = FAILED
        sql = {
            "orders": f"INSERT INTO orders ({ORDER_COLUMNS}) VALUES {order_values(write.key, write.op, write.op)}",
            "visits": f"INSERT INTO visits (at, op, text) VALUES ({write.key}, {write.op}, 'visit {write.op}')",
            "items": f"INSERT INTO items (customer, op, n, text) VALUES ({write.key}, {write.op}, 0, 'item {write.op}/0')",
        }[table]
        for _ in range(100):
            if self.ledger.stopping:
                return
            try:
                shard = cluster.owner(table, write.key)
            except Exception as error:
                raise LostError(f"the store: {error}") from error
            begun = time.time()
            outcome = FENCED_OUTCOME
            try:
                self._connect(shard)
                self._write(self.connections[shard], sql, write)
                write.outcome = outcome = DONE
                return
            except (pymysql.err.Error, OSError) as error:
                number = error.args[0] if error.args else 0
                if number in (*AGAIN, FENCED):
                    write.outcome = FAILED
                    self.ledger.errors[f"direct {number}"] += 1
                    time.sleep(0.02)
                    continue
                raise LostError(f"direct on {shard}: {error}") from error
            finally:
                self.tell(begun, f"direct {table} {write.key} {write.op} {shard}", outcome)
