"""Functions that PennyLane differentiates: by backpropagation (default.qubit) or the adjoint method (Lightning)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pennylane as qml
import torch
from torch import Tensor

from qdeq.backends.adapter import CircuitBackend, lowered
from qdeq.backends.circuit_function import CircuitFunction
from qdeq.backends.executions import bind_rows, record_executions
from qdeq.backends.function import FrozenFunction
from qdeq.backends.pennylane.translation import LACKS, device, measured_strings, operation, operations_of
from qdeq.backends.torch.simulator import amplitudes
from qdeq.circuit import Circuit, Input, Weight
from qdeq.observables import Observable


class BackpropFunction(FrozenFunction):
    """Expectations by one broadcast circuit, through whose simulation PyTorch differentiates, any number of times.

    Args:
        device_name: A PennyLane device with backpropagation.
        circuit: The circuit.
        weights: ``[P]``.
        observables: What to measure.
    """

    def __init__(self, device_name: str, circuit: Circuit, weights: Tensor, observables: Sequence[Observable]) -> None:
        self._device = device(device_name, circuit.num_qubits)
        self._circuit = lowered(circuit, LACKS)
        self._weights = weights
        self._measured, self._coefficients = measured_strings(observables, circuit.readout)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]``."""
        batch, circuit = len(inputs), self._circuit
        if batch == 0:  # PennyLane cannot broadcast over nothing
            return inputs.new_zeros(0, len(self._coefficients))
        record_executions(batch, batch)
        columns, weights = inputs.to("cpu", torch.float64), self._weights.to("cpu", torch.float64)
        operations = []
        if circuit.encoding is not None:
            values = circuit.encoding.values
            vectors = columns if values is None else torch.tensor([values], dtype=torch.float64)
            states = amplitudes(vectors, circuit.num_qubits, circuit.encoding.num_features)
            if values is not None:  # PhaseShift cannot broadcast over a state with a batch of one
                states = states[0]
            operations.append(qml.StatePrep(states, wires=range(circuit.num_qubits)))
        for gate in circuit.gates:
            angle: Any = gate.angles[0] if gate.angles else None
            if isinstance(angle, Input):
                angle = columns[:, angle.index] * angle.scale + angle.offset
            elif isinstance(angle, Weight):
                angle = weights[angle.index] * angle.scale + angle.offset
            operations.append(operation(gate, angle))
        tape = qml.tape.QuantumScript(operations, self._measured)
        (results,) = qml.execute([tape], self._device, diff_method="backprop", interface="torch")
        results = [results] if len(self._measured) == 1 else results
        strings = [torch.as_tensor(result, dtype=torch.float64).expand(batch) for result in results]
        return (torch.stack(strings, dim=1) @ torch.from_numpy(self._coefficients.T)).to(inputs)


class AdjointFunction(CircuitFunction):
    """Expectations from runs, with the device's own derivatives in angles.

    The inputs of an amplitude encoding are no angles, and follow the bilinear rule. The device is asked itself, because
    PennyLane's interface to PyTorch rounds Lightning's expectations to float32.
    """

    def __init__(
        self,
        backend: CircuitBackend,
        device_name: str,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
    ) -> None:
        super().__init__(backend, circuit, weights, observables)
        self._device = device(device_name, circuit.num_qubits)

    def angle_jacobian(self, inputs: Tensor) -> Tensor:
        """Return ``∂f/∂v`` ``[B, O, I]`` through the angles alone."""
        return self._derivatives(inputs, Input, inputs.shape[1])

    def weight_gradient(self, inputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``Σ_bo u_bo ∂f_bo/∂θ`` ``[P]`` for cotangents ``[B, O]``."""
        derivatives = self._derivatives(inputs, Weight, len(self.weights))
        return torch.einsum("bop,bo->p", derivatives, cotangent).to(self.weights)

    def _derivatives(self, inputs: Tensor, kind: type[Input] | type[Weight], size: int) -> Tensor:
        """Return the derivatives ``[B, O, size]`` in the inputs or the weights that are angles."""
        free = lowered(self.circuit, LACKS)
        encoded = int(free.encoding is not None)  # the prepared state is PennyLane's parameter 0
        angles = enumerate((angle for gate in free.gates for angle in gate.angles), start=encoded)
        chosen = [(number, angle) for number, angle in angles if isinstance(angle, kind)]
        result = np.zeros((len(inputs), len(self.observables), size))
        if not chosen:
            return torch.from_numpy(result).to(inputs)
        measured, coefficients = measured_strings(self.observables, self.circuit.readout)
        bound = bind_rows((free,), inputs, self.weights)
        record_executions(len(bound), len(bound))
        tapes = [
            qml.tape.QuantumScript(
                operations_of([circuit]), measured, trainable_params=[number for number, _ in chosen]
            )
            for circuit in bound
        ]
        config = qml.devices.ExecutionConfig(gradient_method="adjoint")
        rows = self._device.compute_derivatives(tapes, config)
        along = coefficients @ np.reshape(rows, (len(bound), len(measured), len(chosen)))  # [B, O, chosen]
        for position, (_, angle) in enumerate(chosen):
            result[:, :, angle.index] += along[:, :, position] * angle.scale
        return torch.from_numpy(result).to(inputs)
