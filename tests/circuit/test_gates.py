import math

import numpy as np
import pytest
import torch
from circuit_reference import EXACT, MATRICES, SEED, embed, unitary

from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.gates import GATES

ANGLES = (0.7, -1.9, 2.6)  # no two alike, none special
PARAMETRIC = [(name, k) for name, row in GATES.items() for k in range(len(row.parameters))]
FINITE_DIFFERENCE = 1e-8
"""Central differences with a step of 1e-5: step² from truncation, 1e-16/step from rounding, with room to spare."""


def angles_of(name):
    return ANGLES[: len(GATES[name].parameters)]


def test_the_reference_knows_every_gate():
    assert set(MATRICES) == set(GATES)


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("factor", [1.0, -0.3, 4.1, 0.0])
def test_matrix(name, factor):
    angles = [factor * angle for angle in angles_of(name)]
    np.testing.assert_allclose(GATES[name].matrix(*angles), MATRICES[name](*angles), atol=EXACT)


@pytest.mark.parametrize("name", GATES)
def test_unitary(name):
    matrix = GATES[name].matrix(*angles_of(name))
    np.testing.assert_allclose(matrix.mH @ matrix, np.eye(len(matrix)), atol=EXACT)


@pytest.mark.parametrize("name", GATES)
def test_row_is_consistent(name):
    row = GATES[name]
    assert row.name == name
    assert len(row.matrix(*angles_of(name))) == 2**row.num_qubits
    assert len(row.shift_rules) == len(row.unitary_derivatives) == len(row.parameters)
    assert 0 <= row.num_controls < row.num_qubits
    assert row.symbol


def test_a_full_turn_of_a_rotation_is_minus_one_and_of_a_controlled_rotation_is_not():
    turn = 2 * math.pi
    np.testing.assert_allclose(GATES["RX"].matrix(turn), -np.eye(2), atol=EXACT)
    np.testing.assert_allclose(GATES["CRX"].matrix(turn), np.diag([1, 1, -1, -1]), atol=EXACT)
    np.testing.assert_allclose(GATES["CRZ"].matrix(math.pi), np.diag([1, 1, -1j, 1j]), atol=EXACT)
    np.testing.assert_allclose(GATES["PhaseShift"].matrix(turn), np.eye(2), atol=EXACT)


def test_the_first_qubit_is_the_control_and_the_most_significant_bit():
    ten = np.array([0, 0, 1, 0])
    np.testing.assert_allclose(GATES["CNOT"].matrix().numpy() @ ten, [0, 0, 0, 1], atol=EXACT)


@pytest.mark.parametrize("name", [name for name, row in GATES.items() if row.decomposition])
def test_decomposition_is_equal_with_its_global_phase(name):
    row = GATES[name]
    qubits = (2, 0, 1)[: row.num_qubits]
    parts = Gate(name, qubits, angles_of(name)).decompose()
    assert all(part.name != name for part in parts)
    np.testing.assert_allclose(
        unitary(Circuit(3, parts)), embed(MATRICES[name](*angles_of(name)), qubits, 3), atol=EXACT
    )


@pytest.mark.parametrize("name", GATES)
def test_decomposition_ends_at_elementary_gates(name):
    gates = [Gate(name, range(GATES[name].num_qubits), angles_of(name))]
    for _ in range(5):
        gates = [part for gate in gates for part in gate.decompose()]
    assert {gate.name for gate in gates} <= {name for name, row in GATES.items() if not row.decomposition}
    assert {gate.name for gate in gates} <= {"I", "X", "Y", "Z", "H", "RX", "RY", "RZ", "PhaseShift", "CNOT"}


def test_decomposition_keeps_free_angles():
    parts = Gate("CRZ", (1, 0), Weight(3, 2.0, 0.5)).decompose()
    assert parts[0] == Gate("RZ", 0, Weight(3, 1.0, 0.25))
    assert parts[2] == Gate("RZ", 0, Weight(3, -1.0, -0.25))
    assert Gate("U3", 0, (Input(0), 0.5, Weight(1))).decompose() == (
        Gate("PhaseShift", 0, Weight(1)),
        Gate("RY", 0, Input(0)),
        Gate("PhaseShift", 0, 0.5),
    )
    assert Gate("H", 0).decompose() == (Gate("H", 0),)


def expectation_around(name, parameter):
    """A random state's expectation of a random observable after the gate, as a function of one angle's change."""
    row = GATES[name]
    draws = np.random.default_rng(SEED)
    size = 2**row.num_qubits
    state = draws.normal(size=size) + 1j * draws.normal(size=size)
    state /= np.linalg.norm(state)
    observable = draws.normal(size=(size, size)) + 1j * draws.normal(size=(size, size))
    observable = observable + observable.conj().T

    def expectation(change):
        angles = list(angles_of(name))
        angles[parameter] += change
        after = MATRICES[name](*angles) @ state
        return (after.conj() @ observable @ after).real

    return expectation


@pytest.mark.parametrize(("name", "parameter"), PARAMETRIC)
def test_shift_rule_is_the_derivative_of_an_expectation(name, parameter):
    expectation = expectation_around(name, parameter)
    step = 1e-5
    difference = (expectation(step) - expectation(-step)) / (2 * step)
    shifted = sum(factor * expectation(shift) for factor, shift in GATES[name].shift_rules[parameter])
    assert abs(difference) > 1e-2  # a rule of zeros would not pass
    assert shifted == pytest.approx(difference, abs=FINITE_DIFFERENCE)


@pytest.mark.parametrize(("name", "parameter"), PARAMETRIC)
def test_unitary_derivative(name, parameter):
    def matrix(change):
        angles = list(angles_of(name))
        angles[parameter] += change
        return MATRICES[name](*angles)

    step = 1e-5
    difference = (matrix(step) - matrix(-step)) / (2 * step)
    shifted = sum(factor * matrix(shift) for factor, shift in GATES[name].unitary_derivatives[parameter])
    np.testing.assert_allclose(shifted, difference, atol=FINITE_DIFFERENCE)


@pytest.mark.parametrize("name", sorted({name for name, _ in PARAMETRIC}))
def test_autograd_through_the_matrix(name):
    angles = torch.tensor(angles_of(name), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: torch.view_as_real(GATES[name].build(a)), angles)


@pytest.mark.parametrize("name", GATES)
def test_batches_and_precision(name):
    row = GATES[name]
    angles = torch.linspace(-2, 3, 6 * len(row.parameters), dtype=torch.float64).reshape(2, 3, len(row.parameters))
    batch = row.build(angles)
    assert batch.shape == (2, 3, 2**row.num_qubits, 2**row.num_qubits)
    assert batch.dtype == torch.complex128
    np.testing.assert_allclose(batch[1, 2], MATRICES[name](*angles[1, 2].tolist()), atol=EXACT)
    assert row.build(angles.float()).dtype == torch.complex64
    assert row.matrix(*angles_of(name), dtype=torch.complex64).dtype == torch.complex64
