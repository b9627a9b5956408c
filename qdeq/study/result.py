"""What a study of solvers finds, as values that tables, plots and JSON are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from qdeq.errors import SolverError

FORMAT_VERSION = 1
"""Version of the JSON; a field that is renamed or dropped raises it."""


@dataclass(frozen=True)
class Spread:
    """The evaluations of f that the samples' solves took.

    A quantile is the smallest number within which at least that share of the samples had ended.
    """

    mean: float
    median: int
    p95: int
    largest: int


@dataclass(frozen=True)
class Solve:
    """The solve that the experiment asks for, with its own tolerance and budget.

    Attributes:
        converged: Number of samples that met the tolerance.
        failures: Number of samples by the name of the :class:`~qdeq.solvers.Status` that they failed with.
        evaluations: Of f, failed samples included.
        jacobians: Mean number of Jacobians of f that a sample's solve formed.
        residual: The worst sample's ``||f(y) - y||_2 / ||f(y)||_2``; None where it is not finite.
        seconds: Wall-clock time of the whole batch, the median of the timed solves.
        arrivals: Evaluations at which each converged sample had converged, sorted.
    """

    converged: int
    failures: dict[str, int]
    evaluations: Spread
    jacobians: float
    residual: float | None
    seconds: float
    arrivals: tuple[int, ...]


@dataclass(frozen=True)
class Reached:
    """How many evaluations a relative residual took.

    Attributes:
        tolerance: The relative residual ``||f(y) - y||_2 / ||f(y)||_2``.
        share: Part of the samples that reached it within the budget.
        median: Evaluations within which half of all samples had reached it; None where fewer ever did.
        p95: The same for 95 % of all samples.
    """

    tolerance: float
    share: float
    median: int | None
    p95: int | None


@dataclass(frozen=True)
class Curve:
    """Residual against evaluations: quantiles over the samples of the best relative residual so far.

    Attributes:
        evaluations: Spent when each iterate had been measured.
        low: The quantile :data:`qdeq.study.measure.BAND` ``[0]``.
        median: Of all samples.
        high: The quantile ``BAND[1]``. None where that share of the samples has no finite residual yet.
    """

    evaluations: tuple[int, ...]
    low: tuple[float | None, ...]
    median: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True)
class SolverResult:
    """One solver's row.

    Attributes:
        label: Its name, with the options that differ from the defaults.
        options: All of its options.
        outcome: ``"studied"``, or ``"failed"`` (it raised an error).
        reason: Why it failed.
        solve: None where it failed, as the next two are empty.
        reached: One for each tolerance.
        curve: Of a solve that goes on to the smallest tolerance.
    """

    label: str
    options: dict[str, Any]
    outcome: Literal["studied", "failed"]
    reason: str | None = None
    solve: Solve | None = None
    reached: tuple[Reached, ...] = ()
    curve: Curve | None = None


@dataclass(frozen=True)
class SolverStudy:
    """All solvers on one function.

    Attributes:
        name: Of the experiment.
        spec_hash: Hash of its spec.
        qdeq_version: Of this package.
        weights: Where they are from, for a sentence: ``"untrained, seed 0"``.
        images: What the samples are, for a sentence: ``"test images of digits"``.
        samples: Number of samples.
        qubits: Of the circuit.
        encoding: How the state enters it.
        backend: What ran it.
        precision: ``"float32"`` or ``"float64"``.
        rtol: Relative tolerance of the experiment's solve.
        atol: Absolute tolerance of the experiment's solve.
        max_steps: Its step budget.
        tolerances: The relative residuals that evaluations are counted to.
        results: The experiment's own solver first.
        notes: What a reader has to know to judge the figures, one sentence each.
    """

    name: str
    spec_hash: str
    qdeq_version: str
    weights: str
    images: str
    samples: int
    qubits: int
    encoding: str
    backend: str
    precision: str
    rtol: float
    atol: float
    max_steps: int
    tolerances: tuple[float, ...]
    results: tuple[SolverResult, ...]
    notes: tuple[str, ...]

    @property
    def studied(self) -> tuple[SolverResult, ...]:
        """The solvers that could be run."""
        return tuple(result for result in self.results if result.outcome == "studied")

    def to_json(self) -> str:
        """Return the whole study as JSON text."""
        data = {"format_version": FORMAT_VERSION, **asdict(self)}
        return json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> SolverStudy:
        """Return the study that :meth:`to_json` wrote.

        Raises:
            SolverError: The text is no study, or one of another version of the format.
        """
        try:
            data = json.loads(text)
            if data.pop("format_version") != FORMAT_VERSION:
                raise SolverError(f"the study was written in another format than {FORMAT_VERSION}; run it again")
            results = tuple(_result(row) for row in data.pop("results"))
            return cls(**_tuples(data), results=results)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SolverError(f"this is no study of solvers ({error}); `qdeq solve-study --json` writes one") from error


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where the values here have tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def _result(row: Mapping[str, Any]) -> SolverResult:
    solve, curve = row["solve"], row["curve"]
    return SolverResult(
        label=row["label"],
        options=row["options"],
        outcome=row["outcome"],
        reason=row["reason"],
        solve=solve and Solve(**{**_tuples(solve), "evaluations": Spread(**solve["evaluations"])}),
        reached=tuple(Reached(**entry) for entry in row["reached"]),
        curve=curve and Curve(**_tuples(curve)),
    )
