"""An unrolled gradient is the derivative of what the solver computed, through its own steps."""

import warnings
from typing import NamedTuple

import pytest
import torch
from functions import TIGHT, classifier, hyperbolic, linear, matrix_with_radius, numbers, relative_gap
from pydantic.dataclasses import dataclass
from tolerances import EXACT64, EXACT64_DEEP, FD_GRADIENT, SAME_LINEAR_SYSTEM

from qdeq.adjoints import AdjointRecord, DenseAdjoint, UnrolledAdjoint, attach
from qdeq.backends import ShotKey
from qdeq.equilibrium import Equilibrium
from qdeq.errors import ConvergenceError, ConvergenceWarning, SolverError
from qdeq.functions import Function
from qdeq.solvers import SOLVER_CONFIG, Anderson, Broyden, Fallback, Naive, Newton, Solver, solve

G = numbers(20, 3, 4)
ZERO = torch.zeros(3, 4).double()


def unrolled(solver, **options):
    return Equilibrium(solver, adjoint=UnrolledAdjoint(), **options)


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_after_a_fixed_number_of_plain_steps_it_is_the_gradient_of_as_many_layers(encoding, steps):
    model, x = classifier(encoding, seed=1, learn_state_scale=True), numbers(104, 3, 16)
    model.equilibrium = unrolled(Naive(), fixed_steps=steps)  # the residual falls with each step: the last is the best
    result = model(x).equilibrium
    layered = model(x, layers=steps).equilibrium.value
    torch.testing.assert_close(result.value, layered, atol=EXACT64_DEEP, rtol=0)
    tensors = (model.weights, model.state_scale)
    found = torch.autograd.grad((result.value * G).sum(), tensors)
    for one, other in zip(found, torch.autograd.grad((layered * G).sum(), tensors), strict=True):
        torch.testing.assert_close(one, other, atol=EXACT64_DEEP, rtol=0)
    assert result.adjoint.residual is None
    assert result.adjoint.failed.tolist() == [False] * 3


FEW = [Naive(damping=0.7), Broyden(), Broyden(memory=2), Anderson(), Anderson(memory=1, mixing=0.6), Newton()]


@pytest.mark.parametrize("solver", FEW, ids=str)
@pytest.mark.filterwarnings("ignore::qdeq.errors.ConvergenceWarning")
def test_it_is_the_derivative_of_the_iterate_by_differences_through_the_solver(solver):
    """Few steps, far from convergence: every derivative of the algorithm counts, Newton's second ones of f too."""
    short = type(solver)(**{**vars(solver), "max_steps": 4, "rtol": 0, "atol": 0})
    layer, start = unrolled(short), torch.zeros(2, 4).double()

    def solved(matrix, x):
        return layer(hyperbolic(matrix), start, (x,)).value

    given = (matrix_with_radius(1.5, seed=6).requires_grad_(), numbers(7, 2, 4).requires_grad_())
    assert relative_gap(solved(*given), Equilibrium(TIGHT)(hyperbolic(given[0]), start, (given[1],)).value) > 1e-6
    assert torch.autograd.gradcheck(solved, given, atol=FD_GRADIENT, eps=1e-6)


@pytest.mark.parametrize("solver", [Naive, Broyden, Anderson, Newton])
@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_it_comes_to_the_implicit_gradient_as_the_solver_converges(encoding, solver):
    model, x = classifier(encoding, seed=1), 0.5 * numbers(104, 3, 16)

    def gradient(layer):
        model.equilibrium = layer
        return torch.autograd.grad((model(x).equilibrium.value * G).sum(), model.weights)[0]

    exact = gradient(Equilibrium(TIGHT, adjoint=DenseAdjoint()))
    gaps = [
        relative_gap(gradient(unrolled(solver(rtol=rtol, atol=0, max_steps=200))), exact)
        for rtol in (1e-2, 1e-6, 1e-10)
    ]
    assert gaps[0] > 10 * gaps[1] > 10 * gaps[2]
    assert gaps[2] < 1e-5


def test_the_value_is_the_solvers_bit_for_bit():
    model, x, solver = classifier("amplitude", seed=4), numbers(3, 12, 16), Broyden(rtol=1e-3)
    values = []
    for adjoint in (DenseAdjoint(), UnrolledAdjoint()):
        model.equilibrium = Equilibrium(solver, adjoint=adjoint)
        result = model(x).equilibrium
        values.append(result.value)
        assert len(set(result.evaluations.tolist())) > 1  # the samples leave at different steps
    assert torch.equal(*values)


