"""Compiled functions from expectations alone: density matrices, noise, devices.

Under any fixed linear channel an encoded expectation is a quadratic form in an amplitude-encoded vector, which
polarisation recovers from d(d+1)/2 prepared states, whatever the batch; and a multilinear one in the vectors of turned
qubits, which as many products of known states determine as it has coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from qdeq.backends.analysis import Analysis, product_encoding
from qdeq.backends.function import FrozenFunction
from qdeq.backends.product_form import ProductForm
from qdeq.backends.quadratic_form import QuadraticForm
from qdeq.backends.shifts import shifted_circuits
from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.observables import Observable

if TYPE_CHECKING:
    from qdeq.backends.base import Backend

EVALUATIONS_PER_SOLVE = 8
"""What a solve takes, for the choice between circuits and probing."""


def probing_pays(circuit: Circuit, analysis: Analysis, batch: int, *, adjoint: bool = False) -> bool:
    """Whether a training step by probing runs fewer circuits than one circuit per sample, evaluation and shift.

    A step by circuits has :data:`EVALUATIONS_PER_SOLVE` evaluations, the Jacobian (two circuits for each qubit under
    amplitude encoding, the shifts of all inputs otherwise) and the shifts of all weights, for every sample.

    Args:
        circuit: The circuit.
        analysis: What can be compiled of it.
        batch: Samples in a step.
        adjoint: Whether one run gives the derivative of an expectation in all angles.
    """
    shifts = 1 if adjoint else len(shifted_circuits(circuit, Weight).circuits)
    inputs = len(shifted_circuits(circuit, Input).circuits)
    inputs = (min(inputs, circuit.num_qubits) if adjoint else inputs) if inputs else 2 * circuit.num_qubits
    return num_probes(analysis) * (1 + shifts) < batch * (EVALUATIONS_PER_SOLVE + inputs + shifts)


WeightGradient = Callable[[Sequence[Circuit], Tensor, Tensor], Tensor]
"""Maps T circuits, inputs ``[B, I]`` and cotangents ``[T, B, O]`` to the gradient ``[P]`` in the weights."""


def compile_by_probing(
    backend: Backend,
    circuit: Circuit,
    analysis: Analysis,
    weights: Tensor,
    observables: Sequence[Observable],
    gradient: WeightGradient | None = None,
) -> FrozenFunction:
    """Compile a circuit from expectations at known states.

    Args:
        backend: Any that evaluates circuits.
        circuit: The circuit.
        analysis: What :func:`~qdeq.backends.analysis.analyse` said of it.
        weights: ``[P]``.
        observables: What to measure.
        gradient: The backend's own way to the gradient in the weights; from shifted circuits by default.
    """
    probe = _PairProbe(analysis.amplitude) if analysis.amplitude is not None else _ProductProbe(circuit, analysis)
    circuits, inputs = probe.circuits(circuit), probe.inputs(circuit)
    values: Tensor = _Probed.apply(weights, backend, circuits, inputs, tuple(observables), gradient)
    if isinstance(probe, _PairProbe):
        return QuadraticForm(probe.assemble(values))
    return ProductForm(probe.assemble(values), product_encoding(circuit, weights.dtype, weights.device))


def num_probes(analysis: Analysis) -> int:
    """Return the number of known states that determine a compiled function."""
    if analysis.amplitude is not None:
        return analysis.amplitude * (analysis.amplitude + 1) // 2
    return int(np.prod([3 if len(turns) == 1 else 4 for _, turns in analysis.product], dtype=np.int64))


class _Probed(torch.autograd.Function):
    """Expectations ``[K, O]`` of K probes; backward, of the same probes through the circuit at shifted weights."""

    @staticmethod
    def forward(ctx, weights, backend, circuits, inputs, observables, gradient):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(weights)
        ctx.problem = backend, circuits, inputs, observables, gradient
        return backend.evaluate(circuits, inputs.to(weights), weights.detach(), observables)[0].flatten(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, cotangent):  # type: ignore[no-untyped-def]
        (weights,) = ctx.saved_tensors
        backend, circuits, inputs, observables, own = ctx.problem
        if own is not None:
            return own(circuits, inputs.to(weights), cotangent.unflatten(0, (len(circuits), -1))), *[None] * 5
        gradient = torch.zeros_like(weights)
        shifts = [shifted_circuits(circuit, Weight) for circuit in circuits]
        flat = [shifted for each in shifts for shifted in each.circuits]
        if flat:
            values = backend.evaluate(flat, inputs.to(weights), weights, observables)[0]  # [S, B, O]
            owners = torch.tensor([k for k, each in enumerate(shifts) for _ in each.circuits], device=weights.device)
            along = (values * cotangent.unflatten(0, (len(circuits), -1))[owners]).sum(dim=(1, 2))
            real = [complex(c).real for each in shifts for c in each.coefficients]
            factors = torch.tensor(real, dtype=torch.float64).to(along)
            indices = torch.tensor([index for each in shifts for index in each.indices], device=weights.device)
            gradient.index_add_(0, indices, along * factors)
        return gradient, *[None] * 5


class _PairProbe:
    """Polarisation: f at e_i gives A_ii, f at (e_i + e_j)/√2 gives (A_ii + A_jj)/2 + A_ij."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._first, self._second = torch.triu_indices(size, size)

    def circuits(self, circuit: Circuit) -> tuple[Circuit, ...]:
        return (circuit,)

    def inputs(self, circuit: Circuit) -> Tensor:
        identity = torch.eye(self._size, circuit.num_inputs, dtype=torch.float64)
        return identity[self._first] + identity[self._second]

    def assemble(self, values: Tensor) -> Tensor:
        """Return A ``[O, d, d]`` from values ``[K, O]``."""
        first, second = self._first.to(values.device), self._second.to(values.device)
        diagonal = values[first == second]
        half = values - torch.where((first == second)[:, None], 0.0, (diagonal[first] + diagonal[second]) / 2)
        forms = values.new_zeros(self._size, self._size, values.shape[1])
        forms = forms.index_put((first, second), half)
        forms = forms.index_put((second, first), half)
        return forms.permute(2, 0, 1)


