"""What the Jacobian says of an equilibrium, against maps whose spectrum and equilibria are known."""

import math

import pytest
import torch
from functions import hyperbolic, linear, numbers, rotation
from tolerances import EXACT64

from qdeq.functions import Function
from qdeq.solvers import Broyden, Naive, Newton, solve
from qdeq.stability import LOST, Stability, _components, cube_starts, equilibria, stability

NEWTON = Newton(rtol=1e-8, atol=1e-10, max_steps=200)
SHEAR = torch.tensor([[0.5, 3.0], [0.0, 0.4]], dtype=torch.float64)  # far from normal


def at_zero(matrix):
    zero = torch.zeros(1, len(matrix), dtype=torch.float64)
    return stability(linear(matrix), zero, (zero,))


def steep(y, a):
    """tanh(a y), componentwise: one root for a <= 1; for a > 1 also ±r, and 0 repels."""
    return torch.tanh(a * y)


class Flat(Function):
    """A piecewise constant map: its derivative is zero where it has one."""

    def __init__(self, function):
        self.function = function

    def __call__(self, y):
        return self.function(y)

    def jacobian(self, y):
        return torch.zeros(*y.shape, y.shape[1])


def root_of(a):
    r = 1.0
    for _ in range(200):
        r = math.tanh(a * r)
    return r


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


# -- the Jacobian -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_complex_pair_has_its_modulus_where_power_iteration_finds_another_number(factor):
    turn = rotation(1.0, factor)
    found = at_zero(turn)
    assert float(found.spectral_radius) == pytest.approx(factor, abs=EXACT64)
    assert float(found.norm) == pytest.approx(factor, abs=EXACT64)  # a rotation is normal
    v = doubles(1.0, 0.0)
    for _ in range(1000):
        v = turn @ v / (turn @ v).norm()
    assert float(v @ turn @ v) == pytest.approx(factor * math.cos(1.0), abs=1e-9)  # the Rayleigh quotient
    # and the radius is what decides whether plain iteration converges
    solution = solve(Naive(max_steps=400), linear(turn), torch.ones(1, 2).double(), (torch.zeros(1, 2).double(),))
    assert solution.all_converged == bool(found.attracting) == bool(found.contracting) == (factor < 1)


def test_a_matrix_far_from_normal_attracts_without_being_certified():
    found = at_zero(SHEAR)
    assert float(found.spectral_radius) == pytest.approx(0.5, abs=EXACT64)
    assert float(found.norm) > 3
    assert found.attracting
    assert not found.contracting
    y, lengths = doubles(0.0, 1.0), []
    for _ in range(60):
        lengths.append(float(y.norm()))
        y = SHEAR @ y
    assert max(lengths) > 3 * lengths[0]  # plain iteration first goes away from 0
    assert float(y.norm()) < 1e-12  # and then there


def test_where_it_is_certified_every_step_comes_closer_by_that_factor():
    f, x = hyperbolic(0.6 * rotation(0.4)), numbers(1, 1, 2)
    star = solve(NEWTON, f, torch.zeros(1, 2).double(), (x,)).value
    found = stability(f, star, (x,))
    assert found.contracting
    near = 1e-4  # f is linear up to the square of this
    for direction in numbers(2, 20, 2):
        y = star + near * direction / direction.norm()
        assert float((f(y, x) - star).norm()) <= near * (float(found.norm) + 10 * near)


def test_the_radius_never_exceeds_the_norm_and_equals_it_for_a_normal_matrix():
    matrices = numbers(3, 200, 4, 4) / 2
    found = Stability.of(matrices)
    assert (found.spectral_radius <= found.norm * (1 + EXACT64)).all()
    symmetric = Stability.of(matrices + matrices.mT)
    torch.testing.assert_close(symmetric.spectral_radius, symmetric.norm, rtol=100 * EXACT64, atol=0)


