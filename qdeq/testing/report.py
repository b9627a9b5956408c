"""What the kits found out: a verdict on each check, and the smallest case in which a plug-in fails."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from qdeq.errors import BackendError, DataError, QdeqError, SolverError, did_you_mean

_MARKS = {"passed": "passed ", "failed": "FAILED ", "skipped": "skipped"}
_LONGEST_JSON = 600


@dataclass(frozen=True)
class Failure:
    """The smallest failing case that was found.

    Attributes:
        problem: What is wrong, in a line or two.
        expected: What it should be.
        got: What it is.
        given: What it was tried on, each part as text.
        drawing: The circuit, drawn, where there is one.
        circuit: Its JSON, which ``Circuit.from_json`` reads.
        raised: Of an exception, its type and where its cause was raised; empty where nothing was.
    """

    problem: str
    expected: str
    got: str
    given: dict[str, str]
    drawing: str = ""
    circuit: str = ""
    raised: str = ""

    def lines(self) -> list[str]:
        """Return the failure as lines of text."""
        found = [*self.problem.splitlines()]
        found += [f"  {line}" for line in self.drawing.splitlines()]
        text = self.circuit if len(self.circuit) <= _LONGEST_JSON else self.circuit[:_LONGEST_JSON] + " ..."
        rows = {"circuit": text, **self.given, "expected": self.expected, "got": self.got}
        return found + [f"{label + ':':<13}{value}" for label, value in rows.items() if value]


@dataclass(frozen=True)
class CheckResult:
    """The verdict of one check.

    Attributes:
        name: The check's name.
        proves: What it proves, in a sentence.
        status: ``"passed"``, ``"failed"`` or ``"skipped"``.
        examples: Cases that were tried.
        difference: Largest difference that was seen (of a failed check, in the smallest failing case); None where
            nothing numerical was compared.
        tolerance: What was allowed there.
        reason: Why the check was skipped, or what it fails for.
        failure: The smallest failing case.
        seconds: How long it took.
    """

    name: str
    proves: str
    status: Literal["passed", "failed", "skipped"]
    examples: int = 0
    difference: float | None = None
    tolerance: float | None = None
    reason: str = ""
    failure: Failure | None = None
    seconds: float = 0.0

    @property
    def summary(self) -> str:
        """Examples and largest difference, or the reason, in one line."""
        if self.status == "skipped":
            return self.reason
        text = f"{self.examples} example{'s' if self.examples != 1 else ''}"
        if self.difference is not None:
            text += f", largest difference {self.difference:.1e}"
            text += f" of {self.tolerance:.1e}" if self.tolerance is not None else ""
        return f"{text}; {self.reason}" if self.reason else text

    def to_data(self) -> dict[str, Any]:
        """Return the result as JSON-ready values."""
        failure = None if self.failure is None else dict(vars(self.failure))
        if failure is not None:
            failure["circuit"] = json.loads(failure["circuit"]) if failure["circuit"] else None
        return dict(vars(self), failure=failure)


@dataclass(frozen=True, kw_only=True)
class Report(ABC):
    """The verdict on a plug-in.

    Attributes:
        results: One result a check, in the order of the checks.
    """

    error: ClassVar[type[QdeqError]]

    results: tuple[CheckResult, ...]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The failed checks."""
        return tuple(result for result in self.results if result.status == "failed")

    @property
    def ok(self) -> bool:
        """Whether no check failed, and not all were skipped."""
        return not self.failed and any(result.status == "passed" for result in self.results)

    def __getitem__(self, name: str) -> CheckResult:
        """Return the result of one check, by name."""
        return {result.name: result for result in self.results}[name]

    def raise_if_failed(self) -> None:
        """Raise what ``str`` says where a check failed, or none could be run.

        Raises:
            QdeqError: The plug-in is not right; a BackendError, a SolverError or a DataError.
        """
        if not self.ok:
            raise self.error(str(self))

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.to_data(), indent=2, ensure_ascii=False, default=str)

    def to_data(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        about = {key: value for key, value in vars(self).items() if key != "results"}
        return {"format_version": 1, **about, "ok": self.ok, "results": [result.to_data() for result in self.results]}

    @abstractmethod
    def headline(self) -> str:
        """Return what was checked and how it went, in a line or two."""

    def _counts(self) -> str:
        counts: Counter[str] = Counter(result.status for result in self.results)
        return ", ".join(f"{counts[status]} {status}" for status in _MARKS)

    def explanations(self) -> list[str]:
        """Return one text a failed check: what it proves, and the smallest failing case.

        Checks in which the same exception was raised at the same place share one, with the first one's case.
        """
        groups: dict[str, list[CheckResult]] = {}
        for result in self.failed:
            groups.setdefault((result.failure and result.failure.raised) or result.name, []).append(result)
        return [_explanation(group) for group in groups.values()]

    def _rows(self) -> list[str]:
        width = max((len(result.name) for result in self.results), default=0)
        return [f"  {_MARKS[result.status]} {result.name:<{width}}  {result.summary}" for result in self.results]

    def __str__(self) -> str:
        return "\n".join([self.headline(), *self._rows(), *(f"\n{text}" for text in self.explanations())])


def _explanation(group: list[CheckResult]) -> str:
    first = group[0]
    head = f"{first.name}: {first.proves}"
    if len(group) > 1:
        head += f"\nThe same exception fails {len(group) - 1} more: {', '.join(result.name for result in group[1:])}"
    lines = first.failure.lines() if first.failure else [first.reason]
    return "\n".join([head, *(f"  {line}" for line in lines)])


@dataclass(frozen=True, kw_only=True)
class BackendReport(Report):
    """The verdict on a backend.

    Attributes:
        backend: Its name.
        version: Its version.
        precision: What its capabilities say.
        seed: Seed of the drawn cases.
        examples: Cases asked for per check.
        refused: Gates of the table that it refuses.
    """

    error = BackendError

    backend: str
    version: str
    precision: str
    seed: int
    examples: int
    refused: tuple[str, ...]

    def headline(self) -> str:
        """Return the counts, the seed and what the backend refuses, in a line or two."""
        text = f"backend {self.backend} ({self.version}): {self._counts()}"
        text += f"; seed {self.seed}, {self.examples} examples, precision {self.precision}"
        return text + (f"\nrefuses the gates {', '.join(self.refused)}" if self.refused else "")


@dataclass(frozen=True)
class ProblemVerdict:
    """What a solver made of one problem of the table.

    Attributes:
        problem: The problem's name.
        verdict: ``"solved"``: every sample that has a root converged to one; ``"honest failure"``: not all did, and the
            others are said to have failed; ``"dishonest"``: what is said of a sample is not so; ``"raised"``: no
            solution came back.
        samples: Samples that have a root.
        converged: How many of them converged.
        evaluations: Mean number of evaluations of f that was spent on a sample; None where it raised.
        remark: The first untruth, or the exception.
    """

    problem: str
    verdict: Literal["solved", "honest failure", "dishonest", "raised"]
    samples: int
    converged: int
    evaluations: float | None
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class SolverReport(Report):
    """The verdict on a solver.

    Attributes:
        solver: Its name.
        options: Its options, as it was checked.
        problems: One verdict a problem of the table.
    """

    error = SolverError

    solver: str
    options: dict[str, Any]
    problems: tuple[ProblemVerdict, ...] = field(default=())

    def headline(self) -> str:
        """Return the counts, and what became of the problems, in a line."""
        verdicts = Counter(problem.verdict for problem in self.problems)
        told = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in sorted(verdicts, reverse=True))
        return f"solver {self.solver}: {self._counts()}; of {len(self.problems)} problems {told}"

    def to_data(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return dict(super().to_data(), problems=[vars(problem) for problem in self.problems])

    def _rows(self) -> list[str]:
        width = max((len(row.problem) for row in self.problems), default=0)
        rows = [
            f"  {row.problem:<{width}}  {row.verdict:<14}  {row.converged} of {row.samples}"
            + ("" if row.evaluations is None else f", {row.evaluations:.1f} evaluations")
            + (f"; {row.remark}" if row.remark else "")
            for row in self.problems
        ]
        return [*super()._rows(), *rows]


@dataclass(frozen=True, kw_only=True)
class DatasetReport(Report):
    """The verdict on a data set.

    Attributes:
        dataset: Its name.
        options: Its options, as it was checked.
        train: Number of training images, or of all; None where they are not here.
        test: Number of test images; None where there is no official test split.
        class_names: Its classes.
    """

    error = DataError

    dataset: str
    options: dict[str, Any]
    train: int | None = None
    test: int | None = None
    class_names: tuple[str, ...] = ()

    def headline(self) -> str:
        """Return the counts, and how many images there are, in a line."""
        images = "no images"
        if self.train is not None:
            tests = "" if self.test is None else f" and {self.test} test"
            images = f"{self.train}{' training' * bool(tests)}{tests} images of {len(self.class_names)} classes"
        return f"data set {self.dataset}: {self._counts()}; {images}"


def first_sentence(test: Callable[..., Any]) -> str:
    """Return what a check proves: the first paragraph of its docstring, without the full stop."""
    return " ".join((test.__doc__ or "").split("\n\n")[0].split()).removesuffix(".")


def chosen(names: Iterable[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """Return those of the ``known`` checks that are named, in their order; all where ``names`` is None.

    Raises:
        QdeqError: There is no such check.
    """
    known = tuple(known)
    asked = known if names is None else tuple(names)
    for name in asked:
        if name not in known:
            raise QdeqError(f"unknown check {name!r}; there are: {', '.join(known)}.{did_you_mean(name, known)}")
    return tuple(name for name in known if name in asked)
