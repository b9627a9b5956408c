"""Amplitude encoding sees directions only; where a vector has none, it is defined."""

import math

import pytest
import torch
from tolerances import EXACT64, SINGLE

from qdeq.backends import get_backend
from qdeq.circuit import AmplitudeEncoding, Circuit
from qdeq.library import amplitude_encoder, paper_ansatz
from qdeq.models import QuantumFunction
from qdeq.observables import Z

CIRCUIT = amplitude_encoder(4) + paper_ansatz(4)


@pytest.fixture(params=["auto", "circuits"])
def backend(request):
    return get_backend({"name": "torch", "execution": request.param})


@pytest.fixture
def frozen(backend):
    def freeze(dtype=torch.float64, circuit=CIRCUIT):
        weights = torch.linspace(-3, 3, circuit.num_weights, dtype=dtype)
        return QuantumFunction(circuit, backend=backend).at(weights)

    return freeze


def direction(dtype=torch.float64):
    return torch.linspace(-1, 2, 16, dtype=dtype)[None]


def gradient(f, v):
    leaf = v.clone().requires_grad_()
    (found,) = torch.autograd.grad((f(leaf) * torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=v.dtype)).sum(), leaf)
    return found


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_length_of_a_vector_does_not_matter(frozen, size, dtype):
    f, v = frozen(dtype), direction(dtype)
    tolerance = EXACT64 if dtype == torch.float64 else SINGLE
    torch.testing.assert_close(f(size * v), f(v), atol=tolerance, rtol=0)


@pytest.mark.parametrize("size", [1e-30, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_gradient_is_homogeneous_of_degree_minus_one(frozen, size, dtype):
    f, v = frozen(dtype), direction(dtype)
    scaled = gradient(f, size * v).double() * size
    torch.testing.assert_close(scaled, gradient(f, v).double(), atol=10 * SINGLE, rtol=1e-4)


def test_the_gradient_is_orthogonal_to_the_vector(frozen):
    v = direction()
    assert float((gradient(frozen(), v) * v).sum().abs()) < 10 * EXACT64


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_zero_vector_is_the_ground_state_and_has_a_zero_gradient(frozen, dtype):
    ground = Circuit(4, (AmplitudeEncoding(16),))
    assert frozen(dtype, ground)(torch.zeros(1, 16, dtype=dtype)).tolist() == [[1.0] * 4]
    f, basis = frozen(dtype), torch.eye(16, dtype=dtype)[:1]
    zero = torch.zeros(1, 16, dtype=dtype)
    torch.testing.assert_close(f(zero), f(basis))
    assert torch.equal(gradient(f, zero), zero)
    assert torch.equal(f.jacobian(zero), torch.zeros(1, 4, 16, dtype=dtype))


def test_a_zero_vector_leaves_the_other_samples_and_the_weights_gradient_alone(frozen, backend):
    weights = torch.linspace(-3, 3, CIRCUIT.num_weights, dtype=torch.float64, requires_grad=True)
    inputs = torch.cat([direction(), torch.zeros(1, 16, dtype=torch.float64)]).requires_grad_()
    value = QuantumFunction(CIRCUIT, backend=backend).at(weights)(inputs)
    by_inputs, by_weights = torch.autograd.grad(value[:, 0].sum(), (inputs, weights))
    assert by_weights.isfinite().all()
    torch.testing.assert_close(value[:1].detach(), frozen()(direction()))
    assert by_inputs[0].abs().max() > 0.01
    assert torch.equal(by_inputs[1], torch.zeros(16, dtype=torch.float64))


def test_a_zero_vector_has_a_zero_second_derivative(frozen):
    f, zero = frozen(), torch.zeros(1, 16, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(f(zero).sum(), zero, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), zero, allow_unused=True)
    assert second is None or torch.equal(second, torch.zeros_like(zero))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_sample_that_is_not_finite_keeps_it_to_itself(frozen, bad):
    inputs = torch.cat([direction(), direction(), 2 * direction() + 1])
    inputs[1, 3] = bad
    value = frozen()(inputs)
    assert not value[1].isfinite().all()
    torch.testing.assert_close(value[[0, 2]], frozen()(inputs[[0, 2]]), atol=EXACT64, rtol=0)


def test_missing_amplitudes_are_padded_at_the_end():
    short = QuantumFunction(Circuit(2, (AmplitudeEncoding(3),)), (Z(0), Z(1))).at(torch.zeros(0))
    assert short(torch.tensor([[0.0, 0.0, 5.0]])).tolist() == [[-1.0, 1.0]]
