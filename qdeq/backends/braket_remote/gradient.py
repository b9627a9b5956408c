"""Derivatives by AdjointGradient: one task gives one sample's vector-Jacobian product, in all its angles.

The observable of a task is the sample's own weighted sum, with the cotangent's entries as weights. Amplitudes that are
encoded are no angles; they follow the bilinear rule of :mod:`qdeq.backends.circuit_function`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qdeq.backends.braket_remote.programs import gradient_program
from qdeq.backends.circuit_function import CircuitFunction
from qdeq.backends.readout import observable_read
from qdeq.backends.shifts import shifted_circuits
from qdeq.billing.execution import Execution
from qdeq.circuit import Circuit, Input
from qdeq.observables import Observable, PauliSum, as_sum
from qdeq.operations import Weight

if TYPE_CHECKING:
    from qdeq.backends.braket_remote.backend import RemoteBraket


class AdjointFunction(CircuitFunction):
    """Exact expectations, with the device's own derivatives in angles."""

    backend: RemoteBraket
    cheap_products = True  # a task takes the weighted sum of all observables

    def angle_jacobian(self, inputs: Tensor) -> Tensor:
        """Return ``∂f/∂v`` ``[B, O, I]`` through the angles alone: O tasks a sample, or shifts where they are fewer."""
        count = len(self.observables)
        if len(shifted_circuits(self.circuit, Input).circuits) <= count:
            return super().angle_jacobian(inputs)
        units = torch.eye(count, dtype=inputs.dtype, device=inputs.device)[:, None].expand(-1, len(inputs), -1)
        return self._products((self.circuit,) * count, inputs, units)[0].transpose(0, 1)

    def weight_gradient(self, inputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``Σ_bo u_bo ∂f_bo/∂θ`` ``[P]`` for cotangents ``[B, O]``."""
        return self._products((self.circuit,), inputs, cotangent[None])[1]

    def pull_back(
        self, inputs: Tensor, cotangent: Tensor, to_inputs: bool, to_weights: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return both gradients from the same tasks; see :meth:`CircuitFunction.pull_back`."""
        if not (to_inputs and shifted_circuits(self.circuit, Input).circuits):
            return super().pull_back(inputs, cotangent, to_inputs, to_weights)
        along, weights = self._products((self.circuit,), inputs, cotangent[None])
        gradient = along[0]
        if self.num_encoded:
            identity = torch.eye(inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
            rows = self.directional(inputs, identity[: self.num_encoded], inputs.shape[1])
            gradient = gradient + (rows * cotangent[..., None]).sum(1)
        return gradient, weights if to_weights else None

    def _products(self, circuits: Sequence[Circuit], inputs: Tensor, cotangents: Tensor) -> tuple[Tensor, Tensor]:
        return products(self.backend, circuits, inputs, self.weights, self.observables, cotangents)


def products(
    backend: RemoteBraket,
    circuits: Sequence[Circuit],
    inputs: Tensor,
    weights: Tensor,
    observables: Sequence[Observable],
    cotangents: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return vector-Jacobian products of T circuits: ``[T, B, I]`` through angles, and ``[P]``, summed over T and B.

    Args:
        backend: Has AdjointGradient.
        circuits: The T circuits.
        inputs: ``[B, I]``.
        weights: ``[P]``.
        observables: O of them.
        cotangents: ``[T, B, O]``. A row of zeros takes a task too: so the number of tasks is known beforehand.
    """
    values, rows = weights.detach().double().tolist(), inputs.detach().double().tolist()
    target = backend.target(circuits[0].num_qubits, None)
    wanted, executions = [], []
    to_inputs = torch.zeros(len(circuits), *inputs.shape, dtype=torch.float64)
    to_weights = torch.zeros(len(values), dtype=torch.float64)
    for t, circuit in enumerate(circuits):
        for b, row in enumerate(rows):
            factors = cotangents[t, b].tolist()
            if not all(map(math.isfinite, factors)):  # no program can be written; it is no less NaN for that
                to_inputs[t, b], to_weights[:] = math.nan, math.nan
                continue
            dead = not any(factors)
            weighted = _weighted(observables, [1.0] * len(factors) if dead else factors)
            total = observable_read(weighted, circuit.readout)
            program = gradient_program(circuit, row, values, total, target)
            if program is not None:
                wanted.append((t, b, () if dead else program.angles))
                executions.append(
                    Execution(
                        backend=backend.name,
                        device=backend.device_arn,
                        program=program.text,
                        qubits=circuit.num_qubits,
                        wants="gradient",
                        size=1 + len(program.inputs),
                        inputs=program.inputs,
                        terms=program.terms,
                    )
                )
    for (t, b, angles), result in zip(wanted, backend.obtain(executions), strict=True):
        for angle, derivative in zip(angles, result.values[1:], strict=bool(angles)):
            gradient = to_weights if isinstance(angle, Weight) else to_inputs[t, b]
            gradient[angle.index] += angle.scale * derivative
    return to_inputs.to(inputs), to_weights.to(weights)


def _weighted(observables: Sequence[Observable], factors: Sequence[float]) -> PauliSum:
    terms = [
        (factor * coefficient, string)
        for observable, factor in zip(observables, factors, strict=True)
        for coefficient, string in as_sum(observable).terms
    ]
    return PauliSum(tuple(terms))
