"""Constants in observables: 1 - Z, sums and the empty sum have their values on every backend, in every mode."""

import math

import pytest
import torch
from tolerances import EXACT64

from qdeq import Circuit, Gate, Input, PauliString, PauliSum, QuantumFunction, ReadoutError, Weight, X, Z, get_backend
from qdeq.errors import PluginError

X0, W0 = 0.3, 0.5
CIRCUIT = Circuit(2, [Gate("RY", 0, Input(0)), Gate("RY", 1, Weight(0))])  # <Z0> = cos x, <Z1> = cos w
OBSERVABLES = (1 - Z(0) / 2, sum([Z(0), Z(1)]), PauliSum(()), 2 * PauliString(), X(1) - 3)
VALUES = (1 - math.cos(X0) / 2, math.cos(X0) + math.cos(W0), 0.0, 2.0, math.sin(W0) - 3)
BY_INPUT = (math.sin(X0) / 2, -math.sin(X0), 0.0, 0.0, 0.0)
BY_WEIGHT = (0.0, -math.sin(W0), 0.0, 0.0, math.cos(W0))

BACKENDS = [
    *({"name": "torch", "execution": way, "gradient": how} for way in ("auto", "circuits") for how in ("auto",)),
    {"name": "torch", "execution": "circuits", "gradient": "parameter-shift"},
    *({"name": "cirq", "execution": way} for way in ("compiled", "circuits")),
    {"name": "cirq-dm", "execution": "compiled"},
    {"name": "braket-local", "execution": "circuits"},
    {"name": "pennylane", "gradient": "native"},
    {"name": "pennylane:default.mixed"},
    {"name": "pennylane:lightning.qubit", "gradient": "native"},
]


def built(choice):
    try:
        return get_backend(choice)
    except PluginError as error:
        pytest.skip(str(error))


def tensors():
    return torch.tensor([[X0]], dtype=torch.float64), torch.tensor([W0], dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("choice", BACKENDS, ids=lambda choice: "-".join(choice.values()))
def test_values_and_gradients(choice):
    x, w = tensors()
    f = QuantumFunction(CIRCUIT, OBSERVABLES, built(choice)).at(w)
    value = f(x)
    right = torch.tensor([VALUES], dtype=torch.float64)
    torch.testing.assert_close(value.detach(), right, atol=EXACT64, rtol=0)
    jacobian = f.jacobian(x)[0, :, 0].detach()
    torch.testing.assert_close(jacobian, torch.tensor(BY_INPUT, dtype=torch.float64), atol=EXACT64, rtol=0)
    slopes = torch.stack([torch.autograd.grad(part, w, retain_graph=True)[0][0] for part in value[0]])
    torch.testing.assert_close(slopes, torch.tensor(BY_WEIGHT, dtype=torch.float64), atol=EXACT64, rtol=0)


@pytest.mark.parametrize("name", ["torch", "cirq", "qsim", "braket-local", "pennylane"])
def test_under_shots_a_constant_has_no_error_of_its_own(name):
    x, w = tensors()
    found = built({"name": name}).expectation(CIRCUIT, x, w, OBSERVABLES, shots=4000)
    value, error = found.value[0], found.standard_error[0]
    assert value[2:4].tolist() == [0.0, 2.0]
    assert error[2:4].tolist() == [0.0, 0.0]
    assert ((value - torch.tensor(VALUES)).abs() <= 5 * error + EXACT64).all()
    assert error[0] == pytest.approx(math.sin(X0) / 2 / math.sqrt(4000), rel=0.3)


@pytest.mark.parametrize("name", ["torch", "pennylane"])
def test_observables_that_are_constant_alone(name):
    x, w = tensors()
    for shots in (None, 10):
        found = built({"name": name}).expectation(CIRCUIT, x, w, [PauliSum(()), PauliString() * 3], shots=shots)
        assert found.value.tolist() == [[0.0, pytest.approx(3.0, abs=EXACT64)]]


def test_readout_errors_do_not_touch_constants():
    x, w = tensors()
    circuit = Circuit(2, CIRCUIT.operations, [ReadoutError(0, 0.1, 0.3)])  # Z is read as 0.6 Z + 0.2
    for name in ("torch", "pennylane"):
        found = built({"name": name}).expectation(circuit, x, w, [1 - Z(0), 2 * PauliString()])
        right = torch.tensor([[1 - 0.6 * math.cos(X0) - 0.2, 2.0]], dtype=torch.float64)
        torch.testing.assert_close(found.value, right, atol=EXACT64, rtol=0)
