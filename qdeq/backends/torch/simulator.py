"""State-vector simulation: one pass through the circuit for a whole batch of inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from qdeq.backends.base import FrozenFunction, check_inputs
from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.errors import CircuitError
from qdeq.gates import GATES
from qdeq.observables import MeasurementGroup, Observable, measurement_groups


def amplitudes(inputs: Tensor, num_qubits: int, num_features: int) -> Tensor:
    """Return the amplitude-encoded states ``[B, 2^n]`` (real) of the inputs ``[B, I]``.

    A zero vector becomes ``|0...0>``, with a zero derivative (see :class:`~qdeq.circuit.AmplitudeEncoding`).
    """
    vector = inputs[:, :num_features]
    # Dividing by the largest entry first keeps the squares of huge and of tiny vectors representable.
    largest = vector.detach().abs().amax(dim=1, keepdim=True)
    empty = largest == 0
    scaled = vector / torch.where(empty, 1.0, largest)
    norm = torch.linalg.vector_norm(torch.where(empty, torch.ones_like(scaled), scaled), dim=1, keepdim=True)
    padded = torch.nn.functional.pad(scaled / norm, (0, 2**num_qubits - num_features))
    ground = torch.zeros_like(padded)
    ground[:, 0] = 1.0
    return torch.where(empty, ground, padded)


def apply_matrix(state: Tensor, matrix: Tensor, qubits: Sequence[int], num_qubits: int) -> Tensor:
    """Apply a gate's matrix ``[2^k, 2^k]`` or ``[B, 2^k, 2^k]`` to states ``[B, 2^n]``."""
    count = len(qubits)
    tensor = state.reshape(len(state), *(2,) * num_qubits)
    sources = [qubit + 1 for qubit in qubits]
    targets = list(range(1, count + 1))
    front = tensor.movedim(sources, targets)
    moved = matrix @ front.reshape(len(tensor), 2**count, 2 ** (num_qubits - count))
    return moved.reshape(front.shape).movedim(targets, sources).reshape(state.shape)


@dataclass(frozen=True)
class _AngleTable:
    """The angles of all gates of one type, as ``inputs[i] * input_scale + weights[w] * weight_scale + offset``."""

    positions: tuple[int, ...]
    input_index: Tensor
    input_scale: Tensor
    weight_index: Tensor
    weight_scale: Tensor
    offset: Tensor

    @classmethod
    def of(cls, positions: Sequence[int], gates: Sequence[Gate]) -> _AngleTable:
        shape = (len(gates), -1)

        def column(kind: type, attribute: str) -> list[float]:
            return [
                getattr(angle, attribute) if isinstance(angle, kind) else 0 for gate in gates for angle in gate.angles
            ]

        offsets = [angle if isinstance(angle, float) else angle.offset for gate in gates for angle in gate.angles]
        return cls(
            tuple(positions),
            torch.tensor(column(Input, "index"), dtype=torch.long).reshape(shape),
            torch.tensor(column(Input, "scale"), dtype=torch.float64).reshape(shape),
            torch.tensor(column(Weight, "index"), dtype=torch.long).reshape(shape),
            torch.tensor(column(Weight, "scale"), dtype=torch.float64).reshape(shape),
            torch.tensor(offsets, dtype=torch.float64).reshape(shape),
        )

    def fixed(self, weights: Tensor) -> Tensor:
        """Return the part ``[G, P]`` that does not depend on the inputs."""
        angles = self.offset.to(weights)
        if len(weights):
            angles = angles + weights[self.weight_index.to(weights.device)] * self.weight_scale.to(weights)
        return angles

    def of_inputs(self, inputs: Tensor) -> Tensor:
        """Return the part ``[B, G, P]`` that does."""
        return inputs[:, self.input_index.to(inputs.device)] * self.input_scale.to(inputs)


@dataclass(frozen=True)
class _Plan:
    """Gates by type, so that all matrices of one type are built by one call: those without inputs, those with."""

    shared: tuple[tuple[str, _AngleTable], ...]
    batched: tuple[tuple[str, _AngleTable], ...]