def test_the_sensitivity_bounds_the_error_by_the_residual_and_the_bound_is_reached():
    x = numbers(4, 1, 2)
    star = torch.linalg.solve(torch.eye(2).double() - SHEAR, x[0])
    found = at_zero(SHEAR)
    ratios = []
    for direction in torch.stack([torch.tensor([math.cos(t), math.sin(t)]) for t in torch.arange(0, 3.15, 0.01)]):
        y = star + direction
        ratios.append(1 / float((linear(SHEAR)(y[None], x)[0] - y).norm()))
    assert max(ratios) <= float(found.sensitivity) * (1 + EXACT64)
    assert max(ratios) > 0.99 * float(found.sensitivity)


def test_a_singular_system_has_an_infinite_sensitivity():
    assert at_zero(torch.diag(doubles(1.0, 0.5))).sensitivity == math.inf


def test_a_jacobian_that_is_not_finite_is_said_so_and_harms_no_other():
    matrices = numbers(5, 3, 4, 4)
    alone = Stability.of(matrices[[0, 2]])
    matrices[1, 2, 0] = math.nan
    for name, figure in vars(Stability.of(matrices)).items():
        assert figure[1] == math.inf
        assert torch.equal(figure[[0, 2]], vars(alone)[name])


def test_figures_do_not_depend_on_the_batch():
    matrices = numbers(6, 9, 10, 10).float()
    for name, figure in vars(Stability.of(matrices)).items():
        assert torch.equal(figure[4:5], vars(Stability.of(matrices[4:5]))[name])


def test_the_summary_counts():
    both = Stability.of(torch.stack([SHEAR, 0.3 * SHEAR / 3, 2 * torch.eye(2).double()]))
    text = both.summary()
    assert "spectral radius 0.85 (at most 2)" in text
    assert "2 of 3 samples attract plain iteration (radius < 1), 1 are certified" in text
    assert Stability.of(torch.zeros(0, 2, 2)).summary() == "no samples"


# -- several equilibria -----------------------------------------------------------------------------------------------


def test_all_three_roots_of_a_scalar_map_are_found_and_told_apart():
    found = equilibria(steep, cube_starts(20, 1, seed=0).double(), (doubles([3.0]),), solver=NEWTON)
    roots = found.value[0][found.distinct[0]].flatten().sort().values
    torch.testing.assert_close(roots, doubles(-root_of(3.0), 0.0, root_of(3.0)), atol=1e-7, rtol=0)
    assert (int(found.count), int(found.attracting), int(found.failed)) == (3, 2, 0)
    radii = found.stability.spectral_radius[0][found.distinct[0]].sort().values
    slope = 3 * (1 - root_of(3.0) ** 2)
    torch.testing.assert_close(radii, doubles(slope, slope, 3.0), atol=1e-6, rtol=0)
    assert sum(found.starts(0).values()) == 20
    assert found.label[0, 0] == 0  # the start at 0 is an equilibrium, and names it
    assert found.summary().startswith("1 of 1 samples: 3 equilibria found from 20 starts, 2 of 3 attracting\n")


def test_a_product_of_scalar_maps_has_the_product_of_their_equilibria():
    found = equilibria(steep, cube_starts(60, 2, seed=1).double(), (doubles([3.0, 3.0]),), solver=NEWTON)
    assert (int(found.count), int(found.attracting)) == (9, 4)


def test_each_sample_of_a_batch_has_its_own_number():
    args = (doubles([0.5], [3.0], [0.9]),)
    together = equilibria(steep, cube_starts(20, 1, seed=0).double(), args, solver=NEWTON)
    assert together.count.tolist() == [1, 3, 1]
    assert together.attracting.tolist() == [1, 2, 1]
    alone = equilibria(steep, cube_starts(20, 1, seed=0).double(), (args[0][1:2],), solver=NEWTON)
    assert torch.equal(together.label[1], alone.label[0])


