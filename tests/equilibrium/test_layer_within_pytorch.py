"""The layer as users of PyTorch treat it: hooks, autocast, torch.compile, torch.func, steps before backward."""

import inspect
import math
import re
import warnings

import numpy as np
import pytest
import torch
from functions import TIGHT, linear, matrix_with_radius, numbers
from tolerances import FD_GRADIENT
from torch import nn
from torch.autograd import forward_ad

from qdeq import (
    Anderson,
    Broyden,
    ConvergenceWarning,
    DenseAdjoint,
    Equilibrium,
    Function,
    GmresAdjoint,
    InjectedFunction,
    IterativeAdjoint,
    JacobianFreeAdjoint,
    Naive,
    PhantomAdjoint,
    QuantumFunction,
    Status,
    UnrolledAdjoint,
    get_backend,
)
from qdeq.errors import CircuitError, SolverError, UnsupportedError
from qdeq.functions import NotDifferentiable
from qdeq.library import angle_encoder, hardware_efficient
from qdeq.solvers import Fallback

EXACT = [DenseAdjoint(), DenseAdjoint(order=2), GmresAdjoint(), IterativeAdjoint(TIGHT), UnrolledAdjoint()]
ALIKE32 = 1e-4
"""Two float32 solves to rtol 1e-5, whose rounding differs."""
COS = 0.7390851332151607
"""The fixed point of the cosine."""


class Layer(nn.Module):
    def __init__(self, **options):
        super().__init__()
        circuit = angle_encoder(3) + hardware_efficient(3, 2)
        self.function = QuantumFunction(circuit, **options)
        self.weights = nn.Parameter(numbers(0, circuit.num_weights).float())
        self.equilibrium = Equilibrium(Broyden(rtol=1e-5))

    def forward(self, x):
        f, rows = self.function.at(self.weights).inject(x, 0.5, 3)
        return self.equilibrium(f, x.new_zeros(len(x), 3), rows).value


X = numbers(1, 5, 9).float()


# -- a step between forward and backward -------------------------------------------------------------------------------


def gradient_after_a_step(adjoint, f, rows, parameters):
    """Return the gradient of the second of two losses, the weights changed in between; None where PyTorch refuses."""
    layer = Equilibrium(TIGHT, adjoint=adjoint)
    value = layer(f, torch.zeros(len(rows[0]), 3).double(), rows).value
    with torch.no_grad():
        for parameter in parameters:
            parameter.mul_(0.7)
    try:
        return torch.autograd.grad((value - 1).square().sum(), parameters)
    except RuntimeError as refused:
        if not re.search("modified by an inplace operation|changed in place", str(refused)):
            raise
        return None


KINDS = ["saved", "scaled", "own jacobian", "compiled", "circuits", "injected scale"]
TWICE = DenseAdjoint(order=2)  # circuits have no derivative of the Jacobian


