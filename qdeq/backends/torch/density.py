"""Density matrices in PyTorch: a circuit with noise as a product of superoperators on few qubits each.

A density matrix of n qubits is a tensor of 2n two-valued indices, n of its rows and n of its columns. An operation on
k qubits is a ``4^k x 4^k`` matrix on their rows and columns: ``U ⊗ Ū`` for a gate, ``Σ K ⊗ K̄`` for a channel. What acts
on one qubit is multiplied into the next operation on that qubit, so that noise costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from qdeq.backends.analysis import Analysis
from qdeq.backends.compile import compile_operators
from qdeq.backends.function import FrozenFunction, check_inputs
from qdeq.backends.readout import read_as, read_out
from qdeq.backends.summation import apply_matrices, product
from qdeq.backends.torch.simulator import amplitudes
from qdeq.circuit import Angle, Channel, Circuit, Gate, Input, Weight
from qdeq.observables import BASIS_GATES, MeasurementGroup, Observable, measurement_groups

Superoperator = tuple[tuple[int, ...], Tensor]
"""Qubits, and the matrix ``[1 or B, 4^k, 4^k]`` on their rows, the first the most significant, and their columns."""


class DensitySimulation(FrozenFunction):
    """A circuit's expectations by propagating one density matrix per sample through it.

    Args:
        circuit: The circuit, with noise or without.
        weights: ``[P]``; precision and device of the simulation follow it.
        observables: What to measure.
    """

    def __init__(self, circuit: Circuit, weights: Tensor, observables: Sequence[Observable]) -> None:
        self._circuit = circuit
        self._weights = weights
        self._groups = measurement_groups(observables)
        self._readout = [
            torch.from_numpy(group.signs(circuit.num_qubits) @ group.coefficients.T).to(weights)
            for group in self._groups
        ]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]``."""
        measured = self.measurement(inputs)
        parts = [product(measured(group), readout) for group, readout in zip(self._groups, self._readout, strict=True)]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def measurement(self, inputs: Tensor) -> Callable[[MeasurementGroup], Tensor]:
        """Return a function from a group to the probabilities ``[B, 2^n]`` of what is read in its basis."""
        matrix, size = self.matrix(inputs), self._circuit.num_qubits

        def probabilities(group: MeasurementGroup) -> Tensor:
            turned = _propagate(matrix, superoperators(_basis(group), inputs[:1], self._weights), size)
            outcomes = turned.reshape(2**size, 2**size, -1).diagonal().real  # [B, 2^n]
            return read_out(outcomes.clamp(min=0.0), self._circuit.readout)

        return probabilities

    def matrix(self, inputs: Tensor) -> Tensor:
        """Return the final density matrices ``[4^n, B]`` at inputs ``[B, I]``."""
        circuit = self._circuit
        check_inputs(inputs, circuit.num_inputs, self._weights)
        kind = torch.complex64 if inputs.dtype == torch.float32 else torch.complex128
        if circuit.encoding is None:
            state = torch.zeros(2**circuit.num_qubits, len(inputs), dtype=kind, device=inputs.device)
            state[0] = 1
        else:
            values = circuit.encoding.values
            vectors = inputs if values is None else inputs.new_tensor(values).expand(len(inputs), -1)
            state = amplitudes(vectors, circuit.num_qubits, circuit.encoding.num_features).to(kind).mT
        matrix = (state[:, None] * state.conj()[None]).flatten(0, 1)
        return _propagate(matrix, superoperators(circuit.body, inputs, self._weights), circuit.num_qubits)


def compile_noisy(
    circuit: Circuit, analysis: Analysis, weights: Tensor, observables: Sequence[Observable]
) -> FrozenFunction:
    """Compile a circuit with noise: the observables go backwards through the ansatz (Heisenberg's picture).

    Args:
        circuit: The circuit.
        analysis: What :func:`~qdeq.backends.analysis.analyse` said of it.
        weights: ``[P]``.
        observables: What to measure.
    """
    size = circuit.num_qubits
    kind = torch.complex64 if weights.dtype == torch.float32 else torch.complex128
    ansatz = superoperators(analysis.ansatz, weights.new_zeros(1, 0), weights)
    total: Tensor | None = None
    for group in measurement_groups(observables):
        values = torch.from_numpy(group.coefficients @ group.signs(size).T).to(weights)  # [O, 2^n]
        operators = torch.diag_embed(read_as(values, circuit.readout).to(kind))
        basis = superoperators(_basis(group), weights.new_zeros(1, 0), weights)
        back = [(qubits, matrix.mH) for qubits, matrix in reversed([*ansatz, *basis])]
        moved = _propagate(operators.reshape(len(values), -1).mT, back, size)
        total = moved if total is None else total + moved
    assert total is not None  # there is at least one observable
    return compile_operators(circuit, analysis, total.mT.reshape(-1, 2**size, 2**size), weights)