def test_plain_iteration_finds_the_attracting_ones():
    starts = torch.tensor([[-0.7], [0.2], [0.9]])
    found = equilibria(steep, starts, (torch.tensor([[3.0]]),), solver=Naive(max_steps=200))
    assert (int(found.count), int(found.attracting)) == (2, 2)
    assert found.starts(0) == {0: 1, 1: 2}


@pytest.mark.parametrize(("half_distance", "count"), [(0.1, 2), (0.005, 1)])
def test_equilibria_closer_than_the_solves_are_exact_count_once(half_distance, count):
    """f = y - (y² - c²) has ±c with |1 - f'| = 2c, so errors up to atol / 2c, and 2c apart: separable for c² > atol."""
    starts = torch.linspace(0.5, 1.0, 12, dtype=torch.float64)[:, None] * torch.tensor([[1.0], [-1.0]]).repeat(6, 1)
    found = equilibria(
        lambda y: y - (y.square() - half_distance**2), starts, solver=Newton(rtol=0.0, atol=1e-4, max_steps=100)
    )
    assert int(found.failed) == 0
    assert int(found.count) == count


def test_a_chain_of_near_pairs_is_one_equilibrium():
    chain = torch.eye(6, dtype=torch.bool)
    for i, j in ((5, 3), (3, 4), (4, 1)):
        chain[i, j] = chain[j, i] = True
    assert _components(torch.stack([chain, torch.eye(6).bool()])).tolist() == [[0, 1, 2, 1, 1, 1], [0, 1, 2, 3, 4, 5]]


def test_a_continuum_is_not_many_equilibria():
    """Every y is a fixed point of the identity; 1 - J = 0 says that nothing can be told apart."""
    assert int(equilibria(lambda y: 1.0 * y, cube_starts(9, 2, seed=0), solver=Naive()).count) == 1


def test_where_there_is_none_every_start_fails():
    def flips(y):  # not continuous, so Brouwer's theorem does not hold: there is no y = f(y)
        return torch.where(y >= 0, -0.5, 0.5)

    found = equilibria(Flat(flips), cube_starts(5, 2, seed=0), solver=Broyden(max_steps=5))
    assert (int(found.count), int(found.failed)) == (0, 5)
    assert (found.label == LOST).all()
    assert found.summary() == (
        "1 of 1 samples: 0 equilibria found from 5 starts, 0 of 0 attracting\n5 of 5 solves did not converge"
    )


def test_a_solve_that_failed_near_an_equilibrium_does_not_stand_for_it():
    """From 1 plain iteration of y / 2 is not there in five steps, from 0.1 it is; both end close to 0."""
    starts = torch.tensor([[1.0], [0.1]])
    found = equilibria(lambda y: y / 2, starts, solver=Naive(max_steps=5, rtol=0.0, atol=1e-2))
    assert found.label.tolist() == [[LOST, 1]]
    assert (int(found.count), int(found.failed)) == (1, 1)


def test_a_sample_that_is_not_finite_harms_no_other():
    args = doubles([3.0], [math.nan], [0.5])
    found = equilibria(steep, cube_starts(12, 1, seed=0).double(), (args,), solver=NEWTON)
    alone = equilibria(steep, cube_starts(12, 1, seed=0).double(), (args[[0, 2]],), solver=NEWTON)
    assert found.count.tolist() == [3, 0, 1]
    assert torch.equal(found.label[[0, 2]], alone.label)


def test_starts_are_seeded_begin_at_zero_and_lie_where_expectations_do():
    before = torch.get_rng_state()
    starts = cube_starts(50, 3, seed=4)
    assert torch.equal(starts[0], torch.zeros(3))
    assert starts.abs().max() <= 1
    assert starts[1:].min() < -0.9
    assert starts[1:].max() > 0.9
    assert torch.equal(cube_starts(10, 3, seed=4), starts[:10])
    assert not torch.equal(cube_starts(10, 3, seed=5), starts[:10])
    assert cube_starts(1, 3, seed=0, like=torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    assert torch.equal(torch.get_rng_state(), before)
