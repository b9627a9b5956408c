"""Newton: quadratic convergence, its damping, and its honesty about Jacobians and evaluations."""

from __future__ import annotations

import torch
from problems import CASES, Counted

from qdeq.functions import Function
from qdeq.solvers import Broyden, Newton, solve

LINEAR = 1e-12  # float64: one exact Newton step on a linear system


def test_a_linear_system_takes_one_step():
    case = next(case for case in CASES if case.name == "expansion")
    solution = solve(Newton(rtol=0.0, atol=LINEAR), case.f, case.y0, case.args)
    assert solution.steps.tolist() == [1] * len(case.y0)
    assert torch.allclose(solution.value, case.root, atol=LINEAR, rtol=0)


def test_iterates_of_the_scalar_equation_are_those_of_the_textbook():
    # g(y) = 2 - y^2 as f(y) = y + 2 - y^2: y <- (y + 2/y) / 2, Heron's rule
    f = Counted(lambda y: y + 2 - y**2, 1)
    solve(Newton(rtol=0.0, atol=1e-15, max_steps=4), f, torch.ones(1, 1, dtype=torch.float64), (torch.arange(1),))
    measured = f.iterates[0][::2]  # between them, autograd evaluates once more for the Jacobian
    heron = [1.0, 3 / 2, 17 / 12, 577 / 408]
    assert torch.allclose(torch.stack(measured)[:4, 0], torch.tensor(heron, dtype=torch.float64), atol=1e-15)


def test_counts_with_and_without_a_jacobian_of_fs_own():
    class WithJacobian(Counted, Function):
        def jacobian(self, y, *args):
            return torch.diag_embed(-torch.sin(y))

    y0 = torch.zeros(3, 2, dtype=torch.float64)
    own, auto = WithJacobian(torch.cos, 3), Counted(torch.cos, 3)
    first = solve(Newton(), own, y0, (torch.arange(3),))
    second = solve(Newton(), auto, y0, (torch.arange(3),))
    assert torch.equal(first.value, second.value)
    assert first.evaluations.tolist() == own.counts == (first.steps + 1).tolist()
    assert second.evaluations.tolist() == auto.counts == (2 * second.steps + 1).tolist()
    assert first.jacobians.tolist() == second.jacobians.tolist() == first.steps.tolist()


def test_damping_finds_the_root_where_full_steps_run_away():
    # g = -arctan(4 y): the full Newton step overshoots and diverges from |y| > 0.35
    f = lambda y: y - torch.atan(4 * y)  # noqa: E731
    y0 = torch.tensor([[2.0], [-7.0], [0.1]], dtype=torch.float64)
    solution = solve(Newton(rtol=0.0, atol=1e-10), f, y0)
    assert solution.all_converged
    assert solution.value.abs().max() < 1e-10


def test_a_singular_start_is_left():
    # f(y) = y + y^2 - 1 has 1 - J = -2y, singular at y0 = 0; the roots are ±1
    solution = solve(Newton(rtol=0.0, atol=1e-10), lambda y: y + y**2 - 1, torch.zeros(1, 1, dtype=torch.float64))
    assert solution.all_converged
    assert torch.allclose(solution.value.abs(), torch.ones(1, 1, dtype=torch.float64), atol=1e-9)


def test_newton_converges_wherever_broyden_does():
    generator = torch.Generator().manual_seed(5)
    scale = torch.linspace(0.2, 3.0, 200, dtype=torch.float64)[:, None, None]
    matrix = scale * torch.randn(200, 4, 4, generator=generator, dtype=torch.float64) / 2
    offset = torch.randn(200, 4, generator=generator, dtype=torch.float64)

    def f(y, matrix, offset):
        return torch.cos((matrix @ y[..., None])[..., 0] + offset)

    y0 = torch.zeros(200, 4, dtype=torch.float64)
    broyden = solve(Broyden(max_steps=60), f, y0, (matrix, offset))
    newton = solve(Newton(max_steps=140), f, y0, (matrix, offset))
    assert bool((newton.converged | ~broyden.converged).all())
    assert newton.steps[newton.converged].median() < broyden.steps[broyden.converged].median()


def test_where_newton_is_lost_it_walks_in_broydens_steps():
    # ||g|| has a minimum without a root at y = 0 and a root far away, which only a method without descent finds
    def f(y):
        return y + y**2 * (y - 3) + 0.5

    y0 = torch.full((1, 1), 0.3, dtype=torch.float64)
    seen = Counted(f, 1)
    newton = solve(Newton(rtol=0.0, atol=1e-10, max_steps=80), seen, y0, (torch.arange(1),))
    broyden = solve(Broyden(rtol=0.0, atol=1e-10, max_steps=40), f, y0, trace=True)
    assert newton.converged.tolist() == broyden.converged.tolist() == [True]
    assert torch.allclose(newton.value, broyden.value, atol=1e-9)


def test_where_g_changes_by_rounding_alone_there_is_no_root_far_out():
    # g = 1: its changes are rounding, and a chord through them ends where y + 1 is y
    y0 = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    solution = solve(Newton(), lambda y: y + 1, y0)
    assert not solution.converged.any()
    assert solution.value.abs().max() < 100
