"""What a comparison finds, as values that tables, plots and JSON are made of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from qdeq.training.metrics import finite

FORMAT_VERSION = 1
"""Version of the JSON; a field that is renamed or dropped raises it."""

QUANTITIES = {
    "function_y0": "f(y0)",
    "function": "f(y)",
    "jacobian": "∂f/∂y",
    "gradient_weights": "dL/dθ",
    "gradient_data": "dL/dx",
    "state": "y*",
    "residual": "residual",
    "losses": "losses",
}
"""What is compared, in the order of the report, and how it is written there."""

MEANINGS = {
    "function_y0": "the measured circuit at y0 = 0",
    "function": "the measured circuit at a fixed random y",
    "jacobian": "its Jacobian there",
    "gradient_weights": "gradient of the loss in the weights, by implicit differentiation at the native equilibrium",
    "gradient_data": "gradient of the loss in the data, likewise",
    "state": "the equilibrium from y0 = 0 with the experiment's solver",
    "residual": "||f(y*) - y*|| at the backend's y*, as the backend has it and as the native function does",
    "losses": "loss at each step of a short training on the same samples",
}


@dataclass(frozen=True)
class Difference:
    """The largest difference of one quantity from the native one.

    Attributes:
        quantity: A key of :data:`QUANTITIES`.
        value: The difference, absolute or in standard errors; not finite where the backend's value is not.
        tolerance: What it may be, in the same unit.
        unit: ``"absolute"`` (exact expectations) or ``"standard errors"`` (shots).
        where: Index of the entry that is worst for its tolerance; the sample first, except for weights and losses.
    """

    quantity: str
    value: float
    tolerance: float
    unit: Literal["absolute", "standard errors"]
    where: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """Whether the difference is within its tolerance; NaN is not."""
        return self.value <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        fields = {**asdict(self), "value": finite(self.value), "where": list(self.where)}
        return {**fields, "ok": self.passed}


@dataclass(frozen=True)
class Cost:
    """What a backend spent.

    Attributes:
        converged: Samples whose solve converged; None where a fixed number of steps or layers was taken.
        noise_limited: Samples whose residual ended lost in the noise of the shots.
        steps: Mean number of solver steps of a sample.
        evaluations: Mean number of evaluations of f that a sample's solve took.
        residual: The worst sample's ``||f(y) - y||`` after the solve.
        executions: Circuits run, for ``function`` (at y0), ``jacobian``, ``gradient``, ``solve`` and
            ``training_step``. The native simulator runs a batch at once, and counts only where it runs circuits.
        seconds: Wall-clock time of a training step: the median, the first left out where there are more.
        losses: Loss at each step of the short training.
    """

    converged: int | None
    noise_limited: int
    steps: float
    evaluations: float
    residual: float
    executions: dict[str, int]
    seconds: float
    losses: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        losses = [finite(loss) for loss in self.losses]
        return {**asdict(self), "residual": finite(self.residual), "losses": losses}


Outcome = Literal["native", "compared", "unavailable", "refused", "failed"]
Verdict = Literal["same", "different", "failed", "incomplete", "nothing compared"]


@dataclass(frozen=True)
class BackendResult:
    """One backend's row.

    Attributes:
        label: Its name, with the options that differ from the defaults.
        outcome: ``"native"`` (the reference), ``"compared"``, ``"unavailable"`` (an extra is missing), ``"refused"``
            (it cannot do what the experiment asks for, or costs money without a budget) or ``"failed"`` (it raised an
            error).
        version: Name and version of the software that ran it.
        precision: What it simulates in.
        reason: Why it was not compared; for a missing extra with the pip command.
        differences: One for each quantity; empty where it was not compared.
        cost: None where it was not measured.
        same_shots: Under shots, whether its samples are the native ones, shot for shot; None without shots.
    """

    label: str
    outcome: Outcome
    version: str | None = None
    precision: str | None = None
    reason: str | None = None
    differences: tuple[Difference, ...] = ()
    cost: Cost | None = None
    same_shots: bool | None = None

    @property
    def failures(self) -> tuple[Difference, ...]:
        """The differences that pass their tolerance."""
        return tuple(difference for difference in self.differences if not difference.passed)

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it; a backend that was not run is neither right nor wrong, and passes."""
        return self.outcome != "failed" and not self.failures

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "backend": self.label,
            "outcome": self.outcome,
            "ok": self.passed,
            "version": self.version,
            "precision": self.precision,
            "reason": self.reason,
            "same_shots": self.same_shots,
            "differences": [difference.to_dict() for difference in self.differences],
            "cost": None if self.cost is None else self.cost.to_dict(),
        }


@dataclass(frozen=True)
class Comparison:
    """All backends on one experiment.

    Attributes:
        name: Of the experiment.
        spec_hash: Hash of the spec, in float64 and with the native backend.
        qdeq_version: Of this package.
        samples: Images that everything was measured on.
        shots: Measurements per circuit; None for exact.
        qubits: Of the circuit.
        solver: Name and options.
        fixed_steps: Solver steps that every solve takes; None where it tests for convergence.
        layers: Direct layers; None for an equilibrium.
        amplification: How much a difference of f may grow in y*: ``||(1 - J)^-1||_2``, the largest over the samples, J
            being the native Jacobian at the native equilibrium.
        results: The native backend's first.
        notes: What a reader has to know to judge the figures, one sentence each.
    """

    name: str
    spec_hash: str
    qdeq_version: str
    samples: int
    shots: int | None
    qubits: int
    solver: dict[str, Any]
    fixed_steps: int | None
    layers: int | None
    amplification: float
    results: tuple[BackendResult, ...]
    notes: tuple[str, ...]

    @property
    def compared(self) -> tuple[BackendResult, ...]:
        """The backends that were run and compared."""
        return tuple(result for result in self.results if result.outcome == "compared")

    @property
    def missing(self) -> tuple[BackendResult, ...]:
        """The backends that were asked for, and could not be run."""
        return tuple(result for result in self.results if result.outcome in ("unavailable", "refused"))

    @property
    def passed(self) -> bool:
        """Whether no difference passes its tolerance, and no backend failed."""
        return all(result.passed for result in self.results)

    @property
    def verdict(self) -> Verdict:
        """What came of it.

        ``"different"`` where a difference passes its tolerance; else ``"failed"`` where a backend raised an error,
        ``"nothing compared"`` where none could be run, ``"incomplete"`` where one could not, and ``"same"`` where all
        that were asked for are within their tolerances.
        """
        if any(result.failures for result in self.results):
            return "different"
        if not self.passed:
            return "failed"
        if not self.compared:
            return "nothing compared"
        return "incomplete" if self.missing else "same"

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("results", "notes")}
        return {
            "format_version": FORMAT_VERSION,
            "ok": self.passed,
            "verdict": self.verdict,
            **fields,
            "amplification": finite(self.amplification),
            "backends": [result.to_dict() for result in self.results],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return the whole comparison as JSON text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False, ensure_ascii=False)
