"""Shifted circuits: the derivatives of a circuit in its weights and inputs, as the same circuit at other angles.

The rules are those of the gate table; re-uploaded, scaled and offset angles follow by the chain rule, one occurrence
at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from qdeq.circuit import Circuit, Gate, Input, Operation, Weight


@dataclass(frozen=True)
class ShiftedCircuits:
    """Derivatives as combinations: ``∂/∂a[index_t] = Σ_t coefficient_t value(circuit_t)``.

    Attributes:
        circuits: The shifted circuits, T of them.
        indices: For each, which weight or input it belongs to.
        coefficients: For each, its coefficient; complex for derivatives of amplitudes.
    """

    circuits: tuple[Circuit, ...]
    indices: tuple[int, ...]
    coefficients: tuple[complex, ...]


@lru_cache(maxsize=256)
def shifted_circuits(
    circuit: Circuit, kind: type[Input] | type[Weight], *, amplitudes: bool = False
) -> ShiftedCircuits:
    """Return the shifted circuits of every weight, or of every input that is an angle.

    Args:
        circuit: The circuit.
        kind: :class:`~qdeq.circuit.Weight` or :class:`~qdeq.circuit.Input`.
        amplitudes: For the derivative of the state instead of that of an expectation.
    """
    circuits, indices, coefficients = [], [], []
    for position, operation in enumerate(circuit.operations):
        if not isinstance(operation, Gate):
            continue
        rules = operation.type.unitary_derivatives if amplitudes else operation.type.shift_rules
        for slot, angle in enumerate(operation.angles):
            if not isinstance(angle, kind):
                continue
            for coefficient, shift in rules[slot]:
                moved = replace(angle, offset=angle.offset + shift)
                angles = (*operation.angles[:slot], moved, *operation.angles[slot + 1 :])
                circuits.append(_replaced(circuit, position, Gate(operation.name, operation.qubits, angles)))
                indices.append(angle.index)
                coefficients.append(coefficient * angle.scale)
    return ShiftedCircuits(tuple(circuits), tuple(indices), tuple(coefficients))


def _replaced(circuit: Circuit, position: int, operation: Operation) -> Circuit:
    operations: Sequence[Operation] = circuit.operations
    return replace(circuit, operations=(*operations[:position], operation, *operations[position + 1 :]))
