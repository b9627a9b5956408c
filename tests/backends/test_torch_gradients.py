"""Derivatives of the native simulator: against finite differences, the shift rules and each other."""

import numpy as np
import pytest
import torch
from tolerances import EXACT64, FD_DIRECT, FD_STEP

from qdeq.backends import get_backend
from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Input, Weight
from qdeq.gates import GATES
from qdeq.library import amplitude_encoder, paper_angle_encoder, paper_ansatz
from qdeq.models import QuantumFunction
from qdeq.observables import X, Y, Z

EVERY_ROTATION = Circuit(
    3,
    (
        *(Gate("U3", q, (0.4 + q, 0.3, -0.8 * q)) for q in range(3)),
        *(
            Gate(
                row.name,
                (2, 0, 1)[: row.num_qubits],
                [Input(k % 2, 0.7, 0.2), Weight(k % 3, -1.3), Input(1)][: len(row.parameters)],
            )
            for k, row in enumerate(row for row in GATES.values() if row.parameters)
        ),
        *(
            Gate(
                row.name,
                (1, 2, 0)[: row.num_qubits],
                [Weight(k % 3, 0.6, 1.0), Input(0), Weight(2)][: len(row.parameters)],
            )
            for k, row in enumerate(row for row in GATES.values() if row.parameters)
        ),
    ),
)
CIRCUITS = {
    "every rotation": EVERY_ROTATION,
    "encoded": Circuit(3, (AmplitudeEncoding(5), *EVERY_ROTATION.operations)),
    "weights only": Circuit(2, (Gate("RY", 0, Weight(0)), Gate("CRX", (0, 1), Weight(0, 2.0)))),
    "inputs only": Circuit(2, (Gate("RY", 0, Input(0)), Gate("RX", 1, Input(0, 0.5)), Gate("CNOT", (0, 1)))),
    "encoding only": amplitude_encoder(2, 4),
}


def tensors(circuit, batch=2):
    draws = np.random.default_rng(3)
    inputs = torch.from_numpy(draws.uniform(-2, 2, (batch, circuit.num_inputs)))
    weights = torch.from_numpy(draws.uniform(-2, 2, circuit.num_weights))
    return inputs.requires_grad_(circuit.num_inputs > 0), weights.requires_grad_(circuit.num_weights > 0)


@pytest.fixture(params=CIRCUITS, ids=str)
def circuit(request):
    return CIRCUITS[request.param]


@pytest.fixture(params=["auto", "circuits"])
def execution(request):
    return get_backend({"name": "torch", "execution": request.param})


def observables(circuit):
    return (Z(0), 0.5 * X(0) @ Y(1) - 2.0 * Z(1) + 0.3 * X(1))


def test_first_derivatives_are_those_of_finite_differences(circuit, execution):
    function = QuantumFunction(circuit, observables(circuit), backend=execution)
    assert torch.autograd.gradcheck(function, tensors(circuit))


def test_second_derivatives_are_those_of_finite_differences(circuit, execution):
    function = QuantumFunction(circuit, observables(circuit), backend=execution)
    assert torch.autograd.gradgradcheck(function, tensors(circuit))


@pytest.mark.parametrize("encoder", [amplitude_encoder(4), paper_angle_encoder(4)], ids=["amplitude", "angle"])
def test_the_papers_model_has_the_derivatives_of_finite_differences(encoder, execution):
    circuit = encoder + paper_ansatz(4)
    inputs, weights = tensors(circuit)
    function = QuantumFunction(circuit, backend=execution)
    cotangent = torch.linspace(-1, 2, 8, dtype=torch.float64).reshape(2, 4)
    found = torch.autograd.grad((function(inputs, weights) * cotangent).sum(), (inputs, weights))
    for position, (tensor, gradient) in enumerate(zip((inputs, weights), found, strict=True)):
        for index in np.ndindex(*tensor.shape):
            moved = []
            for sign in (1, -1):
                given = [inputs.detach().clone(), weights.detach().clone()]
                given[position][index] += sign * FD_STEP
                moved.append(float((function(*given) * cotangent).sum()))
            slope = (moved[0] - moved[1]) / (2 * FD_STEP)
            assert float(gradient[index]) == pytest.approx(slope, abs=FD_DIRECT), (position, index)


