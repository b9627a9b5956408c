"""A second simulator: whole-register matrices by Kronecker products, in numpy, without a line of the package's."""

import cmath
import math

import numpy as np

ONE = np.eye(2)
PAULI = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1.0 + 0j, -1.0]),
}
UP, DOWN = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])


def kron(*matrices):
    product = np.eye(1)
    for matrix in matrices:
        product = np.kron(product, matrix)
    return product


def exponential(generator, theta):
    """exp(-i theta P / 2) for P with P² = 1."""
    return math.cos(theta / 2) * np.eye(len(generator)) - 1j * math.sin(theta / 2) * generator


def phase(theta):
    return np.diag([1, cmath.exp(1j * theta)])


def controlled(matrix):
    return kron(UP, np.eye(len(matrix))) + kron(DOWN, matrix)


def gate_matrix(name, angles):
    fixed = {
        **PAULI,
        "H": (PAULI["X"] + PAULI["Z"]) / math.sqrt(2),
        "S": np.diag([1, 1j]),
        "Sdg": np.diag([1, -1j]),
        "T": phase(math.pi / 4),
        "Tdg": phase(-math.pi / 4),
        "SX": ((1 + 1j) * PAULI["I"] + (1 - 1j) * PAULI["X"]) / 2,
        "CNOT": controlled(PAULI["X"]),
        "CY": controlled(PAULI["Y"]),
        "CZ": controlled(PAULI["Z"]),
        "SWAP": sum(kron(PAULI[p], PAULI[p]) for p in "IXYZ") / 2,
        "Toffoli": controlled(controlled(PAULI["X"])),
    }
    if name in fixed:
        return fixed[name]
    if name == "PhaseShift":
        return phase(*angles)
    if name == "U3":
        theta, phi, lam = angles
        return phase(phi) @ exponential(PAULI["Y"], theta) @ phase(lam)
    if name.startswith("CR"):
        return controlled(exponential(PAULI[name[2]], *angles))
    return exponential(kron(*(PAULI[letter] for letter in name[1:])), *angles)


def on_register(matrix, qubits, n):
    """Sum of M_ij |i><j| on the gate's qubits, the identity on all others; qubit 0 is the leftmost factor."""
    whole = np.zeros((2**n, 2**n), dtype=complex)
    k = len(qubits)
    for i in range(2**k):
        for j in range(2**k):
            factors = [ONE] * n
            for position, qubit in enumerate(qubits):
                bit = k - 1 - position
                factors[qubit] = np.outer(np.eye(2)[i >> bit & 1], np.eye(2)[j >> bit & 1])
            whole += matrix[i, j] * kron(*factors)
    return whole


def angle_value(angle, inputs, weights):
    if isinstance(angle, float):
        return angle
    vector = inputs if type(angle).__name__ == "Input" else weights
    return angle.scale * vector[angle.index] + angle.offset


def final_state(circuit, inputs, weights):
    n = circuit.num_qubits
    state = np.zeros(2**n, dtype=complex)
    state[0] = 1
    if circuit.encoding is not None:
        d = circuit.encoding.num_features
        vector = np.asarray(inputs[:d] if circuit.encoding.values is None else circuit.encoding.values, dtype=float)
        if np.any(vector):
            vector = vector / np.abs(vector).max()
            state[:d] = vector / np.linalg.norm(vector)
    for gate in circuit.gates:
        angles = [angle_value(angle, inputs, weights) for angle in gate.angles]
        state = on_register(gate_matrix(gate.name, angles), gate.qubits, n) @ state
    return state


def pauli_matrix(string, n):
    letters = dict(string.factors)
    return kron(*(PAULI[letters.get(qubit, "I")] for qubit in range(n)))


def observable_matrix(observable, n):
    if hasattr(observable, "terms"):
        return sum((c * pauli_matrix(s, n) for c, s in observable.terms), np.zeros((2**n, 2**n)))
    return pauli_matrix(observable, n)


def expectations(circuit, inputs, weights, observables):
    """[B, O] for inputs [B, I] and weights [P], all numpy."""
    matrices = [observable_matrix(o, circuit.num_qubits) for o in observables]
    rows = []
    for row in inputs:
        state = final_state(circuit, row, weights)
        rows.append([(state.conj() @ m @ state).real for m in matrices])
    return np.array(rows)