def test_where_no_iterate_converges_it_is_that_of_the_best_one():
    """Residuals A^t x with eigenvalues 0.1 and 1.5: smallest after two steps, and growing from then on."""
    matrix = torch.diag(torch.tensor([0.1, 1.5], dtype=torch.float64)).requires_grad_()
    x = torch.tensor([[1.0, 0.01], [1.0, 0.0]], dtype=torch.float64)  # the second sample converges
    layer = unrolled(Naive(max_steps=12, rtol=1e-10, atol=0))
    with pytest.warns(ConvergenceWarning, match="1 of 2 samples converged"):
        result = layer(linear(matrix), torch.zeros(2, 2).double(), (x,))
    (found,) = torch.autograd.grad(result.value[0].sum(), matrix)
    y = torch.zeros(2).double()
    for _ in range(2):
        y = matrix @ y + x[0]
    assert torch.equal(result.value[0], y)
    torch.testing.assert_close(found, torch.autograd.grad(y.sum(), matrix)[0], atol=EXACT64, rtol=0)
    assert not result.adjoint.failed.any()


@pytest.mark.filterwarnings("ignore::qdeq.errors.ConvergenceWarning")
def test_a_repetition_that_rounds_otherwise_does_not_move_the_value():
    """The first sample's best iterate is an early one: the second is repeated in batches of another size."""
    matrix = torch.diag(torch.tensor([0.1, 1.5], dtype=torch.float64)).requires_grad_()
    x = torch.tensor([[1.0, 0.01], [1.0, 0.0]], dtype=torch.float64)

    def f(y, x):
        return y @ matrix.T + x + len(y) * EXACT64  # what the order of a sum does, made to show

    values = []
    for adjoint in (DenseAdjoint(), UnrolledAdjoint()):
        layer = Equilibrium(Naive(max_steps=12, rtol=1e-10, atol=0), adjoint=adjoint)
        values.append(layer(f, torch.zeros(2, 2).double(), (x,)).value)
    assert torch.equal(*values)


@pytest.mark.parametrize("steps", [None, 4])
def test_under_shots_the_same_shots_are_drawn_again(steps):
    model = classifier("angle", seed=4, shots=2_000, equilibrium=unrolled(Broyden(), fixed_steps=steps))
    result = model(0.5 * numbers(104, 3, 16), key=ShotKey(seed=1)).equilibrium
    result.value.square().sum().backward()
    assert not result.adjoint.failed.any()
    assert model.weights.grad.abs().max() > 0


@pytest.mark.parametrize("solver", [Naive(), Broyden(), Anderson()], ids=str)
def test_where_noise_ends_the_solve_it_is_the_derivative_of_the_mean_that_is_returned(solver):
    """The noise is a number of its own in each evaluation, so that the value is a smooth function of the offset."""

    class Noisy(Function):
        shots = 100

        def __init__(self, number=0):
            self.noise = 0.1 * numbers(900 + number, 2, 4)

        def at_evaluation(self, number):
            return Noisy(number)

        def __call__(self, y, x, name):
            return 0.3 * torch.sin(y) + x + self.noise[name]

        def measure(self, y, *rows):
            return self(y, *rows), torch.full_like(y, 0.1)

    layer, x = unrolled(solver), numbers(7, 2, 4).requires_grad_()

    def solved(x):
        return layer(Noisy(), torch.zeros(2, 4).double(), (x, torch.arange(2))).value

    assert (solve(solver, Noisy(), torch.zeros(2, 4).double(), (x, torch.arange(2))).weight > 0).all()
    assert torch.autograd.gradcheck(solved, x, atol=FD_GRADIENT, eps=1e-6)


@pytest.mark.parametrize("solver", [Broyden(rtol=1e-3), Anderson(rtol=1e-3), Newton(rtol=1e-3)], ids=str)
def test_a_samples_gradient_alone_is_its_gradient_in_any_batch(solver):
    model, x = classifier("angle", seed=4, equilibrium=unrolled(solver)), numbers(3, 6, 16).requires_grad_()
    (together,) = torch.autograd.grad(model(x).logits.square().sum(), x)
    for row in range(6):
        leaf = x[row : row + 1].detach().requires_grad_()
        (alone,) = torch.autograd.grad(model(leaf).logits.square().sum(), leaf)
        torch.testing.assert_close(alone[0], together[row], atol=SAME_LINEAR_SYSTEM, rtol=0)


