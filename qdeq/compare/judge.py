"""From two measurements to differences and what they may be: absolute ones, or under shots in standard errors."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qdeq.backends import Backend, get_backend
from qdeq.compare.measure import Measurement, Subject, injected, measure
from qdeq.compare.result import QUANTITIES, Difference
from qdeq.compare.tolerances import (
    FALSE_ALARM,
    FUNCTION,
    GRADIENT,
    REPEATS,
    TRAINING_GROWTH,
    bernstein,
    student,
)
from qdeq.jacobians import jacobian


@dataclass(frozen=True, eq=False)
class Native:
    """The native measurement, and what follows from it.

    Attributes:
        subject: Experiment and samples.
        measured: The reference.
        function: The native f at exact expectations, ``[B, n] -> [B, n]``.
        amplification: How much a difference of f may grow in the state, the largest over the samples.
    """

    subject: Subject
    measured: Measurement
    function: Any
    amplification: float

    @classmethod
    def of(cls, subject: Subject, steps: int) -> Native:
        """Measure the native backend."""
        backend = get_backend("torch")
        measured = measure(subject, backend, steps=steps)
        spec = subject.spec
        exact = dataclasses.replace(subject, spec=spec.model_copy(update={"shots": None}))
        model = exact.model(backend).eval()
        with torch.no_grad():
            f, rows = injected(model, exact, subject.features, "compare")
            matrix = jacobian(f, measured.state, rows)
        if model.layers is None:
            identity = torch.eye(matrix.shape[1]).to(matrix)
            growth = 1 / torch.linalg.svdvals(identity - matrix)[:, -1]
        else:
            size = torch.linalg.matrix_norm(matrix, 2)
            growth = torch.stack([size**layer for layer in range(model.layers)]).sum(0)
        return cls(subject, measured, lambda y: f(y, *rows), growth.max().item())

    @property
    def solver_tolerance(self) -> float:
        """``||f(y) - y||`` at which a solve stops, the largest over the samples; 0 for direct layers.

        Where the native solve did not get that far (or takes a fixed number of steps), how far it got.
        """
        spec = self.subject.spec
        if spec.model.layers is not None:
            return 0.0
        solver = self.subject.model(get_backend("torch")).equilibrium.solver
        size = torch.linalg.vector_norm(self.measured.state, dim=1).max().item()
        return max(solver.atol + solver.rtol * size, self.measured.residual.max().item())

    @torch.no_grad()
    def residual(self, state: Tensor) -> Tensor:
        """Return ``||f(y) - y||`` ``[B]`` of the native f at another backend's states."""
        value: Tensor = self.function(state)
        return torch.linalg.vector_norm(value - state, dim=1)


@dataclass(frozen=True)
class ExactJudge:
    """Absolute differences.

    Args:
        native: The reference.
        override: One tolerance for every quantity, in place of those of the precision.
    """

    native: Native
    override: float | None = None

    def tolerances(self, precision: str) -> dict[str, float]:
        """Return the tolerance of each quantity for backends that simulate in ``precision``."""
        if self.override is not None:
            return dict.fromkeys(QUANTITIES, self.override)
        native, spec = self.native, self.native.subject.spec
        function, gradient = FUNCTION[precision], GRADIENT[precision]
        whole = math.sqrt(spec.model.qubits) * function  # from entries to the norm of a state
        state = native.amplification * (2 * native.solver_tolerance + whole)
        return {
            "function_y0": function,
            "function": function,
            "jacobian": gradient,
            "gradient_weights": gradient * max(1.0, native.amplification),
            "gradient_data": gradient * max(1.0, native.amplification),
            "state": state,
            "residual": whole,
            "losses": state * self._gain() * TRAINING_GROWTH ** (len(native.measured.losses) - 1),
        }

    def _gain(self) -> float:
        """Bound the change of the loss by that of the state: cross entropy has a gradient of at most √2."""
        subject = self.native.subject
        readout = subject.model(get_backend("torch")).readout
        repeats = readout.in_features / subject.spec.model.qubits
        norm = torch.linalg.matrix_norm(readout.weight.detach(), 2).item()
        return math.sqrt(2 * repeats) * norm / (1 - subject.spec.model.dropout)

    def differences(self, found: Measurement, precision: str) -> tuple[Difference, ...]:
        """Compare with the native measurement, the residual with that of the native f at the same states."""
        allowed = self.tolerances(precision)
        differences = []
        for quantity in QUANTITIES:
            value: Tensor = getattr(found, quantity)
            other = (
                self.native.residual(found.state) if quantity == "residual" else getattr(self.native.measured, quantity)
            )
            apart = (value - other).abs()
            where = worst(apart)
            differences.append(Difference(quantity, apart[where].item(), allowed[quantity], "absolute", where))
        return tuple(differences)


