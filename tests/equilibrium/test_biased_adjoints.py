"""Phantom and Jacobian-free gradients: those of damped steps from a constant equilibrium, and how far off they are."""

import pytest
import torch
from functions import EXACT, TIGHT, classifier, linear, matrix_with_radius, numbers, relative_gap
from tolerances import EXACT64, SAME_LINEAR_SYSTEM

from qdeq.adjoints import JacobianFreeAdjoint, PhantomAdjoint
from qdeq.equilibrium import Equilibrium
from qdeq.jacobians import spectral_radius

G = numbers(20, 3, 4)
ZERO = torch.zeros(3, 4).double()
ONE = torch.eye(4).double()
DAMPED = [PhantomAdjoint(), PhantomAdjoint(steps=3, damping=1.0), PhantomAdjoint(steps=1, damping=0.3)]
OPTIONS = [(adjoint, adjoint.steps, adjoint.damping) for adjoint in DAMPED] + [(JacobianFreeAdjoint(), 1, 1.0)]
IDS = ["phantom 5 x 0.5", "phantom 3 x 1", "phantom 1 x 0.3", "jacobian-free"]


@pytest.mark.parametrize(("adjoint", "steps", "damping"), OPTIONS, ids=IDS)
@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_it_is_the_gradient_of_damped_steps_from_the_equilibrium_held_constant(encoding, adjoint, steps, damping):
    model = classifier(encoding, seed=4, learn_state_scale=True, equilibrium=Equilibrium(TIGHT, adjoint=adjoint))
    x = 0.5 * numbers(104, 3, 16)
    found = torch.autograd.grad((model(x).equilibrium.value * G).sum(), (model.weights, model.state_scale))
    f, rows = model.function.at(model.weights).inject(x, model.state_scale, 4)
    y = model(x).equilibrium.value.detach()
    for _ in range(steps):
        y = (1 - damping) * y + damping * f(y, *rows)
    wanted = torch.autograd.grad((y * G).sum(), (model.weights, model.state_scale))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=SAME_LINEAR_SYSTEM, rtol=SAME_LINEAR_SYSTEM)


@pytest.mark.parametrize(("adjoint", "steps", "damping"), OPTIONS, ids=IDS)
def test_the_recorded_residual_is_the_part_of_the_gradient_that_is_left_out(adjoint, steps, damping):
    """For f = A y + x: u (1 - A) = g (1 - D^k) with D = (1 - λ) + λ A."""
    matrix, x = matrix_with_radius(0.8, seed=1), numbers(5, 3, 4).requires_grad_()
    result = Equilibrium(TIGHT, adjoint=adjoint)(linear(matrix), ZERO, (x,))
    (u,) = torch.autograd.grad((result.value * G).sum(), x)
    left_out = G @ torch.linalg.matrix_power((1 - damping) * ONE + damping * matrix, steps)
    torch.testing.assert_close(u @ (ONE - matrix), G - left_out, atol=EXACT64, rtol=0)
    torch.testing.assert_close(result.adjoint.residual, left_out.norm(dim=1) / G.norm(dim=1), atol=EXACT64, rtol=0)
    assert result.adjoint.residual.min() > 0.01  # a bias that shows, and is no failure
    assert not result.adjoint.failed.any()


def test_the_bias_falls_by_the_spectral_radius_of_a_damped_step():
    matrix, x, damping = matrix_with_radius(0.9, seed=1), numbers(5, 3, 4).requires_grad_(), 0.7
    exact = G @ torch.linalg.inv(ONE - matrix)

    def bias(steps):
        result = Equilibrium(TIGHT, adjoint=PhantomAdjoint(steps=steps, damping=damping))(linear(matrix), ZERO, (x,))
        (found,) = torch.autograd.grad((result.value * G).sum(), x)
        return relative_gap(found, exact), float(result.adjoint.residual.max())

    rate = float(spectral_radius((1 - damping) * ONE[None] + damping * matrix))
    early, late = bias(60), bias(100)
    for before, after in zip(early, late, strict=True):
        assert (after / before) ** (1 / 40) == pytest.approx(rate, rel=0.02)
    assert bias(10)[0] > bias(20)[0] > bias(40)[0] > early[0] > late[0]


@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_more_steps_come_closer_to_the_exact_gradient_of_a_quantum_equilibrium(encoding):
    model, x = classifier(encoding, seed=4), 0.5 * numbers(104, 3, 16)

    def gradient(adjoint):
        model.equilibrium = Equilibrium(TIGHT, adjoint=adjoint)
        return torch.autograd.grad((model(x).equilibrium.value * G).sum(), model.weights)[0]

    exact = gradient(EXACT["dense"])
    gaps = [relative_gap(gradient(PhantomAdjoint(steps=steps)), exact) for steps in (1, 5, 25, 125)]
    assert gaps[0] > 0.3
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-4


def test_damping_helps_where_the_undamped_series_diverges():
    """f = -3 y + x: with λ = 1/4 the damped step is constant, and one term of the series is all of it."""
    matrix, x = torch.full((1, 1), -3.0, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64).requires_grad_()
    start = torch.zeros(1, 1).double()
    damped = Equilibrium(TIGHT, adjoint=PhantomAdjoint(steps=1, damping=0.25))(linear(matrix), start, (x,))
    (found,) = torch.autograd.grad(damped.value.sum(), x)
    assert float(found) == pytest.approx(0.25, abs=EXACT64)
    assert float(damped.adjoint.residual) < EXACT64
    undamped = Equilibrium(TIGHT, adjoint=PhantomAdjoint(steps=6, damping=1.0))(linear(matrix), start, (x,))
    torch.autograd.grad(undamped.value.sum(), x)
    assert float(undamped.adjoint.residual) == pytest.approx(3**6, abs=EXACT64 * 3**6)


@pytest.mark.parametrize("measured", [True, False])
def test_what_it_costs_in_evaluations_and_products(measured):
    products = []

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y):
            return 0.5 * y

        @staticmethod
        def backward(ctx, g):
            products.append(len(g))
            return 0.5 * g

    def f(y, x):
        evaluations.append(len(y))
        return (Counted.apply(y) if y.requires_grad else 0.5 * y) + x

    for adjoint, count in ((PhantomAdjoint(steps=4, measure=measured), 3), (JacobianFreeAdjoint(measure=measured), 0)):
        evaluations, x = [], numbers(5, 3, 4).requires_grad_()
        result = Equilibrium(TIGHT, adjoint=adjoint)(f, ZERO, (x,))
        before = len(evaluations)
        products.clear()
        result.value.sum().backward()
        assert len(products) == count + measured + 1  # and that of the recorded evaluation's own backward pass
        assert len(evaluations) == before
        assert (result.adjoint.residual is not None) is measured
        assert result.adjoint.failed.tolist() == [False] * 3
