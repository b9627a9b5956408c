"""What is right: expectations and derivatives from the gate table's matrices, in numpy and float64.

A second simulator on purpose: it shares the gate table with the backends, and nothing else. Slow, and meant for a few
qubits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.observables import Observable, as_sum

_PAULI = {"X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1.0, -1.0])}

DIFFERENCE_STEP = 3e-3
"""Step of the sixth-order central differences: for angles of frequency up to 5, and for encoded vectors of norm 1/2
and more, truncation and rounding stay below 1e-10."""
_DIFFERENCES = ((1, 45.0), (2, -9.0), (3, 1.0))


def final_states(circuit: Circuit, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the states ``[B, 2^n]`` at inputs ``[B, I]`` and weights ``[P]``, global phase included."""
    size = circuit.num_qubits
    states = np.zeros((len(inputs), 2**size), dtype=complex)
    states[:, 0] = 1
    if circuit.encoding is not None:
        features = circuit.encoding.num_features
        for state, row in zip(states, inputs, strict=True):
            vector = np.asarray(row[:features] if circuit.encoding.values is None else circuit.encoding.values)
            if np.any(vector):
                state[:] = 0
                state[:features] = vector / np.linalg.norm(vector)
    for gate in circuit.gates:
        states = _apply(states, _matrices(gate, inputs, weights), gate.qubits, size)
    return states


def expectations(
    circuit: Circuit, inputs: np.ndarray, weights: np.ndarray, observables: Sequence[Observable]
) -> np.ndarray:
    """Return the expectations ``[B, O]`` at inputs ``[B, I]`` and weights ``[P]``."""
    states = final_states(circuit, inputs, weights)
    values = np.zeros((len(inputs), len(observables)))
    for column, observable in enumerate(observables):
        for coefficient, string in as_sum(observable).terms:
            turned = states
            for qubit, letter in string.factors:
                turned = _apply(turned, _PAULI[letter][None], (qubit,), circuit.num_qubits)
            values[:, column] += coefficient * (states.conj() * turned).sum(axis=1).real
    return values


def input_jacobian(
    circuit: Circuit, inputs: np.ndarray, weights: np.ndarray, observables: Sequence[Observable]
) -> np.ndarray:
    """Return ``∂f/∂v`` ``[B, O, I]``; zero where an encoded vector is zero, as the circuit's definition has it."""

    def along(column: int) -> np.ndarray:
        def moved(step: float) -> np.ndarray:
            return expectations(circuit, inputs + step * np.eye(inputs.shape[1])[column], weights, observables)

        return _derivative(moved)

    columns = [along(column) for column in range(inputs.shape[1])]
    jacobian = np.stack(columns, axis=2) if columns else np.zeros((len(inputs), len(observables), 0))
    if circuit.encoding is not None and circuit.encoding.values is None:
        features = circuit.encoding.num_features
        jacobian[~inputs[:, :features].any(axis=1), :, :features] = 0.0
    return jacobian


def weight_jacobian(
    circuit: Circuit, inputs: np.ndarray, weights: np.ndarray, observables: Sequence[Observable]
) -> np.ndarray:
    """Return ``∂f/∂θ`` ``[B, O, P]``."""

    def along(column: int) -> np.ndarray:
        return _derivative(
            lambda step: expectations(circuit, inputs, weights + step * np.eye(len(weights))[column], observables)
        )

    columns = [along(column) for column in range(len(weights))]
    return np.stack(columns, axis=2) if columns else np.zeros((len(inputs), len(observables), 0))


def _derivative(moved: Callable[[float], np.ndarray]) -> np.ndarray:
    total = sum(factor * (moved(k * DIFFERENCE_STEP) - moved(-k * DIFFERENCE_STEP)) for k, factor in _DIFFERENCES)
    return np.asarray(total) / (60 * DIFFERENCE_STEP)


def _matrices(gate: Gate, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the gate's matrices ``[B, 2^k, 2^k]``."""
    angles = np.zeros((len(inputs), len(gate.angles)))
    for column, angle in enumerate(gate.angles):
        if isinstance(angle, Input):
            angles[:, column] = angle.scale * inputs[:, angle.index] + angle.offset
        elif isinstance(angle, Weight):
            angles[:, column] = angle.value(list(weights))
        else:
            angles[:, column] = angle
    return np.asarray(gate.type.build(torch.from_numpy(angles)).numpy())


def _apply(states: np.ndarray, matrices: np.ndarray, qubits: Sequence[int], size: int) -> np.ndarray:
    """Apply matrices ``[B or 1, 2^k, 2^k]`` to states ``[B, 2^n]``; the first qubit is the most significant."""
    axes, front = [qubit + 1 for qubit in qubits], range(1, len(qubits) + 1)
    cube = np.moveaxis(states.reshape(-1, *(2,) * size), axes, front)
    moved = matrices @ cube.reshape(len(states), 2 ** len(qubits), -1)
    return np.ascontiguousarray(np.moveaxis(moved.reshape(cube.shape), front, axes)).reshape(states.shape)
