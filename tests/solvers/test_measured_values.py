"""What a solve returns where its residual is noise: not the start, and a mean of two estimates."""

import math

import pytest
import torch
from measured_functions import TURNED, contraction

from qdeq.functions import Function
from qdeq.solvers import Anderson, Broyden, Fallback, GrowingShots, Naive, Status, solve

SOLVERS = {"naive": Naive(), "anderson": Anderson(), "broyden": Broyden(), "fallback": Fallback()}
every_solver = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
ROUNDING = 1e-12
SAMPLES = 300


class Watched(Function):
    """A measured function that keeps, for each sample, the last point that it was measured at and what came out."""

    def __init__(self, f, samples=SAMPLES, seen=None):
        self.f, self.shots = f, f.shots
        self.seen = seen or (torch.zeros(samples, 4).double(), torch.zeros(samples, 4).double())

    def at_evaluation(self, number):
        return Watched(self.f.at_evaluation(number), seen=self.seen)

    def at_shots(self, shots):
        return Watched(self.f.at_shots(shots), seen=self.seen)

    def measure(self, y, offset, names):
        value, error = self.f.measure(y, offset, names)
        self.seen[0][names], self.seen[1][names] = y, value
        return value, error


@every_solver
def test_the_value_is_the_mean_of_the_last_iterate_and_of_what_was_measured_there(solver):
    f, y0, rows, _ = contraction(SAMPLES, shots=400)
    watched = Watched(f)
    found = solve(solver, watched, y0, rows)
    assert (found.status == Status.NOISE_LIMITED).all()
    y, value = watched.seen
    assert (found.weight == 0.5).all()  # as many shots there as before
    assert (found.value - (y + value) / 2).abs().max() < ROUNDING
    residual = torch.linalg.vector_norm(value - y, dim=1)
    assert (found.residual - residual).abs().max() < ROUNDING
    assert torch.allclose(torch.linalg.vector_norm(found.value - y, dim=1), found.weight * residual, atol=ROUNDING)
    assert found.best_step.equal(found.steps)


@every_solver
def test_that_mean_is_closer_to_the_equilibrium_than_the_iterate_and_than_the_measurement(solver):
    """By theory it has 0.61 of a plain iterate's squared error here, 0.63 of a Newton one's."""
    f, y0, rows, roots = contraction(SAMPLES, shots=400)
    watched = Watched(f)
    found = solve(solver, watched, y0, rows)
    mean, iterate, measured = ((each - roots).square().sum(1).mean() for each in (found.value, *watched.seen))
    assert mean < 0.75 * iterate
    assert mean < measured


def test_a_measurement_with_more_shots_weighs_more():
    """Shots of 100, 400 and 1000: s² falls like 1 / shots, and the weight of f is that of its own shots in all."""
    f, y0, rows, _ = contraction(SAMPLES, shots=1000)
    found = solve(Broyden(), GrowingShots(f, first=100), y0, rows)
    possible = 1000 / (1000 + torch.tensor([100, 400, 1000]).double())
    gaps = (found.weight[:, None] - possible).abs()
    assert (gaps.min(dim=1).values < ROUNDING).all()
    assert len(gaps.argmin(dim=1).unique()) > 1


@pytest.mark.parametrize("first", [None, 1])
@every_solver
def test_a_start_that_few_shots_cannot_tell_from_the_equilibrium_is_left_all_the_same(solver, first):
    f, y0, rows, _ = contraction(SAMPLES, shots=2)  # s is 1.4, and so is ||f(0)||: noise, in most samples
    g = f if first is None else GrowingShots(f, first)
    start = solve(Naive(max_steps=0), f, y0, rows)
    assert (start.status == Status.NOISE_LIMITED).double().mean() > 0.5
    found = solve(solver, g, y0, rows)
    assert (found.status == Status.NOISE_LIMITED).all()
    assert (found.steps > 0).all()
    assert (found.value != y0).any(dim=1).all()


def test_a_solve_that_may_not_step_measures_its_start_and_returns_it():
    f, y0, rows, _ = contraction(SAMPLES, shots=2)
    found = solve(Naive(max_steps=0), f, y0 + 0.3, rows)
    assert torch.equal(found.value, y0 + 0.3)
    assert (found.weight == 0).all()
    assert (found.evaluations == 1).all()


def test_a_fixed_number_of_steps_ends_in_a_mean_too_and_not_at_the_start():
    f, y0, rows, _ = contraction(SAMPLES, shots=2)
    lost = solve(Naive(max_steps=0), f.at_evaluation(1), y0, rows).status == Status.NOISE_LIMITED
    found = solve(Naive(max_steps=3, rtol=0.0, atol=0.0), f, y0, rows)
    assert 0 < lost.sum() < SAMPLES
    assert (found.best_step[lost] > 0).all()
    assert (found.best_step[~lost] == 0).any()  # a residual that is there may be the smallest
    assert ((found.weight == 0.5) | (found.weight == 0)).all()
    assert (found.weight[lost] == 0.5).double().mean() > 0.9
    assert (found.status == Status.MAX_STEPS).all()


def test_where_a_residual_is_there_the_value_is_the_iterate_of_that_residual():
    """Plain iteration runs away from 0 at twice the speed: the start is its best iterate, and no noise hides it."""
    f, y0, rows, _ = contraction(20, shots=10**6)
    away = type(f)(2 * torch.eye(4).double(), f.sigma, f.shots)
    found = solve(Naive(max_steps=4, rtol=0.0), away, y0, rows)
    assert (found.status == Status.MAX_STEPS).all()
    assert torch.equal(found.value, y0)
    assert (found.best_step == 0).all()
    assert (found.steps == 4).all()
    assert (found.weight == 0).all()


def test_the_bound_on_the_residual_holds_at_the_mean_where_f_does_not_expand():
    """||f(v) - v|| <= ||r|| + ||ε|| at every v between y and f(y) + ε, as at y, if ||J|| <= 1."""
    f, y0, rows, _ = contraction(SAMPLES, shots=400)
    assert torch.linalg.matrix_norm(TURNED, ord=2) <= 1
    watched = Watched(f)
    found = solve(Naive(), watched, y0, rows)
    y, value = watched.seen
    noise = torch.linalg.vector_norm(value - f.exact(y, rows[0]), dim=1)
    residual = torch.linalg.vector_norm(f.exact(found.value, rows[0]) - found.value, dim=1)
    assert (residual <= found.residual + noise + ROUNDING).all()
    assert math.isclose(float(found.noise[0]), 0.1)
