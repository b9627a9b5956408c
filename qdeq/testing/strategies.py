"""Hypothesis strategies that draw circuits; the only module of the package that imports hypothesis.

Example:
    >>> from hypothesis import given
    >>> @given(circuits(max_qubits=3, bound=True))
    ... def test_backend_agrees(circuit): ...
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from qdeq.circuit import Circuit
from qdeq.gates import GATES
from qdeq.operations import AmplitudeEncoding, Angle, Gate, Input, Operation, Weight

_NUMBERS = st.floats(-7.0, 7.0)


@st.composite
def angles(draw: st.DrawFn, *, bound: bool = False, num_inputs: int = 4, num_weights: int = 4) -> Angle:
    """Draw a number in [-7, 7], or, unless ``bound``, an input or weight with a scale and an offset."""
    kind = "number" if bound else draw(st.sampled_from(["number", "input", "weight"]))
    if kind == "number":
        return draw(_NUMBERS)
    scale, offset = draw(st.sampled_from([1.0, -1.0, 0.5, 2.25])), draw(st.sampled_from([0.0, 0.1, -1.5]))
    if kind == "input":
        return Input(draw(st.integers(0, num_inputs - 1)), scale, offset)
    return Weight(draw(st.integers(0, num_weights - 1)), scale, offset)


@st.composite
def gates(draw: st.DrawFn, num_qubits: int, *, names: Sequence[str] = tuple(GATES), bound: bool = False) -> Gate:
    """Draw one of the named gates, on qubits in any order, of a register of ``num_qubits``."""
    fitting = [name for name in names if GATES[name].num_qubits <= num_qubits]
    row = GATES[draw(st.sampled_from(fitting))]
    qubits = draw(st.permutations(range(num_qubits)))[: row.num_qubits]
    return Gate(row.name, qubits, [draw(angles(bound=bound)) for _ in row.parameters])


@st.composite
def circuits(
    draw: st.DrawFn,
    *,
    min_qubits: int = 1,
    max_qubits: int = 4,
    max_gates: int = 12,
    names: Sequence[str] = tuple(GATES),
    bound: bool = False,
    encoding: bool = True,
) -> Circuit:
    """Draw a circuit.

    Args:
        draw: Given by hypothesis.
        min_qubits: Smallest register.
        max_qubits: Largest register.
        max_gates: Most gates, the encoding not counted.
        names: The gates to draw from, such as those that a backend knows; at least one must fit the register.
        bound: Numbers only: no free inputs and weights.
        encoding: Whether some circuits begin with an amplitude encoding.
    """
    num_qubits = draw(st.integers(min_qubits, max_qubits))
    operations: list[Operation] = []
    if encoding and draw(st.booleans()):
        features = draw(st.integers(1, 2**num_qubits))
        values = st.lists(_NUMBERS, min_size=features, max_size=features)
        operations.append(AmplitudeEncoding(features, tuple(draw(values)) if bound else None))
    operations += draw(st.lists(gates(num_qubits, names=names, bound=bound), max_size=max_gates))
    return Circuit(num_qubits, tuple(operations))
