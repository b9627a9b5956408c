"""The gradient of the implicit function theorem is the derivative of the equilibrium."""

import pytest
import torch
from functions import TIGHT, classifier, gradient_by_differences, hyperbolic, linear, matrix_with_radius, numbers
from tolerances import EXACT64_DEEP, FD_GRADIENT, SAME_LINEAR_SYSTEM

from qdeq.adjoints import DenseAdjoint, IterativeAdjoint
from qdeq.equilibrium import Equilibrium
from qdeq.errors import ConvergenceError, ConvergenceWarning
from qdeq.injection import InjectedFunction
from qdeq.jacobians import jacobian, spectral_radius
from qdeq.solvers import Anderson, Broyden

ITERATIVE = IterativeAdjoint(Broyden(rtol=0, atol=1e-12, max_steps=100))
G = numbers(20, 3, 4)


@pytest.mark.parametrize("adjoint", [DenseAdjoint(), ITERATIVE], ids=["dense", "iterative"])
@pytest.mark.parametrize("radius", [0.5, 2.0])
def test_a_linear_equilibrium_has_its_closed_form_gradient(adjoint, radius):
    """y = (1 - A)^-1 x, so dL/dx = (1 - A)^-T g and dL/dA = (dL/dx) y^T."""
    matrix = matrix_with_radius(radius, seed=4).requires_grad_()
    x = numbers(5, 3, 4).requires_grad_()
    y = Equilibrium(TIGHT, adjoint=adjoint)(linear(matrix), torch.zeros(3, 4).double(), (x,)).value
    inverse = torch.linalg.inv(torch.eye(4).double() - matrix.detach())
    torch.testing.assert_close(y.detach(), x.detach() @ inverse.T, atol=SAME_LINEAR_SYSTEM, rtol=0)
    by_x, by_matrix = torch.autograd.grad((y * G).sum(), (x, matrix))
    torch.testing.assert_close(by_x, G @ inverse, atol=SAME_LINEAR_SYSTEM, rtol=0)
    torch.testing.assert_close(by_matrix, (G @ inverse).T @ y.detach(), atol=SAME_LINEAR_SYSTEM, rtol=0)


def test_a_classical_equilibrium_passes_gradcheck():
    layer, start = Equilibrium(TIGHT), torch.zeros(2, 4).double()

    def solved(matrix, x):
        return layer(hyperbolic(matrix), start, (x,)).value

    given = (matrix_with_radius(1.5, seed=6).requires_grad_(), numbers(7, 2, 4).requires_grad_())
    assert torch.autograd.gradcheck(solved, given, atol=FD_GRADIENT, eps=1e-6)


def test_it_is_the_limit_of_unrolling():
    matrix, x = matrix_with_radius(0.3, seed=8).requires_grad_(), numbers(9, 3, 4).requires_grad_()
    layer, start = Equilibrium(TIGHT), torch.zeros(3, 4).double()
    solved = layer(hyperbolic(matrix), start, (x,)).value
    unrolled = layer.direct(hyperbolic(matrix), start, (x,), layers=80).value
    implicit = torch.autograd.grad((solved * G).sum(), (matrix, x))
    explicit = torch.autograd.grad((unrolled * G).sum(), (matrix, x))
    for one, other in zip(implicit, explicit, strict=True):
        torch.testing.assert_close(one, other, atol=SAME_LINEAR_SYSTEM, rtol=0)


CASES = {
    # encoding, seed, state_scale, whether a plain iteration would be repelled by every sample's equilibrium
    "amplitude": ("amplitude", 4, 1.0, False),
    "angle": ("angle", 1, 1.0, False),
    "amplitude, radius above 1": ("amplitude", 2, 3.0, True),
    "angle, radius above 1": ("angle", 3, 3.0, True),
}
LABELS = torch.tensor([0, 2, 1])


@pytest.fixture(params=CASES, ids=str)
def case(request):
    encoding, seed, scale, repelling = CASES[request.param]
    model = classifier(encoding, seed=seed, state_scale=scale, learn_state_scale=True)
    x = 0.5 * numbers(100 + seed, 6, 16)[[0, 1, 3]].contiguous()
    result = model(x).equilibrium
    assert result.residual.max() < 2e-12
    matrix = jacobian(
        InjectedFunction(model.function.at(model.weights), model.state_scale), result.value.detach(), (x,)
    )
    if repelling:
        assert spectral_radius(matrix.detach()).min() > 1
    return model, x


