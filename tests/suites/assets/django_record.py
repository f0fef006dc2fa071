"""Django's test runner, with one line of JSON per test into the file that $SUITES_RECORD names."""

import json
import os
import signal
import unittest
from pathlib import Path
from typing import Any

from django.test.runner import DiscoverRunner  # type: ignore[import-not-found]  # in the environment of the suites

_TEST_S = 60


class Recorder(unittest.TextTestResult):
    """A result that is written down as it comes."""

    def _tell(self, test: Any, outcome: str, note: str = "") -> None:
        with Path(os.environ["SUITES_RECORD"]).open("a") as record:
            record.write(json.dumps({"name": test.id(), "outcome": outcome, "note": note[-3000:]}) + "\n")

    def startTest(self, test: Any) -> None:  # noqa: N802  # unittest's names
        super().startTest(test)
        signal.signal(signal.SIGALRM, _give_up)
        signal.alarm(_TEST_S)

    def stopTest(self, test: Any) -> None:  # noqa: N802
        signal.alarm(0)
        super().stopTest(test)

    def addSuccess(self, test: Any) -> None:  # noqa: N802
        super().addSuccess(test)
        self._tell(test, "pass")

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self._tell(test, "pass")

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._tell(test, "skip", reason)

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._tell(test, "fail", self.errors[-1][1])

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._tell(test, "fail", self.failures[-1][1])

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._tell(test, "fail", "passes unexpectedly")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._tell(test, "fail", self._exc_info_to_string(err, test))  # type: ignore[attr-defined]  # unittest's own


def _give_up(*_: Any) -> None:
    raise TimeoutError("takes too long")


class Runner(DiscoverRunner):  # type: ignore[misc]  # likewise
    """Django's, told where to write."""

    def get_resultclass(self) -> Any:
        """For `run_suite`."""
        return Recorder