# -- what cannot be unrolled ------------------------------------------------------------------------------------------


class NoState(NamedTuple):
    """Nothing."""


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Elsewhere(Solver):
    """Plain steps, computed outside PyTorch."""

    def init(self, y0, f0):
        return NoState()

    def step(self, problem, state, y, fy):
        return torch.from_numpy(fy.numpy().copy()), state


def test_a_solver_that_leaves_pytorch_without_saying_so_is_named():
    with pytest.raises(SolverError, match=r"the steps of Elsewhere cannot be differentiated(.|\n)*Remedy"):
        unrolled(Elsewhere())(hyperbolic(matrix_with_radius(0.5).requires_grad_()), ZERO, (numbers(5, 3, 4),))


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Drifting(Solver):
    """A solver that is no function of its inputs: the noise on its first sample's steps is new in each solve."""

    def init(self, y0, f0):
        return NoState()

    def step(self, problem, state, y, fy):
        noise = torch.zeros_like(fy)
        noise[0] = 1e-3 * torch.rand(fy.shape[1])
        return fy + noise, state


@pytest.mark.parametrize("on_failure", ["warn", "raise"])
def test_a_path_that_cannot_be_taken_again_is_a_failure_of_that_sample(on_failure):
    matrix, x = matrix_with_radius(0.5).requires_grad_(), numbers(5, 3, 4).requires_grad_()
    layer = unrolled(Drifting(max_steps=5, rtol=1), on_failure=on_failure)  # rtol: the first iterates will do
    start = -x.detach()

    def run():
        return layer(linear(matrix), start, (x,))

    if on_failure == "raise":
        with pytest.raises(
            ConvergenceError, match="steps of Drifting, taken again, do not lead to its value for 1 of 3"
        ):
            run()
        return
    with pytest.warns(ConvergenceWarning, match="steps of Drifting, taken again, do not lead to its value for 1 of 3"):
        result = run()
    assert result.adjoint.failed.tolist() == [True, False, False]
    by_x, by_matrix = torch.autograd.grad(result.value.sum(), (x, matrix))
    assert torch.equal(by_x[0], torch.zeros(4).double())
    assert by_x[1:].abs().min() > 0
    assert by_matrix.isfinite().all()


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Kinked(Solver):
    """Plain steps plus 0, whose derivative is not finite where the first entry of f(y) is not positive."""

    def init(self, y0, f0):
        return NoState()

    def step(self, problem, state, y, fy):
        first = fy[:, :1]
        return fy + 0 * (first + first.abs()).sqrt(), state


def test_a_step_without_a_finite_derivative_is_a_failure_of_that_sample_alone():
    matrix, x = matrix_with_radius(0.3, seed=2).requires_grad_(), numbers(5, 3, 4)
    x[:, 0] = torch.tensor([2.0, -2.0, 2.0])

    def run(rows):
        result = unrolled(Kinked())(linear(matrix), ZERO[rows], (x[rows],))
        (found,) = torch.autograd.grad(result.value.sum(), matrix)
        return result, found

    with pytest.warns(ConvergenceWarning, match="a step of Kinked has no finite derivative for 1 of 3 samples"):
        result, found = run([0, 1, 2])
    assert result.adjoint.failed.tolist() == [False, True, False]
    with pytest.warns(ConvergenceWarning, match="for 1 of 1 samples"):
        spoiled = run([1])[1]
    torch.testing.assert_close(found - spoiled, run([0, 2])[1], atol=EXACT64, rtol=0)


@pytest.mark.parametrize("options", [{"solver": Fallback()}, {"on_failure": "fallback", "fallback": [Naive()]}])
def test_it_follows_one_solver(options):
    with pytest.raises(SolverError, match="follows one solver"):
        Equilibrium(adjoint=UnrolledAdjoint(), **options)


def test_it_needs_a_solve_to_follow():
    with pytest.raises(SolverError, match="ask an Equilibrium layer"):
        attach(hyperbolic(matrix_with_radius(0.5)), ZERO, (G,), UnrolledAdjoint(), "warn", AdjointRecord())


def test_a_layer_of_constants_has_no_gradient():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = unrolled(Broyden())(hyperbolic(matrix_with_radius(0.5)), ZERO, (G,))
    assert not result.value.requires_grad
