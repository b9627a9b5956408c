"""Newton-Krylov: Newton's iterates without a derivative, as many products as theory says, counts per sample."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from problems import Counted, affine, contraction

from qdeq.adjoints import UnrolledAdjoint
from qdeq.equilibrium import Equilibrium
from qdeq.errors import SolverError, SpecError
from qdeq.functions import Function
from qdeq.solvers import Newton, NewtonKrylov, Status, solve
from qdeq.solvers.base import Problem
from qdeq.solvers.newton_krylov import NewtonKrylovState
from qdeq.spec import parse_spec

SQRT_UNIT = torch.finfo(torch.float64).eps ** 0.5  # 1.5e-8: what a forward difference in float64 is good to
PRODUCT = 100 * SQRT_UNIT  # a few products, through linear systems of a condition of about 10
EXACT = {"rtol": 0.0, "atol": 1e-13}


def scalar(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def visited(solver, f, y0):
    """Return all points ``[T, N]`` at which f is evaluated for a single sample, in order."""
    counted = Counted(f, 1)
    solve(solver, counted, y0, (torch.zeros(1, dtype=torch.int64),))
    return torch.stack(counted.iterates[0])


def test_iterates_of_the_scalar_equation_are_those_of_the_textbook():
    # g(y) = 2 - y^2 as f(y) = y + 2 - y^2: y <- (y + 2/y) / 2, Heron's rule; every second evaluation is a product
    found = visited(NewtonKrylov(**EXACT), lambda y: y + 2 - y**2, scalar(1.0))[::2, 0][:4]
    assert torch.allclose(found, torch.tensor([1.0, 3 / 2, 17 / 12, 577 / 408], dtype=torch.float64), atol=PRODUCT)


def test_convergence_is_quadratic_until_the_accuracy_of_the_products():
    matrix = contraction(4)

    def f(y):
        return torch.cos(affine(y, matrix, torch.linspace(-1, 1, 4, dtype=torch.float64)))

    y0 = torch.zeros(1, 4, dtype=torch.float64)
    tight = NewtonKrylov(forcing=1e-8, **EXACT)
    residuals = solve(tight, f, y0, trace=True).trace[:, 0]
    exact = solve(Newton(**EXACT), f, y0, trace=True).trace[:, 0]
    assert len(residuals) <= len(exact) + 1
    for before, after in pairwise(residuals[1:]):
        assert after <= 1.0 * before**2 + PRODUCT * before  # |f''| / 2 <= 1 and ||(1 - J)^-1|| is about 1
    assert torch.allclose(residuals[:3], exact[:3], atol=PRODUCT)


@pytest.mark.parametrize("distinct", [1, 2, 3])
def test_gmres_needs_one_product_for_each_distinct_eigenvalue(distinct):
    # 1 - J has that many eigenvalues, each many times over: so large is the Krylov space, whatever N
    eigenvalues = torch.tensor([0.0, 0.5, -0.5], dtype=torch.float64)[torch.arange(30) % distinct]
    offset = torch.linspace(1, 2, 30, dtype=torch.float64)[None]
    solver = NewtonKrylov(forcing=1e-6, rtol=0.0, atol=1e-5)
    solution = solve(solver, lambda y: eigenvalues * y + offset, torch.zeros_like(offset))
    assert solution.steps.tolist() == [1]
    assert solution.evaluations.tolist() == [1 + distinct + 1]
    assert torch.allclose(solution.value, offset / (1 - eigenvalues), atol=1e-5)


def test_a_looser_forcing_term_saves_products_and_a_small_krylov_space_bounds_them():
    matrix, offset = contraction(12), torch.ones(1, 12, dtype=torch.float64)
    f = lambda y: affine(y, matrix, offset)  # noqa: E731

    def evaluations_of_one_step(**options):
        return solve(NewtonKrylov(max_steps=1, rtol=0.0, atol=0.0, **options), f, torch.zeros_like(offset)).evaluations

    spent = {forcing: int(evaluations_of_one_step(forcing=forcing)) for forcing in (0.5, 1e-2, 1e-4, 1e-12)}
    assert spent[0.5] < spent[1e-2] < spent[1e-4] <= spent[1e-12] == 1 + 12 + 1
    assert int(evaluations_of_one_step(forcing=1e-12, krylov=3)) == 1 + 3 + 1


def test_the_step_solves_the_linear_system_as_well_as_the_forcing_term_asks():
    matrix, offset = 2 * contraction(6), torch.linspace(-1, 1, 6, dtype=torch.float64)[None]
    system = torch.eye(6, dtype=torch.float64) - matrix
    for forcing in (0.5, 0.1, 1e-3):
        points = visited(
            NewtonKrylov(forcing=forcing, max_steps=1, rtol=0.0, atol=0.0),
            lambda y: affine(y, matrix, offset),
            torch.zeros_like(offset),
        )
        left = torch.linalg.vector_norm(system @ points[-1] - offset[0])  # y0 = 0: the last point is the step
        assert left <= (forcing + PRODUCT) * torch.linalg.vector_norm(offset)


def test_the_forcing_term_follows_the_residual_within_its_bounds():
    # Eisenstat and Walker's choice 2 with γ = 0.9 and α = 2, where f is 1 and the tolerance 1e-6
    before, eta, after, expected = torch.tensor(
        [
            [math.inf, 0.9, 1.0, 0.5],  # nothing to go by: the first and largest
            [1.0, 0.1, 0.1, 0.9 * 0.1**2],
            [1.0, 0.4, 0.01, 0.9 * 0.4**2],  # η falls no faster than by its own square, where that is above 0.1
            [1.0, 0.3, 0.01, 0.9 * 0.01**2],  # 0.9 x 0.3² is not
            [1.0, 0.1, 2.0, 0.5],  # never above the largest
            [1.0, 0.1, 1e-5, 0.5 * 1e-6 / 1e-5],  # half the tolerance over ||g||: there is no more to be gained
            [1e9, 0.1, 1.0, 0.5e-6],
            [1e9, 0.1, 1e4, SQRT_UNIT],  # nor than a product is good to
        ],
        dtype=torch.float64,
    ).T
    zero, one = torch.zeros(8, 1, dtype=torch.float64), torch.ones(8, 1, dtype=torch.float64)
    state = NewtonKrylovState(zero, zero, zero, before, one, eta)
    found = NewtonKrylov(forcing=0.5, rtol=1e-6, atol=0.0)._forcing(state, one, after)
    assert torch.allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("dtype", "unit"), [(torch.float64, 2.0**-52), (torch.float32, 2.0**-23)])
def test_the_difference_is_taken_over_the_square_root_of_the_rounding_unit(dtype, unit):
    y0 = torch.tensor([[3.0, -4.0]], dtype=dtype)
    points = visited(NewtonKrylov(max_steps=1, rtol=0.0, atol=0.0), torch.cos, y0)
    moved = torch.linalg.vector_norm(points[1] - points[0])
    assert float(moved) == pytest.approx((1 + 5) * math.sqrt(unit), rel=1e-2)  # rounding of y itself


def test_each_sample_is_charged_for_its_own_evaluations():
    rate = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.9, 0.1, -0.9], [0.3, 0.2, 0.9]], dtype=torch.float64)
    counted = Counted(lambda y, rate: torch.sin(rate * y) + 1, 4)
    solution = solve(NewtonKrylov(), counted, torch.zeros(4, 3, dtype=torch.float64), (rate, torch.arange(4)))
    assert solution.all_converged
    assert solution.evaluations.tolist() == counted.counts
    assert len(set(counted.counts)) > 1
    assert not solution.jacobians.any()


def test_f_needs_no_derivative():
    solution = solve(NewtonKrylov(), lambda y: torch.from_numpy(y.numpy() * -2 + 3), scalar(0.0, 5.0))
    assert solution.all_converged
    assert torch.allclose(solution.value, scalar(1.0, 1.0), atol=1e-3)


def test_a_rejected_trial_is_tried_again_with_half_the_step_from_the_same_iterate():
    # g = -4 atan y: Newton's full step from 2 ends at 2 - 5 atan 2 = -3.54, where |g| is larger; half of it at -0.77
    points = visited(NewtonKrylov(**EXACT), lambda y: y - 4 * torch.atan(y), scalar(2.0))[:, 0].tolist()
    full = -5 * math.atan(2)
    assert points[2] == pytest.approx(2 + full, abs=PRODUCT)
    assert points[3] == pytest.approx(2 + full / 2, abs=PRODUCT)
    assert abs(points[-1]) < 1e-12


def test_damping_finds_the_root_where_full_and_plain_steps_run_away():
    f = lambda y: y - 4 * torch.atan(y)  # noqa: E731
    y0 = scalar(2.0, -3.5, 0.1)
    solution = solve(NewtonKrylov(min_damping=1 / 64, rtol=0.0, atol=1e-10), f, y0)
    assert solution.all_converged
    assert solution.value.abs().max() < 1e-10
    y = float(y0[0])
    for _ in range(8):
        y -= (1 + y * y) * math.atan(y)
    assert abs(y) > 1e6  # undamped


def test_where_damping_does_not_help_a_plain_step_is_taken():
    # |g| = y^2 + 1/2 has its minimum at 0 and no root: from 0.1 the full step goes to -2.5 and half of it to -1.2
    f = lambda y: y + y**2 + 0.5  # noqa: E731
    points = visited(NewtonKrylov(max_steps=3, **EXACT), f, scalar(0.1))[:, 0].tolist()
    step = -(0.1**2 + 0.5) / 0.2
    assert points[2:] == pytest.approx([0.1 + step, 0.1 + step / 2, float(f(scalar(0.1)))], abs=1e-5)
    assert solve(NewtonKrylov(), f, scalar(0.1)).status.tolist() == [Status.MAX_STEPS]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
def test_a_derivative_lost_in_rounding_is_not_divided_by(dtype):
    # 1 - J = 0: a step g / noise would end so far out that the relative residual looks converged
    solution = solve(NewtonKrylov(max_steps=10), lambda y: y + 1, torch.zeros(2, 3, dtype=dtype))
    assert solution.status.tolist() == [Status.MAX_STEPS] * 2
    assert solution.value.abs().max() <= 10


def test_a_value_next_to_the_iterate_that_is_not_finite_spoils_one_sample():
    edge = torch.tensor([math.inf, 0.0, math.inf], dtype=torch.float64)
    f = lambda y, edge: torch.where(y > edge[:, None], math.nan, torch.cos(y))  # noqa: E731
    solution = solve(NewtonKrylov(), f, torch.zeros(3, 2, dtype=torch.float64), (edge,))
    assert solution.status.tolist() == [Status.CONVERGED, Status.NON_FINITE, Status.CONVERGED]
    assert torch.equal(solution.value[1], torch.zeros(2, dtype=torch.float64))
    alone = solve(NewtonKrylov(), torch.cos, torch.zeros(1, 2, dtype=torch.float64))
    assert torch.equal(solution.value[0], alone.value[0])


def test_steps_that_are_to_be_differentiated_are_refused_before_any_is_taken():
    with pytest.raises(SolverError, match=r"cannot follow NewtonKrylov: its steps leave PyTorch\. Use another solver"):
        Equilibrium(NewtonKrylov(), adjoint=UnrolledAdjoint())
    with pytest.raises(SpecError, match=r"^file: adjoint: unrolled cannot follow newton-krylov"):
        parse_spec({"solver": "newton-krylov", "adjoint": "unrolled"}, "file")
    assert parse_spec({"solver": "newton-krylov", "adjoint": "dense"}, "file").solver.name == "newton-krylov"


def test_steps_are_pure():
    solver, y = NewtonKrylov(), torch.linspace(0, 2, 6, dtype=torch.float64).reshape(2, 3)
    problem = Problem(torch.cos, (3,), (), "test")
    state = solver.init(y, problem(y))
    for _ in range(4):
        kept, fy = [item.clone() for item in state], torch.cos(y)
        first, after = solver.step(problem, state, y, fy)
        second, _ = solver.step(problem, state, y, fy)
        assert torch.equal(first, second)
        assert all(torch.equal(item, before) for item, before in zip(state, kept, strict=True))
        y, state = first, after


class Sampled(Function):
    """f that notes which evaluation of which sample it is asked for, as a function that is sampled does."""

    def __init__(self, number=0, seen=None):
        self.number, self.seen = number, {} if seen is None else seen

    def at_evaluation(self, number):
        return Sampled(number, self.seen)

    def __call__(self, y, rate, sample):
        for index in sample.tolist():
            self.seen.setdefault(index, []).append(self.number)
        return torch.sin(rate * y) + self.number * 1e-9


def test_a_sampled_function_is_asked_for_each_samples_own_evaluations():
    rate = torch.tensor([[0.1, 0.9], [0.5, 0.5], [-0.9, 0.8]], dtype=torch.float64)
    y0 = torch.ones(3, 2, dtype=torch.float64)
    together = Sampled()
    solution = solve(NewtonKrylov(), together, y0, (rate, torch.arange(3)))
    for sample, numbers in together.seen.items():
        assert numbers == list(range(1, len(numbers) + 1))
        alone = Sampled()
        row = slice(sample, sample + 1)
        found = solve(NewtonKrylov(), alone, y0[row], (rate[row], torch.arange(3)[row]))
        assert alone.seen[sample] == numbers
        assert torch.equal(found.value[0], solution.value[sample])


def test_a_problem_evaluates_some_of_its_samples_with_their_own_arguments():
    problem = Problem(lambda y, x: y * x[:, None], (2,), (torch.tensor([1.0, 10.0, 100.0]),), "test")
    problem(torch.ones(3, 2))
    assert problem.extra is None
    rows = torch.tensor([2, 0])
    assert problem.evaluate(rows, torch.ones(2, 2)).tolist() == [[100.0, 100.0], [1.0, 1.0]]
    problem.evaluate(torch.tensor([2]), torch.ones(1, 2))
    problem.keep(torch.tensor([1, 2]))
    assert problem.evaluations == 1
    assert problem.extra.tolist() == [0, 2]
    assert problem.evaluate(torch.tensor([1]), torch.ones(1, 2)).tolist() == [[100.0, 100.0]]