@dataclass(frozen=True, eq=False)
class ShotJudge:
    """Differences in standard errors.

    A function value is a mean of outcomes +1 and -1 whose exact expectation is known: its tolerance follows from
    Bernstein's inequality. For what is computed from such values the standard error is measured on independent native
    runs, and the tolerance is Student's. Backends that draw the native shots are equal, and differ by 0.

    Args:
        native: The reference.
        errors: Standard error of one native value, for each quantity.
        exact: The exact expectations for ``function_y0`` and ``function``.
        shots: Of a circuit.
        values: Number of values that are judged, over all backends.
        override: One tolerance for every quantity [standard errors].
    """

    native: Native
    errors: dict[str, Tensor]
    exact: dict[str, Tensor]
    shots: int
    values: int
    override: float | None = None

    @classmethod
    def of(cls, native: Native, shots: int, backends: int, override: float | None, steps: int) -> ShotJudge:
        """Measure the standard errors."""
        torch_backend = get_backend("torch")
        repeats = [_repeat(native, torch_backend, steps, number) for number in range(REPEATS)]
        errors = {}
        for quantity in QUANTITIES:
            entries = torch.stack([getattr(repeat, quantity) for repeat in repeats]).std(dim=0)
            # an entry may vary less by luck than by nature: no less than the quantity as a whole, or rounding
            errors[quantity] = entries.clamp_min(max(entries.square().mean().sqrt().item(), FUNCTION["float32"]))
        with torch.no_grad():
            start = torch.zeros_like(native.subject.state)
            exact = {"function_y0": native.function(start), "function": native.function(native.subject.state)}
        values = backends * sum(entry.numel() for entry in errors.values())
        return cls(native, errors, exact, shots, values, override)

    def differences(self, found: Measurement, precision: str) -> tuple[Difference, ...]:
        """Compare with the native measurement."""
        alarm = FALSE_ALARM / self.values
        differences = []
        for quantity, errors in self.errors.items():
            apart = (getattr(found, quantity) - getattr(self.native.measured, quantity)).abs()
            if quantity in self.exact:
                variance = (1 - self.exact[quantity].square()).clamp_min(1 / self.shots)
                error = (2 * variance / self.shots).sqrt()
                limit = variance.cpu().double().apply_(lambda v: bernstein(v, self.shots, alarm)).to(variance) / error
            else:
                error = errors * math.sqrt(2)
                limit = torch.full_like(error, student(alarm))
            if self.override is not None:
                limit = torch.full_like(error, self.override)
            units = apart / error
            where = worst(units / limit)
            unit = units[where].item()
            differences.append(Difference(quantity, unit, limit[where].item(), "standard errors", where))
        return tuple(differences)

    def same_shots(self, found: Measurement) -> bool:
        """Whether the sampled function values are the native ones."""
        return all(
            bool(((getattr(found, name) - getattr(self.native.measured, name)).abs() < 0.5 / self.shots).all())
            for name in self.exact
        )


def _repeat(native: Native, backend: Backend, steps: int, number: int) -> Measurement:
    return measure(native.subject, backend, steps=steps, at=native.measured.state, stream=f"compare/repeat/{number}")


def worst(values: Tensor) -> tuple[int, ...]:
    """Return the index of the largest entry; of one that is not a number, where there is any."""
    flat = int(torch.where(values.isnan(), math.inf, values).argmax())
    return tuple(int(index) for index in torch.unravel_index(torch.tensor(flat), values.shape))
