"""Angles of any size: pixels from 0 to 255, and numbers whose float32 neighbours are whole turns apart."""

import math

import pytest
import torch

from qdeq.backends import get_backend
from qdeq.backends.adapter import lowered
from qdeq.circuit import Channel, Circuit, Gate, Input, Weight
from qdeq.gates import GATES, reduced
from qdeq.observables import Z
from tests.backends.adapters import adapters, tolerance

SIZES = (3.0, 255.0, 1e4, 1e6, 1e9)


def interference(gate, angle):
    """H, the gate and H on the first qubit: ⟨Z⟩ tells the phase between its two states."""
    return Circuit(2, [Gate("H", 0), Gate(gate, range(GATES[gate].num_qubits), angle), Gate("H", 0)])


RIGHT = {
    "RZ": math.cos,
    "RZZ": math.cos,
    "PhaseShift": math.cos,
    "CRZ": lambda x: math.cos(x / 2),  # half a turn more is another sign
    "CRX": lambda x: math.cos(x / 2),
}


@pytest.mark.parametrize("row", [row for row in GATES.values() if row.parameters], ids=lambda row: row.name)
def test_every_gate_is_the_same_after_4_pi(row):
    for number in range(len(row.parameters)):
        angles = [0.3, 1.1, 2.3][: len(row.parameters)]
        before = row.matrix(*angles)
        angles[number] += 4 * math.pi
        torch.testing.assert_close(row.matrix(*angles), before, rtol=0, atol=1e-14)


@pytest.mark.parametrize("angle", [0.0, 1.0, -6.2, 6.4, -255.0, 1e6 + 0.3, 1e9, -1e15, 1e300])
def test_reduced_angles_have_the_same_sine_and_cosine_of_their_halves(angle):
    small = reduced(angle)
    assert abs(small) <= 2 * math.pi + 1e-15
    assert math.cos(small / 2) == pytest.approx(math.cos(angle / 2), abs=1e-15)
    assert math.sin(small / 2) == pytest.approx(math.sin(angle / 2), abs=1e-15)


def test_small_angles_are_left_as_they_are():
    circuit = Circuit(1, [Gate("RX", 0, 2 * math.pi), Gate("RZ", 0, -6.28), Gate("RY", 0, Weight(0))])
    assert lowered(circuit, frozenset()) is circuit


@pytest.mark.parametrize("name", [*adapters(), "torch"])
@pytest.mark.parametrize("gate", RIGHT)
def test_values_at_large_angles(name, gate):
    inputs = torch.tensor([[size * part] for size in SIZES for part in (1.0, -0.937)], dtype=torch.float64)
    found = get_backend(name).expectation(interference(gate, Input(0)), inputs, inputs.new_zeros(0), [Z(0)])
    right = torch.tensor([[RIGHT[gate](x)] for x in inputs[:, 0].tolist()], dtype=torch.float64)
    torch.testing.assert_close(found.value, right, rtol=0, atol=tolerance(name).value)


@pytest.mark.parametrize("name", [*adapters("cirq", "qsim", "pennylane:lightning.qubit"), "torch"])
@pytest.mark.parametrize("execution", ["circuits", "compiled"])
def test_compiled_functions_and_derivatives_at_pixels(name, execution):
    """f = cos(x + w), with x a pixel and w a weight that has wandered far."""
    circuit = Circuit(1, [Gate("RY", 0, Input(0)), Gate("RY", 0, Weight(0))])
    x = torch.tensor([[0.0], [17.0], [128.0], [255.0]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([4321.0], dtype=torch.float64, requires_grad=True)
    value = get_backend({"name": name, "execution": execution}).at(circuit, weights, [Z(0)])(x)
    total = (x + weights).detach()
    torch.testing.assert_close(value.detach(), total.cos(), rtol=0, atol=tolerance(name).value)
    to_x, to_weights = torch.autograd.grad(value.sum(), (x, weights))
    torch.testing.assert_close(to_x, -total.sin(), rtol=0, atol=tolerance(name).gradient)
    torch.testing.assert_close(to_weights, -total.sin().sum(0), rtol=0, atol=4 * tolerance(name).gradient)


@pytest.mark.parametrize("name", adapters("qsim"))
def test_trajectories_at_large_angles(name):
    """A hundred thousand turns are none: every shot gives 0."""
    gates = [Gate("H", 0), Gate("RZ", 0, Input(0)), Channel("BitFlip", 0, 0.0), Gate("H", 0)]
    inputs = torch.tensor([[2e5 * math.pi]], dtype=torch.float64)
    found = get_backend(name).expectation(Circuit(1, gates), inputs, inputs.new_zeros(0), [Z(0)], shots=200)
    assert found.value.item() == 1.0
