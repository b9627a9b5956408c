"""The gradient of the implicit function theorem is the derivative of the equilibrium."""

import pytest
import torch
from functions import (
    EXACT,
    KINDS,
    TIGHT,
    classifier,
    gradient_by_differences,
    hyperbolic,
    linear,
    matrix_with_radius,
    numbers,
    relative_gap,
)
from tolerances import EXACT64, EXACT_GRADIENT, FD_GRADIENT, LOSS_SCALE, SAME_LINEAR_SYSTEM

from qdeq.adjoints import DenseAdjoint, GmresAdjoint, IterativeAdjoint
from qdeq.equilibrium import Equilibrium
from qdeq.functions import Function
from qdeq.injection import InjectedFunction
from qdeq.jacobians import jacobian, spectral_radius
from qdeq.solvers import Anderson, Broyden

G = numbers(20, 3, 4)


@pytest.mark.parametrize("kind", [*EXACT, "unrolled"])
@pytest.mark.parametrize("radius", [0.5, 2.0])
def test_a_linear_equilibrium_has_its_closed_form_gradient(kind, radius):
    """y = (1 - A)^-1 x, so dL/dx = (1 - A)^-T g and dL/dA = (dL/dx) y^T."""
    matrix = matrix_with_radius(radius, seed=4).requires_grad_()
    x = numbers(5, 3, 4).requires_grad_()
    y = Equilibrium(TIGHT, adjoint=KINDS[kind])(linear(matrix), torch.zeros(3, 4).double(), (x,)).value
    inverse = torch.linalg.inv(torch.eye(4).double() - matrix.detach())
    torch.testing.assert_close(y.detach(), x.detach() @ inverse.T, atol=SAME_LINEAR_SYSTEM, rtol=0)
    by_x, by_matrix = torch.autograd.grad((y * G).sum(), (x, matrix))
    torch.testing.assert_close(by_x, G @ inverse, atol=SAME_LINEAR_SYSTEM, rtol=0)
    torch.testing.assert_close(by_matrix, (G @ inverse).T @ y.detach(), atol=SAME_LINEAR_SYSTEM, rtol=0)


@pytest.mark.parametrize("kind", [*EXACT, "unrolled"])
def test_a_classical_equilibrium_passes_gradcheck(kind):
    layer, start = Equilibrium(TIGHT, adjoint=KINDS[kind]), torch.zeros(2, 4).double()

    def solved(matrix, x):
        return layer(hyperbolic(matrix), start, (x,)).value

    given = (matrix_with_radius(1.5, seed=6).requires_grad_(), numbers(7, 2, 4).requires_grad_())
    assert torch.autograd.gradcheck(solved, given, atol=FD_GRADIENT, eps=1e-6)


def test_it_is_the_limit_of_direct_layers():
    matrix, x = matrix_with_radius(0.3, seed=8).requires_grad_(), numbers(9, 3, 4).requires_grad_()
    layer, start = Equilibrium(TIGHT), torch.zeros(3, 4).double()
    solved = layer(hyperbolic(matrix), start, (x,)).value
    layered = layer.direct(hyperbolic(matrix), start, (x,), layers=80).value
    implicit = torch.autograd.grad((solved * G).sum(), (matrix, x))
    explicit = torch.autograd.grad((layered * G).sum(), (matrix, x))
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


