"""What is right: expectations and derivatives from the tables of gates and channels, in numpy and float64.

A second simulator on purpose: it shares the tables with the backends, and nothing else. Slow, and meant for a few
qubits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from qdeq.circuit import Circuit, Gate, Input, ReadoutError, Weight
from qdeq.observables import Observable, as_sum

_PAULI = {"X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1.0, -1.0])}

DIFFERENCE_STEP = 3e-3
"""Step of the sixth-order central differences: for angles of frequency up to 5, and for encoded vectors of norm 1/2
and more, truncation and rounding stay below 1e-10."""
_DIFFERENCES = ((1, 45.0), (2, -9.0), (3, 1.0))


def final_states(circuit: Circuit, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the states ``[B, 2^n]`` of a circuit without noise, global phase included."""
    states = _prepared(circuit, inputs)
    for gate in circuit.gates:
        states = _apply(states, _matrices(gate, inputs, weights), gate.qubits, circuit.num_qubits)
    return states


def _prepared(circuit: Circuit, inputs: np.ndarray) -> np.ndarray:
    """Return the states ``[B, 2^n]`` that the circuit's gates act on."""
    states = np.zeros((len(inputs), 2**circuit.num_qubits), dtype=complex)
    states[:, 0] = 1
    if circuit.encoding is not None:
        features = circuit.encoding.num_features
        for state, row in zip(states, inputs, strict=True):
            vector = np.asarray(row[:features] if circuit.encoding.values is None else circuit.encoding.values)
            if np.any(vector):
                state[:] = 0
                state[:features] = vector / np.linalg.norm(vector)
    return states


def expectations(
    circuit: Circuit, inputs: np.ndarray, weights: np.ndarray, observables: Sequence[Observable]
) -> np.ndarray:
    """Return the expectations ``[B, O]`` of what is read at inputs ``[B, I]`` and weights ``[P]``, noise included."""
    size = circuit.num_qubits
    matrices = final_matrices(circuit, inputs, weights)
    read = {error.qubit: (1 - error.zero_to_one - error.one_to_zero, _bias(error)) for error in circuit.readout}
    values = np.zeros((len(inputs), len(observables)))
    for column, observable in enumerate(observables):
        for coefficient, string in as_sum(observable).terms:
            turned = matrices
            for qubit, letter in string.factors:
                kept, bias = read.get(qubit, (1.0, 0.0))
                turned = _apply(turned, (kept * _PAULI[letter] + bias * np.eye(2))[None], (qubit,), 2 * size)
            trace = turned.reshape(-1, 2**size, 2**size).trace(axis1=1, axis2=2)
            values[:, column] += coefficient * trace.real
    return values


def final_matrices(circuit: Circuit, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the density matrices ``[B, 4^n]``, rows first, at inputs ``[B, I]`` and weights ``[P]``."""
    size = circuit.num_qubits
    states = _prepared(circuit, inputs)
    matrices = (states[:, :, None] * states[:, None].conj()).reshape(len(states), -1)
    for operation in circuit.body:
        if isinstance(operation, Gate):
            factors = [_matrices(operation, inputs, weights)]
        else:
            factors = [factor.numpy()[None] for factor in operation.type.build(operation.probability)]
        columns = [size + qubit for qubit in operation.qubits]
        moved = [_apply(matrices, factor, operation.qubits, 2 * size) for factor in factors]
        parts = [_apply(part, factor.conj(), columns, 2 * size) for part, factor in zip(moved, factors, strict=True)]
        matrices = np.sum(parts, axis=0)
    return matrices


def _bias(error: ReadoutError) -> float:
    """Return the mean that is read of a qubit without one: ``b - a``, with a to read 1 for 0 and b 0 for 1."""
    return error.one_to_zero - error.zero_to_one


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
