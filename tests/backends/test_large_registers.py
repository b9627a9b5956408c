"""float32 keeps its accuracy on large registers: sums over 2^n terms, against closed forms, whatever the batch."""

import math

import pytest
import torch

from qdeq.backends import get_backend, summation
from qdeq.circuit import AmplitudeEncoding, Channel, Circuit, Gate, Input, Weight
from qdeq.observables import X, Z

READ_OUT = 5e-6
"""A register of up to 22 qubits in float32: the states' own rounding is a few 1e-7."""
SUM = 1e-6


def entangled_in_phase(num_qubits):
    """RY by an input and by a weight on each qubit, and CZ between them all: Z is cos(x + w), on every qubit."""
    turns = [Gate("RY", q, angle) for q in range(num_qubits) for angle in (Weight(q), Input(q))]
    return Circuit(num_qubits, [*turns, *(Gate("CZ", (q, q + 1)) for q in range(num_qubits - 1))])


def angles(num_qubits, batch):
    generator = torch.Generator().manual_seed(num_qubits)
    return 0.3 * torch.randn(batch, num_qubits, generator=generator), 0.3 * torch.randn(num_qubits, generator=generator)


def by_circuits(num_qubits, weights, measured):
    backend = get_backend({"name": "torch", "execution": "circuits"})
    return backend.at(entangled_in_phase(num_qubits), weights, measured)


@pytest.mark.parametrize(("num_qubits", "batch"), [(4, 5), (10, 3), (16, 2), (20, 1)])
def test_values_of_states(num_qubits, batch):
    x, weights = angles(num_qubits, batch)
    last = num_qubits - 1
    value = by_circuits(num_qubits, weights, [*(Z(q) for q in range(num_qubits)), Z(0) @ Z(last)])(x)
    cosines = (x + weights).double().cos()
    right = torch.cat([cosines, cosines[:, :1] * cosines[:, last:]], dim=1)
    torch.testing.assert_close(value.double(), right, rtol=0, atol=READ_OUT)


@pytest.mark.parametrize(("num_qubits", "batch"), [(4, 5), (10, 3), (18, 1)])
def test_gradients_of_states(num_qubits, batch):
    x, weights = (part.requires_grad_() for part in angles(num_qubits, batch))
    value = by_circuits(num_qubits, weights, [Z(0), Z(num_qubits - 1)])(x)
    total = (x + weights).detach().double()
    for column, q in enumerate((0, num_qubits - 1)):
        slope = torch.zeros_like(total)
        slope[:, q] = -total[:, q].sin()
        to_x, to_weights = torch.autograd.grad(value[:, column].sum(), (x, weights), retain_graph=True)
        torch.testing.assert_close(to_x.double(), slope, rtol=0, atol=READ_OUT)
        torch.testing.assert_close(to_weights.double(), slope.sum(0), rtol=0, atol=batch * READ_OUT)


def test_a_sample_has_the_same_value_in_every_batch():
    x, weights = angles(16, 1)
    f = by_circuits(16, weights, [Z(q) for q in range(16)])
    alone = f(x)[0]
    for batch in (2, 3, 8, 17):
        torch.testing.assert_close(f(x.expand(batch, -1)), alone.expand(batch, -1), rtol=0, atol=SUM)


@pytest.mark.parametrize("num_qubits", [10, 18, 20])
def test_the_norm_of_encoded_amplitudes(num_qubits):
    """v = ⊗ (a, b) has Z = (a² - b²) / (a² + b²) on every qubit, and ∂Z/∂v_i = 2 (±1 - Z) v_i / ||v||²."""
    pair = torch.tensor([1.0, 0.7])
    vector = torch.ones(1)
    for _ in range(num_qubits):
        vector = torch.outer(vector, pair).flatten()
    v = vector[None].clone().requires_grad_()
    circuit = Circuit(num_qubits, [AmplitudeEncoding(2**num_qubits), Gate("RZ", 0, Weight(0))])
    f = get_backend({"name": "torch", "execution": "circuits"}).at(circuit, torch.ones(1), [Z(0), Z(num_qubits - 1)])
    value = f(v)
    exact = (1 - 0.49) / (1 + 0.49)
    assert (value - exact).abs().max() < READ_OUT
    (gradient,) = torch.autograd.grad(value[0, 0], v)
    sign = torch.ones(2**num_qubits, dtype=torch.float64)
    sign[2 ** (num_qubits - 1) :] = -1
    wide = vector.double()
    right = 2 * (sign - exact) * wide / wide.square().sum()
    torch.testing.assert_close(gradient[0].double(), right, rtol=2e-5, atol=1e-12)


