"""A second derivative of an equilibrium is right, or refused."""

import pytest
import torch
from functions import KINDS, TIGHT, classifier, hyperbolic, linear, matrix_with_radius, numbers, relative_gap
from tolerances import EXACT64, SAME_LINEAR_SYSTEM, SECOND_DERIVATIVE

from qdeq.adjoints import DenseAdjoint, UnrolledAdjoint
from qdeq.equilibrium import Equilibrium
from qdeq.errors import ConvergenceWarning
from qdeq.solvers import Anderson, Broyden, Naive, Newton

TWICE = {
    "dense": Equilibrium(TIGHT, adjoint=DenseAdjoint(order=2)),
    "unrolled to the end": Equilibrium(TIGHT, adjoint=UnrolledAdjoint()),
    "unrolled Broyden": Equilibrium(Broyden(), adjoint=UnrolledAdjoint(), fixed_steps=3),
    "unrolled Anderson": Equilibrium(Anderson(), adjoint=UnrolledAdjoint(), fixed_steps=3),
    "unrolled Newton": Equilibrium(Newton(), adjoint=UnrolledAdjoint(), fixed_steps=2),
    "unrolled naive": Equilibrium(Naive(damping=0.8), adjoint=UnrolledAdjoint(), fixed_steps=3),
}


def double_check(function, given):
    return torch.autograd.gradgradcheck(
        function, given, atol=SECOND_DERIVATIVE, rtol=SECOND_DERIVATIVE, eps=1e-5, nondet_tol=EXACT64, fast_mode=True
    )


@pytest.mark.parametrize("layer", TWICE.values(), ids=TWICE)
def test_a_classical_equilibriums_second_derivative_is_that_of_differences(layer):
    start = torch.zeros(2, 4).double()

    def solved(matrix, x):
        return layer(hyperbolic(matrix), start, (x,)).value

    assert double_check(solved, (matrix_with_radius(1.5, seed=6).requires_grad_(), numbers(7, 2, 4).requires_grad_()))


@pytest.mark.parametrize("layer", TWICE.values(), ids=TWICE)
@pytest.mark.parametrize(("encoding", "seed"), [("amplitude", 4), ("angle", 1)])
def test_a_quantum_equilibriums_second_derivative_is_that_of_differences(encoding, seed, layer):
    """In the circuit's weights, the state's scale and the data, and between them."""
    model = classifier(encoding, seed=seed)

    def solved(weights, scale, x):
        f, rows = model.function.at(weights).inject(x, scale, 4)
        return layer(f, torch.zeros(len(x), 4).double(), rows).value

    scale, x = torch.tensor(1.0).double(), 0.5 * numbers(100 + seed, 6, 16)[:2]
    assert double_check(solved, [tensor.detach().requires_grad_() for tensor in (model.weights, scale, x)])


@pytest.mark.parametrize("layer", TWICE.values(), ids=TWICE)
def test_a_gradient_penalty_on_data_that_a_network_made_reaches_its_weights(layer):
    """L = ||dℓ/dx||² with x = raw A: the second derivative passes through a tensor that is no leaf."""
    model, raw = classifier("angle", seed=1), 0.5 * numbers(3, 2, 5)
    f = model.function.at(model.weights.detach())

    def penalty(before):
        x = raw @ before
        injected, rows = f.inject(x, 1.0, 4)
        value = layer(injected, torch.zeros(2, 4).double(), rows).value
        (slope,) = torch.autograd.grad(value.square().sum(), x, create_graph=True)
        return slope.square().sum()

    before = numbers(4, 5, 16).requires_grad_()
    (found,) = torch.autograd.grad(penalty(before), before)
    direction, step = numbers(5, 5, 16), 1e-5
    ahead, behind = (
        float(penalty((before.detach() + sign * step * direction).requires_grad_()).detach()) for sign in (1, -1)
    )
    assert float((found * direction).sum()) == pytest.approx((ahead - behind) / (2 * step), rel=SECOND_DERIVATIVE)


def _quadratic(y):
    return y.square().sum()


