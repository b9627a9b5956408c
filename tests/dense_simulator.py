"""An independent simulator, numpy and plain data only: Kronecker products, sums over Kraus operators, misread outcomes.

It has its own table of gates and channels and no line of the package's. A rotation about a Pauli product P is
``exp(-iθP/2)``, qubit 0 is the leftmost factor and the most significant bit, and global phases are kept. All is batched
over N rows of inputs and weights, so that central differences are one call.
"""

import math
from dataclasses import dataclass, field
from functools import reduce
from itertools import product

import numpy as np

PAULI = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1.0 + 0j, -1.0]),
}
UP, DOWN = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])


@dataclass(frozen=True)
class Plan:
    """A circuit as plain data.

    ``operations`` are ``(name, qubits, numbers)``: a gate with its angles, or a channel with its probability. An angle
    is a number or ``("input" or "weight", index, scale, offset)``. ``encoded`` is the number of inputs that are
    amplitudes, or the amplitudes themselves, or None. ``readout`` maps a qubit to its probabilities of reading 1 for 0,
    and 0 for 1. An observable is a sequence of ``(coefficient, ((qubit, letter), ...))``.
    """

    num_qubits: int
    operations: tuple
    encoded: int | tuple | None = None
    readout: dict = field(default_factory=dict)


def kron(*matrices):
    return reduce(np.kron, matrices, np.eye(1))


def phase(theta):
    """``[N, 2, 2]`` for angles ``[N]``."""
    return UP + np.exp(1j * theta)[:, None, None] * DOWN


def exponential(letters, theta):
    """exp(-i theta P / 2) for a Pauli product P, whose square is 1: ``[N, 2^k, 2^k]`` for angles ``[N]``."""
    generator = kron(*(PAULI[letter] for letter in letters))
    half = theta[:, None, None] / 2
    return np.cos(half) * np.eye(len(generator)) - 1j * np.sin(half) * generator


def controlled(matrix):
    size = matrix.shape[-1]
    whole = np.broadcast_to(np.eye(2 * size, dtype=complex), (*matrix.shape[:-2], 2 * size, 2 * size)).copy()
    whole[..., size:, size:] = matrix
    return whole


FIXED = {
    **PAULI,
    "H": (PAULI["X"] + PAULI["Z"]) / math.sqrt(2),
    "S": np.diag([1, 1j]),
    "Sdg": np.diag([1, -1j]),
    "T": np.diag([1, np.exp(0.25j * np.pi)]),
    "Tdg": np.diag([1, np.exp(-0.25j * np.pi)]),
    "SX": ((1 + 1j) * PAULI["I"] + (1 - 1j) * PAULI["X"]) / 2,
    "CNOT": controlled(PAULI["X"]),
    "CY": controlled(PAULI["Y"]),
    "CZ": controlled(PAULI["Z"]),
    "SWAP": sum(kron(PAULI[p], PAULI[p]) for p in "IXYZ") / 2,
    "Toffoli": controlled(controlled(PAULI["X"])),
}
TURNED = {
    **{f"R{word}": lambda t, word=word: exponential(word, t) for word in ("X", "Y", "Z", "XX", "YY", "ZZ")},
    **{f"CR{letter}": lambda t, letter=letter: controlled(exponential(letter, t)) for letter in "XYZ"},
    "PhaseShift": phase,
    "U3": lambda theta, phi, lam: phase(phi) @ exponential("Y", theta) @ phase(lam),
}
NUM_ANGLES = dict.fromkeys(FIXED, 0) | dict.fromkeys(TURNED, 1) | {"U3": 3}
WIDTH = {name: int(math.log2(len(matrix))) for name, matrix in FIXED.items()} | {
    name: int(math.log2(build(*np.zeros((NUM_ANGLES[name], 1))).shape[-1])) for name, build in TURNED.items()
}
"""How many angles a gate has, and how many qubits."""


def pauli_errors(words):
    def build(p):
        spread = math.sqrt(p / len(words))
        return [math.sqrt(1 - p) * np.eye(2 ** len(words[0]))] + [
            spread * kron(*(PAULI[letter] for letter in word)) for word in words
        ]

    return build


PAIRS = ["".join(letters) for letters in product("IXYZ", repeat=2)][1:]
KRAUS = {
    "Depolarizing": pauli_errors(["X", "Y", "Z"]),
    "TwoQubitDepolarizing": pauli_errors(PAIRS),
    "BitFlip": pauli_errors(["X"]),
    "AmplitudeDamping": lambda g: [np.diag([1, math.sqrt(1 - g)]), np.array([[0, math.sqrt(g)], [0, 0]])],
    "PhaseDamping": lambda g: [np.diag([1, math.sqrt(1 - g)]), np.diag([0, math.sqrt(g)])],
}
"""Nielsen & Chuang, section 8.3; depolarising with p: one of the other Pauli products, each with the same share."""


def on_register(matrices, qubits, n):
    """``[N, 2^k, 2^k]`` on k qubits to ``[N, 2^n, 2^n]``: times the identity on the others, then factors in order."""
    k, rest = len(qubits), 2 ** (n - len(qubits))
    whole = np.einsum("nij,kl->nikjl", matrices, np.eye(rest)).reshape(-1, *[2] * (2 * n))
    order = [*qubits, *(qubit for qubit in range(n) if qubit not in qubits)]
    axes = [1 + order.index(qubit) for qubit in range(n)]
    assert len(set(qubits)) == k
    return whole.transpose(0, *axes, *(n + axis for axis in axes)).reshape(-1, 2**n, 2**n)


