"""How a check of a solver or a data set is run: over its cases, in order, with the first that fails shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

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
    test: Callable[[Any, Any], None]
    cases: Callable[[Any], Mapping[str, Any]]

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


class Tried(Protocol):
    """What is checked."""

    told_by: ClassVar[str]
    """The check that reports what the plug-in raises at its work."""
    expects: ClassVar[str]
    """What should have come in place of an exception."""
    worst: tuple[float, float] | None

    @property
    def raised(self) -> bool:
        """Whether it has raised."""

    def given(self) -> dict[str, str]:
        """Return what was checked, as text."""


def run_check(check: SolverCheck, subject: Tried) -> CheckResult:
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
            if not isinstance(error, Mismatch) and subject.raised and check.name != subject.told_by:
                elsewhere = subject.told_by
                continue
            failing[label] = error
        tried += 1
    difference, tolerance = subject.worst or (None, None)
    result = CheckResult(check.name, check.proves, "passed", tried, difference, tolerance)
    if failing:
        label, first = next(iter(failing.items()))
        numbers = (first.difference, first.tolerance) if isinstance(first, Mismatch) else (None, None)
        problem, expected, got, raised = told(first, subject.expects)
        failure = Failure(problem, expected, got, {"on": label, **subject.given()}, raised=raised)
        reason = f"fails for {', '.join(failing)}"
        result = CheckResult(check.name, check.proves, "failed", tried, *numbers, reason=reason, failure=failure)
    elif not tried:
        reason = f"nothing to show that {elsewhere} does not show" if elsewhere else "it has nothing of the kind"
        result = replace(result, status="skipped", reason=reason)
    return replace(result, seconds=time.perf_counter() - start)
