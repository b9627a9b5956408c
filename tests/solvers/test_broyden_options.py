"""Broyden's second update and the line search: against the textbook, and where they find what plain steps do not."""

from __future__ import annotations

import math

import pytest
import torch
from problems import EXACT_SYSTEM, ROUNDING, Counted, affine, contraction

from qdeq.solvers import Broyden, solve
from qdeq.solvers.line_search import LONGEST, SHORTEST, Trial

SEARCHED = {"line_search": "derivative-free"}
both_updates = pytest.mark.parametrize("update", ["good", "bad"])
both_forms = pytest.mark.parametrize("memory", [2, 12], ids=["terms", "dense"])  # of states with 5 components


def curved(y):
    """g for 5 components: smooth, coupled, not symmetric."""
    return 1.2 * torch.cos(y.roll(1, dims=-1) * 1.5 + 0.3 * y) - y


def visited(solver, g, y0):
    """Return the points ``[T, N]`` at which g is evaluated for a single sample."""
    counted = Counted(lambda y: g(y) + y, 1)
    solve(solver, counted, y0, (torch.zeros(1, dtype=torch.int64),))
    return torch.stack(counted.iterates[0])


def matrix(p):
    """Return H = -P ``[3, 5, 5]``, column by column."""
    columns = torch.eye(5, dtype=torch.float64).expand(3, 5, 5).unbind(1)
    return -torch.stack([p.times(column) for column in columns], dim=2)


def states(solver, steps=7):
    """Yield y, g, state before and after each of some steps of three samples from random points."""
    y = torch.randn(3, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    fy = curved(y) + y
    state = solver.init(y, fy)
    for _ in range(steps):
        following, after = solver.step(None, state, y, fy)
        yield y, fy - y, state, after
        y, state = following, after
        fy = curved(y) + y


@both_forms
@both_updates
def test_every_update_meets_the_newest_secant_condition(update, memory):
    previous = None
    for y, g, _, after in states(Broyden(update=update, memory=memory)):
        if previous is not None:
            s, dg = y - previous[0], g - previous[1]
            found = (matrix(after.p) @ dg[..., None])[..., 0]
            assert torch.allclose(found, s, atol=EXACT_SYSTEM, rtol=0)  # H Δg = s
        previous = y, g


@both_forms
def test_the_bad_update_changes_the_inverse_least_and_the_good_one_the_jacobian(memory):
    for update in ("good", "bad"):
        previous = None
        for y, g, before, after in states(Broyden(update=update, memory=memory), steps=3):
            if previous is not None:
                s, dg = y - previous[0], g - previous[1]
                old, new = matrix(before.p), matrix(after.p)
                if update == "good":
                    old, new, s, dg = torch.linalg.inv(old), torch.linalg.inv(new), dg, s
                # the least change X with (A + X) b = a is (a - A b) b^T / (b^T b), of norm ||a - A b|| / ||b||
                missing = torch.linalg.vector_norm(s - (old @ dg[..., None])[..., 0], dim=1)
                change = torch.linalg.matrix_norm(new - old)
                assert torch.allclose(change, missing / torch.linalg.vector_norm(dg, dim=1), rtol=1e-9)
            previous = y, g


@both_forms
def test_the_bad_update_equals_the_textbook_with_a_dense_inverse(memory):
    # H <- H + (s - H Δg) Δg^T / (Δg^T Δg), y <- y - H g, H = -1 at first and when the memory is full
    y = torch.linspace(-1, 1, 5, dtype=torch.float64)
    eye = torch.eye(5, dtype=torch.float64)
    inverse, expected, terms = -eye, [y], 0
    for _ in range(7):
        s = -inverse @ curved(y)
        dg = curved(y + s) - curved(y)
        if terms == memory:
            inverse, terms = -eye, 0
        inverse = inverse + torch.outer(s - inverse @ dg, dg) / (dg @ dg)
        y, terms = y + s, terms + 1
        expected.append(y)
    found = visited(Broyden(update="bad", memory=memory, max_steps=7, rtol=0.0, atol=0.0), curved, expected[0][None])
    assert torch.allclose(found, torch.stack(expected), atol=ROUNDING, rtol=0)


@both_updates
@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_linear_system_takes_at_most_2n_steps(size, update):
    matrix = 1.5 * contraction(size)
    offset = torch.linspace(-2, 1, size, dtype=torch.float64)[None]
    solver = Broyden(update=update, memory=2 * size, max_steps=2 * size, rtol=0.0, atol=EXACT_SYSTEM)
    assert solve(solver, affine, torch.zeros_like(offset), (matrix[None], offset)).all_converged


def test_in_one_dimension_both_are_the_secant_method():
    y0 = torch.ones(1, 1, dtype=torch.float64)
    good, bad = (visited(Broyden(update=update, max_steps=6), lambda y: 2 - y * y, y0) for update in ("good", "bad"))
    assert torch.allclose(good, bad, atol=ROUNDING, rtol=0)


# -- line search ------------------------------------------------------------------------------------------------------


def test_where_every_step_is_accepted_the_search_changes_nothing():
    y0 = torch.zeros(1, 5, dtype=torch.float64)
    g = lambda y: 0.4 * torch.cos(y.roll(1, dims=-1)) - y  # noqa: E731  # a contraction
    plain, searched = (visited(Broyden(rtol=0.0, atol=1e-10, **options), g, y0) for options in ({}, SEARCHED))
    assert torch.allclose(plain, searched, atol=ROUNDING, rtol=0)


def test_a_step_too_far_is_taken_back_and_a_shorter_one_tried_from_the_same_iterate():
    # g = 2 - e^y from -4: the chord of the first two points leads to y = 30, where g is -1e13
    points = visited(Broyden(max_steps=4, **SEARCHED), lambda y: 2 - torch.exp(y), torch.full((1, 1), -4.0).double())
    start, first, far, back = points[:4, 0].tolist()
    assert first == pytest.approx(start + 2 - math.exp(-4), abs=ROUNDING)
    g0, g1 = 2 - math.exp(start), 2 - math.exp(first)
    assert far == pytest.approx(first - g1 * (first - start) / (g1 - g0), rel=1e-9)
    assert far > 25
    # P now is the inverse of the chord to there, a step of 1e-11: too short, so a tenth of the one taken back it is
    assert back - first == pytest.approx(SHORTEST * (far - first), rel=1e-9)


def test_the_search_finds_a_root_that_plain_steps_never_come_back_to():
    f = lambda y: y + 2 - torch.exp(y)  # noqa: E731
    y0 = torch.full((1, 1), -4.0, dtype=torch.float64)
    assert not solve(Broyden(max_steps=200), f, y0).all_converged
    counted = Counted(f, 1)
    found = solve(Broyden(rtol=0.0, atol=1e-10, **SEARCHED), counted, y0, (torch.zeros(1, dtype=torch.int64),))
    assert found.all_converged
    assert float(found.value) == pytest.approx(math.log(2), abs=1e-9)
    assert int(found.steps) < 20
    assert found.evaluations.tolist() == counted.counts == [int(found.steps) + 1]


def test_the_search_finds_roots_of_a_steep_coupled_system_from_more_starts():
    f = lambda y: 3 * torch.cos(4 * y) + 0.3 * y.roll(1, dims=-1) ** 2  # noqa: E731
    y0 = torch.linspace(-2, 2, 60, dtype=torch.float64).reshape(20, 3)
    plain, searched = (int(solve(Broyden(**options), f, y0).converged.sum()) for options in ({}, SEARCHED))
    assert searched >= plain + 5


def test_acceptance_is_the_published_inequality_with_a_limit():
    before = torch.tensor([[3.0, 4.0]] * 6, dtype=torch.float64)
    ratio = torch.tensor([1.99, 2.01, 1.24, 1.26, 9.0, 9.0], dtype=torch.float64)[:, None]
    accepted = torch.tensor([0.0, 0.0, 1.0, 1.0, 5.0, 5.0], dtype=torch.float64)[:, None]  # allowances 1, 1/4, 1/36
    rejections = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 2.0], dtype=torch.float64)[:, None]
    trial = Trial(before, rejections, accepted)
    assert trial.rejected(before, ratio * before).tolist() == [[False], [True], [False], [True], [True], [False]]
    late = Trial(before[:2], torch.zeros(2, 1).double(), torch.full((2, 1), 1e6).double())  # the allowance is spent
    decrease = torch.tensor([[1.0], [1 - 2e-4]], dtype=torch.float64)
    assert late.rejected(before[:2], decrease * before[:2]).tolist() == [[True], [False]]


