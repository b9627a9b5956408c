"""How a check of a solver is run: over its cases, in order, with the first that fails shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qdeq.testing.comparison import Mismatch, told
from qdeq.testing.report import CheckResult, Failure, first_sentence
from qdeq.testing.solver_subject import NotTried, SolverSubject
from qdeq.testing.surroundings import surroundings_kept


@dataclass(frozen=True)
class SolverCheck:
    """One check.

    Attributes:
        name: Its name, part of the API.
        test: The function; raises :class:`Mismatch`.
        cases: Returns what it is run on, by what each is called, the simplest first.
    """

    name: str
    test: Callable[[SolverSubject, Any], None]
    cases: Callable[[SolverSubject], Mapping[str, Any]]

    @property
    def proves(self) -> str:
        """The first sentence of the function's docstring."""
        return first_sentence(self.test)


SOLVER_CHECKS: dict[str, SolverCheck] = {}
"""All checks, by name."""


def check(
    name: str, cases: Callable[[SolverSubject], Mapping[str, Any]]
) -> Callable[[Callable[[SolverSubject, Any], None]], Callable[[SolverSubject, Any], None]]:
    """Register a function as a check; the arguments are those of :class:`SolverCheck`."""

    def register(test: Callable[[SolverSubject, Any], None]) -> Callable[[SolverSubject, Any], None]:
        SOLVER_CHECKS[name] = SolverCheck(name, test, cases)
        return test

    return register


def run_check(check: SolverCheck, subject: SolverSubject) -> CheckResult:
    """Run one check on all its cases; of several failures, the first is shown and all are named."""
    start = time.perf_counter()
    subject.worst = None
    failing: dict[str, Exception] = {}
    tried, elsewhere = 0, ""
    for label, case in check.cases(subject).items():
        try:
            with surroundings_kept():
                check.test(subject, case)
        except NotTried as named:
            elsewhere = str(named)
            continue
        except Exception as error:  # a plug-in may fail in any way
            if not isinstance(error, Mismatch) and subject.raised and check.name != "completes":
                elsewhere = "completes"
                continue
            failing[label] = error
        tried += 1
    difference, tolerance = subject.worst or (None, None)
    result = CheckResult(check.name, check.proves, "passed", tried, difference, tolerance)
    if failing:
        label, first = next(iter(failing.items()))
        numbers = (first.difference, first.tolerance) if isinstance(first, Mismatch) else (None, None)
        problem, expected, got, raised = told(first, "a solution")
        given = {"on": label, "solver": str(subject.solver)}
        failure = Failure(problem, expected, got, given, raised=raised)
        reason = f"fails for {', '.join(failing)}"
        result = CheckResult(check.name, check.proves, "failed", tried, *numbers, reason=reason, failure=failure)
    elif not tried:
        result = replace(result, status="skipped", reason=f"nothing to show that {elsewhere} does not show")
    return replace(result, seconds=time.perf_counter() - start)
