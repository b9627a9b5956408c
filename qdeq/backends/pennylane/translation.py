"""PennyLane's gates, observables and devices for ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pennylane as qml

from qdeq.backends.adapter import encoded_state
from qdeq.backends.readout import observable_read
from qdeq.circuit import Channel, Circuit, Gate, ReadoutError
from qdeq.gates import GATES
from qdeq.observables import Observable, PauliString, as_sum

_FIXED: dict[str, Callable[..., Any]] = {
    "I": qml.Identity,
    "X": qml.PauliX,
    "Y": qml.PauliY,
    "Z": qml.PauliZ,
    "H": qml.Hadamard,
    "S": qml.S,
    "Sdg": lambda wires: qml.adjoint(qml.S(wires)),
    "T": qml.T,
    "Tdg": lambda wires: qml.adjoint(qml.T(wires)),
    "SX": qml.SX,
    "CNOT": qml.CNOT,
    "CZ": qml.CZ,
    "CY": qml.CY,
    "SWAP": qml.SWAP,
    "Toffoli": qml.Toffoli,
}
_TURNS: dict[str, Callable[..., Any]] = {
    "RX": qml.RX,
    "RY": qml.RY,
    "RZ": qml.RZ,
    "PhaseShift": qml.PhaseShift,
    "CRX": qml.CRX,
    "CRY": qml.CRY,
    "CRZ": qml.CRZ,
    "RXX": qml.IsingXX,
    "RYY": qml.IsingYY,
    "RZZ": qml.IsingZZ,
}
LACKS = frozenset(GATES) - _FIXED.keys() - _TURNS.keys()
"""Gates that the gate table decomposes: U3, so that no gate has more than one angle."""

_PAULIS = {"X": qml.PauliX, "Y": qml.PauliY, "Z": qml.PauliZ}


@lru_cache(maxsize=64)
def device(name: str, num_qubits: int) -> Any:
    """Return the PennyLane device with all qubits of the register, in order."""
    return qml.device(name, wires=num_qubits)


@lru_cache(maxsize=64)
def flipped_qubit(name: str) -> Any:
    """Return the device's probabilities of 0 and 1 after an X on a qubit: a device may return made-up values."""
    tape = qml.tape.QuantumScript([qml.PauliX(0)], [qml.probs(wires=[0])])
    (probabilities,) = qml.execute([tape], device(name, 1), diff_method=None)
    return probabilities


def operation(gate: Gate, angle: Any) -> Any:
    """Return PennyLane's operation; the angle is a number, an array or a tensor of the batch (None if it has none)."""
    return _TURNS[gate.name](angle, wires=gate.qubits) if gate.angles else _FIXED[gate.name](wires=gate.qubits)


def operations_of(circuits: Sequence[Circuit]) -> list[Any]:
    """Return the operations of bound circuits that differ in angles and encoded values only; broadcast, if several."""
    first = circuits[0]
    operations = []
    if first.encoding is not None:
        states = np.stack([encoded_state(circuit) for circuit in circuits])
        operations.append(qml.StatePrep(states if len(states) > 1 else states[0], wires=range(first.num_qubits)))
    for same in zip(*(circuit.body for circuit in circuits), strict=True):
        if isinstance(same[0], Channel):
            operations.append(_channel(same[0]))
            continue
        angles = np.array([angle for gate in same for angle in gate.angles])
        operations.append(operation(same[0], angles if len(angles) > 1 else angles.sum()))
    return operations


def _channel(channel: Channel) -> Any:
    """Return the channel by its Kraus operators: PennyLane's own add 1e-14 under the root, which is 1e-7 for γ = 1."""
    return qml.QubitChannel([k.numpy() for k in channel.type.build(channel.probability)], wires=channel.qubits)


def measured_strings(
    observables: Sequence[Observable], readout: Sequence[ReadoutError]
) -> tuple[list[Any], np.ndarray]:
    """Return the measurements of the distinct Pauli strings that are read, K of them, and coefficients ``[O, K]``."""
    read = [as_sum(observable_read(observable, readout)) for observable in observables]
    sums = [{string: coefficient for coefficient, string in total.terms} for total in read]
    strings = list(dict.fromkeys(string for terms in sums for string in terms)) or [PauliString()]
    coefficients = np.array([[terms.get(string, 0.0) for string in strings] for terms in sums])
    return [qml.expval(_pauli(string)) for string in strings], coefficients


def _pauli(string: PauliString) -> Any:
    factors = [_PAULIS[letter](qubit) for qubit, letter in string.factors]
    return qml.prod(*factors) if factors else qml.Identity(0)