@pytest.mark.parametrize("loss", [_quadratic, torch.sum], ids=["quadratic", "linear"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("dense, twice", "unrolled")])
def test_others_refuse_a_second_derivative_loudly(kind, loss):
    """Even where the loss is linear: there the gradient arriving at y* needs no gradient itself."""
    matrix = matrix_with_radius(0.5).requires_grad_()
    layer = Equilibrium(TIGHT, adjoint=KINDS[kind])
    y = layer(hyperbolic(matrix), torch.zeros(3, 4).double(), (numbers(5, 3, 4),)).value
    with pytest.raises(RuntimeError, match=r"once, not twice(.|\n)*DenseAdjoint\(order=2\)"):
        torch.autograd.grad(torch.autograd.grad(loss(y), matrix, create_graph=True)[0].square().sum(), matrix)


def _third(layer, function):
    matrix = matrix_with_radius(0.5).requires_grad_()
    y = layer(function(matrix), torch.zeros(3, 4).double(), (numbers(5, 3, 4),)).value
    (first,) = torch.autograd.grad(y.square().sum(), matrix, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), matrix, create_graph=True)
    return torch.autograd.grad(second.square().sum(), matrix)[0]


def test_a_third_derivative_is_right_or_refused():
    layer = Equilibrium(TIGHT, adjoint=DenseAdjoint(order=2))
    for function in (hyperbolic, linear):
        with pytest.raises(RuntimeError, match="twice, not three times"):
            _third(layer, function)
    unrolled = _third(Equilibrium(TIGHT, adjoint=UnrolledAdjoint()), hyperbolic)
    y0 = torch.zeros(3, 4).double()
    layered = _third(lambda f, _, args: Equilibrium().direct(f, y0, args, layers=60), hyperbolic)
    assert relative_gap(unrolled, layered) < SECOND_DERIVATIVE


def test_second_derivatives_leave_value_gradient_and_record_as_they_are():
    model, x = classifier("amplitude", seed=4), 0.5 * numbers(104, 3, 16)
    found = []
    for order in (1, 2):
        model.equilibrium = Equilibrium(Broyden(rtol=1e-3), adjoint=DenseAdjoint(order=order))
        result = model(x).equilibrium
        found.append((result.value.detach(), torch.autograd.grad(result.value.square().sum(), model.weights)[0]))
        assert result.adjoint.residual.max() < EXACT64
        assert not result.adjoint.failed.any()
    assert torch.equal(found[0][0], found[1][0])
    # two Newton steps from a residual of 1e-3 have moved on to the equilibrium that order 1 only linearises at
    assert relative_gap(found[1][1], found[0][1]) < 0.02
    exact = Equilibrium(TIGHT, adjoint=DenseAdjoint())
    model.equilibrium = exact
    (wanted,) = torch.autograd.grad(model(x).equilibrium.value.square().sum(), model.weights)
    assert relative_gap(found[1][1], wanted) < 0.02


def test_a_singular_sample_has_no_second_derivative_and_spoils_no_other():
    """A has the eigenvalue 1 at the second sample alone: f = tanh(s A y) + x with s = 1 and y = 0 there."""
    matrix = torch.diag(torch.tensor([1.0, 0.5], dtype=torch.float64)).requires_grad_()
    x = torch.tensor([[0.3, 0.1], [0.0, 0.0], [-0.2, 0.4]], dtype=torch.float64)
    layer = Equilibrium(TIGHT, adjoint=DenseAdjoint(order=2))

    def second(rows):
        y = layer(lambda y, x: torch.tanh(y @ matrix.T) + x, torch.zeros(len(rows), 2).double(), (x[rows],)).value
        (first,) = torch.autograd.grad(y.square().sum() + y.sum(), matrix, create_graph=True)
        return first.detach(), torch.autograd.grad(first.square().sum(), matrix)[0]

    with pytest.warns(ConvergenceWarning, match="backward solve failed for 1 of 3 samples"):
        spoiled = second([0, 1, 2])
    for one, other in zip(spoiled, second([0, 2]), strict=True):
        torch.testing.assert_close(one, other, atol=SAME_LINEAR_SYSTEM, rtol=SAME_LINEAR_SYSTEM)


def test_a_second_derivative_through_direct_layers_is_right():
    x = 0.3 * numbers(7, 1, 4)

    def layered(matrix):
        return Equilibrium(TIGHT).direct(hyperbolic(matrix), torch.zeros(1, 4).double(), (x,), layers=3).value

    assert double_check(layered, (matrix_with_radius(0.5).requires_grad_(),))