def test_a_step_that_is_tried_again_is_shorter_within_bounds():
    old = torch.tensor([[10.0, 0.0]] * 4, dtype=torch.float64)
    proposed = torch.tensor([[0.0, 100.0], [0.0, -3.0], [0.01, 0.0], [0.0, 100.0]], dtype=torch.float64)
    rejected = torch.tensor([[True], [True], [True], [False]])
    none = torch.zeros(4, 1, dtype=torch.float64)
    following = Trial(old, none, none).following(rejected, proposed)
    assert torch.allclose(
        following.step,
        torch.tensor([[0.0, 10 * LONGEST], [0.0, -3.0], [10 * SHORTEST, 0.0], [0.0, 100.0]], dtype=torch.float64),
    )
    assert following.rejections.squeeze(1).tolist() == [1, 1, 1, 0]
    assert following.accepted.squeeze(1).tolist() == [0, 0, 0, 1]
    assert torch.equal(Trial(old, none, none).following(rejected, torch.zeros_like(old)).step, torch.zeros_like(old))


@both_updates
@both_forms
def test_the_inverse_learns_from_a_step_that_was_taken_back(update, memory):
    solver = Broyden(update=update, memory=memory, **SEARCHED)
    taken_back = 0
    for y, g, before, after in states(solver, steps=12):
        if before.y is None:
            continue
        s, dg = y - before.y, g - before.g
        assert torch.allclose((matrix(after.p) @ dg[..., None])[..., 0], s, atol=EXACT_SYSTEM, rtol=0)
        back = (after.y == before.y).all(dim=1)
        taken_back += int(back.sum())
        assert torch.equal(after.g[back], before.g[back])
        assert torch.equal(after.y[~back], y[~back])
    assert taken_back > 0


@pytest.mark.parametrize("update", ["good", "bad"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_function_without_a_root_is_not_run_off_to_where_rounding_makes_one(update, dtype):
    # g = 1 everywhere: its changes are rounding, and a secant through them leads to where y + 1 is y
    y0 = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    solution = solve(Broyden(max_steps=200, update=update), lambda y: y + 1, y0)
    assert not solution.converged.any()
    assert solution.value.abs().max() < 1000  # 200 steps of 1
