"""How a check is run: cases drawn by hypothesis, compared, and shrunk to the smallest that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.errors import HypothesisException
from hypothesis.strategies import SearchStrategy

from qdeq.errors import UnsupportedError
from qdeq.testing.cases import Case
from qdeq.testing.comparison import Mismatch, told
from qdeq.testing.report import CheckResult, Failure, first_sentence
from qdeq.testing.subject import Subject

SHRINKING_SECONDS = 20.0
"""How long a failing case is made smaller."""
LEAST_EXAMPLES = 6
"""Fewest cases of each variant of a check."""

_QUIET = settings(
    database=None,
    deadline=None,
    derandomize=False,  # the seed is given
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=tuple(HealthCheck),
    report_multiple_bugs=False,
    print_blob=False,
    verbosity=Verbosity.quiet,
)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: Its name, part of the API.
        test: The function; raises :class:`Mismatch`.
        cases: Returns the strategies that cases are drawn from, by what each is about.
        needs: Returns why the check does not apply, or an empty string.
        share: Part of the examples that it takes; a slow check takes fewer.
    """

    name: str
    test: Callable[[Subject, Case], None]
    cases: Callable[[Subject], Mapping[str, SearchStrategy[Case]]]
    needs: Callable[[Subject], str]
    share: float

    @property
    def proves(self) -> str:
        """The first sentence of the function's docstring."""
        return first_sentence(self.test)


CHECKS: dict[str, Check] = {}
"""All checks, by name, in the order in which they run."""


def exact(subject: Subject) -> str:
    """Return why checks of exact expectations do not apply."""
    return "" if subject.backend.capabilities.exact else "the backend has no exact expectations"


def shots(subject: Subject) -> str:
    """Return why checks of shots do not apply."""
    return "" if subject.backend.capabilities.shots else "the backend has no shots"


def always(subject: Subject) -> str:
    """Return an empty string."""
    return ""


def check(
    name: str,
    cases: Callable[[Subject], Mapping[str, SearchStrategy[Case]]],
    *,
    needs: Callable[[Subject], str] = exact,
    share: float = 1.0,
) -> Callable[[Callable[[Subject, Case], None]], Callable[[Subject, Case], None]]:
    """Register a function as a check; the arguments are those of :class:`Check`."""

    def register(test: Callable[[Subject, Case], None]) -> Callable[[Subject, Case], None]:
        CHECKS[name] = Check(name, test, cases, needs, share)
        return test

    return register


def run_check(check: Check, subject: Subject) -> CheckResult:
    """Run one check on all its variants; of several failures, the smallest is shown."""
    start = time.perf_counter()
    reason = check.needs(subject)
    variants = {} if reason else check.cases(subject)
    if not variants:
        return CheckResult(check.name, check.proves, "skipped", reason=reason or "the backend takes none of the gates")
    subject.worst = None
    share = int(subject.examples * check.share / len(variants))
    examples = max(1, min(LEAST_EXAMPLES, subject.examples), share)
    searches = {label: _Search(check, subject, strategy) for label, strategy in variants.items()}
    for search in searches.values():
        search.run(examples)
    tried = sum(search.tried for search in searches.values())
    refusals = [search.refusal for search in searches.values() if search.refusal]
    failing = {label: search for label, search in searches.items() if search.smallest}
    result = CheckResult(check.name, check.proves, "passed", tried, seconds=time.perf_counter() - start)
    if failing:
        first = min((search for search in failing.values()), key=lambda search: search.smallest[0].size)  # type: ignore[index]
        assert first.smallest is not None
        case, error = first.smallest
        difference, limit = (error.difference, error.tolerance) if isinstance(error, Mismatch) else (None, None)
        labels = f"fails for {', '.join(failing)}" if len(variants) > 1 else ""
        changes = {"status": "failed", "difference": difference, "tolerance": limit, "reason": labels}
        return CheckResult(**{**vars(result), **changes, "failure": _failure(case, error, first.unsteady)})
    if refusals and tried == 0:
        return CheckResult(**{**vars(result), "status": "skipped", "reason": f"refused: {refusals[0].splitlines()[0]}"})
    if subject.worst is not None:
        result = CheckResult(**{**vars(result), "difference": subject.worst[0], "tolerance": subject.worst[1]})
    return result


class _Failed(Exception):
    """Every failure looks the same to hypothesis, so that it shrinks across them."""


class _Enough(BaseException):
    """Time for shrinking is up; hypothesis lets it through, as it does Ctrl-C."""


class _Search:
    def __init__(self, check: Check, subject: Subject, strategy: SearchStrategy[Case]) -> None:
        self._check, self._subject, self._strategy = check, subject, strategy
        self.tried = 0
        self.refusal = ""
        self.smallest: tuple[Case, Exception] | None = None
        self.unsteady = False
        self._until = np.inf

    def run(self, examples: int) -> None:
        """Draw cases until one fails, and make it smaller."""

        def body(case: Case) -> None:
            error = self._attempt(case)
            if error is not None:
                raise _Failed

        given = hypothesis.given(self._strategy)(body)
        drawn = hypothesis.seed(self._subject.seed)(settings(_QUIET, max_examples=examples)(given))
        try:
            drawn()
        except (_Failed, _Enough):
            pass
        except (HypothesisException, ExceptionGroup):
            if self.smallest is None:
                raise
            self.unsteady = True  # the same case does not always fail

    def _attempt(self, case: Case) -> Exception | None:
        if time.perf_counter() > self._until:
            raise _Enough
        try:
            self._check.test(self._subject, case)
        except UnsupportedError as refusal:
            self.refusal = self.refusal or str(refusal)
            return None
        except Exception as error:  # a plug-in may fail in any way
            if self.smallest is None:
                self.tried += 1
                self._until = time.perf_counter() + SHRINKING_SECONDS
            if self.smallest is None or case.size <= self.smallest[0].size:
                self.smallest = case, error
            return error
        if self.smallest is None:
            self.tried += 1
        return None


def _failure(case: Case, error: Exception, unsteady: bool) -> Failure:
    problem, expected, got = told(error, "a value, or an error of qdeq.errors")
    if unsteady:
        problem += "\n(a second call with the same arguments did not always fail: the backend remembers, or is random)"
    drawing = case.circuit.draw(max_width=100)
    return Failure(problem, expected, got, case.given(), drawing, case.circuit.to_json())
