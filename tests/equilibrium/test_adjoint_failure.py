"""What is recorded of a backward pass, and what happens where it fails, sample by sample."""

import math
import warnings

import pytest
import torch
from functions import EXACT, KINDS, TIGHT, classifier, hyperbolic, linear, matrix_with_radius, numbers
from tolerances import EXACT64_DEEP, SAME_LINEAR_SYSTEM

from qdeq.adjoints import DenseAdjoint, GmresAdjoint, IterativeAdjoint, get_adjoint
from qdeq.equilibrium import Equilibrium
from qdeq.errors import ConvergenceError, ConvergenceWarning, SolverError
from qdeq.plugins import SOLVERS
from qdeq.solvers import Anderson, Broyden, Naive

G = numbers(20, 3, 4)
ZERO = torch.zeros(3, 4).double()

SHORT = {
    "gmres": GmresAdjoint(restart=1, max_restarts=1),
    "anderson": IterativeAdjoint(Anderson(max_steps=1, rtol=0, atol=0)),
}
"""Backward solves that cannot succeed."""


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_record_is_empty_before_the_backward_pass_and_filled_by_it(kind):
    matrix = matrix_with_radius(0.8, seed=1).requires_grad_()
    result = Equilibrium(TIGHT, adjoint=KINDS[kind])(linear(matrix), ZERO, (numbers(5, 3, 4),))
    assert result.adjoint.residual is None
    if kind != "unrolled":  # which knows from the forward pass on whether it will succeed
        assert result.adjoint.failed is None
    (result.value * G).sum().backward()
    assert result.adjoint.failed.tolist() == [False] * 3
    if kind in EXACT:
        assert result.adjoint.residual.max() < SAME_LINEAR_SYSTEM


@pytest.mark.parametrize("adjoint", SHORT.values(), ids=SHORT)
def test_a_failed_backward_solve_warns_and_is_recorded(adjoint):
    matrix = matrix_with_radius(0.8, seed=1).requires_grad_()
    result = Equilibrium(TIGHT, adjoint=adjoint)(linear(matrix), ZERO, (numbers(5, 3, 4),))
    with pytest.warns(
        ConvergenceWarning, match=r"backward solve failed for 3 of 3 samples \(worst relative residual 0\.\d+"
    ):
        (result.value * G).sum().backward()
    assert result.adjoint.failed.all()
    assert (result.adjoint.residual > 0.01).all()
    assert matrix.grad.abs().min() > 0  # the best that was found is used


@pytest.mark.parametrize("adjoint", SHORT.values(), ids=SHORT)
def test_a_failed_backward_solve_raises_where_asked_to(adjoint):
    matrix = matrix_with_radius(0.8, seed=1).requires_grad_()
    result = Equilibrium(TIGHT, adjoint=adjoint, on_failure="raise")(linear(matrix), ZERO, (numbers(5, 3, 4),))
    with pytest.raises(ConvergenceError, match="backward solve failed for 3 of 3 samples"):
        (result.value * G).sum().backward()
    assert result.adjoint.failed.all()


