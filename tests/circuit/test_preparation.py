import math

import numpy as np
import pytest
from circuit_reference import EXACT, unitary
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeq.circuit import AmplitudeEncoding, Circuit, Gate
from qdeq.preparation import prepare_real


def prepared_state(amplitudes):
    num_qubits = int(math.log2(len(amplitudes)))
    return unitary(Circuit(num_qubits, tuple(Gate(*gate) for gate in prepare_real(amplitudes))))[:, 0]


def unit(amplitudes):
    vector = np.asarray(amplitudes, dtype=float)
    vector = vector / np.abs(vector).max()
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    "amplitudes",
    [
        [0.3, -0.8],
        [-1.0, 0.0],
        [0.0, -2.0],
        [1.0, 2.0, 3.0, 4.0],
        [0.1, -0.5, 0.0, 0.7],
        [0.0, 0.0, 0.0, -1.0],
        [-1.0, -2.0, 0.0, 0.0, 0.0, 3.0, -0.5, 0.0],
        [1e200, -2e200, 0.0, 3e200],
        [1e-200, -2e-200, 0.0, 3e-200],
        [5e-324, 0.0, 0.0, -5e-324],
        list(np.random.default_rng(3).normal(size=16)),
    ],
)
def test_the_first_column_is_the_normalised_vector(amplitudes):
    np.testing.assert_allclose(prepared_state(amplitudes), unit(amplitudes), atol=EXACT)


@settings(max_examples=40)
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.floats(-1e3, 1e3), min_size=2**n, max_size=2**n)))
def test_any_vector(amplitudes):
    wanted = unit(amplitudes) if any(amplitudes) else np.eye(len(amplitudes))[0]
    np.testing.assert_allclose(prepared_state(amplitudes), wanted, atol=EXACT)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_zero_vector_prepares_the_ground_state(zero):
    np.testing.assert_allclose(prepared_state([zero] * 8), np.eye(8)[0], atol=EXACT)


@pytest.mark.parametrize("num_qubits", [1, 2, 3, 5])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_gate_counts_do_not_depend_on_the_values(num_qubits, value):
    names = [name for name, _, _ in prepare_real([value] * 2**num_qubits)]
    assert names.count("RY") == 2**num_qubits - 1
    assert names.count("CNOT") == 2**num_qubits - 2


@pytest.mark.parametrize(
    ("num_qubits", "values"),
    [(3, (1.0, -2.0, 0.5)), (3, (3.0,)), (2, (-3.0,)), (4, (0.1,) * 9), (5, (0.0, 0.0)), (2, (1.0, 2.0, 3.0, -4.0))],
)
def test_encoding_pads_with_zeros_at_the_end(num_qubits, values):
    padded = np.zeros(2**num_qubits)
    padded[: len(values)] = values
    wanted = unit(padded) if padded.any() else np.eye(len(padded))[0]
    circuit = Circuit(num_qubits, (AmplitudeEncoding(len(values), values),)).prepared()
    assert circuit.encoding is None
    np.testing.assert_allclose(unitary(circuit)[:, 0], wanted, atol=EXACT)


def test_few_features_leave_the_leading_qubits_of_a_large_register_alone():
    circuit = Circuit(200, (AmplitudeEncoding(4, (1.0, 2.0, 3.0, 4.0)),))
    assert circuit.gate_counts(preparation=True) == {"RY": 3, "CNOT": 2}
    assert {qubit for gate in circuit.prepared().gates for qubit in gate.qubits} == {198, 199}
