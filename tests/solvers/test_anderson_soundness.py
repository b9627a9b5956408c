"""Anderson where its least squares are degenerate: too much memory, repeated iterates, parallel columns, noise."""

from __future__ import annotations

import pytest
import torch
from problems import affine, contraction, rotation

from qdeq.solvers import Anderson, solve
from qdeq.solvers.anderson import AndersonState

LEAST_SQUARES = {torch.float64: 1e-10, torch.float32: 1e-3}  # rounding, over the shortest column and normal equations

both_types = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
both_filters = pytest.mark.parametrize("min_sine", [0.0, 0.1], ids=["all columns", "filtered"])


def step(solver, dy, dg, g):
    """Return the step from y = 0 with residual g ``[N]`` and the differences ``dy`` and ``dg`` ``[k, N]``."""
    dy, dg, g = dy[None], dg[None], g[None]
    state = AndersonState(-dy[:, -1], g - dg[:, -1], dy[:, :-1], dg[:, :-1])
    return solver.step(None, state, torch.zeros_like(g), g)[0][0]


def degenerate(dtype):
    """Return Δg ``[k, 4]`` of rank less than k, by what is wrong with them."""
    a, b = torch.tensor([[1.0, 2.0, -1.0, 0.5], [0.3, -1.0, 2.0, 1.0]], dtype=dtype)
    zero = torch.zeros(4, dtype=dtype)
    return {
        "vanishing": torch.stack([a, zero, b]),
        "repeated": torch.stack([a, b, a]),
        "parallel": torch.stack([a, -3 * a, 0.1 * a]),
        "in the span of others": torch.stack([a, a - 2 * b, b]),
        "of very different size": torch.stack([100 * a, b, 0.01 * (a + b)]),
        "more than dimensions": torch.stack([a, b, a + 1, b - 1, a * b, b * b]),
    }


@both_types
@pytest.mark.parametrize("case", degenerate(torch.float64))
def test_the_mixed_residual_is_as_small_as_least_squares_can_make_it(case, dtype):
    dg, g = degenerate(dtype)[case], torch.tensor([1.0, -1.0, 0.5, 2.0], dtype=dtype)
    # with Δy = 0 and mixing = 1 the step is the mixed residual g - Σ γ Δg itself
    found = step(Anderson(memory=9, regularization=0.0, min_sine=0.0), torch.zeros_like(dg), dg, g)
    basis, sizes, _ = torch.linalg.svd(dg.double().T / dg.double().norm(dim=1).clamp_min(1e-300), full_matrices=False)
    basis = basis[:, sizes > 1e-6]
    least = g.double() - basis @ (basis.T @ g.double())
    assert torch.linalg.vector_norm(found.double() - least) <= LEAST_SQUARES[dtype]


@both_types
@both_filters
def test_differences_that_vanish_leave_a_plain_mixed_step(min_sine, dtype):
    g, zero = torch.tensor([1.0, -1.0, 0.5], dtype=dtype), torch.zeros(3, 3, dtype=dtype)
    for dy in (zero, torch.ones_like(zero)):  # an iterate that is repeated, and one where g is the same
        for regularization in (0.0, 1e-10):
            solver = Anderson(mixing=0.5, regularization=regularization, min_sine=min_sine)
            assert torch.equal(step(solver, dy, zero, g), 0.5 * g)


@both_types
@both_filters
@pytest.mark.parametrize("regularization", [0.0, 1e-10])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_memory_beyond_dimensions_and_steps_converges_all_the_same(size, regularization, min_sine, dtype):
    matrix = (rotation(1.05) if size == 2 else 0.95 / 0.6 * contraction(size)).to(dtype)
    offset = torch.linspace(-1, 2, 3 * size, dtype=dtype).reshape(3, size)
    solver = Anderson(memory=60, regularization=regularization, min_sine=min_sine, rtol=1e-5)
    solution = solve(solver, affine, torch.zeros_like(offset), (matrix.expand(3, size, size), offset))
    root = torch.linalg.solve(torch.eye(size, dtype=dtype) - matrix, offset.T).T
    assert solution.all_converged, solution.summary()
    assert torch.linalg.vector_norm(solution.value - root) <= 100 * 1e-5 * torch.linalg.vector_norm(root)
    assert int(solution.steps.max()) <= size + 4


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_units_of_y_do_not_matter(unit):
    f = lambda y, unit: 0.9 * unit * torch.cos(y.roll(1, dims=-1) / unit + 0.3)  # noqa: E731
    y0, one = torch.zeros(1, 4, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    solver = Anderson(rtol=1e-9, atol=0.0)
    plain, scaled = solve(solver, f, y0, (one,)), solve(solver, f, y0, (unit * one,))
    assert torch.equal(plain.steps, scaled.steps)
    assert torch.allclose(scaled.value / unit, plain.value, atol=1e-8, rtol=0)


@both_filters
def test_a_degenerate_sample_leaves_its_neighbours_bit_for_bit(min_sine):
    # sample 1 has g = 1 everywhere: all its differences of g are rounding; sample 2 grows until it overflows
    def f(y, kind):
        return torch.where(
            kind == 0, 0.9 * torch.cos(y.roll(1, dims=-1) + 0.3), torch.where(kind == 1, y + 1, y * y + 2)
        )

    y0 = torch.linspace(0, 1, 12, dtype=torch.float64).reshape(4, 3)
    kind = torch.tensor([[0], [1], [2], [0]])
    solver = Anderson(min_sine=min_sine)
    together = solve(solver, f, y0, (kind,))
    assert together.converged.tolist() == [True, False, False, True]
    assert torch.allclose(together.value[1], y0[1] + 50)  # plain steps, and no division by noise
    for sample in (0, 3):
        alone = solve(solver, f, y0[sample : sample + 1], (kind[sample : sample + 1],))
        assert torch.equal(alone.value[0], together.value[sample])
        assert torch.equal(alone.evaluations[0], together.evaluations[sample])
