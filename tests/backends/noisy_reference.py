"""Density matrices by Kraus operators on the whole register, in numpy, without a line of the package's."""

import math
from functools import cache
from itertools import product

import numpy as np
from dense_reference import PAULI, angle_value, gate_matrix, kron, observable_matrix, on_register


def pauli_error(words, p):
    return [math.sqrt(1 - p) * np.eye(2 ** len(words[0]))] + [
        math.sqrt(p / len(words)) * kron(*(PAULI[letter] for letter in word)) for word in words
    ]


def kraus(name, p):
    pairs = ["".join(letters) for letters in product("IXYZ", repeat=2)][1:]
    damped, kept = np.diag([1, math.sqrt(1 - p)]), math.sqrt(p)
    return {
        "Depolarizing": lambda: pauli_error(["X", "Y", "Z"], p),
        "TwoQubitDepolarizing": lambda: pauli_error(pairs, p),
        "BitFlip": lambda: pauli_error(["X"], p),
        "AmplitudeDamping": lambda: [damped, np.array([[0, kept], [0, 0]])],
        "PhaseDamping": lambda: [damped, np.diag([0, kept])],
    }[name]()


@cache  # a test asks for the same channels a few dozen times
def kraus_on_register(name, p, qubits, n):
    return [on_register(small, qubits, n) for small in kraus(name, p)]


def density_matrix(circuit, inputs, weights):
    n = circuit.num_qubits
    state = np.zeros(2**n)
    state[0] = 1
    if circuit.encoding is not None:
        d = circuit.encoding.num_features
        state[:d] = np.asarray(inputs[:d]) / np.linalg.norm(inputs[:d])
    rho = np.outer(state, state).astype(complex)
    for operation in circuit.body:
        if hasattr(operation, "probability"):
            whole = kraus_on_register(operation.name, operation.probability, operation.qubits, n)
        else:
            small = gate_matrix(operation.name, [angle_value(angle, inputs, weights) for angle in operation.angles])
            whole = [on_register(small, operation.qubits, n)]
        rho = sum(k @ rho @ k.conj().T for k in whole)
    return rho


def read_matrix(observable, circuit):
    """What is read instead of a Pauli product: P becomes (1 - a - b) P + (b - a) on each of its qubits."""
    n = circuit.num_qubits
    flips = {error.qubit: (error.zero_to_one, error.one_to_zero) for error in circuit.readout}
    if not flips:
        return observable_matrix(observable, n)
    total = np.zeros((2**n, 2**n), dtype=complex)
    for coefficient, string in getattr(observable, "terms", ((1.0, observable),)):
        factors = [np.eye(2, dtype=complex)] * n
        for qubit, letter in string.factors:
            a, b = flips.get(qubit, (0.0, 0.0))
            factors[qubit] = (1 - a - b) * PAULI[letter] + (b - a) * np.eye(2)
        total += coefficient * kron(*factors)
    return total


def noisy_expectations(circuit, inputs, weights, observables):
    """[B, O] for inputs [B, I] and weights [P], all numpy."""
    read = [read_matrix(observable, circuit) for observable in observables]
    rows = [density_matrix(circuit, row, weights) for row in inputs]
    return np.array([[np.trace(rho @ matrix).real for matrix in read] for rho in rows])