@pytest.mark.parametrize(
    ("adjoint", "kind"),
    [(adjoint, kind) for adjoint in EXACT for kind in KINDS if (adjoint, kind) != (TWICE, "circuits")],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_step_before_the_backward_pass_changes_no_gradient_silently(adjoint, kind):
    def make():
        x, matrix = numbers(2, 4, 3), nn.Parameter(matrix_with_radius(0.6, size=3))
        if kind == "saved":
            return linear(matrix), (x,), [matrix]
        if kind == "scaled":  # PyTorch saves exp of it, and would not mind

            def f(y, x):
                return torch.tanh(y @ torch.exp(matrix / 10).T / 4 + x)

            return f, (x,), [matrix]
        if kind == "own jacobian":

            class Own(Function):
                def __call__(self, y, x):
                    return y @ matrix.T + x

                def jacobian(self, y, x, *, create_graph=False):
                    return matrix.expand(len(y), 3, 3)

            return Own(), (x,), [matrix]
        circuit = angle_encoder(3) + hardware_efficient(3)
        by_circuits = get_backend({"name": "cirq", "execution": "circuits"})
        q = QuantumFunction(circuit, backend=by_circuits if kind == "circuits" else "torch")
        weights, scale = nn.Parameter(numbers(3, circuit.num_weights)), nn.Parameter(torch.tensor(0.5).double())
        frozen = q.at(weights)
        if kind == "injected scale":
            return InjectedFunction(frozen, scale), (numbers(4, 4, 9),), [weights, scale]
        f, rows = frozen.inject(numbers(4, 2 if kind == "circuits" else 4, 9), scale, 3)
        return f, rows, [weights, scale]

    found = gradient_after_a_step(adjoint, *make())
    f, rows, parameters = make()
    value = Equilibrium(TIGHT, adjoint=adjoint)(f, torch.zeros(len(rows[0]), 3).double(), rows).value
    wanted = torch.autograd.grad((value - 1).square().sum(), parameters)
    for one, other in zip(found or wanted, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


def test_a_row_that_is_changed_before_the_backward_pass_is_an_error():
    x = numbers(2, 4, 9)
    circuit = angle_encoder(3) + hardware_efficient(3)
    weights = nn.Parameter(numbers(3, circuit.num_weights))
    f = InjectedFunction(QuantumFunction(circuit).at(weights))
    value = Equilibrium(TIGHT)(f, torch.zeros(4, 3).double(), (x,)).value
    x.add_(1)
    with pytest.raises(RuntimeError, match=r"changed in place.\nRemedy"):
        value.sum().backward()


def test_the_backward_pass_asks_a_plain_function_nothing():
    calls, matrix = [], nn.Parameter(matrix_with_radius(0.6, size=3))

    def f(y, x):
        calls.append(len(y))
        return torch.tanh(y @ matrix.T + x)

    for adjoint in (DenseAdjoint(), PhantomAdjoint(), IterativeAdjoint(TIGHT)):
        value = Equilibrium(TIGHT, adjoint=adjoint)(f, torch.zeros(4, 3).double(), (numbers(2, 4, 3),)).value
        before = len(calls)
        value.sum().backward()
        assert len(calls) == before


def test_nothing_requires_a_gradient_where_nothing_is_trained():
    value = Equilibrium(TIGHT)(linear(matrix_with_radius(0.6)), torch.zeros(2, 4).double(), (numbers(1, 2, 4),)).value
    assert not value.requires_grad


# -- buffers, rows that are not finite, batches within f ---------------------------------------------------------------


@pytest.mark.parametrize(
    "solver", [Naive(max_steps=200), Anderson(), Broyden(), Fallback()], ids=lambda s: type(s).__name__
)
def test_a_function_may_write_every_value_into_one_buffer(solver):
    buffers = {}

    def f(y):
        buffer = buffers.setdefault(y.shape, torch.empty_like(y))
        return torch.cos(y, out=buffer)

    with torch.no_grad():
        result = Equilibrium(solver)(f, torch.zeros(2, 3).double())
    assert (result.status == Status.CONVERGED).all()
    assert (result.value - COS).abs().max() < 1e-3
    with torch.no_grad():
        direct = Equilibrium(solver).eval().direct(f, torch.zeros(2, 3).double(), layers=3)
    torch.testing.assert_close(direct.value, torch.cos(torch.cos(torch.ones(2, 3).double())), atol=0, rtol=0)
    torch.testing.assert_close(direct.residual, math.sqrt(3) * (direct.value.cos() - direct.value)[:, 0].abs())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_without_a_finite_value_is_nan_and_the_warning_names_the_callers_line(bad):
    layer, x = Layer(), X.clone()
    right = layer(x)
    x[1, 4] = bad
    with pytest.warns(ConvergenceWarning, match="1 sample ") as told:
        value = layer(x)
    assert value[1].isnan().all()
    torch.testing.assert_close(value[[0, 2, 3, 4]], right[[0, 2, 3, 4]], atol=ALIKE32, rtol=0)
    lines, first = inspect.getsourcelines(Layer.forward)
    assert told[0].filename == __file__
    assert "self.equilibrium(" in lines[told[0].lineno - first]
    value[[0, 2, 3, 4]].sum().backward()
    assert layer.weights.grad.isfinite().all()


@pytest.mark.parametrize(
    "call", [lambda f, y0: Equilibrium()(f, y0), lambda f, y0: Equilibrium().direct(f, y0, layers=2)]
)
def test_a_batch_that_f_closes_over_is_named(call):
    x = torch.tensor([[0.1, 0.2], [0.5, math.nan], [3.0, 1.0], [0.0, 0.0]])
    warnings.simplefilter("ignore")  # pytest puts the filters back
    with pytest.raises(SolverError, match=r"of 4 samples(.|\n)*has to be one of its rows"):
        call(lambda y: torch.cos(y) + x, torch.zeros(4, 2))


def test_what_f_itself_raises_passes_as_it_is():
    def f(y):
        if len(y) < 4:
            raise RuntimeError("the cable is out")
        return torch.cos(y) * torch.tensor([[0.0], [1.0], [1.0], [1.0]])

    with pytest.raises(RuntimeError, match="the cable is out"):
        Equilibrium()(f, torch.zeros(4, 2))


# -- inputs that cannot be meant ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[0], r"not \[9\]; one sample alone is x\[None\]"),
        (X.numpy(), r"not a ndarray; torch.as_tensor"),
        (X.tolist(), r"not a list; torch.as_tensor"),
    ],
)
def test_inputs_that_are_no_batch_say_what_to_do(x, message):
    f = Layer().function.at(torch.zeros(12))
    for call in (f, f.jacobian, lambda x: f.inject(x, 1.0, 3)):
        with pytest.raises(CircuitError, match=message):
            call(x)


