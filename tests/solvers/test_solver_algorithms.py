"""Each algorithm against its textbook, iterate by iterate."""

import math
from fractions import Fraction

import pytest
import torch
from problems import CASES, EXACT_SYSTEM, ROUNDING, Counted, affine, contraction

from qdeq.solvers import Anderson, Broyden, Naive, solve
from qdeq.solvers.anderson import AndersonState

EXACT = {"rtol": 0.0, "atol": 1e-13}  # keeps the solver going long enough for the iterates to be compared
UNMODIFIED = {"regularization": 0.0, "min_sine": 0.0}  # Anderson's method as it is in exact arithmetic


def iterates(solver, f, y0, args=()):
    """Return the iterates ``[T, N]`` of a single sample."""
    counted = Counted(f, 1)
    solve(solver, counted, y0, (*args, torch.zeros(1, dtype=torch.int64)))
    return torch.stack(counted.iterates[0])


@pytest.mark.parametrize(
    "solver", [Broyden(**EXACT), Anderson(memory=1, regularization=0.0, **EXACT)], ids=["broyden", "anderson"]
)
def test_in_one_dimension_it_is_the_secant_method(solver):
    # g(y) = 2 - y^2 from y0 = 1: the first step is y0 + g(y0), the others are chords through the last two points
    found = iterates(solver, lambda y: y + 2 - y * y, torch.ones(1, 1, dtype=torch.float64))[:5, 0]
    by_hand = [Fraction(1), Fraction(2), Fraction(4, 3), Fraction(7, 5), Fraction(58, 41)]
    assert torch.allclose(found, torch.tensor([float(q) for q in by_hand], dtype=torch.float64), atol=ROUNDING, rtol=0)


def test_broyden_equals_the_dense_update_of_the_jacobian():
    # B <- B + (Δg - B s) s^T / (s^T s), y <- y - B^-1 g, B0 = -I: Broyden's own form, with a dense solve
    def g(y):
        return torch.stack([torch.cos(y[1]) * 1.5 - y[0], torch.sin(y[0]) * y[2] + 0.3 - y[1], 0.5 * y[0] - y[2]])

    y = torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64)
    jacobian, expected = -torch.eye(3, dtype=torch.float64), [y]
    for _ in range(8):
        s = torch.linalg.solve(jacobian, -g(y))
        dg = g(y + s) - g(y)
        jacobian = jacobian + torch.outer(dg - jacobian @ s, s) / (s @ s)
        y = y + s
        expected.append(y)
    found = iterates(Broyden(max_steps=8, rtol=0.0, atol=0.0), lambda y: g(y.T).T + y, expected[0][None])
    assert torch.allclose(found, torch.stack(expected), atol=ROUNDING, rtol=0)


def test_broyden_solves_a_linear_system_in_2n_steps():
    matrix = 1.5 * contraction(3)
    offset = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    solver = Broyden(memory=6, max_steps=6, rtol=0.0, atol=EXACT_SYSTEM)
    assert solve(solver, affine, torch.zeros_like(offset), (matrix[None], offset)).all_converged