def test_a_quantum_equilibrium_has_the_gradients_of_finite_differences(case):
    """Circuit weights, data, read-out and the scale of the injected state, through solves converged to 1e-12."""
    model, x = case
    x.requires_grad_()

    def loss():
        return torch.nn.functional.cross_entropy(model(x).logits, LABELS, reduction="sum")

    names, parameters = zip(*model.named_parameters(), strict=True)
    assert set(names) == {"weights", "state_scale", "readout.weight", "readout.bias"}
    found = dict(zip((*names, "x"), torch.autograd.grad(loss(), (*parameters, x)), strict=True))
    for name, tensor in zip((*names, "x"), (*parameters, x), strict=True):
        every = [tuple(int(i) for i in index) for index in torch.ones(tensor.shape).nonzero()]
        chosen = every if name in ("weights", "state_scale") else every[:: max(1, len(every) // 8)]
        with torch.no_grad():
            slopes = gradient_by_differences(loss, tensor, chosen)
        mine = torch.stack([found[name][index] for index in chosen])
        torch.testing.assert_close(mine, slopes, atol=FD_GRADIENT, rtol=FD_GRADIENT, msg=f"{name}: {mine} {slopes}")
        assert mine.abs().max() > 100 * FD_GRADIENT, name


def test_the_two_backward_solves_agree(case):
    model, x = case
    gradients = []
    for adjoint in (DenseAdjoint(), ITERATIVE):
        model.equilibrium.adjoint = adjoint
        result = model(x)
        loss = torch.nn.functional.cross_entropy(result.logits, LABELS)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
        record = result.equilibrium.adjoint
        assert record.residual.shape == (3,)
        assert record.residual.max() < SAME_LINEAR_SYSTEM
        assert not record.failed.any()
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=SAME_LINEAR_SYSTEM, rtol=SAME_LINEAR_SYSTEM)


@pytest.mark.parametrize(
    "adjoint", [DenseAdjoint(), IterativeAdjoint(Broyden(rtol=1e-3, atol=1e-6))], ids=["dense", "loose"]
)
@pytest.mark.parametrize("factor", [1e-7, 1e7])
def test_the_relative_gradient_does_not_depend_on_the_losss_scale(adjoint, factor):
    model = classifier("amplitude", seed=4, equilibrium=Equilibrium(TIGHT, adjoint=adjoint))
    x = 0.5 * numbers(104, 3, 16)

    def gradient(scale):
        loss = torch.nn.functional.cross_entropy(model(x).logits, LABELS)
        return torch.autograd.grad(scale * loss, model.weights)[0] / scale

    torch.testing.assert_close(gradient(factor), gradient(1.0), atol=0, rtol=1e-9)


def test_the_backward_residual_is_empty_before_the_backward_pass_and_recorded_by_it():
    matrix = matrix_with_radius(0.8, seed=1).requires_grad_()
    adjoint = IterativeAdjoint(Anderson(max_steps=1, rtol=0, atol=0))
    result = Equilibrium(TIGHT, adjoint=adjoint)(linear(matrix), torch.zeros(3, 4).double(), (numbers(5, 3, 4),))
    assert result.adjoint.residual is None
    with pytest.warns(
        ConvergenceWarning, match=r"backward solve failed for 3 of 3 samples \(worst relative residual 0\.\d+"
    ):
        (result.value * G).sum().backward()
    assert result.adjoint.failed.all()
    assert (result.adjoint.residual > 0.01).all()


def test_the_recorded_residual_is_that_of_the_linear_system():
    matrix = matrix_with_radius(0.8, seed=1).requires_grad_()
    adjoint = IterativeAdjoint(Broyden(max_steps=2, rtol=0, atol=0))
    x = numbers(5, 3, 4).requires_grad_()
    result = Equilibrium(TIGHT, adjoint=adjoint)(linear(matrix), torch.zeros(3, 4).double(), (x,))
    with pytest.warns(ConvergenceWarning):
        (u,) = torch.autograd.grad((result.value * G).sum(), x)  # df/dx = 1, so this is u itself
    wanted = (u - u @ matrix.detach() - G).norm(dim=1) / G.norm(dim=1)
    torch.testing.assert_close(result.adjoint.residual, wanted, atol=EXACT64_DEEP, rtol=0)


def test_samples_without_any_gradient_have_no_backward_residual():
    x = numbers(5, 3, 4).requires_grad_()
    for adjoint in (DenseAdjoint(), ITERATIVE):
        layer = Equilibrium(TIGHT, adjoint=adjoint)
        result = layer(linear(matrix_with_radius(0.8)), torch.zeros(3, 4).double(), (x,))
        (found,) = torch.autograd.grad(result.value[1].sum(), x)
        assert torch.equal(found[[0, 2]], torch.zeros(2, 4).double())
        assert torch.equal(result.adjoint.residual[[0, 2]], torch.zeros(2).double())
        assert not result.adjoint.failed.any()


def _singular(g, on_failure):
    """A has the eigenvalue 1: y_0 = y_0 + x_0 with x_0 = 0 has a line of equilibria, and 1 - A no inverse."""
    matrix = torch.diag(torch.tensor([1.0, 0.5], dtype=torch.float64)).requires_grad_()
    layer = Equilibrium(TIGHT, on_failure=on_failure)
    x = torch.tensor([[0.0, 1.0]], dtype=torch.float64).requires_grad_()
    y = layer(linear(matrix), torch.zeros(1, 2).double(), (x,)).value
    return torch.autograd.grad((y * torch.tensor(g).double()).sum(), x)[0]


def test_a_singular_system_without_solution_warns_or_raises():
    with pytest.warns(ConvergenceWarning, match="backward solve failed for 1 of 1 samples"):
        assert _singular([1.0, 1.0], "warn").isfinite().all()
    with pytest.raises(ConvergenceError, match="backward solve failed"):
        _singular([1.0, 1.0], "raise")


def test_a_singular_system_with_a_solution_gives_the_smallest_one():
    torch.testing.assert_close(_singular([0.0, 1.0], "raise"), torch.tensor([[0.0, 2.0]]).double())


def _quadratic(y):
    return y.square().sum()


@pytest.mark.parametrize("loss", [_quadratic, torch.sum], ids=["quadratic", "linear"])
def test_a_second_derivative_is_refused_loudly(loss):
    """Even where the loss is linear: there the gradient arriving at y* needs no gradient itself."""
    matrix = matrix_with_radius(0.5).requires_grad_()
    y = Equilibrium(TIGHT)(hyperbolic(matrix), torch.zeros(3, 4).double(), (numbers(5, 3, 4),)).value
    with pytest.raises(RuntimeError, match="once, not twice"):
        torch.autograd.grad(torch.autograd.grad(loss(y), matrix, create_graph=True)[0].square().sum(), matrix)


def test_a_second_derivative_through_unrolled_layers_is_right():
    x = 0.3 * numbers(7, 1, 4)

    def unrolled(matrix):
        return Equilibrium(TIGHT).direct(hyperbolic(matrix), torch.zeros(1, 4).double(), (x,), layers=3).value

    assert torch.autograd.gradgradcheck(unrolled, (matrix_with_radius(0.5).requires_grad_(),))


def test_frozen_parameters_get_no_gradient_and_cost_none():
    model = classifier("amplitude", seed=4)
    x = numbers(104, 3, 16)
    model.weights.requires_grad_(False)
    result = model(x)
    assert not result.equilibrium.value.requires_grad
    result.logits.sum().backward()
    assert model.weights.grad is None
    assert model.readout.weight.grad is not None
    model.weights.requires_grad_(True)
    for parameter in model.readout.parameters():
        parameter.requires_grad_(False)
    model(x).logits.sum().backward()
    assert model.weights.grad.abs().max() > 0


def test_without_gradients_nothing_is_recorded():
    model = classifier("angle")
    with torch.no_grad():
        result = model(numbers(104, 3, 16))
    assert not result.logits.requires_grad
    assert result.equilibrium.penalty is None


def test_two_forwards_before_one_backward_add_up():
    model = classifier("amplitude", seed=4)
    first, second = numbers(104, 3, 16), numbers(105, 2, 16)
    (together,) = torch.autograd.grad(model(first).logits[:, 0].sum() + model(second).logits[:, 1].sum(), model.weights)
    (one,) = torch.autograd.grad(model(first).logits[:, 0].sum(), model.weights)
    (two,) = torch.autograd.grad(model(second).logits[:, 1].sum(), model.weights)
    torch.testing.assert_close(together, one + two, atol=EXACT64_DEEP, rtol=0)


def test_one_frozen_function_serves_two_solves():
    model = classifier("angle", seed=4)
    layer, x = Equilibrium(TIGHT), (numbers(1, 3, 16), numbers(2, 3, 16))
    f = InjectedFunction(model.function.at(model.weights))
    parts = [layer(f, torch.zeros(3, 4).double(), (features,)).value.sum() for features in x]
    (together,) = torch.autograd.grad(sum(parts), model.weights)
    alone = []
    for features in x:
        fresh = InjectedFunction(model.function.at(model.weights))
        y = layer(fresh, torch.zeros(3, 4).double(), (features,)).value
        alone.append(torch.autograd.grad(y.sum(), model.weights)[0])
    torch.testing.assert_close(together, alone[0] + alone[1], atol=EXACT64_DEEP, rtol=0)


def test_gradients_accumulate_over_two_steps():
    model, x = classifier("amplitude", seed=4), numbers(104, 3, 16)
    model(x).logits.sum().backward()
    once = model.weights.grad.clone()
    model(x).logits.sum().backward()
    torch.testing.assert_close(model.weights.grad, 2 * once, atol=EXACT64_DEEP, rtol=0)


def test_gradients_reach_what_made_the_data():
    """The layer inside a larger network: features from a trainable map."""
    model, raw = classifier("angle", seed=4), numbers(104, 2, 5)
    before = torch.nn.Parameter(0.3 * numbers(3, 5, 16))

    def loss():
        return model(raw @ before).logits.square().sum()

    (found,) = torch.autograd.grad(loss(), before)
    chosen = [(0, 0), (1, 7), (4, 15)]
    with torch.no_grad():
        slopes = gradient_by_differences(loss, before, chosen)
    torch.testing.assert_close(
        torch.stack([found[index] for index in chosen]), slopes, atol=FD_GRADIENT, rtol=FD_GRADIENT
    )
