"""The result type AdjointGradient: one expectation value of a sum, and its derivatives by the inputs.

The adjoint method (Jones and Gacon, arXiv:2009.02823) in numpy: the gates' matrices are Braket's, everything else is
independent of qdeq and of the local simulators, which do not have this result type.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from braket.default_simulator.gate_operations import BRAKET_GATES

from .observables import Term
from .programs import Gate, Program

_SQRT_HALF = np.sqrt(0.5)
_MATRICES = {
    "i": np.eye(2),
    "x": np.array([[0, 1], [1, 0]]),
    "y": np.array([[0, -1j], [1j, 0]]),
    "z": np.diag([1, -1]),
    "h": np.array([[_SQRT_HALF, _SQRT_HALF], [_SQRT_HALF, -_SQRT_HALF]]),
}


def adjoint_gradient(program: Program) -> dict[str, Any]:
    """Return the entry of ``resultTypes`` that answers a program's one request for a gradient."""
    request = program.gradient
    if request is None:
        raise ValueError("the program asks for no gradient")
    expectation, slopes = _differentiate(program.gates, request.terms, program.qubit_count)
    return {
        "type": {
            "type": "adjoint_gradient",
            "observable": request.observable,
            "targets": [[qubit for _, qubit in factors] for _, factors in request.terms],
            "parameters": list(request.parameters),
        },
        "value": {"expectation": expectation, "gradient": {n: slopes.get(n, 0.0) for n in request.parameters}},
    }


def _apply(matrix: np.ndarray, state: np.ndarray, targets: tuple[int, ...]) -> np.ndarray:
    count = len(targets)
    matrix = matrix.reshape((2,) * (2 * count))
    moved = np.tensordot(matrix, state, axes=(range(count, 2 * count), targets))
    return np.moveaxis(moved, range(count), targets)


def _observe(terms: tuple[Term, ...], state: np.ndarray) -> np.ndarray:
    total = np.zeros_like(state)
    for weight, factors in terms:
        total += weight * reduce(lambda psi, factor: _apply(_MATRICES[factor[0]], psi, (factor[1],)), factors, state)
    return total


def _matrix(gate: Gate, shifted: int | None = None, shift: float = 0.0) -> np.ndarray:
    angles = [angle.value + (shift if index == shifted else 0.0) for index, angle in enumerate(gate.angles)]
    return BRAKET_GATES[gate.name](gate.targets, *angles).matrix


def _slope(gate: Gate, index: int) -> np.ndarray:
    """Differentiate a gate's matrix by one angle, exactly to rounding.

    Every entry is a trigonometric polynomial with frequencies 0, ±1/2 and ±1, so five values around the circle of
    circumference 4π give its coefficients.
    """
    shifts = 4 * np.pi * np.arange(5) / 5
    values = np.stack([_matrix(gate, index, shift) for shift in shifts])
    frequencies = np.array([-1, -0.5, 0, 0.5, 1])
    weights = (1j * frequencies[:, None] * np.exp(-1j * np.outer(frequencies, shifts))).sum(axis=0) / 5
    return np.tensordot(weights, values, axes=1)


def _differentiate(gates: list[Gate], terms: tuple[Term, ...], qubits: int) -> tuple[float, dict[str, float]]:
    state = np.zeros((2,) * qubits, dtype=complex)
    state[(0,) * qubits] = 1
    for gate in gates:
        state = _apply(_matrix(gate), state, gate.targets)
    dual = _observe(terms, state)
    expectation = float(np.vdot(state, dual).real)
    slopes: dict[str, float] = {}
    for gate in reversed(gates):
        inverse = _matrix(gate).conj().T
        state = _apply(inverse, state, gate.targets)
        for index, angle in enumerate(gate.angles):
            if angle.slopes:
                by_angle = 2 * float(np.vdot(dual, _apply(_slope(gate, index), state, gate.targets)).real)
                for name, slope in angle.slopes.items():
                    slopes[name] = slopes.get(name, 0.0) + slope * by_angle
        dual = _apply(inverse, dual, gate.targets)
    return expectation, slopes
