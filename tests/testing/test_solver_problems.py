"""The table of problems tells the truth: answers, conditioning and noise, each computed in another way."""

import math

import numpy as np
import pytest
import torch

from qdeq.jacobians import jacobian
from qdeq.observables import Z
from qdeq.testing import qdeq_problems, reference
from qdeq.testing.problems import PROBLEMS, Noisy, linear
from qdeq.testing.solve_checks import TABLE

EXACT = 1e-13  # float64: a few dozen operations on numbers of order one
RELATIVE = 1e-12  # the same, amplified by the conditioning of "stiff" (1e3)
DIGITS = 2e-15  # the equilibria are written with 15 decimals

every_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)


@every_problem
def test_the_known_answers_are_fixed_points(problem):
    instance = problem.make()
    found = 0
    for root in instance.roots.unbind(1):
        good = root.isfinite().all(1)
        value = instance.f(root.clone(), *instance.args)[good]
        scale = 1 + root[good].abs().max() if good.any() else 1.0
        if good.any():
            found += int(good.sum())
            assert float((value - root[good]).abs().max()) <= RELATIVE * float(scale) + instance.noise
    assert found or problem.name == "no-root"


@every_problem
def test_the_error_of_a_solution_is_at_most_conditioning_times_its_residual(problem):
    instance = problem.make()
    for root in instance.roots.unbind(1):
        for sample in root.isfinite().all(1).nonzero().squeeze(1).tolist():
            args = tuple(arg[sample : sample + 1] for arg in instance.args)
            slope = jacobian(instance.f, root[sample : sample + 1].clone(), args)[0]
            inverse = torch.linalg.inv(torch.eye(len(slope), dtype=slope.dtype) - slope)
            assert float(torch.linalg.matrix_norm(inverse, 2)) <= instance.conditioning * (1 + RELATIVE)


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.required], ids=lambda problem: problem.name)
def test_where_convergence_is_required_plain_iteration_converges(problem):
    instance = problem.make()
    y = instance.y0
    for _ in range(500):
        y = instance.f(y.clone(), *instance.args)
    good = instance.solvable
    torch.testing.assert_close(y[good], instance.roots[good, 0], rtol=0, atol=EXACT * instance.conditioning * 10)


@pytest.mark.parametrize(("name", "radius"), [("rotation-0.95", 0.95), ("rotation-1.05", 1.05), ("rotation-3", 3.0)])
def test_rotations_have_the_radius_that_their_names_say(name, radius):
    (matrix, _), eye = TABLE[name].make().args, torch.eye(2, dtype=torch.float64)
    torch.testing.assert_close(matrix[0] @ matrix[0].T, radius**2 * eye)
    assert torch.linalg.eigvals(matrix[0]).imag.abs().min() > 0.5


def test_without_a_root_the_residual_stays_above_the_square_root_of_two():
    instance = TABLE["no-root"].make()
    assert not instance.solvable.any()
    grid = torch.cartesian_prod(*[torch.linspace(-50, 50, 101, dtype=torch.float64)] * 2)
    for bend in instance.args[0]:
        residual = torch.linalg.vector_norm(instance.f(grid, bend.expand(len(grid))) - grid, dim=1)
        assert residual.min() >= math.sqrt(2) - EXACT


def test_bad_samples_have_no_known_answer():
    instance = TABLE["non-finite"].make()
    assert instance.solvable.tolist() == [True, False, True, False, False, True]
    value = instance.f(instance.y0, *instance.args)
    assert value.isfinite().all(1).tolist() == instance.solvable.tolist()


def test_noise_is_drawn_anew_at_each_evaluation_and_again_the_same_for_one_within_its_bound():
    instance = TABLE["noisy"].make()
    clean = linear(instance.args[0][0])
    mean = clean.f(clean.y0, *clean.args)
    draws = torch.stack([Noisy().at_evaluation(k)(instance.y0, *instance.args) for k in range(40)])
    again = Noisy().at_evaluation(7)(instance.y0, *instance.args)
    assert torch.equal(again, draws[7])
    size = torch.linalg.vector_norm(draws - mean, dim=2)
    assert size.max() <= instance.noise
    assert size.mean() > instance.noise / 4
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 40


@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_equilibria_are_those_of_an_independent_simulator(encoding):
    circuit, weights, features = qdeq_problems.parameters(encoding)
    roots = np.array(qdeq_problems.ROOTS[encoding])
    fed_back = features.numpy() + np.repeat(roots, 4, axis=1)
    measured = reference.expectations(circuit, fed_back, weights.numpy(), [Z(qubit) for qubit in range(4)])
    assert np.abs(measured - roots).max() <= DIGITS


def test_radii_are_those_that_the_table_says():
    for name, low, high in (("qdeq-amplitude", 0.35, 0.65), ("qdeq-angle", 0.46, 1.20)):
        instance = TABLE[name].make()
        slopes = instance.f.jacobian(instance.roots[:, 0], *instance.args)
        radii = torch.linalg.eigvals(slopes).abs().amax(1)
        assert round(float(radii.min()), 2) == low
        assert round(float(radii.max()), 2) == high