_PREPARATIONS = {"0": (), "1": ("X",), "+": ("H",), "+i": ("H", "S")}


class _ProductProbe:
    """The ansatz after products of known single-qubit states, from which each qubit's vector is solved for.

    A qubit turned about one axis only is probed with three states of its circle, any other with four.
    """

    def __init__(self, circuit: Circuit, analysis: Analysis) -> None:
        self._ansatz = analysis.ansatz
        self._qubits = analysis.product
        self._names, self._inverses = [], []
        for _, turns in analysis.product:
            single = [axis for axis, _ in turns] if len(turns) == 1 else None
            names = ("0", "1", "+i" if single == ["X"] else "+") if single else ("0", "1", "+", "+i")
            # the vectors (1, cos, sin) or (1, x, y, z) of these states; RX turns |0> towards -i, so sin = -1 at +i
            rows = {
                3: [[1, 1, 0], [1, -1, 0], [1, 0, -1 if single == ["X"] else 1]],
                4: [[1, 0, 0, 1], [1, 0, 0, -1], [1, 1, 0, 0], [1, 0, 1, 0]],
            }[len(names)]
            self._names.append(names)
            self._inverses.append(torch.tensor(rows, dtype=torch.float64).inverse())

    def circuits(self, circuit: Circuit) -> tuple[Circuit, ...]:
        """Return one circuit without inputs for each product of probe states, the first qubit's state slowest."""
        preparations: list[tuple[Gate, ...]] = [()]
        for (qubit, _), names in zip(self._qubits, self._names, strict=True):
            preparations = [
                (*before, *(Gate(gate, qubit) for gate in _PREPARATIONS[name]))
                for before in preparations
                for name in names
            ]
        return tuple(replace(circuit, operations=(*gates, *self._ansatz)) for gates in preparations)

    def inputs(self, circuit: Circuit) -> Tensor:
        return torch.zeros(1, circuit.num_inputs, dtype=torch.float64)

    def assemble(self, values: Tensor) -> Tensor:
        """Return T ``[O, prod(sizes)]`` from values ``[K, O]``."""
        tensor = values.mT.reshape(values.shape[1], 1, -1)
        for inverse in self._inverses:
            matrix = inverse.to(tensor)
            tensor = (matrix @ tensor.unflatten(2, (len(matrix), -1))).flatten(1, 2)
        return tensor.reshape(values.shape[1], -1)
