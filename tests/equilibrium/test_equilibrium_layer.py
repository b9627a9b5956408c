"""The equilibrium layer: what it returns, what it costs, what it does where a solve fails."""

import math

import pytest
import torch
from functions import TIGHT, classifier, gradient_by_differences, hyperbolic, linear, matrix_with_radius, numbers
from tolerances import BATCH_FACTOR, EXACT64, EXACT64_DEEP, FALSE_ALARM_Z, FD_DIRECT, SAME_LINEAR_SYSTEM

from qdeq.backends import ShotKey
from qdeq.equilibrium import Equilibrium
from qdeq.errors import ConvergenceError, ConvergenceWarning, SolverError
from qdeq.jacobians import jacobian, squared_norm
from qdeq.solvers import Anderson, Broyden, Naive, Status

ZERO = torch.zeros(3, 4, dtype=torch.float64)
A = matrix_with_radius(0.8, seed=1)
X = numbers(2, 3, 4)


def test_the_residual_is_that_of_the_value_returned():
    result = Equilibrium(Broyden(rtol=1e-2, atol=0))(hyperbolic(A), ZERO, (X,))
    step = hyperbolic(A)(result.value, X)
    torch.testing.assert_close(result.residual, (step - result.value).norm(dim=1), atol=EXACT64, rtol=0)
    torch.testing.assert_close(result.relative_residual, result.residual / step.norm(dim=1), atol=EXACT64, rtol=0)
    assert (result.relative_residual <= 1e-2).all()
    assert result.relative_residual.max() > 1e-9  # it stopped at the tolerance that it was given
    assert result.status.tolist() == [Status.CONVERGED] * 3


def test_evaluations_are_the_calls_of_f_that_hold_the_sample():
    calls = torch.zeros(3, dtype=torch.int64)

    def counting(y, x, name):
        calls.index_add_(0, name, torch.ones_like(name))
        return torch.tanh(y @ A.T + x)

    with torch.no_grad():
        result = Equilibrium(Broyden(rtol=1e-8, atol=0))(counting, ZERO, (X, torch.arange(3)))
    assert torch.equal(result.evaluations, calls)
    with torch.no_grad():
        direct = Equilibrium().train().direct(counting, ZERO, (X, torch.arange(3)), layers=4)
    assert direct.evaluations.tolist() == [4, 4, 4]


def _saved_bytes(run):
    """Bytes that autograd keeps for the backward pass of ``run()``."""
    saved = {}

    def pack(tensor):
        saved[(tensor.data_ptr(), tensor.numel())] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = run()
    return sum(saved.values()), kept


@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_memory_does_not_grow_with_solver_steps_but_does_with_layers(encoding):
    model, x = classifier(encoding, seed=4), numbers(3, 5, 16)
    implicit, steps = {}, {}
    for rtol in (1e-2, 1e-10):
        model.equilibrium = Equilibrium(Broyden(rtol=rtol, atol=0, max_steps=100))
        implicit[rtol], result = _saved_bytes(lambda: model(x))
        steps[rtol] = int(result.equilibrium.evaluations.max())
    assert steps[1e-10] > steps[1e-2] + 3
    assert implicit[1e-10] == implicit[1e-2]
    direct = {layers: _saved_bytes(lambda layers=layers: model(x, layers=layers))[0] for layers in (1, 5, 10)}
    assert direct[1] < direct[5] < direct[10]
    assert direct[10] > implicit[1e-10]


# -- failure ----------------------------------------------------------------------------------------------------------

STEEP = linear(torch.diag(torch.tensor([-3.0, 0.5, 0.2, 0.1], dtype=torch.float64)))
EASY = X.clone()
EASY[1, 0] = 0.0  # along this sample the steep direction is never entered


def test_failure_warns_and_uses_the_best_iterate():
    with pytest.warns(ConvergenceWarning, match=r"1 of 3 samples converged(.|\n)*2 samples \(0, 2\).*Remedy"):
        result = Equilibrium(Naive(max_steps=60))(STEEP, ZERO, (EASY,))
    assert result.status.tolist() == [Status.MAX_STEPS, Status.CONVERGED, Status.MAX_STEPS]
    assert result.value.isfinite().all()
    assert (result.residual[[0, 2]] <= X[[0, 2]].norm(dim=1) * (1 + EXACT64)).all()  # no worse than y0