def test_broyden_meets_the_newest_secant_condition_after_a_restart():
    generator = torch.Generator().manual_seed(0)
    solver = Broyden(memory=2)
    y, fy = (torch.randn(4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    state = solver.init(y, fy)
    ranks = []
    for _ in range(6):
        proposed, state = solver.step(None, state, y, fy)
        fy_next = torch.randn(4, 5, generator=generator, dtype=torch.float64)
        _, after = solver.step(None, state, proposed, fy_next)
        dg = (fy_next - proposed) - (fy - y)
        inverse = -(torch.eye(5, dtype=torch.float64) + after.p.u.transpose(1, 2) @ after.p.v)
        assert torch.allclose((inverse @ dg[..., None])[..., 0], proposed - y, atol=EXACT_SYSTEM)
        ranks.append(after.p.terms)
        y, fy = proposed, fy_next
    assert ranks == [1, 2, 1, 2, 1, 2]  # a full memory is emptied, not shifted


def test_broyden_skips_an_update_whose_denominator_vanishes():
    # sample 0: g = 1 everywhere, so Δg = 0 and no chord exists; sample 1 is the secant example above
    def f(y, quadratic):
        return y + torch.where(quadratic, 2 - y * y, 1.0)

    y0 = torch.ones(2, 1, dtype=torch.float64)
    solution = solve(Broyden(max_steps=12), f, y0, (torch.tensor([[False], [True]]),))
    assert solution.status.tolist() == [1, 0]
    assert solution.value[0].isfinite()
    assert torch.allclose(solution.value[1], torch.tensor(2.0, dtype=torch.float64).sqrt(), atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_anderson_solves_a_linear_system_in_n_plus_1_steps(size):
    matrix = 1.3 * contraction(size)
    offset = torch.ones(1, size, dtype=torch.float64)
    solver = Anderson(memory=size, max_steps=size + 1, rtol=0.0, atol=EXACT_SYSTEM, **UNMODIFIED)
    assert solve(solver, affine, torch.zeros_like(offset), (matrix[None], offset)).all_converged


def test_anderson_is_gmres_followed_by_one_plain_step():
    # Walker & Ni, theorem 2.2: y_{k+1} = f(the k-th GMRES iterate), here by dense least squares over the Krylov space
    matrix, offset = 1.3 * contraction(5), torch.linspace(-1, 2, 5, dtype=torch.float64)
    system = torch.eye(5, dtype=torch.float64) - matrix
    expected, krylov = [torch.zeros(5, dtype=torch.float64), offset], []
    for k in range(4):
        krylov.append(torch.linalg.matrix_power(system, k) @ offset)
        basis, _ = torch.linalg.qr(torch.stack(krylov, dim=1))
        coefficients = torch.linalg.lstsq(system @ basis, offset[:, None]).solution
        expected.append(matrix @ (basis @ coefficients)[:, 0] + offset)
    solver = Anderson(memory=5, max_steps=5, rtol=0.0, atol=0.0, **UNMODIFIED)
    found = iterates(solver, affine, torch.zeros(1, 5, dtype=torch.float64), (matrix[None], offset[None]))
    assert torch.allclose(found, torch.stack(expected), atol=EXACT_SYSTEM, rtol=0)


def state_with_differences(dy, dg):
    """Return y, f(y) and Anderson's state such that a step has the differences ``dy`` and ``dg`` ``[1, k, N]``."""
    y, g = torch.ones(1, dy.shape[2], dtype=dy.dtype), torch.linspace(-1, 1, dy.shape[2], dtype=dy.dtype)[None]
    return y, y + g, AndersonState(y - dy[:, -1], g - dg[:, -1], dy[:, :-1], dg[:, :-1])


@pytest.mark.parametrize(("sine", "kept"), [(0.11, True), (0.09, False)])
def test_anderson_leaves_out_a_difference_almost_in_the_span_of_newer_ones(sine, kept):
    # the first difference of g makes the angle arcsin(sine) with the plane of the other two, and is ten times as long
    dg = torch.tensor([[10 * math.sqrt(1 - sine**2), 0, 10 * sine], [1, 1, 0], [0, 2, 0]], dtype=torch.float64)[None]
    dy = torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    proposed, with_newer, with_all = (
        solver.step(None, state, y, fy)[0]
        for solver, (y, fy, state) in (
            (Anderson(min_sine=0.1), state_with_differences(dy, dg)),
            (Anderson(min_sine=0.0), state_with_differences(dy[:, 1:], dg[:, 1:])),
            (Anderson(min_sine=0.0), state_with_differences(dy, dg)),
        )
    )
    assert torch.allclose(proposed, with_all if kept else with_newer, atol=ROUNDING)
    assert not torch.allclose(with_all, with_newer, atol=1e-2)


def test_anderson_with_more_differences_than_dimensions_uses_the_newest():
    generator = torch.Generator().manual_seed(4)
    dy, dg = (torch.randn(1, 5, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    y, fy, state = state_with_differences(dy, dg)
    _, _, newest = state_with_differences(dy[:, -2:], dg[:, -2:])
    proposed, expected = (Anderson(min_sine=1e-3).step(None, given, y, fy)[0] for given in (state, newest))
    assert torch.allclose(proposed, expected, atol=ROUNDING)


def test_anderson_first_step_is_mixed_plain_iteration():
    found = iterates(Anderson(mixing=0.25, max_steps=1), torch.cos, torch.zeros(1, 2, dtype=torch.float64))
    assert torch.equal(found[1], torch.full((2,), 0.25, dtype=torch.float64))


@pytest.mark.parametrize("max_steps", [0, 1, 2, 3])
def test_anderson_is_sound_for_fewer_steps_than_memory(max_steps):
    solution = solve(Anderson(memory=8, max_steps=max_steps), torch.cos, torch.zeros(2, 3, dtype=torch.float64))
    assert solution.value.isfinite().all()
    assert solution.steps.tolist() == [max_steps] * 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("regularization", [0.0, 1e-10])
def test_anderson_survives_parallel_differences(dtype, regularization):
    # all components are equal, so all differences are parallel and the Gram matrix has rank 1
    solver = Anderson(memory=6, regularization=regularization, rtol=0.0, atol=1e-6)
    solution = solve(solver, lambda y: 0.95 * torch.cos(y), torch.zeros(3, 4, dtype=dtype))
    assert solution.all_converged, solution.summary()


def test_anderson_regularization_shrinks_towards_plain_iteration():
    found = iterates(Anderson(regularization=1e12, max_steps=4), torch.cos, torch.zeros(1, 1, dtype=torch.float64))
    plain = iterates(Naive(max_steps=4), torch.cos, torch.zeros(1, 1, dtype=torch.float64))
    assert torch.allclose(found, plain, atol=1e-11, rtol=0)  # γ is 1e-12 of what it was


@pytest.mark.parametrize("damping", [1.0, 0.5, 0.1])
def test_naive_iterates_are_geometric(damping):
    # f = -0.5 y + 3 has its root at 2, and each step multiplies the error by 1 - 1.5 damping
    found = iterates(
        Naive(damping=damping, max_steps=9, rtol=0.0, atol=0.0),
        lambda y: 3 - 0.5 * y,
        torch.zeros(1, 1, dtype=torch.float64),
    )
    expected = 2 - 2 * (1 - 1.5 * damping) ** torch.arange(10, dtype=torch.float64)
    assert torch.allclose(found[:, 0], expected, atol=ROUNDING, rtol=0)


def test_undamped_naive_is_repeated_application_bit_for_bit():
    case = next(case for case in CASES if case.name == "cosine")
    expected = case.y0
    for _ in range(5):
        expected = torch.cos(expected)
    assert torch.equal(solve(Naive(max_steps=5, rtol=0.0, atol=0.0), torch.cos, case.y0).value, expected)