def superoperators(body: Sequence[Gate | Channel], inputs: Tensor, weights: Tensor) -> list[Superoperator]:
    """Return gates and channels at inputs ``[B, I]`` and weights ``[P]``, joined where they share their qubits."""
    joined: list[Superoperator] = []
    last: dict[int, int] = {}  # the latest operation on each qubit
    kind = torch.complex64 if weights.dtype == torch.float32 else torch.complex128
    for qubits, gate, noise in _runs(tuple(body)):
        matrix = noise.to(device=weights.device, dtype=kind)
        if gate is not None:
            matrix = matrix @ _gate(gate, inputs, weights)
        before = last.get(qubits[0])
        if before is not None and all(last.get(qubit) == before for qubit in qubits):
            wider, earlier = joined[before]
            joined[before] = wider, _widened(matrix, qubits, wider) @ earlier
            continue
        for qubit in qubits if len(qubits) > 1 else ():
            before = last.get(qubit)
            if before is not None and len(joined[before][0]) == 1:
                matrix = matrix @ _widened(joined[before][1], (qubit,), qubits)
                joined[before] = (), matrix  # spent
        for qubit in qubits:
            last[qubit] = len(joined)
        joined.append((qubits, matrix))
    return [(qubits, matrix) for qubits, matrix in joined if qubits]


def _basis(group: MeasurementGroup) -> list[Gate]:
    return [Gate(name, qubit) for qubit, letter in group.basis for name in BASIS_GATES[letter]]


def _gate(gate: Gate, inputs: Tensor, weights: Tensor) -> Tensor:
    """Return ``U ⊗ Ū`` ``[1 or B, 4^k, 4^k]``."""
    angles = [_angle(angle, inputs, weights) for angle in gate.angles]
    unitary = gate.type.build(
        torch.stack(torch.broadcast_tensors(*angles), dim=-1) if angles else weights.new_zeros(1, 0)
    )
    return _doubled(unitary[:, None], unitary[:, None])


def _angle(angle: Angle, inputs: Tensor, weights: Tensor) -> Tensor:
    if isinstance(angle, Input):
        return inputs[:, angle.index] * angle.scale + angle.offset
    if isinstance(angle, Weight):
        return weights[angle.index : angle.index + 1] * angle.scale + angle.offset
    return weights.new_tensor([angle])


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept has to serve training too
def _runs(body: tuple[Gate | Channel, ...]) -> list[tuple[tuple[int, ...], Gate | None, Tensor]]:
    """Return each gate with the channels that follow it on its qubits as one matrix; None for channels by themselves.

    The channels do not depend on any weight, and there are several times as many as gates.
    """
    runs: list[tuple[tuple[int, ...], Gate | None, Tensor]] = []
    for operation in body:
        if isinstance(operation, Gate):
            runs.append(
                (operation.qubits, operation, torch.eye(4 ** len(operation.qubits), dtype=torch.complex128)[None])
            )
            continue
        kraus = torch.stack(operation.type.build(operation.probability))
        matrix = _doubled(kraus[None], kraus[None])
        if runs and set(operation.qubits) <= set(runs[-1][0]):
            qubits, gate, before = runs[-1]
            runs[-1] = qubits, gate, _widened(matrix, operation.qubits, qubits) @ before
        else:
            runs.append((operation.qubits, None, matrix))
    return runs


def _doubled(left: Tensor, right: Tensor) -> Tensor:
    """Return ``Σ_s A_s ⊗ B̄_s`` ``[B, 4^k, 4^k]`` of ``[B, S, 2^k, 2^k]``."""
    product = (left[:, :, :, None, :, None] * right.conj()[:, :, None, :, None, :]).sum(1)
    return product.flatten(3, 4).flatten(1, 2)


def _widened(matrix: Tensor, qubits: Sequence[int], wider: Sequence[int]) -> Tensor:
    """Return a superoperator on ``qubits`` as one on ``wider``, in which they all are."""
    others = [qubit for qubit in wider if qubit not in qubits]
    inner, outer, size = len(qubits), len(others), len(wider)
    if not outer and tuple(qubits) == tuple(wider):
        return matrix
    identity = torch.eye(4**outer, dtype=matrix.dtype, device=matrix.device)
    whole = torch.einsum("bij,kl->bikjl", matrix, identity).reshape(-1, *(2,) * (4 * size))
    # now rows and columns of `qubits`, then those of the others; twice, for out and in
    order = [*qubits, *others]
    place = {
        (qubit, side): (side * inner + qubits.index(qubit))
        if qubit in qubits
        else 2 * inner + side * outer + others.index(qubit)
        for qubit in order
        for side in (0, 1)
    }
    axes = [place[qubit, side] for side in (0, 1) for qubit in wider]
    return whole.permute(0, *(1 + axis for axis in axes), *(1 + 2 * size + axis for axis in axes)).reshape(
        -1, 4**size, 4**size
    )


def _propagate(matrix: Tensor, operations: Sequence[Superoperator], num_qubits: int) -> Tensor:
    """Apply superoperators to matrices ``[4^n, B]``."""
    batch = matrix.shape[1]
    for qubits, operator in operations:
        axes = [*qubits, *(num_qubits + qubit for qubit in qubits)]
        front = list(range(len(axes)))
        tensor = matrix.reshape(*(2,) * (2 * num_qubits), batch).movedim(axes, front)
        rows = tensor.reshape(4 ** len(qubits), -1, batch)
        moved = apply_matrices(operator, rows)
        matrix = moved.reshape(tensor.shape).movedim(front, axes).reshape(-1, batch)
    return matrix
