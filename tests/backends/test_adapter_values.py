"""Every adapter's states: gate by gate and on random circuits, phases, order and idle qubits included."""

import numpy as np
import pytest
from adapters import adapters, tolerance
from dense_simulator import final_state
from hypothesis import given, settings

from qdeq.backends import get_backend
from qdeq.circuit import AmplitudeEncoding, Circuit, Gate
from qdeq.gates import GATES
from qdeq.testing.strategies import circuits


def assert_runs_right(name, tested):
    """Amplitudes are compared with their global phase, probabilities as they are."""
    backend = get_backend(name)
    for circuit, found in zip(tested, backend.execute(tested), strict=True):
        expected = final_state(circuit)
        if backend.gives == "probabilities":
            expected = abs(expected) ** 2
            assert found.min() >= 0
        assert found.shape == expected.shape
        assert abs(found - expected).max() < tolerance(name).value, circuit.draw()


def spread(n):
    """A state without symmetry: every qubit is different, and none is a basis state."""
    return [Gate(turn, q, 0.3 + 0.4 * q + shift) for turn, shift in (("RY", 0.0), ("RX", 0.5)) for q in range(n)]


@pytest.mark.parametrize("name", adapters())
def test_every_gate_on_permuted_qubits_among_idle_ones(name):
    draws = np.random.default_rng(7)
    for row in GATES.values():
        for n in (row.num_qubits, 4):
            qubits = draws.permutation(n)[: row.num_qubits].tolist()
            gate = Gate(row.name, qubits, draws.uniform(-6, 6, len(row.parameters)).tolist())
            idle = Circuit(n, (gate,))
            revealed = Circuit(n, (*spread(n), gate, *spread(n)[::-1]))  # phases become probabilities
            assert_runs_right(name, [idle])
            assert_runs_right(name, [revealed])


@pytest.mark.parametrize("name", adapters())
@given(circuit=circuits(bound=True))
@settings(max_examples=25, derandomize=True)
def test_random_circuits(name, circuit):
    assert_runs_right(name, [circuit])


@pytest.mark.parametrize("name", adapters())
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("scale", [0.0, 1e-200, 1.0, 1e200])
def test_amplitude_encoding_of_tiny_huge_and_zero_vectors(name, n, scale):
    values = tuple(scale * value for value in np.linspace(-1, 2, 2**n - 1))
    assert_runs_right(name, [Circuit(n, (AmplitudeEncoding(2**n - 1, values),))])
    assert_runs_right(name, [Circuit(n, (AmplitudeEncoding(2**n - 1, values), Gate("RY", n - 1, 0.7)))])


@pytest.mark.parametrize("name", adapters())
def test_empty_and_idle_registers(name):
    assert_runs_right(name, [Circuit(3), Circuit(3, (Gate("X", 2),)), Circuit(3, (Gate("H", 0),))])


@pytest.mark.parametrize("name", adapters())
def test_a_batch_is_its_circuits_one_by_one(name):
    """Circuits of one structure and of others, among each other: PennyLane broadcasts the former."""
    backend = get_backend(name)
    tested = []
    for k in range(7):
        encoding = (AmplitudeEncoding(3, (1.0, -0.5 * k, 2.0)),) if k % 2 else ()
        turns = (Gate("RX", 1, 0.2 * k), Gate("CNOT", (1, 0)), Gate("CRY" if k % 3 else "RXX", (0, 2), 0.9))
        tested.append(Circuit(3, (*encoding, *turns)))
    tested += [tested[0], Circuit(3, (Gate("H", 1),)), Circuit(3, (Gate("H", 1),))]
    tested = [circuit for circuit in tested if not {gate.name for gate in circuit.gates} & backend.lacks]
    alone = np.concatenate([backend.run([circuit]) for circuit in tested])
    assert abs(backend.run(tested) - alone).max() < tolerance(name).value
    assert_runs_right(name, tested)


@pytest.mark.parametrize("name", adapters("pennylane", "pennylane:default.mixed"))
def test_broadcast_circuits_are_cut_to_what_fits(name, monkeypatch):
    monkeypatch.setattr("qdeq.backends.pennylane.BROADCAST_ENTRIES", 40)
    assert_runs_right(name, [Circuit(2, (Gate("RX", 1, 0.1 * k), Gate("CNOT", (1, 0)))) for k in range(23)])


@pytest.mark.parametrize("options", [{"threads": 2}, {"max_fused_gate_size": 4}])
@pytest.mark.parametrize("name", adapters("qsim"))
def test_options_of_qsim_change_no_number(name, options):
    circuit = Circuit(5, (*spread(5), Gate("Toffoli", (4, 0, 2)), Gate("RZZ", (1, 3), 0.7), Gate("CRX", (2, 1), -1.3)))
    found = get_backend({"name": name, **options}).execute([circuit])[0]
    assert abs(found - final_state(circuit)).max() < tolerance(name).value
