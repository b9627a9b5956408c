"""The columns of an ansatz from runs of bound circuits, on simulators of other packages that give amplitudes.

They come from one circuit on the register and a reference register of equal basis states (its Choi state), or from one
circuit a column; their derivatives from the same at shifted angles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from qdeq.backends.analysis import Analysis, column_states
from qdeq.backends.shifts import shifted_circuits
from qdeq.circuit import Circuit, Gate, Weight

if TYPE_CHECKING:
    from qdeq.backends.adapter import CircuitBackend

MAX_CHOI_QUBITS = 14
"""Beyond this a Choi circuit's state costs more than the columns one by one."""


def columns_by_runs(backend: CircuitBackend, circuit: Circuit, analysis: Analysis, weights: Tensor) -> Tensor:
    """Return the ansatz on the states of :func:`~qdeq.backends.analysis.column_states`: ``[2^n, d]``, differentiable.

    Args:
        backend: Gives amplitudes.
        circuit: The whole circuit.
        analysis: What can be compiled of it.
        weights: ``[P]``.
    """
    ansatz = Circuit(circuit.num_qubits, analysis.ansatz)
    states = column_states(circuit.num_qubits, analysis)
    columns: Tensor = _Columns.apply(weights, backend, ansatz, tuple(states))
    return columns


class _Columns(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights, backend, ansatz, states):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(weights)
        ctx.problem = backend, ansatz, states
        return _run_columns(backend, [ansatz], states, weights)[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, cotangent):  # type: ignore[no-untyped-def]
        (weights,) = ctx.saved_tensors
        backend, ansatz, states = ctx.problem
        shifted = shifted_circuits(ansatz, Weight, amplitudes=True)
        gradient = torch.zeros_like(weights)
        if shifted.circuits:
            columns = _run_columns(backend, shifted.circuits, states, weights)
            factors = torch.tensor(shifted.coefficients, dtype=columns.dtype, device=columns.device)
            along = (cotangent.conj() * columns).sum(dim=(1, 2)) * factors
            gradient.index_add_(0, torch.tensor(shifted.indices, device=weights.device), along.real.to(weights))
        return gradient, None, None, None


def _run_columns(
    backend: CircuitBackend, circuits: Sequence[Circuit], states: Sequence[int], weights: Tensor
) -> Tensor:
    """Return ``[T, 2^n, d]``: each circuit on each of the basis states."""
    num_qubits = circuits[0].num_qubits
    values = weights.detach().double().cpu().numpy()
    bound = [circuit.bind(weights=values[: circuit.num_weights].tolist()) for circuit in circuits]
    moved = _moved(num_qubits, states)
    if choi_fits(backend, num_qubits, states):
        final = backend.execute([_choi_circuit(circuit, moved) for circuit in bound])
        cube = final.reshape(len(bound), 2 ** len(moved), 2**num_qubits) * 2 ** (len(moved) / 2)
        column = [_bits(state, moved, num_qubits) for state in states]
        result = cube[:, column].transpose(0, 2, 1)
    else:
        requests = [
            Circuit(num_qubits, (*_flips(state, num_qubits), *circuit.gates)) for circuit in bound for state in states
        ]
        result = backend.execute(requests).reshape(len(bound), len(states), -1).transpose(0, 2, 1)
    kind = torch.complex64 if weights.dtype == torch.float32 else torch.complex128
    return torch.from_numpy(np.ascontiguousarray(result)).to(device=weights.device, dtype=kind)


def choi_fits(backend: CircuitBackend, num_qubits: int, states: Sequence[int]) -> bool:
    """Whether all columns come from one circuit with a reference register, instead of one circuit each."""
    return num_qubits + len(_moved(num_qubits, states)) <= min(MAX_CHOI_QUBITS, backend.capabilities.max_qubits)


def _moved(num_qubits: int, states: Sequence[int]) -> list[int]:
    """Return the qubits that are 1 in any of the basis states."""
    return [qubit for qubit in range(num_qubits) if any(state >> (num_qubits - 1 - qubit) & 1 for state in states)]


def _choi_circuit(circuit: Circuit, moved: Sequence[int]) -> Circuit:
    """Return a circuit whose reference register, in front, holds which basis state of the ``moved`` qubits went in."""
    count = len(moved)
    pairs = [gate for k, qubit in enumerate(moved) for gate in (Gate("H", k), Gate("CNOT", (k, count + qubit)))]
    shifted = [Gate(gate.name, [count + qubit for qubit in gate.qubits], gate.angles) for gate in circuit.gates]
    return Circuit(count + circuit.num_qubits, (*pairs, *shifted))


def _bits(state: int, qubits: Sequence[int], num_qubits: int) -> int:
    """Return the number whose bits are those of ``state`` on ``qubits``, the first the most significant."""
    number = 0
    for qubit in qubits:
        number = number << 1 | state >> (num_qubits - 1 - qubit) & 1
    return number


def _flips(state: int, num_qubits: int) -> list[Gate]:
    return [Gate("X", qubit) for qubit in range(num_qubits) if state >> (num_qubits - 1 - qubit) & 1]