@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_compiled_forms(encoding):
    """After RY(w) on every qubit but the encoded ones, a string over both ends is a product of cosines."""
    num_qubits = 18
    weights = 0.3 * torch.randn(num_qubits, generator=torch.Generator().manual_seed(0))
    weights.requires_grad_()
    last = num_qubits - 1
    encoder = AmplitudeEncoding(2) if encoding == "amplitude" else Gate("RY", last, Input(0))
    turns = [Gate("RY", q, Weight(q)) for q in range(num_qubits)]
    circuit = Circuit(num_qubits, [encoder, *turns, *(Gate("CZ", (q, q + 1)) for q in range(last))])
    f = get_backend("torch").at(circuit, weights, [*(Z(q) for q in range(num_qubits)), Z(0) @ Z(last)])
    assert f.compiled
    angle = 0.8
    v = [[math.cos(angle / 2), math.sin(angle / 2)]] if encoding == "amplitude" else [[angle]]
    value = f(torch.tensor(v))[0]
    moved = weights.detach().double().clone()
    moved[last] += angle
    right = torch.cat([moved.cos(), moved[:1].cos() * moved[last:].cos()])
    torch.testing.assert_close(value.detach().double(), right, rtol=0, atol=READ_OUT)
    (gradient,) = torch.autograd.grad(value[last], weights)
    slope = torch.zeros_like(moved)
    slope[last] = -moved[last].sin()
    torch.testing.assert_close(gradient.double(), slope, rtol=0, atol=READ_OUT)


def test_density_matrices():
    """A flip with probability p shrinks Z by 1 - 2p."""
    num_qubits, p = 9, 0.1
    x, weights = (part.requires_grad_() for part in angles(num_qubits, 2))
    circuit = entangled_in_phase(num_qubits)
    circuit = Circuit(num_qubits, [*circuit.operations, *(Channel("BitFlip", q, p) for q in range(num_qubits))])
    f = get_backend({"name": "torch", "execution": "circuits"}).at(circuit, weights, [Z(q) for q in range(num_qubits)])
    value = f(x)
    total = (x + weights).detach().double()
    torch.testing.assert_close(value.detach().double(), (1 - 2 * p) * total.cos(), rtol=0, atol=READ_OUT)
    to_x, to_weights = torch.autograd.grad(value.sum(), (x, weights))
    slope = -(1 - 2 * p) * total.sin()
    torch.testing.assert_close(to_x.double(), slope, rtol=0, atol=2 * READ_OUT)
    torch.testing.assert_close(to_weights.double(), slope.sum(0), rtol=0, atol=4 * READ_OUT)


def test_shots_are_drawn_from_probabilities_that_sum_to_one():
    x, weights = angles(16, 2)
    shots = 20_000
    found = get_backend("torch").expectation(entangled_in_phase(16), x, weights, [Z(0), X(3)], shots=shots)
    right = (x + weights).cos()[:, 0]
    assert ((found.value[:, 0] - right).abs() < 5 * found.standard_error[:, 0].clamp(min=1 / shots)).all()


# -- the sums themselves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2**20, 3 * 2**18, 1000 * 2**8, 77])
def test_sums_of_any_length(size):
    rows = torch.full((16, size), 0.1)
    number = rows[0, 0].item()
    exact = number * size
    assert summation.product(rows[:1], torch.ones(size, 1)).item() == pytest.approx(exact, rel=SUM)
    assert summation.outer(rows, torch.ones(16, size))[3, 5].item() == pytest.approx(exact, rel=SUM)
    assert summation.norms(rows)[7].item() == pytest.approx(math.sqrt(exact * number), rel=SUM)


def test_split_sums_are_the_whole_ones(monkeypatch):
    monkeypatch.setattr(summation, "RUN", 4)
    monkeypatch.setattr(summation, "COLUMNS", 5)
    left = torch.randn(3, 5, 24, dtype=torch.complex128)
    right = torch.randn(3, 24, 2, dtype=torch.complex128)
    torch.testing.assert_close(summation.product(left, right), torch.einsum("bmk,bkn->bmn", left, right))
    torch.testing.assert_close(summation.outer(left[0], left[1]), torch.einsum("mk,nk->mn", left[0], left[1].conj()))


@pytest.mark.parametrize("own", [True, False])
def test_applied_matrices_have_derivatives_of_both_orders(own, monkeypatch):
    monkeypatch.setattr(summation, "RUN", 4)
    monkeypatch.setattr(summation, "COLUMNS", 5)
    matrices = torch.randn(3 if own else 1, 2, 2, dtype=torch.complex128, requires_grad=True)
    states = torch.randn(2, 12, 3, dtype=torch.complex128, requires_grad=True)
    expected = torch.einsum("bij,jrb->irb", matrices.expand(3, -1, -1), states)
    torch.testing.assert_close(summation.apply_matrices(matrices, states), expected)
    assert torch.autograd.gradcheck(summation.apply_matrices, (matrices, states))
    assert torch.autograd.gradgradcheck(summation.apply_matrices, (matrices, states))