def test_failure_raises_where_asked_to():
    with pytest.raises(ConvergenceError, match=r"2 samples \(0, 2\)"):
        Equilibrium(Naive(max_steps=60), on_failure="raise")(STEEP, ZERO, (EASY,))


def test_failure_falls_back_for_the_failed_samples_alone_and_counts_both_solves():
    first, second = Broyden(max_steps=1, rtol=1e-10), Anderson(max_steps=50, rtol=1e-10, atol=1e-12)
    rows = []

    def watched(y, x):
        rows.append(len(y))
        return STEEP(y, x)

    start = torch.zeros_like(ZERO)
    start[1] = torch.linalg.solve(torch.eye(4).double() - STEEP(torch.eye(4).double(), 0).T, EASY[1])  # solved already
    with torch.no_grad():
        result = Equilibrium(first, on_failure="fallback", fallback=[second])(watched, start, (EASY,))
    assert result.status.tolist() == [Status.CONVERGED] * 3
    assert rows[:2] == [3, 2]  # y0 for all, one step for two
    assert rows[2] == 2  # the fallback begins again with the two that failed
    assert int(result.evaluations[1]) == 1
    assert result.evaluations.sum() == sum(rows)
    truth = torch.linalg.solve(torch.eye(4).double() - STEEP(torch.eye(4).double(), 0).T, EASY.T).T
    torch.testing.assert_close(result.value, truth, atol=1e-8, rtol=0)


def test_fallbacks_are_tried_in_order_and_a_last_failure_is_named():
    chain = [Naive(max_steps=2), Naive(max_steps=3)]
    with pytest.warns(ConvergenceWarning, match="0 of 3 samples converged"):
        result = Equilibrium(Naive(max_steps=1), on_failure="fallback", fallback=chain)(STEEP, ZERO, (X,))
    assert result.evaluations.tolist() == [2 + 3 + 4] * 3


def test_a_fallback_never_makes_a_sample_worse():
    near = Broyden(max_steps=4, rtol=0, atol=0)
    with pytest.warns(ConvergenceWarning):
        alone = Equilibrium(near)(hyperbolic(A), ZERO, (X,))
    with pytest.warns(ConvergenceWarning):
        both = Equilibrium(near, on_failure="fallback", fallback=[Naive(max_steps=0)])(hyperbolic(A), ZERO, (X,))
    assert torch.equal(both.value, alone.value)  # and not y0, which the fallback was left with
    assert torch.equal(both.residual, alone.residual)
    assert torch.equal(both.evaluations, alone.evaluations + 1)


@pytest.mark.parametrize("options", [{"on_failure": "fallback"}, {"on_failure": "warn", "fallback": [Naive()]}])
def test_falling_back_and_fallbacks_go_together(options):
    with pytest.raises(SolverError, match="go together"):
        Equilibrium(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "broyden"}, "solver: 'broyden' is no Solver.*\n.*qdeq.get_solver"),
        ({"solver": Broyden}, "solver: <class .* is no Solver"),
        ({"adjoint": "dense"}, "adjoint: 'dense' is no Adjoint.*\n.*qdeq.get_adjoint"),
        ({"on_failure": "fallback", "fallback": ["naive"]}, "fallback: 'naive' is no Solver"),
        ({"on_failure": "stop"}, "on_failure is 'stop'; allowed: warn, raise, fallback"),
        ({"jacobian_weight": -0.1}, "jacobian_weight must be at least 0"),
        ({"jacobian_weight": math.nan}, "jacobian_weight must be a finite number, not nan"),
        ({"jacobian_estimate": "random"}, "jacobian_estimate is 'random'; allowed: exact, hutchinson"),
        ({"fixed_steps": 0}, "fixed_steps must be a whole number of at least 1, not 0"),
    ],
)
def test_an_argument_that_would_be_ignored_or_fail_later_is_refused(options, message):
    with pytest.raises(SolverError, match=message):
        Equilibrium(**options)