@pytest.mark.parametrize("y0", [np.zeros((2, 3)), [[0.0]], torch.zeros(2, 0), torch.zeros(2, 3, dtype=torch.int64)])
def test_states_that_are_none_are_refused(y0):
    with pytest.raises(SolverError, match=r"y0 is (ndarray|list|float32 \[2, 0\]|int64 \[2, 3\])"):
        Equilibrium()(torch.cos, y0)


# -- PyTorch's modes ---------------------------------------------------------------------------------------------------


def test_full_backward_hooks_fire_with_the_gradient_of_the_value():
    layer, seen = Layer(), []
    layer.equilibrium.register_full_backward_hook(lambda module, inputs, outputs: seen.append(outputs))
    layer.equilibrium.register_forward_hook(lambda module, inputs, output: seen.append(output))
    value = layer(X)
    value.square().sum().backward()
    assert torch.equal(seen[0].value, value)
    assert torch.equal(seen[1][0], 2 * value)


@pytest.mark.slow
def test_compiled_code_breaks_at_the_layer_and_gives_its_numbers():
    network = nn.Sequential(nn.Linear(8, 9), nn.Tanh(), Layer(), nn.Linear(3, 2))
    x = numbers(3, 5, 8).float()
    right = network(x)
    right.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    out = torch.compile(network, backend="eager")(x)
    out.square().sum().backward()
    torch.testing.assert_close(out, right, atol=ALIKE32, rtol=0)
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=10 * ALIKE32, rtol=0)
    assert torch._dynamo.utils.counters["graph_break"]


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast_leaves_the_layer_its_precision(half):
    layer = Layer()
    right = layer(X.to(half).float())
    (wanted,) = torch.autograd.grad(right.square().sum(), layer.weights)
    with torch.autocast("cpu", dtype=half):
        value = layer(X.to(half))
        assert torch.is_autocast_enabled("cpu")
        function = layer.function(X.to(half), layer.weights)
    assert value.dtype == function.dtype == torch.float32
    assert torch.equal(value, right)
    assert torch.equal(function, layer.function(X.to(half).float(), layer.weights))
    assert torch.equal(torch.autograd.grad(value.square().sum(), layer.weights)[0], wanted)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_outside_autocast_is_refused_by_name(half):
    name = str(half).removeprefix("torch.")
    with pytest.raises(SolverError, match=rf"y0 is {name}(.|\n)*by .float\(\)"):
        Equilibrium()(torch.cos, torch.zeros(2, 3, dtype=half))
    with pytest.raises(SolverError, match=rf"args\[0\] is {name}"):
        Equilibrium()(lambda y, x: y, torch.zeros(2, 3), (torch.zeros(2, 3, dtype=half),))
    with pytest.raises(CircuitError, match=name):
        Layer()(X.to(half))


def test_transforms_of_torch_func_are_refused_with_the_remedy():
    layer = Layer()

    def loss(weights):
        return torch.func.functional_call(layer, {"weights": weights}, (X,)).sum()

    def plain(a):
        return Equilibrium()(lambda y: torch.cos(a * y), torch.zeros(2, 3)).value.sum()

    trials = [
        lambda: torch.func.grad(loss)(layer.weights.detach()),
        lambda: torch.func.jacrev(loss)(layer.weights.detach()),
        lambda: torch.func.vmap(lambda row: layer(row[None])[0])(X),
        lambda: torch.func.grad(plain)(torch.tensor(0.5)),
    ]
    for trial in trials:
        with pytest.raises(UnsupportedError, match=r"torch.func(.|\n)*Remedy: torch.autograd.grad"):
            trial()