def test_gradients_agree_with_the_shift_rules_of_the_gate_table():
    """Autograd differentiates matrices; the rules combine expectations: two routes to one derivative."""
    for row in GATES.values():
        for parameter, rule in enumerate(row.shift_rules):
            start = Circuit(3, [Gate("U3", q, (0.9 - q, 0.3 + q, 0.5)) for q in range(3)])
            angles = [Weight(k) for k in range(len(row.parameters))]
            circuit = start + Circuit(3, (Gate(row.name, (2, 0, 1)[: row.num_qubits], angles), Gate("H", 2)))
            function, none = QuantumFunction(circuit), torch.zeros(1, 0, dtype=torch.float64)
            weights = torch.linspace(0.4, 1.9, len(row.parameters), dtype=torch.float64)
            leaf = weights.clone().requires_grad_()
            (found,) = torch.autograd.grad(function(none, leaf)[0, 2], leaf)
            shifted = 0.0
            for coefficient, shift in rule:
                moved = weights.clone()
                moved[parameter] += shift
                shifted += coefficient * float(function(none, moved)[0, 2])
            assert float(found[parameter]) == pytest.approx(shifted, abs=EXACT64), row.name


@pytest.mark.parametrize("name", ["every rotation", "encoded", "encoding only"])
def test_the_jacobian_is_the_matrix_of_vector_jacobian_products(name):
    circuit = CIRCUITS[name]
    inputs, weights = tensors(circuit)
    f = QuantumFunction(circuit, observables(circuit)).at(weights.detach())
    found = f.jacobian(inputs.detach())
    assert found.shape == (2, 2, circuit.num_inputs)
    for o in range(2):
        (row,) = torch.autograd.grad(f(inputs)[:, o].sum(), inputs)
        torch.testing.assert_close(found[:, o], row, atol=10 * EXACT64, rtol=0)


@pytest.mark.parametrize("name", ["every rotation", "encoded"])
def test_the_jacobian_can_itself_be_differentiated_in_inputs_and_weights(name):
    circuit = CIRCUITS[name]
    inputs, weights = tensors(circuit)

    def squared(v, w):
        return (
            QuantumFunction(circuit, observables(circuit)).at(w).jacobian(v, create_graph=True).square().sum(dim=(1, 2))
        )

    assert torch.autograd.gradcheck(squared, (inputs, weights))


def test_samples_do_not_see_each_other():
    circuit = CIRCUITS["encoded"]
    inputs, weights = tensors(circuit, batch=3)
    value = QuantumFunction(circuit).at(weights.detach())(inputs)
    (found,) = torch.autograd.grad(value[1].sum(), inputs)
    assert found[1].abs().max() > 0.01
    assert torch.equal(found[[0, 2]], torch.zeros_like(found[[0, 2]]))


def test_two_calls_of_one_frozen_function_add_their_weight_gradients():
    circuit = CIRCUITS["encoded"]
    inputs, weights = tensors(circuit)
    f = QuantumFunction(circuit).at(weights)
    (together,) = torch.autograd.grad(f(inputs).sum() + (2 * f(-inputs)).sum(), weights)
    parts = [torch.autograd.grad(QuantumFunction(circuit)(v, weights).sum(), weights)[0] for v in (inputs, -inputs)]
    torch.testing.assert_close(together, parts[0] + 2 * parts[1], atol=10 * EXACT64, rtol=0)


def test_nothing_is_recorded_without_gradients():
    circuit = CIRCUITS["encoded"]
    inputs, weights = tensors(circuit)
    with torch.no_grad():
        assert not QuantumFunction(circuit)(inputs, weights).requires_grad


def test_shots_carry_no_gradient_that_could_be_mistaken_for_one():
    circuit = CIRCUITS["encoded"]
    inputs, weights = tensors(circuit)
    assert not get_backend("torch").expectation(circuit, inputs, weights, [Z(0)], shots=10).value.requires_grad