@pytest.mark.filterwarnings("ignore::qdeq.errors.ConvergenceWarning")
def test_a_sample_that_is_not_finite_leaves_values_and_gradients_of_the_others_alone():
    def run(x, matrix):
        layer = Equilibrium(TIGHT, jacobian_weight=1.0)
        result = layer(hyperbolic(matrix), torch.zeros(len(x), 4).double(), (x,))
        kept = [row for row in range(len(x)) if x[row].isfinite().all()]
        by_x, by_matrix = torch.autograd.grad(result.value.square().sum() + result.penalty, (x, matrix))
        return result.value.detach()[kept], by_x[kept], by_matrix, result

    spoiled, matrix = X.clone(), A.clone().requires_grad_()
    spoiled[1, 2] = math.nan
    value, by_x, by_matrix, result = run(spoiled.requires_grad_(), matrix)
    clean = run(X[[0, 2]].clone().requires_grad_(), matrix)
    torch.testing.assert_close(value, clean[0], atol=EXACT64_DEEP, rtol=0)
    torch.testing.assert_close(by_x, clean[1], atol=EXACT64_DEEP, rtol=0)
    torch.testing.assert_close(by_matrix, clean[2], atol=EXACT64_DEEP, rtol=0)  # nor do the weights that all share
    assert result.status.tolist() == [0, Status.NON_FINITE, 0]
    assert result.adjoint.failed.tolist() == [False, True, False]
    assert float(result.adjoint.residual[1]) == math.inf
    torch.testing.assert_close(result.penalty, clean[3].penalty)


@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.filterwarnings("ignore::qdeq.errors.ConvergenceWarning")
def test_an_image_that_is_not_finite_leaves_the_gradients_of_all_weights_alone(encoding, bad):
    """Compiled functions work on the features, with the weights, before the solve begins."""
    model = classifier(encoding, seed=4, equilibrium=Equilibrium(TIGHT), learn_state_scale=True)
    x = numbers(3, 4, 16)
    spoiled = x.clone()
    spoiled[1, 3] = bad

    def run(x, kept):
        result = model(x)
        gradients = torch.autograd.grad(result.logits[kept].square().sum(), list(model.parameters()))
        return result.equilibrium.status.tolist(), gradients

    status, gradients = run(spoiled, [0, 2, 3])
    assert status == [0, Status.NON_FINITE, 0, 0]
    for found, alone in zip(gradients, run(x[[0, 2, 3]], [0, 1, 2])[1], strict=True):
        torch.testing.assert_close(found, alone, atol=EXACT64_DEEP, rtol=0)


def test_an_all_nan_solve_is_never_silent():
    model = classifier("amplitude", seed=4)
    with pytest.warns(ConvergenceWarning, match="2 samples .* not finite"):
        result = model(torch.full((2, 16), math.nan, dtype=torch.float64))
    assert result.equilibrium.status.tolist() == [Status.NON_FINITE] * 2
    assert torch.isinf(result.equilibrium.residual).all()
    model.equilibrium.on_failure = "raise"
    with pytest.raises(ConvergenceError, match="not finite"):
        model(torch.full((2, 16), math.nan, dtype=torch.float64))


# -- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
@pytest.mark.parametrize(
    "solver", [Broyden(rtol=1e-3, atol=0), Anderson(rtol=1e-3, atol=0)], ids=["broyden", "anderson"]
)
def test_a_samples_equilibrium_alone_is_its_equilibrium_in_any_batch(encoding, solver):
    model, x = classifier(encoding, seed=4, equilibrium=Equilibrium(solver)), numbers(3, 12, 16)
    with torch.no_grad():
        together = model(x).equilibrium
        alone = [model(row[None]).equilibrium for row in x]
        halves = [model(part).equilibrium for part in (x[[7, 2, 9]], x[[0, 11]])]
    assert len(set(together.evaluations.tolist())) > 1  # samples do leave the batch at different steps
    for other in (torch.cat([result.value for result in alone]), together.value.clone()):
        gap = (other - together.value).norm(dim=1)
        assert (gap <= BATCH_FACTOR * 1e-3 * together.value.norm(dim=1)).all()
    # in float64 no comparison here stands close to its tolerance, so it is the same solve, up to rounding
    torch.testing.assert_close(torch.cat([result.value for result in alone]), together.value, atol=1e-9, rtol=0)
    torch.testing.assert_close(halves[0].value, together.value[[7, 2, 9]], atol=1e-9, rtol=0)
    torch.testing.assert_close(halves[1].value, together.value[[0, 11]], atol=1e-9, rtol=0)
    assert [int(result.evaluations) for result in alone] == together.evaluations.tolist()


def test_a_samples_gradient_alone_is_its_gradient_in_any_batch():
    model, x = classifier("angle", seed=4), numbers(3, 4, 16).requires_grad_()
    (together,) = torch.autograd.grad(model(x).logits.square().sum(), x)
    alone = []
    for row in x:
        leaf = row.detach()[None].requires_grad_()
        alone.append(torch.autograd.grad(model(leaf).logits.square().sum(), leaf)[0])
    torch.testing.assert_close(torch.cat(alone), together, atol=SAME_LINEAR_SYSTEM, rtol=0)


