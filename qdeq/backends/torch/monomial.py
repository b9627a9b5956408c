"""Gates without a matrix product: diagonal ones, and runs of gates that only permute basis states and turn phases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from qdeq.circuit import Gate
from qdeq.gates import GATES

_PROBES = (0.3, 1.1, 2.3)
"""Angles at which a gate's matrix has no zero but those that it has at every angle."""


@cache
def is_diagonal(name: str) -> bool:
    """Return whether the gate's matrix is diagonal at every angle."""
    row = GATES[name]
    matrix = row.matrix(*_PROBES[: len(row.parameters)])
    return bool((matrix == torch.diag(torch.diagonal(matrix))).all())


def apply_diagonal(state: Tensor, diagonal: Tensor, qubits: Sequence[int], num_qubits: int) -> Tensor:
    """Multiply each of the states ``[2^n, B]`` by a diagonal gate of its own, ``[B, 2^k]``."""
    count, batch = len(qubits), state.shape[1]
    order = sorted(range(count), key=lambda position: qubits[position])
    factors = diagonal.mT.reshape(*(2,) * count, batch).permute(*order, count)
    factors = factors.reshape(*(2 if qubit in qubits else 1 for qubit in range(num_qubits)), batch)
    return (state.reshape(*(2,) * num_qubits, batch) * factors).reshape(state.shape)


class Monomial:
    """A run of gates that each have one entry a row, as one gather and one product: ``new_i = phase_i old_source(i)``.

    Args:
        gates: Gates of numbers for which :meth:`fits` holds.
        num_qubits: n.
    """

    def __init__(self, gates: Sequence[Gate], num_qubits: int) -> None:
        rows = np.arange(2**num_qubits)
        source, phase = rows, np.ones(len(rows), dtype=complex)
        for gate in gates:
            matrix = _matrix(gate)
            shifts = [num_qubits - 1 - qubit for qubit in gate.qubits]
            local = sum(((rows >> shift) & 1) << place for place, shift in enumerate(reversed(shifts)))
            column = np.abs(matrix).argmax(axis=1)[local]
            before = rows
            for place, shift in enumerate(reversed(shifts)):
                before = (before & ~(1 << shift)) | (((column >> place) & 1) << shift)
            source, phase = source[before], matrix[local, column] * phase[before]
        self._source = None if (source == rows).all() else torch.from_numpy(source)
        self._phase = None if (phase == 1).all() else torch.from_numpy(phase)

    @staticmethod
    def fits(gates: Sequence[Gate]) -> bool:
        """Return whether every gate is without weights and has one entry a row."""
        return all(
            all(isinstance(angle, float) for angle in gate.angles)
            and (np.count_nonzero(_matrix(gate), axis=1) == 1).all()
            for gate in gates
        )

    def propagate(self, state: Tensor) -> Tensor:
        """Run the gates on states ``[2^n, B]``."""
        if self._source is not None:
            state = state.index_select(0, self._source.to(state.device))
        if self._phase is not None:
            state = state * self._phase.to(state)[:, None]
        return state


def _matrix(gate: Gate) -> np.ndarray:
    return gate.type.matrix(*gate.angles).numpy()  # type: ignore[arg-type]
