"""What the checks of a backend are run on: a circuit with inputs, weights and observables, drawn by hypothesis.

Numbers are multiples of 1/16: as good as any for finding mistakes, and readable once hypothesis has shrunk them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Input, Weight
from qdeq.gates import GATES
from qdeq.observables import Observable, PauliString, PauliSum, X, Y, Z, as_sum
from qdeq.operations import Angle

NUMBERS = st.integers(-64, 64).map(lambda k: k / 16)
"""Angles and inputs in [-4, 4]."""


@dataclass(frozen=True)
class Case:
    """A circuit and all that an expectation takes.

    Attributes:
        circuit: The circuit.
        observables: What to measure.
        inputs: One row a sample.
        weights: Its weights.
    """

    circuit: Circuit
    observables: tuple[Observable, ...]
    inputs: tuple[tuple[float, ...], ...] = ((),)
    weights: tuple[float, ...] = ()

    def tensors(self, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Return inputs ``[B, I]`` and weights ``[P]``."""
        return torch.tensor(self.inputs, dtype=dtype), torch.tensor(self.weights, dtype=dtype)

    @property
    def norms(self) -> np.ndarray:
        """The norm ``[O]`` that bounds each observable, at least 1."""
        sums = [sum(abs(c) for c, _ in as_sum(observable).terms) for observable in self.observables]
        return np.maximum(1.0, np.array(sums))

    @property
    def size(self) -> tuple[int, ...]:
        """What makes one failing case smaller than another."""
        operations = len(self.circuit.operations)
        return operations, self.circuit.num_qubits, len(self.inputs), len(self.observables), len(self.circuit.to_json())

    def given(self) -> dict[str, str]:
        """Return inputs, weights and observables as text."""
        return {
            "inputs": "; ".join(", ".join(f"{value:g}" for value in row) for row in self.inputs),
            "weights": ", ".join(f"{value:g}" for value in self.weights),
            "observables": ", ".join(str(observable) for observable in self.observables[:12])
            + (f", ... ({len(self.observables)} in all)" if len(self.observables) > 12 else ""),
        }


def single_paulis(num_qubits: int, letters: str = "XYZ") -> tuple[PauliString, ...]:
    """Return the chosen Pauli matrices on every qubit, qubit by qubit."""
    makers = {"X": X, "Y": Y, "Z": Z}
    return tuple(makers[letter](qubit) for qubit in range(num_qubits) for letter in letters)


@st.composite
def pauli_strings(draw: st.DrawFn, num_qubits: int) -> PauliString:
    """Draw a Pauli string that is not the identity."""
    letters = draw(st.dictionaries(st.integers(0, num_qubits - 1), st.sampled_from("ZXY"), min_size=1))
    return PauliString(tuple(letters.items()))


@st.composite
def observables(draw: st.DrawFn, num_qubits: int) -> Observable:
    """Draw a Pauli string, or a sum of a few of them with the identity among them."""
    string = pauli_strings(num_qubits)
    if draw(st.booleans()):
        return draw(string)
    coefficients = st.integers(-8, 8).map(lambda k: k / 4)
    return PauliSum(
        tuple(draw(st.lists(st.tuples(coefficients, string | st.just(PauliString())), min_size=1, max_size=3)))
    )


@st.composite
def filled(
    draw: st.DrawFn, circuits: st.SearchStrategy[Circuit], *, rows: tuple[int, int] = (1, 2), surplus: int = 1
) -> Case:
    """Draw a circuit, and inputs, weights and up to three observables for it.

    Args:
        draw: Given by hypothesis.
        circuits: Where the circuit comes from.
        rows: Fewest and most samples.
        surplus: Up to so many more inputs and weights than the circuit uses.
    """
    circuit = draw(circuits)
    extra = draw(st.integers(0, surplus))
    width, count = circuit.num_inputs + extra, circuit.num_weights + extra
    batch = draw(st.integers(*rows))
    vector = st.lists(NUMBERS, min_size=width, max_size=width).map(tuple)
    return Case(
        circuit,
        tuple(draw(st.lists(observables(circuit.num_qubits), min_size=1, max_size=3))),
        tuple(draw(vector) for _ in range(batch)),
        tuple(draw(NUMBERS) for _ in range(count)),
    )


@st.composite
def references(draw: st.DrawFn, kinds: Sequence[type[Input] | type[Weight]] = (Input, Weight)) -> Angle:
    """Draw one of the first two inputs or weights, with a scale and an offset."""
    kind = draw(st.sampled_from(kinds))
    scale, offset = draw(st.sampled_from([1.0, -1.0, 0.5, 2.0])), draw(st.sampled_from([0.0, 0.25, -1.5]))
    return kind(draw(st.integers(0, 1)), scale, offset)


@st.composite
def parametrised(
    draw: st.DrawFn,
    num_qubits: int,
    names: Sequence[str],
    kinds: Sequence[type[Input] | type[Weight]] = (Input, Weight),
    numbers: bool = True,
) -> Gate:
    """Draw a gate with angles, at least the first of which is an input or a weight."""
    row = GATES[draw(st.sampled_from([name for name in names if GATES[name].num_qubits <= num_qubits]))]
    qubits = draw(st.permutations(range(num_qubits)))[: row.num_qubits]
    later = references(kinds) | NUMBERS if numbers else references(kinds)
    return Gate(row.name, qubits, [draw(references(kinds) if k == 0 else later) for k in range(len(row.parameters))])


@st.composite
def amplitude_cases(draw: st.DrawFn, names: Sequence[str], *, zero: bool = False, partial: bool = False) -> Case:
    """Draw an amplitude encoding and a few gates with weights.

    Args:
        draw: Given by hypothesis.
        names: Gates to draw from.
        zero: The second sample is the zero vector.
        partial: Fewer features than amplitudes.
    """
    num_qubits = draw(st.integers(2 if partial else 1, 3))
    features = draw(st.integers(1, 2**num_qubits - partial))
    fitting = [name for name in names if GATES[name].num_qubits <= num_qubits]
    weighted = parametrised(num_qubits, fitting, (Weight,)) if fitting else st.nothing()
    gates = draw(st.lists(weighted, max_size=4)) if fitting else []
    circuit = Circuit(num_qubits, (AmplitudeEncoding(features), *gates))
    vector = st.lists(NUMBERS, min_size=features, max_size=features).map(tuple)
    rows = (draw(vector), (0.0,) * features) if zero else (draw(vector),)
    weights = tuple(draw(NUMBERS) for _ in range(circuit.num_weights))
    return Case(circuit, single_paulis(num_qubits, "ZX"), rows, weights)
