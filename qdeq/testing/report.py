"""What :func:`qdeq.testing.check_backend` found out: verdicts, and the smallest failing circuits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from qdeq.errors import BackendError

_MARKS = {"passed": "passed ", "failed": "FAILED ", "skipped": "skipped"}
_LONGEST_JSON = 600


@dataclass(frozen=True)
class Failure:
    """The smallest failing case that was found.

    Attributes:
        problem: What is wrong, in a line or two.
        expected: What it should be.
        got: What it is.
        drawing: The circuit, drawn.
        circuit: The circuit's JSON, which ``Circuit.from_json`` reads.
        given: Inputs, weights and observables, each as text.
    """

    problem: str
    expected: str
    got: str
    drawing: str
    circuit: str
    given: dict[str, str]

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
            nothing
            numerical was compared.
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
        failure = None if self.failure is None else dict(vars(self.failure), circuit=json.loads(self.failure.circuit))
        return dict(vars(self), failure=failure)


@dataclass(frozen=True)
class BackendReport:
    """The verdict on a backend.

    Attributes:
        backend: Its name.
        version: Its version.
        precision: What its capabilities say.
        seed: Seed of the drawn cases.
        examples: Cases asked for per check.
        refused: Gates of the table that it refuses.
        results: One result a check, in the order of the checks.
    """

    backend: str
    version: str
    precision: str
    seed: int
    examples: int
    refused: tuple[str, ...]
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
            BackendError: The backend is not right.
        """
        if not self.ok:
            raise BackendError(str(self))

    def to_json(self) -> str:
        """Return the report as JSON text."""
        data = dict(vars(self), ok=self.ok, results=[result.to_data() for result in self.results])
        return json.dumps(data, indent=2, ensure_ascii=False)

    def headline(self) -> str:
        """Return the counts, the seed and what the backend refuses, in a line or two."""
        counts = [
            f"{sum(result.status == status for result in self.results)} {status}"
            for status in ("passed", "failed", "skipped")
        ]
        text = f"backend {self.backend} ({self.version}): {', '.join(counts)}"
        text += f"; seed {self.seed}, {self.examples} examples, precision {self.precision}"
        return text + (f"\nrefuses the gates {', '.join(self.refused)}" if self.refused else "")

    def explanations(self) -> list[str]:
        """Return one text a failed check: what it proves, and the smallest failing case."""
        return [
            "\n".join(
                [
                    f"{result.name}: {result.proves}",
                    *(f"  {line}" for line in (result.failure.lines() if result.failure else [result.reason])),
                ]
            )
            for result in self.failed
        ]

    def __str__(self) -> str:
        width = max((len(result.name) for result in self.results), default=0)
        rows = [f"  {_MARKS[result.status]} {result.name:<{width}}  {result.summary}" for result in self.results]
        return "\n".join([self.headline(), *rows, *(f"\n{text}" for text in self.explanations())])