def test_states_of_any_shape():
    def f(y, x):
        return 0.5 * torch.tanh(y.flip(1)) + x

    x = numbers(4, 2, 3, 2).requires_grad_()
    y = Equilibrium(TIGHT)(f, torch.zeros(2, 3, 2).double(), (x,)).value
    assert y.shape == (2, 3, 2)
    (found,) = torch.autograd.grad(y[0, 0, 1], x)
    wanted = torch.linalg.inv(torch.eye(6).double() - jacobian(f, y.detach(), (x,))[0])[1]
    torch.testing.assert_close(found[0].flatten(), wanted, atol=SAME_LINEAR_SYSTEM, rtol=0)


def test_an_empty_batch_has_an_empty_equilibrium():
    result = Equilibrium()(linear(A), torch.zeros(0, 4).double(), (torch.zeros(0, 4).double(),))
    assert result.value.shape == (0, 4)


# -- direct layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_direct_layers_are_the_function_applied_by_hand(layers):
    model, x = classifier("angle", seed=4, layers=layers), numbers(3, 3, 16)
    q = model.function.at(model.weights)
    y = torch.zeros(3, 4).double()
    for _ in range(layers):
        y = q(x + y.repeat_interleave(4, dim=1))
    by_hand = torch.relu(y.repeat_interleave(4, dim=1)) @ model.readout.weight.T + model.readout.bias
    result = model(x)
    torch.testing.assert_close(result.logits, by_hand, atol=EXACT64_DEEP, rtol=0)
    one, other = (torch.autograd.grad(out.square().sum(), model.weights)[0] for out in (result.logits, by_hand))
    torch.testing.assert_close(one, other, atol=EXACT64_DEEP, rtol=0)


def test_direct_measures_its_residual_in_evaluation_mode_only():
    layer = Equilibrium(TIGHT)
    training = layer.train().direct(hyperbolic(A), ZERO, (X,), layers=2)
    assert training.residual is None
    assert training.status is None
    result = layer.eval().direct(hyperbolic(A), ZERO, (X,), layers=2)
    y = hyperbolic(A)(hyperbolic(A)(ZERO, X), X)
    step = hyperbolic(A)(y, X)
    torch.testing.assert_close(result.value, y, atol=EXACT64, rtol=0)
    torch.testing.assert_close(result.residual, (step - y).norm(dim=1), atol=EXACT64, rtol=0)
    torch.testing.assert_close(
        result.relative_residual, (step - y).norm(dim=1) / step.norm(dim=1), atol=EXACT64, rtol=0
    )


@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_a_sample_that_is_not_finite_takes_no_direct_gradient_from_the_others(encoding):
    model, x = classifier(encoding, seed=4, layers=3), numbers(3, 4, 16)
    bad = x.clone()
    bad[1, 5] = math.nan
    with pytest.warns(ConvergenceWarning, match="1 of 4 samples are not finite after direct layers(.|\n)*Remedy"):
        value = model(bad).equilibrium.value
    rows = [0, 2, 3]
    (found,) = torch.autograd.grad(value[rows].square().sum(), model.weights)
    clean = model(x[rows]).equilibrium.value
    torch.testing.assert_close(value[rows], clean, atol=EXACT64_DEEP, rtol=0)
    assert value[1].isnan().all()
    torch.testing.assert_close(
        found, torch.autograd.grad(clean.square().sum(), model.weights)[0], atol=EXACT64_DEEP, rtol=0
    )
    with pytest.warns(ConvergenceWarning):
        assert model.eval()(bad).equilibrium.residual.isinf().tolist() == [False, True, False, False]
    model.equilibrium.on_failure = "raise"
    with pytest.raises(ConvergenceError, match="1 of 4 samples"):
        model(bad)


def test_under_shots_every_direct_layer_has_its_own():
    model, x = classifier("angle", seed=4, layers=2, shots=500), numbers(3, 3, 16)
    f, rows = model.function.at(model.weights, shots=500, key=ShotKey(seed=1)).inject(x, 1.0, 4)
    first = f.at_evaluation(2)(torch.zeros(3, 4).double(), *rows)
    second = f.at_evaluation(3)(first, *rows)
    found = model.eval()(x, key=ShotKey(seed=1)).equilibrium
    assert torch.equal(found.value, second)
    measured = f.at_evaluation(1)(second, *rows)  # of a stream that no layer has drawn from
    torch.testing.assert_close(found.residual, (measured - second).norm(dim=1), atol=EXACT64, rtol=0)


