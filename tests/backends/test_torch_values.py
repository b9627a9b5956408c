"""The native simulator's expectations: against a second simulator, truth tables, PennyLane, and itself."""

import numpy as np
import pennylane as qml
import pytest
import torch
from dense_simulator import expectations
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tolerances import EXACT64, EXACT64_DEEP, SINGLE

from qdeq.backends import get_backend
from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Input, Weight
from qdeq.gates import GATES
from qdeq.library import amplitude_encoder, angle_encoder, paper_angle_encoder, paper_ansatz
from qdeq.models import QuantumFunction
from qdeq.observables import PauliString, PauliSum, X, Y, Z
from qdeq.testing.strategies import circuits

TORCH = get_backend("torch")


def numbers(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-3, 3, shape))


def value(circuit, inputs, weights, observables):
    return TORCH.expectation(circuit, inputs, weights, observables).value


def all_z(n):
    return [Z(qubit) for qubit in range(n)]


@st.composite
def pauli_sums(draw, n):
    letters = st.text("IXYZ", min_size=n, max_size=n)
    terms = draw(st.lists(st.tuples(st.floats(-2, 2), letters), min_size=1, max_size=4))
    return PauliSum(tuple((c, PauliString(tuple(enumerate(text)))) for c, text in terms))


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(circuits(max_qubits=4), st.data(), st.integers(0, 10**6))
def test_any_circuit_and_any_pauli_sums_agree_with_kronecker_products(circuit, data, seed):
    n = circuit.num_qubits
    observables = [*all_z(n), *data.draw(st.lists(pauli_sums(n), max_size=3))]
    inputs, weights = numbers(seed, 3, circuit.num_inputs), numbers(seed + 1, circuit.num_weights)
    found = value(circuit, inputs, weights, observables)
    wanted = expectations(circuit, inputs.numpy(), weights.numpy(), observables)
    np.testing.assert_allclose(found.numpy(), wanted, atol=20 * EXACT64)
    frozen = TORCH.at(circuit, weights, observables)(inputs)  # compiled where the circuit allows it
    np.testing.assert_allclose(frozen.numpy(), wanted, atol=20 * EXACT64)


@pytest.mark.parametrize("name", list(GATES))
def test_every_gate_on_qubits_in_any_order_amid_idle_ones(name):
    row, n = GATES[name], 4
    start = [Gate("U3", q, (0.3 + q, 1.1 * q - 0.4, 0.7)) for q in range(n)]  # no symmetry, every phase counts
    end = [Gate("U3", q, (1.2 - q, 0.2, 0.9 * q)) for q in range(n)]
    for qubits in [(0, 1, 2), (3, 1, 0), (2, 3, 1)]:
        for kind in (Input, Weight):
            angles = [kind(i, 1.5, -0.3) for i in range(len(row.parameters))]
            circuit = Circuit(n, (*start, Gate(name, qubits[: row.num_qubits], angles), *end))
            inputs, weights = numbers(1, 2, 3), numbers(2, 3)
            observables = [*all_z(n), X(0) @ Y(3), Y(1)]
            found = value(circuit, inputs, weights, observables)
            wanted = expectations(circuit, inputs.numpy(), weights.numpy(), observables)
            np.testing.assert_allclose(found.numpy(), wanted, atol=EXACT64, err_msg=f"{name} {qubits}")


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_qubit_zero_is_the_most_significant_bit_of_an_encoded_amplitude(n):
    basis = torch.eye(2**n, dtype=torch.float64)
    found = value(Circuit(n, (AmplitudeEncoding(2**n),)), basis, torch.zeros(0, dtype=torch.float64), all_z(n))
    bits = [[(index >> (n - 1 - qubit)) & 1 for qubit in range(n)] for index in range(2**n)]
    assert torch.equal(found, 1.0 - 2.0 * torch.tensor(bits, dtype=torch.float64))


@pytest.mark.parametrize("flipped", [(0,), (2,), (0, 1), (1, 3)])
def test_x_flips_the_sign_of_its_own_qubit_alone(flipped):
    circuit = Circuit(4, [Gate("X", q) for q in flipped])
    found = value(circuit, torch.zeros(1, 0), torch.zeros(0), all_z(4))
    assert found.tolist() == [[-1.0 if q in flipped else 1.0 for q in range(4)]]


