"""The channel table: one row per noise channel, as Kraus operators; the backends and the drawings read it.

The conventions are those of Cirq, Braket and PennyLane (Nielsen & Chuang 2010, section 8.3). Depolarising with
probability p means that with p one of the Pauli operators other than the identity strikes, each as likely.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import sqrt

import torch
from torch import Tensor

from qdeq.gates import GATES

Kraus = tuple[Tensor, ...]


@dataclass(frozen=True)
class ChannelType:
    """One row of the channel table.

    Attributes:
        name: The name that circuits use.
        num_qubits: How many qubits the channel acts on.
        parameter: Name of its one parameter.
        most: Largest value of the parameter that is still noise: beyond it a Pauli error is likelier than none.
        build: Maps the parameter to the Kraus operators ``[2^k, 2^k]`` (complex128).
        symbol: Short label for drawings.
        kraus: The operators in words.
    """

    name: str
    num_qubits: int
    parameter: str
    most: float
    build: Callable[[float], Kraus]
    symbol: str
    kraus: str


def _matrix(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.complex128)


def _pauli_errors(words: tuple[str, ...]) -> Callable[[float], Kraus]:
    """Return the identity with probability 1 - p, and each of the Pauli words with p divided by their number."""

    def word(letters: str) -> Tensor:
        matrix = torch.ones(1, 1, dtype=torch.complex128)
        for letter in letters:
            matrix = torch.kron(matrix, GATES[letter].matrix())
        return matrix

    operators = [word("I" * len(words[0])), *map(word, words)]

    def build(p: float) -> Kraus:
        share = sqrt(p / len(words))
        return tuple(
            factor * matrix for factor, matrix in zip([sqrt(1 - p), *[share] * len(words)], operators, strict=True)
        )

    return build


def _amplitude_damping(gamma: float) -> Kraus:
    return _matrix([[1, 0], [0, sqrt(1 - gamma)]]), _matrix([[0, sqrt(gamma)], [0, 0]])


def _phase_damping(gamma: float) -> Kraus:
    return _matrix([[1, 0], [0, sqrt(1 - gamma)]]), _matrix([[0, 0], [0, sqrt(gamma)]])


_PAIRS = tuple("".join(letters) for letters in product("IXYZ", repeat=2))[1:]

CHANNELS: dict[str, ChannelType] = {
    row.name: row
    for row in (
        ChannelType(
            "Depolarizing",
            1,
            "probability",
            3 / 4,
            _pauli_errors(("X", "Y", "Z")),
            "dep",
            "√(1-p) 1, √(p/3) X, √(p/3) Y, √(p/3) Z",
        ),
        ChannelType(
            "TwoQubitDepolarizing",
            2,
            "probability",
            15 / 16,
            _pauli_errors(_PAIRS),
            "dep",
            "√(1-p) 1, √(p/15) P for each of the 15 other pairs P of Pauli operators",
        ),
        ChannelType(
            "AmplitudeDamping", 1, "gamma", 1.0, _amplitude_damping, "amp", "diag(1, √(1-γ)), √γ in row 0, column 1"
        ),
        ChannelType("PhaseDamping", 1, "gamma", 1.0, _phase_damping, "pha", "diag(1, √(1-γ)), diag(0, √γ)"),
        ChannelType("BitFlip", 1, "probability", 1 / 2, _pauli_errors(("X",)), "flip", "√(1-p) 1, √p X"),
    )
}
"""The table itself, by name."""
