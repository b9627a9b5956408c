"""Preparation of a real state from rotations, for targets that have no state-preparation instruction.

M. Möttönen et al., "Transformation of quantum states using uniformly controlled rotations", Quantum Inf. Comput. 5
(2005). Real amplitudes need RY and CNOT only: one uniformly controlled RY per qubit, each written out along a Gray
code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

PreparationGate = tuple[str, tuple[int, ...], tuple[float, ...]]


def prepare_real(amplitudes: Sequence[float] | np.ndarray) -> list[PreparationGate]:
    """Return gates ``(name, qubits, angles)`` that take ``|0...0>`` to the normalised real vector.

    Args:
        amplitudes: ``2^n`` real numbers, qubit 0 the most significant bit. A zero vector gives ``|0...0>``.

    Returns:
        ``2^n - 1`` RY and ``2^n - 2`` CNOT gates, in time order, whatever the values.
    """
    vector = np.asarray(amplitudes, dtype=np.float64) + 0.0  # no -0.0, whose arctan2 is π
    largest = np.abs(vector).max()
    vector = vector / largest if largest > 0 else vector  # no overflow or underflow in the squares
    num_qubits = int(math.log2(len(vector)))
    gates: list[PreparationGate] = []
    for qubit in range(num_qubits):
        halves = vector.reshape(2**qubit, 2, -1)
        if qubit == num_qubits - 1:
            angles = 2 * np.arctan2(halves[:, 1, 0], halves[:, 0, 0])  # the last rotation also carries the signs
        else:
            norms = np.sqrt((halves**2).sum(-1))
            angles = 2 * np.arctan2(norms[:, 1], norms[:, 0])
        gates += _uniformly_controlled_ry(qubit, angles)
    return gates


def _uniformly_controlled_ry(target: int, angles: np.ndarray) -> list[PreparationGate]:
    """RY(angles[c]) on ``target`` for each value c of the qubits before it (Möttönen et al., section 2)."""
    if target == 0:
        return [("RY", (0,), (float(angles[0]),))]
    size = len(angles)
    index = np.arange(size)
    gray = index ^ (index >> 1)
    parity = np.bitwise_count(gray[:, None] & index) & 1
    rotated = ((1.0 - 2.0 * parity) @ angles) / size
    gates: list[PreparationGate] = []
    for step in range(size):
        gates.append(("RY", (target,), (float(rotated[step]),)))
        changed = int(gray[step] ^ gray[(step + 1) % size])  # one bit, which says whose control comes next
        gates.append(("CNOT", (target - 1 - int(math.log2(changed)), target), ()))
    return gates