def test_truth_table_of_the_toffoli_gate():
    circuit = Circuit(3, (AmplitudeEncoding(8), Gate("Toffoli", (2, 0, 1))))
    found = value(circuit, torch.eye(8, dtype=torch.float64), torch.zeros(0, dtype=torch.float64), all_z(3))
    for index in range(8):
        q0, q1, q2 = index >> 2 & 1, index >> 1 & 1, index & 1
        assert found[index].tolist() == [1 - 2 * q0, 1 - 2 * (q1 ^ (q0 & q2)), 1 - 2 * q2]


def test_a_controlled_phase_differs_from_a_controlled_rotation():
    def interferometer(name):
        return Circuit(2, (Gate("H", 0), Gate("X", 1), Gate(name, (0, 1), 1.0), Gate("H", 0)))

    def phase_kick(*gates):
        return Circuit(2, (Gate("H", 0), Gate("X", 1), *gates, Gate("H", 0)))

    none = torch.zeros(1, 0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    rotation = value(interferometer("CRZ"), *none, [Z(0)])
    phase = value(phase_kick(Gate("RZ", 0, 0.5), Gate("CRZ", (0, 1), 1.0)), *none, [Z(0)])  # CP up to a global phase
    assert float(rotation) == pytest.approx(np.cos(0.5), abs=EXACT64)
    assert float(phase) == pytest.approx(np.cos(1.0), abs=EXACT64)


@pytest.mark.parametrize(
    ("circuit", "inputs", "weights"),
    [
        (Circuit(2, (Gate("RY", 0, Weight(0)), Gate("CNOT", (0, 1)))), 0, 1),
        (Circuit(2, (Gate("RX", 1, Input(0)), Gate("CRY", (1, 0), Input(0, -2.0, 0.5)))), 1, 0),
        (Circuit(2, (Gate("H", 0), Gate("RY", 1, 0.3))), 0, 0),
        (Circuit(1), 0, 0),
        (Circuit(2, (AmplitudeEncoding(3, (1.0, -2.0, 0.5)), Gate("RX", 0, Weight(0)))), 0, 1),
    ],
    ids=["weights only", "inputs only", "numbers only", "empty", "bound encoding"],
)
def test_circuits_without_inputs_or_weights_still_answer_for_each_sample(circuit, inputs, weights):
    given_inputs, given_weights = numbers(3, 4, inputs), numbers(4, weights)
    found = value(circuit, given_inputs, given_weights, [Z(0), X(0)])
    wanted = expectations(circuit, given_inputs.numpy(), given_weights.numpy(), [Z(0), X(0)])
    assert found.shape == (4, 2)
    np.testing.assert_allclose(found.numpy(), wanted, atol=EXACT64)


def test_inputs_can_be_uploaded_again_and_beside_an_amplitude_encoding():
    circuit = Circuit(
        3,
        (
            AmplitudeEncoding(5),
            Gate("RX", 0, Input(0)),
            Gate("RY", 1, Weight(0)),
            Gate("RZ", 1, Input(0, -0.5, 2.0)),
            Gate("U3", 2, (Input(6), Weight(0, 2.0), 0.1)),
            Gate("CRX", (2, 0), Weight(1, -1.0, 0.7)),
        ),
    )
    inputs, weights = numbers(5, 6, 7), numbers(6, 2)
    found = value(circuit, inputs, weights, all_z(3))
    np.testing.assert_allclose(
        found.numpy(), expectations(circuit, inputs.numpy(), weights.numpy(), all_z(3)), atol=EXACT64
    )


def test_constant_and_repeated_terms_of_a_sum():
    observable = 0.5 * PauliString() + 2.0 * Z(0) - 1.0 * Z(0) + 0.0 * X(1)
    found = value(Circuit(2, (Gate("RX", 0, 0.8),)), torch.zeros(1, 0).double(), torch.zeros(0).double(), [observable])
    assert float(found) == pytest.approx(0.5 + np.cos(0.8), abs=EXACT64)


PENNYLANE = {"H": "Hadamard", "CNOT": "CNOT", "SX": "SX", "RX": "RX", "RY": "RY", "RZ": "RZ", "CRX": "CRX"}


def pennylane_expectations(circuit, inputs, weights):
    n = circuit.num_qubits

    @qml.qnode(qml.device("default.qubit", wires=n))
    def node(row):
        if circuit.encoding is not None:
            qml.AmplitudeEmbedding(row, wires=range(n), pad_with=0.0, normalize=True)
        for gate in circuit.bind(None if circuit.encoding else row, weights).gates:
            getattr(qml, PENNYLANE[gate.name])(*gate.angles, wires=list(gate.qubits))
        return [qml.expval(qml.PauliZ(q)) for q in range(n)]

    return np.array([node(row) for row in inputs])


@pytest.mark.parametrize(
    "encoder",
    [amplitude_encoder(4), paper_angle_encoder(4), amplitude_encoder(10), paper_angle_encoder(10), angle_encoder(10)],
    ids=["4 amplitude", "4 paper-angle", "10 amplitude", "10 paper-angle", "10 angle"],
)
def test_the_papers_models_agree_with_pennylane(encoder):
    circuit = encoder + paper_ansatz(encoder.num_qubits)
    inputs, weights = numbers(7, 2, circuit.num_inputs), numbers(8, circuit.num_weights)
    found = value(circuit, inputs, weights, all_z(circuit.num_qubits))
    wanted = pennylane_expectations(circuit, inputs.numpy(), weights.numpy())
    np.testing.assert_allclose(found.numpy(), wanted, atol=EXACT64_DEEP)
    frozen = TORCH.at(circuit, weights, all_z(circuit.num_qubits))(inputs)
    np.testing.assert_allclose(frozen.numpy(), wanted, atol=EXACT64_DEEP)


MODELS = {
    "amplitude": amplitude_encoder(4) + paper_ansatz(4),
    "angle": paper_angle_encoder(4) + paper_ansatz(4),
    "two encodings": amplitude_encoder(4) + paper_angle_encoder(4) + paper_ansatz(4),
}


@pytest.fixture(params=MODELS, ids=str)
def model(request):
    return MODELS[request.param]


EXECUTIONS = {name: get_backend({"name": "torch", "execution": name}) for name in ("auto", "circuits")}


@pytest.fixture(params=EXECUTIONS, ids=str)
def backend(request):
    return EXECUTIONS[request.param]


def test_single_precision_agrees_with_double(model):
    inputs, weights = numbers(9, 8, 16), numbers(10, model.num_weights)
    single = value(model, inputs.float(), weights.float(), all_z(4))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), value(model, inputs, weights, all_z(4)), atol=SINGLE, rtol=0)


