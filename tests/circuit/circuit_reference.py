"""Matrices of every gate and unitaries of whole circuits, written down again without a line of the package's."""

from cmath import exp
from math import cos, sin, sqrt

import numpy as np

EXACT = 1e-12
"""Rounding of a few dozen float64 operations on numbers of order one."""

SEED = 20241030


def controlled(matrix):
    size = len(matrix)
    whole = np.eye(2 * size, dtype=complex)
    whole[size:, size:] = matrix
    return whole


def rx(t):
    return np.array([[cos(t / 2), -1j * sin(t / 2)], [-1j * sin(t / 2), cos(t / 2)]])


def ry(t):
    return np.array([[cos(t / 2), -sin(t / 2)], [sin(t / 2), cos(t / 2)]])


def rz(t):
    return np.array([[exp(-0.5j * t), 0], [0, exp(0.5j * t)]])


def rxx(t):
    c, s = cos(t / 2), -1j * sin(t / 2)
    return np.array([[c, 0, 0, s], [0, c, s, 0], [0, s, c, 0], [s, 0, 0, c]])


def ryy(t):
    c, s = cos(t / 2), -1j * sin(t / 2)
    return np.array([[c, 0, 0, -s], [0, c, s, 0], [0, s, c, 0], [-s, 0, 0, c]])


def rzz(t):
    return np.diag([exp(-0.5j * t), exp(0.5j * t), exp(0.5j * t), exp(-0.5j * t)])


def u3(t, p, q):
    return np.array(
        [[cos(t / 2), -exp(1j * q) * sin(t / 2)], [exp(1j * p) * sin(t / 2), exp(1j * (p + q)) * cos(t / 2)]]
    )


X = np.array([[0, 1], [1, 0]], dtype=complex)
Y = np.array([[0, -1j], [1j, 0]])
Z = np.diag([1, -1]).astype(complex)
PAULI = {"I": np.eye(2, dtype=complex), "X": X, "Y": Y, "Z": Z}

MATRICES = {
    "I": lambda: np.eye(2),
    "X": lambda: X,
    "Y": lambda: Y,
    "Z": lambda: Z,
    "H": lambda: np.array([[1, 1], [1, -1]]) / sqrt(2),
    "S": lambda: np.diag([1, 1j]),
    "Sdg": lambda: np.diag([1, -1j]),
    "T": lambda: np.diag([1, exp(0.25j * np.pi)]),
    "Tdg": lambda: np.diag([1, exp(-0.25j * np.pi)]),
    "SX": lambda: np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2,
    "RX": rx,
    "RY": ry,
    "RZ": rz,
    "PhaseShift": lambda t: np.diag([1, exp(1j * t)]),
    "U3": u3,
    "CNOT": lambda: controlled(X),
    "CZ": lambda: controlled(Z),
    "CY": lambda: controlled(Y),
    "SWAP": lambda: np.eye(4)[[0, 2, 1, 3]],
    "CRX": lambda t: controlled(rx(t)),
    "CRY": lambda t: controlled(ry(t)),
    "CRZ": lambda t: controlled(rz(t)),
    "RXX": rxx,
    "RYY": ryy,
    "RZZ": rzz,
    "Toffoli": lambda: np.eye(8)[[0, 1, 2, 3, 4, 5, 7, 6]],
}


def embed(matrix, qubits, num_qubits):
    """The matrix on some qubits of a register, entry by entry; qubit 0 is the most significant bit."""
    size = 2**num_qubits
    whole = np.zeros((size, size), dtype=complex)
    for column in range(size):
        bits = [column >> (num_qubits - 1 - q) & 1 for q in range(num_qubits)]
        source = int("".join(str(bits[q]) for q in qubits), 2)
        for target in range(len(matrix)):
            changed = list(bits)
            for place, q in enumerate(qubits):
                changed[q] = target >> (len(qubits) - 1 - place) & 1
            whole[int("".join(map(str, changed)), 2), column] += matrix[target, source]
    return whole


def unitary(circuit):
    """The unitary of a bound circuit's gates; an amplitude encoding is left out."""
    whole = np.eye(2**circuit.num_qubits, dtype=complex)
    for gate in circuit.gates:
        whole = embed(MATRICES[gate.name](*gate.angles), gate.qubits, circuit.num_qubits) @ whole
    return whole


def pauli_matrix(string, num_qubits):
    letters = dict(string.factors)
    whole = np.ones((1, 1), dtype=complex)
    for q in range(num_qubits):
        whole = np.kron(whole, PAULI[letters.get(q, "I")])
    return whole