@lru_cache(maxsize=256)
def _plan(circuit: Circuit) -> _Plan:
    found: dict[tuple[bool, str], list[int]] = {}
    for position, gate in enumerate(circuit.gates):
        varies = any(isinstance(angle, Input) for angle in gate.angles)
        found.setdefault((varies, gate.name), []).append(position)
    tables = [
        (varies, name, _AngleTable.of(positions, [circuit.gates[p] for p in positions]))
        for (varies, name), positions in found.items()
    ]
    return _Plan(
        tuple((name, table) for varies, name, table in tables if not varies),
        tuple((name, table) for varies, name, table in tables if varies),
    )


class Simulation(FrozenFunction):
    """A circuit's expectations by propagating one state per sample through every gate.

    Args:
        circuit: The circuit.
        weights: ``[P]``; precision and device of the simulation follow it.
        observables: What to measure.
    """

    def __init__(self, circuit: Circuit, weights: Tensor, observables: Sequence[Observable]) -> None:
        if weights.dtype not in (torch.float32, torch.float64):
            raise CircuitError(f"weights are float32 or float64, not {weights.dtype}")
        self._circuit = circuit
        self._plan = _plan(circuit)
        self._groups = measurement_groups(observables)
        self._real = weights.dtype
        self._complex = torch.complex64 if weights.dtype == torch.float32 else torch.complex128
        self._device = weights.device
        self._readout = [
            torch.from_numpy(group.signs(circuit.num_qubits) @ group.coefficients.T).to(weights)
            for group in self._groups
        ]
        self._shared: dict[int, Tensor] = {}
        for name, table in self._plan.shared:
            matrices = GATES[name].build(table.fixed(weights))
            self._shared.update(zip(table.positions, matrices, strict=True))
        self._offsets = [table.fixed(weights) for _, table in self._plan.batched]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]``."""
        state = self.state(inputs)
        parts = [
            self.probabilities(state, group) @ readout
            for group, readout in zip(self._groups, self._readout, strict=True)
        ]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def measurement(self, inputs: Tensor) -> Callable[[MeasurementGroup], Tensor]:
        """Return a function from a group to the outcome probabilities ``[B, 2^n]`` in its basis."""
        state = self.state(inputs)
        return lambda group: self.probabilities(state, group)

    def state(self, inputs: Tensor) -> Tensor:
        """Return the final states ``[B, 2^n]`` at inputs ``[B, I]``."""
        circuit = self._circuit
        check_inputs(inputs, circuit.num_inputs, self._readout[0])
        state = self._initial(inputs)
        matrices = dict(self._shared)
        for (name, table), offset in zip(self._plan.batched, self._offsets, strict=True):
            built = GATES[name].build(table.of_inputs(inputs) + offset)
            matrices.update(zip(table.positions, built.unbind(1), strict=True))
        for position, gate in enumerate(circuit.gates):
            state = apply_matrix(state, matrices[position], gate.qubits, circuit.num_qubits)
        return state

    def probabilities(self, state: Tensor, group: MeasurementGroup) -> Tensor:
        """Return the outcome probabilities ``[B, 2^n]`` of states ``[B, 2^n]`` in the group's basis."""
        for qubit, letter in group.basis:
            for name in {"X": ("H",), "Y": ("Sdg", "H"), "Z": ()}[letter]:
                matrix = GATES[name].matrix(dtype=self._complex).to(self._device)
                state = apply_matrix(state, matrix, (qubit,), self._circuit.num_qubits)
        return state.real**2 + state.imag**2

    def _initial(self, inputs: Tensor) -> Tensor:
        encoding, size = self._circuit.encoding, 2**self._circuit.num_qubits
        if encoding is None:
            state = torch.zeros(len(inputs), size, dtype=self._complex, device=self._device)
            state[:, 0] = 1
            return state
        if encoding.values is not None:
            inputs = torch.tensor(encoding.values, dtype=self._real, device=self._device).expand(len(inputs), -1)
        return amplitudes(inputs, self._circuit.num_qubits, encoding.num_features).to(self._complex)
