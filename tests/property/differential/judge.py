"""Puts one statement to both sides and says whether the proxy's answer is right."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tests.property.differential.clients import Answer
from tests.property.differential.compare import RowCheck, same_heads, same_outcome
from tests.property.differential.lab import Lab
from tests.property.differential.queries import Query

# The proxy's own errors that are faults rather than refusals: something broke inside, or a shard was lost.
_BROKEN = ("SP19", "SP14", "SP13", "SP1221")
_LOST = (2006, 2013)
# Faults of single rows: where several rows have one, the first that a server comes to is reported, and shards come to theirs.
_ROW_FAULTS = (1048, 1062, 1264, 1265, 1292, 1366, 1406, 1690)


class Kind(Enum):
    """What came of a statement."""

    SAME = "same"
    REJECTED = "rejected by both"
    REFUSED = "refused"
    WRONG = "wrong"
    UNSOUND = "not compared"


@dataclass
class Verdict:
    """The judgement, with what both sides said."""

    kind: Kind
    got: Answer
    expected: Answer
    fault: str = ""

    @property
    def applied(self) -> bool:
        """Whether the proxy's side may have changed its data."""
        return not self.got.refusal and self.got.errno not in _LOST


class Judge:
    """Compares the two sides of a lab, statement by statement."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._folds: dict[tuple[bytes, str], bytes] = {}

    def query(self, query: Query) -> Verdict:
        """A SELECT."""
        got, expected = self._lab.proxy.run(query.sql), self._lab.oracle.run(query.sql)
        verdict = self._errors(got, expected)
        if verdict.kind is not Kind.SAME:
            return verdict
        verdict.fault = same_heads(got, expected)
        if not verdict.fault:
            check = RowCheck(query, self.fold)
            ranked = [(*row, b"1") for row in expected.rows]
            if query.order or query.limit is not None:
                answer = self._lab.helper.run(query.ranked_sql)
                ranked = answer.rows
                if answer.errno or check.check(expected.rows, ranked):
                    return Verdict(Kind.UNSOUND, got, expected)
            verdict.fault = check.check(got.rows, ranked)
        if verdict.fault:
            verdict.kind = Kind.WRONG
        return verdict

    def write(self, sql: str, *, inside: bool) -> Verdict:
        """A write; `inside` a transaction or not. What the proxy does not do, the oracle forgets."""
        got = self._lab.proxy.run(sql)
        oracle = self._lab.oracle
        if Verdict(Kind.SAME, got, got).applied:
            expected = oracle.run(sql)
        else:
            trial = oracle if inside else self._lab.helper
            trial.run("SAVEPOINT _before" if inside else "BEGIN")
            expected = trial.run(sql)
            trial.run("ROLLBACK TO _before" if inside else "ROLLBACK")
        verdict = self._errors(got, expected)
        if verdict.kind is Kind.SAME:
            verdict.fault = same_outcome(got, expected)
            if not verdict.fault and sql.startswith(("INSERT", "REPLACE")) and got.warnings != expected.warnings:
                verdict.fault = f"{got.warnings} warnings, not {expected.warnings}"
            verdict.kind = Kind.WRONG if verdict.fault else Kind.SAME
        return verdict

    def both(self, sql: str, *, rows: bool) -> Verdict:
        """Something that both sides must answer alike: with the same `rows`, or at least the same error."""
        got, expected = self._lab.proxy.run(sql), self._lab.oracle.run(sql)
        if got.errno != expected.errno:
            return Verdict(Kind.WRONG, got, expected, "the two sides do not agree on success")
        if rows and got.rows != expected.rows:
            return Verdict(Kind.WRONG, got, expected, "the session's answer differs")
        return Verdict(Kind.REJECTED if got.errno else Kind.SAME, got, expected)

    def question(self, sql: str) -> Verdict:
        """Something whose rows come in one order."""
        got, expected = self._lab.proxy.run(sql), self._lab.oracle.run(sql)
        verdict = self._errors(got, expected)
        if verdict.kind is Kind.SAME:
            verdict.fault = same_heads(got, expected) or ("" if got.rows == expected.rows else "other rows")
            verdict.kind = Kind.WRONG if verdict.fault else Kind.SAME
        return verdict

    @staticmethod
    def _errors(got: Answer, expected: Answer) -> Verdict:
        """Compare success and errors."""

        def wrong(fault: str) -> Verdict:
            return Verdict(Kind.WRONG, got, expected, fault)

        if got.refusal.startswith(_BROKEN) or got.errno in _LOST:
            return wrong("the proxy broke")
        if expected.errno:
            if not got.errno:
                return wrong("the oracle gives an error")
            alike = got.errno == expected.errno or {got.errno, expected.errno} <= set(_ROW_FAULTS)
            if not got.refusal and not alike:
                return wrong("another error")
            return Verdict(Kind.REJECTED, got, expected)
        if got.refusal:
            return Verdict(Kind.REFUSED, got, expected)
        return wrong("the proxy gives an error") if got.errno else Verdict(Kind.SAME, got, expected)

    def fold(self, text: bytes, collation: str) -> bytes:
        """A string as its collation sees it."""
        key = (text, collation)
        if key not in self._folds:
            charset = collation.split("_")[0]
            value = text if "nopad" in collation else text.rstrip(b" ")
            literal = f"CONVERT(_utf8mb4 x'{value.hex()}' USING {charset})"
            answer = self._lab.helper.run(f"SELECT WEIGHT_STRING({literal} COLLATE {collation})")
            self._folds[key] = (answer.rows[0][0] or b"") if answer.rows else text
        return self._folds[key]
