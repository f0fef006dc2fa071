"""Runs generated statements on both sides, compares, and counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.property.differential.clients import Answer
from tests.property.differential.judge import Judge, Kind, Verdict
from tests.property.differential.lab import Lab
from tests.property.differential.queries import Query
from tests.property.differential.questions import question
from tests.property.differential.schemas import Schema, random_schema
from tests.property.differential.selects import Selects
from tests.property.differential.shrink import Shrinker
from tests.property.differential.variations import other_literals, respelled
from tests.property.differential.writes import Write, any_write, insert, transaction

# By then something is broken for good.
_MOST_WRONG = 200
_SESSION = ("SELECT ROW_COUNT()", "SELECT LAST_INSERT_ID()", "SELECT ROW_COUNT(), LAST_INSERT_ID()", "SHOW COUNT(*) WARNINGS")


@dataclass
class Finding:
    """One wrong answer and what is needed to see it again."""

    seed: int
    fault: str
    script: list[str]
    expected: str
    got: str
    log: str = ""

    @property
    def text(self) -> str:
        """For a reader."""
        script = ";\n".join(self.script)
        log = f"\nthe proxy logged {self.log}" if self.log else ""
        return f"seed {self.seed}: {self.fault}\n{script}\nexpected {self.expected}\ngot {self.got}{log}"


Report = Callable[[Finding], None]


@dataclass
class Counts:
    """What came of a run. `refusals` has a statement for each message."""

    statements: int = 0
    rejected: int = 0
    unsound: int = 0
    wrong: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    refusals: dict[str, str] = field(default_factory=dict)

    @property
    def refused_share(self) -> float:
        """Refused statements among those that the oracle takes."""
        return self.refused.total() / max(1, self.statements - self.rejected)

    def summary(self) -> str:
        """In one line."""
        ids = "".join(f", {name} {count}" for name, count in self.refused.most_common())
        return (
            f"{self.statements} statements: {self.rejected} rejected by both, {self.refused.total()} refused "
            f"({100 * self.refused_share:.2f} %{ids}), {self.wrong} wrong, {self.unsound} not compared"
        )


class RoundAbortedError(Exception):
    """The two sides have come apart; what follows would tell nothing."""


class Round:
    """One schema with its data, and statements on it."""

    def __init__(self, lab: Lab, seed: int, counts: Counts, report: Report, *, shrink: bool) -> None:
        self._lab = lab
        self._seed = seed
        self._rng = Random(seed)
        self._counts = counts
        self._report = report
        self._shrink = shrink
        self._script: list[str] = []
        self._judge = Judge(lab)
        self.schema: Schema = random_schema(self._rng)

    def run(self, statements: int) -> None:
        """Make the tables, fill them, and run that many statements."""
        end = self._counts.statements + statements
        selects = Selects(self._rng, self.schema)
        try:
            self._create()
            while self._counts.statements < end:
                form = self._rng.random()
                if form < 0.66:
                    self._queries(selects.query())
                elif form < 0.68:
                    self._question(question(self._rng, self.schema))
                elif form < 0.94:
                    self._write(any_write(self._rng, self.schema))
                else:
                    self._transaction(transaction(self._rng, self.schema))
                if self._rng.random() < 0.02:
                    self._compare_tables()
                    self._check_strays()
            self._compare_tables()
            self._check_strays()
        except RoundAbortedError:
            pass
        finally:
            self._lab.hang_up()

    def _create(self) -> None:
        strays = self._lab.strays
        if strays is not None:
            strays.withdraw()
        for table in self.schema.tables:
            for client in (self._lab.proxy, self._lab.oracle):
                client.run(f"DROP TABLE IF EXISTS {table.name}")
            self._both(table.ddl)
        if strays is not None:
            for table in self.schema.sharded:
                strays.plant(Random(f"{self._seed} {table.name}"), table)
            strays.announce()
        for table in self.schema.tables:
            for _ in range(5):
                self._write(insert(self._rng, table, 8, verb="INSERT IGNORE"))

    def _both(self, sql: str) -> Kind:
        verdict = self._judge.both(sql, rows=False)
        self._script.append(sql)
        if verdict.kind is Kind.WRONG:
            self._wrong(verdict, self._script[-12:])
            raise RoundAbortedError
        return verdict.kind

    def _count(self, verdict: Verdict, sql: str) -> None:
        counts = self._counts
        counts.statements += 1
        counts.rejected += verdict.kind is Kind.REJECTED
        counts.unsound += verdict.kind is Kind.UNSOUND
        if verdict.kind is Kind.REFUSED:
            counts.refused[verdict.got.refusal] += 1
            counts.refusals.setdefault(verdict.got.message, f"seed {self._seed}: {sql}")

    def _queries(self, query: Query) -> None:
        """A query, and at times some more of its kind."""
        if self._rng.random() < 0.1:
            query = respelled(self._rng, query)
        self._query(query)
        while self._rng.random() < 0.3:
            self._query(other_literals(self._rng, query))

    def _question(self, sql: str) -> None:
        verdict = self._judge.question(sql)
        self._count(verdict, sql)
        if verdict.kind is Kind.WRONG:
            self._wrong(verdict, [*self._tables_of(sql), sql])

    def _query(self, query: Query) -> None:
        verdict = self._judge.query(query)
        self._count(verdict, query.sql)
        if verdict.kind is not Kind.WRONG:
            if verdict.kind is Kind.SAME and query.counts_rows and self._rng.random() < 0.1:
                self._ask("SELECT FOUND_ROWS()", query.sql)
            return
        if not self._shrink or not verdict.applied:
            self._wrong(verdict, [*self._tables_of(query.sql), query.sql])
            return
        verdict, script = Shrinker(self._lab, self.schema, self._judge).shrink(query, verdict)
        self._wrong(verdict, script)
        raise RoundAbortedError

    def _write(self, write: Write, *, inside: bool = False) -> None:
        verdict = self._judge.write(write.sql, inside=inside)
        self._count(verdict, write.sql)
        if verdict.kind is Kind.WRONG:
            about = [sql for sql in self._script if re.search(rf"\b{write.table.name}\b", sql)] if self._shrink else []
            self._wrong(verdict, [*(about or [write.table.ddl]), write.sql])
            if verdict.applied and verdict.got.affected != verdict.expected.affected:
                raise RoundAbortedError
        if verdict.applied and not verdict.got.errno:
            self._script.append(write.sql)
            if write.table.auto and self._rng.random() < 0.7:
                self._ask("SELECT LAST_INSERT_ID()", write.sql)
            elif self._rng.random() < 0.2:
                questions = _SESSION if write.sql.startswith(("INSERT", "REPLACE")) else _SESSION[:3]
                self._ask(self._rng.choice(questions), write.sql)
        elif write.table.auto and not inside:
            # What a failed INSERT leaves of counters and of LAST_INSERT_ID() is not defined: begin anew.
            self._lab.hang_up()
            self._both(f"ALTER TABLE {write.table.name} AUTO_INCREMENT = 50000")

    def _ask(self, sql: str, after: str) -> None:
        """A question about the session, whose answer is the same on both sides."""
        verdict = self._judge.both(sql, rows=True)
        if verdict.kind is Kind.WRONG:
            self._wrong(verdict, [*self._tables_of(after), *self._script[-4:], after, sql])
            raise RoundAbortedError

    def _transaction(self, steps: list[str | Write]) -> None:
        for step in steps:
            if isinstance(step, Write):
                self._write(step, inside=True)
            elif step.startswith("SELECT"):
                self._query(Query([], "", star=step.removeprefix("SELECT ")))
            else:
                self._counts.statements += 1
                self._counts.rejected += self._both(step) is Kind.REJECTED

    def _compare_tables(self) -> None:
        for table in self.schema.tables:
            sql = f"SELECT * FROM {table.name}"
            verdict = self._judge.both(sql, rows=False)
            through, expected = Counter(verdict.got.rows), Counter(verdict.expected.rows)
            if through != expected or verdict.kind is Kind.WRONG:
                missing, extra = list((expected - through).elements()), list((through - expected).elements())
                verdict.fault = f"contents differ: {missing[:3]} missing, {extra[:3]} too many"
                self._wrong(verdict, [*[text for text in self._script if re.search(rf"\b{table.name}\b", text)], sql])
                raise RoundAbortedError

    def _check_strays(self) -> None:
        """Rows that lie where they do not belong are for those who move them, and for nobody else."""
        fault = self._lab.strays.fault(self.schema) if self._lab.strays is not None else ""
        if fault:
            self._wrong(Verdict(Kind.WRONG, Answer(), Answer(), fault), self._script[-12:])
            raise RoundAbortedError

    def _tables_of(self, sql: str) -> list[str]:
        return [table.ddl for table in self.schema.tables if re.search(rf"\b{table.name}\b", sql)]

    def _wrong(self, verdict: Verdict, script: list[str]) -> None:
        self._counts.wrong += 1
        log = "" if verdict.applied else self._proxy_log()
        self._report(Finding(self._seed, verdict.fault, script, verdict.expected.shown, verdict.got.shown, log))

    def _proxy_log(self) -> str:
        """The end of the first traceback in the proxy's last line that has one."""
        lines = [line for line in self._lab.log().splitlines() if "Traceback" in line]
        text = lines[-1].replace("\\n", "\n") if lines else "nothing"
        return text.split("During handling of")[0][-700:]


def run(lab: Lab, seed: int, statements: int, report: Report, *, per_round: int = 500, shrink: bool = True) -> Counts:
    """Rounds of `per_round` statements, each with a schema of its own, from `seed` on."""
    counts = Counts()
    while counts.statements < statements and counts.wrong < _MOST_WRONG:
        Round(lab, seed, counts, report, shrink=shrink).run(min(per_round, statements - counts.statements))
        seed += 1
    return counts
