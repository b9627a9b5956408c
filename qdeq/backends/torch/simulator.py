"""State-vector simulation: one pass through the circuit for a whole batch of inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from qdeq.backends.compile import rotate_basis
from qdeq.backends.function import FrozenFunction, check_inputs
from qdeq.backends.readout import read_out
from qdeq.backends.summation import apply_matrices, norms, product
from qdeq.backends.torch.fusion import FusedCircuit
from qdeq.backends.torch.monomial import Monomial, apply_diagonal, is_diagonal
from qdeq.circuit import Circuit, Gate, Input, Weight
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
    norm = norms(torch.where(empty, torch.ones_like(scaled), scaled))
    padded = torch.nn.functional.pad(scaled / norm, (0, 2**num_qubits - num_features))
    ground = torch.zeros_like(padded)
    ground[:, 0] = 1.0
    return torch.where(empty, ground, padded)


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
    """How a circuit is run on states.

    Attributes:
        tables: The gates with inputs, by type, so that all matrices of one type are built by one call.
        product: For each qubit, the gates with inputs that are its first ones: together they make a product state.
        steps: After these: a run of gates without inputs, as one, or the position of a gate with inputs.
    """

    tables: tuple[tuple[str, _AngleTable], ...]
    product: tuple[tuple[int, ...], ...]
    steps: tuple[FusedCircuit | Monomial | int, ...]


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # what is kept has to serve training too
def _plan(circuit: Circuit) -> _Plan:
    by_name: dict[str, list[int]] = {}
    product: list[list[int]] = [[] for _ in range(circuit.num_qubits)]
    touched = set(range(circuit.num_qubits)) if circuit.encoding is not None else set()
    steps: list[FusedCircuit | Monomial | int] = []
    run: list[Gate] = []

    def close() -> None:
        if run:
            kind = Monomial if Monomial.fits(run) else FusedCircuit
            steps.append(kind(tuple(run), circuit.num_qubits))
            run.clear()

    for position, gate in enumerate(circuit.gates):
        if not any(isinstance(angle, Input) for angle in gate.angles):
            run.append(gate)
            touched.update(gate.qubits)
            continue
        by_name.setdefault(gate.name, []).append(position)
        if len(gate.qubits) == 1 and gate.qubits[0] not in touched:
            product[gate.qubits[0]].append(position)
            continue
        close()
        steps.append(position)
        touched.update(gate.qubits)
    close()
    tables = tuple((name, _AngleTable.of(at, [circuit.gates[p] for p in at])) for name, at in by_name.items())
    return _Plan(tables, tuple(map(tuple, product)), tuple(steps))


class Simulation(FrozenFunction):
    """A circuit's expectations by propagating one state per sample through it.

    States are ``[2^n, B]``. Gates without inputs are fused, and reversed in the backward pass: how many states
    are kept depends on the number of gates with inputs only, not on the depth of the ansatz.

    Args:
        circuit: The circuit.
        weights: ``[P]``; precision and device of the simulation follow it.
        observables: What to measure.
    """

    def __init__(self, circuit: Circuit, weights: Tensor, observables: Sequence[Observable]) -> None:
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
        self._steps = [
            (step, step.matrices(weights)) if isinstance(step, FusedCircuit) else step for step in self._plan.steps
        ]
        self._offsets = [table.fixed(weights) for _, table in self._plan.tables]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]``."""
        measured = self.measurement(inputs)
        parts = [product(measured(group), readout) for group, readout in zip(self._groups, self._readout, strict=True)]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def measurement(self, inputs: Tensor) -> Callable[[MeasurementGroup], Tensor]:
        """Return a function from a group to the probabilities ``[B, 2^n]`` of what is read in its basis."""
        state = self.state(inputs).mT

        def probabilities(group: MeasurementGroup) -> Tensor:
            rotated = rotate_basis(state, group)
            return read_out((rotated.real**2 + rotated.imag**2).mT, self._circuit.readout)

        return probabilities

    def state(self, inputs: Tensor) -> Tensor:
        """Return the final states ``[B, 2^n]`` at inputs ``[B, I]``."""
        check_inputs(inputs, self._circuit.num_inputs, self._readout[0])
        matrices: dict[int, Tensor] = {}
        for (name, table), offset in zip(self._plan.tables, self._offsets, strict=True):
            built = GATES[name].build(table.of_inputs(inputs) + offset)
            matrices.update(zip(table.positions, built.unbind(1), strict=True))
        state = self._initial(inputs, matrices)
        for step in self._steps:
            if isinstance(step, int):
                state = _apply_each(state, matrices[step], self._circuit.gates[step], self._circuit.num_qubits)
            elif isinstance(step, Monomial):
                state = step.propagate(state)
            else:
                fused, unitaries = step
                state = fused.propagate(state, unitaries)
        return state.mT

    def _initial(self, inputs: Tensor, matrices: Mapping[int, Tensor]) -> Tensor:
        """Return the states ``[2^n, B]`` after the encoder: amplitudes, or a product of single-qubit states."""
        encoding, batch = self._circuit.encoding, len(inputs)
        if encoding is not None:
            if encoding.values is not None:
                inputs = torch.tensor(encoding.values, dtype=self._real, device=self._device).expand(batch, -1)
            return amplitudes(inputs, self._circuit.num_qubits, encoding.num_features).to(self._complex).mT
        state = torch.ones(1, batch, dtype=self._complex, device=self._device)
        for positions in self._plan.product:
            if positions:
                spinor = matrices[positions[0]][:, :, 0]
                for position in positions[1:]:
                    spinor = (matrices[position] * spinor[:, None]).sum(-1)
                state = (state[:, None] * spinor.mT).flatten(0, 1)
            else:
                state = torch.stack([state, torch.zeros_like(state)], dim=1).flatten(0, 1)
        return state


def _apply_each(state: Tensor, matrix: Tensor, gate: Gate, num_qubits: int) -> Tensor:
    """Apply a matrix of its own ``[B, 2^k, 2^k]`` to each of the states ``[2^n, B]``."""
    qubits = gate.qubits
    if is_diagonal(gate.name):
        return apply_diagonal(state, matrix.diagonal(dim1=1, dim2=2), qubits, num_qubits)
    count, batch = len(qubits), state.shape[1]
    tensor = state.reshape(*(2,) * num_qubits, batch)
    front = tensor.movedim(list(qubits), list(range(count)))
    moved = apply_matrices(matrix, front.reshape(2**count, 2 ** (num_qubits - count), batch))
    return moved.reshape(front.shape).movedim(list(range(count)), list(qubits)).reshape(state.shape)
