"""The channel table: one row per noise channel, as Kraus operators; the backends and the drawings read it.

The conventions are those of Cirq, Braket and PennyLane (Nielsen & Chuang 2010, section 8.3). Depolarising with
probability p means that with p one of the Pauli operators other than the identity strikes, each as likely.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import sqrt
from numbers import Real

import torch
from torch import Tensor

from qdeq.errors import CircuitError
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
        symbol: Short label for drawings.
        kraus: The operators in words.
        operators: The function behind :meth:`build`, which does not look at its argument.
    """

    name: str
    num_qubits: int
    parameter: str
    most: float
    symbol: str
    kraus: str
    operators: Callable[[float], Kraus]

    def build(self, value: float) -> Kraus:
        """Return the Kraus operators at a value of the parameter, each ``[2^k, 2^k]`` (complex128).

        Circuits allow values up to :attr:`most`; a channel it is up to 1.

        Raises:
            CircuitError: The value is not a number from 0 to 1.
        """
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
            raise CircuitError(f"{self.parameter} of {self.name} is a number from 0 to 1, not {value!r}")
        return self.operators(float(value))


def _matrix(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.complex128)


def _pauli_errors(words: tuple[str, ...]) -> Callable[[float], Kraus]:
    """Return the function from p to: no error with probability 1 - p, or one of the Pauli words, each as likely."""

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
            "dep",
            "√(1-p) 1, √(p/3) X, √(p/3) Y, √(p/3) Z",
            _pauli_errors(("X", "Y", "Z")),
        ),
        ChannelType(
            "TwoQubitDepolarizing",
            2,
            "probability",
            15 / 16,
            "dep",
            "√(1-p) 1, √(p/15) P for each of the 15 other pairs P of Pauli operators",
            _pauli_errors(_PAIRS),
        ),
        ChannelType(
            "AmplitudeDamping", 1, "gamma", 1.0, "amp", "diag(1, √(1-γ)), √γ in row 0, column 1", _amplitude_damping
        ),
        ChannelType("PhaseDamping", 1, "gamma", 1.0, "pha", "diag(1, √(1-γ)), diag(0, √γ)", _phase_damping),
        ChannelType("BitFlip", 1, "probability", 1 / 2, "flip", "√(1-p) 1, √p X", _pauli_errors(("X",))),
    )
}
"""The table itself, by name."""