def test_the_remedy_works():
    layer = Layer().double()
    layer.equilibrium = Equilibrium(TIGHT)
    weights, x = layer.weights.detach(), X[:2].double()

    def of(weights):
        return torch.func.functional_call(layer, {"weights": weights}, (x,))

    found = torch.autograd.functional.jacobian(of, weights)
    step = 1e-5
    for k in (0, 3):
        moved = torch.zeros_like(weights)
        moved[k] = step
        difference = (of(weights + moved) - of(weights - moved)) / (2 * step)
        torch.testing.assert_close(found[..., k], difference.detach(), atol=FD_GRADIENT, rtol=0)


# -- functions at the edge of what is meant ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "adjoint", [adjoint for adjoint in EXACT if adjoint != TWICE], ids=lambda adjoint: type(adjoint).__name__
)
@pytest.mark.parametrize("f", [lambda y, x: x, lambda y, x: torch.tanh(x), lambda y, x: x + 0 * y])
def test_a_function_that_does_not_depend_on_its_state_has_its_own_gradient(adjoint, f):
    x = numbers(4, 2, 3).requires_grad_()
    value = Equilibrium(TIGHT, adjoint=adjoint)(f, torch.zeros(2, 3).double(), (x,)).value
    (found,) = torch.autograd.grad(value.square().sum(), x)
    (wanted,) = torch.autograd.grad(f(value.detach(), x).square().sum(), x)
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("adjoint", [DenseAdjoint(), GmresAdjoint(), PhantomAdjoint()], ids=lambda a: type(a).__name__)
def test_a_state_that_leaves_the_graph_is_an_error_with_the_remedy(adjoint):
    x = numbers(4, 2, 3).requires_grad_()
    layer = Equilibrium(TIGHT, adjoint=adjoint)
    value = layer(lambda y, x: 0.5 * torch.tanh(y.detach()) + x, torch.zeros(2, 3).double(), (x,)).value
    with pytest.raises(NotDifferentiable, match=r"not through autograd(.|\n)*Keep y in the graph"):
        value.sum().backward()


@pytest.mark.parametrize(
    "adjoint", [*EXACT, PhantomAdjoint(steps=80), JacobianFreeAdjoint()], ids=lambda adjoint: type(adjoint).__name__
)
def test_a_state_may_be_one_number_a_sample(adjoint):
    x, layer = numbers(4, 3).requires_grad_(), Equilibrium(TIGHT, adjoint=adjoint)
    value = layer(lambda y, x: 0.5 * torch.cos(y) + x, torch.zeros(3).double(), (x,)).value
    (found,) = torch.autograd.grad(value.sum(), x)
    if not isinstance(adjoint, JacobianFreeAdjoint):
        torch.testing.assert_close(found, 1 / (1 + 0.5 * torch.sin(value.detach())), atol=1e-9, rtol=0)


def test_derivatives_that_a_solve_would_lose_are_refused():
    x, layer = numbers(4, 2, 3), Equilibrium(TIGHT)

    def of(x):
        return layer(lambda y, x: 0.5 * torch.tanh(y) + x, torch.zeros(2, 3).double(), (x,)).value

    with pytest.raises(UnsupportedError, match="without vectorize"):
        torch.autograd.functional.jacobian(of, x, vectorize=True)
    with forward_ad.dual_level(), pytest.raises(UnsupportedError, match="no forward-mode derivative"):
        of(forward_ad.make_dual(x, torch.ones_like(x)))


def test_a_row_of_inference_mode_leaves_the_weights_their_gradient():
    weight = nn.Parameter(torch.tensor(0.5).double())
    with torch.inference_mode():
        x = numbers(4, 2, 3)
    value = Equilibrium(TIGHT)(lambda y, x: torch.tanh(weight * y) + x, torch.zeros(2, 3).double(), (x,)).value
    value.sum().backward()
    assert weight.grad.isfinite()


def test_the_backward_pass_is_silent_about_rows_that_the_forward_pass_told_of():
    layer, x = Layer(), X.clone()
    x[1, 4] = math.nan
    with pytest.warns(ConvergenceWarning):
        value = layer(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value[[0, 2, 3, 4]].sum().backward()


def test_a_measurement_without_its_errors_is_named():
    class Bare(Function):
        shots = 10

        def measure(self, y):
            return 0.5 * y

    for batch in (2, 3):
        with pytest.raises(SolverError, match=r"returned Tensor: it returns \(values, standard errors\)"):
            Equilibrium()(Bare(), torch.ones(batch, 1))