def test_many_layers_of_a_contraction_come_to_the_equilibrium():
    calm = hyperbolic(matrix_with_radius(0.3))
    layer = Equilibrium(TIGHT)
    torch.testing.assert_close(
        layer.direct(calm, ZERO, (X,), layers=80).value, layer(calm, ZERO, (X,)).value, atol=10 * EXACT64, rtol=0
    )


# -- Jacobian penalty -------------------------------------------------------------------------------------------------


def test_the_penalty_is_the_mean_squared_frobenius_norm_per_state_entry():
    result = Equilibrium(TIGHT, jacobian_weight=0.8)(hyperbolic(A), ZERO, (X.clone().requires_grad_(),))
    matrices = (1 - result.value.detach().square())[:, :, None] * A  # tanh' at the equilibrium
    torch.testing.assert_close(result.penalty.detach(), matrices.square().sum() / 3 / 4, atol=EXACT64_DEEP, rtol=0)


@pytest.mark.parametrize("mode", ["evaluation", "no weight", "no gradients"])
def test_no_penalty_where_none_is_wanted(mode):
    layer = Equilibrium(TIGHT, jacobian_weight=0.0 if mode == "no weight" else 1.0).train(mode != "evaluation")
    with torch.set_grad_enabled(mode != "no gradients"):
        assert layer(hyperbolic(A), ZERO, (X,)).penalty is None


@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_the_gradient_of_the_penalty_at_a_fixed_state_is_that_of_finite_differences(encoding):
    model = classifier(encoding, seed=4, equilibrium=Equilibrium(TIGHT, jacobian_weight=1.0), learn_state_scale=True)
    x = numbers(3, 2, 16)
    result = model.train()(x).equilibrium
    state = result.value.detach()

    def penalty():
        f, rows = model.function.at(model.weights).inject(x, model.state_scale, 4)
        return squared_norm(jacobian(f, state, rows)).mean() / 4

    torch.testing.assert_close(result.penalty.detach(), penalty().detach(), atol=EXACT64_DEEP, rtol=0)
    found = torch.autograd.grad(result.penalty, (model.weights, model.state_scale))
    for gradient, tensor in zip(found, (model.weights, model.state_scale), strict=True):
        slopes = gradient_by_differences(penalty, tensor.data).reshape(tensor.shape)
        torch.testing.assert_close(gradient, slopes, atol=FD_DIRECT, rtol=FD_DIRECT)


def test_the_hutchinson_penalty_estimates_the_exact_one_with_the_same_gradient_on_average():
    model = classifier("amplitude", seed=4, equilibrium=Equilibrium(TIGHT, jacobian_weight=1.0)).train()
    x = numbers(3, 1, 16)
    exact = model(x).equilibrium.penalty
    (exact_gradient,) = torch.autograd.grad(exact, model.weights)
    model.equilibrium.jacobian_estimate = "hutchinson"
    many, generator = x.expand(2000, -1), torch.Generator().manual_seed(1)
    draws = model(many, generator=generator).equilibrium.penalty
    (gradient,) = torch.autograd.grad(draws, model.weights)
    # for one normal probe Var ||ε J||² = 2 ||J J^T||_F² <= 2 ||J||_F^4
    assert abs(draws - exact) / (math.sqrt(2 / 2000) * exact) < FALSE_ALARM_Z
    assert torch.nn.functional.cosine_similarity(gradient, exact_gradient, dim=0) > 0.99


def test_the_penalty_comes_on_top_of_the_loss_in_one_backward_pass():
    model = classifier("angle", seed=4, equilibrium=Equilibrium(TIGHT, jacobian_weight=0.8)).train()
    x = numbers(3, 2, 16)
    result = model(x)
    (together,) = torch.autograd.grad(result.logits.sum() + 0.8 * result.equilibrium.penalty, model.weights)
    (by_loss,) = torch.autograd.grad(model(x).logits.sum(), model.weights)
    (by_penalty,) = torch.autograd.grad(model(x).equilibrium.penalty, model.weights)
    torch.testing.assert_close(together, by_loss + 0.8 * by_penalty, atol=EXACT64_DEEP, rtol=0)
