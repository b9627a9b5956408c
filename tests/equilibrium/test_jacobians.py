"""Jacobians and their norms, against closed forms."""

import math

import pytest
import torch
from functions import hyperbolic, linear, matrix_with_radius, numbers, rotation
from tolerances import EXACT64, FALSE_ALARM_Z

from qdeq.functions import Function
from qdeq.injection import InjectedFunction
from qdeq.jacobians import hutchinson_norm, jacobian, spectral_norm, spectral_radius, squared_norm, vjp
from qdeq.library import paper_angle_encoder, paper_ansatz
from qdeq.models import QuantumFunction

A = matrix_with_radius(0.9, seed=1)
Y, SHIFT = numbers(2, 5, 4), numbers(3, 5, 4)


def closed_form(y, x):
    """d tanh(A y + x) / dy = diag(1 - tanh²) A."""
    return (1 - hyperbolic(A)(y, x).square())[:, :, None] * A


def test_n_vector_products_make_the_closed_form():
    torch.testing.assert_close(jacobian(hyperbolic(A), Y, (SHIFT,)), closed_form(Y, SHIFT), atol=EXACT64, rtol=0)


def test_rows_are_outputs_and_columns_are_inputs():
    shift = torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)  # f_0 = y_1, f_1 = 0
    found = jacobian(linear(shift), torch.zeros(1, 2).double(), (torch.zeros(1, 2).double(),))
    assert torch.equal(found[0], shift)


def test_states_of_any_shape_are_flattened_in_order():
    def f(y):
        return y.flip(1).square()

    y = numbers(4, 2, 3, 2)
    flat = jacobian(f, y)
    assert flat.shape == (2, 6, 6)
    wanted = torch.autograd.functional.jacobian(lambda row: f(row[None])[0], y[0]).reshape(6, 6)
    torch.testing.assert_close(flat[0], wanted, atol=EXACT64, rtol=0)


def test_a_functions_own_jacobian_is_used():
    class Known(Function):
        def __call__(self, y, x):
            raise AssertionError("not needed")

        def jacobian(self, y, x, *, create_graph=False):
            return x[:, None, None] * A

    factors = torch.tensor([1.0, -2.0], dtype=torch.float64)
    found = jacobian(Known(), Y[:2], (factors,))
    torch.testing.assert_close(found, factors[:, None, None] * A, atol=0, rtol=0)


def test_a_vector_product_is_a_row_combination():
    u = numbers(5, 5, 4)
    wanted = torch.einsum("bi,bij->bj", u, closed_form(Y, SHIFT))
    torch.testing.assert_close(vjp(hyperbolic(A), Y, u, (SHIFT,)), wanted, atol=EXACT64, rtol=0)


def test_the_jacobian_is_had_without_recording_and_without_touching_gradients():
    matrix = A.clone().requires_grad_()
    with torch.no_grad():
        found = jacobian(hyperbolic(matrix), Y, (SHIFT,))
    assert not found.requires_grad
    assert matrix.grad is None


def test_the_norm_can_be_differentiated_in_what_f_closes_over_and_in_its_arguments():
    def norm(matrix, x):
        return squared_norm(jacobian(hyperbolic(matrix), Y, (x,), create_graph=True))

    assert torch.autograd.gradcheck(norm, (A.clone().requires_grad_(), SHIFT.clone().requires_grad_()))


def injected(weights, scale):
    return InjectedFunction(QuantumFunction(paper_angle_encoder(4) + paper_ansatz(4)).at(weights), scale)


def test_the_injected_function_has_the_jacobian_of_its_vector_products():
    f = injected(numbers(6, 39), 1.7)
    y, x = numbers(7, 3, 4).tanh(), numbers(8, 3, 16)
    own = jacobian(f, y, (x,))
    torch.testing.assert_close(own, jacobian(lambda y, x: f(y, x), y, (x,)), atol=100 * EXACT64, rtol=0)


def test_the_injected_functions_jacobian_can_be_differentiated_in_weights_scale_and_data():
    y = numbers(7, 1, 4).tanh()

    def norm(weights, scale, x):
        return squared_norm(jacobian(injected(weights, scale), y, (x,), create_graph=True))

    given = (numbers(6, 39), torch.tensor(1.7, dtype=torch.float64), numbers(8, 1, 16))
    assert torch.autograd.gradcheck(norm, tuple(tensor.requires_grad_() for tensor in given))


def test_hutchinson_is_unbiased():
    many = 20_000
    y, x = Y[:1].expand(many, -1), SHIFT[:1].expand(many, -1)
    probe = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    draws = hutchinson_norm(hyperbolic(A), y, (x,), probe=probe)
    exact = squared_norm(closed_form(Y[:1], SHIFT[:1]))
    assert draws.shape == (many,)
    assert abs(draws.mean() - exact) / (draws.std() / math.sqrt(many)) < FALSE_ALARM_Z
    assert abs(1.05 * draws.mean() - exact) / (draws.std() / math.sqrt(many)) > FALSE_ALARM_Z


def test_hutchinson_takes_the_vector_it_is_given():
    def norm(seed):
        probe = torch.randn(Y.shape, dtype=Y.dtype, generator=torch.Generator().manual_seed(seed))
        return hutchinson_norm(hyperbolic(A), Y, (SHIFT,), probe=probe)

    assert torch.equal(norm(1), norm(1))
    assert not torch.equal(norm(1), norm(2))


def test_the_spectral_radius_counts_complex_pairs_and_tells_them_from_the_norm():
    turn = rotation(1.0, 1.3)  # eigenvalues 1.3 exp(±i): no real one at all
    stretched = torch.tensor([[0.5, 100.0], [0.0, 0.25]], dtype=torch.float64)  # a Rayleigh quotient sees about 50
    both = torch.stack([turn, stretched, -turn.T])
    torch.testing.assert_close(
        spectral_radius(both), torch.tensor([1.3, 0.5, 1.3], dtype=torch.float64), atol=EXACT64, rtol=0
    )
    assert float(spectral_norm(both)[1]) > 100


def test_the_frobenius_norm_bounds_the_spectral_norm_which_bounds_the_radius():
    matrices = numbers(9, 50, 4, 4)
    radius, norm, frobenius = spectral_radius(matrices), spectral_norm(matrices), squared_norm(matrices).sqrt()
    assert (radius <= norm * (1 + EXACT64)).all()
    assert (norm <= frobenius * (1 + EXACT64)).all()
    torch.testing.assert_close(squared_norm(matrices)[3], (matrices[3] @ matrices[3].T).trace())


@pytest.mark.parametrize("batch", [0, 1])
def test_small_batches(batch):
    found = jacobian(hyperbolic(A), Y[:batch], (SHIFT[:batch],))
    assert found.shape == (batch, 4, 4)