def test_a_function_is_pure(model, backend):
    f = QuantumFunction(model, backend=backend).at(numbers(11, model.num_weights))
    inputs, other = numbers(12, 5, 16), numbers(13, 5, 16)
    before = inputs.clone()
    first = f(inputs)
    f(other)
    f.jacobian(other)
    assert torch.equal(f(inputs), first)
    assert torch.equal(inputs, before)


def test_a_sample_alone_has_the_value_that_it_has_in_any_batch(model, backend):
    f = QuantumFunction(model, backend=backend).at(numbers(14, model.num_weights))
    inputs = numbers(15, 9, 16)
    together = f(inputs)
    alone = torch.cat([f(row[None]) for row in inputs])
    torch.testing.assert_close(alone, together, atol=EXACT64, rtol=0)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(f(inputs[order]), together[order], atol=EXACT64, rtol=0)


def test_frozen_weights_give_the_value_of_the_open_circuit(model, backend):
    inputs, weights = numbers(16, 4, 16), numbers(17, model.num_weights)
    torch.testing.assert_close(
        backend.at(model, weights, all_z(4))(inputs), value(model, inputs, weights, all_z(4)), atol=EXACT64, rtol=0
    )


def test_an_empty_batch_has_an_empty_value(model, backend):
    f = QuantumFunction(model, backend=backend).at(numbers(18, model.num_weights))
    assert f(torch.zeros(0, 16, dtype=torch.float64)).shape == (0, 4)


def test_an_expectation_says_what_it_is():
    result = TORCH.expectation(Circuit(1), torch.zeros(1, 0), torch.zeros(0), [Z(0)])
    assert (result.observables, result.shots, result.key, result.standard_error) == ((Z(0),), None, None, None)
    assert result.backend == "torch"
    assert torch.__version__ in result.version