def angle_values(angle, inputs, weights):
    """``[1]`` for a number, ``[N]`` for a reference to inputs ``[N, I]`` or weights ``[N, P]``."""
    if not isinstance(angle, tuple):
        return np.array([angle], dtype=float)
    kind, index, scale, offset = angle
    return scale * (inputs if kind == "input" else weights)[:, index] + offset


def gate_on_register(operation, n, inputs, weights):
    name, qubits, angles = operation
    values = [angle_values(angle, inputs, weights) for angle in angles]
    small = TURNED[name](*np.broadcast_arrays(*values)) if values else FIXED[name][None]
    return on_register(small, qubits, n)


def initial_states(plan, inputs):
    """``[N, 2^n]``: the normalised vector in the first amplitudes, or |0...0>, as for a vector of zeros."""
    states = np.zeros((len(inputs), 2**plan.num_qubits), dtype=complex)
    states[:, 0] = 1
    if plan.encoded is None:
        return states
    free = isinstance(plan.encoded, int)
    vectors = inputs[:, : plan.encoded] if free else np.tile(np.array(plan.encoded, dtype=float), (len(inputs), 1))
    for state, vector in zip(states, vectors, strict=True):
        if np.any(vector):
            vector = vector / np.abs(vector).max()
            state[: len(vector)] = vector / np.linalg.norm(vector)
    return states


def states(plan, inputs, weights):
    """Final states ``[N, 2^n]`` of a circuit without channels."""
    vectors = initial_states(plan, inputs)[..., None]
    for operation in plan.operations:
        vectors = gate_on_register(operation, plan.num_qubits, inputs, weights) @ vectors
    return vectors[..., 0]


def density_matrices(plan, inputs, weights):
    """Final density matrices ``[N, 2^n, 2^n]``."""
    n, start = plan.num_qubits, initial_states(plan, inputs)
    rho = start[:, :, None] * start[:, None, :].conj()
    for operation in plan.operations:
        name, qubits, numbers = operation
        if name in KRAUS:
            whole = [on_register(small[None], qubits, n) for small in KRAUS[name](*numbers)]
        else:
            whole = [gate_on_register(operation, n, inputs, weights)]
        rho = sum(k @ rho @ k.conj().swapaxes(1, 2) for k in whole)
    return rho


BASIS = {"I": np.eye(2), "X": FIXED["H"], "Y": FIXED["H"] @ FIXED["Sdg"], "Z": np.eye(2)}
"""What turns a Pauli's eigenvectors for 1 and -1 into |0> and |1>."""


def read_string(rho, factors, plan):
    """``[N]``: the mean of the product of the outcomes that are read when each factor is measured in its own basis."""
    letters, n = dict(factors), plan.num_qubits
    turn = kron(*(BASIS[letters.get(qubit, "I")] for qubit in range(n)))
    probabilities = np.einsum("ij,njk,ik->ni", turn, rho, turn.conj(), optimize=True).real
    flips = [plan.readout.get(qubit, (0.0, 0.0)) for qubit in range(n)]
    confusion = kron(*(np.array([[1 - a, b], [a, 1 - b]]) for a, b in flips))
    parity = kron(*(np.array([[1.0, -1.0 if qubit in letters else 1.0]]) for qubit in range(n)))[0]
    return probabilities @ confusion.T @ parity


def plan_expectations(plan, inputs, weights, observables):
    """``[N, O]`` for inputs ``[N, I]`` and weights ``[N, P]``."""
    rho = density_matrices(plan, inputs, weights)
    zero = np.zeros(len(rho))
    return np.stack([sum((c * read_string(rho, f, plan) for c, f in o), zero) for o in observables], axis=1)


# -- the same for the package's circuits, read as data -----------------------------------------------------------------


def plan_of(circuit):
    """Read a circuit's public fields."""
    encoding, *body = circuit.operations if circuit.encoding is not None else (None, *circuit.operations)
    encoded = None if encoding is None else encoding.num_features if encoding.values is None else encoding.values
    operations = tuple(
        (operation.name, operation.qubits, (operation.probability,))
        if hasattr(operation, "probability")
        else (operation.name, operation.qubits, tuple(_angle(angle) for angle in operation.angles))
        for operation in body
    )
    readout = {error.qubit: (error.zero_to_one, error.one_to_zero) for error in circuit.readout}
    return Plan(circuit.num_qubits, operations, encoded, readout)


def _angle(angle):
    return angle if isinstance(angle, float) else (type(angle).__name__.lower(), angle.index, angle.scale, angle.offset)


def final_state(circuit):
    """The state ``[2^n]`` of a bound circuit, with its phase."""
    return states(plan_of(circuit), np.zeros((1, 0)), np.zeros((1, 0)))[0]


def expectations(circuit, inputs, weights, observables):
    """``[B, O]`` for inputs ``[B, I]`` and weights ``[P]``, all numpy."""
    terms = [[(c, s.factors) for c, s in getattr(o, "terms", ((1.0, o),))] for o in observables]
    rows = np.tile(np.asarray(weights), (len(inputs), 1))
    return plan_expectations(plan_of(circuit), np.asarray(inputs), rows, terms)
