"""How a check is run: cases drawn by hypothesis, compared, and shrunk to the smallest that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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
from qdeq.testing.surroundings import surroundings_kept

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
        root: Raises :class:`Mismatch` where a case, on which any check fails, shows what this one is named for.
        covers: Whether nothing else can be judged once it has.
    """

    name: str
    test: Callable[[Subject, Case], None]
    cases: Callable[[Subject], Mapping[str, SearchStrategy[Case]]]
    needs: Callable[[Subject], str]
    share: float
    root: Callable[[Subject, Case], None] | None = None
    covers: bool = True

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
    root: Callable[[Subject, Case], None] | None = None,
    covers: bool = True,
) -> Callable[[Callable[[Subject, Case], None]], Callable[[Subject, Case], None]]:
    """Register a function as a check; the arguments are those of :class:`Check`."""

    def register(test: Callable[[Subject, Case], None]) -> Callable[[Subject, Case], None]:
        CHECKS[name] = Check(name, test, cases, needs, share, root, covers)
        return test

    return register


def run_check(check: Check, subject: Subject) -> CheckResult:
    """Run one check on all its variants; of several failures, the smallest is shown."""
    start = time.perf_counter()
    covered = [name for name in subject.roots if CHECKS[name].covers and name != check.name]
    reason = f"cannot be judged before {' and '.join(covered)} passes" if covered else check.needs(subject)
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
    result = CheckResult(check.name, check.proves, "passed", tried, seconds=time.perf_counter() - start)
    failing = {label: search for label, search in searches.items() if search.smallest}
    if failing:
        first = min((search for search in failing.values()), key=lambda search: search.smallest[0].size)  # type: ignore[index]
        assert first.smallest is not None
        root_of(check, subject, first.smallest[0])
        reason = f"fails for {', '.join(failing)}" if len(variants) > 1 else ""
        return failed(result, *first.smallest, reason=reason, unsteady=first.unsteady)
    elsewhere = [name for name in subject.roots if CHECKS[name].covers and name != check.name]
    if elsewhere:
        return replace(result, status="skipped", reason=f"nothing to show that {elsewhere[0]} does not show")
    if refusals and tried == 0:
        return replace(result, status="skipped", reason=f"refused: {refusals[0].splitlines()[0]}")
    if subject.worst is not None:
        result = replace(result, difference=subject.worst[0], tolerance=subject.worst[1])
    return result


def root_of(check: Check, subject: Subject, case: Case) -> bool:
    """Whether a failing case shows what a check is named for; it is then noted."""
    if check.root is None:
        return False
    try:
        check.root(subject, case)
    except Mismatch as found:
        subject.blame(check.name, case, found)
        return True
    except Exception:  # whatever fails there is what the case fails with itself
        return False
    return False


def failed(
    result: CheckResult, case: Case, error: Exception, *, reason: str = "", unsteady: bool = False
) -> CheckResult:
    """Return the result of a check that fails on a case, with what the check raised there."""
    difference, limit = (error.difference, error.tolerance) if isinstance(error, Mismatch) else (None, None)
    failure = _failure(case, error, unsteady)
    return replace(result, status="failed", difference=difference, tolerance=limit, reason=reason, failure=failure)


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
            error = self._tried(case)
            roots = [] if error is None else [check for check in CHECKS.values() if check is not self._check]
            for check in roots:
                if root_of(check, self._subject, case):
                    if check.covers:
                        raise _Enough
                    error = self._tried(case)  # by other tolerances
        except UnsupportedError as refusal:
            self.refusal = self.refusal or str(refusal)
            return None
        if self.smallest is None:
            self.tried += 1
        if error is None:
            return None
        if self.smallest is None:
            self._until = time.perf_counter() + SHRINKING_SECONDS
        if self.smallest is None or case.size <= self.smallest[0].size:
            self.smallest = case, error
        return error

    def _tried(self, case: Case) -> Exception | None:
        """Return what the check raises; a refusal goes through."""
        try:
            with surroundings_kept():
                self._check.test(self._subject, case)
        except UnsupportedError:
            raise
        except Exception as error:  # a plug-in may fail in any way
            return error
        return None


def _failure(case: Case, error: Exception, unsteady: bool) -> Failure:
    problem, expected, got, raised = told(error, "a value, or an error of qdeq.errors")
    if unsteady:
        problem += "\n(a second call with the same arguments did not always fail: the backend remembers, or is random)"
    drawing = case.circuit.draw(max_width=100)
    return Failure(problem, expected, got, case.given(), drawing, case.circuit.to_json(), raised)
