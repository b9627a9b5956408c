"""Readout errors without noise on gates: state vectors suffice, and every backend has them in every form."""

import math

import numpy as np
import pytest
import torch
from adapters import adapters, tolerance
from dense_simulator import expectations
from tolerances import EXACT64_DEEP, FALSE_ALARM_Z, FD_STEP

from qdeq.backends import Capabilities, ShotKey, get_backend
from qdeq.backends.readout import observable_read
from qdeq.backends.torch import TorchBackend
from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, ReadoutError, Weight
from qdeq.errors import UnsupportedError
from qdeq.library import amplitude_encoder, angle_encoder, hardware_efficient
from qdeq.noise import NoiseModel
from qdeq.observables import PauliString, X, Y, Z

NOISE = NoiseModel(readout={"zero_to_one": 0.03, "one_to_zero": 0.08, "qubits": {0: 0.05, 2: {"one_to_zero": 0.4}}})
OBSERVABLES = (Z(0), X(0) @ Y(1), 0.5 * Z(1) + 1.5 * Z(0) @ Z(2) - 0.25 * PauliString(), Y(0) + X(1) @ X(2))
PURE = ["torch", *adapters("cirq", "qsim", "braket-local", "pennylane", "pennylane:lightning.qubit")]


def model(encoder):
    circuit = NOISE.attach(encoder + hardware_efficient(3))
    draw = torch.Generator().manual_seed(5)
    inputs = torch.randn(2, circuit.num_inputs, generator=draw, dtype=torch.float64)
    return circuit, inputs, torch.randn(circuit.num_weights, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize("execution", ["compiled", "circuits"])
@pytest.mark.parametrize("encoder", [amplitude_encoder(3, 5), angle_encoder(3, 3)], ids=["amplitude", "angle"])
def test_values_and_gradients_are_those_of_what_is_read(name, execution, encoder):
    circuit, inputs, weights = model(encoder)
    leaf = weights.clone().requires_grad_()
    frozen = get_backend({"name": name, "execution": execution}).at(circuit, leaf, OBSERVABLES)
    expected = expectations(circuit, inputs.numpy(), weights.numpy(), OBSERVABLES)
    value = frozen(inputs)
    assert frozen.compiled == (execution == "compiled")
    assert np.abs(value.detach().numpy() - expected).max() < tolerance(name).value
    quiet = expectations(Circuit(3, circuit.operations), inputs.numpy(), weights.numpy(), OBSERVABLES)
    assert np.abs(expected - quiet).max() > 0.1
    step = FD_STEP * np.eye(len(weights))[1]
    moved = [expectations(circuit, inputs.numpy(), weights.numpy() + s * step, OBSERVABLES) for s in (1, -1)]
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    assert abs(float(gradient[1]) - (moved[0] - moved[1]).sum() / (2 * FD_STEP)) < max(tolerance(name).gradient, 1e-7)


@pytest.mark.parametrize("name", adapters("pennylane", "pennylane:lightning.qubit"))
def test_native_gradients_know_of_them(name):
    circuit, inputs, weights = model(angle_encoder(3, 3))
    found = []
    for choice in ({"name": "torch"}, {"name": name, "gradient": "native"}):
        frozen = get_backend(choice).at(circuit, leaf := weights.clone().requires_grad_(), OBSERVABLES)
        found.append([*torch.autograd.grad(frozen(inputs).square().sum(), leaf), frozen.jacobian(inputs)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance(name).gradient)


@pytest.mark.parametrize("name", PURE)
def test_shots_read_wrongly_as_often_as_said(name):
    circuit = Circuit(2, (Gate("X", 1), Gate("H", 0)), (ReadoutError(0, 0.1, 0.3), ReadoutError(1, 0.02, 0.25)))
    nothing = torch.zeros(1, 0).double(), torch.zeros(0).double()
    shots = 1_000_000
    found = get_backend(name).expectation(circuit, *nothing, (Z(0), Z(1)), shots=shots, key=ShotKey(seed=3))
    for value, exact in zip(found.value[0].tolist(), (0.2, -0.5), strict=True):
        spread = math.sqrt((1 - exact**2) / shots)
        assert abs(value - exact) < FALSE_ALARM_Z * spread
        assert abs(1.05 * value - exact) > FALSE_ALARM_Z * spread


def test_a_product_on_a_large_register_needs_no_sum_of_its_parts():
    """Unequal errors on ten qubits: the product of ten Z, as read, is a sum of 1024 strings."""
    errors = tuple(ReadoutError(qubit, 0.01 * qubit, 0.3) for qubit in range(10))
    parity = PauliString(tuple((qubit, "Z") for qubit in range(10)))
    circuit = Circuit(10, (AmplitudeEncoding(600), Gate("RX", 3, Weight(0))), errors)
    weights = torch.tensor([0.3], dtype=torch.float64)
    inputs = torch.randn(1, 600, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    compiled = get_backend({"name": "torch", "execution": "compiled"}).at(circuit, weights, (parity, Z(9)))(inputs)
    by_circuits = get_backend({"name": "torch", "execution": "circuits"}).at(circuit, weights, (parity, Z(9)))(inputs)
    assert (compiled - by_circuits).abs().max() < EXACT64_DEEP
    assert len(observable_read(parity, errors).terms) == 2**10
    symmetric = tuple(ReadoutError(qubit, 0.25, 0.25) for qubit in range(10))
    assert observable_read(parity, symmetric).terms == ((0.5**10, parity),)


def test_a_backend_that_has_none_refuses():
    class Plain(TorchBackend):
        capabilities = Capabilities(shots=True)

    circuit = Circuit(1, (Gate("H", 0),), (ReadoutError(0, 0.1, 0.1),))
    with pytest.raises(UnsupportedError, match=r"has no readout errors; leave them out; .*cirq.*torch"):
        Plain().at(circuit, torch.zeros(0).double(), (Z(0),))
