"""A frozen function that runs circuits: for every sample and evaluation, with derivatives by shifted circuits.

Angles follow the gate table's shift rules. Amplitude encoding has none, but it is a ratio of quadratic forms, and
these can be told apart by measuring at sums and differences: ``B(u, w) = (||u+w||² f(u+w) - ||u-w||² f(u-w)) / 4`` and
``df(v)·w = (2 B(v, w) - 2 f(v) <v, w>) / ||v||²``, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qdeq.backends.finite import on_finite_rows
from qdeq.backends.function import FrozenFunction, check_inputs
from qdeq.backends.sampling import ShotKey, least_error, number_of_shots
from qdeq.backends.shifts import shifted_circuits
from qdeq.backends.summation import norms
from qdeq.circuit import Angle, Circuit, Input, Weight
from qdeq.errors import UnsupportedError
from qdeq.functions import Function
from qdeq.injection import InjectedFunction, upsample, upsample_transposed
from qdeq.observables import Observable, measurement_groups

if TYPE_CHECKING:
    from qdeq.backends.base import Backend

INPUT_STREAMS = 1 << 20
"""First shot stream of circuits shifted in an input; those shifted in a weight begin at 1, the value itself has 0."""


class CircuitFunction(FrozenFunction):
    """Expectations from :meth:`Backend.evaluate`, whatever the backend.

    Args:
        backend: What runs the circuits.
        circuit: The circuit.
        weights: ``[P]``.
        observables: What to measure.
        shots: Measurements per circuit and group; None for exact.
        key: Names the streams of the shots.
    """

    def __init__(
        self,
        backend: Backend,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        *,
        shots: int | None = None,
        key: ShotKey | None = None,
    ) -> None:
        self.backend = backend
        self.circuit = circuit
        self.weights = weights
        self.observables = tuple(observables)
        self.shots = number_of_shots(shots)
        self.key = key

    @property
    def settings(self) -> int:  # type: ignore[override]
        """Measurements of :attr:`shots` shots each that an evaluation takes: one for each group of observables."""
        return len(measurement_groups(self.observables))

    def at_evaluation(self, number: int) -> CircuitFunction:
        """Return the function with the shot streams of another evaluation; itself where there are no shots."""
        return self if self.key is None else self._sampled(self.shots, replace(self.key, evaluation=number))

    def at_shots(self, shots: int) -> CircuitFunction:
        """Return the function with another number of shots; itself where there are none."""
        return self if self.key is None else self._sampled(shots, self.key)

    def for_samples(self, samples: Tensor) -> CircuitFunction:
        """Return the function with the shot streams of the samples ``[B]``; itself where there are no shots."""
        if self.key is None:
            return self
        return self._sampled(self.shots, replace(self.key, samples=tuple(samples.tolist())))

    def for_rows(self, rows: Sequence[int]) -> CircuitFunction:
        """Return the function with the shot streams of some rows of the batch; itself where there are no shots."""
        return self if self.key is None else self._sampled(self.shots, self.key.select(rows))

    def _sampled(self, shots: int | None, key: ShotKey) -> CircuitFunction:
        return CircuitFunction(self.backend, self.circuit, self.weights, self.observables, shots=shots, key=key)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]``."""
        check_inputs(inputs, self.circuit.num_inputs, self.weights)
        value: Tensor = _Shifted.apply(inputs, self.weights, self)
        return value

    def measure(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the expectations at inputs ``[B, I]`` and their standard errors; see :meth:`FrozenFunction.measure`.

        Unlike in :meth:`Backend.expectation` the error is never 0: shots with one outcome do not exclude others.
        """
        if self.shots is None:
            return super().measure(inputs)
        check_inputs(inputs, self.circuit.num_inputs, self.weights)
        value, error = self._evaluate((self.circuit,), inputs, part=0)
        assert error is not None
        return value[0], torch.hypot(error[0], least_error(self.observables, self.shots).to(error))

    def jacobian(self, inputs: Tensor, *, create_graph: bool = False) -> Tensor:
        """Return ``∂f/∂v``, shape ``[B, O, I]``, by shifted circuits or the bilinear rule."""
        self.refuse_graph(create_graph)
        result = self.angle_jacobian(inputs)
        if self.num_encoded:
            identity = torch.eye(inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
            result = result + self.directional(inputs, identity[: self.num_encoded], inputs.shape[1])
        return result

    @on_finite_rows
    def state_jacobian(self, inputs: Tensor, size: int) -> Tensor:
        """Return ``∂f/∂v W`` ``[B, O, n]`` for a state of n entries that is fed back (:mod:`qdeq.injection`)."""
        inner = upsample_transposed(self.angle_jacobian(inputs), size)
        if self.num_encoded:
            columns = upsample(torch.eye(size, dtype=inputs.dtype, device=inputs.device), inputs.shape[1])
            inner = inner + self.directional(inputs, columns, size)
        return inner

    @property
    def num_encoded(self) -> int:
        """Number of inputs that are amplitudes; 0 where the encoding has none, or holds numbers."""
        encoding = self.circuit.encoding
        return encoding.num_features if encoding is not None and encoding.values is None else 0

    def angle_jacobian(self, inputs: Tensor) -> Tensor:
        """Return ``∂f/∂v`` ``[B, O, I]`` through the angles alone, the encoded amplitudes held fixed."""
        shifted = shifted_circuits(self.circuit, Input)
        result = inputs.new_zeros(len(inputs), len(self.observables), inputs.shape[1])
        if shifted.circuits:
            values = self.values(shifted.circuits, inputs, part=INPUT_STREAMS)
            for value, index, coefficient in zip(values, shifted.indices, shifted.coefficients, strict=True):
                result[:, :, index] += value * complex(coefficient).real
        return result

    def directional(self, inputs: Tensor, directions: Tensor, size: int) -> Tensor:
        """Return ``df(v)·w`` ``[B, O, D]`` through the amplitudes alone, for directions w ``[D, I]`` (bilinear rule).

        Args:
            inputs: ``[B, I]``.
            directions: ``[D, I]``; every sample is moved by a multiple of the size of its own vector.
            size: Pad the result with zeros to this length.
        """
        v = inputs[:, : self.num_encoded]
        w = directions[:, : self.num_encoded]
        norm, length = norms(v)[:, 0], norms(w)[:, 0]
        length = torch.where(length == 0, 1.0, length)  # a direction of other inputs moves nothing
        # f is homogeneous, so any length of w is exact; that of v keeps sums and differences well conditioned
        factor = (norm[:, None] / length)[..., None]
        moved = torch.stack([v[:, None] + factor * w, v[:, None] - factor * w])  # [2, B, D, d]
        others = inputs[None, :, None].expand(2, -1, len(w), -1)  # the inputs of angles stay
        flat = torch.cat([moved, others], dim=-1).flatten(0, 2)
        repeated = self._repeated(2, len(directions), len(inputs))
        value = repeated.values((_with_own_angles(self.circuit),), flat)[0].unflatten(
            0, moved.shape[:3]
        )  # [2, B, D, O]
        weighed = value * moved.square().sum(-1, keepdim=True)
        bilinear = (weighed[0] - weighed[1]) / 4
        center = self.values((self.circuit,), inputs, part=0)[0]
        overlap = (factor * w * v[:, None]).sum(-1)
        empty = norm == 0
        square = torch.where(empty, torch.inf, norm.square())[:, None, None]
        rows = (
            2
            * (bilinear - center[:, None] * overlap[..., None])
            / (square * torch.where(empty[:, None, None], 1.0, factor))
        )
        rows = torch.where(empty[:, None, None], 0.0, rows).transpose(1, 2)
        return torch.nn.functional.pad(rows, (0, size - rows.shape[2]))

    def inject(self, x: Tensor, scale: Tensor | float, size: int) -> tuple[Function, tuple[Tensor, ...]]:
        """Return ``f(y, *rows) = q(x + s W y)``; the rows carry the samples' numbers, which name their shots."""
        names = range(len(x)) if self.key is None or self.key.samples is None else self.key.samples
        return _InjectedCircuits(self, scale), (x, torch.tensor(list(names), device=x.device))

    def values(self, circuits: Sequence[Circuit], inputs: Tensor, *, part: int = 1) -> Tensor:
        """Return the expectations ``[T, B, O]`` of T circuits; ``part`` numbers the first one's shot streams."""
        return self._evaluate(circuits, inputs, part=part)[0]

    def _evaluate(self, circuits: Sequence[Circuit], inputs: Tensor, *, part: int) -> tuple[Tensor, Tensor | None]:
        return self.backend.evaluate(
            circuits,
            inputs.detach(),
            self.weights.detach(),
            self.observables,
            shots=self.shots,
            key=self.key,
            part=part,
        )

    def weight_gradient(self, inputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``Σ_bo u_bo ∂f_bo/∂θ`` ``[P]`` for cotangents ``[B, O]``."""
        shifted = shifted_circuits(self.circuit, Weight)
        gradient = torch.zeros_like(self.weights)
        if shifted.circuits:
            along = (self.values(shifted.circuits, inputs) * cotangent).sum(dim=(1, 2))
            factors = torch.tensor(
                [complex(c).real for c in shifted.coefficients], dtype=along.dtype, device=along.device
            )
            gradient.index_add_(0, torch.tensor(shifted.indices, device=along.device), along * factors)
        return gradient

    def pull_back(
        self, inputs: Tensor, cotangent: Tensor, to_inputs: bool, to_weights: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients ``[B, I]`` and ``[P]`` for cotangents ``[B, O]``, each where it is asked for."""
        return (
            (self.jacobian(inputs) * cotangent[..., None]).sum(1) if to_inputs else None,
            self.weight_gradient(inputs, cotangent) if to_weights else None,
        )

    def _repeated(self, signs: int, directions: int, batch: int) -> CircuitFunction:
        """Return the function for a batch with every sample ``signs x directions`` times, each with its own shots."""
        if self.key is None:
            return self
        names = range(batch) if self.key.samples is None else self.key.samples
        copies = tuple(
            (sign * directions + direction) << 40 | name
            for sign in range(signs)
            for name in names
            for direction in range(directions)
        )
        return self.for_samples(torch.tensor(copies))

    def refuse_graph(self, create_graph: bool) -> None:
        """Refuse a derivative of the Jacobian."""
        if create_graph:
            raise UnsupportedError(
                f"backend {self.backend.name!r} running circuits has no derivative of the Jacobian; "
                "set training.jacobian_weight to 0, or execution: compiled"
            )


class _Shifted(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs, weights, function):  # type: ignore[no-untyped-def]
        ctx.function = function
        ctx.save_for_backward(inputs)
        return function.values((function.circuit,), inputs, part=0)[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, cotangent):  # type: ignore[no-untyped-def]
        (inputs,) = ctx.saved_tensors
        return *ctx.function.pull_back(inputs, cotangent, *ctx.needs_input_grad[:2]), None


@dataclass(frozen=True, eq=False)
class _InjectedCircuits(InjectedFunction):
    """``f(y, x, samples) = q(x + s W y)`` with a Jacobian from derivatives along the n columns of W only."""

    inner: CircuitFunction

    def chosen(self, *rows: Tensor) -> CircuitFunction:
        """Return q with the shot streams of the samples, which are the second row."""
        return self.inner.for_samples(rows[1])

    def jacobian(self, y: Tensor, *rows: Tensor, create_graph: bool = False) -> Tensor:
        """Return ``∂f/∂y`` ``[B, n, n]``."""
        function, (inputs,) = self.chosen(*rows), self.arguments(y, *rows)
        function.refuse_graph(create_graph)
        return self.scale * function.state_jacobian(inputs, y.shape[1])


@lru_cache(maxsize=256)
def _with_own_angles(circuit: Circuit) -> Circuit:
    """Return the circuit with the inputs of its angles numbered after the encoded ones, which can then move alone."""
    encoding = circuit.encoding
    assert encoding is not None

    def moved(angle: Angle) -> Angle:
        return replace(angle, index=angle.index + encoding.num_features) if isinstance(angle, Input) else angle

    return circuit.map_angles(moved)