@pytest.mark.parametrize("adjoint", SHORT.values(), ids=SHORT)
def test_a_failed_backward_solve_falls_back_to_the_dense_one(adjoint):
    """The first sample's gradient lies along an eigenvector, which one step solves for: it needs no fallback."""
    matrix = torch.diag(torch.tensor([0.5, -0.5, 0.3, 0.1], dtype=torch.float64)).requires_grad_()
    x, g = numbers(5, 3, 4).requires_grad_(), G.clone()
    g[0] = torch.tensor([0.0, 0.0, 0.0, 0.0])
    layer = Equilibrium(TIGHT, adjoint=adjoint, on_failure="fallback", fallback=[Broyden()])
    result = layer(linear(matrix), ZERO, (x,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = torch.autograd.grad((result.value * g).sum(), x)
    torch.testing.assert_close(found, g / (1 - matrix.diag()), atol=SAME_LINEAR_SYSTEM, rtol=0)
    assert result.adjoint.residual.max() < SAME_LINEAR_SYSTEM
    assert not result.adjoint.failed.any()


def test_the_dense_solve_has_none_to_fall_back_to():
    """A tolerance below rounding is missed, and what was asked for is not loosened behind one's back."""
    matrix = matrix_with_radius(0.8, seed=1).requires_grad_()
    adjoint = DenseAdjoint(tolerance=1e-30)
    layer = Equilibrium(TIGHT, adjoint=adjoint, on_failure="fallback", fallback=[Broyden()])
    with pytest.warns(ConvergenceWarning, match="backward solve failed"):
        (layer(linear(matrix), ZERO, (numbers(5, 3, 4),)).value * G).sum().backward()


def _singular(adjoint, g, on_failure):
    """A has the eigenvalue 1: y_0 = y_0 + x_0 with x_0 = 0 has a line of equilibria, and 1 - A no inverse."""
    matrix = torch.diag(torch.tensor([1.0, 0.5], dtype=torch.float64)).requires_grad_()
    fallback = [Naive()] if on_failure == "fallback" else []
    layer = Equilibrium(TIGHT, adjoint=adjoint, on_failure=on_failure, fallback=fallback)
    x = torch.tensor([[0.0, 1.0]], dtype=torch.float64).requires_grad_()
    y = layer(linear(matrix), torch.zeros(1, 2).double(), (x,)).value
    return torch.autograd.grad((y * torch.tensor(g).double()).sum(), x)[0]


@pytest.mark.parametrize("adjoint", [DenseAdjoint(), GmresAdjoint()], ids=["dense", "gmres"])
def test_a_singular_system_without_solution_warns_or_raises(adjoint):
    for on_failure in ("warn", "fallback"):
        with pytest.warns(ConvergenceWarning, match="backward solve failed for 1 of 1 samples"):
            assert _singular(adjoint, [1.0, 1.0], on_failure).isfinite().all()
    with pytest.raises(ConvergenceError, match="backward solve failed"):
        _singular(adjoint, [1.0, 1.0], "raise")


@pytest.mark.parametrize("adjoint", [DenseAdjoint(), GmresAdjoint()], ids=["dense", "gmres"])
def test_a_singular_system_with_a_solution_gives_the_smallest_one(adjoint):
    torch.testing.assert_close(_singular(adjoint, [0.0, 1.0], "raise"), torch.tensor([[0.0, 2.0]]).double())


# -- one bad sample ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.filterwarnings("ignore::qdeq.errors.ConvergenceWarning")
def test_a_sample_that_is_not_finite_leaves_the_gradients_of_the_others_alone(kind):
    def run(x, matrix):
        result = Equilibrium(TIGHT, adjoint=KINDS[kind])(hyperbolic(matrix), torch.zeros(len(x), 4).double(), (x,))
        return result, *torch.autograd.grad(result.value.square().sum(), (x, matrix))

    spoiled, matrix = numbers(2, 3, 4), matrix_with_radius(0.8, seed=1).requires_grad_()
    kept = spoiled[[0, 2]].clone()
    spoiled[1, 2] = math.nan
    result, by_x, by_matrix = run(spoiled.requires_grad_(), matrix)
    _, by_kept, by_matrix_alone = run(kept.requires_grad_(), matrix)
    torch.testing.assert_close(by_x[[0, 2]], by_kept, atol=EXACT64_DEEP, rtol=0)
    torch.testing.assert_close(by_matrix, by_matrix_alone, atol=EXACT64_DEEP, rtol=0)
    assert result.adjoint.failed.tolist() == [False, True, False]


class Kinked:
    """tanh(A y + x), and at samples with a flag set a Jacobian of NaN where the value is finite."""

    def __init__(self, matrix):
        self.matrix = matrix

    def __call__(self, y, x, flag):
        regular = 1 - flag[:, None]
        nothing = (flag[:, None] * (y - y.detach()).abs() + regular).sqrt() - regular  # its slope is inf x 0 at a flag
        return torch.tanh(y @ self.matrix.T + x) + nothing


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "jacobian-free"])
def test_a_sample_whose_jacobian_is_not_finite_fails_alone_and_gets_no_gradient(kind):
    matrix, x = matrix_with_radius(0.8, seed=1).requires_grad_(), numbers(2, 3, 4)
    flag = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)

    def run(rows, warned):
        leaf = x[rows].clone().requires_grad_()
        layer = Equilibrium(TIGHT, adjoint=KINDS[kind])
        with pytest.warns(ConvergenceWarning, match=warned) if warned else warnings.catch_warnings():
            result = layer(Kinked(matrix), ZERO[rows], (leaf, flag[rows]))
            grads = torch.autograd.grad((result.value * G[rows]).sum(), (leaf, matrix))
        return result.adjoint, *grads

    record, by_x, by_matrix = run([0, 1, 2], "for 1 of 3 samples")
    assert record.failed.tolist() == [False, True, False]
    _, by_kept, by_matrix_alone = run([0, 2], None)
    torch.testing.assert_close(by_x[[0, 2]], by_kept, atol=EXACT64_DEEP, rtol=0)
    if kind == "unrolled":  # the last step is behind the Jacobian that is not finite
        assert by_matrix.isfinite().all()
    else:
        assert torch.equal(by_x[1], torch.zeros(4).double())
        torch.testing.assert_close(by_matrix, by_matrix_alone, atol=EXACT64_DEEP, rtol=0)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_gradient_that_arrives_as_nan_at_one_sample_stays_there(kind):
    matrix, x = matrix_with_radius(0.8, seed=1).requires_grad_(), numbers(2, 3, 4)
    result = Equilibrium(TIGHT, adjoint=KINDS[kind])(hyperbolic(matrix), ZERO, (x,))
    spoiled, rest = G.clone(), G.clone()
    spoiled[1, 0], rest[1] = math.nan, 0.0
    with pytest.warns(ConvergenceWarning, match="for 1 of 3 samples"):
        (found,) = torch.autograd.grad(result.value, matrix, spoiled, retain_graph=True)
    assert result.adjoint.failed.tolist() == [False, True, False]
    (wanted,) = torch.autograd.grad(result.value, matrix, rest)
    torch.testing.assert_close(found, wanted, atol=EXACT64_DEEP, rtol=0)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_samples_gradient_alone_is_its_gradient_in_any_batch(kind):
    model = classifier("angle", seed=4, equilibrium=Equilibrium(TIGHT, adjoint=KINDS[kind]))
    x = numbers(3, 4, 16).requires_grad_()
    (together,) = torch.autograd.grad(model(x).logits.square().sum(), x)
    alone = []
    for row in x:
        leaf = row.detach()[None].requires_grad_()
        alone.append(torch.autograd.grad(model(leaf).logits.square().sum(), leaf)[0])
    torch.testing.assert_close(torch.cat(alone), together, atol=SAME_LINEAR_SYSTEM, rtol=0)


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOLVERS.names())
def test_every_solver_can_be_named_for_the_backward_system(name):
    matrix, x = matrix_with_radius(0.5, seed=1).requires_grad_(), numbers(5, 3, 4).requires_grad_()
    adjoint = get_adjoint({"name": name, "rtol": 1e-10, "atol": 1e-11})
    result = Equilibrium(TIGHT, adjoint=adjoint)(linear(matrix), ZERO, (x,))
    (found,) = torch.autograd.grad((result.value * G).sum(), x)
    wanted = torch.linalg.solve((torch.eye(4).double() - matrix.detach()).T, G.T).T
    torch.testing.assert_close(found, wanted, atol=1e-8, rtol=0)
    assert not result.adjoint.failed.any()


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ("densee", "unknown adjoint 'densee'; allowed: dense, .* or a solver: .*Did you mean 'dense'"),
        ({"name": "phantom", "stepps": 2}, "adjoint 'phantom': unknown option 'stepps'.*Did you mean 'steps'"),
        ({"name": "gmres", "restart": 0}, "restart: .*greater than or equal to 1"),
        ({"steps": 2}, "an adjoint is a name or a mapping"),
        (None, "an adjoint is a name or a mapping"),
    ],
)
def test_a_name_or_option_that_does_not_exist_is_refused_with_what_does(choice, says):
    with pytest.raises(SolverError, match=says):
        get_adjoint(choice)