def loss_of(model, x):
    return torch.nn.functional.cross_entropy(model(x).logits, LABELS, reduction="sum")


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    """A model, data, and the gradients of the loss by differences through solves converged to 1e-12, by name."""
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
    slopes = {}
    for name, tensor in (*model.named_parameters(), ("x", x)):
        every = [tuple(int(i) for i in index) for index in torch.ones(tensor.shape).nonzero()]
        chosen = every if name in ("weights", "state_scale") else every[:: max(1, len(every) // 8)]
        with torch.no_grad():
            slopes[name] = chosen, gradient_by_differences(lambda: loss_of(model, x), tensor, chosen)
    return model, x.requires_grad_(), slopes


@pytest.mark.parametrize("kind", [*EXACT, "unrolled"])
def test_a_quantum_equilibrium_has_the_gradients_of_finite_differences(case, kind):
    """Circuit weights, data, read-out and the scale of the injected state."""
    model, x, slopes = case
    model.equilibrium = Equilibrium(TIGHT, adjoint=KINDS[kind])
    assert set(slopes) == {"weights", "state_scale", "readout.weight", "readout.bias", "x"}
    tensors = dict([*model.named_parameters(), ("x", x)])
    found = dict(zip(tensors, torch.autograd.grad(loss_of(model, x), list(tensors.values())), strict=True))
    for name, (chosen, wanted) in slopes.items():
        mine = torch.stack([found[name][index] for index in chosen])
        assert relative_gap(mine, wanted) < EXACT_GRADIENT, name


@pytest.mark.parametrize("kind", list(EXACT))
def test_all_solves_of_the_linear_system_agree_and_record_their_residual(case, kind):
    model, x, _ = case
    gradients = []
    for adjoint in (DenseAdjoint(), EXACT[kind]):
        model.equilibrium = Equilibrium(TIGHT, adjoint=adjoint)
        result = model(x)
        loss = torch.nn.functional.cross_entropy(result.logits, LABELS)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
        record = result.equilibrium.adjoint
        assert record.residual.shape == (3,)
        assert record.residual.max() < SAME_LINEAR_SYSTEM
        assert not record.failed.any()
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=SAME_LINEAR_SYSTEM, rtol=SAME_LINEAR_SYSTEM)


LOOSE = {
    "loose broyden": IterativeAdjoint(Broyden(rtol=1e-3, atol=1e-6)),
    "loose anderson": IterativeAdjoint(Anderson(rtol=1e-2, atol=0)),
    "loose gmres": GmresAdjoint(rtol=1e-2),
}


@pytest.mark.parametrize("kind", [*KINDS, *LOOSE])
def test_the_relative_gradient_does_not_depend_on_the_losss_scale(kind):
    model = classifier("amplitude", seed=4, equilibrium=Equilibrium(TIGHT, adjoint={**KINDS, **LOOSE}[kind]))
    x = 0.5 * numbers(104, 3, 16)

    def gradient(scale):
        return torch.autograd.grad(scale * loss_of(model, x), model.weights)[0] / scale

    for factor in (1e-7, 1e7):
        torch.testing.assert_close(gradient(factor), gradient(1.0), atol=0, rtol=LOSS_SCALE)


FLOAT32 = LOOSE | {name: adjoint for name, adjoint in KINDS.items() if not isinstance(adjoint, IterativeAdjoint)}


@pytest.mark.parametrize("kind", list(FLOAT32))
def test_in_float32_a_power_of_two_leaves_every_bit_of_the_relative_gradient(kind):
    model = classifier("angle", seed=4, equilibrium=Equilibrium(Broyden(), adjoint=FLOAT32[kind])).float()
    x = 0.5 * numbers(104, 3, 16).float()

    def gradient(scale):
        return torch.autograd.grad(scale * loss_of(model, x), model.weights)[0] / scale

    assert gradient(1.0).abs().max() > 0
    for factor in (2.0**-23, 2.0**23):
        assert torch.equal(gradient(factor), gradient(1.0))


def test_the_recorded_residual_is_that_of_the_linear_system():
    matrix = matrix_with_radius(0.8, seed=1).requires_grad_()
    for adjoint in (IterativeAdjoint(Broyden(max_steps=2, rtol=0, atol=0)), GmresAdjoint(restart=2, max_restarts=1)):
        x = numbers(5, 3, 4).requires_grad_()
        result = Equilibrium(TIGHT, adjoint=adjoint)(linear(matrix), torch.zeros(3, 4).double(), (x,))
        with pytest.warns(UserWarning, match="backward solve failed"):
            (u,) = torch.autograd.grad((result.value * G).sum(), x)  # df/dx = 1, so this is u itself
        wanted = (u - u @ matrix.detach() - G).norm(dim=1) / G.norm(dim=1)
        assert wanted.min() > 1e-3
        torch.testing.assert_close(result.adjoint.residual, wanted, atol=EXACT64, rtol=0)


@pytest.mark.parametrize("kind", list(KINDS))
def test_samples_without_any_gradient_have_no_backward_residual(kind):
    x = numbers(5, 3, 4).requires_grad_()
    layer = Equilibrium(TIGHT, adjoint=KINDS[kind])
    result = layer(linear(matrix_with_radius(0.8)), torch.zeros(3, 4).double(), (x,))
    (found,) = torch.autograd.grad(result.value[1].sum(), x)
    assert torch.equal(found[[0, 2]], torch.zeros(2, 4).double())
    assert not result.adjoint.failed.any()
    if kind != "unrolled":
        assert torch.equal(result.adjoint.residual[[0, 2]], torch.zeros(2).double())


# -- without a matrix -------------------------------------------------------------------------------------------------


class Matrixless(Function):
    """tanh(A y + x) in 300 dimensions, which counts its calls and has no Jacobian to give."""

    def __init__(self):
        self.matrix = matrix_with_radius(0.95, seed=3, size=300).requires_grad_()
        self.calls = []

    def __call__(self, y, x):
        self.calls.append(len(y))
        return torch.tanh(y @ self.matrix.T + x)

    def jacobian(self, y, x):
        raise AssertionError("a Jacobian was asked for")


def test_gmres_needs_one_evaluation_a_sample_and_no_jacobian():
    f, x = Matrixless(), numbers(4, 2, 300)
    y = Equilibrium(Anderson(rtol=0, atol=1e-12, memory=20, max_steps=300), adjoint=GmresAdjoint())
    result = y(f, torch.zeros(2, 300).double(), (x,))
    before = len(f.calls)
    (found,) = torch.autograd.grad(result.value.square().sum(), f.matrix)
    assert f.calls[before:] == [1, 1]
    assert result.adjoint.residual.max() < 1e-10
    exact = Equilibrium(TIGHT)(hyperbolic(f.matrix), result.value.detach(), (x,)).value
    (wanted,) = torch.autograd.grad(exact.square().sum(), f.matrix)
    assert relative_gap(found, wanted) < SAME_LINEAR_SYSTEM


def test_gmres_restarts_and_keeps_what_it_has():
    f, x = Matrixless(), numbers(4, 1, 300)
    layer = Equilibrium(Anderson(rtol=0, atol=1e-12, memory=20, max_steps=300))
    for adjoint in (GmresAdjoint(restart=4, max_restarts=200), GmresAdjoint(restart=4, max_restarts=2)):
        layer.adjoint = adjoint
        result = layer(f, torch.zeros(1, 300).double(), (x,))
        if adjoint.max_restarts == 2:
            with pytest.warns(UserWarning, match="backward solve failed"):
                result.value.square().sum().backward()
            assert 1e-8 < float(result.adjoint.residual) < 0.5  # better than u = g, which leaves ||gJ|| / ||g||
        else:
            result.value.square().sum().backward()
            assert not result.adjoint.failed.any()
